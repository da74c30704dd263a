"""One JSONL file of a gigabyte: what a second worker saves of the wall time, and what it costs in CPU time.

    python -m benchmarks.workers [MEGABYTES]

Twice: of planted documents, a sixth of which are duplicates, and of the real shards over and over, each round with
another beginning, of which four fifths go as near duplicates: what goes is put together and compressed by one task,
while the other worker has nothing left to do. Runs alternate and each takes the least of two. Wall time means something
only on a machine that does nothing else.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from benchmarks import corpus, planted
from benchmarks.process import Cost, dedup_cost
from benchmarks.table import Row, render
from dedup.io import read, shards, units

MEGABYTES, ROUNDS = 1000, 2
WALL_BAR, CPU_BAR = 0.6, 1.15


def rows(folder: Path, megabytes: int = MEGABYTES) -> list[Row]:
    """Two workers in one: wall time and CPU time, of either corpus."""
    dedup_cost("near", [corpus.ten_documents(folder)], folder / "warm")
    found: list[Row] = []
    for name, lines in (("planted", planted_lines), ("rounds", round_lines)):
        path = one_file(folder, megabytes * 1_000_000, lines(folder))
        found += compared(path, folder, name)
        path.unlink()
    return found


def compared(path: Path, folder: Path, name: str) -> list[Row]:
    """One worker and two on a file."""
    found: dict[int, list[Cost]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for workers, costs in found.items():
            costs.append(dedup_cost("near", [path], folder / "out", "--workers", str(workers)))
    one, two = found.values()
    wall, cpu = ([min(costs, key=lambda c: c[n])[n] for costs in (one, two)] for n in (1, 0))
    beside = (
        f"{path.stat().st_size / 1e9:.2f} GB, {{:.1f}} s with one worker, {{:.1f}} s with two, {os.cpu_count()} cores"
    )
    return [
        Row(f"{name}: wall time of two workers", wall[1] / wall[0], "of one", WALL_BAR, beside.format(*wall)),
        Row(f"{name}: CPU time of two workers", cpu[1] / cpu[0], "of one", CPU_BAR, beside.format(*cpu)),
    ]


def one_file(folder: Path, size: int, lines: Iterable[bytes]) -> Path:
    """A JSONL file of at least so many bytes."""
    path = folder / "one.jsonl"
    written = 0
    with open(path, "wb") as file:
        for line in lines:
            written += file.write(line)
            if written >= size:
                return path
    return path


def planted_lines(folder: Path) -> Iterator[bytes]:
    """A million documents or more, as their shards lie one after the other."""
    planted.write(folder / "planted", 1_200_000)
    for shard in sorted((folder / "planted" / "shards").iterdir()):
        with open(shard, "rb") as file:
            yield from file
        shard.unlink()


def round_lines(folder: Path) -> Iterator[bytes]:
    """Documents of the real shards, or of generated ones, without end."""
    found = shards.discover([str(path) for path in corpus.everything(folder)])
    source = read.Source("text", None, {})
    numbers = itertools.count()
    for turn in itertools.count():
        begin = f"Round {turn}. " if turn else ""
        for unit in units.cut(found):
            for piece in unit.pieces:
                for chunk in read.read(piece, source, 16 << 20, None):
                    for text in chunk.batch[read.TEXT].to_pylist():
                        yield orjson.dumps({"id": str(next(numbers)), "text": begin + (text or "")}) + b"\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="dedup-bench-") as home:
        print(render("workers", rows(Path(home), int((sys.argv[1:] or [MEGABYTES])[0]))))
