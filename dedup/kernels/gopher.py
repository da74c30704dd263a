"""Counts behind the Gopher quality measures: over words by their byte spans, and over lines.

Lines need no list: a break is found, and the line's two ends are looked at where they are. White space
and line breaks are those of Python's str.strip and str.splitlines, which the measured dialect uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.kernels.compile import lean_kernel
from dedup.kernels.lines import after_space, before_space
from dedup.kernels.utf8 import char_bytes, code_point, first_bytes, not_zero
from dedup.kernels.word import HIGH, SPACES, load8, trailing_zeros

WORDS, PLAIN_WORDS, CHARACTERS, ALPHABETIC, STOP_WORDS = range(5)
HASHES, ELLIPSES, LINES, BULLETS, ELLIPSIS_ENDS = range(5, 10)
COUNTS = 10

_THREE_HIGHEST = np.uint64(0xE0E0E0E0E0E0E0E0)
_NUMBER_SIGNS = np.uint64(0x2323232323232323)
_FULL_STOPS = np.uint64(0x2E2E2E2E2E2E2E2E)
_E2S = np.uint64(0xE2E2E2E2E2E2E2E2)

LETTER, SIGN = 1, 2
_LETTER, _SIGN = np.uint8(LETTER), np.uint8(SIGN)
_TO_SLOT = np.uint64(0xC42DDDC22F41F7CD)


class Strings(NamedTuple):
    """Some strings as kernels look them up: string k is data[offsets[k]:offsets[k + 1]]; none is empty; read-only.

    slots   int64[2^bits]   open addressing by the first eight bytes and the size: k, or -1 for none
    """

    offsets: npt.NDArray[np.int64]
    data: npt.NDArray[np.uint8]
    slots: npt.NDArray[np.int64]


def strings(values: Iterable[str]) -> Strings:
    """The distinct non-empty ones of some strings."""
    encoded = sorted({value.encode() for value in values} - {b""})
    bits = max(3, (8 * len(encoded)).bit_length())
    slots = np.full(1 << bits, -1, np.int64)
    for k, word in enumerate(encoded):
        x = int.from_bytes(word[:8], "little") + len(word)
        slot = x * int(_TO_SLOT) % (1 << 64) >> (64 - bits)
        while slots[slot] >= 0:
            slot = (slot + 1) % len(slots)
        slots[slot] = k
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    data = np.frombuffer(b"".join(encoded), np.uint8)
    for array in (offsets, data, slots):
        array.flags.writeable = False
    return Strings(offsets, data, slots)


@lean_kernel
def _bytes_before_stop(x):
    """How many of the lowest bytes come before one that lines are counted by: 0 to 8.

    Those are "#", ".", the controls, and 0xC2 and 0xE2, which begin U+0085, U+2028, U+2029 and the ellipsis.
    """
    going_on = (
        not_zero(x & _THREE_HIGHEST)
        & not_zero(x ^ _NUMBER_SIGNS)
        & not_zero(x ^ _FULL_STOPS)
        & not_zero((x | SPACES) ^ _E2S)
    )
    return np.int64(trailing_zeros(~going_on & HIGH) >> np.uint64(3))


@lean_kernel
def _begins_with(data, start, end, bullets):
    """Whether one of the bullets comes first after white space."""
    start = after_space(data, start, end)
    if start >= end:
        return False
    for k in range(bullets.offsets.size - 1):
        first, size = bullets.offsets[k], bullets.offsets[k + 1] - bullets.offsets[k]
        if size <= end - start and data[start] == bullets.data[first]:
            same = 1
            while same < size and data[start + same] == bullets.data[first + same]:
                same += 1
            if same == size:
                return True
    return False


@lean_kernel
def _ends_with_ellipsis(data, start, end):
    """Whether "..." or "…" comes last before white space."""
    end = before_space(data, start, end)
    if end - start < 3:
        return False
    if data[end - 3] == 0xE2:
        return data[end - 2] == 0x80 and data[end - 1] == 0xA6
    return data[end - 3] == 0x2E and data[end - 2] == 0x2E and data[end - 1] == 0x2E


@lean_kernel
def count_lines(offsets, data, bullets, out):
    """Counts of "#", ellipses, lines, bullets and lines that end in an ellipsis.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    bullets         Strings                    what a line of a list begins with
    out             int64[n, COUNTS]           HASHES and the four after it are overwritten

    Twin: tests/measure/test_gopher.py.
    """
    for i in range(offsets.size - 1):
        hashes = ellipses = lines = listed = ends = 0
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
            listed += _begins_with(data, start, p, bullets)
            ends += _ends_with_ellipsis(data, start, p)
            p += break_bytes
            start = p
        out[i, HASHES], out[i, ELLIPSES], out[i, LINES] = hashes, ellipses, lines
        out[i, BULLETS], out[i, ELLIPSIS_ENDS] = listed, ends


@lean_kernel
def _found(data, p, size, x, words):
    """Which of the words data[p:p + size] is, whose first eight bytes are x; -1 for none."""
    mask = np.uint64(words.slots.size - 1)
    shift = np.uint64(64) - trailing_zeros(np.uint64(words.slots.size))
    slot = (x + size) * _TO_SLOT >> shift
    while words.slots[slot] >= 0:
        k = words.slots[slot]
        first = np.uint64(words.offsets[k])
        if np.uint64(words.offsets[k + 1]) - first == size:
            same = np.uint64(0)
            while same < size and data[p + same] == words.data[first + same]:
                same += np.uint64(1)
            if same == size:
                return k
        slot = (slot + np.uint64(1)) & mask
    return np.int64(-1)


@lean_kernel
def count_words(word_offsets, base, starts, ends, data, kinds, stop_words, stamps, out):
    """Counts of words, of those that are not signs only and their characters, of words with a letter, of stop words.

    word_offsets     int64[n + 1]       words of text i are word_offsets[i] to word_offsets[i + 1]
    base             int64[n]           word j of text i is data[base[i] + starts[j]:base[i] + ends[j]], UTF-8
    starts, ends     int32[...];  data  uint8[...]
    kinds            uint8[0x110000]    LETTER and SIGN of each code point
    stop_words       Strings            the distinct ones of a text are counted
    stamps           int64[stop words]  scratch, all below 0
    out              int64[n, COUNTS]   WORDS to STOP_WORDS are overwritten

    Twin: tests/measure/test_gopher.py.
    """
    for i in range(base.size):
        characters = alphabetic = signs = distinct = 0
        for j in range(word_offsets[i], word_offsets[i + 1]):
            p, size = np.uint64(base[i] + starts[j]), np.uint64(ends[j] - starts[j])
            if size == 0:
                signs += 1
                continue
            x = first_bytes(data, p, size)
            k = _found(data, p, size, x, stop_words)
            if k >= 0 and stamps[k] != i:
                stamps[k] = i
                distinct += 1
            if size <= np.uint64(8) and x & HIGH == 0 and 0x61 <= data[p] | 0x20 <= 0x7A:
                characters += np.int64(size)
                alphabetic += 1
                continue
            both = np.uint8(SIGN)  # SIGN: so far signs only
            length = 0
            end = p + size
            while p < end:
                kind = kinds[code_point(data, p)]
                both = (both | kind & _LETTER) & (kind | _LETTER)
                length += 1
                p += char_bytes(data[p])
            alphabetic += both & _LETTER != 0
            if both & _SIGN:
                signs += 1
            else:
                characters += length
        all_words = word_offsets[i + 1] - word_offsets[i]
        out[i, WORDS], out[i, PLAIN_WORDS] = all_words, all_words - signs
        out[i, CHARACTERS], out[i, ALPHABETIC], out[i, STOP_WORDS] = characters, alphabetic, distinct
