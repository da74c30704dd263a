"""What C4's page rules and FineWeb's line rules count: phrases, characters, and lines between "\n"."""

from __future__ import annotations

import numpy as np

from dedup.kernels.block import BLOCK, below, bit_count, block_at, equal, firsts
from dedup.kernels.compile import lean_kernel
from dedup.kernels.lines import after_space
from dedup.kernels.marks import TERMINAL
from dedup.kernels.phrases import lorem_ipsums
from dedup.kernels.utf8 import code_point, is_again, last_character
from dedup.kernels.word import trailing_zeros

LOREM_IPSUM, CURLY_BRACKETS, CHARACTERS, LONG_LINES = range(4)
LINES, MARKED, SHORT, DUPLICATE_CHARACTERS, CHARACTERS_OF_LINES, NEWLINES = range(6)
PAGE_COUNTS, LINE_COUNTS = 4, 6

_ONE = np.uint64(1)
_BRACKET, _LINE_FEED = np.uint8(0x7B), np.uint8(0x0A)


@lean_kernel
def count_pages(offsets, data, long_line_length, out):
    """Phrases, curly brackets, characters, and lines of at least `long_line_length` characters.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    out             int64[n, PAGE_COUNTS]      overwritten

    Twin: tests/measure/test_c4.py.
    """
    for i in range(offsets.size - 1):
        start, end = offsets[i], offsets[i + 1]
        phrases = brackets = characters = long_lines = 0
        line = 0  # characters before the line
        for p in range(start, end, BLOCK):
            block, size = block_at(data, p), end - p
            phrases += lorem_ipsums(data, block, p, start, end)
            brackets += bit_count(equal(block, _BRACKET) & below(size))
            begun, feeds = firsts(block, size), equal(block, _LINE_FEED) & below(size)
            while feeds:
                before = characters + bit_count(begun & below(np.int64(trailing_zeros(feeds))))
                long_lines += before - line >= long_line_length
                line = before + 1
                feeds &= feeds - _ONE
            characters += bit_count(begun)
        out[i, LOREM_IPSUM], out[i, CURLY_BRACKETS], out[i, CHARACTERS] = phrases, brackets, characters
        out[i, LONG_LINES] = long_lines + (characters - line >= long_line_length)


@lean_kernel
def count_newlines(offsets, data, out):
    """How often "\n" occurs in each text, into out[:, NEWLINES]; the most of one text."""
    most = 0
    for i in range(offsets.size - 1):
        count = 0
        for p in range(offsets[i], offsets[i + 1], BLOCK):
            count += bit_count(equal(block_at(data, p), _LINE_FEED) & below(offsets[i + 1] - p))
        out[i, NEWLINES] = count
        most = max(most, count)
    return most


@lean_kernel
def _ends_in_mark(data, start, end, flags):
    """Whether the last character of data[start:end], which is not empty, ends a sentence."""
    return (flags[code_point(data, last_character(data, start, end))] & TERMINAL) != 0


@lean_kernel
def count_lines(offsets, data, short_line_length, flags, table, out):
    """Lines that are not blank: all, those that end in a mark, short ones, and characters of repeated ones.

    offsets, data   int64[n + 1], uint8[...]    text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    flags           uint8[0x110000]             kernels/marks.py
    table           uint64[table_size(most + 1)]    scratch, of any content
    out             int64[n, LINE_COUNTS]       NEWLINES is read, the others are overwritten

    Twin: tests/measure/test_fineweb.py.
    """
    for i in range(offsets.size - 1):
        line, end = offsets[i], offsets[i + 1]
        bits = 4
        while (1 << bits) < 2 * out[i, NEWLINES] + 2:
            bits += 1
        table[: 1 << bits] = 0
        mask = np.uint64((1 << bits) - 1)
        lines = marked = short = duplicate = 0
        characters = before = 0  # before the block, and before the line
        for p in range(line, end + 1, BLOCK):
            block, size = block_at(data, p), end - p
            begun, feeds = firsts(block, size), equal(block, _LINE_FEED) & below(size)
            if size < BLOCK:  # the end of the text ends a line as well; one that is empty does not count
                feeds |= _ONE << np.uint64(size)
            while feeds:
                k = np.int64(trailing_zeros(feeds))
                feeds &= feeds - _ONE
                at = p + k
                length = characters + bit_count(begun & below(k)) - before
                if after_space(data, line, at) < at:
                    lines += 1
                    marked += _ends_in_mark(data, line, at, flags)
                    short += length <= short_line_length
                    if is_again(data, line, at, table, mask):
                        duplicate += length
                line = at + 1
                before += length + 1
            characters += bit_count(begun)
        out[i, CHARACTERS_OF_LINES] = characters - out[i, NEWLINES]
        out[i, LINES], out[i, MARKED], out[i, SHORT], out[i, DUPLICATE_CHARACTERS] = lines, marked, short, duplicate
