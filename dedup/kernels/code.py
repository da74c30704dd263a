"""Counts behind the measures of source code: lines and their lengths, letters, comment lines.

Code is ASCII nearly everywhere, so that letters, digits and line breaks are found eight bytes at a time.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.category import BREAK, LETTER, NUMBER
from dedup.kernels.compile import kernel
from dedup.kernels.utf8 import char_bytes, code_point, space_bytes
from dedup.kernels.word import HIGH, LOW, ONES, SPACES, load8, trailing_zeros

CHARACTERS, LETTERS, NUMBERS, LINES, LONGEST, BREAKS, CODE_LINES, COMMENTS = range(8)
COUNTS = 8
HEAD = 1000

# What begins a comment line, a bit each. "Apart": the sign counts only if no letter or digit follows.
NUMBER_SIGN, NUMBER_SIGN_APART, SLASHES, DASHES, DASHES_APART, PERCENT, SEMICOLON, APOSTROPHE = (
    1 << k for k in range(8)
)
EXCLAMATION, XML, QUOTATION, PARENTHESIS = (1 << k for k in range(8, 12))


@kernel
def _from(x, first):
    """The high bit of every byte of x, all below 0x80, that is `first` or more."""
    return x + np.uint64(0x80 - first) * ONES


@kernel
def _high_bits(x):
    """How many bytes have the high bit, where there is no other bit."""
    return np.int64((x >> np.uint64(7)) * ONES >> np.uint64(56))


@kernel
def _is_apart(data, p, end):
    """Whether neither an ASCII letter nor a digit is at p."""
    return p >= end or not (0x61 <= data[p] | 0x20 <= 0x7A or 0x30 <= data[p] <= 0x39)


@kernel
def _begins_comment(data, p, end, marks):
    """Whether a comment of one of the marks begins at p, which is no white space."""
    c = data[p]
    second = data[p + 1] if p + 1 < end else 0
    if c == 0x23:
        return marks & NUMBER_SIGN != 0 or (marks & NUMBER_SIGN_APART != 0 and _is_apart(data, p + 1, end))
    if c == 0x2F:
        return marks & SLASHES != 0 and (second == 0x2F or second == 0x2A)
    if c == 0x2A:  # inside or at the end of a block of comments, not the first of a pointer
        return marks & SLASHES != 0 and (p + 1 == end or second == 0x20 or second == 0x2F or second == 0x2A)
    if c == 0x2D and second == 0x2D:
        return marks & DASHES != 0 or (marks & DASHES_APART != 0 and (p + 2 == end or data[p + 2] == 0x20))
    if c == 0x3C:
        return marks & XML != 0 and end - p >= 4 and second == 0x21 and data[p + 2] == 0x2D and data[p + 3] == 0x2D
    if c == 0x28:
        return marks & PARENTHESIS != 0 and second == 0x2A
    return (
        (c == 0x25 and marks & PERCENT != 0)
        or (c == 0x3B and marks & SEMICOLON != 0)
        or (c == 0x27 and marks & APOSTROPHE != 0)
        or (c == 0x21 and marks & EXCLAMATION != 0)
        or (c == 0x22 and marks & QUOTATION != 0)
    )


@kernel
def _text_begins(data, p, end):
    """Where the first character that is not white space is; `end` if there is none."""
    while p + 8 <= end and load8(data, p) == SPACES:
        p += 8
    while p < end:
        size = space_bytes(data, p, end)
        if size == 0:
            return p
        p += size
    return end


@kernel
def count(offsets, data, flags, marks, out):
    """Counts of characters, lines and comment lines.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    flags           uint16[0x110000]           of category.flags
    marks           int64[n]                   what begins a comment line in each text
    out             int64[n, COUNTS]           overwritten; BREAKS are the characters of line breaks

    Twin: tests/measure/test_code.py.
    """
    all_bytes = np.uint64(0xFFFFFFFFFFFFFFFF)
    for i in range(offsets.size - 1):
        p, end = offsets[i], offsets[i + 1]
        characters = letters = numbers = lines = longest = breaks = code_lines = comments = 0
        start, before = p, 0  # of the line: its first byte, and the characters before it
        while True:
            is_break = False
            after = p
            while p < end:
                if p + 8 <= data.size:
                    x = load8(data, p)
                    t = x & LOW
                    stops = x | (_from(t, 0x0A) & ~_from(t, 0x0E)) | (_from(t, 0x1C) & ~_from(t, 0x1F))
                    taken = min(np.int64(trailing_zeros(stops & HIGH) >> np.uint64(3)), end - p)
                    keep = HIGH & (all_bytes >> np.uint64(64 - 8 * taken) if taken > 0 else np.uint64(0))
                    lower = t | SPACES
                    letters += _high_bits(_from(lower, 0x61) & ~_from(lower, 0x7B) & keep)
                    numbers += _high_bits(_from(t, 0x30) & ~_from(t, 0x3A) & keep)
                    characters += taken
                    p += taken
                    if taken == 8 or p >= end:
                        continue
                c = code_point(data, p)
                kind = flags[c]
                size = np.int64(char_bytes(data[p]))
                if kind & BREAK != 0:
                    is_break = True
                    after = p + size
                    break
                letters += (kind & LETTER) != 0
                numbers += (kind & NUMBER) != 0
                characters += 1
                p += size
            if p == start and not is_break:
                break  # the last line has a break, and there is nothing after it
            lines += 1
            longest = max(longest, characters - before)
            text = _text_begins(data, start, p)
            if text < p:
                code_lines += 1
                comments += _begins_comment(data, text, p, marks[i])
            if not is_break:
                break
            characters += 1
            breaks += 1
            if data[p] == 0x0D and after < end and data[after] == 0x0A:
                after += 1
                characters += 1
                breaks += 1
            p = start = after
            before = characters
        out[i, CHARACTERS], out[i, LETTERS], out[i, NUMBERS] = characters, letters, numbers
        out[i, LINES], out[i, LONGEST], out[i, BREAKS] = lines, longest, breaks
        out[i, CODE_LINES], out[i, COMMENTS] = code_lines, comments


@kernel
def heads(offsets, data, out_offsets, out):
    """The first HEAD bytes of every text, without a character that they cut.

    out_offsets   int64[n + 1];  out   uint8[n * HEAD]   overwritten: head i is out[out_offsets[i]:out_offsets[i + 1]]
    """
    n = 0
    out_offsets[0] = 0
    for i in range(offsets.size - 1):
        start, end = offsets[i], offsets[i + 1]
        if end - start > HEAD:
            end = start + HEAD
            while data[end] & 0xC0 == 0x80:
                end -= 1
        for p in range(start, end):
            out[n] = data[p]
            n += 1
        out_offsets[i + 1] = n
