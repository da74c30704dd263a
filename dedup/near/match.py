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
from dedup.near.edges import DOCUMENT_BITS, Edges
from dedup.near.edgestore import EdgeStore
from dedup.near.params import Bands
from dedup.near.signature import Sketches

SEGMENT_DOCUMENTS = 1 << 16
ROUND_SHINGLES = 2 << 20  # in memory at once: 16 MiB, and as many of documents kept before
ROUND_EDGES = 1 << 19  # in memory at once: 16 MiB


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


class Components(NamedTuple):
    """Documents with an edge, ascending, and the first document of each one's component."""

    documents: Int64s
    roots: Int64s


def components(pairs: npt.NDArray[np.uint32]) -> Components:
    """Components of the edge graph; holds 12 bytes a document with an edge."""
    from dedup.kernels.graph import flatten, union_edges

    documents = np.unique(pairs)
    local = np.searchsorted(documents, pairs).astype(np.uint32)
    parent = np.arange(len(documents), dtype=np.uint32)
    union_edges(parent, local)
    flatten(parent)
    return Components(documents.astype(np.int64), documents[parent].astype(np.int64))


class Runs(NamedTuple):
    """Sorted distinct shingles of some documents: those of the i-th are values[offsets[i]:offsets[i + 1]]."""

    offsets: Int64s
    values: UInt64s


Shingles = Callable[[Int64s], Runs]  # of documents in any order


class Decisions(NamedTuple):
    """Dropped documents with their kept twin and the similarity to it."""

    documents: Int64s
    twins: Int64s
    similarity: npt.NDArray[np.float64]
    edges: int = 0  # distinct ones that were given


def decide(
    documents: Int64s,
    ranks: list[UInt64s],
    edges: Iterable[Edges],
    sizes: Int64s,
    shingles: Shingles | None,
    *,
    threshold: float,
    scratch: Path | None = None,
) -> Decisions:
    """Who goes for whom within whole components, decided in rounds of documents that fit in memory.

    documents   int64[n], ascending
    ranks       uint64[n] each   keep order, most important first; ties by document
    edges       some at a time, in any order; what does not fit in memory waits in a file
    sizes       int64[n]         shingles of each, about
    shingles    the shingle sets of some documents; None: the similarity of edges is taken for the exact one
    scratch     folder of that file; None: the system's for temporary files
    """
    from dedup.kernels.graph import represent

    order = np.lexsort((documents, *reversed(ranks)))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    twin, similarity = np.full(len(order), -1), np.zeros(len(order))
    runs = Runs(np.zeros(1, np.int64), np.zeros(0, np.uint64))
    count = 0
    with EdgeStore(len(documents), scratch, with_similarity=shingles is None) as store:
        for part in edges:
            store.add(place[np.searchsorted(documents, part.pairs.astype(np.int64))], part.similarity)
        sizes, documents = sizes[order], documents[order]
        rounds = _rounds(sizes, store.degrees)
        for (first, end), (later, earlier, known) in zip(rounds, store.read(rounds), strict=True):
            if shingles is not None:
                runs = shingles(documents[first:end])
                known = _to_earlier(runs, first, later, earlier, twin, documents, sizes, shingles, threshold)
            begins = np.searchsorted(later, np.arange(first, end + 1))
            represent(first, end, begins, earlier, known, *runs, threshold, twin, similarity)
            count += len(later)
    dropped = np.flatnonzero(twin >= 0)
    return Decisions(documents[dropped], documents[twin[dropped]], similarity[dropped], count)


def _rounds(sizes: Int64s, degrees: Int64s | None = None) -> list[tuple[int, int]]:
    """Stretches of about ROUND_SHINGLES, and of about ROUND_EDGES where degrees are given."""
    numbers = [(np.cumsum(sizes) - sizes) // ROUND_SHINGLES]
    if degrees is not None:
        numbers.append((np.cumsum(degrees) - degrees) // ROUND_EDGES)
    is_cut = np.zeros(max(len(sizes) - 1, 0), np.bool_)
    for number in numbers:
        is_cut |= number[1:] != number[:-1]
    cuts = [0, *(np.flatnonzero(is_cut) + 1).tolist(), len(sizes)]
    return [(first, end) for first, end in itertools.pairwise(cuts) if first < end]


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
    for begin, end in _rounds(sizes[kept]):
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
