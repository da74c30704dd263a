"""Which lines and paragraphs of a text came before in it."""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import lean_kernel
from dedup.kernels.lines import after_space, before_space, line_end
from dedup.kernels.token import absorb
from dedup.kernels.utf8 import characters, hash_bytes

CHARACTERS, LINES, LINE_COPIES, LINE_CHARACTERS, PARAGRAPHS, PARAGRAPH_COPIES, PARAGRAPH_CHARACTERS = range(7)
LINE_COUNTS = 7

_LINE_FEEDS = np.uint64(0x0A0A0A0A0A0A0A0A)
_PARAGRAPH_SEED = np.uint64(0x2545F4914F6CDD1D)


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
