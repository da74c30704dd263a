"""The Chinese measures against a slow twin, over texts rich in what they count."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.kernels import category
from dedup.measure import chinese as module
from dedup.measure.chinese import chinese
from tests.real import SHARDS, documents

COLUMNS = [field.name for field in module.FIELDS]
SENTENCE_END = re.compile(r"[。．｡！？；!?;…‼⁇⁈⁉]|\.(?=\s|\Z)")


def is_han(character: str) -> bool:
    c = ord(character)
    extensions = 0x3400 <= c <= 0x4DBF or 0xF900 <= c <= 0xFAFF or 0x20000 <= c <= 0x3FFFF or 0x3005 <= c <= 0x3007
    return 0x4E00 <= c <= 0x9FFF or extensions


def part(found: float, whole: float) -> float | None:
    return found / whole if whole else None


def naive_chinese(text: str | None) -> dict[str, Any]:
    """The measures of one text in plain Python."""
    if text is None:
        return dict.fromkeys(COLUMNS)
    lines = text.splitlines()
    ends = [line.rstrip().lower() for line in lines]
    read_more = sum(end.endswith(("readmore", "read more", "展开", "更多", "。。。")) for end in ends)
    sentences = [re.sub(r"\s", "", piece) for line in lines for piece in SENTENCE_END.split(line)]
    lengths = [len("".join(piece.split())) for piece in sentences if piece.split()]
    often = Counter(text).values()
    bracketed = sum(len(title) for line in lines for title in re.findall("【.*?】", line, re.DOTALL))
    return {
        "character_count": len(text),
        "han_count": sum(map(is_han, text)),
        "han_ratio": part(sum(map(is_han, text)), sum(not c.isspace() for c in text)),
        "punctuation_share": part(sum(unicodedata.category(c)[0] == "P" for c in text), len(text)),
        "digit_share": part(sum(map(str.isdecimal, text)), len(text)),
        "unique_character_ratio": part(len(often), len(text)),
        "character_entropy": pytest.approx(-sum(c / len(text) * math.log(c / len(text)) for c in often), abs=1e-9)
        if text
        else None,
        "bracketed_title_share": part(bracketed, len(text)),
        "read_more_line_ratio": part(read_more, len(lines)),
        "short_sentence_ratio": part(sum(length <= 5 for length in lengths), len(lengths)),
    }


def measured(*texts: str | None) -> list[dict[str, Any]]:
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    return chinese(batch).select(COLUMNS).to_pylist()


def test_every_measure_of_a_small_text() -> None:
    text = "【天气】今天 25 度。很好！\n点击这里查看更多 "
    assert measured(text) == [
        {
            "character_count": 25,
            "han_count": 15,
            "han_ratio": 15 / 21,
            "punctuation_share": 4 / 25,
            "digit_share": 2 / 25,
            "unique_character_ratio": 22 / 25,
            "character_entropy": pytest.approx(math.log(26) - (3 * math.log(3) + 2 * math.log(2)) / 25, abs=0.2),
            "bracketed_title_share": 4 / 25,
            "read_more_line_ratio": 1 / 2,
            "short_sentence_ratio": 1 / 3,
        }
    ]
    assert measured(text) == [naive_chinese(text)]


def test_characters_beyond_the_first_block_are_han() -> None:
    assert [row["han_count"] for row in measured("鿿㐀豈𠀀𰀀々〇", "かなカナ", "한글", "abc 123")] == [7, 0, 0, 0]


def test_full_width_digits_and_punctuation_are_counted_as_the_others_are() -> None:
    first, second = measured("１２，好！", "12,好!")
    assert (first["digit_share"], first["punctuation_share"]) == (0.4, 0.4)
    assert (second["digit_share"], second["punctuation_share"]) == (0.4, 0.4)


def test_one_character_repeated_has_no_entropy_and_two_have_that_of_a_coin() -> None:
    entropies = [row["character_entropy"] for row in measured("好好好好", "好坏坏好", "")]
    assert entropies == [pytest.approx(0, abs=1e-12), pytest.approx(math.log(2)), None]


def test_a_title_ends_on_its_line_and_begins_at_the_first_bracket() -> None:
    titles = ["【一", "【一】二【三】", "【一\n】二", "【【一】】二", "】一【"]
    assert [row["bracketed_title_share"] for row in measured(*titles)] == [0, 6 / 7, 0, 4 / 6, 0]


@pytest.mark.parametrize("end", ["readmore", "Read More", "READ MORE\u3000", "展开", "更多\t", "。。。", "a。。。。"])
def test_a_line_that_asks_to_read_more(end: str) -> None:
    assert measured(f"一行\n{end}\n")[0]["read_more_line_ratio"] == 0.5


@pytest.mark.parametrize("end", ["read  more", "eadmore", "更多。", "。。", "多", "read more…", "", "开展"])
def test_a_line_that_does_not_ask_to_read_more(end: str) -> None:
    assert measured(f"一行\n{end}\n")[0]["read_more_line_ratio"] == 0


def test_a_decimal_point_ends_no_sentence_and_a_full_stop_does() -> None:
    texts = ["3.1415926", "Yes. No.", "一二三四五。一二三四五六。", "。！\n", "a.b. c"]
    assert [row["short_sentence_ratio"] for row in measured(*texts)] == [0, 1, 0.5, None, 1]


def test_a_measure_of_nothing_is_null_and_every_measure_of_a_null_text_too() -> None:
    nothing = dict.fromkeys(COLUMNS) | {"character_count": 0, "han_count": 0}
    assert measured("", None) == [nothing, dict.fromkeys(COLUMNS)]
    assert measured("\n ")[0]["han_ratio"] is None


def test_zero_rows_have_the_schema_of_many() -> None:
    many = pa.record_batch({"id": [1, 2], "text": pa.array(["一", None], pa.large_string())})
    assert chinese(many.slice(0, 0)).schema == chinese(many).schema


@pytest.mark.slow
def test_the_flags_of_every_code_point_are_those_of_python() -> None:
    flags = category.flags()
    characters = [chr(c) for c in range(0x110000)]
    categories = [unicodedata.category(c) for c in characters]
    for flag, expected in {
        category.SPACE: list(map(str.isspace, characters)),
        category.LETTER: list(map(str.isalpha, characters)),
        category.DIGIT: list(map(str.isdecimal, characters)),
        category.NUMBER: [name[0] == "N" for name in categories],
        category.PUNCTUATION: [name[0] == "P" for name in categories],
        category.SPECIAL: [name[0] not in "LM" for name in categories],
        category.HAN: list(map(is_han, characters)),
        category.BREAK: [len(f"a{c}b".splitlines()) == 2 for c in characters],
        category.END: [bool(re.fullmatch(SENTENCE_END, c)) and c != "." for c in characters],
    }.items():
        assert np.array_equal((flags & flag) != 0, expected), flag


PIECES = [
    *[
        "今天",
        "天气",
        "很好",
        "的",
        "鿿",
        "𠀀",
        "々",
        "豈",
        "かな",
        "한글",
        "ab",
        "é",
        "e\u0301",
        "１２",
        "12",
        "٣",
        "😀",
    ],
    *["。", "。。。", "！", "？", "；", "…", ".", "..", ". ", "3.14", ",", "，", "、", "$", "~", "《", "》", "‼"],
    *["【", "】", "【题】", "展开", "更多", "readmore", "Read more", "read  more", "ead more"],
    *[" ", "\u3000", "\u00a0", "\t", "\n", "\r\n", "\r", "\n\r", "\x0b", "\x1c", "\x1f", "\x85", "\u2028", "\u2029"],
]
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=40)


@settings(max_examples=200, deadline=None)
@given(st.lists(texts | st.none(), max_size=5))
def test_every_measure_equals_its_twin(batch: list[str | None]) -> None:
    assert measured(*batch) == [naive_chinese(text) for text in batch]


@pytest.mark.parametrize("before", [0, *range(55, 70)])
@pytest.mark.parametrize(
    "piece", ["【一】。\r\n", "二. 三.\u3000四", "更多\u2029", "x" * 90 + ". 五…!", "read more\r\n"]
)
def test_every_piece_may_lie_across_the_edge_of_a_block_of_64_bytes(before: int, piece: str) -> None:
    texts = ["a" * before + piece, "a" * before + piece * 3 + "b." * 9, "b"]
    assert measured(*texts) == [naive_chinese(text) for text in texts]


@pytest.mark.shared
@pytest.mark.parametrize("shard", SHARDS)
def test_every_measure_of_real_documents_equals_its_twin(shard: str) -> None:
    sample = documents(shard, 100, 20_000)
    assert measured(*sample) == [naive_chinese(text) for text in sample]
