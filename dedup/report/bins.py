"""Bins of a measure: where its histogram begins and ends, and how it is cut.

A measure of documents has a body and a long tail: one page in a million has a word of 40,000 letters. So the range is
that of the middle 99.8 % of some documents, widened to the bounds of rules; what lies beyond is counted in two bins
without an outer edge. The same table gives the same bins: nothing is drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BINS = 50  # at most, about
LONG_TAIL = 20  # above so many medians the axis is logarithmic


def edges(values: Floats, bounds: Sequence[float], *, whole: bool) -> tuple[Floats, bool]:
    """(edges of adjacent bins, ascending, at least two; whether they grow by a factor).

    values   of some documents, none of them NaN
    bounds   that shall lie within
    whole    the measure counts something: bins hold whole numbers
    """
    ordered = np.sort(values) if len(values) else np.array([0.0, 1.0])
    outside = len(ordered) // 1000
    near = (ordered[outside], ordered[len(ordered) // 2], ordered[-1 - outside])
    low, high = min([near[0], *bounds]), max([near[2], *bounds])
    if not math.isfinite(low) or not math.isfinite(high):
        low, high = 0.0, 1.0
    has_tail = near[2] >= 1 and near[2] > LONG_TAIL * max(near[1], 0.05)
    if low >= 0 and (has_tail or high >= 10_000):
        return _growing(low, high, whole=whole), True
    return _equal(low, high, whole=whole), False


def _equal(low: float, high: float, *, whole: bool) -> Floats:
    """Edges that are multiples of 1, 2 or 5 times a power of ten."""
    span = high - low or abs(high) or 1.0
    width = _nice(span / (BINS * 0.6))
    if whole:
        width = max(width, 1.0)
    first = math.floor(low / width + 1e-9)
    last = max(math.floor(high / width + 1e-9), first) + 1
    power = max(0, 2 - math.floor(math.log10(width)))
    return np.round(np.arange(first, last + 1) * width, power)


def _nice(width: float) -> float:
    power = 10.0 ** math.floor(math.log10(width))
    return next(step for step in (1.0, 2.0, 5.0, 10.0) if step * power >= width * (1 - 1e-9)) * power


def _growing(low: float, high: float, *, whole: bool) -> Floats:
    """Edges from 0 on that grow by a tenth of a power of ten; whole numbers where only these occur."""
    first = math.floor(math.log10(low)) if low > 0 else (0 if whole else -2)
    first = max(first, 0 if whole else -4)
    last = math.ceil(math.log10(max(high, 1)) + 1e-9)
    grown = np.array([10.0 ** (n / 10) for n in range(first * 10, last * 10 + 1)])
    grown = grown[: int(np.searchsorted(grown, high, "right")) + 1]
    if whole:
        grown = np.unique(np.round(grown))
    return np.unique(np.concatenate([[0.0] if low < grown[0] else [], grown]))
