"""The page measures of C4 against a slow twin, and its sentences as spaCy's sentencizer has them."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dedup.errors import RecipeError
from dedup.kernels import marks
from dedup.measure.c4 import FIELDS, c4
from dedup.segment import segment
from tests.real import SHARDS, documents

SHARED = Path(__file__).parents[3] / "shared" / "data"
COLUMNS = [field.name for field in FIELDS]
TERMINALS = set(map(chr, marks.sentence_terminals()))


def measured(*texts: str | None, **options: Any) -> list[dict[str, Any]]:
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    return c4(batch, **options).select(COLUMNS).to_pylist()


def cut(text: str) -> list[str]:
    row = segment(pa.record_batch({"text": pa.array([text], pa.large_string())}), units="punctuated")
    spans = zip(row["_punctuated_starts"][0].as_py(), row["_punctuated_ends"][0].as_py(), strict=True)
    return [text.encode()[start:end].decode() for start, end in spans]


def with_spaces(line: str) -> list[str]:
    """The words of a line, and white space other than one space as a word, as spaCy has it."""
    found, place = [], 0
    for word in cut(line):
        at = line.index(word, place)
        if line[place:at] not in ("", " "):
            found.append(line[place:at])
        found.append(word)
        place = at + len(word)
    return found


def naive_sentences(line: str) -> int:
    """The sentences of one line: the first word begins one, and the first that is no punctuation after a mark."""
    sentences, is_over = 0, False
    for number, word in enumerate(with_spaces(line.strip())):
        is_punctuation = all(unicodedata.category(character)[0] == "P" for character in word)
        if number == 0 or (is_over and not is_punctuation and word not in TERMINALS):
            sentences += 1
            is_over = False
        if word in TERMINALS:
            is_over = True
    return sentences


def naive_c4(text: str | None) -> dict[str, Any]:
    if text is None:
        return dict.fromkeys(COLUMNS)
    small = "".join(c.lower() if c.isascii() else c for c in text)
    return {
        "c4_sentence_count": sum(map(naive_sentences, text.splitlines())),
        "lorem_ipsum_count": small.count("lorem ipsum"),
        "curly_bracket_count": text.count("{"),
        "character_count": len(text),
        "long_line_count": sum(len(line) >= 200 for line in text.split("\n")),
    }


def sentences(text: str) -> int:
    return measured(text)[0]["c4_sentence_count"]


def test_every_measure_of_a_small_text() -> None:
    text = "Lorem Ipsum { dolor } sit. Amet!\n" + "é" * 200 + "\n" + "é" * 199 + "\nlorem ipsum {{"
    assert measured(text) == [
        {
            "c4_sentence_count": 5,
            "lorem_ipsum_count": 2,
            "curly_bracket_count": 3,
            "character_count": 448,
            "long_line_count": 1,
        }
    ]


def test_a_mark_ends_a_sentence_where_a_word_follows() -> None:
    assert sentences("He came. She went! Did they?") == 3
    assert sentences('He came." "She went.') == 2
    assert sentences("He came ... and went.") == 1
    assert sentences("?!?") == 1


def test_a_full_stop_that_is_a_part_of_a_word_ends_none() -> None:
    assert sentences("Mr. Smith of the U.S. paid 3.50 to J. Doe.") == 1


def test_every_line_with_a_word_has_a_sentence() -> None:
    assert sentences("one\n \n\ntwo\r\nthree\u2028four") == 4


def test_chinese_marks_end_sentences() -> None:
    assert sentences("今天天气很好。我们去公园！你去吗？") == 3


def test_words_of_a_column_are_found_in_the_text() -> None:
    text = "Mr. X\u00a0came. He  sat.\nSo there."
    words = [["Mr.", "X", "came", ".", "He", "sat", ".", "So", "there", "."], ["a"], None]
    batch = pa.record_batch({"text": pa.array([text, None, "a"], pa.large_string()), "words": words})
    assert c4(batch, words="words")["c4_sentence_count"].to_pylist() == [3, None, 0]
    assert c4(batch.slice(0, 1), words="words")["c4_sentence_count"].to_pylist() == [3]


def test_a_word_of_a_column_that_the_text_does_not_have_next_is_passed_over() -> None:
    batch = pa.record_batch({"text": ["One. Two."], "words": [["Zero", "One", "", ".", "Three", "Two", "."]]})
    assert c4(batch, words="words")["c4_sentence_count"].to_pylist() == [2]


def test_words_without_signs_are_refused() -> None:
    batch = pa.record_batch({"text": ["One. Two."]})
    with pytest.raises(RecipeError, match="c4: words is 'tokens'; a sentence ends in a word that is a mark"):
        c4(batch, words="tokens")
    with pytest.raises(RecipeError, match="long_line_length is 0"):
        c4(batch, long_line_length=0)


def test_sentence_marks_are_those_of_unicode() -> None:
    found = marks.sentence_terminals()
    assert (len(found), found) == (159, sorted(set(found)))
    names = [unicodedata.name(chr(c), "") for c in found]  # two are younger than Unicode 14
    assert names.count("") <= 2
    assert {"FULL STOP", "IDEOGRAPHIC FULL STOP", "DEVANAGARI DANDA", "ARABIC QUESTION MARK"} <= set(names)


@pytest.mark.parametrize("plane", range(4))
def test_flags_of_characters_are_those_of_python(plane: int) -> None:
    table = marks.flags()
    tests = (
        (marks.UPPER, str.isupper),
        (marks.DIGIT, str.isdigit),
        (marks.DECIMAL, str.isdecimal),
        (marks.WORD, lambda c: c.isalnum() or c == "_"),
        (marks.PUNCTUATION, lambda c: unicodedata.category(c)[0] == "P"),
        (marks.TERMINAL, TERMINALS.__contains__),
    )
    for first in range(plane << 16, plane + 1 << 16, 256):
        page = list(map(chr, range(first, first + 256)))
        for flag, holds in tests:
            assert ((table[first : first + 256] & flag) != 0).tolist() == list(map(holds, page))


PIECES = [
    *["Mr.", "U.S.", "e.g.", "don't", "word", "Word", "3.5", "10km", "http://a.b/c.", "end.Next", "J.", ":)", "x.y"],
    *[".", "..", "...", "…", "!", "?", '"', "'", "(", ")", "-", ",", ";", "。", "！", "」", "।", "؟", "~", "$", "«"],
    *["中文", "ไทย", "한국", "é", "e\u0301", "😀", "lorem ipsum", "LOREM IPSUM", "lorem  ipsum", "{", "}", "\u200b"],
    *[
        " ",
        " ",
        " ",
        "  ",
        "\t",
        "\u00a0",
        "\u3000",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "\x0b",
        "\x1c",
        "\x1f",
        "\x85",
        "\u2028",
    ],
    *["y" * 199, "z" * 200],
]
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=40)


@settings(max_examples=200, deadline=None)
@given(st.lists(texts | st.none(), max_size=4))
def test_every_measure_equals_its_twin(batch: list[str | None]) -> None:
    assert measured(*batch) == [naive_c4(text) for text in batch]


@settings(max_examples=100, deadline=None)
@given(st.lists(texts | st.none(), max_size=4))
def test_words_as_a_column_give_what_the_unit_gives(texts: list[str | None]) -> None:
    words = [None if text is None else cut(text) for text in texts]
    # What is no white space and in no word either, as a zero-width space, ends the list's way through the text.
    assume(all(text is None or "".join(text.split()) == "".join(cut(text)) for text in texts))
    columns = {"text": pa.array(texts, pa.large_string()), "words": pa.array(words, pa.list_(pa.string()))}
    rows = c4(pa.record_batch(columns), words="words").select(COLUMNS).to_pylist()
    assert rows == measured(*texts)


@pytest.mark.parametrize("size", range(50, 70))
def test_phrases_and_lines_may_lie_across_the_edge_of_a_block_of_64_bytes(size: int) -> None:
    before = "é" * 20 + "x" * (size - 40)
    texts = [before + "Lorem Ipsum", before + "lorem ipsum{\nlorem ipsum", before + "\n" + "y" * 200, "lorem ipsu"]
    assert measured(*texts) == [naive_c4(text) for text in texts]


@pytest.mark.shared
@pytest.mark.parametrize("shard", SHARDS)
def test_every_measure_of_real_documents_equals_its_twin(shard: str) -> None:
    sample = documents(shard, 40, 20_000)
    assert measured(*sample) == [naive_c4(text) for text in sample]
