"""The automaton finds what Python's re finds, and what takes long to build is kept."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from typing import Any

import ftfy.badness
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.errors import DedupError
from dedup.kernels import badness, kept

SHARDS = ["en/en_docs-00000", "zh/zh_docs-00000", "mixed/mixed_web-00000"]


def is_found(text: str, built: badness.Automaton) -> bool:
    return bool(badness.is_found(np.array([ord(c) for c in text], np.uint32), built.classes, built.steps))


SMALL = [
    "a",
    "^a",
    "ab?c",
    "a{2,3}b",
    "(ab)+c",
    "(?:a|^b)c",
    "[^a]b",
    "a.c",
    r"\sb|\wc\W",
    "a*b^c|[a-b][bc]",
    "a(?:b|)c",
]


@pytest.mark.parametrize("pattern", SMALL)
def test_an_automaton_finds_what_re_finds(pattern: str) -> None:
    expression = re.compile(pattern, re.VERBOSE)
    built = badness.automaton(expression)
    for length in range(6):
        for characters in itertools.product("abc\n", repeat=length):
            text = "".join(characters)
            assert is_found(text, built) == (expression.search(text) is not None), text


@pytest.mark.parametrize("pattern", ["(?=a)b", "a$", r"\bb", "(a)\\1", "a*?b"])
def test_an_expression_with_more_than_that_is_refused(pattern: str) -> None:
    with pytest.raises(NotImplementedError):
        badness.automaton(re.compile(pattern))


def test_flags_that_change_the_meaning_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="flags"):
        badness.automaton(re.compile("a", re.IGNORECASE))


def test_a_badness_expression_that_is_not_understood_is_an_error(monkeypatch: Any) -> None:
    for unknown in ("(?=a)b", "xyz", "é...é"):
        monkeypatch.setattr(ftfy.badness, "BADNESS_RE", re.compile(unknown))
        with pytest.raises(DedupError, match=r"fix_text does not know ftfy 9\.9 \(.*\); install ftfy 6\.3\.1"):
            badness._build_badness("9.9")


# One character of each class, and some that are in none of ftfy's categories.
CLASSES = [
    [chr(c) for c in np.flatnonzero(badness.badness().classes == number)[:60] if not 0xD800 <= c < 0xE000]
    for number in np.unique(badness.badness().classes)
]
one_of_a_class = st.sampled_from(CLASSES).flatmap(st.sampled_from)
mojibake = st.tuples(
    st.text(max_size=12), st.sampled_from(["sloppy-windows-1252", "sloppy-windows-1251", "latin-1", "macroman"])
).map(lambda pair: pair[0].encode().decode(pair[1], "replace"))


@settings(max_examples=500, deadline=None)
@given(st.lists(one_of_a_class, max_size=6).map("".join) | mojibake | st.text(max_size=8))
def test_bad_text_is_what_ftfy_calls_bad(text: str) -> None:
    assert badness.is_bad(text) == ftfy.badness.is_bad(text)


def test_every_pair_of_classes_is_bad_or_not_as_ftfy_says() -> None:
    heads = [members[0] for members in CLASSES]
    for a, b in itertools.product(heads, heads):
        for text in (a + b, f"x{a}{b} ", f"\n{a}{b}\n"):
            assert badness.is_bad(text) == ftfy.badness.is_bad(text), text


def test_lone_surrogates_can_be_asked_about() -> None:
    assert badness.is_bad("a\ud800b") == ftfy.badness.is_bad("a\ud800b")


@pytest.mark.shared
@pytest.mark.parametrize("shard", SHARDS)
def test_real_lines_are_bad_where_ftfy_says_so(shard: str, shared: Path) -> None:
    texts = pq.read_table(shared / f"{shard}.parquet", columns=["text"])["text"].to_pylist()
    lines = [line for text in texts[::5] for line in text.splitlines(True) if not line.isascii()][:4000]
    assert [line for line in lines if badness.is_bad(line) != ftfy.badness.is_bad(line)] == []


def build_three() -> dict[str, Any]:
    return {"numbers": np.arange(3)}


def test_what_was_built_once_is_read_again(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    built = [kept.kept("three", __file__, build_three)["numbers"].tolist() for _ in range(2)]
    again = kept.kept("three", __file__, lambda: {"numbers": np.arange(9)})["numbers"].tolist()
    assert [*built, again] == [[0, 1, 2]] * 3
    assert kept.kept("three", kept.__file__, lambda: {"numbers": np.arange(1)})["numbers"].tolist() == [0]
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("content", [b"", b"torn", b"PK\x03\x04 torn"])
def test_a_torn_file_is_built_anew(content: bytes, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    kept.kept("three", __file__, build_three)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert kept.kept("three", __file__, build_three)["numbers"].tolist() == [0, 1, 2]
    with np.load(file) as stored:
        assert stored["numbers"].tolist() == [0, 1, 2]


def test_without_a_folder_it_is_built_in_memory(monkeypatch: Any) -> None:
    monkeypatch.setattr(kept, "cache_folder", lambda: None)
    assert kept.kept("three", __file__, build_three)["numbers"].tolist() == [0, 1, 2]
