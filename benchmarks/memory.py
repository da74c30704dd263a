"""Peak memory of a run as PSS summed over its process tree, sampled from outside every 50 ms.

PSS counts a page that n processes share as a n-th in each, so that the sum over the tree is what the run really takes.
The growth is that from two to six shards of one shape, and it is judged over the noise: how far the peaks of the same
run lie apart. Under some 140,000 documents a peak also grows until the first partition of band keys is full.
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
ROUNDS = 2
PEAK_BAR, GROWTH_BAR = 1.5, 64.0


def rows(folder: Path) -> list[Row]:
    """The peak over all English and Chinese shards in GiB, and the growth from 2 to 6 shards in bytes a document."""
    inputs = corpus.everything(folder)
    beside = f"{len(inputs)} shards, {WORKERS} workers, PSS"
    return [
        Row("peak, near", peak_pss("near", inputs, folder / "out") / 2**30, "GiB", PEAK_BAR, beside),
        growth(folder),
    ]


def growth(folder: Path) -> Row:
    """Growth of the peak with the number of shards, less the noise, in bytes a document."""
    real = corpus.english(folder)
    six = [*real, *(corpus.reversed_words(path, folder) for path in real[:2])]
    documents = sum(pq.read_metadata(path).num_rows for path in six[2:])
    few = [peak_pss("near", six[:2], folder / "out") for _ in range(ROUNDS)]
    many = [peak_pss("near", six, folder / "out") for _ in range(ROUNDS)]
    noise = max(max(few) - min(few), max(many) - min(many))
    grown = min(many) - min(few)
    beside = f"2 to 6 shards: {grown / 2**20:+.0f} MiB, noise {noise / 2**20:.0f} MiB"
    return Row("growth, near", max(grown - noise, 0) / documents, "bytes/document", GROWTH_BAR, beside)


def peak_pss(command: str, inputs: Sequence[Path], output: Path, workers: int = WORKERS) -> int:
    """Bytes of PSS at the peak of `dedup COMMAND`, summed over its process tree."""
    shutil.rmtree(output, ignore_errors=True)
    process = start(["-m", "dedup", command, *inputs, "-o", output, "--quiet", "--workers", str(workers)])
    root = psutil.Process(process.pid)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _tree_pss(root))
        time.sleep(EVERY)
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    process.stderr.close()
    shutil.rmtree(output, ignore_errors=True)
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
