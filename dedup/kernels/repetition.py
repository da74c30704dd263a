"""Which lines and paragraphs of a text came before in it.

A text is walked through in blocks of 64 bytes, from line feed to line feed. Most lines occur once, which their size
and a few bytes tell: only lines that may be copies are read to be hashed.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.block import BLOCK, below, bit_count, block_at, equal, firsts
from dedup.kernels.compile import lean_kernel
from dedup.kernels.grams import first_ones
from dedup.kernels.lines import after_space, before_space
from dedup.kernels.token import absorb
from dedup.kernels.utf8 import first_bytes, is_again
from dedup.kernels.word import load8, trailing_zeros

CHARACTERS, LINES, LINE_COPIES, LINE_CHARACTERS, PARAGRAPHS, PARAGRAPH_COPIES, PARAGRAPH_CHARACTERS = range(7)
LINE_COUNTS = 7

_LINE_FEED = np.uint8(0x0A)
_ONE = np.uint64(1)
_HASHED = np.uint32(0xFFFFFFFF)  # of no line: it would need as many before


@lean_kernel
def _characters(data, start, end):
    """Code points of data[start:end]."""
    count = 0
    for p in range(start, end, BLOCK):
        count += bit_count(firsts(block_at(data, p), end - p))
    return count


@lean_kernel
def _glance(data, start, size):
    """A number that equal spans have in common, of their size and the bytes at both ends and in the middle."""
    h = np.uint64(size)
    if size < 8:
        return absorb(h, first_bytes(data, np.uint64(start), h)) if size else absorb(h, h)
    h = absorb(h, load8(data, start))
    h = absorb(h, load8(data, start + ((size - 8) >> 1)))
    return absorb(h, load8(data, start + size - 8))


@lean_kernel
def _copies(data, spans, glances, count, table, likes):
    """(spans that an earlier one equals, their code points) of `count` spans of a text."""
    copies = code_points = 0
    size = first_ones(glances, count, table, likes)
    is_clear = False
    for k in range(count):
        like = likes[k]
        if like == k:
            continue
        if not is_clear:
            table[:size] = 0
            is_clear = True
        mask = np.uint64(size - 1)
        if likes[like] != _HASHED:
            likes[like] = _HASHED
            is_again(data, spans[like, 0], spans[like, 1], table, mask)
        if is_again(data, spans[k, 0], spans[k, 1], table, mask):
            copies += 1
            code_points += _characters(data, spans[k, 0], spans[k, 1])
    return copies, code_points


@lean_kernel
def _put(data, start, end, count, spans, glances):
    """One more span; how many there are."""
    spans[count, 0], spans[count, 1] = start, end
    glances[count] = _glance(data, start, end - start)
    return count + 1


@lean_kernel
def count_lines(offsets, data, spans, glances, table, likes, out):
    """Counts of lines and paragraphs, of those that an earlier one equals, and code points.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    spans, glances  int64[2, k, 2], uint64[2, k]   scratch; k at least half the bytes of the longest text, and 2
    table, likes    uint64[table_size(k)], uint32[k]   scratch
    out             int64[n, LINE_COUNTS]      overwritten

    Lines are parted by one and more line feeds, paragraphs of the stripped text by two and more.
    Twin: tests/measure/test_repetition.py.
    """
    for i in range(offsets.size - 1):
        begin, end = offsets[i], offsets[i + 1]
        out[i, :] = 0
        if begin == end:
            continue
        first = after_space(data, begin, end)
        last = before_space(data, first, end)
        characters = lines = paragraphs = 0
        start, paragraph = begin, first
        feed_before = begin - 1  # the first one of those that end at `start`
        for p in range(begin, end, BLOCK):
            block, size = block_at(data, p), end - p
            characters += bit_count(firsts(block, size))
            feeds = equal(block, _LINE_FEED) & below(size)
            while feeds:
                feed = p + np.int64(trailing_zeros(feeds))
                feeds &= feeds - _ONE
                if feed > start or feed == begin:
                    lines = _put(data, start, feed, lines, spans[0], glances[0])
                    feed_before = feed
                elif first < feed_before and feed < last:
                    if feed == feed_before + 1:
                        paragraphs = _put(data, paragraph, feed_before, paragraphs, spans[1], glances[1])
                    paragraph = feed + 1
                start = feed + 1
        lines = _put(data, start, end, lines, spans[0], glances[0])
        paragraphs = _put(data, paragraph, last, paragraphs, spans[1], glances[1])
        out[i, CHARACTERS], out[i, LINES], out[i, PARAGRAPHS] = characters, lines, paragraphs
        out[i, LINE_COPIES], out[i, LINE_CHARACTERS] = _copies(data, spans[0], glances[0], lines, table, likes)
        found = _copies(data, spans[1], glances[1], paragraphs, table, likes)
        out[i, PARAGRAPH_COPIES], out[i, PARAGRAPH_CHARACTERS] = found
