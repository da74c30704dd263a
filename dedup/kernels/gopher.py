"""Counts behind the Gopher quality measures: over tokens by their byte spans, and over lines.

Lines need no list: a break is found, and the line's two ends are looked at where they are. White space
and line breaks are those of Python's str.strip and str.splitlines, which the measured dialect uses.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import kernel
from dedup.kernels.utf8 import char_bytes, code_point, first_bytes, space_bytes
from dedup.kernels.word import load8, trailing_zeros

WORDS, CHARACTERS, ALPHABETIC, STOP_WORDS, HASHES, ELLIPSES, LINES, BULLETS, ELLIPSIS_ENDS = range(9)
COUNTS = 9

_HIGH = np.uint64(0x8080808080808080)
_LOW = np.uint64(0x7F7F7F7F7F7F7F7F)
_THREE_HIGHEST = np.uint64(0xE0E0E0E0E0E0E0E0)
_SPACES = np.uint64(0x2020202020202020)
_NUMBER_SIGNS = np.uint64(0x2323232323232323)
_FULL_STOPS = np.uint64(0x2E2E2E2E2E2E2E2E)
_E2S = np.uint64(0xE2E2E2E2E2E2E2E2)

# A word of up to eight bytes as a number, times this, has its slot in the highest three bits: the eight stop
# words have eight slots, so that a word is compared with one of them.
_TO_SLOT = np.uint64(0xC42DDDC22F41F7CD)
_STOP_WORDS = np.zeros(8, np.uint64)
for _word in (b"the", b"be", b"to", b"of", b"and", b"that", b"have", b"with"):
    _number = int.from_bytes(_word, "little")
    _STOP_WORDS[_number * int(_TO_SLOT) % (1 << 64) >> 61] = _number


@kernel
def _not_zero(x):
    """The high bit of every byte that is not 0; the other bits mean nothing."""
    return ((x & _LOW) + _LOW) | x


@kernel
def _bytes_before_stop(x):
    """How many of the lowest bytes come before one that lines are counted by: 0 to 8.

    Those are "#", ".", the controls, and 0xC2 and 0xE2, which begin U+0085, U+2028, U+2029 and the ellipsis.
    """
    going_on = (
        _not_zero(x & _THREE_HIGHEST)
        & _not_zero(x ^ _NUMBER_SIGNS)
        & _not_zero(x ^ _FULL_STOPS)
        & _not_zero((x | _SPACES) ^ _E2S)
    )
    return np.int64(trailing_zeros(~going_on & _HIGH) >> np.uint64(3))


@kernel
def _begins_with_bullet(data, start, end):
    """Whether "•" or "-" is the first character after white space."""
    while start < end:
        width = space_bytes(data, start, end)
        if width == 0:
            break
        start += width
    if start >= end:
        return False
    if data[start] == 0x2D:
        return True
    return end - start >= 3 and data[start] == 0xE2 and data[start + 1] == 0x80 and data[start + 2] == 0xA2


@kernel
def _ends_with_ellipsis(data, start, end):
    """Whether "..." or "…" comes last before white space."""
    while end > start:
        p = end - 1
        while p > start and data[p] & 0xC0 == 0x80:
            p -= 1
        if space_bytes(data, p, end) == 0:
            break
        end = p
    if end - start < 3:
        return False
    if data[end - 3] == 0xE2:
        return data[end - 2] == 0x80 and data[end - 1] == 0xA6
    return data[end - 3] == 0x2E and data[end - 2] == 0x2E and data[end - 1] == 0x2E


@kernel
def count_lines(offsets, data, out):
    """Counts of "#", ellipses, lines, bullets and lines that end in an ellipsis.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    out             int64[n, COUNTS]           HASHES and the four after it are overwritten

    Twin: tests/measure/test_gopher.py.
    """
    for i in range(offsets.size - 1):
        hashes = ellipses = lines = bullets = ends = 0
        p, end = offsets[i], offsets[i + 1]
        start = p
        while True:
            while p + 8 <= data.size and p < end:
                skipped = _bytes_before_stop(load8(data, p))
                p += skipped
                if skipped < 8:
                    break
            p = min(p, end)
            if p < end:
                c = data[p]
                break_bytes = 0
                if c == 0x23:
                    hashes += 1
                elif c == 0x2E:
                    first = p
                    while p + 1 < end and data[p + 1] == 0x2E:
                        p += 1
                    ellipses += (p + 1 - first) // 3
                elif c == 0xC2:
                    break_bytes = 2 if data[p + 1] == 0x85 else 0
                elif c == 0xE2:
                    if data[p + 1] == 0x80:
                        if data[p + 2] == 0xA6:
                            ellipses += 1
                        elif data[p + 2] == 0xA8 or data[p + 2] == 0xA9:
                            break_bytes = 3
                elif c == 0x0D and p + 1 < end and data[p + 1] == 0x0A:
                    break_bytes = 2
                elif 0x0A <= c <= 0x0D or 0x1C <= c <= 0x1E:
                    break_bytes = 1
                if break_bytes == 0:
                    p += 1
                    continue
            elif start < end:
                break_bytes = 0  # the last line has no break
            else:
                break
            lines += 1
            bullets += _begins_with_bullet(data, start, p)
            ends += _ends_with_ellipsis(data, start, p)
            p += break_bytes
            start = p
        out[i, HASHES], out[i, ELLIPSES], out[i, LINES] = hashes, ellipses, lines
        out[i, BULLETS], out[i, ELLIPSIS_ENDS] = bullets, ends


@kernel
def count_words(offsets, data, token_offsets, starts, ends, letters, out):
    """Counts of words, their characters, words with a letter, and distinct stop words.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    token_offsets   int64[n + 1]               tokens of text i are token_offsets[i] to token_offsets[i + 1]
    starts, ends    int32[...]                 byte span of each token within its text
    letters         bool[0x110000]             alphabetic code points
    out             int64[n, COUNTS]           WORDS to STOP_WORDS are overwritten

    Twin: tests/measure/test_gopher.py.
    """
    for i in range(offsets.size - 1):
        characters = alphabetic = 0
        seen = np.uint64(0)  # bit k: the stop word of slot k occurred
        for j in range(token_offsets[i], token_offsets[i + 1]):
            p, size = np.uint64(offsets[i] + starts[j]), np.uint64(ends[j] - starts[j])
            first = data[p]
            x = first_bytes(data, p, size)
            slot = x * _TO_SLOT >> np.uint64(61)
            seen |= np.uint64(x == _STOP_WORDS[slot]) << slot
            if size <= np.uint64(8) and x & _HIGH == 0 and 0x61 <= first | 0x20 <= 0x7A:
                characters += np.int64(size)
                alphabetic += 1
                continue
            has_letter = False
            end = p + size
            while p < end:
                if not has_letter:
                    has_letter = letters[code_point(data, p)]
                characters += 1
                p += char_bytes(data[p])
            alphabetic += has_letter
        stop_words = np.int64(0)
        for k in range(_STOP_WORDS.size):
            stop_words += np.int64(seen >> np.uint64(k) & np.uint64(1))
        out[i, WORDS] = token_offsets[i + 1] - token_offsets[i]
        out[i, CHARACTERS], out[i, ALPHABETIC], out[i, STOP_WORDS] = characters, alphabetic, stop_words
