"""fix_text is ftfy byte for byte, whatever the screen lets through."""

from __future__ import annotations

import itertools
import random
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ftfy
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ftfy import TextFixerConfig
from ftfy.badness import BADNESS_RE
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import buffers, clean
from dedup.clean import fix, form
from dedup.kernels import screen

SHARDS = ["edge/valid/edge", "en/en_docs-00000", "zh/zh_docs-00000", "mixed/mixed_web-00000"]
SHARED = Path(__file__).parents[3] / "shared" / "data"
DEFAULTS = TextFixerConfig(fix_character_width=False, uncurl_quotes=False)
CONFIGS = [
    {},
    {"normalization": None},
    {"normalization": "NFD"},
    {"normalization": "NFKC", "fix_latin_ligatures": False},
    {"normalization": "NFKD", "fix_character_width": True},
    {"fix_character_width": True, "uncurl_quotes": True},
    {"fix_encoding": False, "remove_control_chars": False},
    {"fix_encoding": False, "fix_c1_controls": False, "fix_line_breaks": False},
    {"unescape_html": True, "fix_line_breaks": False, "remove_terminal_escapes": False},
    {"unescape_html": False, "replace_lossy_sequences": False, "restore_byte_a0": False},
    {"decode_inconsistent_utf8": False, "remove_control_chars": False, "fix_surrogates": False},
    {"max_decode_length": 7},
]


def texts_of(batch: pa.RecordBatch) -> list[str | None]:
    return batch["text"].to_pylist()


def batch_of(*texts: str | None) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.large_string())})


def fixed(*texts: str | None, **config: Any) -> list[str | None]:
    return texts_of(clean.fix_text(batch_of(*texts), **config))


def by_ftfy(*texts: str | None, **config: Any) -> list[str | None]:
    return [None if text is None else ftfy.fix_text(text, DEFAULTS._replace(**config)) for text in texts]


# fix_text


def test_mojibake_entities_ligatures_and_controls_are_fixed() -> None:
    assert fixed("âœ” No problems", "P&EACUTE;REZ &amp; co") == ["✔ No problems", "PÉREZ & co"]
    assert fixed("ﬂuﬃest", "e\u0301", "a\r\nb\rc\u2028d") == ["fluffiest", "é", "a\nb\nc\nd"]
    assert fixed("\x1b[36mblue\x1b[0m \x07") == ["blue "]


def test_chinese_punctuation_and_curly_quotes_are_left_alone_by_default() -> None:
    text = "他说：“你好，世界！”（ＡＢＣ　１２３）‘’…"
    assert fixed(text) == [text]
    assert fixed("ＡＢＣ　１！", fix_character_width=True) == ["ABC 1!"]
    assert fixed("“a” ‘b’", uncurl_quotes=True) == ["\"a\" 'b'"]


def test_entities_are_left_alone_from_the_first_line_with_a_tag_on() -> None:
    assert fixed("&lt;\n&gt; &amp; < \n&amp;\x07\n&amp;") == ["<\n&gt; &amp; < \n&amp;\n&amp;"]
    assert fixed("&amp;\x00\n<b>\n&a\x00mp;") == ["&\n<b>\n&amp;"]
    assert fixed("<b>\n&amp;", unescape_html=True) == ["<b>\n&"]
    assert fixed("&amp;", unescape_html=False) == ["&amp;"]


def test_an_entity_that_a_removed_control_character_joins_is_unescaped() -> None:
    text = "a\n&a\x00mp; b"
    assert fixed(text) == by_ftfy(text) == ["a\n& b"]


def test_lines_longer_than_max_decode_length_are_cut_as_ftfy_cuts_them() -> None:
    texts = ["abcdef&amp;ghi\n&lt;", "中文中文中文中文&amp;", "âœ”" * 5, "\r" * 20, "a\u0301" * 9 + "\n"]
    for length in range(1, 20):
        assert fixed(*texts, max_decode_length=length) == by_ftfy(*texts, max_decode_length=length)


def test_null_stays_null_and_other_columns_keep_their_place() -> None:
    batch = pa.record_batch({"id": [1, 2, 3], "text": ["&amp;", None, "a"], "url": ["x", "y", "z"]})
    assert clean.fix_text(batch).to_pylist() == [
        {"id": 1, "text": "&", "url": "x"},
        {"id": 2, "text": None, "url": "y"},
        {"id": 3, "text": "a", "url": "z"},
    ]


def test_texts_that_need_nothing_are_not_copied() -> None:
    batch = batch_of("a “good” text\n", "好的。", "naïve café, Straße; Москва 42 °C", None)
    assert clean.fix_text(batch)["text"].buffers()[2].address == batch["text"].buffers()[2].address


PIECES = [
    *[
        "abc",
        "The",
        " ",
        "  ",
        ".",
        "?",
        "&",
        ";",
        "&amp;",
        "&lt;",
        "&GT;",
        "&#65;",
        "&#x2019;",
        "&#128;",
        "&nope;",
    ],
    *[
        "&ATILDE;",
        "<",
        "<b>",
        "\n",
        "\r\n",
        "\r",
        "\t",
        "\x0c",
        "\x00",
        "\x07",
        "\x1a",
        "\x1b[31m",
        "\x7f",
        "\x85",
    ],
    *[
        "\x9d",
        "\u2028",
        "中文",
        "日本語",
        "カタカナ",
        "ｶﾞ",
        "。",
        "，",
        "（",
        "）",
        "　",
        "：",
        "“",
        "”",
        "‘",
        "’",
        "…",
    ],
    *["—", "–", "·", "•", "«", "»", "é", "É", "e\u0301", "\u0323", "\u0301", "각", "가\u11a8", "ส้", "שׁ", "क़"],
    *["\u09be", "ﬁ", "ĳ", "Ǆ", "\ufeff", "\ufffd", "Ã©", "â€œ", "â€�", "Â", "Â ", "Ã ", "Ã", "à", "œ", "Œ"],
    *[
        "ã\x83\x84",
        "Ð\x9f",
        "Р°Р±",
        "ÑÐ",
        "вЂ",
        "ГўВЂВ™",
        "β€™",
        "ā€",
        "Î",
        "Ø³",
        "√∂",
        "‚Äô",
        "≈°",
        "×²",
        "°",
        "£",
    ],
    *["€", "™", "³", "¶", "│", "▒", "ö", "Ü", "ß", "Б", "я", "Ω", "λ", "ð\x9f\x98\x8a"],
]
documents = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(max_size=30)


@settings(max_examples=400, deadline=None)
@given(st.lists(documents | st.none(), max_size=4), st.sampled_from(CONFIGS))
def test_fix_text_equals_ftfy(texts: list[str | None], config: dict[str, Any]) -> None:
    assert fixed(*texts, **config) == by_ftfy(*texts, **config)


def screen_table(config: dict[str, Any]) -> Any:
    return fix._screen_table(tuple(DEFAULTS._replace(**config)[:-1]))


@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[4], CONFIGS[7]])
def test_characters_of_entry_0_are_left_alone_in_any_company(config: dict[str, Any]) -> None:
    settings = DEFAULTS._replace(**config)
    # Beyond the ideographs of plane 2 nothing but tags, variation selectors and private use is assigned.
    planes = [range(0xD800), range(0xE000, 0x22000), range(0x2F800, 0x2FB00), range(0xE0000, 0xE0200)]
    table = screen_table(config)
    left_alone = [chr(c) for c in itertools.chain(*planes) if table[c] == 0 and chr(c) not in "&<\n"]
    random.Random(1).shuffle(left_alone)
    for start in range(0, len(left_alone), 4096):
        text = "".join(left_alone[start : start + 4096])
        assert ftfy.fix_text(text, settings) == text


def test_every_character_of_entry_0_is_left_alone_in_a_line_of_its_own() -> None:
    table = screen_table({})
    text = "\n".join(chr(c) for c in [*range(0xD800), *range(0xE000, 0x10000)] if table[c] == 0)
    assert ftfy.fix_text(text, DEFAULTS) == text


def test_good_chinese_japanese_and_european_lines_are_never_flagged() -> None:
    lines = [
        "床前明月光，疑是地上霜。《静夜思》——李白……\n",
        "「吾輩は猫である。」　ｱｲｳ（全角）\n",
        "한국어 문장.\n",
    ]
    lines += ["Ça va très bien, “naïve” café – Straße…\n", "AT&T & co; &c\n"]
    assert naive_flagged_lines(lines, screen_table({}), "auto", 10**6) == []
    assert flagged_lines(lines, screen_table({}), "auto", 10**6) == []


def alternatives() -> Iterator[list[set[int] | None]]:
    """The alternatives of ftfy's BADNESS_RE as sets of code points one after the other; None: a gap."""
    from re import _constants as constants
    from re import _parser as parser

    def members(operator: Any, argument: Any) -> set[int]:
        if operator is constants.LITERAL:
            return {argument}
        if operator is constants.RANGE:
            return set(range(argument[0], argument[1] + 1))
        if operator is constants.CATEGORY:
            wanted = {constants.CATEGORY_SPACE: r"\s", constants.CATEGORY_WORD: r"\w"}[argument]
            return {c for c in range(0x10000) if re.match(wanted, chr(c))}
        if operator is constants.ANY:
            return set(range(0x10000))
        assert operator is constants.IN
        if argument[0][0] is constants.NEGATE:
            return set(range(0x10000)) - set().union(*(members(*part) for part in argument[1:]))
        return set().union(*(members(*part) for part in argument))

    ((branch, (_, found)),) = list(parser.parse(BADNESS_RE.pattern, BADNESS_RE.flags))
    assert branch is constants.BRANCH
    for alternative in found:
        yield [
            None if operator in (constants.MAX_REPEAT, constants.AT) else members(operator, argument)
            for operator, argument in alternative
        ]


def test_no_text_is_bad_to_ftfy_without_a_reason_for_the_screen() -> None:
    table = screen_table({})
    found = list(alternatives())
    assert len(found) == 37  # of ftfy 6.3.1; another number: look at what is new
    for alternative in found:
        kinds = [None if characters is None else set(table[list(characters)].tolist()) for characters in alternative]
        alone = any(kind and all(entry & screen.MOJIBAKE for entry in kind) for kind in kinds)
        together = any(
            left and right and all(are_suspect(a, b) for a in left for b in right)
            for left, right in itertools.pairwise(kinds)
        )
        assert (alone, together) != (False, False), alternative


Flagged = tuple[int, str, int]
ENTITIES = {"auto": screen.ENTITIES_AUTO, True: screen.ENTITIES_ALWAYS, False: screen.ENTITIES_NEVER}


def are_suspect(left: int, right: int) -> bool:
    neighbours = {left & screen.SUSPECT, right & screen.SUSPECT}
    return 0 not in neighbours and screen.SUSPECT in neighbours


def naive_flagged_lines(texts: list[str], table: Any, entities: str | bool, most: int) -> list[Flagged]:
    """(text, line, reasons) of every line that the screen must write down."""
    found = []
    for i, text in enumerate(texts):
        is_html = False
        for line in re.findall(r"[^\n]*\n|[^\n]+", text):
            is_html = is_html or "<" in line
            reasons = 0
            for before, character in itertools.pairwise(["a", *line]):
                entry = int(table[ord(character)])
                reasons |= entry & ~screen.SUSPECT
                if are_suspect(int(table[ord(before)]), entry):
                    reasons |= screen.MOJIBAKE
            unescapes = entities is True or (entities == "auto" and not is_html)
            if unescapes and re.search("&#?[0-9A-Za-z]{1,24};", line):
                reasons |= screen.ENTITY
            if len(line) > most:
                reasons |= screen.LONG
            if reasons:
                found.append((i, line, reasons))
    return found


def flagged_lines(texts: list[str], table: Any, entities: str | bool, most: int) -> list[Flagged]:
    view = buffers.texts(pa.array(texts, pa.large_string()))
    lines = np.empty((sum(map(len, texts)) + 1, 4), np.int64)
    arguments = view.offsets, view.data, table, ENTITIES[entities], most
    count = screen.flagged_lines(*arguments, lines)
    assert screen.flagged_lines(*arguments, lines[: count // 2]) == count
    return [(i, view.data[a:b].tobytes().decode(), reasons) for i, a, b, reasons in lines[:count].tolist()]


@settings(max_examples=300, deadline=None)
@given(st.lists(documents, min_size=1, max_size=4), st.sampled_from([*ENTITIES]), st.sampled_from([3, 100]))
def test_the_screen_finds_what_its_twin_finds(texts: list[str], entities: str | bool, most: int) -> None:
    table = screen_table({})
    assert flagged_lines(texts, table, entities, most) == naive_flagged_lines(texts, table, entities, most)


def test_a_tag_on_any_earlier_line_keeps_entities_as_they_are() -> None:
    for text in ("x\n<b>\n&amp;", "<\n\nx\n&amp;\n&lt;", "&gt;\n&gt; <\n&amp;", "\n\n&amp;\n<", "&amp;&lt;<"):
        table = screen_table({})
        assert flagged_lines([text], table, "auto", 99) == naive_flagged_lines([text], table, "auto", 99)


@pytest.mark.parametrize("length", [1, 24, 25])
def test_an_entity_has_1_to_24_letters_or_digits(length: int) -> None:
    table, name = screen_table({}), "a" * length
    for text in (f"&{name};", f"&#{'1' * length};", f"&{name}", f"&;{name};", f"x&&#{name};"):
        assert flagged_lines([text], table, "auto", 99) == naive_flagged_lines([text], table, "auto", 99)


@pytest.mark.parametrize("name", form.FORMS)
def test_every_code_point_that_a_form_moves_is_known(name: Any) -> None:
    known = set(form.moved_by(name))
    characters = (chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    moved = {ord(c) for c in characters if unicodedata.combining(c) or not unicodedata.is_normalized(name, c)}
    assert moved - known == set()


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="no shared data")
@pytest.mark.parametrize("shard", SHARDS)
def test_fix_text_equals_ftfy_on_real_documents(shard: str) -> None:
    texts = pq.read_table(SHARED / f"{shard}.parquet", columns=["text"])["text"].to_pylist()
    sample = texts if len(texts) < 300 else random.Random(4).sample(texts, 300)
    sample = [text for text in sample if text is None or len(text.encode()) < 100_000]
    assert fixed(*sample) == by_ftfy(*sample)
