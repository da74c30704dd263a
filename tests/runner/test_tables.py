"""The tables of a run, and what the driver holds for each document while it makes them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import dedup
from dedup.runner import tables
from dedup.runner.barrier import Drops, resolve
from tests.runner.test_run import prose
from tests.runs import NEAR, read_documents, write_jsonl, write_parquet


def test_twins_get_the_same_names_however_few_are_looked_up_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [prose(n) for n in range(12)]
    write_jsonl(tmp_path / "old" / "0.jsonl", [{"id": f"old {n}", "text": text} for n, text in enumerate(texts[:4])])
    write_parquet(tmp_path / "in" / "0.parquet", [{"text": texts[n % 12]} for n in range(30)])
    write_jsonl(tmp_path / "in" / "1.jsonl", [{"id": f"b{n}", "text": texts[-n % 12] + " end"} for n in range(30)])
    how = {"workers": 1, "against": tmp_path / "old"}
    whole = dedup.run(NEAR, tmp_path / "in", tmp_path / "whole", **how)
    monkeypatch.setattr(tables, "NAMED_AT_ONCE", 7)
    few = dedup.run(NEAR, tmp_path / "in", tmp_path / "few", **how)
    assert (few.output / "duplicates.parquet").read_bytes() == (whole.output / "duplicates.parquet").read_bytes()
    found = few.duplicates.to_pydict()
    assert len(found["id"]) == 60 - 8
    kept = {row.get("id") for row in read_documents(few.output)} | {f"old {n}" for n in range(4)}
    assert {name for name in found["duplicate_of"] if "#" not in name} <= kept


@pytest.mark.parametrize("barriers", [1, 2])
def test_the_driver_joins_drops_within_64_bytes_each(barriers: int) -> None:
    count = 200_000
    numbers = np.random.default_rng(0).permutation(2 * count)[:count]
    found = []
    for part in np.array_split(numbers, barriers):
        part = np.sort(part)
        size = len(part)
        columns = (np.ones(size), np.zeros(size, np.int8), np.ones(size, np.bool_))
        found.append((Drops(part, part + 2 * count, *columns), True))
    held = sum(column.nbytes for drops, _ in found for column in drops)
    tracemalloc.start()
    try:
        drops = resolve(found)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (np.diff(drops.documents) > 0).all()
    assert len(drops.documents) == count
    assert (held + peak) / count <= 64
