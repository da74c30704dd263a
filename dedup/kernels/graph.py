"""Components of the edge graph, and the representatives within them (design 6.6)."""

from __future__ import annotations

import numpy as np

from dedup.kernels.bucket import similarity_at_least
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
def _compared(a, b, x, y, sketches, offsets, shingles, threshold, least_equal, is_exact, tally):
    """Similarity of two members of a dense bucket, as of an edge; -1 where none would join them.

    a, b    their runs of shingles;  x, y their rows of sketches
    """
    signatures, small, counts = sketches
    tally[0] += 1
    s = similarity_at_least(signatures, small, counts, x, y, threshold, least_equal)
    if s < 0.0:
        return -1.0
    tally[1] += 1
    if is_exact:
        return jaccard_runs(shingles, offsets[a], offsets[a + 1], offsets[b], offsets[b + 1], threshold)
    return s


@kernel
def compare_with_kept(
    first, references, joins, buckets, row, sketches, begins, members, places, offsets, shingles, threshold,
    least_equal, is_exact, tally, twin, similarity,
):  # fmt: skip
    """Find the most similar of some kept documents for each member of a dense bucket they are in.

    The e documents of a round come first among runs and sketches, then the kept ones.

    first             place of the first document; those before `references` are not compared
    joins, buckets    int64[e + 1], int64[m]   document i is in buckets[joins[i]:joins[i + 1]], numbered from 0
    row               int64[e]                 its row of sketches
    begins, members   int64[b + 1], int64[k]   bucket i has the kept ones members[begins[i]:begins[i + 1]]
    places            int64[...]               in keep order, of each kept one
    sketches          signatures, small, counts
    tally             int64[2]                 in and out: pairs compared, edges
    twin, similarity  in and out, as in `represent`
    """
    seen = np.full(places.size, -1, np.int64)
    for i in range(max(references - first, 0), joins.size - 1):
        for m in range(joins[i], joins[i + 1]):
            for n in range(begins[buckets[m]], begins[buckets[m] + 1]):
                j = members[n]
                if seen[j] == i:
                    continue
                seen[j] = i
                s = _compared(
                    i, joins.size - 1 + j, row[i], sketches[2].size - places.size + j, sketches, offsets, shingles,
                    threshold, least_equal, is_exact, tally,
                )  # fmt: skip
                best = similarity[first + i]
                if s >= threshold and (s > best or (s == best and places[j] < twin[first + i])):
                    twin[first + i], similarity[first + i] = places[j], s


@kernel
def represent(
    first, end, begins, neighbours, known, offsets, shingles, threshold, references, joins, buckets, heads, row,
    sketches, least_equal, is_exact, tally, twin, similarity,
):  # fmt: skip
    """A maximal independent set in a fixed order: each document is kept, or dropped for a kept twin.

    Decides documents first to end - 1, in keep order; those before are decided.

    begins         int64[e + 1]   document first + i has neighbours[begins[i]:begins[i + 1]]
    neighbours     int64[m]       positions in keep order, each below first + i, ascending
    known          float64[m]     in and out: their similarity; negative: to be computed, both being of first to
                                  end - 1; it stays negative where the neighbour is dropped
    offsets        int64[e + 1]   document first + i has the sorted distinct shingles[offsets[i]:offsets[i + 1]]
    references     int64          documents before it are not compared with each other
    joins,         int64[e + 1], int64[m]   document first + i is in the dense buckets
      buckets                               buckets[joins[i]:joins[i + 1]], numbered from 0
    heads          int64[b]       scratch, -1 for each of them
    row            int64[e]       its row of sketches, which are signatures, small, counts
    tally          int64[2]       in and out: pairs of dense buckets compared, edges among them
    twin           int64[n]       in and out: the kept twin of highest similarity, the earlier of equals; -1: kept;
                                  at first: so far, of those in dense buckets before `first`
    similarity     float64[n]     in and out: similarity to it, 0 for none

    Twin: tests/naive.py (near).
    """
    links = np.empty(buckets.size, np.int64)  # the kept members of a bucket are a list of their joins
    owners = np.empty(buckets.size, np.int64)
    seen = np.full(end - first, -1, np.int64)
    for i in range(first, end):
        a = i - first
        best, to = similarity[i], twin[i]
        for e in range(begins[a], begins[a + 1]):
            j = neighbours[e]
            if twin[j] >= 0:
                continue
            s = known[e]
            if s < 0.0:
                b = j - first
                s = jaccard_runs(shingles, offsets[a], offsets[a + 1], offsets[b], offsets[b + 1], threshold)
                known[e] = s
            if s >= threshold and (s > best or (s == best and j < to)):
                best, to = s, j
        for m in range(joins[a], joins[a + 1]):
            n = heads[buckets[m]] if i >= references else -1
            while n >= 0:
                b = owners[n]
                if seen[b] != i:
                    seen[b] = i
                    s = _compared(
                        a, b, row[a], row[b], sketches, offsets, shingles, threshold, least_equal, is_exact, tally
                    )
                    if s >= threshold and (s > best or (s == best and b + first < to)):
                        best, to = s, b + first
                n = links[n]
        twin[i], similarity[i] = to, best
        if to < 0:
            for m in range(joins[a], joins[a + 1]):
                links[m], owners[m], heads[buckets[m]] = heads[buckets[m]], a, m
