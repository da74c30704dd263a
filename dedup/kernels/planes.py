"""Large buckets: a lower bound of what two documents differ in, a few nanoseconds a pair (design 6.5).

Comparing two signatures is reading them from memory. Four bits of each slot in four planes are 128 bytes instead
of 512; where any of the four differs, so do the slots: no pair is lost, and the few that remain are compared
in full. A family of 100,000 of similarity 0.6 that share a template has 3.6 thousand million pairs in large
buckets, of which one in 43,000 remains. A pair costs 3.8 ns, since planes of adjacent
documents lie beside each other and are one vector; document by document it is 7.2.

Sets of few shingles are compared exactly, not by signature, and so have planes of their own: a bit for each shingle
at one of as many places. Places that differ are at most the shingles that only one of the two has.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.block import bit_count
from dedup.kernels.compile import kernel
from dedup.kernels.sketch import SMALL

PLANES = 4
TILE = 512  # documents whose planes stay in cache while others pass: 64 KiB at 256 slots
UNIT = 1 << 16  # of what is allowed: halves and fractions are exact enough as integers


@kernel
def slice_signatures(signatures, begin, planes):
    """Put the low four bits of every slot into planes, for documents begin to begin + len(signatures) - 1.

    signatures   uint16 or uint32[m, K]
    planes       uint64[4 * w, n]   in and out: plane p of slots 64 v to 64 v + 63 of document i is
                                    planes[4 v + p, i]; w is K / 64, rounded up; zeros at first
    """
    for i in range(signatures.shape[0]):
        for word in range(planes.shape[0] // PLANES):
            a = b = c = d = np.uint64(0)
            for slot in range(64 * word, min(64 * word + 64, signatures.shape[1])):
                x = np.uint64(signatures[i, slot])
                at = np.uint64(slot & 63)
                a |= (x & np.uint64(1)) << at
                b |= ((x >> np.uint64(1)) & np.uint64(1)) << at
                c |= ((x >> np.uint64(2)) & np.uint64(1)) << at
                d |= ((x >> np.uint64(3)) & np.uint64(1)) << at
            planes[PLANES * word, begin + i] = a
            planes[PLANES * word + 1, begin + i] = b
            planes[PLANES * word + 2, begin + i] = c
            planes[PLANES * word + 3, begin + i] = d


@kernel
def slice_sets(small, counts, begin, planes):
    """Put a bit for every shingle into planes; those of documents with SMALL shingles or more stay as they are.

    small, counts   uint64[m, SMALL], int32[m]
    planes          uint64[4 * w, n]   as in `slice_signatures`
    """
    places = np.uint64(64 * (planes.shape[0] // PLANES))
    for i in range(counts.size):
        if counts[i] >= SMALL:
            continue
        for j in range(counts[i]):
            x = small[i, j]
            place = ((x >> np.uint64(32)) * places) >> np.uint64(32)
            plane = np.uint64(PLANES) * (place >> np.uint64(6)) + (x & np.uint64(PLANES - 1))
            planes[plane, begin + i] |= np.uint64(1) << (place & np.uint64(63))


@kernel
def count_alike(planes, allowed, sample, sample_allowed, begins, different, out):
    """Add to out[i] how many of a sample, from the begins[i]-th on, document i may be alike.

    planes      uint64[4 * w, n]   of documents;  allowed int64[n]
    sample      uint64[4 * w, s]   of the sample;  sample_allowed int64[s]
    different   int64[s]           scratch
    """
    for i in range(planes.shape[1]):
        begin = begins[i]
        m = sample.shape[1] - begin
        different[:m] = 0
        for word in range(0, planes.shape[0], PLANES):
            p, q = sample[word, begin:], sample[word + 1, begin:]
            r, s = sample[word + 2, begin:], sample[word + 3, begin:]
            x, y, z, t = planes[word, i], planes[word + 1, i], planes[word + 2, i], planes[word + 3, i]
            for j in range(m):
                different[j] += bit_count((p[j] ^ x) | (q[j] ^ y) | (r[j] ^ z) | (s[j] ^ t))
        others = sample_allowed[begin:]
        some = 0
        for j in range(m):
            some += different[j] * UNIT <= allowed[i] + others[j]
        out[i] += some


@kernel
def alike(planes, allowed, a, a_end, b_end, state, different, found):
    """Write the pairs that may be alike, i < j, a <= i < a_end, state[0] <= j < b_end; returns their number.

    Call again until state[0] is b_end.

    planes      uint64[4 * w, n]
    allowed     int64[n]         i and j may differ in (allowed[i] + allowed[j]) / UNIT places
    state       int64[2]         in and out: the first j of a tile and the i to go on with
    different   int64[TILE]      scratch
    found       uint32[p, 2]     out; p at least TILE
    """
    n = 0
    while state[0] < b_end:
        end = min(state[0] + TILE, b_end)
        for i in range(state[1], min(a_end, end - 1)):
            begin = max(state[0], i + 1)
            m = end - begin
            if n + m > found.shape[0]:
                state[1] = i
                return n
            for word in range(0, planes.shape[0], PLANES):
                p, q = planes[word, begin:end], planes[word + 1, begin:end]
                r, s = planes[word + 2, begin:end], planes[word + 3, begin:end]
                x, y, z, t = planes[word, i], planes[word + 1, i], planes[word + 2, i], planes[word + 3, i]
                if word == 0:
                    for j in range(m):
                        different[j] = bit_count((p[j] ^ x) | (q[j] ^ y) | (r[j] ^ z) | (s[j] ^ t))
                else:
                    for j in range(m):
                        different[j] += bit_count((p[j] ^ x) | (q[j] ^ y) | (r[j] ^ z) | (s[j] ^ t))
            others = allowed[begin:end]
            some = 0  # counted first: this loop is vectorised
            for j in range(m):
                some += different[j] * UNIT <= allowed[i] + others[j]
            if some > 0:
                for j in range(m):
                    if different[j] * UNIT <= allowed[i] + others[j]:
                        found[n, 0] = np.uint32(i)
                        found[n, 1] = np.uint32(begin + j)
                        n += 1
        state[0], state[1] = end, a
    return n
