"""Parquet shards are read a few megabytes at once, however large their row groups are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dedup.io import parquet, shards
from dedup.runner import budget

MIB = 1 << 20


# Peak of what pyarrow's C++ takes, which only a process of its own shows, and whether any batch was large.
READING = """
import sys
import pyarrow as pa
from dedup.io import read, shards
from dedup.io.units import Piece

(shard,) = shards.discover(sys.argv[1:])
rows = largest = 0
for chunk in read.read(Piece(shard), read.Source(), 1 << 20):
    rows += chunk.batch.num_rows
    largest = max(largest, chunk.batch.nbytes)
print(rows, largest, pa.default_memory_pool().max_memory())
"""


def letters(rows: int, length: int, seed: int) -> list[str]:
    """Texts that no codec makes much smaller."""
    some = np.random.default_rng(seed).integers(97, 123, rows * length, np.uint8).tobytes().decode()
    return [some[n : n + length] for n in range(0, len(some), length)]


def one_group(path: Path, table: pa.Table, **how: Any) -> pa.Table:
    pq.write_table(table, path, row_group_size=table.num_rows, **how)
    assert pq.ParquetFile(path).num_row_groups == 1
    return table


def test_a_large_row_group_with_other_wide_columns_is_read_batch_by_batch(tmp_path: Path) -> None:
    wide = [[text, "x"] for text in letters(1_500, 10_000, 3)]
    table = pa.table({"text": letters(1_500, 10_000, 1), "html": letters(1_500, 10_000, 2), "parts": wide})
    one_group(tmp_path / "a.parquet", table, use_dictionary=False, write_batch_size=64)
    done = subprocess.run([sys.executable, "-c", READING, tmp_path], capture_output=True, text=True, check=True)
    rows, largest, peak = map(int, done.stdout.split())
    assert rows == 1_500
    assert largest < 2 * MIB
    assert peak < 12 * MIB  # of 45


def test_a_further_column_of_the_run_counts_for_the_size_of_a_batch(tmp_path: Path) -> None:
    one_group(tmp_path / "a.parquet", pa.table({"text": ["a b c"] * 2_000, "html": letters(2_000, 5_000, 1)}))
    with parquet.open_file(str(tmp_path / "a.parquet")) as file:
        columns = parquet.Columns("text", None, ("html",))
        sizes = [batch.nbytes for _, batch in parquet.read_batches(file, columns, MIB)]
    assert len(sizes) > 5
    assert max(sizes) < 1.5 * MIB


def test_a_column_whose_name_begins_with_that_of_the_text_does_not_count(tmp_path: Path) -> None:
    one_group(tmp_path / "a.parquet", pa.table({"text": ["a b c"] * 2_000, "text_html": letters(2_000, 5_000, 1)}))
    with parquet.open_file(str(tmp_path / "a.parquet")) as file:
        (batch,) = (batch for _, batch in parquet.read_batches(file, parquet.Columns("text", None), MIB))
    assert batch.num_rows == 2_000


def test_a_row_group_counts_as_written_only_where_it_is(tmp_path: Path) -> None:
    one_group(tmp_path / "a.parquet", pa.table({"text": letters(100, 1_000, 1)}))
    found = shards.discover([str(tmp_path)])
    assert budget.look_at(found).group_bytes > 90_000
    given = shards.discover_against([str(tmp_path)], [])
    assert budget.look_at(given).group_bytes == 0
    assert budget.look_at(given).documents == 100
