"""Members of dense buckets in keep order: each is compared with those already kept, and no pair is ever written.

Twenty thousand near copies of one document have two hundred million edges, of which twenty thousand say something:
those to the copy that is kept. Who that is, is known only while deciding. So a dense bucket is handed on as a list of
its members, and a member meets there whom all its pairs would have joined it to, as far as these are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.buffers import Int64s, UInt64s
from dedup.near.signature import SMALL, Sketches

Load = Callable[[Int64s], Sketches]  # sketches of ascending documents
_HALF = np.uint64(32)


def _no_sketches(documents: Int64s) -> Sketches:
    n = len(documents)
    return Sketches(np.zeros((n, SMALL), np.uint16), np.zeros((n, SMALL), np.uint64), np.zeros(n, np.int32))


class Crowds(NamedTuple):
    """Dense buckets: any two members share a band.

    members       documents of each bucket
    load          their sketches
    least_equal   slots in which two must agree to be compared exactly
    references    documents below it are not compared with each other; they come first in keep order
    """

    members: Iterable[npt.NDArray[np.uint32]] = ()
    load: Load = _no_sketches
    least_equal: int = 0
    references: int = 0


class Round(NamedTuple):
    """Which dense buckets the documents of a round are in, as kernels take it: see `represent`.

    owners, names   document of each join, from 0; bucket of each number
    """

    joins: Int64s
    buckets: Int64s
    row: Int64s
    sketches: Sketches
    owners: Int64s
    names: Int64s


class Kept:
    """The kept documents of dense buckets, by bucket."""

    def __init__(self) -> None:
        self._packed: UInt64s = np.zeros(0, np.uint64)  # bucket << 32 | place, ascending

    def add(self, here: Round, first: int, twin: Int64s) -> None:
        """Those of a round that was decided."""
        places = here.owners + first
        stays = twin[places] < 0
        if stays.any():
            new = here.names[here.buckets[stays]].astype(np.uint64) << _HALF | places[stays].astype(np.uint64)
            self._packed = np.sort(np.concatenate([self._packed, new]))

    def met_in(self, here: Round) -> tuple[Int64s, Int64s]:
        """(number of a bucket of the round, place of one of its kept documents), ascending."""
        names = here.names.astype(np.uint64)
        low = np.searchsorted(self._packed, names << _HALF)
        high = np.searchsorted(self._packed, (names + np.uint64(1)) << _HALF)
        numbers = np.repeat(np.arange(len(names)), high - low)
        at = np.repeat(low - (np.cumsum(high - low) - (high - low)), high - low) + np.arange(len(numbers))
        return numbers, (self._packed[at] & np.uint64(0xFFFFFFFF)).astype(np.int64)


def round_of(documents: Int64s, owners: Int64s, buckets: Int64s, load: Load) -> Round:
    """The joins of a round.

    documents         in keep order
    owners, buckets   of each join, by owner: its document, counted from 0, and its bucket
    """
    names, numbers = np.unique(buckets, return_inverse=True)
    joins = np.searchsorted(owners, np.arange(len(documents) + 1))
    members = np.flatnonzero(np.diff(joins))
    ascending = members[np.argsort(documents[members])]
    row = np.full(len(documents), -1)
    row[ascending] = np.arange(len(ascending))
    return Round(joins, numbers.astype(np.int64), row, load(documents[ascending]), owners, names)


def in_order(documents: Int64s, load: Load) -> Sketches:
    """Sketches of documents in any order."""
    ascending = np.argsort(documents)
    found = load(documents[ascending])
    back = np.argsort(ascending)
    return Sketches(found.signatures[back], found.small[back], found.counts[back])


def joined(a: Sketches, b: Sketches) -> tuple[Any, ...]:
    """Rows of one, then of the other, as kernels take them."""
    parts: list[Any] = list(zip(a, b, strict=True))
    return tuple(np.concatenate(part) for part in parts)


def kept_by_bucket(numbers: Int64s, places: Int64s, some: Int64s, count: int) -> tuple[Int64s, Int64s]:
    """(begins, members) of kept documents by bucket, of those among `some` places, ascending: see `represent`."""
    at = np.minimum(np.searchsorted(some, places), len(some) - 1)
    hit = some[at] == places
    return np.searchsorted(numbers[hit], np.arange(count + 1)), at[hit]
