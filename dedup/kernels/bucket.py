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
def number_rows(rows, shift, base, gone, out):
    """Exchange rows of a segment as key << 32 | document, but those of documents that are gone; how many are left.

    rows    uint64[n]   key << shift | document, counted from base
    base    int64       the document that they count from
    gone    bool[...]   of all documents
    out     uint64[m]   m at least n
    """
    n = 0
    mask = (np.uint64(1) << shift) - np.uint64(1)
    for i in range(rows.size):
        document = np.int64(rows[i] & mask) + base
        if not gone[document]:
            out[n] = (rows[i] >> shift) << np.uint64(32) | np.uint64(document)
            n += 1
    return n


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
def _is_first_meeting(a, b, key, shift, band, bands, rows):
    """(whether the bucket of this key is of the first band that two signatures share, the band of the bucket).

    band   the band of the bucket, -1 as long as no pair has shown it
    """
    shared = _first_shared_band(a, b, bands, rows)
    if shared < 0:
        return False, band
    if shared != band:
        # Met before in another band, or the first true pair of this bucket.
        if (band_key(a, shared, rows) >> shift) & np.uint64(0xFFFFFFFF) != key:
            return False, band
        band = shared
    return True, band


@kernel
def compare_buckets(
    exchange, bounds, base, local, signatures, small, counts, shift, bands, rows, threshold, least_equal, references,
    state, pairs, similarity, tally,
):  # fmt: skip
    """Write the edges of some buckets to `pairs`; returns their number. Call again until state[0] is len(bounds).

    exchange     uint64[...]   sorted rows, key << 32 | document
    bounds       int64[m, 2]   the buckets within it
    local        int64[...]    row of signatures of exchange[base + i]
    signatures   uint16 or uint32[n, K];  small uint64[n, SMALL];  counts int32[n]
    shift        uint64        bits shift to shift + 31 of a full key are the key of an exchange row
    least_equal  int64         slots that must agree for an edge
    references   int64         documents below it, the first of each bucket, are not compared with each other
    state        int64[2]      in and out: bucket and member to go on with; zeros at first
    pairs        uint32[p, 2], similarity float64[p]   out: documents, smaller first; p at least the largest bucket
    tally        int64[1]      in and out: pairs compared
    """
    n = 0
    low = np.uint64(0xFFFFFFFF)
    while state[0] < bounds.shape[0]:
        begin, end = bounds[state[0], 0], bounds[state[0], 1]
        key = exchange[begin] >> np.uint64(32)
        band = -1
        new = begin
        while new < end and np.int64(exchange[new] & low) < references:
            new += 1
        for x in range(begin + state[1], end):
            if n + end - x > pairs.shape[0]:
                state[1] = x - begin
                return n
            i = local[x - base]
            for y in range(max(x + 1, new), end):
                j = local[y - base]
                first, band = _is_first_meeting(signatures[i], signatures[j], key, shift, band, bands, rows)
                if not first:
                    continue
                tally[0] += 1
                s = similarity_at_least(signatures, small, counts, i, j, threshold, least_equal)
                if s >= 0.0:
                    pairs[n, 0], pairs[n, 1] = np.uint32(exchange[x] & low), np.uint32(exchange[y] & low)
                    similarity[n] = s
                    n += 1
        state[0] += 1
        state[1] = 0
    return n


@kernel
def mark(found, is_met):
    """Set the flag of every place that some pairs name."""
    for e in range(found.shape[0]):
        is_met[found[e, 0]] = True
        is_met[found[e, 1]] = True


@kernel
def whole_keys(signatures, key, shift, bands, rows, out):
    """The whole band keys of the members of a bucket: two buckets may have the same 32 bits.

    key    uint64      of the bucket, as in an exchange row
    out    uint64[n]
    """
    band = 0  # of the member before
    for i in range(signatures.shape[0]):
        out[i] = band_key(signatures[i], band, rows)
        if (out[i] >> shift) & np.uint64(0xFFFFFFFF) == key:
            continue
        for other in range(bands):
            whole = band_key(signatures[i], other, rows)
            if (whole >> shift) & np.uint64(0xFFFFFFFF) == key:
                band, out[i] = other, whole
                break


@kernel
def own_bands(signatures, key, shift, bands, rows, keys, own):
    """All band keys of the members of a bucket, and the first band of each that has the bucket's key.

    key    uint64             of the bucket, as in an exchange row
    keys   uint64[n, bands]   out
    own    int64[n]           out
    """
    for i in range(signatures.shape[0]):
        own[i] = -1
        for band in range(bands):
            keys[i, band] = band_key(signatures[i], band, rows)
            if own[i] < 0 and (keys[i, band] >> shift) & np.uint64(0xFFFFFFFF) == key:
                own[i] = band


@kernel
def compare_pairs(
    found, row, members, signatures, small, counts, keys, own, threshold, least_equal, pairs, similarity
):  # fmt: skip
    """Compare some pairs of one bucket in full; writes those that meet here first and pass, returns their number.

    Keys tell in a few vectors whether a pair has met in another band before, as most do where nearly all are alike
    (looking for the first band on which signatures agree: 95 ns a pair, this: 19).

    found       uint32[m, 2]   pairs, as places among members
    row         int64[k]       the row of signatures of each member
    members     int64[k]       documents
    keys, own   as from `own_bands`
    pairs       uint32[m, 2]   out: documents, smaller first
    similarity  float64[m]     out
    """
    n = 0
    for e in range(found.shape[0]):
        a, b = found[e, 0], found[e, 1]
        i, j = row[a], row[b]
        band = own[i]
        if band != own[j] or band < 0 or keys[i, band] != keys[j, band]:
            continue  # two buckets whose shortened keys are equal
        x, y = keys[i, :band], keys[j, :band]
        before = 0
        for q in range(band):
            before += x[q] == y[q]
        if before > 0:
            continue
        s = similarity_at_least(signatures, small, counts, i, j, threshold, least_equal)
        if s >= 0.0:
            pairs[n, 0], pairs[n, 1] = min(members[a], members[b]), max(members[a], members[b])
            similarity[n] = s
            n += 1
    return n


@kernel
def compare_with_leaders(signatures, small, counts, threshold, least_equal, state, leaders, found, similarity):
    """Compare members of a bucket with its leaders, the first of it that are unlike each other; edges, their number.

    signatures, small, counts   the leaders so far, room for more, then members from len(leaders) on
    state        int64[3]       in and out: the member to go on with, leaders, pairs compared
    leaders      int64[l]       in and out: the row of each new leader
    found        int64[p, 2]    out: row of the member and number of the leader; p at least l
    similarity   float64[p]     out
    """
    n = 0
    while state[0] < signatures.shape[0]:
        i = state[0]
        if n + state[1] > found.shape[0]:
            return n
        met = False
        for leader in range(state[1]):
            s = similarity_at_least(signatures, small, counts, i, leader, threshold, least_equal)
            if s >= 0.0:
                met = True
                found[n, 0], found[n, 1] = i, leader
                similarity[n] = s
                n += 1
        state[2] += state[1]
        if not met and state[1] < leaders.size:
            signatures[state[1]] = signatures[i]
            small[state[1]] = small[i]
            counts[state[1]] = counts[i]
            leaders[state[1]] = i
            state[1] += 1
        state[0] += 1
    return n
