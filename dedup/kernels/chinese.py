"""Counts behind the Chinese measures: a pass over characters, one over the distinct ones, one over lines and sentences.

Frequencies are counted in a table of all code points, cleared by walking the distinct ones: 4.4 MB, of which a
text touches what it uses. Kinds of characters are counted by the distinct ones; lines and sentences are found 64
bytes at a time.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels import block as blocks
from dedup.kernels.block import BLOCK, begins, below, bit_count, block_at, breaks, equal, firsts, spaces
from dedup.kernels.category import DIGIT, HAN, PUNCTUATION, SENTENCE_ENDS
from dedup.kernels.compile import lean_kernel
from dedup.kernels.lines import before_space, break_bytes
from dedup.kernels.utf8 import char_bytes, code_point
from dedup.kernels.word import HIGH, load8, trailing_zeros

CHARACTERS, SPACES, HANS, PUNCTUATIONS, DIGITS, DISTINCT, BRACKETED, LINES, READ_MORE, SENTENCES, SHORT = range(11)
COUNTS = 11

SHORT_SENTENCE = 5  # characters

_ENDS = begins(*(character.encode() for character in SENTENCE_ENDS))
_NARROW_ENDS = begins(*(character.encode() for character in SENTENCE_ENDS if character.isascii()))
_NARROW_SPACES, _NARROW_BREAKS = blocks.NARROW_SPACES, blocks.NARROW_BREAKS
_NOT_ASCII = begins([(0x80, 0xFF)])
_BRACKETS, _OPENS = begins([0xE3, 0x80, (0x90, 0x91)]), np.uint8(0x90)  # 【 and 】, and the last byte of the former
_STOP = np.uint8(0x2E)
_ONE, _EIGHT, _LAST, _BYTE = (np.uint64(number) for number in (1, 8, 63, 0xFF))


@lean_kernel
def _ends_in_read_more(data, start, end):
    """Whether "readmore", "read more", 展开, 更多 or 。。。 ends data[start:end], which ends in no white space."""
    size = end - start
    if size >= 6 and data[end - 1] >= 0x80:
        a, b = code_point(data, end - 6), code_point(data, end - 3)
        if (a == 0x5C55 and b == 0x5F00) or (a == 0x66F4 and b == 0x591A):
            return True
        return size >= 9 and a == b == 0x3002 and code_point(data, end - 9) == 0x3002
    if size < 8 or data[end - 1] | 0x20 != 0x65:  # e
        return False
    if not (data[end - 2] | 0x20 == 0x72 and data[end - 3] | 0x20 == 0x6F and data[end - 4] | 0x20 == 0x6D):
        return False
    p = end - 5
    if data[p] == 0x20:
        p -= 1
    if p - 3 < start:
        return False
    return (
        data[p] | 0x20 == 0x64
        and data[p - 1] | 0x20 == 0x61
        and data[p - 2] | 0x20 == 0x65
        and data[p - 3] | 0x20 == 0x72
    )


@lean_kernel
def count(offsets, data, flags, times_log, often, seen, lanes, settled, out, entropy):
    """Counts of characters by kind, lines, sentences, and the entropy of a text's characters.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    flags           uint16[0x110000]           of category.flags
    times_log       float64[...]               c * log(c) of small counts c
    often           uint32[0x110000]           scratch of zeros; zeros again afterwards
    seen            uint32[0x110000 + 1]       scratch
    lanes           uint32[128, 8]             scratch of zeros; zeros again afterwards
    settled         bool[128]                  the same
    out             int64[n, COUNTS]           overwritten
    entropy         float64[n]                 overwritten, in nats; that of an empty text is 0

    Twin: tests/measure/test_chinese.py.
    """
    for i in range(offsets.size - 1):
        start, end = offsets[i], offsets[i + 1]
        distinct = _tally(data, start, end, often, seen, lanes, settled)
        _count_kinds(flags, times_log, distinct, often, seen, out[i], entropy[i : i + 1])
        _count_lines(data, start, end, out[i])


@lean_kernel
def _tally(data, start, end, often, seen, lanes, settled):
    """How often each character occurs, and the distinct ones into `seen` as they come; how many.

    Eight ASCII characters that all occurred before are counted each in a lane of its own: one number that is changed
    twice within a few instructions is waited for (2.2 -> 0.8 ns a byte of English).
    """
    p, end = np.uint64(start), np.uint64(end)
    distinct = np.uint64(0)
    last = np.uint64(max(data.size - 8, 0))  # before it, eight bytes can be read
    while p < end:
        c = np.uint32(data[p])
        if c < np.uint32(0x80) and p < last and p + _EIGHT <= end:
            x = load8(data, p)
            if x & HIGH == 0 and _add_settled(x, lanes, settled):
                p += _EIGHT
                continue
        c = code_point(data, p)
        p += char_bytes(data[p])
        before = often[c]
        often[c] = before + np.uint32(1)
        seen[distinct] = c  # without a branch: whether a character is new is as good as random
        distinct += np.uint64(before == 0)
        if c < np.uint32(0x80):
            settled[c] = True
    for k in range(distinct):
        c = seen[k]
        if c < np.uint32(0x80):
            settled[c] = False
            for lane in range(8):
                often[c] += lanes[c, lane]
                lanes[c, lane] = 0
    return distinct


@lean_kernel
def _add_settled(x, lanes, settled):
    """Count eight ASCII characters if all of them occurred before; whether they did."""
    is_settled = True
    for k in range(8):
        is_settled &= settled[x >> np.uint64(8 * k) & _BYTE]
    if is_settled:
        for k in range(8):
            lanes[x >> np.uint64(8 * k) & _BYTE, np.uint64(k)] += np.uint32(1)
    return is_settled


@lean_kernel
def _count_kinds(flags, times_log, distinct, often, seen, out, entropy):
    """Characters by kind and their entropy, from the distinct ones; `often` is cleared."""
    characters = hans = punctuations = digits = 0
    total = 0.0
    for k in range(distinct):
        c = seen[k]
        many = np.int64(often[c])
        often[c] = 0
        kind = flags[c]
        characters += many
        hans += many * ((kind & HAN) != 0)
        punctuations += many * ((kind & PUNCTUATION) != 0)
        digits += many * ((kind & DIGIT) != 0)
        total += times_log[many] if many < times_log.size else many * np.log(many)
    entropy[0] = np.log(characters) - total / characters if characters > 0 else 0.0
    out[CHARACTERS], out[HANS], out[PUNCTUATIONS], out[DIGITS] = characters, hans, punctuations, digits
    out[DISTINCT] = distinct


@lean_kernel
def _count_lines(data, start, end, out):
    """White space, characters of titles in brackets, lines and sentences."""
    white_characters = bracketed = lines = read_more = sentences = short = 0
    opened = np.int64(-1)  # where a bracket that is still open on this line began, in characters
    characters = counted = np.int64(0)  # before the block: all, and those that make a sentence longer
    sentence = np.int64(0)  # of the latter, those before the sentence
    line = start
    into = before = np.uint64(0)  # white space and a full stop at the end of the block before
    for p in range(start, end, BLOCK):
        block, size = block_at(data, p), end - p
        if _NOT_ASCII(block) & below(size) == 0:
            begun, white = below(size), _NARROW_SPACES(block) & below(size)
            into = brackets = np.uint64(0)
            ends, broken = _NARROW_ENDS(block) & below(size), _NARROW_BREAKS(block) & below(size)
        else:
            white, into = spaces(block, size, into)
            begun, broken = firsts(block, size), breaks(block, size)
            ends, brackets = _ENDS(block) & below(size), _BRACKETS(block) & below(size)
        stops = equal(block, _STOP)
        stopped = white & (stops << _ONE | before)  # white space after a full stop, which ends the sentence then
        before = stops >> _LAST
        long = begun & ~white & ~ends
        over = ends | broken | stopped
        while over:
            k = np.int64(trailing_zeros(over))
            length = counted + bit_count(long & below(k)) - sentence
            sentence += length
            length -= np.int64(stopped >> np.uint64(k) & _ONE)
            sentences += length > 0
            short += (length > 0) & (length <= SHORT_SENTENCE)
            over &= over - _ONE
        marks = broken | brackets
        while marks:
            k = np.int64(trailing_zeros(marks))
            marks &= marks - _ONE
            at = p + k
            if not broken >> np.uint64(k) & _ONE:
                place = characters + bit_count(begun & below(k))
                if data[at + 2] == _OPENS:
                    opened = place if opened < 0 else opened
                elif opened >= 0:
                    bracketed += place + 1 - opened
                    opened = -1
            elif at >= line:  # no second half of CR LF
                lines += 1
                read_more += _ends_in_read_more(data, line, before_space(data, line, at))
                opened = -1
                line = at + break_bytes(data, at, end)
        white_characters += bit_count(begun & white)
        characters += bit_count(begun)
        counted += bit_count(long)
    if end > start:
        length = counted - sentence - (data[end - 1] == _STOP)
        sentences += length > 0
        short += 0 < length <= SHORT_SENTENCE
        if line < end:
            lines += 1
            read_more += _ends_in_read_more(data, line, before_space(data, line, end))
    out[SPACES], out[BRACKETED], out[LINES], out[READ_MORE] = white_characters, bracketed, lines, read_more
    out[SENTENCES], out[SHORT] = sentences, short
