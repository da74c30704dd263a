"""Sketches of a bucket's members as bit planes, and which of them are so alike that they are a crowd (design 6.5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dedup.buffers import Int64s, UInt64s
from dedup.near.crowds import Load
from dedup.near.signature import SMALL, Sketches

PART = 1 << 13  # documents loaded at once to be cut into planes
CROWD_FROM = 192  # others that a member of a crowd is like, about; twice as many as it would have edges
SAMPLE = 256  # members that tell what is a crowd
LONERS = 32  # so few members outside of a crowd go with it: dearer for each, but planes of all are not made


def no_planes(sketches: Sketches, documents: int) -> UInt64s:
    """Planes for so many documents, zeros."""
    from dedup.kernels.planes import PLANES

    return np.zeros((PLANES * -(-sketches.signatures.shape[1] // 64), documents), np.uint64)


def differ_in_sets(counts: npt.NDArray[np.int32], threshold: float) -> Int64s:
    """In how much the planes of documents of few shingles may differ, each one's part of it, in units of kernels."""
    from dedup.kernels.planes import UNIT

    # J >= t of two sets: they differ in at most (1 - t) / (1 + t) of the sum of their sizes. One up for rounding.
    share = (1 - threshold) / (1 + threshold) * UNIT
    return (counts * share).astype(np.int64) + 1


def differ_in_signatures(slots: int, documents: int) -> Int64s:
    """The same for planes of signatures that differ in so many slots."""
    from dedup.kernels.planes import UNIT

    return np.full(documents, slots * UNIT // 2)


def find_crowd(members: Int64s, load: Load, threshold: float, references: int) -> npt.NDArray[np.bool_]:
    """Which members of a bucket are like some CROWD_FROM others of it at the threshold, by a sample of these.

    A microsecond a member. Two references are not counted, as they are not compared.
    """
    size = len(members)
    places = np.arange(min(size, SAMPLE)) * size // min(size, SAMPLE)
    sample = _Sliced(load(members[places]), threshold)
    is_old = members < references
    like = np.empty(size, np.int64)
    for begin in range(0, size, PART):
        some = slice(begin, begin + PART)
        like[some] = _Sliced(load(members[some]), threshold).like(sample, is_old[some], is_old[places])
    like[places] -= ~is_old[places]  # itself
    in_crowd: npt.NDArray[np.bool_] = like * size >= CROWD_FROM * len(places)
    loners = size - int(np.count_nonzero(in_crowd))
    if size - loners < CROWD_FROM:
        return np.zeros(size, np.bool_)
    return np.ones(size, np.bool_) if loners <= LONERS else in_crowd


class _Sliced:
    """Planes of some documents, by signature and by set."""

    def __init__(self, sketches: Sketches, threshold: float) -> None:
        from dedup.kernels.planes import slice_sets, slice_signatures

        count = len(sketches.counts)
        self.is_few = sketches.counts < SMALL
        self.planes = (no_planes(sketches, count), no_planes(sketches, count))
        slice_signatures(sketches.signatures, 0, self.planes[0])
        if self.is_few.any():
            slice_sets(sketches.small, sketches.counts, 0, self.planes[1])
        slots = int((1 - threshold) * sketches.signatures.shape[1])
        self.allowed = (differ_in_signatures(slots, count), differ_in_sets(sketches.counts, threshold))

    def like(self, sample: _Sliced, is_old: npt.NDArray[np.bool_], is_old_there: npt.NDArray[np.bool_]) -> Int64s:
        """How many of a sample each is like; two of few shingles are compared by set."""
        from dedup.kernels.planes import count_alike

        found = np.zeros(len(self.is_few), np.int64)
        for few, few_there in ((False, False), (False, True), (True, False), (True, True)):
            own, theirs = np.flatnonzero(self.is_few == few), np.flatnonzero(sample.is_few == few_there)
            if not len(own) or not len(theirs):
                continue
            by = int(few and few_there)
            begins = np.where(is_old[own], int(np.count_nonzero(is_old_there[theirs])), 0)
            out = np.zeros(len(own), np.int64)
            count_alike(
                np.take(self.planes[by], own, axis=1), self.allowed[by][own],
                np.take(sample.planes[by], theirs, axis=1), sample.allowed[by][theirs],
                begins, np.empty(len(theirs), np.int64), out,
            )  # fmt: skip
            found[own] += out
        return found
