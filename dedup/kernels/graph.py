"""Components of the edge graph, and the representatives within them (design 6.6)."""

from __future__ import annotations

from dedup.kernels.compile import kernel
from dedup.kernels.shingle import jaccard_runs


@kernel
def find(parent, x):
    """The root of x, halving the path on the way."""
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@kernel
def union_edges(parent, pairs):
    """Join the ends of every pair; the smaller document becomes the root.

    parent   uint32[n]      in and out; parent[i] == i for a document alone
    pairs    uint32[m, 2]
    """
    for e in range(pairs.shape[0]):
        a, b = find(parent, pairs[e, 0]), find(parent, pairs[e, 1])
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b


@kernel
def flatten(parent):
    """Make every document point at its root."""
    for i in range(parent.size):
        parent[i] = find(parent, parent[i])


@kernel
def similarities(pairs, offsets, shingles, threshold, out):
    """Exact Jaccard similarity of some pairs of runs; 0 where sizes alone keep it below the threshold.

    pairs      int64[m, 2]
    offsets    int64[n + 1]   run i is the sorted distinct shingles[offsets[i]:offsets[i + 1]]
    out        float64[m]
    """
    for e in range(pairs.shape[0]):
        i, j = pairs[e, 0], pairs[e, 1]
        out[e] = jaccard_runs(shingles, offsets[i], offsets[i + 1], offsets[j], offsets[j + 1], threshold)


@kernel
def represent(first, end, begins, neighbours, known, offsets, shingles, threshold, twin, similarity):
    """A maximal independent set in a fixed order: each document is kept, or dropped for a kept twin.

    Decides documents first to end - 1, in keep order; those before are decided.

    begins       int64[e + 1]   document first + i has neighbours[begins[i]:begins[i + 1]]
    neighbours   int64[m]       positions in keep order, each below first + i, ascending
    known        float64[m]     their similarity; negative: to be computed, both being of first to end - 1
    offsets      int64[e + 1]   document first + i has the sorted distinct shingles[offsets[i]:offsets[i + 1]]
    twin         int64[n]       out: the kept twin of highest similarity, the earlier of equals; -1: kept
    similarity   float64[n]     out: similarity to it

    Twin: tests/naive.py (near).
    """
    for i in range(first, end):
        twin[i] = -1
        best = 0.0
        for e in range(begins[i - first], begins[i - first + 1]):
            j = neighbours[e]
            if twin[j] >= 0:
                continue
            s = known[e]
            if s < 0.0:
                a, b = i - first, j - first
                s = jaccard_runs(shingles, offsets[a], offsets[a + 1], offsets[b], offsets[b + 1], threshold)
            if s >= threshold and s > best:
                best = s
                twin[i] = j
        similarity[i] = best
