"""normalize does what it says, as its naive twin does."""

from __future__ import annotations

import itertools
import unicodedata
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import clean
from dedup.clean.form import FORMS
from tests.batches import batch_of, texts_of


def normalized(*texts: str | None, **options: Any) -> list[str | None]:
    return texts_of(clean.normalize(batch_of(*texts), **options))


def test_white_space_is_made_uniform() -> None:
    assert normalized("\r\n \n  a \t\r\nb\u3000\r\r\n\n\n\tc  d\n\n ") == ["  a\nb\n\n\tc  d\n"]


OFF = {"unix_line_ends": False, "strip_line_ends": False, "blank_lines": "keep", "strip_blank_edges": False}


def test_every_setting_can_be_turned_off() -> None:
    text = "\n\n e\u0301  x \r\n\n\n\ny \n\n "
    assert normalized(text, form="none", **OFF) == [text]


def test_forms_are_those_of_unicode() -> None:
    text = "e\u0301 é ﬁ 10³ ＡＢＣ，각 ①"
    for form in FORMS:
        assert normalized(text, form=form) == [unicodedata.normalize(form, text)]


def test_a_form_is_that_of_unicode_for_every_code_point_alone_and_after_a_letter() -> None:
    # Where this Python's Unicode and Arrow's know the character: no normalization form changes it later.
    assigned = [chr(c) for c in range(0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    texts = [f"{character}a{character}\u0323" for character in assigned]
    for form in FORMS:
        assert normalized(*texts, form=form, **OFF) == [unicodedata.normalize(form, text) for text in texts]


def test_collapsing_keeps_the_indentation_and_the_kind_of_space() -> None:
    assert normalized("    a  b\t \tc　　d", collapse_spaces=True) == ["    a b\tc　d"]


def test_a_text_of_white_space_becomes_empty_and_null_stays_null() -> None:
    assert normalized(" \n\t\n　", None, "", "\n") == ["", None, "", ""]


def test_an_end_of_line_at_the_end_stays_as_it_is() -> None:
    assert normalized("a\n", "a", "a\n\n\n", "a\n ") == ["a\n", "a", "a\n", "a\n"]


def test_texts_that_are_already_uniform_are_not_copied() -> None:
    batch = batch_of("a\n\n  b\tc  d\n", None, "plain")
    assert clean.normalize(batch)["text"].buffers()[2].address == batch["text"].buffers()[2].address


SPACES = "\t\v\f" + "".join(chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) == "Zs")


def naive_normalize(
    text: str, form: Any, unix: bool, strip: bool, collapse: bool, blank: int | str, edges: bool
) -> str:
    if form != "none":
        text = unicodedata.normalize(form, text)
    if unix:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")  # the last one is what follows the last end of line
    if strip:
        lines = [line.rstrip(SPACES) for line in lines]
    if collapse:
        lines = [naive_collapse(line) for line in lines]
    if blank != "keep":
        kept: list[str] = []
        for is_blank, run in itertools.groupby(lines[:-1], key=lambda line: not line.strip(SPACES)):
            run_lines = list(run)
            kept += [""] * int(blank) if is_blank and len(run_lines) > int(blank) else run_lines
        lines = [*kept, lines[-1]]
    if edges:
        while len(lines) > 1 and not lines[0].strip(SPACES):
            del lines[0]
        while len(lines) > 2 and not lines[-1].strip(SPACES) and not lines[-2].strip(SPACES):
            del lines[-1]
        if len(lines) > 1 and not lines[-1].strip(SPACES):
            lines[-1] = ""
        if not "".join(lines).strip(SPACES):
            return ""
    return "\n".join(lines)


def naive_collapse(line: str) -> str:
    content = line.lstrip(SPACES)
    kept = ""
    for character in content:
        if character not in SPACES or kept[-1] not in SPACES:
            kept += character
    return line[: len(line) - len(content)] + kept


SPACE_PIECES = [
    " ",
    "  ",
    "\t",
    "\u3000",
    "\u00a0",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\x0c",
    "a",
    "é",
    "中",
    "e\u0301",
    "．",
]


@settings(max_examples=400, deadline=None)
@given(
    text=st.lists(st.sampled_from(SPACE_PIECES), max_size=25).map("".join),
    form=st.sampled_from([*FORMS, "none"]),
    unix=st.booleans(),
    strip=st.booleans(),
    collapse=st.booleans(),
    blank=st.sampled_from([0, 1, 2, "keep"]),
    edges=st.booleans(),
)
def test_normalize_equals_its_twin(
    text: str, form: str, unix: bool, strip: bool, collapse: bool, blank: int | str, edges: bool
) -> None:
    options = {"form": form, "unix_line_ends": unix, "strip_line_ends": strip, "collapse_spaces": collapse}
    result = normalized(text, **options, blank_lines=blank, strip_blank_edges=edges)
    assert result == [naive_normalize(text, form, unix, strip, collapse, blank, edges)]


def test_a_hundred_blank_lines_may_stay() -> None:
    assert normalized("a" + "\n" * 150 + "b", blank_lines=100) == ["a" + "\n" * 101 + "b"]
