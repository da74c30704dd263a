"""Mojibake, entities and control characters fixed: ftfy, byte for byte.

ftfy reads only the lines in which something that it could change occurs; a document without such a line keeps its
very bytes.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers
from dedup.clean.form import FORMS, flagged_lines, moved_by
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
    """Replace `text` by `ftfy.fix_text(text, TextFixerConfig(...))`, byte for byte, many times faster.

    The settings are ftfy's, with ftfy's defaults but for two, which rewrite good text: `fix_character_width`
    turns Chinese and Japanese punctuation into ASCII, `uncurl_quotes` typographic quotation marks into
    straight ones. `normalization` is NFC, NFD, NFKC, NFKD, or None (in a recipe "none"); NFKC and NFKD lose
    meaning (10³ becomes 103). `unescape_html` is "auto" (up to the first line with "<"), true or false.
    The sub-options of `fix_encoding` are honoured, as by a TextFixerConfig; ftfy's own keyword arguments
    ignore two of them.

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
        changed = dict(_fixed(texts, config))
        texts = _replaced(texts, changed)
    return with_text(batch, texts)


def _replaced(texts: pa.LargeStringArray, changed: dict[int, str]) -> pa.LargeStringArray:
    if not changed:
        return texts
    mask = np.zeros(len(texts), np.bool_)
    mask[list(changed)] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(list(changed.values()), pa.large_string()))


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


def _fixed(texts: pa.LargeStringArray, config: tuple[Any, ...]) -> Iterator[tuple[int, str]]:
    """(index, fixed text) of every text that ftfy changes, by index."""
    from dedup.kernels import screen

    view = buffers.texts(texts)
    ftfy_config = _ftfy_config(config)
    entities = {False: screen.ENTITIES_NEVER, True: screen.ENTITIES_ALWAYS, "auto": screen.ENTITIES_AUTO}
    lines = flagged_lines(view, _screen_table(config), entities[config[0]], config[-1])
    memory = memoryview(view.data)  # type: ignore[arg-type]
    for index, flagged in groupby(lines.tolist(), key=lambda line: line[0]):
        start, end = int(view.offsets[index]), int(view.offsets[index + 1])
        fixed = _fix_lines(memory[start:end], [(a - start, b - start, why) for _, a, b, why in flagged], ftfy_config)
        if fixed is not None:
            yield index, fixed


def _fix_lines(text: memoryview, flagged: list[tuple[int, int, int]], config: Any) -> str | None:
    """One text with its flagged lines fixed; None if they are all right as they are."""
    import ftfy

    from dedup.kernels import screen

    if any(reasons & screen.LONG for _, _, reasons in flagged):
        # Lines are not ftfy's segments here.
        whole = str(text, "utf-8")
        fixed = ftfy.fix_text(whole, config)
        return fixed if fixed != whole else None
    parts, copied, looked = [], 0, 0
    for start, end, reasons in flagged:
        line = str(text[start:end], "utf-8")
        if _needs_ftfy(line, reasons, config.normalization):
            # From the first line with "<" on, entities are left alone; ftfy sees to the line's own "<".
            if config.unescape_html == "auto" and b"<" in bytes(text[looked:start]):
                config = config._replace(unescape_html=False)
            looked = start
            fixed = ftfy.fix_text(line, config)
        elif reasons & screen.CARRIAGE_RETURN:
            # The badness expression tells "\r" from "\n" only by ".", which matches less afterwards.
            fixed = line.replace("\r\n", "\n").replace("\r", "\n")
        else:
            continue
        if fixed != line:
            parts += [str(text[copied:start], "utf-8"), fixed]
            copied = end
    return "".join([*parts, str(text[copied:], "utf-8")]) if parts else None


def _needs_ftfy(line: str, reasons: int, form: Any) -> bool:
    """Whether more than carriage returns may have to be fixed."""
    from ftfy.badness import is_bad

    from dedup.kernels import screen

    return bool(
        reasons & (screen.FIX | screen.ENTITY)
        or (reasons & screen.MOJIBAKE and is_bad(line))
        or (reasons & screen.ORDER and form and not unicodedata.is_normalized(form, line))
    )


@functools.cache
def _screen_table(config: tuple[Any, ...]) -> npt.NDArray[np.uint8]:
    """uint8[0x110000], read-only: why a code point may need ftfy under these settings (kernels/screen.py).

    A character that is 0 here is left alone by every fix wherever it stands among others that are 0.
    """
    from ftfy import chardata

    from dedup.kernels import screen

    settings = _ftfy_config(config)
    table = np.zeros(0x110000, np.uint8)
    if settings.fix_encoding:
        for kind, characters in _mojibake_characters():
            table[[ord(character) for character in characters]] = kind
    fixes: list[Iterable[int]] = [
        range(0x80, 0xA0) if settings.fix_c1_controls or settings.fix_line_breaks else (),
        chardata.LIGATURES if settings.fix_latin_ligatures else (),
        chardata.WIDTH_MAP if settings.fix_character_width else (),
        (0x2BC, *range(0x2018, 0x2020)) if settings.uncurl_quotes else (),
        (0x2028, 0x2029) if settings.fix_line_breaks else (),
        (0x1B,) if settings.remove_terminal_escapes else (),
        chardata.CONTROL_CHARS if settings.remove_control_chars else (),
    ]
    for fix in fixes:
        table[list(fix)] |= screen.FIX
    if settings.fix_line_breaks:
        table[0x0D] |= screen.CARRIAGE_RETURN
    if settings.normalization is not None:
        table[moved_by(settings.normalization)] |= screen.ORDER
    return buffers.frozen(table)


def _mojibake_characters() -> Iterator[tuple[int, str]]:
    """(table entry, characters): what every alternative of ftfy's BADNESS_RE needs; later ones win.

    tests/test_clean.py takes the expression of the installed ftfy apart and checks that each of its
    alternatives holds a character that is MOJIBAKE alone or two neighbours that are together.
    """
    from ftfy.badness import MOJIBAKE_CATEGORIES as categories

    from dedup.kernels import screen

    kinds = dict.fromkeys(categories, screen.SUSPECT)
    kinds |= dict.fromkeys(["lower_common", "upper_common"], screen.LETTER)
    kinds |= dict.fromkeys(["common", "start_punctuation", "end_punctuation"], screen.PUNCTUATION)
    for name in sorted(categories, key=lambda name: kinds[name] == screen.SUSPECT):
        yield kinds[name], _expanded(categories[name])
    yield screen.SUSPECT, "ВГРСвΒΓΞΟβ"  # Cyrillic and Greek letters that begin mojibake
    yield screen.SUSPECT | screen.MOJIBAKE, "ŒœÂÃ" + _expanded(categories["c1"])


def _expanded(ranges: str) -> str:
    """The characters of the inside of a character class: "a-cx" is "abcx"."""
    found, rest = "", ranges
    while rest:
        if len(rest) > 2 and rest[1] == "-":
            found += "".join(map(chr, range(ord(rest[0]), ord(rest[2]) + 1)))
            rest = rest[3:]
        else:
            found, rest = found + rest[0], rest[1:]
    return found
