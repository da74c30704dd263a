"""Bounds that are fitted anew to a share of documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import beside, refit

VALUES = np.array([0.4, np.nan, 0.1, 0.3, 0.2])


@pytest.mark.parametrize(("bound", "count", "fitted"), [("above", 1, 0.35), ("above", 3, 0.15), ("below", 1, 0.15)])
def test_a_bound_lies_between_the_last_that_goes_and_the_first_that_stays(
    bound: str, count: int, fitted: float
) -> None:
    assert refit.fit(VALUES, bound, count) == fitted
    assert np.count_nonzero(refit._gone(VALUES, bound, fitted)) == count


def test_a_bound_that_drops_nothing_is_not_fitted() -> None:
    assert refit.fit(VALUES, "above", 0) is None


def test_a_row_names_both_bounds_and_their_shares() -> None:
    published, ours = np.array([1.0, 5.0, 9.0, 2.0]), np.array([0.1, 0.1234, 0.9, 0.8])
    row = refit._row("word_count", "above", 4, published, "tokens", ours)
    assert (row.what, row.value, row.unit) == ("word_count, tokens", 50.0, "% dropped")
    assert row.beside == "> 0.462; > 4 of jieba's words drops 50.00 %; by both 33 % of by either"


def test_documents_are_judged_that_the_first_steps_of_the_recipe_keep() -> None:
    kept = "今天天气很好，我们去公园散步，看见了许多红色的花，孩子在湖边放风筝，老人坐着下棋喝茶。" * 6
    batch = pa.record_batch({"text": pa.array([kept, "今天天气很好。", "a walk in the park " * 20], pa.large_string())})
    assert refit._judged(batch)["text"].to_pylist() == [kept]


def test_without_a_python_for_jieba_the_benchmark_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JIEBA_PYTHON", raising=False)
    with pytest.raises(beside.AbsentError, match=r"needs jieba beside: .* export JIEBA_PYTHON="):
        beside.run("jieba", "JIEBA_PYTHON", Path("in.parquet"), Path("out.parquet"))
