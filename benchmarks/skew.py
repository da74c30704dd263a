"""What crowded buckets cost: a family that shares a template, duplicates of none, and copies and near copies of one.

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
NEAR_FEW, NEAR_MANY, NEAR_SIMILARITY = 10_000, 20_000, 0.9  # near copies; 200 million pairs
FAMILY_BAR, COPY_BAR, NEAR_BAR = 60.0, 1.3, 2.3
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
    return [*found, copies(folder), near_copies(folder)]


def copies(folder: Path) -> Row:
    """Seconds for each of many copies, in seconds for each of few."""
    one, few, many = (seconds(families.copies(folder / str(n), n), folder) for n in (1, FEW, MANY))
    each = [(cost - one) / n for cost, n in ((few, FEW), (many, MANY))]
    beside = f"{MANY:,} of {each[1] * 1e6:.0f} µs, {FEW:,} of {each[0] * 1e6:.0f} µs, beyond {one:.1f} s"
    return Row("copies", each[1] / each[0], "", COPY_BAR, beside)


def near_copies(folder: Path) -> Row:
    """Seconds that twice as many near copies of one document take, in those that the fewer take, beyond a few's."""
    sizes = (100, NEAR_FEW, NEAR_MANY)
    inputs = [families.family(folder / f"near-{n}", n, NEAR_SIMILARITY) for n in sizes]
    least, few, many = (seconds(some, folder) for some in inputs)
    beside = f"{NEAR_MANY:,} in {many:.1f} s, {NEAR_FEW:,} in {few:.1f} s, {sizes[0]} in {least:.1f} s"
    return Row("near copies", (many - least) / (few - least), "", NEAR_BAR, beside)


def seconds(inputs: Sequence[Path], folder: Path, rounds: int = ROUNDS) -> float:
    """CPU seconds of `dedup near` with one worker, the least of some rounds."""
    return min(dedup_cost("near", inputs, folder / "out", "--workers", "1").cpu_seconds for _ in range(rounds))
