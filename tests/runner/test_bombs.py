"""A small file that unpacks to a gigabyte costs no more memory than the longest line that may be held."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from dedup.io import parquet
from tests.runs import write_jsonl

MIB = 1 << 20
PIECE = 16 * MIB
LONGEST = 128 * MIB  # instead of a GiB, so that the test is quick
# A run over the good shard alone first: what a process takes that has all it needs.
SCRIPT = """
import json, sys, dedup
from dedup.io import jsonl
from dedup.runner.local import own_peak_rss_bytes
jsonl.MAX_LINE_BYTES = int(sys.argv[3])
recipe = {"id": "id", "step": [{"dedup": "near"}]}
dedup.run(recipe, sys.argv[1] + "/good.jsonl", sys.argv[2] + "/alone", executor="serial")
before = own_peak_rss_bytes()
result = dedup.run(recipe, sys.argv[1], sys.argv[2] + "/both", executor="serial")
print(json.dumps([own_peak_rss_bytes() - before, result.summary]))
"""


def gzipped(head: bytes, piece: bytes, times: int) -> bytes:
    return gzip.compress(head) + gzip.compress(piece, 1) * times


def zstandarded(head: bytes, piece: bytes, times: int) -> bytes:
    compress = zstandard.ZstdCompressor().compress
    return compress(head) + compress(piece) * times


@pytest.mark.parametrize(
    ("suffix", "pack", "head", "piece", "reason"),
    [
        ("gz", gzipped, b"", bytes(PIECE), "a line of more than 64 MiB that begins no object"),
        ("zst", zstandarded, b'{"id": "b", "text": "', b"a" * PIECE, "a line of more than 128 MiB"),
    ],
    ids=["zeros", "text"],
)
def test_a_bomb_of_one_endless_line_is_named_and_the_memory_bounded(
    suffix: str, pack: Callable[[bytes, bytes, int], bytes], head: bytes, piece: bytes, reason: str, tmp_path: Path
) -> None:
    good = b'{"id": "a", "text": "the line before it"}\n'
    write_jsonl(tmp_path / "in" / "good.jsonl", [{"id": "g", "text": "the good shard"}])
    bomb = tmp_path / "in" / f"bomb.jsonl.{suffix}"
    bomb.write_bytes(pack(good + head, piece, 64))
    assert bomb.stat().st_size < 8 * MIB  # of a GiB
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "in"), str(tmp_path), str(LONGEST)]
    done = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[2])
    grown, summary = json.loads(done.stdout)
    assert (summary["documents_kept"], summary["shards_rejected"], summary["exit_code"]) == (2, 1, 1)
    (row,) = pq.read_table(tmp_path / "both" / "rejected" / f"{bomb.name}.parquet").to_pylist()
    assert (row["row"], row["byte_offset"], row["reason"]) == (1, len(good), reason)
    assert row["raw"] == (head + piece)[: 1 << 16]
    assert grown < LONGEST + 128 * MIB


def test_a_text_that_stands_once_for_all_rows_is_read_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "same.parquet"
    pq.write_table(pa.table({"text": ["x" * MIB] * 100}), path)
    assert path.stat().st_size < MIB
    with parquet.open_file(str(path)) as file:
        batches = list(parquet.read_batches(file, parquet.Columns("text", None), PIECE))
    assert [row for row, _ in batches] == list(range(0, 96 + 1, 16))
    assert max(batch.nbytes for _, batch in batches) < PIECE + MIB
