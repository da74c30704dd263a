"""A corpus of known duplicates within a memory budget: peak, what is found, and how time grows with the documents.

    python -m benchmarks.budget [DOCUMENTS [MEMORY]]

Half the documents, then all. What is found has to be what was planted; the peak is PSS of the process tree, measured
from outside. Pairs of a family meet in buckets and are taken at 40 ns each. On a machine that others use, the growth of
CPU time tells more.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import planted
from benchmarks.memory import watched
from benchmarks.table import Row, render

DOCUMENTS, MEMORY, WORKERS = 5_000_000, "1G", 2
GROWTH_BAR, PAIR_SECONDS = 2.2, 40e-9


def rows(folder: Path, documents: int = DOCUMENTS, memory: str = MEMORY) -> list[Row]:
    """Peaks in MiB, wrong duplicates, and the growth of time with twice the documents."""
    import dedup
    from dedup.memory import parse

    found: list[Row] = []
    times: list[tuple[float, float]] = []  # wall, CPU
    for count in (documents // 2, documents):
        begun = time.perf_counter()
        what = planted.write(folder / str(count), count)
        print(f"{count:,} documents made in {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
        output = folder / "out"
        begun = time.perf_counter()
        peak = watched("near", [folder / str(count) / "shards"], output, "--id", "id", "--workers", str(WORKERS),
                       "--memory", memory)  # fmt: skip
        pairs = planted.family_pairs(what) * PAIR_SECONDS
        wall = time.perf_counter() - begun
        times.append((wall - pairs, dedup.Result(output).summary["cpu_seconds"] - pairs))
        wrong = differences(output, planted.truth(what))
        took = "{:.0f} s, {:.0f} s of CPU".format(*times[-1])
        beside = f"{count:,} documents, {took} beside family pairs, {WORKERS} workers, {memory}"
        found.append(Row("peak", peak / 2**20, "MiB", parse(memory) / 2**20, beside))
        found.append(Row("wrong duplicates", wrong, "", 0, f"of {len(planted.truth(what)):,} planted"))
        shutil.rmtree(output)
        shutil.rmtree(folder / str(count))
    growths = [after / before for before, after in zip(*times, strict=True)]
    return [
        *found,
        Row("time for twice as many", growths[0], "", GROWTH_BAR),
        Row("CPU for twice as many", growths[1], "", GROWTH_BAR),
    ]


def differences(output: Path, planted_ones: dict[str, tuple[str, str]]) -> int:
    """Duplicates that were found and not planted, planted and not found, or found of another document or kind."""
    columns = pq.read_table(output / "duplicates.parquet", columns=["id", "duplicate_of", "kind"]).to_pydict()
    found = {i: pair for i, *pair in zip(*columns.values(), strict=True)}
    return sum(tuple(found.get(i, ())) != planted_ones.get(i, ()) for i in found.keys() | planted_ones.keys())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="dedup-bench-") as home:
        print(render("budget", rows(Path(home), int((sys.argv[1:] or [DOCUMENTS])[0]), *sys.argv[2:3])))
