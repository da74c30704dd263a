"""The Gopher quality measures against a slow twin, over texts rich in what they count."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.measure import gopher
from dedup.segment import segment
from tests.real import SHARDS, documents

SHARED = Path(__file__).parents[3] / "shared" / "data"
COLUMNS = [field.name for field in gopher.FIELDS]
STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}


LONG_AND_SHORT = [
    "a",
    "to",
    "the",
    "international",
    "internationsl",
    "internationally",
    "internatiönal",
    "exactly8",
    "été",
    "今",
    "今天",
]
LONG_AND_SHORT += ["oneandtwentytimes", "𝔘", "?", "—", "。"]


def measured(*texts: str | None) -> list[dict[str, Any]]:
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    return gopher.quality(batch, words="tokens").select(COLUMNS).to_pylist()


def naive_quality(text: str | None) -> dict[str, Any]:
    """The measures of one text, in plain Python over the spans that segment gives."""
    if text is None:
        return dict.fromkeys(COLUMNS)
    row = segment(pa.record_batch({"text": pa.array([text], pa.large_string())}))
    spans = zip(row["_token_starts"][0].as_py(), row["_token_ends"][0].as_py(), strict=True)
    words = [text.encode()[start:end].decode() for start, end in spans]
    lines = text.splitlines()
    bullets = sum(line.lstrip().startswith(("•", "-")) for line in lines)
    ellipses = sum(line.rstrip().endswith(("...", "…")) for line in lines)
    return {
        "word_count": len(words),
        "mean_word_length": sum(map(len, words)) / len(words) if words else None,
        "hash_word_ratio": text.count("#") / len(words) if words else None,
        "ellipsis_word_ratio": (text.count("...") + text.count("…")) / len(words) if words else None,
        "bullet_line_ratio": bullets / len(lines) if lines else None,
        "ellipsis_line_ratio": ellipses / len(lines) if lines else None,
        "alphabetic_word_ratio": sum(any(map(str.isalpha, w)) for w in words) / len(words) if words else None,
        "stop_word_count": len(STOP_WORDS.intersection(words)),
    }


def test_every_measure_of_a_small_text() -> None:
    text = "# The cat and the hat...\n - sat 3 times…  \n• of course"
    assert measured(text) == [
        {
            "word_count": 10,  # The cat and the hat sat 3 times of course
            "mean_word_length": 32 / 10,
            "hash_word_ratio": 1 / 10,
            "ellipsis_word_ratio": 2 / 10,
            "bullet_line_ratio": 2 / 3,
            "ellipsis_line_ratio": 2 / 3,
            "alphabetic_word_ratio": 9 / 10,
            "stop_word_count": 3,  # and, the, of; not The
        }
    ]


def test_a_chinese_character_is_a_word_of_length_one_with_a_letter() -> None:
    row = measured("今天天气很好……")[0]
    assert row == {
        "word_count": 6,
        "mean_word_length": 1.0,
        "hash_word_ratio": 0.0,
        "ellipsis_word_ratio": 2 / 6,
        "bullet_line_ratio": 0.0,
        "ellipsis_line_ratio": 1.0,
        "alphabetic_word_ratio": 1.0,
        "stop_word_count": 0,
    }


def test_a_ratio_of_no_words_or_no_lines_is_null() -> None:
    no_lines = dict.fromkeys(COLUMNS) | {"word_count": 0, "stop_word_count": 0}
    no_words = no_lines | {"bullet_line_ratio": 1.0, "ellipsis_line_ratio": 0.5}
    assert measured("", "- ...\n-") == [no_lines, no_words]


def test_every_measure_of_a_null_text_is_null() -> None:
    assert measured("a", None, "a")[1] == dict.fromkeys(COLUMNS)


def test_a_stop_word_is_counted_once_and_only_as_written() -> None:
    texts = ["the be to of and that have with", "to To TO to", "theory others thé", "with", "x the"]
    assert [row["stop_word_count"] for row in measured(*texts)] == [8, 1, 0, 1, 1]


@given(
    st.lists(st.lists(st.sampled_from(LONG_AND_SHORT), max_size=12), max_size=3),
    st.sets(st.sampled_from(LONG_AND_SHORT)),
)
@settings(max_examples=150, deadline=None)
def test_stop_words_of_any_length_and_script_are_told_apart(rows: list[list[str]], stop_words: set[str]) -> None:
    lists = pa.array(rows, pa.list_(pa.string()))
    texts = pa.array([" ".join(row) for row in rows], pa.string())
    batch = gopher.quality(pa.record_batch({"text": texts, "w": lists}), words="w", stop_words=sorted(stop_words))
    assert batch["stop_word_count"].to_pylist() == [len(stop_words & set(row)) for row in rows]
    lengths = [[len(word) for word in row if word.isalnum()] for row in rows]
    assert batch["mean_word_length"].to_pylist() == [sum(row) / len(row) if row else None for row in lengths]


def test_an_ellipsis_ends_a_line_only_where_white_space_alone_follows() -> None:
    texts = ["a... b\n", "a….\n", "a... \u3000\n", ".", "..", "...", "x\n..", "...\r\n", "a...\u2028b"]
    assert measured(*texts) == [naive_quality(text) for text in texts]  # and full stops do not join those of the next


def test_zero_rows_have_the_schema_of_many() -> None:
    many = pa.record_batch({"id": [1, 2], "text": pa.array(["a b", None], pa.large_string())})
    assert gopher.quality(many.slice(0, 0)).schema == gopher.quality(many).schema
    assert gopher.quality(many.slice(0, 0)).num_rows == 0


def test_columns_of_the_same_names_are_replaced_in_place() -> None:
    batch = pa.record_batch({"word_count": ["?"], "text": ["one two"]})
    measures = gopher.quality(batch, words="tokens")
    assert measures.schema.names[:2] == ["word_count", "text"]
    assert measures["word_count"].to_pylist() == [2]


def test_a_slice_is_measured_as_the_rows_it_holds() -> None:
    texts = ["one two", "- the\n...", None, "今天", "to be with #1"]
    batch = gopher.quality(pa.record_batch({"text": pa.array(texts, pa.large_string())}), words="tokens")
    again = gopher.quality(segment(batch).slice(1, 3), words="tokens")
    assert again.select(COLUMNS).to_pylist() == [naive_quality(text) for text in texts[1:4]]


@pytest.mark.parametrize("string", [pa.string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_other_string_types_give_the_same_measures(string: pa.DataType) -> None:
    text = "- to be…\n# with"
    if pa.types.is_dictionary(string):
        column = pa.array([text, None]).dictionary_encode()
    else:
        column = pa.array([text, None], string)
    rows = gopher.quality(pa.record_batch({"text": column}), words="tokens").select(COLUMNS).to_pylist()
    assert rows == [naive_quality(text), naive_quality(None)]


def test_letters_are_those_of_python() -> None:
    assert np.flatnonzero(gopher._letters()).tolist() == [c for c in range(0x110000) if chr(c).isalpha()]


SPACES_AND_CONTROLS = [chr(c) for c in range(0x3400) if unicodedata.category(chr(c)) in ("Zs", "Zl", "Zp", "Cc")]


@pytest.mark.parametrize("character", SPACES_AND_CONTROLS)
def test_white_space_and_line_breaks_are_those_of_python(character: str) -> None:
    text = f"a...{character}{character}- b{character}• c…{character}"
    assert measured(text) == [naive_quality(text)]


PIECES = [
    *["the", "The", "be", "to", "of", "and", "that", "have", "with", "12", "x1", "naïve", "straße", "Москва"],
    *[
        "今天",
        "ソフト",
        "สวัสดี",
        "한국어",
        "e\u0301",
        "\u0301",
        "١٢",
        "Ⅷ",
        "①",
        "Ⓐ",
        "㊊",
        "a\u00adb",
        "\u200d",
    ],
    *["#", ".", "..", "...", "....", "…", "-", "•", "‐", "–", "Â", "â€¢", "👩\u200d👩\u200d👧"],
    *[" ", "  ", "\t", "\u3000", "\u00a0", "\u200b", "\n", "\r\n", "\r", "\n\r", "\x0b", "\x0c", "\0"],
    *["\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028", "\u2029"],
]
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=40)


@settings(max_examples=400, deadline=None)
@given(st.lists(texts | st.none(), max_size=5))
def test_every_measure_equals_its_twin(batch: list[str | None]) -> None:
    assert measured(*batch) == [naive_quality(text) for text in batch]


@pytest.mark.shared
@pytest.mark.parametrize("shard", SHARDS)
def test_every_measure_of_real_documents_equals_its_twin(shard: str) -> None:
    sample = documents(shard, 200, 100_000)
    assert measured(*sample) == [naive_quality(text) for text in sample]
