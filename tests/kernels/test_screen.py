"""The screen writes down the lines that its naive twin writes down, and they are the right ones."""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import Any

import ftfy.badness
import numpy as np
import pyarrow as pa
import pytest
from ftfy import TextFixerConfig
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import buffers
from dedup.clean import fix, form
from dedup.clean.line import touched
from dedup.kernels import badness, screen
from tests.clean.pieces import CONFIGS, DEFAULTS, documents

Flagged = tuple[int, str, int]
ENTITIES = {"auto": screen.ENTITIES_AUTO, True: screen.ENTITIES_ALWAYS, False: screen.ENTITIES_NEVER}
# Beyond these, only private use and characters to come.
CHARACTERS = [chr(c) for c in (*range(0xD800), *range(0xE000, 0x32400), *range(0xE0000, 0xE0200))]
MARKS = [c for c in CHARACTERS if unicodedata.combining(c)]


def joining() -> set[str]:
    """Characters that NFC may join to the one before them."""
    found = {chr(c) for c in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    for character in CHARACTERS:
        apart = unicodedata.normalize("NFD", character)
        if len(apart) > 1 and unicodedata.normalize("NFC", apart) == character and not "가" <= character <= "힣":
            found.add(apart[-1])
    return found


JOINING = joining()


def needs_order(line: str, name: Any) -> bool:
    """Exact, but that a character that may join something is always a reason."""
    if name is None:
        return False
    return (name.endswith("C") and not JOINING.isdisjoint(line)) or not unicodedata.is_normalized(name, line)


def longest_run_of_marks(line: str, name: Any) -> int:
    """Of marks, and of what a form changes or joins."""
    if name is None:
        return 0
    joins = JOINING if name.endswith("C") else set()
    moved = [c in joins or bool(unicodedata.combining(c)) or not unicodedata.is_normalized(name, c) for c in line]
    return max(map(len, "".join("m" if m else " " for m in moved).split()), default=0)


def naive_flagged_lines(texts: list[str], config: TextFixerConfig, most: int) -> list[Flagged]:
    """(text, line, reasons) of every line that the screen must write down."""
    found = []
    fixes = set(map(chr, touched(config)))
    for i, text in enumerate(texts):
        is_html = False
        for line in re.findall(r"[^\n]*\n|[^\n]+", text):
            is_html = is_html or (config.unescape_html == "auto" and "<" in line)
            unescapes = bool(config.unescape_html) and not is_html
            reasons = {
                screen.MOJIBAKE: config.fix_encoding and ftfy.badness.is_bad(line),
                screen.ORDER: needs_order(line, config.normalization),
                screen.MARKS: longest_run_of_marks(line, config.normalization) >= screen.MANY_MARKS,
                screen.FIX: not fixes.isdisjoint(line),
                screen.CARRIAGE_RETURN: config.fix_line_breaks and "\r" in line,
                screen.ENTITY: unescapes and re.search("&#?[0-9A-Za-z]{1,24};", line) is not None,
                screen.LONG: len(line) > most,
            }
            if any(reasons.values()):
                found.append((i, line, sum(reason for reason, holds in reasons.items() if holds)))
    return found


def flagged_lines(texts: list[str], config: TextFixerConfig, most: int) -> list[Flagged]:
    view = buffers.texts(pa.array(texts, pa.large_string()))
    tables = fix._tables(config)
    arguments = view.offsets, view.data, *tables, ENTITIES[config.unescape_html], most
    lines = np.empty((sum(map(len, texts)) + 1, 4), np.int64)
    count = screen.flagged_lines(*arguments, lines)
    assert screen.flagged_lines(*arguments, lines[: count // 2]) == count
    return [(i, view.data[a:b].tobytes().decode(), reasons) for i, a, b, reasons in lines[:count].tolist()]


@settings(max_examples=250, deadline=None)
@given(st.lists(documents, min_size=1, max_size=4), st.sampled_from(CONFIGS), st.sampled_from([3, 100]))
def test_the_screen_finds_what_its_twin_finds(texts: list[str], config: dict[str, Any], most: int) -> None:
    settings = DEFAULTS._replace(**config)
    assert flagged_lines(texts, settings, most) == naive_flagged_lines(texts, settings, most)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 20).map(lambda n: "a plain text. So it is"[:n]) | st.sampled_from("éÃÂœ â\n²中。")).map(
        "".join
    )
)
def test_skipping_over_ascii_and_ideographs_forgets_nothing(text: str) -> None:
    assert flagged_lines([text], DEFAULTS, 99) == naive_flagged_lines([text], DEFAULTS, 99)


def heads(first: int, past: int) -> list[str]:
    """One character of each class of the badness automaton."""
    found = {int(badness.badness().classes[c]): chr(c) for c in range(past - 1, first - 1, -1)}
    return [found[number] for number in sorted(found)]


def test_a_line_is_bad_wherever_the_run_before_or_the_line_ended() -> None:
    ascii_heads, others = heads(0x20, 0x7F), heads(0xA0, 0x3000)
    ends = list(map("".join, itertools.product(ascii_heads, repeat=2)))
    lines = [f"xY.zx .{end}{a}{b}\n" for end in ends for a in others for b in (" ", "中", *others[::5])]
    lines += [f"{a}{run}{b}\n" for a in others for run in ("中", "中中", "x", " ", "xY", "x .xY.") for b in others]
    text = "".join(lines)
    bad = {line for _, line, reasons in flagged_lines([text], DEFAULTS, 99) if reasons & screen.MOJIBAKE}
    assert bad == {line for line in lines if ftfy.badness.is_bad(line)}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(MARKS) | st.sampled_from("aé각가ᅡᆨ中שא\n"), max_size=80).map("".join))
def test_the_order_of_marks_is_checked_in_every_form(text: str) -> None:
    for name in form.FORMS:
        settings = DEFAULTS._replace(fix_encoding=False, normalization=name)
        assert flagged_lines([text], settings, 999) == naive_flagged_lines([text], settings, 999)


@pytest.mark.parametrize("name", form.FORMS)
def test_every_code_point_that_a_form_moves_is_known(name: Any) -> None:
    table = form.form_table(name)
    for character in CHARACTERS:
        moved = unicodedata.combining(character) or not unicodedata.is_normalized(name, character)
        assert (table[ord(character)] != screen.STAYS) >= bool(moved), hex(ord(character))


def test_a_tag_on_any_earlier_line_keeps_entities_as_they_are() -> None:
    for text in ("x\n<b>\n&amp;", "<\n\nx\n&amp;\n&lt;", "&gt;\n&gt; <\n&amp;", "\n\n&amp;\n<", "&amp;&lt;<"):
        assert flagged_lines([text], DEFAULTS, 99) == naive_flagged_lines([text], DEFAULTS, 99)


@pytest.mark.parametrize("length", [1, 24, 25])
def test_an_entity_has_1_to_24_letters_or_digits(length: int) -> None:
    name = "a" * length
    for text in (f"&{name};", f"&#{'1' * length};", f"&{name}", f"&;{name};", f"x&&#{name};"):
        assert flagged_lines([text], DEFAULTS, 99) == naive_flagged_lines([text], DEFAULTS, 99)


GOOD = [
    *("床前明月光，疑是地上霜。《静夜思》——李白……\n", "「吾輩は猫である。」　ｱｲｳ（全角）\n", "한국어 문장.\n"),
    *("Ça va très bien, “naïve” café – Straße…\n", "AT&T & co; &c\n", "Съешь же ещё этих мягких французских булок\n"),
    *("Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.\n", "Tiếng Việt rất đẹp.\n", "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า\n"),
    *("שָׁלוֹם\n", "الْحَمْدُ لِلَّهِ\n", "हिन्दी में लिखा\n", "“Он сказал: «да» — и ушёл”\n"),
]


def test_good_lines_of_many_scripts_need_no_look() -> None:
    lines = [unicodedata.normalize("NFC", line) for line in GOOD]
    assert flagged_lines(lines, DEFAULTS, 10**6) == []


@pytest.mark.parametrize("config", [*CONFIGS[:8], {"normalization": "NFKD"}])
def test_characters_without_an_entry_are_left_alone_by_the_other_fixes(config: dict[str, Any]) -> None:
    settings = DEFAULTS._replace(**(config | {"fix_encoding": False}))
    entries = fix._tables(settings).entries
    left_alone = [c for c in CHARACTERS if entries[ord(c)] == 0 and c not in "&<\n"]
    for start in range(0, len(left_alone), 1 << 16):
        text = "".join(left_alone[start : start + (1 << 16)])
        assert ftfy.fix_text(text, settings) == text
