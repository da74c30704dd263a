"""The Gopher repetition measures against a slow twin, over texts rich in repeats."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.measure import gopher

COLUMNS = [field.name for field in gopher.REPETITION_FIELDS]


def measured(*rows: list[str] | str | None) -> list[dict[str, Any]]:
    """The measures of texts, or of lists of words that make a text joined by spaces."""
    texts = [" ".join(row) if isinstance(row, list) else row for row in rows]
    words = [row if isinstance(row, list) else (row or "").split() for row in rows]
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string()), "w": pa.array(words, pa.list_(pa.string()))})
    return gopher.repetition(batch, words="w").select(COLUMNS).to_pylist()


def naive_repetition(text: str | None, words: list[str]) -> dict[str, Any]:
    found = dict.fromkeys(COLUMNS)
    if not text:
        return found
    parts = {"line": re.split("\n+", text), "paragraph": re.split("\n{2,}", text.strip())}
    for name, units in parts.items():
        copies = [unit for i, unit in enumerate(units) if unit in units[:i]]
        found[f"duplicate_{name}_ratio"] = len(copies) / len(units)
        found[f"duplicate_{name}_character_ratio"] = sum(map(len, copies)) / len(text)
    for n in range(2, 5):
        if len(words) >= n:
            grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
            gram, count = grams.most_common(1)[0]
            found[f"top_{n}_gram_character_ratio"] = len(" ".join(gram)) * count / len(text)
    for n in range(5, 11):
        seen, total, i = set(), 0, 0
        while i + n <= len(words):
            gram = tuple(words[i : i + n])
            total += sum(map(len, gram)) if gram in seen else 0
            i += n if gram in seen else 1
            seen.add(gram)
        if words:
            found[f"duplicate_{n}_gram_character_ratio"] = total / len(text)
    return found


def test_a_line_and_a_paragraph_that_came_before_are_counted_with_their_characters() -> None:
    (row,) = measured("one\ntwo\n\none\ntwo\n\nthréé")
    assert [row[name] for name in COLUMNS[:4]] == [2 / 5, 1 / 3, 6 / 23, 7 / 23]


def test_white_space_around_the_text_is_no_part_of_a_paragraph_but_of_a_line() -> None:
    (row,) = measured(" a\n\na\n\na \n")
    assert [row[name] for name in COLUMNS[:4]] == [0.0, 2 / 3, 0.0, 2 / 10]


def test_empty_lines_count_before_the_first_and_after_the_last_line_feed() -> None:
    (row,) = measured("\nabc\n\n")
    assert row["duplicate_line_ratio"] == 1 / 3


def test_lines_of_one_size_that_differ_between_their_ends_and_their_middle_are_not_copies() -> None:
    lines = ["x" * 10 + sign + "x" * 40 for sign in "abab"]
    (row,) = measured("\n\n".join(lines))
    assert [row[name] for name in COLUMNS[:4]] == [2 / 4, 2 / 4, 102 / 210, 102 / 210]


def test_the_most_frequent_pair_counts_each_time_with_the_space_between() -> None:
    (row,) = measured("a b c a b d")
    assert row["top_2_gram_character_ratio"] == 2 * 3 / 11
    assert row["top_3_gram_character_ratio"] == 5 / 11  # none repeats: the first one


def test_a_pair_is_another_than_its_reverse() -> None:
    (row,) = measured("long word x word long y")
    assert row["top_2_gram_character_ratio"] == len("long word") / 23


def test_a_repeated_n_gram_is_passed_with_all_its_words() -> None:
    (row,) = measured("a b c d e " * 3)
    assert row["duplicate_5_gram_character_ratio"] == 10 / 30
    assert row["duplicate_10_gram_character_ratio"] == 10 / 30  # the second one begins within the first
    assert row["duplicate_9_gram_character_ratio"] == 9 / 30


def test_a_null_text_and_an_empty_one_have_no_measures_and_one_without_words_no_n_grams() -> None:
    nothing = dict.fromkeys(COLUMNS)
    rows = measured(None, "", " \n ", "one")
    assert rows[:2] == [nothing, nothing]
    assert rows[2] == nothing | dict(zip(COLUMNS[:4], [1 / 2, 0.0, 1 / 3, 0.0], strict=True))
    assert rows[3]["top_2_gram_character_ratio"] is None


@pytest.mark.parametrize("words", ["tokens", "whitespace", "punctuated"])
def test_every_unit_of_words_is_measured(words: str) -> None:
    batch = pa.record_batch({"text": ["one two one two", None]})
    rows = gopher.repetition(batch, words=words).select(COLUMNS).to_pylist()
    assert rows == [naive_repetition("one two one two", ["one", "two", "one", "two"]), dict.fromkeys(COLUMNS)]


PIECES = ["a", "b", "é", "word", "a b c d e f", " ", " ", "\n", "\n\n", "\n \n", "\r\n", "\u3000", "今天", "a."]
PIECES += ["x" * 9]
texts = st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.none()


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, max_size=4))
def test_every_measure_of_texts_equals_its_twin(batch: list[str | None]) -> None:
    assert measured(*batch) == [naive_repetition(text, (text or "").split()) for text in batch]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 3))
def test_every_measure_of_few_words_often_repeated_equals_its_twin(words: list[str], times: int) -> None:
    assert measured(words * times) == [naive_repetition(" ".join(words * times), words * times)]
