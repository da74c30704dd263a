"""Signatures to band keys, edges to components, components to decisions (design 6.4, 6.6 and 6.7).

What lies between, band keys to edges, is in edges.py. All of it holds one partition and knows nothing of tasks
or files: the run feeds it from the exchange, the library functions from memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.buffers import Int64s, UInt64s
from dedup.near.edges import DOCUMENT_BITS, Edges
from dedup.near.params import Bands
from dedup.near.signature import Sketches

SEGMENT_DOCUMENTS = 1 << 16


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
