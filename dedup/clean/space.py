"""White space and Unicode form made uniform.

Arrow compute throughout: RE2 expressions, linear in the text, run only over the documents that they change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers
from dedup.clean.form import FORMS, moved, with_runs_in_order
from dedup.clean.settings import one_of, with_text
from dedup.errors import RecipeError

SPACE = r"\t\v\f\p{Zs}"  # white space inside a line; U+3000 and the no-break space are in Zs
MOST_BLANK_LINES = 100  # RE2 repeats a group at most 1,000 times


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
    one_of("normalize", "form", form, (*FORMS, "none"))
    rules = list(_white_space_rules(unix_line_ends, strip_line_ends, collapse_spaces, blank_lines, strip_blank_edges))
    texts = buffers.large_strings(batch["text"])
    if len(texts) > 0:
        if form != "none":
            may_move, has_long_run = moved(texts, form)
            texts = _where(texts, has_long_run, _with_runs_in_order)
            texts = _where(texts, may_move, lambda found: pc.utf8_normalize(found, form=form))
        for pattern, replacement in rules:
            texts = _substitute(texts, pattern, replacement)
    return with_text(batch, texts)


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


def _with_runs_in_order(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    return pa.array([with_runs_in_order(text) for text in texts.to_pylist()], pa.large_string())


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
