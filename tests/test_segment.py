"""The units of words: white space as str.split has it, words and signs apart as spaCy's blank English has them."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import segment


def cut(*texts: str | None, unit: str) -> list[list[str]]:
    """The words of every text, as strings."""
    _, words = segment.words(pa.record_batch({"text": pa.array(texts, pa.large_string())}), unit)
    data = bytes(words.data)
    rows = []
    for i, base in enumerate(words.base):
        places = range(words.offsets[i], words.offsets[i + 1])
        rows.append([data[base + words.starts[j] : base + words.ends[j]].decode() for j in places])
    return rows


PIECES = st.sampled_from(
    ["a", "word", "é", "中文", " ", "\t", "\n", "\r\n", "\u3000", "\u00a0", "\u2028", "\x1c", "\x85", "."]
)
texts = st.one_of(st.none(), st.lists(PIECES, max_size=30).map("".join), st.text(max_size=30))


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, max_size=5))
def test_words_between_white_space_are_those_of_str_split(batch: list[str | None]) -> None:
    batch = [text and text.encode("utf-8", "replace").decode() for text in batch]
    assert cut(*batch, unit="whitespace") == [(text or "").split() for text in batch]


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, max_size=5))
def test_words_apart_from_signs_lose_nothing_but_white_space(batch: list[str | None]) -> None:
    batch = [text and text.encode("utf-8", "replace").decode() for text in batch]
    for text, words in zip(batch, cut(*batch, unit="punctuated"), strict=True):
        assert "".join("".join(words).split()) == "".join((text or "").split())


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, max_size=5))
def test_equal_words_and_only_they_have_equal_hashes(batch: list[str | None]) -> None:
    batch = [text and text.encode("utf-8", "replace").decode() for text in batch]
    for unit in ("whitespace", "punctuated"):
        _, words = segment.words(pa.record_batch({"text": pa.array(batch, pa.large_string())}), unit)
        strings = [word for row in cut(*batch, unit=unit) for word in row]
        hashes = words.hashes.tolist()
        assert len(set(zip(strings, hashes, strict=True))) == len(set(strings)) == len(set(hashes))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, world!", "Hello | , | world | !"),
        ("I don't think it's John's.", "I | do | n't | think | it | 's | John | 's | ."),
        ("We can't go; they'll stay.", "We | ca | n't | go | ; | they | 'll | stay | ."),
        ("a well-known fact", "a | well | - | known | fact"),
        ("e.g. the U.S. economy", "e.g. | the | U.S. | economy"),
        ("(see https://example.org/a?b=1)", "( | see | https://example.org/a?b=1 | )"),
        ("write to me@example.com.", "write | to | me@example.com | ."),
        ("10km at 3.14 for $5,000", "10 | km | at | 3.14 | for | $ | 5,000"),
        ("wait... what", "wait | ... | what"),
        ("今天 good", "今 | 天 | good"),
    ],
)
def test_words_and_signs_are_cut_as_spacy_cuts_them(text: str, words: str) -> None:
    assert cut(text, unit="punctuated") == [words.split(" | ")]
