"""Finds the lines that ftfy could change, so that ftfy never sees the others.

ftfy runs at 1 to 5 MB/s and changes almost nothing. It works line by line, and each of its fixes needs
a certain character, or (for mojibake) certain neighbours, to be there. One table of code points says
which; this kernel reads the text once and writes down the lines in which one of them occurs.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import kernel
from dedup.kernels.word import load8

# Why a line is written down; `lines` combines them by "or".
MOJIBAKE = 1  # characters that ftfy's badness expression needs are there
ORDER = 2  # a mark or another character that a normalization form may move or join
FIX = 4  # a character that one of the fixes replaces or removes
CARRIAGE_RETURN = 8
ENTITY = 16  # an HTML entity, and the setting says to unescape it here
LONG = 32  # more characters than max_decode_length: lines are not the segments here

# Entries of the table of code points: the reasons above for a character that is one by itself, and one
# of these. SUSPECT beside any of the three makes MOJIBAKE.
PUNCTUATION = 64
LETTER = 128
SUSPECT = PUNCTUATION | LETTER
_NEIGHBOURS = np.uint8(SUSPECT)
_ALONE = np.uint8(MOJIBAKE | ORDER | FIX | CARRIAGE_RETURN)

ENTITIES_NEVER, ENTITIES_ALWAYS, ENTITIES_AUTO = range(3)
_MOST_ENTITY_CHARACTERS = 24  # as in ftfy's HTML_ENTITY_RE

_HIGH = np.uint64(0x8080808080808080)
_LOW = np.uint64(0x7F7F7F7F7F7F7F7F)
_ONES = np.uint64(0x0101010101010101)
_AMPERSANDS = np.uint64(0x2626262626262626)
_FROM_SPACE = np.uint64(0x6060606060606060)  # added to a byte below 0x80, sets its high bit from space on


@kernel
def _is_dull(x):
    """Whether all eight bytes are ASCII from space to "~", none of them "&"."""
    t = x & _LOW
    printable = (t + _FROM_SPACE) & ~(t + _ONES)  # DEL is the one byte that the second sum makes high
    not_ampersand = (t ^ _AMPERSANDS) + _LOW
    return (printable & not_ampersand & ~x & _HIGH) == _HIGH


@kernel
def _is_entity(data, p, end):
    """Whether &#?[0-9A-Za-z]{1,24}; stands at p, which holds the "&"."""
    p += 1
    if p < end and data[p] == 0x23:
        p += 1
    first = p
    while p < end and p - first <= _MOST_ENTITY_CHARACTERS:
        c = data[p]
        if not (0x30 <= c <= 0x39 or 0x41 <= c <= 0x5A or 0x61 <= c <= 0x7A):
            return c == 0x3B and p > first
        p += 1
    return False


@kernel
def _is_longer(data, start, end, most):
    """Whether data[start:end] has more than `most` characters."""
    if end - start <= most:
        return False
    characters = 0
    for p in range(start, end):
        if data[p] & 0xC0 != 0x80:
            characters += 1
    return characters > most


@kernel
def flagged_lines(offsets, data, table, entities, most_characters, lines):
    """The lines, each with its "\\n", that hold a reason for ftfy to look at them.

    offsets, data     int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    table             uint8[0x110000]            reasons and neighbour class of every code point
    entities          ENTITIES_*                 whether HTML entities are a reason; auto: up to the first
                                                 line of the text that has "<"
    most_characters   a longer line gets the reason LONG
    lines             int64[m, 4]                out: text, first byte, byte past the last, reasons; in order
    returns           how many lines there are; if more than m, only the first m were written

    Twin: tests/test_clean.py (naive_flagged_lines).
    """
    count = 0
    ampersand = np.uint8(0x26)
    for i in range(offsets.size - 1):
        p, end = offsets[i], offsets[i + 1]
        start = looked = p
        is_html = False
        reasons = np.uint8(0)
        before = np.uint8(0)  # neighbour class of the character before p
        while p < end:
            while p + 8 <= end and _is_dull(load8(data, p)):
                p += 8
                before = np.uint8(0)
            if p >= end:
                break
            c = np.uint32(data[p])
            if c < np.uint32(0x80):
                p += 1
                if c == np.uint32(0x0A):
                    if _is_longer(data, start, p, most_characters):
                        reasons |= np.uint8(LONG)
                    if reasons != 0:
                        if count < lines.shape[0]:
                            lines[count, 0], lines[count, 1], lines[count, 2] = i, start, p
                            lines[count, 3] = reasons
                        count += 1
                        reasons = np.uint8(0)
                    start = p
                    before = np.uint8(0)
                    continue
                if c == ampersand and entities != ENTITIES_NEVER and not is_html and _is_entity(data, p - 1, end):
                    # "<" is looked for only here, from where the last look ended, to the end of this line.
                    while entities == ENTITIES_AUTO and looked < end:
                        if data[looked] == 0x3C:
                            is_html = True
                            break
                        if data[looked] == 0x0A and looked > p:
                            break
                        looked += 1
                    if not is_html:
                        reasons |= np.uint8(ENTITY)
            elif c < np.uint32(0xE0):
                c = (c & np.uint32(0x1F)) << np.uint32(6) | (np.uint32(data[p + 1]) & np.uint32(0x3F))
                p += 2
            elif c < np.uint32(0xF0):
                c = (
                    (c & np.uint32(0x0F)) << np.uint32(12)
                    | (np.uint32(data[p + 1]) & np.uint32(0x3F)) << np.uint32(6)
                    | (np.uint32(data[p + 2]) & np.uint32(0x3F))
                )
                p += 3
            else:
                c = (
                    (c & np.uint32(0x07)) << np.uint32(18)
                    | (np.uint32(data[p + 1]) & np.uint32(0x3F)) << np.uint32(12)
                    | (np.uint32(data[p + 2]) & np.uint32(0x3F)) << np.uint32(6)
                    | (np.uint32(data[p + 3]) & np.uint32(0x3F))
                )
                p += 4
            entry = table[c]
            now = entry & _NEIGHBOURS
            reasons |= entry & _ALONE
            if now != 0 and before != 0 and (now == _NEIGHBOURS or before == _NEIGHBOURS):
                reasons |= np.uint8(MOJIBAKE)
            before = now
        if start < end:
            if _is_longer(data, start, end, most_characters):
                reasons |= np.uint8(LONG)
            if reasons != 0:
                if count < lines.shape[0]:
                    lines[count, 0], lines[count, 1], lines[count, 2] = i, start, end
                    lines[count, 3] = reasons
                count += 1
    return count
