"""The benchmark beside datatrove: what it calls equal, and its bars on a sample where a Python has datatrove."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import datatrove
from benchmarks.beside import AbsentError
from benchmarks.table import Row, render

EVERY = 20


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif("DATATROVE_PYTHON" not in os.environ, reason="DATATROVE_PYTHON names no Python with datatrove")
def test_figures_and_decisions_are_those_of_datatrove(shared: Path, tmp_path: Path) -> None:
    texts = pq.read_table(shared / "en" / "en_docs-00001.parquet", columns=["text"])["text"]
    some = texts.take(pa.array(range(0, len(texts), EVERY)))
    found = datatrove.compare(some, tmp_path)
    assert len(found) == 27
    assert [row for row in found if not row.is_met] == []


def test_without_a_python_for_datatrove_the_benchmark_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATATROVE_PYTHON", raising=False)
    with pytest.raises(AbsentError, match=r"needs datatrove beside: .* export DATATROVE_PYTHON="):
        datatrove.compare(pa.chunked_array([["a text"]]), tmp_path)


WORDS = ["a", "b", "c", "d", "ef"]


@pytest.mark.parametrize(
    ("more", "by_words", "joined"),
    [(["a", "b", "c", "de", "f"], 0, 6), (WORDS, 6, 6), (["a", "b", "c", "d", "e"], 0, 0)],
)
def test_joined_words_are_one_where_their_letters_are(more: list[str], by_words: int, joined: int) -> None:
    assert datatrove._repeated(WORDS + more, 5, tuple) == by_words
    assert datatrove._repeated(WORDS + more, 5, "".join) == joined


def test_joining_explains_a_figure_only_if_both_are_exact() -> None:
    column, text = "duplicate_5_gram_character_ratio", pa.scalar("abcdef abcdef")
    words = pa.scalar([*WORDS, "a", "b", "c", "de", "f"])

    def explains(ours: float, theirs: float, name: str = column) -> bool:
        return datatrove._joins(name, pa.scalar(ours), text, words, pa.scalar(theirs))

    assert explains(0.0, 6 / 13) is True
    assert explains(0.0, 5 / 13) is False
    assert explains(1 / 13, 6 / 13) is False
    assert explains(0.0, 6 / 13, "duplicate_line_character_ratio") is False


def test_a_figure_under_the_bar_that_it_should_reach_is_named() -> None:
    rows = [Row("some", 90, "%", 90, at_least=True), Row("others", 89.5, "%", 90, "few", at_least=True)]
    assert [row.is_met for row in rows] == [True, False]
    assert render("agreement", rows) == (
        "agreement  measured  unit   bar         beside\n"
        "----------------------------------------------\n"
        "some          90.00  %     ≥ 90  met\n"
        "others        89.50  %     ≥ 90  UNDER  few\n"
    )
