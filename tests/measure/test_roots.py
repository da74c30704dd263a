"""The ROOTS measures against a slow twin, over texts that repeat themselves."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.errors import RecipeError
from dedup.kernels import repeat
from dedup.measure import lists
from dedup.measure import roots as module
from dedup.measure.roots import roots
from tests import naive
from tests.characters import ASSIGNED

COLUMNS = [field.name for field in module.FIELDS]
FLAGGED = ["天天", "Bad", "very bad"]


def grams(items: Sequence[Any], n: int) -> Counter[Any]:
    return Counter(tuple(items[i : i + n]) for i in range(len(items) - n + 1))


def part(found: float, whole: float) -> float | None:
    return found / whole if whole else None


def occurrences(words: list[str], entries: list[list[str]]) -> int:
    """Places where the words of an entry follow one another."""
    distinct = {tuple(entry) for entry in entries if entry}
    return sum(words[i : i + len(entry)] == list(entry) for i in range(len(words)) for entry in distinct)


def naive_roots(text: str | None, language: str, character_n: int, word_n: int) -> dict[str, Any]:
    """The measures of one text in plain Python, on the tokens of tests/naive.py."""
    if text is None:
        return dict.fromkeys(COLUMNS)
    characters = grams(text, character_n)
    most = min(math.isqrt(len(characters)), sum(count > 1 for count in characters.values()))
    top = sorted(characters.values(), reverse=True)[:most]
    words = naive.tokens(text)
    word_grams = grams(words, word_n)
    stops = occurrences(words, [naive.tokens(word) for word in lists.stop_words(language)])
    flagged = occurrences(words, [naive.tokens(word) for word in FLAGGED])
    return {
        "special_character_ratio": part(sum(unicodedata.category(c)[0] not in "LM" for c in text), len(text)),
        "character_repetition_ratio": part(sum(top), characters.total()),
        "word_repetition_ratio": part(sum(c for c in word_grams.values() if c > 1), word_grams.total()),
        "stop_word_ratio": part(min(stops, len(words)), len(words)),
        "flagged_word_ratio": part(min(flagged, len(words)), len(words)),
    }


def measured(*texts: str | None, **settings: Any) -> list[dict[str, Any]]:
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    found = roots(batch, **settings)
    return found.select([name for name in COLUMNS if name in found.schema.names]).to_pylist()


def test_every_measure_of_a_small_text() -> None:
    text = "The cat saw the cat, the bad cat."
    assert measured(text, character_n=4, word_n=2, flagged_words=["bad", "dog"]) == [
        {
            "special_character_ratio": 9 / 33,  # seven spaces, a comma and a full stop
            "character_repetition_ratio": 9 / 30,  # " cat" thrice and three others twice: the root of 24 is 4
            "word_repetition_ratio": 2 / 7,  # "the cat", whatever its capitals
            "stop_word_ratio": 3 / 8,
            "flagged_word_ratio": 1 / 8,
        }
    ]


def test_the_most_frequent_are_as_many_as_the_root_of_the_distinct_ones() -> None:
    # Of ab bc cd dx xa ab bc cd: five distinct bigrams, three of them twice; the root of five is two.
    assert measured("abcdxabcd", character_n=2)[0]["character_repetition_ratio"] == 4 / 8
    assert measured("aaaa", "abcd", "a", character_n=2) == [
        {"special_character_ratio": 0, "character_repetition_ratio": top, "word_repetition_ratio": None,
         "stop_word_ratio": stop}
        for top, stop in ((1, 0), (0, 0), (None, 1))
    ]  # fmt: skip


def test_the_n_of_character_grams_is_that_of_the_language() -> None:
    text = "今天天气很好，今天天气不好"
    assert measured(text, language="zh") == measured(text, language="zh", character_n=3)
    assert measured(text, language="en") == measured(text, language="en", character_n=10)


def test_a_stop_word_of_two_characters_counts_beside_the_characters() -> None:
    ratios = [row["stop_word_ratio"] for row in measured("我们好", "我 好", "好", "我们我们", language="zh")]
    assert ratios == [1, 1 / 2, 0, 1]  # 我, 们 and 我们 are three; cut at 1


def test_own_stop_words_and_none_at_all() -> None:
    ratios = [measured("a cat", stop_words=given)[0]["stop_word_ratio"] for given in (None, ["cat", "dog", "a"], [])]
    assert ratios == [1 / 2, 1, 0]


def test_flagged_words_come_from_a_file_and_have_no_column_without(tmp_path: Path) -> None:
    file = tmp_path / "flagged.txt"
    file.write_text("\ufeffBad\r\n\n very bad \n坏人\n", "utf-8")
    rows = measured("bad, VERY BAD, good", "他是坏人", flagged_words=str(file))
    assert [row["flagged_word_ratio"] for row in rows] == [3 / 4, 1 / 4]
    assert "flagged_word_ratio" not in measured("bad")[0]


def test_words_of_a_column_are_compared_in_the_usual_capitals() -> None:
    batch = pa.record_batch({"text": ["x"], "cut": [["The", "cat", "THE", "thE", "of", "bad", "apple"]]})
    found = roots(batch, words="cut", flagged_words=["bad apple"], word_n=1)
    assert found["stop_word_ratio"].to_pylist() == [3 / 7]
    assert found["flagged_word_ratio"].to_pylist() == [1 / 7]
    assert found["word_repetition_ratio"].to_pylist() == [0]


def test_what_is_undefined_is_null() -> None:
    nothing = dict.fromkeys(COLUMNS)
    assert measured("", None, "!", flagged_words=[]) == [nothing, nothing, nothing | {"special_character_ratio": 1}]


def test_zero_rows_have_the_schema_of_many_and_need_the_files(tmp_path: Path) -> None:
    many = pa.record_batch({"text": pa.array(["a", None], pa.large_string())})
    assert roots(many.slice(0, 0), flagged_words=[]).schema == roots(many, flagged_words=[]).schema
    with pytest.raises(RecipeError, match=r"flagged_words: there is no file 'no.txt'; it is a list of strings or a"):
        roots(many.slice(0, 0), flagged_words="no.txt")
    file = tmp_path / "gbk.txt"
    file.write_bytes("坏".encode("gbk"))
    assert roots(many.slice(0, 0), stop_words=str(file)).num_rows == 0
    with pytest.raises(RecipeError, match=r"stop_words: .*gbk.txt is not UTF-8 \(byte 0\)"):
        roots(many, stop_words=str(file))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"language": "tlh"}, "there are no stop words for 'tlh': give stop_words; known: ar, de, en"),
        ({"character_n": 0}, "character_n is 0; an n-gram has 1 to 1000"),
        ({"word_n": True}, "word_n is True; an n-gram has 1 to 1000"),
        ({"stop_words": [1]}, r"stop_words is \[1\]; it is a list of strings or a file of one a line"),
        ({"words": "wrds"}, "there is no column 'wrds'"),
    ],
)
def test_wrong_settings_are_refused_without_a_row(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        roots(pa.record_batch({"text": pa.array([], pa.string())}), **wrong)


def test_a_text_of_more_grams_than_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "ab" * (repeat.MOST // 2) + "xyz" * 10
    row = measured(text, character_n=2)[0]
    assert (
        row["character_repetition_ratio"] == (repeat.MOST // 2) / repeat.MOST
    )  # "ab" and "ba": the root of two is one
    assert row["special_character_ratio"] == 0


def test_every_shipped_list_is_of_distinct_lower_case_words() -> None:
    for language, words in lists._stop_words().items():
        assert [word for word in words if word != word.lower()] == [], language


@pytest.mark.parametrize("size", [*range(62, 67), *range(126, 131)])
def test_characters_are_counted_alike_before_and_behind_a_block_of_64_bytes(size: int) -> None:
    text = ("The cat [12] sat; a Zoo@{z} `" * 5)[:size]
    for character_n in (1, 3, 10):
        batch = [text, text + "今", "é" + text, text[:character_n], text[: character_n + 1]]
        expected = [naive_roots(one, "en", character_n, 5) for one in batch]
        assert measured(*batch, language="en", character_n=character_n, flagged_words=FLAGGED) == expected


PIECES = [
    *["the ", "cat ", "The cat ", "very ", "bad ", "Bad", "a ", "and the ", "x", "aaaa", "12 ", "naïve "],
    *["今天", "天气", "我们", "的", "了", "一个", "、", "。", "𠀀", "ソフト", "สวัสดี", "e\u0301", "\u200d", "😀", "\n"],
]
texts = (
    st.lists(st.sampled_from(PIECES), max_size=60).map("".join)
    | st.text("ab", max_size=60)
    | st.text(ASSIGNED, max_size=30)
)


@settings(max_examples=200, deadline=None)
@given(st.lists(texts | st.none(), max_size=4), st.sampled_from(["en", "zh"]), st.integers(1, 11), st.integers(1, 6))
def test_every_measure_equals_its_twin(batch: list[str | None], language: str, character_n: int, word_n: int) -> None:
    expected = [naive_roots(text, language, character_n, word_n) for text in batch]
    found = measured(*batch, language=language, character_n=character_n, word_n=word_n, flagged_words=FLAGGED)
    assert found == expected


@pytest.mark.shared
@pytest.mark.parametrize(
    ("shard", "language"), [("edge/valid/edge", "en"), ("en/en_docs-00001", "en"), ("zh/zh_docs-00000", "zh")]
)
def test_every_measure_of_real_documents_equals_its_twin(shard: str, language: str, shared: Path) -> None:
    column = pq.read_table(shared / f"{shard}.parquet", columns=["text"])["text"].to_pylist()
    sample = [text for text in column[:: max(1, len(column) // 50)] if text is None or len(text) < 20_000]
    n = 3 if language == "zh" else 10
    expected = [naive_roots(text, language, n, 5) for text in sample]
    assert measured(*sample, language=language, flagged_words=FLAGGED) == expected
