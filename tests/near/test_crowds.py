"""What crowded buckets take of memory: edges are many times as many as documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import families, memory, skew

pytestmark = pytest.mark.slow


def test_near_copies_of_one_document_are_decided_without_holding_their_edges(tmp_path: Path) -> None:
    """5,000 have 12.5 million edges, 1,300 MiB when all were held; it is 95 above that of 500 now."""
    few, many = (families.family(tmp_path / str(n), n, 0.9) for n in (500, 5_000))
    least = memory.peak_pss("near", few, tmp_path / "out", workers=1)
    assert memory.peak_pss("near", many, tmp_path / "out", workers=1) - least < 250 << 20


def test_near_copies_of_one_document_cost_time_linear_in_their_number(tmp_path: Path) -> None:
    """20,000 take 1.9 times as much CPU as 10,000; it was four when all pairs were written."""
    assert skew.near_copies(tmp_path).value < skew.NEAR_BAR
