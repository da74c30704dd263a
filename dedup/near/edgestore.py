"""Edges of components, put into keep order without holding them all.

A thousand near copies of one document have half a million edges, and twenty thousand have two hundred million. They
come in any order, are sorted as far as memory goes, and wait in a file as sorted runs; a round of deciding reads
its own range of each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.buffers import Int64s, UInt64s

HELD_EDGES = 1 << 20  # sorted in memory: 8 MiB, and as many while they are

Column = npt.NDArray[Any]
_HALF = np.uint64(32)


class EdgeStore:
    """Edges between places in keep order, read back by the later of the two; a context manager."""

    def __init__(self, documents: int, scratch: Path | None, *, with_similarity: bool) -> None:
        self.degrees: Int64s = np.zeros(documents, np.int64)  # edges to earlier places, repeated ones too
        self._scratch, self._with_similarity = scratch, with_similarity
        self._held: list[tuple[UInt64s, npt.NDArray[np.float64]]] = []
        self._count = 0  # held
        self._file: Any = None
        self._runs: list[int] = []  # edges of each run in the file

    def __enter__(self) -> EdgeStore:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, places: Int64s, similarity: npt.NDArray[np.float64]) -> None:
        """Take some edges: int64[m, 2] in any order, and the similarity of each if it is wanted."""
        self.put(places.max(axis=1), places.min(axis=1), similarity)

    def put(self, later: Int64s, earlier: Int64s, similarity: npt.NDArray[np.float64]) -> None:
        """Take some of which the later is known; the earlier may be any number below 2^32."""
        np.add.at(self.degrees, later, 1)
        packed = later.astype(np.uint64) << _HALF | earlier.astype(np.uint64)
        self._held.append((packed, similarity if self._with_similarity else np.zeros(0)))
        self._count += len(packed)
        if self._count >= HELD_EDGES:
            self._spill()

    def _sorted(self) -> tuple[UInt64s, npt.NDArray[np.float64]]:
        packed, similarity = _distinct(self._held, self._with_similarity)
        self._held, self._count = [], 0
        return packed, similarity

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115  # closed by __exit__
        packed, similarity = self._sorted()
        self._file.write(packed.data)
        if self._with_similarity:
            self._file.write(similarity.data)
        self._runs.append(len(packed))

    def read(self, rounds: Sequence[tuple[int, int]]) -> Iterator[tuple[Int64s, Int64s, npt.NDArray[np.float64]]]:
        """(later, earlier, similarity) of the edges whose later place is in each round, by later, then earlier."""
        cuts = np.array([first for first, _ in rounds] + [len(self.degrees)], np.uint64) << _HALF
        held = self._sorted()
        inside = np.searchsorted(held[0], cuts)
        if self._file is not None:
            self._file.flush()
        starts = [self._cut(number, cuts) for number in range(len(self._runs))]
        for n in range(len(rounds)):
            parts = [tuple(column[inside[n] : inside[n + 1]] for column in held)]
            parts += [self._stretch(run, at[n], at[n + 1]) for run, at in enumerate(starts)]
            packed, similarity = _distinct(parts, self._with_similarity)
            earlier = (packed & np.uint64(0xFFFFFFFF)).astype(np.int64)
            yield (packed >> _HALF).astype(np.int64), earlier, similarity

    def _cut(self, run: int, cuts: UInt64s) -> Int64s:
        """Where each round begins within a run."""
        return np.searchsorted(self._stretch(run, 0, self._runs[run])[0], cuts)

    def _stretch(self, run: int, begin: int, end: int) -> tuple[UInt64s, npt.NDArray[np.float64]]:
        width = 16 if self._with_similarity else 8
        start = sum(self._runs[:run]) * width
        packed = self._column(start + begin * 8, end - begin, np.uint64)
        if not self._with_similarity:
            return packed, np.zeros(0)
        return packed, self._column(start + (self._runs[run] + begin) * 8, end - begin, np.float64)

    def _column(self, offset: int, count: int, kind: type) -> Column:
        values: Column = np.empty(count, kind)
        self._file.seek(offset)
        self._file.readinto(values.view(np.uint8).data)
        return values


def _distinct(parts: Sequence[Any], with_similarity: bool) -> tuple[UInt64s, npt.NDArray[np.float64]]:
    """Some edges, sorted, each once."""
    packed = np.concatenate([np.zeros(0, np.uint64), *(part[0] for part in parts)])
    similarity = np.zeros(0)
    if with_similarity:
        similarity = np.concatenate([similarity, *(part[1] for part in parts)])
        order = np.argsort(packed, kind="stable")
        packed, similarity = packed[order], similarity[order]
    else:
        packed.sort()
    is_new = np.ones(len(packed), np.bool_)
    is_new[1:] = packed[1:] != packed[:-1]
    return packed[is_new], similarity[is_new] if with_similarity else np.full(int(is_new.sum()), -1.0)
