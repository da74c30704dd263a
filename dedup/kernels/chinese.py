"""Counts behind the Chinese measures: one pass over characters with a table of flags, and one over the distinct ones.

Frequencies are counted in a table of all code points, cleared by walking the distinct ones: 4.4 MB, of which a
text touches what it uses.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.category import BREAK, DIGIT, END, HAN, PUNCTUATION, SPACE
from dedup.kernels.compile import kernel
from dedup.kernels.utf8 import char_bytes, code_point

CHARACTERS, SPACES, HANS, PUNCTUATIONS, DIGITS, DISTINCT, BRACKETED, LINES, READ_MORE, SENTENCES, SHORT = range(11)
COUNTS = 11

SHORT_SENTENCE = 5  # characters


@kernel
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


@kernel
def count(offsets, data, flags, times_log, often, seen, out, entropy):
    """Counts of characters by kind, lines, sentences, and the entropy of a text's characters.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    flags           uint16[0x110000]           of category.flags
    times_log       float64[...]               c * log(c) of small counts c
    often           int64[0x110000]            scratch of zeros; zeros again afterwards
    seen            uint32[0x110000]           scratch
    out             int64[n, COUNTS]           overwritten
    entropy         float64[n]                 overwritten, in nats; that of an empty text is 0

    Twin: tests/measure/test_chinese.py.
    """
    for i in range(offsets.size - 1):
        p, end = np.uint64(offsets[i]), np.uint64(offsets[i + 1])
        characters = spaces = hans = punctuations = digits = distinct = 0
        bracketed = lines = read_more = sentences = short = 0
        opened = -1  # where a bracket that is still open on this line began
        length = 0  # characters of the sentence so far, white space and end marks not counted
        line = after = p  # the line's beginning, and past its last character that is not white space
        is_break = True
        previous = np.uint32(0)
        while p < end:
            c = code_point(data, p)
            size = char_bytes(data[p])
            kind = flags[c]
            if often[c] == 0:
                seen[distinct] = c
                distinct += 1
            often[c] += 1
            spaces += (kind & SPACE) != 0
            hans += (kind & HAN) != 0
            punctuations += (kind & PUNCTUATION) != 0
            digits += (kind & DIGIT) != 0
            is_break = (kind & BREAK) != 0
            after_stop = previous == 0x2E and kind & SPACE != 0
            if kind & (SPACE | END) == 0:
                length += 1
            elif after_stop or kind & (END | BREAK) != 0:
                length -= after_stop  # the full stop was counted before it could be known to end a sentence
                sentences += length > 0
                short += 0 < length <= SHORT_SENTENCE
                length = 0
            if c == 0x3010 and opened < 0:
                opened = characters
            elif c == 0x3011 and opened >= 0:
                bracketed += characters + 1 - opened
                opened = -1
            if is_break:
                if not (c == 0x0A and previous == 0x0D):
                    lines += 1
                    read_more += _ends_in_read_more(data, np.int64(line), np.int64(after))
                opened = -1
                line = p + size
                after = line
            p += size
            if kind & SPACE == 0:
                after = p
            previous = c
            characters += 1
        if characters > 0:
            length -= previous == 0x2E
            sentences += length > 0
            short += 0 < length <= SHORT_SENTENCE
            if not is_break:
                lines += 1
                read_more += _ends_in_read_more(data, np.int64(line), np.int64(after))
        total = 0.0
        for k in range(distinct):
            many = often[seen[k]]
            total += times_log[many] if many < times_log.size else many * np.log(many)
            often[seen[k]] = 0
        entropy[i] = np.log(characters) - total / characters if characters > 0 else 0.0
        out[i, CHARACTERS], out[i, SPACES], out[i, HANS] = characters, spaces, hans
        out[i, PUNCTUATIONS], out[i, DIGITS], out[i, DISTINCT] = punctuations, digits, distinct
        out[i, BRACKETED], out[i, LINES], out[i, READ_MORE] = bracketed, lines, read_more
        out[i, SENTENCES], out[i, SHORT] = sentences, short
