"""Token hashes to shingle hashes, and sets of them (design 6.2, 6.7).

A shingle is k consecutive tokens; its hash is a polynomial over the token hashes, which rolls, and a
finalizer. Sets are sorted distinct arrays, so that an exact Jaccard similarity is one merge.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import kernel
from dedup.kernels.token import mix64

_BASE = np.uint64(0xD6E8FEB86659FD93)
_LENGTH = np.uint64(0x9E3779B97F4A7C15)


@kernel
def shingle_one(tokens, begin, end, k, whole, out):
    """Write the shingle hashes of one document to out[:n] and return n.

    tokens  uint64[...]   the document is tokens[begin:end]
    whole   bool          a document of 1 to k - 1 tokens is one shingle instead of none
    out     uint64[m]     m at least max(end - begin - k + 1, 1); in order, repeats kept
    """
    n = end - begin
    width = k
    if n < k:
        if n == 0 or not whole:
            return 0
        width = n
    power = np.uint64(1)
    h = np.uint64(0)
    for j in range(width):
        h = h * _BASE + tokens[begin + j]
        power = power * _BASE
    # The length keeps a whole short text apart from a shingle of k tokens.
    salt = _LENGTH * np.uint64(width)
    out[0] = mix64(h ^ salt)
    for j in range(width, n):
        h = h * _BASE + tokens[begin + j] - tokens[begin + j - width] * power
        out[j - width + 1] = mix64(h ^ salt)
    return n - width + 1


@kernel
def shingle_all(tokens, token_offsets, k, whole, out, out_offsets):
    """Shingle hashes of a batch; document i is out[out_offsets[i]:out_offsets[i + 1]], repeats kept.

    tokens, token_offsets   uint64[...], int64[n + 1]
    out, out_offsets        uint64[m], int64[n + 1]   out; m at least len(tokens) + 1
    """
    out_offsets[0] = 0
    for i in range(token_offsets.size - 1):
        n = shingle_one(tokens, token_offsets[i], token_offsets[i + 1], k, whole, out[out_offsets[i] :])
        out_offsets[i + 1] = out_offsets[i] + n


@kernel
def sort_runs(values, offsets, scratch):
    """Sort each run of random 64-bit hashes in place; run i is values[offsets[i]:offsets[i + 1]].

    scratch   uint64[m]   m at least the longest run

    Three counting passes over the highest 24 bits leave few neighbours to exchange: 8 ns a value where NumPy's
    sort takes 30 on runs of a thousand. Right for any values, quadratic for many that share 24 bits but differ.
    """
    counts = np.empty(256, np.int64)
    for i in range(offsets.size - 1):
        begin, n = offsets[i], offsets[i + 1] - offsets[i]
        run = values[begin : begin + n]
        if n >= 64:
            source, target = run, scratch[:n]
            for digit in range(3):
                shift = np.uint64(40 + 8 * digit)
                counts[:] = 0
                for j in range(n):
                    counts[(source[j] >> shift) & np.uint64(255)] += 1
                total = 0
                for d in range(256):
                    count = counts[d]
                    counts[d] = total
                    total += count
                for j in range(n):
                    d = (source[j] >> shift) & np.uint64(255)
                    target[counts[d]] = source[j]
                    counts[d] += 1
                source, target = target, source
            run[:] = scratch[:n]
        for j in range(1, n):
            x = run[j]
            at = j - 1
            while at >= 0 and run[at] > x:
                run[at + 1] = run[at]
                at -= 1
            run[at + 1] = x


@kernel
def compact_sorted(values, offsets, out_offsets):
    """Drop repeats from sorted runs, in place; run i becomes values[out_offsets[i]:out_offsets[i + 1]].

    values   uint64[...]      run i is values[offsets[i]:offsets[i + 1]], ascending
    """
    n = 0
    out_offsets[0] = 0
    for i in range(offsets.size - 1):
        begin = n
        for j in range(offsets[i], offsets[i + 1]):
            if n == begin or values[j] != values[n - 1]:
                values[n] = values[j]
                n += 1
        out_offsets[i + 1] = n


@kernel
def common(values, a, a_end, b, b_end):
    """How many values the sorted distinct runs values[a:a_end] and values[b:b_end] share.

    Branch-free steps: both cursors move by comparisons, which random hashes would mispredict.
    """
    n = 0
    while a < a_end and b < b_end:
        x, y = values[a], values[b]
        n += np.int64(x == y)
        a += np.int64(x <= y)
        b += np.int64(y <= x)
    return n


@kernel
def jaccard_runs(values, a, a_end, b, b_end, threshold):
    """Exact Jaccard similarity of two runs; 0 where either is empty, or where sizes alone keep it below threshold."""
    n_a, n_b = a_end - a, b_end - b
    if n_a == 0 or n_b == 0:
        return 0.0
    # |A & B| / |A | B| is at most min / max of the sizes.
    if min(n_a, n_b) < threshold * max(n_a, n_b):
        return 0.0
    shared = common(values, a, a_end, b, b_end)
    return shared / (n_a + n_b - shared)


@kernel
def gather_runs(values, offsets, order, out):
    """Lay runs of values one after the other in another order.

    values, offsets   uint64[...], int64[n + 1]
    order             int64[m]      runs to take
    out               uint64[...]   their values
    """
    n = 0
    for i in range(order.size):
        for j in range(offsets[order[i]], offsets[order[i] + 1]):
            out[n] = values[j]
            n += 1
