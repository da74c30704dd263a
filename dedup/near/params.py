"""What a user names (a Jaccard threshold) and what follows from it: bands, rows, the rejection bound.

Two signature tables are comparable only if they share a `Sketch`. Rows are the most for which the bands
that fit still reach RECALL at the threshold, since more rows make fewer false candidates; bands then
the fewest that still do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dedup.errors import RecipeError

RECALL = 0.999
DEVIATIONS = 3.1  # of the estimate, below the threshold: loses 0.1 % of the pairs exactly at it
SCHEMES = ("fast", "minhash")


@dataclass(frozen=True)
class Sketch:
    """What two signature tables must share to be comparable.

    shingle   tokens of a shingle, 1 to 100
    slots     values of a signature, 64 to 1,024
    short     "skip": a text of fewer tokens has no shingle; "whole": it is one shingle
    scheme    "fast" (16 bits a slot) or "minhash" (datasketch's affine32, 32 bits a slot)
    """

    shingle: int = 5
    slots: int = 256
    seed: int = 1
    scheme: str = "fast"
    short: str = "skip"
    fold_traditional: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.shingle <= 100:
            raise RecipeError(f"shingle is {self.shingle}; a shingle has 1 to 100 tokens")
        if not 64 <= self.slots <= 1024:
            raise RecipeError(f"slots is {self.slots}; a signature has 64 to 1,024")
        if not 0 <= self.seed < 1 << 32:
            raise RecipeError(f"seed is {self.seed}; it lies in [0, 2^32)")
        if self.scheme not in SCHEMES:
            raise RecipeError(f"scheme is {self.scheme!r}; it is one of fast, minhash")
        if self.short not in ("skip", "whole"):
            raise RecipeError(f"short is {self.short!r}; it is one of skip, whole")


@dataclass(frozen=True)
class Bands:
    """How signatures are cut, and from how many equal slots on a pair is worth an exact comparison."""

    bands: int
    rows: int
    least_equal: int


def detection(jaccard: float, bands: int, rows: int) -> float:
    """Probability that two documents share a bucket: 1 - (1 - J^rows)^bands."""
    return 1.0 - (1.0 - jaccard**rows) ** bands


def bands_for(threshold: float, slots: int) -> Bands:
    """The bands of a threshold in (0, 1]; RecipeError where too few slots separate it from unlike pairs."""
    if not 0.0 < threshold <= 1.0:
        raise RecipeError(f"threshold is {threshold}; a Jaccard threshold lies in [0.7, 1.0]")
    rows = max((r for r in range(1, slots + 1) if detection(threshold, slots // r, r) >= RECALL), default=0)
    least_rows = 4  # with fewer, over 3 % of the pairs at J = 0.3 become candidates
    if rows < least_rows + 1 and threshold < 0.7:
        share = detection(0.3, slots // max(rows, 1), max(rows, 1))
        raise RecipeError(
            f"threshold is {threshold}; with slots = {slots} it takes {rows} rows a band, and {share:.0%} of all "
            f"pairs of Jaccard similarity 0.3 would become candidates. Take a threshold in [0.7, 1.0] or more slots"
        )
    # Rows over 32 gain nothing: unlike pairs are long gone. It also keeps threshold = 1 from using one band.
    rows = min(rows, 32)
    bands = next(b for b in range(1, slots // rows + 1) if detection(threshold, b, rows) >= RECALL)
    bound = threshold - DEVIATIONS * math.sqrt(threshold * (1.0 - threshold) / slots)
    return Bands(bands, rows, math.ceil(bound * slots - 1e-9))
