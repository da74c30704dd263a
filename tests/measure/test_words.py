"""Hits of word lists against a slow twin that looks for every word at every place."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.errors import RecipeError
from dedup.measure import words as module
from dedup.measure.words import words
from tests import naive
from tests.characters import ASSIGNED


def folded(text: str) -> list[tuple[str, str]]:
    """(kind, folded character) as the search reads them."""
    found: list[tuple[str, str]] = []
    for character in text:
        fold = naive._folded(character)
        kind = naive._kind(fold)
        if character.isspace():
            kind, fold = "space", " "
        if kind != "skipped" and not (kind == "space" and found and found[-1][0] == "space"):
            found.append((kind, fold))
    return found


def naive_hits(text: str, entries: list[str], bounded: bool = True) -> tuple[int, int]:
    """(hits, distinct words) of one list."""
    characters = folded(text)
    parts: list[str] = []  # the kind of the token that each character is part of
    for kind, _ in characters:
        parts.append(kind if kind != "mark" else parts[-1] if parts else "separator")
    listed = {"".join(fold for _, fold in folded(entry)).strip() for entry in entries} - {""}
    places = []
    for entry in listed:
        for start in range(len(characters) - len(entry) + 1):
            end = start + len(entry)
            if "".join(fold for _, fold in characters[start:end]) != entry:
                continue
            kind_after = characters[end][0] if end < len(characters) else "separator"
            joined = start > 0 and characters[start][0] == "letter" and parts[start - 1] == "letter"
            joined = joined or kind_after == "mark" or (kind_after == "letter" and parts[end - 1] == "letter")
            if not (joined and bounded):
                places.append(entry)
    return len(places), len(set(places))


def hits(text: str | None, *entries: str) -> tuple[int, int]:
    batch = words(pa.record_batch({"text": pa.array([text], pa.large_string())}), lists={"my": list(entries)})
    return batch["my_count"][0].as_py(), batch["my_distinct_count"][0].as_py()


def test_a_word_of_a_spaced_script_is_a_whole_word() -> None:
    assert hits("Essex sexes, SEX; (sex) sex_ sex2 Sex", "sex") == (4, 1)
    assert hits("ЛЁД льда лёд ледокол", "лёд") == (2, 1)
    assert hits("class ass-like assé é-ass", "ass") == (2, 1)


def test_a_word_of_an_unspaced_script_is_anywhere() -> None:
    assert hits("这是成人电影，不成人", "成人", "电影") == (3, 2)
    assert hits("セックスって", "セックス") == (1, 1)
    assert hits("abc成人def", "成人") == (1, 1)


def test_a_letter_with_another_mark_is_another() -> None:
    assert hits("กา กาง ก็", "กา", "ก") == (4, 2)  # ก stands twice before a vowel that is no mark; not before the mark
    assert hits("e\u0301", "e") == (0, 0)
    assert hits("é", "e\u0301") == (1, 1)  # a list is composed


def test_words_that_overlap_all_count() -> None:
    assert hits("成人电影", "成人", "成人电影", "人电") == (3, 3)
    assert hits("she said", "she", "she said", "said", "he") == (3, 3)


def test_capitals_width_hyphens_and_white_space_make_no_difference() -> None:
    assert hits("ＢＡＤ b\u00adad B\u200bAD", "Bad") == (3, 1)
    assert hits("Very \n\t bad; very\u3000BAD very-bad", "very  bad") == (2, 1)
    assert hits("bad", "bad", "BAD", " ｂａｄ ") == (1, 1)


def test_lists_are_counted_apart_and_may_share_words() -> None:
    batch = pa.record_batch({"text": ["one two two three", None, "", "!"]})
    found = words(batch, lists={"a": ["one", "two"], "b": ["two"], "none": []})
    assert found.drop_columns(["text", "_tokens", "_token_starts", "_token_ends"]).to_pydict() == {
        "a_count": [3, None, 0, 0],
        "a_distinct_count": [2, None, 0, 0],
        "a_ratio": [3 / 4, None, None, None],
        "b_count": [2, None, 0, 0],
        "b_distinct_count": [1, None, 0, 0],
        "b_ratio": [2 / 4, None, None, None],
        "none_count": [0, None, 0, 0],
        "none_distinct_count": [0, None, 0, 0],
        "none_ratio": [0, None, None, None],
    }


def test_the_ratio_counts_words_of_the_unit_that_is_asked_for() -> None:
    batch = pa.record_batch({"text": ["a-b c"], "cut": [["a-b", "c", "d", "e"]]})
    assert words(batch, lists={"my": ["a"]})["my_ratio"].to_pylist() == [1 / 3]
    assert words(batch, lists={"my": ["a"]}, words="cut")["my_ratio"].to_pylist() == [1 / 4]


def test_a_file_is_read_anew_once_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    batch = pa.record_batch({"text": ["good and bad 坏"]})
    for content, expected in (("\ufeffbad\r\n\n坏\n", 2), ("good", 1)):
        file.write_text(content, "utf-8")
        assert words(batch, lists={"my": str(file)})["my_count"].to_pylist() == [expected]


def test_zero_rows_have_the_schema_of_many_and_need_the_files() -> None:
    many = pa.record_batch({"text": pa.array(["a", None], pa.large_string())})
    assert words(many.slice(0, 0), lists={"my": ["a"]}).schema == words(many, lists={"my": ["a"]}).schema
    with pytest.raises(RecipeError, match=r"lists.my: there is no file 'no.txt'; it is a list of strings or a file"):
        words(many.slice(0, 0), lists={"my": "no.txt"})


@pytest.mark.parametrize("wrong", [{}, ["a"], "a.txt"])
def test_lists_have_names(wrong: Any) -> None:
    with pytest.raises(RecipeError, match=r"it is a table of lists by name, such as \{ flagged = 'flagged.txt' \}"):
        words(pa.record_batch({"text": ["a"]}), lists=wrong)


PIECES = [
    *["sex", "Sex", "es", "ex", "a", "ab", "abab", "é", "e", "\u0301", "1", "лёд", "ＡＢ", "ß", "-", "_", ".", "‑"],
    *["成人", "成", "人", "电影", "成人电影", "の", "ก", "า", "็", "\u200b", "\u00ad", "😀", "한국"],
    *[" ", "  ", "\n", "\u3000", "\t", "\u00a0", "longestword", "long"],
]
texts = (
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
    | st.text("ab ", max_size=40)
    | st.text(ASSIGNED, max_size=20)
)
entry = st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join) | st.text("ab ", max_size=5)


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, max_size=4), st.lists(st.tuples(st.lists(entry, max_size=8), st.booleans()), max_size=3))
def test_hits_equal_the_twin(batch: list[str], lists: list[tuple[list[str], bool]]) -> None:
    composed = [([naive_composed(word) for word in words], bounded) for words, bounded in lists]
    found = module.count_hits(
        pa.array(batch, pa.large_string()), tuple(tuple(words) for words, _ in lists), tuple(b for _, b in lists)
    )
    expected = [[list(naive_hits(text, *given)) for given in composed] for text in batch]
    assert found.tolist() == expected


def naive_composed(word: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFC", word)


def test_time_does_not_depend_on_how_words_are_nested() -> None:
    # Looking anew from every place would take 100,000 times 2,000 steps, ten seconds and more even when compiled.
    batch = pa.record_batch({"text": ["a" * 100_000 + " " + "一" * 100_000]})
    lists = {"my": ["a" * 2_000 + "b", "一" * 2_000 + "二"]}
    words(batch.slice(0, 1), lists={"my": ["x"]})
    start = time.process_time()
    assert words(batch, lists=lists)["my_count"].to_pylist() == [0]
    assert time.process_time() - start < 1


@pytest.mark.shared
@pytest.mark.parametrize("shard", ["edge/valid/edge", "en/en_docs-00001", "zh/zh_docs-00000", "mixed/mixed_web-00000"])
def test_hits_in_real_documents_equal_the_twin(shard: str, shared: Path) -> None:
    column = pq.read_table(shared / f"{shard}.parquet", columns=["text"])["text"].to_pylist()
    sample = [text for text in column[:: max(1, len(column) // 40)] if text is not None and len(text) < 5_000]
    entries = ["the", "of the", "license", "中国", "的", "人民", "法律", "a", "в", "ที่", "software", "as is", "data."]
    found = module.count_hits(pa.array(sample, pa.large_string()), (tuple(entries),), (True,))
    assert found[:, 0].tolist() == [list(naive_hits(text, entries)) for text in sample]
