"""Peak memory of a run as PSS summed over its process tree, sampled from outside every 50 ms.

PSS counts a page that n processes share as a n-th in each, so that the sum over the tree is what the run really takes.
The growth is that from FEW to MANY shards of short documents that duplicate nothing of each other's: so many
documents that what is held for each shows over the noise of some 10 MiB.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from benchmarks import corpus
from benchmarks.process import start
from benchmarks.table import Row

EVERY = 0.05  # seconds
WORKERS = 2
FEW, MANY = 8, 64  # shards
PEAK_BAR, GROWTH_BAR = 1.5, 64.0


def rows(folder: Path) -> list[Row]:
    """The peak over all English and Chinese shards in GiB, and the growth with the number of shards."""
    inputs = corpus.everything(folder)
    beside = f"{len(inputs)} shards, {WORKERS} workers, PSS"
    return [
        Row("peak, near", peak_pss("near", inputs, folder / "out") / 2**30, "GiB", PEAK_BAR, beside),
        growth(folder),
    ]


def growth(folder: Path) -> Row:
    """Growth of the peak with the number of shards, in bytes a document."""
    shards = corpus.short(folder, MANY)
    documents = sum(pq.read_metadata(path).num_rows for path in shards[FEW:])
    few, many = (peak_pss("near", shards[:n], folder / "out") for n in (FEW, MANY))
    beside = f"{FEW} to {MANY} shards, {documents:,} documents more: {(many - few) / 2**20:+.0f} MiB"
    return Row("growth, near", max(many - few, 0) / documents, "bytes/document", GROWTH_BAR, beside)


def peak_pss(command: str, inputs: Sequence[Path], output: Path, workers: int = WORKERS) -> int:
    """Bytes of PSS at the peak of `dedup COMMAND`, summed over its process tree; the output is removed."""
    try:
        return watched(command, inputs, output, "--workers", str(workers))
    finally:
        shutil.rmtree(output, ignore_errors=True)


def watched(command: str, inputs: Sequence[str | Path], output: Path, *options: str) -> int:
    """Bytes of PSS at the peak of `dedup COMMAND INPUTS -o OUTPUT`; RuntimeError with its stderr where it fails."""
    shutil.rmtree(output, ignore_errors=True)
    process = start(["-m", "dedup", command, *inputs, "-o", output, "--quiet", *options])
    root = psutil.Process(process.pid)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _tree_pss(root))
        time.sleep(EVERY)
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"dedup {command} ended with {process.returncode}: {errors[-2000:]}")
    return peak


def _tree_pss(root: psutil.Process) -> int:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                total += process.memory_full_info().pss
    return total
