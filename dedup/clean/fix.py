"""Mojibake, entities and control characters fixed: ftfy, byte for byte.

One kernel reads everything and names the lines that hold mojibake (exactly, by an automaton of ftfy's expression),
characters that a fix touches, entities or a wrong Unicode form. Only those are fixed, by ftfy's own functions; a
document without such a line keeps its very bytes. CPU of ftfy over ours on the same documents: see benchmarks/fix.py.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from unicodedata import is_normalized

import numpy as np
import pyarrow as pa

from dedup import buffers
from dedup.clean.form import FORMS, flagged_lines, form_table
from dedup.clean.settings import one_of, with_text
from dedup.errors import RecipeError


def fix_text(
    batch: pa.RecordBatch,
    *,
    unescape_html: str | bool = "auto",
    remove_terminal_escapes: bool = True,
    fix_encoding: bool = True,
    restore_byte_a0: bool = True,
    replace_lossy_sequences: bool = True,
    decode_inconsistent_utf8: bool = True,
    fix_c1_controls: bool = True,
    fix_latin_ligatures: bool = True,
    fix_character_width: bool = False,
    uncurl_quotes: bool = False,
    fix_line_breaks: bool = True,
    fix_surrogates: bool = True,
    remove_control_chars: bool = True,
    normalization: str | None = "NFC",
    max_decode_length: int = 1_000_000,
) -> pa.RecordBatch:
    """Replace `text` by `ftfy.fix_text(text, TextFixerConfig(...))`, byte for byte, 40 to 200 times faster.

    The settings are ftfy's, with ftfy's defaults but for two that rewrite good text and are off: fix_character_width
    and uncurl_quotes. Lines are fixed one by one, and again until nothing changes. What each setting may damage:

    unescape_html             "auto" | true | false. "&eacute;" becomes "é"; "auto": only up to the first line with
                              "<". Damages: lessons about HTML, escaped code.
    remove_terminal_escapes   Colours and the like of terminals go. Damages: recordings of terminals.
    fix_encoding              Lines that look like mojibake are decoded anew ("Ã©" becomes "é"). Damages: lessons
                              about encodings, lists of characters, seldom a row of accented capitals and signs.
    restore_byte_a0           In mojibake, a space may have been a no-break space. Damages: a space after "Ã" or "Å".
    replace_lossy_sequences   Mojibake with a lost character becomes U+FFFD. Damages: a "?" after "Â" or "Ã".
    decode_inconsistent_utf8  Mojibake inside a line that is otherwise right is decoded. Damages: quoted mojibake.
    fix_c1_controls           U+0080 to U+009F become what Windows-1252 has there. Damages: control codes of terminals.
    fix_latin_ligatures       "ﬁ" becomes "fi", also "ĳ", "Ǆ", "ŉ". Damages: tables of characters, Croatian digraphs.
    fix_character_width       Full-width letters and punctuation and half-width kana become plain. Damages: Chinese and
                              Japanese, whose "，（）！：" become ASCII and whose wide space becomes narrow.
    uncurl_quotes             “ ” ‘ ’ become straight. Damages: typography, and the letter ʼ of Ukrainian names.
    fix_line_breaks           "\\r\\n", "\\r", U+2028, U+2029 and U+0085 become "\\n". Damages: text art that returns
                              the carriage, a break inside a cell of a table.
    fix_surrogates            UTF-8 holds none; only what decoding left.
    remove_control_chars      U+0000 to U+001F but for tab, form feed and line ends, U+007F, U+206A to U+206F, U+FEFF,
                              U+FFF9 to U+FFFC go. Damages: files that delimit with them, marks of embedded objects.
    normalization             NFC | NFD | NFKC | NFKD | None (in a recipe "none"). NFC replaces a few compatibility
                              ideographs and reorders some Hebrew points; NFD takes Hangul apart; NFKC and NFKD
                              lose meaning (10³ becomes 103) and do what fix_character_width does.
    max_decode_length         Lines of more characters are fixed in pieces: what straddles a cut stays.

    The settings below fix_encoding are honoured, as by a TextFixerConfig; ftfy's own keyword arguments ignore two.
    Long runs of marks cost ftfy (and Python's unicodedata) quadratic time, 40 s for 200,000; here it is linear.

    text   large_string, whatever string type came in; null stays null

    Source: ftfy (Speer), its documentation of TextFixerConfig.
    """
    # A tuple of all settings in the order of TextFixerConfig: it is the key of the cached table.
    config = (
        _entities_setting(unescape_html),
        *(remove_terminal_escapes, fix_encoding, restore_byte_a0, replace_lossy_sequences),
        *(decode_inconsistent_utf8, fix_c1_controls, fix_latin_ligatures, fix_character_width),
        *(uncurl_quotes, fix_line_breaks, fix_surrogates, remove_control_chars),
        one_of("fix_text", "normalization", normalization or "none", (*FORMS, "none")),
        _segment_length(max_decode_length),
    )
    texts = buffers.large_strings(batch["text"])
    if len(texts) > 0:
        changed = dict(_changed(texts, config))
        texts = buffers.with_replaced(texts, np.array(list(changed)), pa.array(list(changed.values()), texts.type))
    return with_text(batch, texts)


def _entities_setting(value: str | bool) -> str | bool:
    if value != "auto" and not isinstance(value, bool):
        raise RecipeError(f'fix_text: unescape_html is {value!r}; it is "auto", true or false')
    return value


def _segment_length(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RecipeError(f"fix_text: max_decode_length is {value!r}; it is a number of characters from 1 up")
    return value


def _ftfy_config(config: tuple[Any, ...]) -> Any:
    from ftfy import TextFixerConfig

    built = TextFixerConfig(*config)
    return built._replace(normalization=None) if built.normalization == "none" else built


def _changed(texts: pa.LargeStringArray, config: tuple[Any, ...]) -> Iterator[tuple[int, bytes]]:
    """(index, fixed text) of every text that ftfy changes, by index."""
    from dedup.kernels import screen

    view = buffers.texts(texts)
    ftfy_config = _ftfy_config(config)
    entities = {False: screen.ENTITIES_NEVER, True: screen.ENTITIES_ALWAYS, "auto": screen.ENTITIES_AUTO}
    lines = flagged_lines(view, _tables(ftfy_config), entities[config[0]], config[-1])
    firsts = np.flatnonzero(np.diff(lines[:, 0], prepend=-1))
    memory = memoryview(view.data)  # type: ignore[arg-type]
    for first, past in pairwise([*firsts.tolist(), len(lines)]):
        index = int(lines[first, 0])
        start, end = int(view.offsets[index]), int(view.offsets[index + 1])
        text = bytes(memory[start:end])
        flagged = lines[first:past]
        if np.all(flagged[:, 3] == screen.CARRIAGE_RETURN):
            yield index, text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        elif (fixed := _fix_lines(text, (flagged[:, 1:] - (start, start, 0)).tolist(), ftfy_config)) is not None:
            yield index, fixed


def _fix_lines(text: bytes, flagged: list[list[int]], config: Any) -> bytes | None:
    """One text with its flagged lines fixed; None if they are all right as they are."""
    from dedup.clean.line import fixed_line
    from dedup.kernels import screen

    # From the first segment with "<" on, entities are left alone.
    tag = text.find(b"<") if config.unescape_html == "auto" else -1
    certain = screen.MOJIBAKE | screen.FIX | screen.ENTITY
    parts, copied = [], 0
    for start, end, reasons in flagged:
        line = text[start:end].decode()
        if reasons & screen.LONG:
            fixed = "".join(_fixed_segments(line, config, 0 <= tag < start))
        elif reasons & certain or (reasons & screen.ORDER and not is_normalized(config.normalization, line)):
            fixed = fixed_line(line, config, bool(config.unescape_html) and not 0 <= tag < end)
        elif reasons & screen.CARRIAGE_RETURN:
            # The badness expression tells "\r" from "\n" only by ".", which matches less afterwards.
            fixed = line.replace("\r\n", "\n").replace("\r", "\n")
        else:
            continue
        if fixed != line:
            parts += [text[copied:start], fixed.encode()]
            copied = end
    return b"".join([*parts, text[copied:]]) if parts else None


def _fixed_segments(line: str, config: Any, is_html: bool) -> Iterator[str]:
    """A line longer than max_decode_length, in the pieces in which ftfy fixes it."""
    from dedup.clean.line import fixed_line

    for start in range(0, len(line), config.max_decode_length):
        segment = line[start : start + config.max_decode_length]
        is_html = is_html or (config.unescape_html == "auto" and "<" in segment)
        yield fixed_line(segment, config, bool(config.unescape_html) and not is_html)


@functools.cache
def _tables(config: Any) -> Any:
    """The tables of kernels/screen.py under these settings."""
    from dedup.clean.line import touched
    from dedup.kernels import badness, screen

    return screen.tables(
        badness.badness() if config.fix_encoding else None,
        form_table(config.normalization) if config.normalization is not None else None,
        [c for c in touched(config) if not 0xD800 <= c < 0xE000],  # which UTF-8 cannot hold
        carriage_return=config.fix_line_breaks,
    )
