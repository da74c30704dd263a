"""Signatures to band keys, edges to components, components to decisions (design 6.4, 6.6 and 6.7).

What lies between, band keys to edges, is in edges.py. All of it holds one partition and knows nothing of tasks
or files: the run feeds it from the exchange, the library functions from memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.buffers import Int64s, UInt64s
from dedup.near.crowds import Crowds, Kept, Round, in_order, joined, kept_by_bucket, round_of
from dedup.near.edges import DOCUMENT_BITS, Edges
from dedup.near.edgestore import EdgeStore
from dedup.near.params import Bands
from dedup.near.signature import Sketches

SEGMENT_DOCUMENTS = 1 << 16
ROUND_SHINGLES = 2 << 20  # in memory at once: 16 MiB, and as many of documents kept before
MISSES = 100  # pairs that are told of those that came nearest to the threshold
ROUND_EDGES = 1 << 19  # in memory at once: 16 MiB
ROUND_MEMBERS = 1 << 13  # of dense buckets in memory at once: 8 MiB at 256 slots
NO_CROWDS = Crowds()


def band_rows(sketches: Sketches, first: int, bands: Bands) -> UInt64s:
    """Exchange rows of documents numbered from `first`: 44 bits of key, 20 of document; none without shingles."""
    from dedup.kernels.sketch import band_keys

    has = np.flatnonzero(sketches.counts > 0)
    rows = np.empty((has.size, bands.bands), np.uint64)
    if has.size:
        band_keys(sketches.signatures[has], bands.bands, bands.rows, has + first, rows)
    return rows.ravel()


def with_documents(rows: UInt64s, base: int) -> UInt64s:
    """Exchange rows as key << 32 | document, the document counted over the whole corpus."""
    document = (rows & np.uint64((1 << DOCUMENT_BITS) - 1)) + np.uint64(base)
    return (rows >> np.uint64(DOCUMENT_BITS)) << np.uint64(32) | document


class Runs(NamedTuple):
    """Sorted distinct shingles of some documents: those of the i-th are values[offsets[i]:offsets[i + 1]]."""

    offsets: Int64s
    values: UInt64s


Shingles = Callable[[Int64s], Runs]  # of documents in any order


class Misses(NamedTuple):
    """Pairs of documents that are both kept, and their similarity, which is below the threshold: the highest ones."""

    pairs: npt.NDArray[np.int64]  # [m, 2]
    similarity: npt.NDArray[np.float64]

    def most_similar(self, count: int = MISSES) -> Misses:
        """So many of them; ties by the documents."""
        order = np.lexsort((self.pairs[:, 1], self.pairs[:, 0], -self.similarity))[:count]
        return Misses(self.pairs[order], self.similarity[order])


NO_MISSES = Misses(np.zeros((0, 2), np.int64), np.zeros(0))


def together(parts: Iterable[Misses]) -> Misses:
    """The most similar of all."""
    pairs, similarity = zip(NO_MISSES, *parts, strict=True)
    return Misses(np.concatenate(pairs), np.concatenate(similarity)).most_similar()


class Decisions(NamedTuple):
    """Dropped documents with their kept twin and the similarity to it."""

    documents: Int64s
    twins: Int64s
    similarity: npt.NDArray[np.float64]
    edges: int = 0  # distinct ones that were given, and those found among members of dense buckets
    compared: int = 0  # pairs of these
    misses: Misses = NO_MISSES


def decide(
    documents: Int64s,
    ranks: list[UInt64s],
    edges: Iterable[Edges],
    sizes: Int64s,
    shingles: Shingles | None,
    *,
    threshold: float,
    scratch: Path | None = None,
    crowds: Crowds = NO_CROWDS,
) -> Decisions:
    """Who goes for whom within whole components, decided in rounds of documents that fit in memory.

    documents   int64[n], ascending
    ranks       uint64[n] each   keep order, most important first; ties by document
    edges       some at a time, in any order; what does not fit in memory waits in a file
    sizes       int64[n]         shingles of each, about
    shingles    the shingle sets of some documents; None: the similarity of edges is taken for the exact one
    scratch     folder of that file; None: the system's for temporary files
    crowds      dense buckets, whose members have no edges for what they share there
    """
    order = np.lexsort((documents, *reversed(ranks)))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    references = int(np.searchsorted(documents, crowds.references))
    state = _State(documents[order], sizes[order], shingles, threshold, crowds, references)
    with (
        EdgeStore(len(order), scratch, with_similarity=shingles is None) as store,
        EdgeStore(len(order), scratch, with_similarity=False) as joins,
    ):
        for part in edges:
            store.add(place[np.searchsorted(documents, part.pairs.astype(np.int64))], part.similarity)
        for number, some in enumerate(crowds.members):
            places = place[np.searchsorted(documents, some.astype(np.int64))]
            joins.put(places, np.full(len(places), number), np.zeros(len(places)))
        rounds = _rounds(
            (state.sizes, ROUND_SHINGLES),
            (store.degrees + joins.degrees, ROUND_EDGES),
            ((joins.degrees > 0).astype(np.int64), ROUND_MEMBERS),
        )
        for bounds, known, dense in zip(rounds, store.read(rounds), joins.read(rounds), strict=True):
            state.decide(*bounds, known, dense[:2])
    twin = state.twin
    dropped = np.flatnonzero(twin >= 0)
    found = (state.documents[dropped], state.documents[twin[dropped]], state.similarity[dropped])
    return Decisions(*found, state.edges + int(state.tally[1]), int(state.tally[0]), state.misses)


def _rounds(*weights: tuple[Int64s, int]) -> list[tuple[int, int]]:
    """Stretches of documents that each have about so much of every weight."""
    size = len(weights[0][0])
    is_cut = np.zeros(max(size - 1, 0), np.bool_)
    for weight, most in weights:
        number = (np.cumsum(weight) - weight) // most
        is_cut |= number[1:] != number[:-1]
    cuts = [0, *(np.flatnonzero(is_cut) + 1).tolist(), size]
    return [(first, end) for first, end in itertools.pairwise(cuts) if first < end]


class _State:
    """What is decided so far; everything in keep order."""

    def __init__(
        self,
        documents: Int64s,
        sizes: Int64s,
        shingles: Shingles | None,
        threshold: float,
        crowds: Crowds,
        references: int,
    ) -> None:
        self.documents, self.sizes, self._shingles = documents, sizes, shingles
        self._threshold, self._crowds, self._references = threshold, crowds, references
        self.twin, self.similarity = np.full(len(documents), -1), np.zeros(len(documents))
        self.edges, self.tally = 0, np.zeros(2, np.int64)
        self._kept = Kept()
        self.misses = NO_MISSES

    def decide(
        self,
        first: int,
        end: int,
        edges: tuple[Int64s, Int64s, npt.NDArray[np.float64]],
        dense: tuple[Int64s, Int64s],
    ) -> None:
        """Decide a round, given (later, earlier, similarity) of its edges and (document, bucket) of dense ones."""
        from dedup.kernels.graph import represent

        (later, earlier, known), (owners, buckets) = edges, dense
        known = known.copy()  # what was read from a file cannot be written to
        here = round_of(self.documents[first:end], owners - first, buckets, self._crowds.load)
        runs = Runs(np.zeros(1, np.int64), np.zeros(0, np.uint64))
        if self._shingles is not None:
            runs = self._shingles(self.documents[first:end])
            known = _to_earlier(
                runs, first, later, earlier, self.twin, self.documents, self.sizes, self._shingles, self._threshold
            )
        self._compare_with_kept(first, here, runs)
        begins = np.searchsorted(later, np.arange(first, end + 1))
        represent(
            first, end, begins, earlier, known, *runs, self._threshold, self._references, here.joins, here.buckets,
            np.full(len(here.names), -1), here.row, tuple(here.sketches), self._crowds.least_equal,
            self._shingles is not None, self.tally, self.twin, self.similarity,
        )  # fmt: skip
        self._kept.add(here, first, self.twin)
        self._add_misses(later, earlier, known)
        self.edges += len(later)

    def _add_misses(self, later: Int64s, earlier: Int64s, known: npt.NDArray[np.float64]) -> None:
        """Look at the pairs of a round that stay both."""
        stay = (known > 0) & (known < self._threshold) & (self.twin[later] < 0) & (self.twin[earlier] < 0)
        places = np.flatnonzero(stay)
        ends = np.stack([self.documents[later[places]], self.documents[earlier[places]]], axis=1)
        self.misses = together([self.misses, Misses(np.sort(ends, axis=1), known[places])])

    def _compare_with_kept(self, first: int, here: Round, runs: Runs) -> None:
        """Compare members of dense buckets with those kept in rounds before, as many at a time as fit."""
        from dedup.kernels.graph import compare_with_kept

        numbers, places = self._kept.met_in(here)
        met = np.unique(places)
        offsets, values = runs
        if not len(here.names):
            return
        parts = _rounds((self.sizes[met], ROUND_SHINGLES // 2), (np.ones_like(met), ROUND_MEMBERS // 2))
        for begin, end in parts or [(0, 0)]:  # none too, so that the kernel is compiled with the others
            some = met[begin:end]
            theirs = in_order(self.documents[some], self._crowds.load)
            if self._shingles is not None and len(some):
                more = self._shingles(self.documents[some])
                offsets = np.concatenate([runs.offsets, runs.offsets[-1] + more.offsets[1:]])
                values = np.concatenate([runs.values, more.values])
            compare_with_kept(
                first, self._references, here.joins, here.buckets, here.row, joined(here.sketches, theirs),
                *kept_by_bucket(numbers, places, some, len(here.names)), some, offsets, values, self._threshold,
                self._crowds.least_equal, self._shingles is not None, self.tally, self.twin, self.similarity,
            )  # fmt: skip


def _to_earlier(
    runs: Runs,
    first: int,
    later: Int64s,
    earlier: Int64s,
    twin: Int64s,
    documents: Int64s,
    sizes: Int64s,
    shingles: Shingles,
    threshold: float,
) -> npt.NDArray[np.float64]:
    """Similarity of the edges of a round to documents kept in rounds before, -1 for the others."""
    from dedup.kernels.graph import similarities

    found = np.full(len(later), -1.0)
    outside = np.flatnonzero((earlier < first) & (twin[earlier] < 0))
    kept = np.unique(earlier[outside])
    for begin, end in _rounds((sizes[kept], ROUND_SHINGLES)):
        some = kept[begin:end]
        here = outside[(earlier[outside] >= some[0]) & (earlier[outside] <= some[-1])]
        theirs = shingles(documents[some])
        offsets = np.concatenate([runs.offsets, runs.offsets[-1] + theirs.offsets[1:]])
        count = len(runs.offsets) - 1
        pairs = np.stack([later[here] - first, count + np.searchsorted(some, earlier[here])], axis=1)
        out = np.empty(len(here))
        similarities(pairs, offsets, np.concatenate([runs.values, theirs.values]), threshold, out)
        found[here] = out
    return found
