"""Characters in UTF-8 bytes: code points, widths, white space; and a word's bytes as numbers and hashes."""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import lean_kernel
from dedup.kernels.token import absorb, mix64
from dedup.kernels.word import LOW, load8

_SEED = np.uint64(0x51ED270B35D1A3F1)


@lean_kernel
def code_point(data, p):
    """The code point whose UTF-8 begins at p."""
    c = np.uint32(data[p])
    if c < np.uint32(0x80):
        return c
    one = np.uint64(1)
    p = np.uint64(p) + one
    second = np.uint32(data[p]) & np.uint32(0x3F)
    if c < np.uint32(0xE0):
        return (c & np.uint32(0x1F)) << np.uint32(6) | second
    third = np.uint32(data[p + one]) & np.uint32(0x3F)
    if c < np.uint32(0xF0):
        return (c & np.uint32(0x0F)) << np.uint32(12) | second << np.uint32(6) | third
    fourth = np.uint32(data[p + one + one]) & np.uint32(0x3F)
    return (c & np.uint32(0x07)) << np.uint32(18) | second << np.uint32(12) | third << np.uint32(6) | fourth


@lean_kernel
def char_bytes(first):
    """Bytes of the character whose UTF-8 begins with this byte."""
    if first < 0x80:
        return np.uint64(1)
    if first < 0xE0:
        return np.uint64(2)
    return np.uint64(3) if first < 0xF0 else np.uint64(4)


@lean_kernel
def last_character(data, start, end):
    """Where the last character of data[start:end] begins."""
    p = end - 1
    while p > start and data[p] & 0xC0 == 0x80:
        p -= 1
    return p


@lean_kernel
def first_bytes(data, p, size):
    """The first bytes of a word of `size` >= 1, at most eight, as a number, the first one lowest."""
    if p + np.uint64(8) <= np.uint64(data.size):
        # No branch on the size: it is as good as random (9 ns a word with one, 2 without).
        others = np.uint64(64) - (min(size, np.uint64(8)) << np.uint64(3))
        return load8(data, p) << others >> others
    x = np.uint64(0)
    for k in range(min(size, np.uint64(8))):
        x |= np.uint64(data[p + k]) << (np.uint64(k) << np.uint64(3))
    return x


@lean_kernel
def space_bytes(data, p, end):
    """Bytes of the white-space character (str.isspace) at p; 0 if it is another."""
    c = data[p]
    if c < 0x80:
        return 1 if c == 0x20 or 0x09 <= c <= 0x0D or 0x1C <= c <= 0x1F else 0
    if c == 0xC2 and end - p >= 2:
        return 2 if data[p + 1] == 0x85 or data[p + 1] == 0xA0 else 0
    if 0xE1 <= c <= 0xE3 and end - p >= 3:
        w = code_point(data, p)
        if w == 0x1680 or 0x2000 <= w <= 0x200A or w == 0x2028 or w == 0x2029:
            return 3
        return 3 if w == 0x202F or w == 0x205F or w == 0x3000 else 0
    return 0


@lean_kernel
def hash_bytes(data, p, size):
    """A 64-bit hash of data[p:p + size], as it stands: nothing is folded."""
    p, size = np.uint64(p), np.uint64(size)
    h = absorb(_SEED, size)
    eight = np.uint64(8)
    while size >= eight:
        h = absorb(h, load8(data, p))
        p += eight
        size -= eight
    if size > 0:
        h = absorb(h, first_bytes(data, p, size))
    return mix64(h)


@lean_kernel
def hash_spans(data, offsets, base, starts, ends, out):
    """The hash of every word: uint64[m] into `out`; word j of text i is data[base[i] + starts[j]:base[i] + ends[j]].

    offsets   int64[n + 1]   the words of text i are offsets[i] to offsets[i + 1] - 1
    base      int64[n];  starts, ends   int32[m]
    """
    for i in range(offsets.size - 1):
        for j in range(offsets[i], offsets[i + 1]):
            out[j] = hash_bytes(data, base[i] + starts[j], ends[j] - starts[j])


@lean_kernel
def not_zero(x):
    """The high bit of every byte that is not 0; the other bits mean nothing."""
    return ((x & LOW) + LOW) | x


@lean_kernel
def characters(data, start, end):
    """Code points of data[start:end]."""
    count = np.int64(0)
    for p in range(start, end):
        count += data[p] & 0xC0 != 0x80
    return count


@lean_kernel
def is_again(data, start, end, table, mask):
    """Whether data[start:end] was put into a table of hashes before; it is there afterwards.

    table   uint64[mask + 1]   zeros at first; some slots have to stay free
    """
    one = np.uint64(1)
    h = hash_bytes(data, start, end - start) | one
    slot = (h >> one) & mask
    while table[slot] != 0 and table[slot] != h:
        slot = (slot + one) & mask
    found = table[slot] == h
    table[slot] = h
    return found


def table_size(entries: int) -> int:
    """Slots of a table for so many entries: a power of two, at most half of them used."""
    return 1 << max(4, (2 * entries - 1).bit_length())
