"""Text to better text: mojibake, entities and control characters fixed, white space made uniform.

`fix_text` is ftfy, byte for byte, but ftfy reads only the lines in which something that it could change
occurs; a document without such a line keeps its very bytes. `normalize` is Arrow compute throughout:
RE2 expressions, linear in the text, run only over the documents that they change.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers
from dedup.errors import RecipeError

FORMS = ("NFC", "NFD", "NFKC", "NFKD")
SPACE = r"\t\v\f\p{Zs}"  # white space inside a line; U+3000 and the no-break space are in Zs
MOST_BLANK_LINES = 100  # RE2 repeats a group at most 1,000 times


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
        _one_of("fix_text", "normalization", normalization or "none", (*FORMS, "none")),
        _segment_length(max_decode_length),
    )
    texts = buffers.large_strings(batch["text"])
    if len(texts) > 0:
        changed = dict(_fixed(texts, config))
        texts = _replaced(texts, changed)
    return _with_text(batch, texts)


def normalize(
    batch: pa.RecordBatch,
    *,
    form: str = "NFC",
    unix_line_ends: bool = True,
    strip_line_ends: bool = True,
    collapse_spaces: bool = False,
    blank_lines: int | str = 1,
    strip_blank_edges: bool = True,
) -> pa.RecordBatch:
    """Make the Unicode form and the white space of `text` uniform.

    form               NFC | NFD | NFKC | NFKD | none. NFKC and NFKD lose meaning (10³ becomes 103, full-width
                       Chinese punctuation becomes ASCII); NFC replaces a few compatibility ideographs.
    unix_line_ends     "\\r\\n" and "\\r" become "\\n". Damages: text art that returns the carriage.
    strip_line_ends    White space before a line's end goes. Damages: Markdown's two trailing spaces (a line
                       break), patches, Whitespace programs.
    collapse_spaces    A run of white space inside a line becomes its first character; the indentation stays.
                       Damages: tables aligned by spaces, comments beside code, strings in code.
    blank_lines        At most this many blank lines in a row, 0 to 100, or "keep". Blank: only white space.
                       0 removes all paragraph breaks. Damages: strings of many lines in code.
    strip_blank_edges  Blank lines at the document's beginning and end go; an end of line after its last line
                       stays, and so does the first line's indentation. A text of white space becomes empty.

    White space is tab, vertical tab, form feed and Unicode's Zs (also U+3000 and the no-break space).
    The settings apply in this order.

    text   large_string, whatever string type came in; null stays null
    """
    _one_of("normalize", "form", form, (*FORMS, "none"))
    rules = list(_white_space_rules(unix_line_ends, strip_line_ends, collapse_spaces, blank_lines, strip_blank_edges))
    texts = buffers.large_strings(batch["text"])
    if len(texts) > 0:
        if form != "none":
            texts = _where(texts, _may_move(texts, form), lambda found: pc.utf8_normalize(found, form=form))
        for pattern, replacement in rules:
            texts = _substitute(texts, pattern, replacement)
    return _with_text(batch, texts)


def _white_space_rules(
    unix_line_ends: bool,
    strip_line_ends: bool,
    collapse_spaces: bool,
    blank_lines: int | str,
    strip_blank_edges: bool,
) -> Iterator[tuple[str, str]]:
    """(RE2 expression, replacement) in the order in which they apply."""
    if unix_line_ends:
        yield r"\r\n?", "\n"
    if strip_line_ends:
        yield rf"[{SPACE}]+(\n|\z)", r"\1"
    if collapse_spaces:
        yield rf"([^{SPACE}\n][{SPACE}])[{SPACE}]+", r"\1"
    if blank_lines != "keep":
        if (
            isinstance(blank_lines, bool)
            or not isinstance(blank_lines, int)
            or not 0 <= blank_lines <= MOST_BLANK_LINES
        ):
            raise RecipeError(
                f'normalize: blank_lines is {blank_lines!r}; it is a number from 0 to {MOST_BLANK_LINES}, or "keep"'
            )
        yield rf"(\A|\n)(?:[{SPACE}]*\n){{{blank_lines + 1},}}", r"\1" + "\n" * blank_lines
    if strip_blank_edges:
        yield rf"\A(?:[{SPACE}\n]+\z|[{SPACE}\n]*\n)", ""
        yield rf"\n[{SPACE}\n]+\z", "\n"


def _may_move(texts: pa.LargeStringArray, form: str) -> pa.BooleanArray:
    """Whether a text holds a character that the form may change (a look costs 1 to 2 ns a byte, the change 14)."""
    from dedup.kernels import screen

    mask = np.zeros(len(texts), np.bool_)
    lines = _flagged_lines(buffers.texts(texts), _form_table(form), screen.ENTITIES_NEVER, np.iinfo(np.int64).max)
    mask[lines[:, 0]] = True
    return pa.array(mask)


def _substitute(texts: pa.LargeStringArray, pattern: str, replacement: str) -> pa.LargeStringArray:
    return _where(
        texts,
        pc.match_substring_regex(texts, pattern),
        lambda found: pc.replace_substring_regex(found, pattern, replacement),
    )


def _where(texts: pa.LargeStringArray, mask: pa.BooleanArray, change: Callable[[Any], Any]) -> pa.LargeStringArray:
    """The texts with those of the mask changed; the expensive change never sees the others."""
    mask = pc.fill_null(mask, False)
    if not pc.any(mask).as_py():
        return texts
    if pc.all(mask).as_py():
        return change(texts)
    return pc.replace_with_mask(texts, mask, change(texts.filter(mask)))


def _with_text(batch: pa.RecordBatch, texts: pa.LargeStringArray) -> pa.RecordBatch:
    index = batch.schema.get_field_index("text")
    return batch.set_column(index, batch.schema.field(index).with_type(pa.large_string()), texts)


def _replaced(texts: pa.LargeStringArray, changed: dict[int, str]) -> pa.LargeStringArray:
    if not changed:
        return texts
    mask = np.zeros(len(texts), np.bool_)
    mask[list(changed)] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(list(changed.values()), pa.large_string()))


def _one_of(stage: str, setting: str, value: str, allowed: Collection[str]) -> str:
    if value not in allowed:
        raise RecipeError(f"{stage}: {setting} is {value!r}; it is one of {', '.join(allowed)}")
    return value


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
    lines = _flagged_lines(view, _screen_table(config), entities[config[0]], config[-1])
    memory = memoryview(view.data)  # type: ignore[arg-type]
    for index, flagged in groupby(lines.tolist(), key=lambda line: line[0]):
        start, end = int(view.offsets[index]), int(view.offsets[index + 1])
        fixed = _fix_lines(memory[start:end], [(a - start, b - start, why) for _, a, b, why in flagged], ftfy_config)
        if fixed is not None:
            yield index, fixed


def _flagged_lines(
    view: buffers.Texts, table: npt.NDArray[np.uint8], entities: int, most_characters: int
) -> npt.NDArray[np.int64]:
    from dedup.kernels import screen

    lines = np.empty((1 + len(view.data) // 1024, 4), np.int64)
    count = screen.flagged_lines(view.offsets, view.data, table, entities, most_characters, lines)
    if count > len(lines):
        lines = np.empty((count, 4), np.int64)
        screen.flagged_lines(view.offsets, view.data, table, entities, most_characters, lines)
    return lines[:count]


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
        table[_moved_by(settings.normalization)] |= screen.ORDER
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


@functools.cache
def _form_table(form: str) -> npt.NDArray[np.uint8]:
    """uint8[0x110000], read-only: ORDER where a normalization form may change a character, else 0.

    Also where this Python's Unicode has no character yet: Arrow's may be newer.
    """
    from dedup.kernels import screen

    table = np.zeros(0x110000, np.uint8)
    table[_moved_by(form)] = screen.ORDER
    table[[c for c in _looked_up() if unicodedata.category(chr(c)) == "Cn"]] = screen.ORDER
    return buffers.frozen(table)


# Code points that no normalization form touches need no look: ideographs, Yi, surrogates, private use,
# cuneiform, hieroglyphs, Tangut. Hangul syllables are known.
_LOOKED_UP = (
    *((0xA0, 0x3400), (0xA480, 0xAC00), (0xF900, 0x13460), (0x16000, 0x17000)),
    *((0x18B00, 0x20000), (0x2F800, 0x2FA20)),
)
_HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)


def _looked_up() -> Iterator[int]:
    for first, end in _LOOKED_UP:
        yield from range(first, end)


def _moved_by(form: Any) -> list[int]:
    """Code points that a normalization form changes, reorders, or may join to the one before."""
    found = [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]  # vowels and finals join a Hangul syllable
    if form in ("NFD", "NFKD"):
        found += _HANGUL_SYLLABLES
    for code_point in _looked_up():
        character = chr(code_point)
        if unicodedata.combining(character) or not unicodedata.is_normalized(form, character):
            found.append(code_point)
        decomposition = unicodedata.decomposition(character)
        if decomposition and decomposition[0] != "<":
            found += (int(part, 16) for part in decomposition.split()[1:])
    return found
