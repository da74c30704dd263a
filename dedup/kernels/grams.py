"""Which n-grams of a text's words repeat, from 2 to 10 words: the most frequent ones, and all that came before.

Repeated n-grams are anti-monotone: a place is looked at for n + 1 only where its n-gram and its neighbour's both
repeat, and the first n without any ends the text. Pairs, which are most of the work, are told in two steps: bits
"seen" and "seen again", set without a branch and small enough for the nearest cache, leave out most that occur once
(half of all on web text); a table counts the others. From 5 words on nothing is counted: the places whose 4-grams
repeat are walked through once for each n with a table of what was seen, and what a copy covers is passed unread.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.block import bit_count
from dedup.kernels.compile import lean_kernel
from dedup.kernels.utf8 import characters
from dedup.kernels.word import HIGH, load8

FIRST_GRAM, LAST_TOP, LAST_GRAM = 2, 4, 10
GRAM_COUNTS = LAST_GRAM - FIRST_GRAM + 1

_ONE = np.uint64(1)
_BASE = np.uint64(0x2545F4914F6CDD1D)
# Of a word's first eight bytes and of the eight after: those that belong to it, by its size.
_KEPT, _KEPT_BEYOND = (
    np.array([(1 << 8 * min(8, max(0, size - skipped))) - 1 for size in range(17)], np.uint64) for skipped in (0, 8)
)
_PLACE = np.int64((1 << 32) - 1)


_LEAST_BITS = 6


def table_size(words: int) -> int:
    """Slots of a table for the n-grams of so many words: a power of two, less than half of them used."""
    return 1 << max(_LEAST_BITS, (2 * words).bit_length())


@lean_kernel
def _bits_for(entries):
    """The least number of bits in which more than twice as many can be counted."""
    bits = np.uint64(_LEAST_BITS)
    while np.int64(1) << np.int64(bits) <= 2 * entries:
        bits += _ONE
    return bits


@lean_kernel
def word_size(data, p, size):
    """Code points of a word."""
    if p + 16 > data.size or size > 16:
        return characters(data, p, p + size)
    # A byte that continues a character is 10......: its high bit is set and the next is not.
    x, y = load8(data, p), load8(data, p + 8)
    x, y = x & ~(x << _ONE) & HIGH & _KEPT[size], y & ~(y << _ONE) & HIGH & _KEPT_BEYOND[size]
    return size - bit_count(x) - bit_count(y)


@lean_kernel
def _sizes(first, n, starts, ends, data):
    """Code points of n words."""
    count = np.int64(0)
    for j in range(first, first + n):
        count += word_size(data, np.int64(starts[j]), np.int64(ends[j] - starts[j]))
    return count


@lean_kernel
def _maybe_repeated_pairs(hashes, bitmap, places, grams):
    """(places, grams) of the pairs of words that may occur twice; how many. None that does is left out."""
    count = hashes.size - 1
    bits = _bits_for(8 * count)
    shift, low, half, five = np.uint64(64) - bits, np.uint64(31), np.uint64(32), np.uint64(5)
    bitmap[: 1 << np.int64(bits - five)] = 0
    h = hashes[0]
    for k in range(count):
        following = hashes[k + 1]
        gram = h * _BASE + following
        h = following
        grams[k] = gram
        place = gram >> shift
        word = bitmap[place >> five]
        bit = _ONE << (place & low)
        bitmap[place >> five] = word | bit | (word & bit) << half
    kept = 0
    for k in range(count):
        gram = grams[k]
        place = gram >> shift
        places[kept], grams[kept] = k, gram
        kept += np.int64(bitmap[place >> five] >> ((place & low) + half) & _ONE)
    return kept


@lean_kernel
def _tell(grams, count, bits, table, slots):
    """Count the first `count` grams in the table: the lowest bits of table[slots[k]] count gram k.

    The others are those of the gram, which so loses as many as its slot tells.
    """
    shift, mask = np.uint64(64) - bits, (_ONE << bits) - _ONE
    table[: 1 << np.int64(bits)] = 0
    for k in range(count):
        gram = grams[k]
        slot, tag = gram >> shift, gram << bits
        found = table[slot]
        # One test for "neither free nor the same": whether it is free is as good as random.
        while min(found, (found ^ tag) & ~mask) != 0:
            slot = (slot + _ONE) & mask
            found = table[slot]
        table[slot] = tag | ((found & mask) + _ONE)
        slots[k] = slot


@lean_kernel
def _extended(hashes, n, places, grams, count, mask, table, slots):
    """(the number of (n + 1)-grams that are left, the best): they move to the front of grams and places.

    The best is a number of which the high half is the occurrences of the most frequent n-gram, and the low half
    _PLACE less its first place.
    """
    best = np.int64(0)
    kept = 0
    place = np.int64(places[0])
    occurrences = np.int64(table[slots[0]] & mask)
    for k in range(count):
        best = max(best, occurrences << 32 | (_PLACE - place))
        following = min(k + 1, count - 1)  # the last one has none: its own place is not the next one
        next_place, next_occurrences = np.int64(places[following]), np.int64(table[slots[following]] & mask)
        goes_on = (occurrences > 1) & (next_occurrences > 1) & (next_place == place + 1)
        gram = grams[k] * _BASE + hashes[min(place + n, hashes.size - 1)]
        places[kept], grams[kept] = place, gram
        kept += goes_on
        place, occurrences = next_place, next_occurrences
    return kept, best


@lean_kernel
def _sum_sizes(places, count, starts, ends, data, sums):
    """Sums of the words' code points: those of words j to k - 1 of places in a row are sums[k] - sums[j]."""
    summed = np.int64(-1)
    for k in range(count):
        place = np.int64(places[k])
        if place > summed:
            sums[place] = 0
            summed = place
        for j in range(summed, place + LAST_TOP + 1):
            sums[j + 1] = sums[j] + word_size(data, np.int64(starts[j]), np.int64(ends[j] - starts[j]))
        summed = place + LAST_TOP + 1


@lean_kernel
def first_ones(grams, count, table, firsts):
    """The number of the first gram that equals gram k into firsts[k]; how much of the table is used.

    grams, firsts   uint64[...], uint32[...]   of which the first `count` are looked at and set
    table           uint64[table_size(count)]  scratch
    """
    bits = _bits_for(count)
    shift, mask = np.uint64(64) - bits, (_ONE << bits) - _ONE
    table[: 1 << np.int64(bits)] = 0
    for k in range(count):
        gram = grams[k]
        slot, tag = gram >> shift, gram << bits
        found = table[slot]
        while min(found, (found ^ tag) & ~mask) != 0:
            slot = (slot + _ONE) & mask
            found = table[slot]
        found = found if found != 0 else tag | np.uint64(k + 1)
        table[slot] = found
        firsts[k] = (found & mask) - _ONE
    return np.int64(1) << np.int64(bits)


@lean_kernel
def _was_seen(begins, ends, table):
    """Whether an n-gram that begins and ends with these 5-grams is in the table; it is put there."""
    gram = np.uint64(begins) << np.uint64(32) | np.uint64(ends + 1)
    mask = np.uint64(table.size - 1)
    slot = gram * _BASE >> np.uint64(32) & mask
    while table[slot] != 0:
        if table[slot] == gram:
            return True
        slot = (slot + _ONE) & mask
    table[slot] = gram
    return False


@lean_kernel
def _covered(n, places, firsts, count, table, stamps, sums):
    """Code points of the words in repeated n-grams: a copy of one before it counts, and then its n words are passed.

    An n-gram is told by the 5-grams with which it begins and ends, of numbers k and k + n - 5. Where the first ones
    that equal those are as far from each other, as nearly always in a copy, the n-gram was seen if stamps[firsts[k]]
    is n; others are looked up in the table.
    """
    more = n - LAST_TOP - 1
    total = k = np.int64(0)
    is_clear = False
    while k + more < count:
        place, first, last = np.int64(places[k]), np.int64(firsts[k]), np.int64(firsts[k + more])
        if np.int64(places[k + more]) != place + more:
            k += 1
            continue
        if last == first + more:
            seen = stamps[first] == n
            stamps[first] = n
        else:
            if not is_clear:
                table[:] = 0
                is_clear = True
            seen = _was_seen(first, last, table)
        if not seen:
            k += 1
            continue
        total += sums[place + n] - sums[place]
        k += more + 1
        while k < count and np.int64(places[k]) < place + n:
            k += 1
    return total


@lean_kernel
def count_grams(word_offsets, hashes, base, starts, ends, data, places, grams, slots, table, stamps, sums, out):
    """Code points of the most frequent n-gram's occurrences, n = 2 to 4, and of repeated n-grams, n = 5 to 10.

    word_offsets, hashes, base, starts, ends, data   the words of n texts (segment.Words)
    places, slots   uint32[m];  grams uint64[m];  stamps uint8[m];  sums int64[m + 1]   scratch; m at least the words
                    of the text of most
    table           uint64[table_size(m)]   scratch
    out             int64[n, GRAM_COUNTS]   overwritten; -1 where a text has fewer than n words and n <= 4

    The words of an n-gram that is counted as most frequent are joined by a space, of repeated ones by nothing.
    Twin: tests/measure/test_repetition.py.
    """
    for i in range(base.size):
        first, end = word_offsets[i], word_offsets[i + 1]
        words = hashes[first:end]
        spans = starts[first:end], ends[first:end], data[base[i] :]
        out[i, :] = 0
        for n in range(FIRST_GRAM, LAST_TOP + 1):
            out[i, n - FIRST_GRAM] = _sizes(0, n, *spans) + n - 1 if n <= words.size else -1
        count = _maybe_repeated_pairs(words, table, places, grams) if words.size > FIRST_GRAM else 0
        for n in range(FIRST_GRAM, LAST_TOP + 1):
            if count < 2:
                break
            bits = _bits_for(count)
            _tell(grams, count, bits, table, slots)
            count, best = _extended(words, n, places, grams, count, (_ONE << bits) - _ONE, table, slots)
            if best >> 32 > 1:
                out[i, n - FIRST_GRAM] = (_sizes(_PLACE - (best & _PLACE), n, *spans) + n - 1) * (best >> 32)
        if count >= 2:
            _sum_sizes(places, count, *spans, sums)
            used = table[: first_ones(grams, count, table, slots)]
            stamps[:count] = 0
            for n in range(LAST_TOP + 1, LAST_GRAM + 1):
                out[i, n - FIRST_GRAM] = _covered(n, places, slots, count, used, stamps, sums)
