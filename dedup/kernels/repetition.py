"""What repeats within a text: lines, paragraphs, and n-grams of words from 2 to 10.

Repeated n-grams are anti-monotone: a position is looked at for n + 1 only where its n-gram and its neighbour's both
repeat, with the hash extended in place, and the first n without any ends the text. Most positions of most texts
are looked at once, for n = 2. Measured: 10 ns a byte on English, 13 on Chinese, for nine values of n.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import lean_kernel
from dedup.kernels.lines import after_space, before_space, line_end
from dedup.kernels.token import absorb
from dedup.kernels.utf8 import characters, hash_bytes

CHARACTERS, LINES, LINE_COPIES, LINE_CHARACTERS, PARAGRAPHS, PARAGRAPH_COPIES, PARAGRAPH_CHARACTERS = range(7)
LINE_COUNTS = 7
FIRST_GRAM, LAST_TOP, LAST_GRAM = 2, 4, 10
GRAM_COUNTS = LAST_GRAM - FIRST_GRAM + 1

_LINE_FEEDS = np.uint64(0x0A0A0A0A0A0A0A0A)
_PARAGRAPH_SEED = np.uint64(0x2545F4914F6CDD1D)


@lean_kernel
def count_characters(offsets, data, out):
    """Code points of each text: out int64[n]."""
    for i in range(out.size):
        out[i] = characters(data, offsets[i], offsets[i + 1])


@lean_kernel
def _table_bits(entries):
    bits = np.uint64(4)
    while np.int64(1) << np.int64(bits) < 2 * entries:
        bits += np.uint64(1)
    return bits


@lean_kernel
def _copies(data, hashes, spans, count, table):
    """(parts that an earlier one equals, their code points) of `count` parts of a text."""
    bits = _table_bits(count)
    shift, mask = np.uint64(64) - bits, (np.uint64(1) << bits) - np.uint64(1)
    table[: 1 << np.int64(bits)] = 0
    copies = code_points = np.int64(0)
    for k in range(count):
        h = hashes[k]
        slot = h >> shift
        while table[slot] != 0 and table[slot] != h:
            slot = slot + np.uint64(1) & mask
        if table[slot] == h:
            copies += 1
            code_points += characters(data, spans[k, 0], spans[k, 1])
        table[slot] = h
    return copies, code_points


@lean_kernel
def count_lines(offsets, data, hashes, spans, table, out):
    """Counts of lines and paragraphs, of those that an earlier one equals, and code points.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    hashes, spans   uint64[2, k], int64[2, k, 2]   scratch; k at least half the bytes of the longest text, and 2
    table           uint64[table_size(k)]      scratch
    out             int64[n, LINE_COUNTS]      overwritten

    Lines are parted by one and more line feeds, paragraphs of the stripped text by two and more. A paragraph's hash
    is one of its lines' hashes, so that no byte is read twice. Twin: tests/measure/test_repetition.py.
    """
    for i in range(offsets.size - 1):
        begin, end = offsets[i], offsets[i + 1]
        first = after_space(data, begin, end)
        last = before_space(data, first, end)
        lines = paragraphs = np.int64(0)
        h = _PARAGRAPH_SEED
        start = paragraph = begin
        while True:
            stop = line_end(data, start, end)
            # A hash of 0 would look like an empty slot.
            line = hash_bytes(data, start, stop - start) | np.uint64(1)
            hashes[0, lines] = line
            spans[0, lines, 0], spans[0, lines, 1] = start, stop
            lines += 1
            after = stop
            while after < end and data[after] == 0x0A:
                after += 1
            if stop >= first and start <= last:
                low, high = max(start, first), min(stop, last)
                if low == first:
                    paragraph = first
                cut = low > start or high < stop
                h = absorb(h, hash_bytes(data, low, high - low) | np.uint64(1) if cut else line)
                if after - stop > 1 or after >= last:
                    hashes[1, paragraphs] = h | np.uint64(1)
                    spans[1, paragraphs, 0], spans[1, paragraphs, 1] = paragraph, high
                    paragraphs += 1
                    h = _PARAGRAPH_SEED
                    paragraph = after
                    if after >= last:
                        last = begin - 1  # nothing but white space follows
            if after == stop:
                break
            start = after
        out[i, CHARACTERS] = characters(data, begin, end)
        if begin == end:
            lines = paragraphs = 0
        out[i, LINES], out[i, PARAGRAPHS] = lines, paragraphs
        out[i, LINE_COPIES], out[i, LINE_CHARACTERS] = _copies(data, hashes[0], spans[0], lines, table)
        found = _copies(data, hashes[1], spans[1], paragraphs, table)
        out[i, PARAGRAPH_COPIES], out[i, PARAGRAPH_CHARACTERS] = found


@lean_kernel
def _word_characters(first, n, base, starts, ends, data):
    """Code points of n words."""
    count = np.int64(0)
    for j in range(first, first + n):
        count += characters(data, base + starts[j], base + ends[j])
    return count


@lean_kernel
def _tell(grams, count, keys, counts, slots):
    """Count the first `count` grams in the table; slots[k] is where gram k is. Whether one occurs twice."""
    bits = _table_bits(count)
    shift, mask = np.uint64(64) - bits, (np.uint64(1) << bits) - np.uint64(1)
    counts[: 1 << np.int64(bits)] = 0
    again = False
    for k in range(count):
        g = grams[k]
        slot = g >> shift
        while counts[slot] != 0 and keys[slot] != g:
            slot = slot + np.uint64(1) & mask
        keys[slot] = g
        counts[slot] += 1
        again |= counts[slot] > 1
        slots[k] = slot
    return again


@lean_kernel
def _top(places, count, counts, slots):
    """(first place, occurrences) of the most frequent gram, of several the one that comes first."""
    best = np.int64(0)
    most = np.int32(0)
    for k in range(count):
        if counts[slots[k]] > most:
            most = counts[slots[k]]
            best = places[k]
    return best, np.int64(most)


@lean_kernel
def _covered(places, count, counts, slots, n, base, starts, ends, data):
    """Code points of the words in repeated grams: a copy of one before it counts, and then its n words are passed."""
    total = next_place = np.int64(0)
    for k in range(count):
        slot = slots[k]
        if places[k] < next_place or -1 <= counts[slot] <= 1:
            continue
        if counts[slot] > 0:
            counts[slot] = -counts[slot]  # seen
        else:
            total += _word_characters(places[k], n, base, starts, ends, data)
            next_place = places[k] + n
    return total


@lean_kernel
def count_grams(word_offsets, hashes, base, starts, ends, data, places, grams, slots, keys, counts, out):
    """Code points of the most frequent n-gram's occurrences, n = 2 to 4, and of repeated n-grams, n = 5 to 10.

    word_offsets, hashes, base, starts, ends, data   the words of n texts (segment.Words)
    places, slots   int64[m];  grams   uint64[m]   scratch; m at least the words of the text of most
    keys, counts    uint64[t], int32[t]            scratch; t = table_size(m)
    out             int64[n, GRAM_COUNTS]          overwritten; -1 where a text has fewer than n words and n <= 4

    The words of an n-gram that is counted as most frequent are joined by a space, of repeated ones by nothing.
    Twin: tests/measure/test_repetition.py.
    """
    for i in range(base.size):
        begin = word_offsets[i]
        words = word_offsets[i + 1] - begin
        for n in range(FIRST_GRAM, LAST_GRAM + 1):
            out[i, n - FIRST_GRAM] = 0
            if n <= LAST_TOP:
                first = _word_characters(begin, n, base[i], starts, ends, data) + n - 1 if n <= words else -1
                out[i, n - FIRST_GRAM] = first
        count = np.int64(max(words - 1, 0))
        for k in range(count):
            places[k] = begin + k
            # The first word is multiplied: a pair is another one than its reverse.
            grams[k] = absorb(hashes[begin + k] * _PARAGRAPH_SEED, hashes[begin + k + 1])
        for n in range(FIRST_GRAM, LAST_GRAM + 1):
            if not _tell(grams, count, keys, counts, slots):
                break
            if n <= LAST_TOP:
                best, most = _top(places, count, counts, slots)
                size = _word_characters(best, n, base[i], starts, ends, data) + n - 1
                out[i, n - FIRST_GRAM] = size * most
            kept = np.int64(0)
            repeats = counts[slots[0]] > 1
            last = begin + words - n  # the last place that has n + 1 words: one before
            if n > LAST_TOP:
                # Counts turn negative where a gram was seen, after the next candidates have been chosen.
                out[i, n - FIRST_GRAM] = _covered(places, count, counts, slots, n, base[i], starts, ends, data)
                repeats = abs(counts[slots[0]]) > 1
            for k in range(count - 1):
                next_repeats = abs(counts[slots[k + 1]]) > 1
                if repeats and next_repeats and places[k + 1] == places[k] + 1 and places[k] < last:
                    places[kept] = places[k]
                    grams[kept] = absorb(grams[k], hashes[places[k] + n])
                    kept += 1
                repeats = next_repeats
            count = kept
