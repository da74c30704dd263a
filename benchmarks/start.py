"""How long one waits before anything happens, with a warm kernel cache."""

from __future__ import annotations

from pathlib import Path

from benchmarks import corpus
from benchmarks.process import Cost, cost, dedup_cost
from benchmarks.table import Row

ROUNDS = 3
VERSION_BAR, TEN_BAR = 0.3, 3.0


def rows(folder: Path) -> list[Row]:
    """Wall-clock seconds of `dedup --version` and of a run on ten documents."""
    return [
        Row("dedup --version", version().seconds, "s", VERSION_BAR),
        Row("dedup near, ten documents", ten_documents(folder).seconds, "s", TEN_BAR),
    ]


def version() -> Cost:
    """The fastest of three."""
    return min((cost(["-m", "dedup", "--version"]) for _ in range(ROUNDS)), key=lambda one: one.seconds)


def ten_documents(folder: Path) -> Cost:
    """The fastest of three, after one that fills the cache."""
    ten = corpus.ten_documents(folder)
    dedup_cost("near", [ten], folder / "out")
    return min((dedup_cost("near", [ten], folder / "out") for _ in range(ROUNDS)), key=lambda one: one.seconds)
