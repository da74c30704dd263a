"""Candidate pairs of buckets, compared by signature, become edges (design 6.5).

A pair of documents meets in every band on which its signatures agree, some twenty for true twins. It is
decided only in the first of them, which the comparison itself recognises, so that no set of pairs seen
before is held, in this partition or across partitions.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import kernel
from dedup.kernels.shingle import jaccard_runs
from dedup.kernels.sketch import SMALL, band_key


@kernel
def bucket_bounds(rows, out):
    """Starts and ends of the runs of at least two equal keys in sorted exchange rows; returns their number.

    rows   uint64[n]      ascending, key << 32 | document
    out    int64[m, 2]    m at least n // 2
    """
    n = 0
    begin = 0
    for i in range(1, rows.size + 1):
        if i == rows.size or rows[i] >> np.uint64(32) != rows[begin] >> np.uint64(32):
            if i - begin > 1:
                out[n, 0] = begin
                out[n, 1] = i
                n += 1
            begin = i
    return n


@kernel
def only_buckets(rows, bounds):
    """The rows of some buckets without those between them; bounds is changed to where they are then."""
    kept = np.empty((bounds[:, 1] - bounds[:, 0]).sum(), np.uint64)
    n = 0
    for i in range(bounds.shape[0]):
        begin = n
        for j in range(bounds[i, 0], bounds[i, 1]):
            kept[n] = rows[j]
            n += 1
        bounds[i, 0], bounds[i, 1] = begin, n
    return kept


@kernel
def _first_shared_band(a, b, bands, rows):
    """The first band on which two signatures agree; -1 for none."""
    for band in range(bands):
        same = True
        for j in range(band * rows, band * rows + rows):
            if a[j] != b[j]:
                same = False
                break
        if same:
            return band
    return -1


@kernel
def equal_slots(a, b):
    """In how many slots two signatures agree; eight narrow sums so that the loop is vectorised."""
    total = 0
    for begin in range(0, a.size, 64):
        part = np.uint16(0)
        for j in range(begin, min(begin + 64, a.size)):
            part += np.uint16(a[j] == b[j])
        total += part
    return total


@kernel
def similarity_at_least(signatures, small, counts, i, j, threshold, least_equal):
    """Similarity of rows i and j: exact for two small sets, estimated otherwise; -1 where it does not pass."""
    if counts[i] < SMALL and counts[j] < SMALL:
        width = small.shape[1]
        exact = jaccard_runs(
            small.reshape(-1), i * width, i * width + counts[i], j * width, j * width + counts[j], threshold
        )
        return exact if exact >= threshold else -1.0
    equal = equal_slots(signatures[i], signatures[j])
    return equal / signatures.shape[1] if equal >= least_equal else -1.0


@kernel
def compare_buckets(
    exchange, bounds, local, signatures, small, counts, shift, bands, rows, threshold, least_equal, cap,
    state, leaders, pairs, similarity, tally,
):  # fmt: skip
    """Write the edges of some buckets to `pairs`; returns their number. Call again until state[0] is len(bounds).

    exchange     uint64[...]   sorted rows, key << 32 | document
    bounds       int64[m, 2]   the buckets within it
    local        int64[...]    row of signatures of exchange[bounds[0, 0] + i]
    signatures   uint16 or uint32[n, K];  small uint64[n, SMALL];  counts int32[n]
    shift        uint64        bits shift to shift + 31 of a full key are the key of an exchange row
    least_equal  int64         slots that must agree for an edge
    cap          int64         over it, members are compared with the first unlike members ("leaders") only
    state        int64[3]      in and out: bucket and member to go on with, leaders of that bucket; zeros at first
    leaders      int64[l]      in and out
    pairs        uint32[p, 2], similarity float64[p]   out: documents, smaller first; p at least cap, at least l
    tally        int64[3]      in and out: pairs compared, pairs not compared, buckets over cap
    """
    n = 0
    low = np.uint64(0xFFFFFFFF)
    base = bounds[0, 0]
    while state[0] < bounds.shape[0]:
        begin, end = bounds[state[0], 0], bounds[state[0], 1]
        key = exchange[begin] >> np.uint64(32)
        band = -1  # the band this bucket is of, once a pair has shown it
        large = end - begin > cap
        if large and state[1] == 0:
            tally[2] += 1
        for x in range(begin + state[1], end):
            if n + (state[2] if large else end - x) > pairs.shape[0]:
                state[1] = x - begin
                return n
            i = local[x - base]
            met = False
            for y in range(0 if large else x + 1, state[2] if large else end):
                other = leaders[y] if large else y
                j = local[other - base]
                if not large:
                    shared = _first_shared_band(signatures[i], signatures[j], bands, rows)
                    if shared < 0:
                        continue
                    if shared != band:
                        # Met before in another band, or the first true pair of this bucket.
                        if (band_key(signatures[i], shared, rows) >> shift) & low != key:
                            continue
                        band = shared
                tally[0] += 1
                s = similarity_at_least(signatures, small, counts, i, j, threshold, least_equal)
                if s >= 0.0:
                    met = True
                    a, b = exchange[x] & low, exchange[other] & low
                    pairs[n, 0], pairs[n, 1] = np.uint32(min(a, b)), np.uint32(max(a, b))
                    similarity[n] = s
                    n += 1
            if large:
                tally[1] += x - begin - state[2]
                if not met and state[2] < leaders.size:
                    leaders[state[2]] = x
                    state[2] += 1
        state[0] += 1
        state[1] = state[2] = 0
    return n
