"""Counts behind the Gopher quality measures: over words by their byte spans, and over lines.

Lines need no list: breaks and ellipses are found in blocks of 64 bytes, and of a line only the beginning is looked at
and, where it has an ellipsis, what follows that. White space and line breaks are those of Python's str.strip and
str.splitlines, which the measured dialect uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.kernels.block import BLOCK, begins, below, bit_count, block_at, breaks, equal
from dedup.kernels.compile import lean_kernel
from dedup.kernels.grams import word_size
from dedup.kernels.lines import after_space, break_bytes
from dedup.kernels.utf8 import char_bytes, code_point, first_bytes
from dedup.kernels.word import trailing_zeros

WORDS, PLAIN_WORDS, CHARACTERS, ALPHABETIC, STOP_WORDS = range(5)
HASHES, ELLIPSES, LINES, BULLETS, ELLIPSIS_ENDS = range(5, 10)
COUNTS = 10

_ELLIPSES = begins("...", [0xE2, 0x80, 0xA6])
_NUMBER_SIGN = np.uint8(0x23)
_ONE = np.uint64(1)

LETTER, SIGN = 1, 2
_LETTER, _SIGN = np.uint8(LETTER), np.uint8(SIGN)
_TO_SLOT = np.uint64(0xC42DDDC22F41F7CD)


class Strings(NamedTuple):
    """Some strings as kernels look them up: string k is data[offsets[k]:offsets[k + 1]]; none is empty; read-only.

    slots          int64[2^bits]    open addressing by the first eight bytes and the size: k, or -1 for none
    heads, sizes   uint64[2^bits]   of the string in a slot, its first eight bytes and its size; 0 for none
    begins         bool[256]        whether white space or one of the strings may begin with a byte
    has_long, is_ascii   whether one has more than eight bytes, and all begin with a byte of ASCII
    """

    offsets: npt.NDArray[np.int64]
    data: npt.NDArray[np.uint8]
    slots: npt.NDArray[np.int64]
    heads: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.uint64]
    begins: npt.NDArray[np.bool_]
    has_long: bool
    is_ascii: bool


def strings(values: Iterable[str]) -> Strings:
    """The distinct non-empty ones of some strings."""
    encoded = sorted({value.encode() for value in values} - {b""})
    bits = max(3, (16 * len(encoded)).bit_length())
    slots = np.full(1 << bits, -1, np.int64)
    heads, sizes = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.uint64)
    begins = np.zeros(256, np.bool_)
    begins[[*range(0x09, 0x0E), *range(0x1C, 0x21), 0xC2, 0xE1, 0xE2, 0xE3]] = True
    for k, word in enumerate(encoded):
        head = int.from_bytes(word[:8], "little")
        slot = (head + len(word)) * int(_TO_SLOT) % (1 << 64) >> (64 - bits)
        while slots[slot] >= 0:
            slot = (slot + 1) % len(slots)
        slots[slot], heads[slot], sizes[slot], begins[word[0]] = k, head, len(word), True
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    data = np.frombuffer(b"".join(encoded), np.uint8)
    for array in (offsets, data, slots, heads, sizes, begins):
        array.flags.writeable = False
    has_long, is_ascii = any(len(word) > 8 for word in encoded), all(word[0] < 0x80 for word in encoded)
    return Strings(offsets, data, slots, heads, sizes, begins, has_long, is_ascii)


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
def count_lines(offsets, data, bullets, out):
    """Counts of "#", ellipses, lines, bullets and lines that end in an ellipsis.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    bullets         Strings                    what a line of a list begins with
    out             int64[n, COUNTS]           HASHES and the four after it are overwritten

    Twin: tests/measure/test_gopher.py.
    """
    for i in range(offsets.size - 1):
        begin, end = offsets[i], offsets[i + 1]
        hashes = ellipses = lines = listed = ends = 0
        start = begin
        after = begin  # the end of the last ellipsis
        for p in range(begin, end, BLOCK):
            block, size = block_at(data, p), end - p
            hashes += bit_count(equal(block, _NUMBER_SIGN) & below(size))
            line_breaks = breaks(block, size)
            stops = line_breaks | _ELLIPSES(block) & below(size)
            while stops:
                lowest = stops & (~stops + _ONE)
                stop = p + np.int64(trailing_zeros(stops))
                stops ^= lowest
                if stop < after or stop < start:  # a full stop of the ellipsis before, the line feed of CR LF
                    continue
                if line_breaks & lowest:
                    lines += 1
                    if start < stop and bullets.begins[data[start]]:
                        listed += _begins_with(data, start, stop, bullets)
                    ends += after > start and after_space(data, after, stop) >= stop
                    start = stop + break_bytes(data, stop, end)
                elif data[stop] == 0x2E:
                    after = stop + 1
                    while after < end and data[after] == 0x2E:
                        after += 1
                    ellipses += (after - stop) // 3
                    if after - stop < 3:  # the text ends, and another one goes on
                        after = start
                else:
                    ellipses += 1
                    after = stop + 3
        if start < end:  # the last line has no break
            lines += 1
            listed += _begins_with(data, start, end, bullets)
            ends += after > start and after_space(data, after, end) >= end
        out[i, HASHES], out[i, ELLIPSES], out[i, LINES] = hashes, ellipses, lines
        out[i, BULLETS], out[i, ELLIPSIS_ENDS] = listed, ends


@lean_kernel
def _same_tail(data, p, size, words, k):
    """Whether data[p:p + size] goes on after eight bytes as word k does, which has its size."""
    first = np.uint64(words.offsets[k])
    same = np.uint64(8)
    while same < size and data[p + same] == words.data[first + same]:
        same += _ONE
    return same >= size


@lean_kernel
def _wide_word(data, p, end, kinds):
    """(code points, whether one is a letter, whether all are signs) of a word."""
    both = np.uint8(SIGN)  # SIGN: so far signs only
    length = 0
    while p < end:
        kind = kinds[code_point(data, p)]
        both = (both | kind & _LETTER) & (kind | _LETTER)
        length += 1
        p += char_bytes(data[p])
    return length, both & _LETTER != 0, both & _SIGN != 0


@lean_kernel
def count_words(word_offsets, base, starts, ends, data, kinds, stop_words, seen, out):
    """Counts of words, of those that are not signs only and their characters, of words with a letter, of stop words.

    word_offsets     int64[n + 1]       words of text i are word_offsets[i] to word_offsets[i + 1]
    base             int64[n]           word j of text i is data[base[i] + starts[j]:base[i] + ends[j]], UTF-8
    starts, ends     int32[...];  data  uint8[...]
    kinds            uint8[0x110000]    LETTER and SIGN of each code point
    stop_words       Strings            the distinct ones of a text are counted
    seen             uint8[slots]       scratch
    out              int64[n, COUNTS]   WORDS to STOP_WORDS are overwritten

    Twin: tests/measure/test_gopher.py.
    """
    heads, sizes = stop_words.heads, stop_words.sizes
    mask = np.uint64(heads.size - 1)
    shift = np.uint64(64) - trailing_zeros(np.uint64(heads.size))
    for i in range(base.size):
        characters = alphabetic = signs = 0
        seen[:] = 0
        text = base[i]
        for j in range(word_offsets[i], word_offsets[i + 1]):
            p, size = np.uint64(text + starts[j]), np.uint64(ends[j] - starts[j])
            if size == 3 and data[p] >= 0xE0 and stop_words.is_ascii:  # one character, as most Chinese words are
                kind = kinds[code_point(data, p)]
                characters += kind & _SIGN == 0
                signs += kind & _SIGN != 0
                alphabetic += kind & _LETTER != 0
                continue
            if size == 0:
                signs += 1
                continue
            x = first_bytes(data, p, size)
            slot = (x + size) * _TO_SLOT >> shift
            # 0 for the same head; most words come to a free slot or to their own, and go on without a branch.
            other = (heads[slot] ^ x) | (sizes[slot] ^ size)
            while min(other, sizes[slot]) != 0 or (
                stop_words.has_long and other == 0 and not _same_tail(data, p, size, stop_words, stop_words.slots[slot])
            ):
                slot = (slot + _ONE) & mask
                other = (heads[slot] ^ x) | (sizes[slot] ^ size)
            seen[slot] |= other == 0
            if 0x61 <= data[p] | 0x20 <= 0x7A:
                alphabetic += 1
                characters += word_size(data, np.int64(p), np.int64(size))
                continue
            length, has_letter, is_sign = _wide_word(data, p, p + size, kinds)
            alphabetic += has_letter
            signs += is_sign
            characters += 0 if is_sign else length
        all_words = word_offsets[i + 1] - word_offsets[i]
        out[i, WORDS], out[i, PLAIN_WORDS] = all_words, all_words - signs
        out[i, CHARACTERS], out[i, ALPHABETIC], out[i, STOP_WORDS] = characters, alphabetic, seen.sum()
