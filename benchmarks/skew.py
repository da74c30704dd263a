"""What crowded buckets cost: a family that shares a template, duplicates of none, and copies of one document.

The family is added to a corpus, so that its seconds are those of its own pairs and texts. Copies are counted beyond
what a run of one of them takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks import corpus, families
from benchmarks.process import dedup_cost
from benchmarks.table import Row

MEMBERS, SIMILARITY = 100_000, 0.6
FEW, MANY = 10_000, 100_000  # copies
TEMPLATES = {"long": 240, "short": 30}  # shingles; a document of under 64 is compared exactly, not by signature
FAMILY_BAR, COPY_BAR = 60.0, 1.3
ROUNDS = 3


def rows(folder: Path) -> list[Row]:
    """CPU seconds that families add, and seconds a copy among many as a ratio of those among few."""
    base = corpus.english(folder)[:1]
    seconds(families.family(folder / "warm", 5_000), folder, rounds=1)
    alone = seconds(base, folder)
    found = []
    for name, template in TEMPLATES.items():
        members = families.family(folder / name, MEMBERS, SIMILARITY, template=template)
        added = seconds([*base, *members], folder, rounds=1) - alone
        beside = f"{MEMBERS:,} of {name} texts, similarity {SIMILARITY}, beside {alone:.1f} s of one shard"
        found.append(Row(f"family, {name}", added, "s", FAMILY_BAR, beside))
    return [*found, copies(folder)]


def copies(folder: Path) -> Row:
    """Seconds for each of many copies, in seconds for each of few."""
    one, few, many = (seconds(families.copies(folder / str(n), n), folder) for n in (1, FEW, MANY))
    each = [(cost - one) / n for cost, n in ((few, FEW), (many, MANY))]
    beside = f"{MANY:,} of {each[1] * 1e6:.0f} µs, {FEW:,} of {each[0] * 1e6:.0f} µs, beyond {one:.1f} s"
    return Row("copies", each[1] / each[0], "", COPY_BAR, beside)


def seconds(inputs: Sequence[Path], folder: Path, rounds: int = ROUNDS) -> float:
    """CPU seconds of `dedup near` with one worker, the least of some rounds."""
    return min(dedup_cost("near", inputs, folder / "out", "--workers", "1").cpu_seconds for _ in range(rounds))
