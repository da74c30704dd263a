"""Lines and their words in UTF-8 bytes: line breaks as str.splitlines has them, white space as str.strip.

Where a text is walked through, they are found in blocks of 64 bytes; where the next one is asked for, in eight.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.block import BLOCK, below, bit_count, block_at, firsts, leading_zeros, spaces
from dedup.kernels.compile import lean_kernel
from dedup.kernels.utf8 import last_character, not_zero, space_bytes
from dedup.kernels.word import HIGH, SPACES, load8, trailing_zeros

_THREE_HIGHEST = np.uint64(0xE0E0E0E0E0E0E0E0)
_E2S = np.uint64(0xE2E2E2E2E2E2E2E2)
_ONE, _LAST, _HIGHEST = np.uint64(1), np.uint64(63), np.uint64(1 << 63)


@lean_kernel
def next_break(data, p, end):
    """(where the next line break at or after p is, its bytes); (end, 0) where there is none before `end`."""
    while True:
        while p + 8 <= data.size and p < end:
            x = load8(data, p)
            # Controls hold the ASCII breaks; 0xC2 and 0xE2 begin U+0085, U+2028 and U+2029.
            dull = not_zero(x & _THREE_HIGHEST) & not_zero((x | SPACES) ^ _E2S)
            skipped = np.int64(trailing_zeros(~dull & HIGH) >> np.uint64(3))
            p += skipped
            if skipped < 8:
                break
        if p >= end:
            return end, 0
        c = data[p]
        if 0x0A <= c <= 0x0D:
            return p, 2 if c == 0x0D and p + 1 < end and data[p + 1] == 0x0A else 1
        if 0x1C <= c <= 0x1E:
            return p, 1
        if c == 0xC2 and p + 1 < end and data[p + 1] == 0x85:
            return p, 2
        if c == 0xE2 and p + 2 < end and data[p + 1] == 0x80 and (data[p + 2] == 0xA8 or data[p + 2] == 0xA9):
            return p, 3
        p += 1


@lean_kernel
def after_space(data, p, end):
    """The first place from p on that is not white space."""
    while p < end:
        width = space_bytes(data, p, end)
        if width == 0:
            break
        p += width
    return p


@lean_kernel
def before_space(data, start, end):
    """The end of what comes before the white space that ends at `end`."""
    while end > start:
        p = last_character(data, start, end)
        if space_bytes(data, p, end) == 0:
            break
        end = p
    return end


@lean_kernel
def break_bytes(data, p, end):
    """Bytes of the line break at p."""
    c = data[p]
    if c == 0xE2:
        return 3
    return 2 if c == 0xC2 or (c == 0x0D and p + 1 < end and data[p + 1] == 0x0A) else 1


@lean_kernel
def word_begins(white, before, size):
    """The first bytes of words among the first `size` bytes of a block of which `white` are white space.

    before   1 where white space comes before the block, else 0
    """
    return ~white & (white << _ONE | before) & below(size)


@lean_kernel
def count_words(data, p, end):
    """How many runs of non-space there are in data[p:end]."""
    count = 0
    into, before = np.uint64(0), _ONE
    while p < end:
        white, into = spaces(block_at(data, p), end - p, into)
        count += bit_count(word_begins(white, before, end - p))
        before = white >> _LAST
        p += BLOCK
    return count


@lean_kernel
def has_longer_word(data, p, end, most):
    """Whether a run of non-space has more than `most` code points."""
    length = 0
    into = np.uint64(0)
    while p < end:
        block, size = block_at(data, p), end - p
        white, into = spaces(block, size, into)
        characters = firsts(block, size) & ~white
        if most >= BLOCK and white:  # no word inside the block is longer
            white = white & (~white + _ONE) | _HIGHEST >> np.uint64(leading_zeros(white))
        while white:
            gap = np.int64(trailing_zeros(white))
            length += bit_count(characters & below(gap))
            if length > most:
                return True
            length = 0
            characters &= ~below(gap)
            white &= white + (_ONE << np.uint64(gap))  # without its lowest run
        length += bit_count(characters)
        if length > most:
            return True
        p += BLOCK
    return False
