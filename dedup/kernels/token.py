"""Text to token hashes in one pass over UTF-8 bytes (design 6.1).

One state machine over a code-point table serves every script: no language flag, no tokenizer. A token
leaves as a 64-bit hash of its folded characters, so that no string is ever built. The hash absorbs the
folded characters in words of eight bytes, one byte for an ASCII character and a word for any other, so
that a run of ASCII letters is read, lowered and hashed eight bytes at a time.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import lean_kernel
from dedup.kernels.word import HIGH, LOW, SPACES, load8, trailing_zeros

_WORD, _ALONE, _MARK = np.uint32(1), np.uint32(2), np.uint32(3)
_FOLDED = np.uint32((1 << 21) - 1)
_SEED = np.uint64(0x9AE16A3B2F90404F)
_PRIME = np.uint64(0xC3A5C85C97CB3127)
_WIDE = np.uint64(1 << 63)  # keeps a character's word apart from one of eight ASCII bytes
_FROM_0 = np.uint64(0x5050505050505050)  # added to a byte below 0x80, sets its high bit from "0" on
_FROM_COLON = np.uint64(0x4646464646464646)
_FROM_A = np.uint64(0x1F1F1F1F1F1F1F1F)
_FROM_BRACE = np.uint64(0x0505050505050505)


@lean_kernel
def mix64(x):
    """A bijection of uint64 in which every input bit reaches every output bit (splitmix64's finalizer)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@lean_kernel
def absorb(h, word):
    """One more word of eight bytes into a hash."""
    h = (h ^ word) * _PRIME
    return h ^ (h >> np.uint64(29))


@lean_kernel
def ascii_word_bytes(x):
    """How many of the lowest bytes of x are ASCII letters or digits before the first that is not: 0 to 8."""
    t = x & LOW
    lower = t | SPACES
    digit = (t + _FROM_0) & ~(t + _FROM_COLON)
    letter = (lower + _FROM_A) & ~(lower + _FROM_BRACE)
    return trailing_zeros(~((digit | letter) & ~x) & HIGH) >> np.uint64(3)


@lean_kernel
def tokenize(offsets, data, table, hashes, starts, ends, token_offsets):
    """Token hashes, and where wanted spans, of a batch of texts.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    table           uint32[0x110000]           kind << 21 | folded code point
    hashes          uint64[m]                  out; m at least `most_tokens(bytes, n)`
    starts, ends    int32[m] or int32[0]       out: byte span within the text (limit: a text of 2 GiB)
    token_offsets   int64[n + 1]               out; token j of text i is hashes[token_offsets[i] + j]

    Twin: tests/naive.py (tokens, token_spans).
    """
    spans = starts.size > 0
    one, eight = np.uint64(1), np.uint64(8)
    safe = np.uint64(max(data.size - 8, 0)) if data.size >= 8 else np.uint64(0)
    can_load = data.size >= 8
    n = np.uint64(0)  # tokens written; an open word is written when it closes, a lone character at once
    token_offsets[0] = 0
    for i in range(offsets.size - 1):
        begin, end = np.uint64(offsets[i]), np.uint64(offsets[i + 1])
        state = np.uint32(0)  # the kind of the token that a mark would join; 0: none
        h = _SEED
        w = np.uint64(0)  # ASCII characters not yet absorbed
        filled = np.uint64(0)  # their bits
        p = begin
        while p < end:
            c = np.uint32(data[p])
            if c < np.uint32(0x80):
                if state != _WORD and can_load and p <= safe:
                    x = load8(data, p)
                    m = min(ascii_word_bytes(x), end - p)
                    if m == 0:  # white space and punctuation; anything else in ASCII below is a letter or digit
                        state = np.uint32(0)
                        p += one
                        continue
                    if spans:
                        starts[n] = p - begin
                    h = _SEED
                    while m == eight:
                        h = absorb(h, x | SPACES)
                        p += eight
                        if p > safe:
                            m = np.uint64(0)
                            break
                        x = load8(data, p)
                        m = min(ascii_word_bytes(x), end - p)
                    filled = m << np.uint64(3)
                    w = (x | SPACES) & ((one << filled) - one) if m > 0 else np.uint64(0)
                    p += m
                    if spans:
                        ends[n] = p - begin
                    # Most words end here. One that a non-ASCII character or the end of the data follows stays open.
                    if p < end and p <= safe and data[p] < 0x80:
                        if filled > 0:
                            h = absorb(h, w)
                        hashes[n] = mix64(h)
                        n += one
                        w = filled = np.uint64(0)
                        state = np.uint32(0)
                        p += one
                    else:
                        state = _WORD
                    continue
                p += one
            elif c < np.uint32(0xE0):
                c = (c & np.uint32(0x1F)) << np.uint32(6) | (np.uint32(data[p + one]) & np.uint32(0x3F))
                p += np.uint64(2)
            elif c < np.uint32(0xF0):
                c = (
                    (c & np.uint32(0x0F)) << np.uint32(12)
                    | (np.uint32(data[p + one]) & np.uint32(0x3F)) << np.uint32(6)
                    | (np.uint32(data[p + np.uint64(2)]) & np.uint32(0x3F))
                )
                p += np.uint64(3)
            else:
                c = (
                    (c & np.uint32(0x07)) << np.uint32(18)
                    | (np.uint32(data[p + one]) & np.uint32(0x3F)) << np.uint32(12)
                    | (np.uint32(data[p + np.uint64(2)]) & np.uint32(0x3F)) << np.uint32(6)
                    | (np.uint32(data[p + np.uint64(3)]) & np.uint32(0x3F))
                )
                p += np.uint64(4)
            entry = table[c]
            kind = entry >> np.uint32(21)
            folded = np.uint64(entry & _FOLDED)
            if kind == _ALONE:
                if state == _WORD:
                    if filled > 0:
                        h = absorb(h, w)
                    hashes[n] = mix64(h)
                    n += one
                    w = filled = np.uint64(0)
                h = absorb(_SEED, folded | _WIDE)
                hashes[n] = mix64(h)
                if spans:
                    starts[n] = p - begin - _width(c)
                    ends[n] = p - begin
                n += one
                state = _ALONE
            elif kind in (_WORD, _MARK):
                if kind == _MARK:
                    if state == 0:
                        continue
                elif state != _WORD:
                    h = _SEED
                    state = _WORD
                    if spans:
                        starts[n] = p - begin - _width(c)
                if folded < np.uint64(0x80):
                    w |= folded << filled
                    filled += eight
                    if filled == np.uint64(64):
                        h = absorb(h, w)
                        w = filled = np.uint64(0)
                else:
                    if filled > 0:
                        h = absorb(h, w)
                        w = filled = np.uint64(0)
                    h = absorb(h, folded | _WIDE)
                if state == _ALONE:
                    hashes[n - one] = mix64(h)
                    if spans:
                        ends[n - one] = p - begin
                elif spans:
                    ends[n] = p - begin
            elif kind == 0:
                if state == _WORD:
                    if filled > 0:
                        h = absorb(h, w)
                    hashes[n] = mix64(h)
                    n += one
                    w = filled = np.uint64(0)
                state = np.uint32(0)
        if state == _WORD:
            if filled > 0:
                h = absorb(h, w)
            hashes[n] = mix64(h)
            n += one
        token_offsets[i + 1] = n


@lean_kernel
def _width(c):
    """Bytes of a code point in UTF-8."""
    if c < np.uint32(0x80):
        return np.uint64(1)
    if c < np.uint32(0x800):
        return np.uint64(2)
    if c < np.uint32(0x10000):
        return np.uint64(3)
    return np.uint64(4)


def most_tokens(text_bytes: int, texts: int) -> int:
    """The most tokens that texts of so many bytes can have: one for every second byte, rounded up."""
    return (text_bytes + texts + 1) // 2
