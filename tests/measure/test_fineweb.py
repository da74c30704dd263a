"""The FineWeb measures against a slow twin, over lines that repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import drop
from dedup.errors import RecipeError
from dedup.kernels import marks
from dedup.measure.fineweb import FIELDS, FINEWEB2, fineweb
from tests.real import SHARDS, documents

SHARED = Path(__file__).parents[3] / "shared" / "data"
COLUMNS = [field.name for field in FIELDS]
TERMINALS = tuple(map(chr, marks.sentence_terminals()))


def measured(*texts: str | None, **options: Any) -> list[dict[str, Any]]:
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    return fineweb(batch, **{"words": "whitespace", **options}).select(COLUMNS).to_pylist()


def naive_fineweb(text: str | None, short: int = 30) -> dict[str, Any]:
    """The measures of one text, its words being what str.split gives."""
    if text is None:
        return dict.fromkeys(COLUMNS)
    lines = [line for line in text.split("\n") if line.strip()]
    repeated = sum(len(line) for number, line in enumerate(lines) if line in lines[:number])
    characters, words = len(text.replace("\n", "")), len(text.split())
    return {
        "line_punctuation_ratio": sum(line.endswith(TERMINALS) for line in lines) / len(lines) if lines else None,
        "short_line_ratio": sum(len(line) <= short for line in lines) / len(lines) if lines else None,
        "duplicate_line_character_share": repeated / characters if characters else None,
        "newline_word_ratio": text.count("\n") / words if words else None,
    }


def test_every_measure_of_a_small_text() -> None:
    text = "One two.\n\nOne two.\n今天很好。\n" + "é" * 30 + "\n" + "é" * 31 + " \n"
    assert measured(text) == [
        {
            "line_punctuation_ratio": 3 / 5,
            "short_line_ratio": 4 / 5,
            "duplicate_line_character_share": 8 / 83,
            "newline_word_ratio": 6 / 7,
        }
    ]


def test_a_line_that_ends_in_white_space_or_a_quotation_mark_ends_in_no_mark() -> None:
    assert [row["line_punctuation_ratio"] for row in measured("a. ", 'a."', "a.", "a。", "a।")] == [0, 0, 1, 1, 1]


def test_a_ratio_of_nothing_is_null() -> None:
    nothing = dict.fromkeys(COLUMNS)
    assert measured("", "\n\n", None) == [nothing, nothing, nothing]
    assert measured(" \n ")[0] == nothing | {"duplicate_line_character_share": 0.0}


def test_lines_repeat_only_as_they_stand() -> None:
    assert measured("abc\nabc \nABC\nabc")[0]["duplicate_line_character_share"] == 3 / 13


def test_words_are_counted_in_the_unit_that_is_asked_for() -> None:
    text = "don't go.\nnow"
    assert measured(text, words="whitespace")[0]["newline_word_ratio"] == 1 / 3
    assert measured(text, words="punctuated")[0]["newline_word_ratio"] == 1 / 5
    batch = pa.record_batch({"text": [text], "words": [["a", "b"]]})
    assert fineweb(batch, words="words")["newline_word_ratio"].to_pylist() == [1 / 2]


def test_a_short_line_length_out_of_range_is_refused() -> None:
    with pytest.raises(RecipeError, match="short_line_length is -1; it is a number of characters from 0 up"):
        measured("a", short_line_length=-1)


def test_bounds_of_fineweb_2_are_rules_as_drop_takes_them() -> None:
    assert len(FINEWEB2) == 11
    assert {len(rules) for rules in FINEWEB2.values()} == {16}
    assert FINEWEB2["cmn_Hani"]["mean_word_length"] == {"below": 1, "above": 5}
    assert FINEWEB2["arb_Arab"]["newline_word_ratio"] == {"above": 0.189}
    rules = {name: FINEWEB2["jpn_Jpan"][name] for name in COLUMNS if name in FINEWEB2["jpn_Jpan"]}
    batch = fineweb(pa.record_batch({"text": ["今日は\n良い\n天気", "今日は良い天気。" * 9]}), words="tokens")
    assert drop.when(batch, **rules)["drop_reason"].to_pylist() == ["line_punctuation_ratio < 0.096", None]


PIECES = [
    *["a", "word", "don't", "é", "中文", "😀", "\u0301", "x" * 29, "y" * 30, "一" * 30, "一" * 31, "z" * 121],
    *[
        ".",
        "!",
        "?",
        "...",
        "…",
        '"',
        "。",
        "।",
        "？",
        "\N{MODI DANDA}",
        " ",
        " ",
        "\t",
        "\u3000",
        "\u200b",
        "\r",
        "\x85",
    ],
    *["\n", "\n", "\n", "\n\n", "same\n", "same\n", "same.\n", "\r\n", "\u2028"],
]
texts = st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.text(max_size=40)


@settings(max_examples=300, deadline=None)
@given(st.lists(texts | st.none(), max_size=5), st.sampled_from([0, 4, 30]))
def test_every_measure_equals_its_twin(batch: list[str | None], short: int) -> None:
    assert measured(*batch, short_line_length=short) == [naive_fineweb(text, short) for text in batch]


@pytest.mark.parametrize("size", range(60, 68))
def test_lines_and_texts_may_end_at_the_edge_of_a_block_of_64_bytes(size: int) -> None:
    line = "x" * (size - 1)
    texts = [line + ".", line + ".\n", f"{line}.\n{line}.\n{line}。", "é" * size + ".\n" + "é" * size + "."]
    assert measured(*texts, short_line_length=63) == [naive_fineweb(text, 63) for text in texts]


@pytest.mark.shared
@pytest.mark.parametrize("shard", SHARDS)
def test_every_measure_of_real_documents_equals_its_twin(shard: str) -> None:
    sample = documents(shard, 200, 50_000)
    assert measured(*sample) == [naive_fineweb(text) for text in sample]
