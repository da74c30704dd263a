"""Signatures: fast similarity sketching and classic MinHash (design 6.3, 6.9).

Fast similarity sketching (Dahlgaard, Knudsen, Thorup, FOCS 2017, section 2) throws every shingle into one
slot a round instead of trying every slot for every shingle, and so costs little more than reading the
shingles. A document of fewer than SMALL distinct shingles is recognised on the way: it carries the
shingles themselves, which are smaller and exact.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import kernel
from dedup.kernels.shingle import shingle_one
from dedup.kernels.token import mix64

SMALL = 64
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_LOW = np.uint64(0xFFFFFFFF)


@kernel
def distinct_below(shingles, n, limit, probe, out):
    """Sorted distinct values of shingles[:n] into out and their number; `limit` and unsorted if there are as many.

    probe   uint64[4 * limit]   scratch, a power of two
    out     uint64[limit]
    """
    mask = np.uint64(probe.size - 1)
    probe[:] = 0
    zero = False
    count = 0
    for j in range(n):
        x = shingles[j]
        if x == 0:
            if zero:
                continue
            zero = True
        else:
            at = x & mask
            while probe[at] != 0 and probe[at] != x:
                at = (at + np.uint64(1)) & mask
            if probe[at] == x:
                continue
            probe[at] = x
        if count == limit:
            return limit
        out[count] = x
        count += 1
        if count == limit:
            return limit
    for i in range(1, count):  # insertion sort: under 64 values
        x = out[i]
        j = i - 1
        while j >= 0 and out[j] > x:
            out[j + 1] = out[j]
            j -= 1
        out[j + 1] = x
    return count


@kernel
def sketch_fast(shingles, n, seed, slots, out):
    """Fast similarity sketch of shingles[:n], n > 0, as 16-bit values.

    slots   uint64[K]   scratch: the minimum (round, hash) of each slot
    out     uint16[K]   overwritten; equal in the share J of the slots, J the Jaccard similarity
    """
    k = slots.size
    slots[:] = _EMPTY
    for r in range(2 * k):
        # The shingles are mixed already: one odd multiplier and one fold a round suffice (27 -> 17 ns a shingle).
        salt = mix64(seed + np.uint64(r) * _GOLDEN)
        factor = mix64(salt) | np.uint64(1)
        high = np.uint64(r) << np.uint64(32)
        if r < k:
            for j in range(n):
                y = (shingles[j] ^ salt) * factor
                at = ((y >> np.uint64(32)) * np.uint64(k)) >> np.uint64(32)
                slots[at] = min(slots[at], high | ((y ^ (y >> np.uint64(32))) & _LOW))
        else:
            # Every slot is filled once here, whatever the set; only sets of a few shingles come this far.
            at = np.uint64(r - k)
            for j in range(n):
                y = (shingles[j] ^ salt) * factor
                slots[at] = min(slots[at], high | ((y ^ (y >> np.uint64(32))) & _LOW))
        if (r + 1) * n >= 2 * k or r >= k:
            empty = 0
            for j in range(k):
                empty += slots[j] == _EMPTY
            if empty == 0:
                break
    for j in range(k):
        out[j] = np.uint16(mix64(slots[j] + np.uint64(j) * _GOLDEN) >> np.uint64(48))


@kernel
def sketch_minhash(shingles, n, a, b, out):
    """Classic MinHash of the low 32 bits of shingles[:n], n > 0: datasketch 2's "affine32".

    a, b   uint32[K]   the permutations; a is odd
    out    uint32[K]   overwritten: min of a * fmix32(x) + b mod 2^32
    """
    out[:] = np.uint32(0xFFFFFFFF)
    for j in range(n):
        x = np.uint32(shingles[j] & _LOW)
        x = np.uint32(np.uint32(x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B))
        x = np.uint32(np.uint32(x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35))
        x = np.uint32(x ^ (x >> np.uint32(16)))
        for i in range(out.size):
            h = np.uint32(np.uint32(a[i] * x) + b[i])
            out[i] = min(out[i], h)


@kernel
def sketch_tokens_fast(tokens, token_offsets, k, whole, seed, buffer, signatures, small, counts):
    """Signatures of a batch of documents, and the shingles of those that have few.

    tokens, token_offsets   uint64[...], int64[n + 1]
    buffer                  uint64[m]          scratch for the longest document's shingles
    signatures              uint16[n, K]       out; untouched for a document without shingles
    small                   uint64[n, SMALL]   out: sorted distinct shingles where counts[i] < SMALL
    counts                  int32[n]           out: distinct shingles, at most SMALL
    """
    probe = np.empty(4 * SMALL, np.uint64)
    slots = np.empty(signatures.shape[1], np.uint64)
    for i in range(token_offsets.size - 1):
        n = shingle_one(tokens, token_offsets[i], token_offsets[i + 1], k, whole, buffer)
        counts[i] = distinct_below(buffer, n, SMALL, probe, small[i])
        if counts[i] == 0:
            continue
        if counts[i] < SMALL:
            sketch_fast(small[i], counts[i], seed, slots, signatures[i])
        else:
            sketch_fast(buffer, n, seed, slots, signatures[i])


@kernel
def sketch_tokens_minhash(tokens, token_offsets, k, whole, a, b, buffer, signatures, small, counts):
    """As `sketch_tokens_fast`, with classic MinHash: signatures is uint32[n, K]."""
    probe = np.empty(4 * SMALL, np.uint64)
    for i in range(token_offsets.size - 1):
        n = shingle_one(tokens, token_offsets[i], token_offsets[i + 1], k, whole, buffer)
        counts[i] = distinct_below(buffer, n, SMALL, probe, small[i])
        if counts[i] == 0:
            continue
        if counts[i] < SMALL:
            sketch_minhash(small[i], counts[i], a, b, signatures[i])
        else:
            sketch_minhash(buffer, n, a, b, signatures[i])


@kernel
def sketch_small_fast(small, counts, seed, signatures):
    """Signatures made again from stored shingles: row i has counts[i] of them, 0 < counts[i] < SMALL."""
    slots = np.empty(signatures.shape[1], np.uint64)
    for i in range(counts.size):
        sketch_fast(small[i], counts[i], seed, slots, signatures[i])


@kernel
def sketch_small_minhash(small, counts, a, b, signatures):
    """As `sketch_small_fast`, with classic MinHash."""
    for i in range(counts.size):
        sketch_minhash(small[i], counts[i], a, b, signatures[i])


@kernel
def band_key(signature, band, rows):
    """64-bit key of one band of one signature; the band's number is part of it."""
    h = mix64(np.uint64(band) + _GOLDEN)
    for j in range(band * rows, band * rows + rows):
        h = (h ^ np.uint64(signature[j])) * np.uint64(0xC3A5C85C97CB3127)
        h ^= h >> np.uint64(32)
    return mix64(h)


@kernel
def band_keys(signatures, bands, rows, documents, out):
    """Rows of the exchange: high 44 bits of each band key, low 20 bits the document's number.

    signatures   uint16 or uint32[n, K]   K at least bands * rows
    documents    int64[n]                 each in [0, 2^20)
    out          uint64[n, bands]         overwritten
    """
    for i in range(documents.size):
        for band in range(bands):
            key = band_key(signatures[i], band, rows)
            out[i, band] = key >> np.uint64(20) << np.uint64(20) | np.uint64(documents[i])
