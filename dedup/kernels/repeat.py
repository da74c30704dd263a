"""How often n-grams of a text repeat, of characters or of words, by one table of counts a text.

An n-gram is a rolling hash. A slot of the table keeps 43 bits of it and 21 bits of its count in one word, which
with the bits that choose the slot tells apart as much as a 64-bit hash does, at half the memory. No list of
counts is kept or sorted: at_least[c] is the number of n-grams that occur c times or more, and the k most
frequent ones together occur sum over c of min(k, at_least[c]) times.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels import utf8
from dedup.kernels.block import BLOCK, begins, bit_count, block_at
from dedup.kernels.category import SPECIAL
from dedup.kernels.compile import lean_kernel
from dedup.kernels.token import absorb
from dedup.kernels.utf8 import char_bytes, code_point

MOST = 2_000_000  # n-grams of a text that are looked at: bounds the memory, and counts fit into 21 bits
CHARACTERS, SPECIALS, TOP, GRAMS, REPEATED_WORDS, WORD_GRAMS, STOP_WORDS, FLAGGED, WORDS = range(9)
COUNTS = 9

_COUNT = np.uint64((1 << 21) - 1)
_ONE, _BLOCK = np.uint64(1), np.uint64(BLOCK)
_BASE = np.uint64(0x9E3779B97F4A7C15)
_MARKS = np.uint64(3)
_NOT_ASCII, _LETTERS = begins([(0x80, 0xFF)]), begins([("a", "z")], fold=True)
_MIX = np.uint64(0xD6E8FEB86659FD93)


def table_size(most: int) -> int:
    """Slots of a table for so many n-grams: a power of two, at most half of them used."""
    return max(64, utf8.table_size(min(most, MOST)))


@lean_kernel
def count_grams(values, m, n, grams, table, at_least):
    """Count the n-grams of values[:m]; returns how many there are, at most MOST.

    grams      uint64[...]               scratch, as long as there are n-grams
    table      uint64[table_size(...)]   scratch, of any content
    at_least   int64[...]                out: at_least[c], c >= 1, n-grams that occur c times or more, up to the
                                         first 0; as long as there are n-grams, and three more
    """
    total = min(m - n + 1, MOST)
    at_least[1] = at_least[2] = 0
    if total <= 0:
        return 0
    _hash_grams(values, n, total, grams)
    again = _maybe_repeated(grams[:total], table)
    bits = 6
    while (1 << bits) < 2 * again:
        bits += 1
    shift, mask = np.uint64(64 - bits), np.uint64((1 << bits) - 1)
    table[: 1 << bits] = 0
    most = 1
    for j in range(again):
        x = grams[j]
        slot = (x * _BASE) >> shift
        x &= ~_COUNT
        found = table[slot]
        while found != 0 and found & ~_COUNT != x:
            slot = (slot + _ONE) & mask
            found = table[slot]
        count = np.int64(found & _COUNT) + 1
        table[slot] = x | np.uint64(count)
        if count > most:
            most = count
            at_least[count + 1] = 0
        at_least[count] += 1
    at_least[1] += total - again
    return total


@lean_kernel
def _hash_grams(values, n, total, grams):
    """A hash of every n-gram into grams[:total].

    Each hash waits for the one before it, so four quarters are hashed at the same time (2.1 -> 1.0 ns a value).
    """
    n, total = np.uint64(n), np.uint64(total)
    out_of = _ONE  # _BASE to the power of n: what the value that leaves was multiplied by
    for _ in range(n):
        out_of *= _BASE
    quarter = total >> np.uint64(2)
    second, third, fourth = quarter, quarter + quarter, quarter + quarter + quarter
    a, b = _hash_one(values, np.uint64(0), n), _hash_one(values, second, n)
    c, d = _hash_one(values, third, n), _hash_one(values, fourth, n)
    for j in range(quarter):
        grams[j], grams[second + j], grams[third + j], grams[fourth + j] = _mixed(a), _mixed(b), _mixed(c), _mixed(d)
        a = _rolled(a, values, j, n, out_of)
        b = _rolled(b, values, second + j, n, out_of)
        c = _rolled(c, values, third + j, n, out_of)
        if fourth + j + _ONE < total:
            d = _rolled(d, values, fourth + j, n, out_of)
    for j in range(fourth + quarter, total):
        grams[j] = _mixed(_hash_one(values, j, n))


@lean_kernel
def _hash_one(values, j, n):
    """The hash of the n-gram at j, not yet mixed."""
    h = np.uint64(0)
    for k in range(j, j + n):
        h = h * _BASE + np.uint64(values[k])
    return h


@lean_kernel
def _rolled(h, values, j, n, out_of):
    """From the hash of the n-gram at j to that of the next."""
    return h * _BASE + (np.uint64(values[j + n]) - np.uint64(values[j]) * out_of)


@lean_kernel
def _mixed(h):
    x = (h ^ (h >> np.uint64(32))) * _MIX
    return x ^ (x >> np.uint64(29))


@lean_kernel
def _maybe_repeated(grams, bitmap):
    """Move the n-grams that may occur twice to the front; how many. None that does is left out.

    Most n-grams occur once. Two bits for each of 8 to 16 times as many places as there are n-grams, "seen" and "seen
    again", fit into the nearest cache and are set without a branch.
    """
    bits = 6
    while (1 << bits) < 8 * grams.size:
        bits += 1
    shift, low = np.uint64(64 - bits), np.uint64(31)
    bitmap[: 1 << (bits - 5)] = 0
    for j in range(grams.size):
        place = (grams[j] * _BASE) >> shift
        word = bitmap[place >> np.uint64(5)]
        bit = _ONE << (place & low)
        bitmap[place >> np.uint64(5)] = word | bit | (word & bit) << np.uint64(32)
    again = np.uint64(0)
    for j in range(grams.size):
        x = grams[j]
        place = (x * _BASE) >> shift
        grams[again] = x
        again += bitmap[place >> np.uint64(5)] >> ((place & low) + np.uint64(32)) & _ONE
    return np.int64(again)


@lean_kernel
def top_sum(k, at_least):
    """How often the k most frequent n-grams occur together."""
    total, c = 0, 1
    while at_least[c] > 0:
        total += min(k, at_least[c])
        c += 1
    return total


@lean_kernel
def whole_root(x):
    """The integer part of the square root."""
    root = np.int64(np.sqrt(x))
    while root * root > x:
        root -= 1
    while (root + 1) * (root + 1) <= x:
        root += 1
    return root


@lean_kernel
def _decode(data, p, end, flags, codes):
    """The code points of data[p:end] into `codes`, as many as fit; (how many there are, how many are special)."""
    p, end, most = np.uint64(p), np.uint64(end), np.uint64(codes.size)
    characters, specials = np.uint64(0), np.int64(0)
    while p < end:
        if p + _BLOCK <= end and characters + _BLOCK <= most:
            block = block_at(data, np.int64(p))
            if _NOT_ASCII(block) == 0:
                specials += BLOCK - bit_count(_LETTERS(block))
                for k in range(_BLOCK):
                    codes[characters + k] = data[p + k]
                characters += _BLOCK
                p += _BLOCK
                continue
        for _ in range(BLOCK):
            if p == end:
                break
            c = code_point(data, p)
            p += char_bytes(data[p])
            specials += (flags[c] & SPECIAL) != 0
            if characters < most:
                codes[characters] = c
            characters += _ONE
    return np.int64(characters), specials


@lean_kernel
def count_characters(offsets, data, n, flags, codes, grams, table, at_least, out):
    """Counts of characters, special ones, character n-grams, and occurrences of the most frequent repeated n-grams.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    flags           uint16[0x110000]           of category.flags
    codes           uint32[MOST + n]           scratch, or as long as the longest text
    grams, table, at_least                     scratch of `count_grams`
    out             int64[n, COUNTS]           CHARACTERS to GRAMS are overwritten

    The most frequent: as many as the square root of the number of distinct n-grams, of those only that occur twice
    or more. Twin: tests/measure/test_roots.py.
    """
    for i in range(offsets.size - 1):
        characters, specials = _decode(data, offsets[i], offsets[i + 1], flags, codes)
        out[i, CHARACTERS], out[i, SPECIALS] = characters, specials
        out[i, GRAMS] = count_grams(codes, min(characters, codes.size), n, grams, table, at_least)
        out[i, TOP] = top_sum(min(whole_root(at_least[1]), at_least[2]), at_least)


@lean_kernel
def count_words(offsets, hashes, n, listed, longest, grams, table, at_least, out):
    """Counts of words, word n-grams, those that repeat, and words of two lists.

    offsets, hashes   int64[n + 1], uint64[...]   the words of text i are offsets[i] to offsets[i + 1] - 1
    listed            uint64[2**k]                of `put_all`: 1 marks stop words, 2 flagged words
    longest           int64                       words of the longest entry
    grams, table, at_least                        scratch of `count_grams`
    out               int64[n, COUNTS]            REPEATED_WORDS to WORDS are overwritten

    Twin: tests/measure/test_roots.py.
    """
    for i in range(offsets.size - 1):
        words = hashes[offsets[i] : offsets[i + 1]]
        total = count_grams(words, words.size, n, grams, table, at_least)
        stops = flagged = np.uint64(0)
        for j in range(words.size):
            h = np.uint64(0)
            for k in range(j, min(j + longest, words.size)):
                h = absorb(h, words[k])
                marks = marks_of(listed, h)
                stops += marks & _ONE
                flagged += marks >> _ONE
        out[i, WORDS], out[i, WORD_GRAMS] = words.size, total
        out[i, REPEATED_WORDS] = total - (at_least[1] - at_least[2])
        out[i, STOP_WORDS], out[i, FLAGGED] = stops, flagged


@lean_kernel
def marks_of(listed, h):
    """The marks of an entry; 0 for what is none. The first slot decides nearly always."""
    mask = np.uint64(listed.size - 1)
    slot = (h * _MIX) >> np.uint64(32) & mask
    found = listed[slot]
    while found != 0 and (found ^ h) & ~_MARKS != 0:
        slot = (slot + _ONE) & mask
        found = listed[slot]
    return found & _MARKS


@lean_kernel
def put_all(offsets, hashes, mark, listed):
    """Put entries of one or more words into a table that stays mostly empty; one put twice has both marks.

    offsets, hashes   the words of entry i are offsets[i] to offsets[i + 1] - 1
    mark              1 or 2
    listed            uint64[2**k], zeros at first: hashes, whose lowest two bits are marks
    """
    mask = np.uint64(listed.size - 1)
    for i in range(offsets.size - 1):
        if offsets[i + 1] == offsets[i]:
            continue
        h = np.uint64(0)
        for j in range(offsets[i], offsets[i + 1]):
            h = absorb(h, hashes[j])
        slot = (h * _MIX) >> np.uint64(32) & mask
        while listed[slot] != 0 and (listed[slot] ^ h) & ~_MARKS != 0:
            slot = (slot + _ONE) & mask
        listed[slot] = (h & ~_MARKS) | (listed[slot] & _MARKS) | np.uint64(mark)
