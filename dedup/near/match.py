"""Band keys to edges, edges to components, components to decisions (design 6.5 to 6.7).

These functions hold one partition each and know nothing of tasks or files: the run feeds them from the
exchange, the library functions from memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.buffers import Int64s, UInt64s
from dedup.near.params import Bands
from dedup.near.signature import Sketches

DOCUMENT_BITS = 20  # of an exchange row; a segment has at most 2^20 documents
SEGMENT_DOCUMENTS = 1 << 16
BUCKET_CAP = 20_000
LEADERS = 64
CHUNK_MEMBERS = 1 << 15  # bucket members whose signatures are in memory at once: 32 MiB at 256 slots
EDGE_BUFFER = 1 << 20


class Edges(NamedTuple):
    """Pairs worth an exact comparison: uint32[m, 2] documents, smaller first, and their similarity so far."""

    pairs: npt.NDArray[np.uint32]
    similarity: npt.NDArray[np.float64]


@dataclass
class Tally:
    """What the bucket walk did: pairs compared, pairs left out by the cap, buckets over it."""

    compared: int = 0
    skipped: int = 0
    capped_buckets: int = 0


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


def find_edges(
    rows: UInt64s, load: Callable[[Int64s], Sketches], bands: Bands, threshold: float, tally: Tally
) -> Edges:
    """Edges among the documents of one partition.

    rows   uint64[n]   key << 32 | document, in any order
    load   sketches of ascending documents
    """
    from dedup.kernels import bucket as kernels

    rows = np.sort(rows)
    bounds = np.empty((len(rows) // 2 + 1, 2), np.int64)
    bounds = bounds[: kernels.bucket_bounds(rows, bounds)]
    rows = kernels.only_buckets(rows, bounds)  # nine of ten rows share their key with no other
    found: list[Edges] = []
    pairs, similarity = np.empty((EDGE_BUFFER, 2), np.uint32), np.empty(EDGE_BUFFER)
    counted = np.zeros(3, np.int64)
    ends = np.cumsum(bounds[:, 1] - bounds[:, 0])
    at = 0
    while at < len(bounds):
        until = max(at + 1, int(np.searchsorted(ends, (ends[at - 1] if at else 0) + CHUNK_MEMBERS)))
        chunk = bounds[at:until]
        members = (rows[chunk[0, 0] : chunk[-1, 1]] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        documents, local = np.unique(members, return_inverse=True)
        sketches = load(documents)
        state, leaders = np.zeros(3, np.int64), np.empty(LEADERS, np.int64)
        while state[0] < len(chunk):
            n = kernels.compare_buckets(
                rows, chunk, local, sketches.signatures, sketches.small, sketches.counts, np.uint64(DOCUMENT_BITS),
                bands.bands, bands.rows, threshold, bands.least_equal, BUCKET_CAP, state, leaders, pairs, similarity,
                counted,
            )  # fmt: skip
            found.append(Edges(pairs[:n].copy(), similarity[:n].copy()))
        at = until
    tally.compared += int(counted[0])
    tally.skipped += int(counted[1])
    tally.capped_buckets += int(counted[2])
    return distinct_edges(found)


def distinct_edges(parts: list[Edges]) -> Edges:
    """All edges once, by smaller then larger document."""
    pairs = np.concatenate([np.empty((0, 2), np.uint32), *(part.pairs for part in parts)])
    similarity = np.concatenate([np.empty(0), *(part.similarity for part in parts)])
    packed = pairs[:, 0].astype(np.uint64) << np.uint64(32) | pairs[:, 1]
    _, first = np.unique(packed, return_index=True)
    return Edges(pairs[first], similarity[first])


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


class Decisions(NamedTuple):
    """Dropped documents with their kept twin and the similarity to it."""

    documents: Int64s
    twins: Int64s
    similarity: npt.NDArray[np.float64]


def decide(
    documents: Int64s, ranks: list[UInt64s], edges: Edges, offsets: Int64s, shingles: UInt64s, *, threshold: float,
    verify: bool,
) -> Decisions:  # fmt: skip
    """Who goes for whom within whole components.

    documents           int64[n], ascending
    ranks               uint64[n] each   keep order, most important first; ties by document
    offsets, shingles   the sorted distinct shingles of documents[i] (empty where verify is False)
    """
    from dedup.kernels.graph import represent
    from dedup.kernels.shingle import gather_runs

    order = np.lexsort((documents, *reversed(ranks)))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    ends = place[np.searchsorted(documents, edges.pairs.astype(np.int64))]
    later, earlier = ends.max(axis=1), ends.min(axis=1)
    by_later = np.lexsort((earlier, later))
    begins = np.searchsorted(later[by_later], np.arange(len(order) + 1))
    twin, similarity = np.empty(len(order), np.int64), np.empty(len(order))
    if verify:
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.diff(offsets)[order])])
        ordered = np.empty(int(bounds[-1]), np.uint64)
        gather_runs(shingles, offsets, order, ordered)
    else:
        bounds, ordered = np.zeros(len(order) + 1, np.int64), np.zeros(0, np.uint64)
    represent(
        begins,
        earlier[by_later],
        edges.similarity[by_later],
        bounds,
        ordered,
        verify,
        threshold,
        twin,
        similarity,
    )
    dropped = np.flatnonzero(twin >= 0)
    return Decisions(documents[order[dropped]], documents[order[twin[dropped]]], similarity[dropped])
