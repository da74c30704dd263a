"""What a run costs in copies of its input, marginal between one and four shards so that start-up does not count.

For that, both runs need the same processes: the promised figure is of one, which is also what so small a corpus gets
by default; runs of two workers stand beside it.

A machine's speed changes from minute to minute by a third; so copy and runs alternate, and each takes its minimum of
three. CPU seconds are those of the whole process tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import corpus
from benchmarks.process import cost, dedup_cost
from benchmarks.table import Row

ROUNDS = 3
NEAR_BAR, EXACT_BAR, JSONL_BAR = 4.5, 2.5, 4.5

Run = Callable[[Sequence[Path]], float]


def rows(folder: Path) -> list[Row]:
    """Copies, and dedup near and exact in copies, of Parquet and of JSONL.zst."""
    shards = corpus.english(folder)
    text_bytes = sum(_text_bytes(path) for path in shards[1:])
    dedup_cost("near", [corpus.ten_documents(folder)], folder / "warm")
    found = _rows("parquet", shards, folder, text_bytes, {"near": NEAR_BAR, "exact": EXACT_BAR})
    lines = [corpus.as_jsonl_zst(path, folder) for path in shards]
    return found + _rows("jsonl", lines, folder, text_bytes, {"near": JSONL_BAR})


def _rows(kind: str, shards: Sequence[Path], folder: Path, text_bytes: int, bars: dict[str, float]) -> list[Row]:
    copies = folder / "copies"
    copies.mkdir(exist_ok=True)
    runs: dict[str, Run] = {"copy": copy_of(kind, copies)}
    for command in bars:
        runs[command] = _dedup(command, folder / "out", "--workers", "1")
        runs[f"{command} --workers 2"] = _dedup(command, folder / "out", "--workers", "2")
    seconds = marginal(runs, shards)
    name = {"parquet": "Parquet", "jsonl": "JSONL.zst"}[kind]
    where = "" if corpus.is_real() else ", generated corpus"
    found = [Row(f"copy, {name}", seconds["copy"] / text_bytes * 1e9, "ns/byte", beside="CPU, of text" + where)]
    for command, spent in list(seconds.items())[1:]:
        beside = f"{spent / text_bytes * 1e9:.1f} ns/byte of text{where}"
        found.append(Row(f"dedup {command}, {name}", spent / seconds["copy"], "copies", bars.get(command), beside))
    return found


def copy_of(kind: str, folder: Path) -> Run:
    """Copies of shards into a folder that is there."""
    return lambda some: cost(["-m", "benchmarks.copying", kind, folder, *some]).cpu_seconds


def _dedup(command: str, output: Path, *options: str) -> Run:
    return lambda some: dedup_cost(command, some, output, *options).cpu_seconds


def marginal(runs: dict[str, Run], shards: Sequence[Path]) -> dict[str, float]:
    """CPU seconds of each run on all shards less those on the first; minima of alternating rounds."""
    one: dict[str, list[float]] = {name: [] for name in runs}
    all_: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            one[name].append(run(shards[:1]))
            all_[name].append(run(shards))
    return {name: min(all_[name]) - min(one[name]) for name in runs}


def _text_bytes(path: Path) -> int:
    return int(pc.sum(pc.binary_length(pq.read_table(path, columns=["text"])["text"])).as_py())
