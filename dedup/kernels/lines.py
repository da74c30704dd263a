"""Lines and their words in UTF-8 bytes: line breaks as str.splitlines has them, white space as str.strip.

Both are found eight bytes at a time; only bytes that may begin such a character are looked at one by one.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import kernel, lean_kernel
from dedup.kernels.utf8 import char_bytes, not_zero, space_bytes
from dedup.kernels.word import HIGH, LOW, ONES, SPACES, load8, trailing_zeros

_THREE_HIGHEST = np.uint64(0xE0E0E0E0E0E0E0E0)
_LINE_FEEDS = np.uint64(0x0A0A0A0A0A0A0A0A)
_C2S, _E1S, _E2S, _E3S = (np.uint64(byte * 0x0101010101010101) for byte in (0xC2, 0xE1, 0xE2, 0xE3))
# Added to a byte below 0x80, these set its high bit from that byte on.
_FROM_TAB, _FROM_SHIFT_OUT = np.uint64(0x7777777777777777), np.uint64(0x7272727272727272)
_FROM_FILE_SEPARATOR, _FROM_MARK = np.uint64(0x6464646464646464), np.uint64(0x5F5F5F5F5F5F5F5F)


@kernel
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
def line_end(data, p, end):
    """Where the next line feed is, or the end."""
    while p + 8 <= data.size and p < end:
        x = load8(data, p) ^ _LINE_FEEDS
        found = np.int64(trailing_zeros(~not_zero(x) & HIGH) >> np.uint64(3))
        p += found
        if found < 8:
            return min(p, end)
    while p < end and data[p] != 0x0A:
        p += 1
    return min(p, end)


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
        p = end - 1
        while p > start and data[p] & 0xC0 == 0x80:
            p -= 1
        if space_bytes(data, p, end) == 0:
            break
        end = p
    return end


@kernel
def words_up_to(data, p, end, most):
    """How many runs of non-space begin in data[p:end], counted no further than `most`."""
    count = 0
    inside = False
    while p < end and count < most:
        width = space_bytes(data, p, end)
        if width:
            inside = False
            p += width
        else:
            count += not inside
            inside = True
            p += 1
    return count


@kernel
def count_words(data, p, end):
    """How many runs of non-space there are in data[p:end], eight bytes at a time."""
    count = 0
    after = np.uint64(0x80)  # the high bit: white space comes before
    while p < end:
        width = 0
        if p + 8 <= data.size:
            x = load8(data, p)
            wide = not_zero(x ^ _C2S) & not_zero(x ^ _E1S) & not_zero(x ^ _E2S) & not_zero(x ^ _E3S)
            width = min(np.int64(trailing_zeros(~wide & HIGH) >> np.uint64(3)), end - p)
        if width:
            t = x & LOW
            controls = (t + _FROM_TAB) & ~(t + _FROM_SHIFT_OUT)
            spaces = (controls | ((t + _FROM_FILE_SEPARATOR) & ~(t + _FROM_MARK))) & ~x & HIGH
            begins = ~spaces & (spaces << np.uint64(8) | after) & HIGH
            others = np.uint64(64 - 8 * width)
            begins = begins << others >> others
            count += np.int64((begins >> np.uint64(7)) * ONES >> np.uint64(56))
            after = spaces >> np.uint64(8 * (width - 1)) & np.uint64(0x80)
            p += width
            continue
        width = space_bytes(data, p, end)
        if width:
            after = np.uint64(0x80)
            p += width
        else:
            count += np.int64(after >> np.uint64(7))
            after = np.uint64(0)
            p += 1
    return count


@kernel
def has_longer_word(data, p, end, most):
    """Whether a run of non-space has more than `most` code points."""
    length = 0
    while p < end:
        width = space_bytes(data, p, end)
        if width:
            length = 0
            p += width
        else:
            length += 1
            if length > most:
                return True
            p += np.int64(char_bytes(data[p]))
    return False
