"""What C4's page rules and FineWeb's line rules count: phrases, characters, and lines between "\\n"."""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import kernel
from dedup.kernels.lines import after_space, line_end
from dedup.kernels.marks import TERMINAL
from dedup.kernels.phrases import count_lorem_ipsum
from dedup.kernels.utf8 import characters, code_point, hash_bytes

LOREM_IPSUM, CURLY_BRACKETS, CHARACTERS, LONG_LINES = range(4)
LINES, MARKED, SHORT, DUPLICATE_CHARACTERS, CHARACTERS_OF_LINES, NEWLINES = range(6)
PAGE_COUNTS, LINE_COUNTS = 4, 6

_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_MOST_CHARACTER_BYTES = 4


@kernel
def count_bytes(data, start, end, byte):
    """How often a byte occurs in data[start:end]."""
    count = 0
    for p in range(start, end):
        count += data[p] == byte
    return count


@kernel
def count_pages(offsets, data, long_line_length, out):
    """Phrases, curly brackets, characters, and lines of at least `long_line_length` characters.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    out             int64[n, PAGE_COUNTS]      overwritten

    Twin: tests/measure/test_c4.py.
    """
    for i in range(offsets.size - 1):
        p, end = offsets[i], offsets[i + 1]
        out[i, LOREM_IPSUM] = count_lorem_ipsum(data, p, end)
        out[i, CURLY_BRACKETS] = count_bytes(data, p, end, 0x7B)
        out[i, CHARACTERS] = characters(data, p, end)
        long_lines = 0
        while p < end:
            at = line_end(data, p, end)
            long_lines += at - p >= long_line_length and characters(data, p, at) >= long_line_length
            p = at + 1
        out[i, LONG_LINES] = long_lines


@kernel
def count_newlines(offsets, data, out):
    """How often "\\n" occurs in each text, into out[:, NEWLINES]; the most of one text."""
    most = 0
    for i in range(offsets.size - 1):
        out[i, NEWLINES] = count_bytes(data, offsets[i], offsets[i + 1], 0x0A)
        most = max(most, out[i, NEWLINES])
    return most


@kernel
def count_lines(offsets, data, short_line_length, flags, table, out):
    """Lines that are not blank: all, those that end in a mark, short ones, and characters of repeated ones.

    offsets, data   int64[n + 1], uint8[...]    text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    flags           uint8[0x110000]             kernels/marks.py
    table           uint64[table_size(most + 1)]    scratch, of any content
    out             int64[n, LINE_COUNTS]       NEWLINES is read, the others are overwritten

    Twin: tests/measure/test_fineweb.py.
    """
    for i in range(offsets.size - 1):
        p, end = offsets[i], offsets[i + 1]
        bits = 4
        while (1 << bits) < 2 * out[i, NEWLINES] + 2:
            bits += 1
        table[: 1 << bits] = 0
        mask = np.uint64((1 << bits) - 1)
        out[i, CHARACTERS_OF_LINES] = characters(data, p, end) - out[i, NEWLINES]
        lines = marked = short = duplicate = 0
        while p < end:
            at = line_end(data, p, end)
            if after_space(data, p, at) < at:
                lines += 1
                last = at - 1
                while data[last] & 0xC0 == 0x80:
                    last -= 1
                marked += (flags[code_point(data, last)] & TERMINAL) != 0
                if at - p <= _MOST_CHARACTER_BYTES * short_line_length:
                    short += characters(data, p, at) <= short_line_length
                h = hash_bytes(data, p, at - p) | np.uint64(1)
                slot = (h >> np.uint64(1)) & mask
                while table[slot] != 0 and table[slot] != h:
                    slot = (slot + np.uint64(1)) & mask
                if table[slot] == h:
                    duplicate += characters(data, p, at)
                table[slot] = h
            p = at + 1
        out[i, LINES], out[i, MARKED], out[i, SHORT], out[i, DUPLICATE_CHARACTERS] = lines, marked, short, duplicate
