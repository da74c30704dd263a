"""Finds the lines that ftfy could change, so that ftfy never sees the others.

ftfy runs at 1 to 5 MB/s and changes almost nothing. It works line by line: it decodes a line anew only if its badness
expression is found there (kernels/badness.py), and each other fix needs a certain character. One table of code points
and the automaton's steps say which; this kernel reads the text once and writes down the lines that need a look.
Most bytes are skipped: ASCII eight at a time, ideographs by their lead byte (ns a byte: English 1.1, Chinese 1.9,
mixed 1.5, code 1.9).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.kernels.badness import ACCEPT, BEGIN, CLASS_BITS, CODE_POINTS, RESTART, Automaton
from dedup.kernels.compile import kernel
from dedup.kernels.word import HIGH, LOW, ONES, load8, trailing_zeros

# Why a line is written down; `lines` combines them by "or".
MOJIBAKE = 1  # ftfy's badness expression is found
ORDER = 2  # a normalization form changes the line, or may change it
FIX = 4  # a character that one of the fixes replaces or removes
CARRIAGE_RETURN = 8
ENTITY = 16  # an HTML entity, and the setting says to unescape it here
LONG = 32  # more characters than max_decode_length: lines are not the segments here
MARKS = 64  # MANY_MARKS or more in a row: ordering them takes others quadratic time

# What a form does to a character; other numbers rank the classes of marks in their order.
STAYS, MAY_JOIN, CHANGES = 0, 62, 63
MANY_MARKS = 64

# Entries of the table of code points: class in the automaton, then what the form does, then two reasons.
_FORM_BITS = 6
_FIX_BIT = CLASS_BITS + _FORM_BITS
_RETURN_BIT = _FIX_BIT + 1

ENTITIES_NEVER, ENTITIES_ALWAYS, ENTITIES_AUTO = range(3)
_MOST_ENTITY_CHARACTERS = 24  # as in ftfy's HTML_ENTITY_RE

_AMPERSANDS = np.uint64(0x2626262626262626)
_FROM_SPACE = np.uint64(0x6060606060606060)  # added to a byte below 0x80, sets its high bit from space on


class Tables(NamedTuple):
    """What the kernel needs to know of characters; read-only.

    entries   uint16[0x110000]   class << 0 | form << 7 | FIX << 13 | CARRIAGE_RETURN << 14 of every code point
    steps     uint8[n << 7]      the automaton
    dull      bool[16]           lead byte 0xE0 + i: none of its characters is more than a character that stays
    """

    entries: npt.NDArray[np.uint16]
    steps: npt.NDArray[np.uint8]
    dull: npt.NDArray[np.bool_]


_FINDS_NOTHING = Automaton(np.zeros(CODE_POINTS, np.uint8), np.zeros(3 << CLASS_BITS, np.uint8))


def tables(
    automaton: Automaton | None, form: npt.NDArray[np.uint8] | None, fixes: Iterable[int], carriage_return: bool
) -> Tables:
    """The tables for an automaton (None: nothing is mojibake), a form and the code points of the other fixes."""
    classes, steps = automaton or _FINDS_NOTHING
    entries = classes.astype(np.uint16)
    if form is not None:
        entries |= form.astype(np.uint16) << CLASS_BITS
    entries[list(fixes)] |= 1 << _FIX_BIT
    if carriage_return:
        entries[0x0D] |= 1 << _RETURN_BIT
    stays = (entries >> CLASS_BITS == 0) & (steps[RESTART << CLASS_BITS :][classes] == RESTART)
    stays[:0x800] = True  # not of three bytes
    dull = stays[:0x10000].reshape(16, 0x1000).all(axis=1)
    for table in (entries, dull):
        table.flags.writeable = False
    return Tables(entries, steps, dull)


@kernel
def _not_dull(x):
    """The high bit of every byte that is not ASCII from space to "~", or is "&"."""
    t = x & LOW
    printable = (t + _FROM_SPACE) & ~(t + ONES)  # DEL is the one byte that the second sum makes high
    not_ampersand = (t ^ _AMPERSANDS) + LOW
    return ~(printable & not_ampersand & ~x) & HIGH


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
def _noted(data, i, start, end, reasons, most_characters, lines, count):
    """How many lines there are now: one more if this one has a reason; it is written if there is room."""
    if _is_longer(data, start, end, most_characters):
        reasons |= LONG
    if reasons == 0:
        return count
    if count < lines.shape[0]:
        lines[count, 0], lines[count, 1], lines[count, 2], lines[count, 3] = i, start, end, reasons
    return count + 1


@kernel
def _step(state, c, entries, steps):
    """The automaton's next state after an ASCII character."""
    key = np.uint32(entries[c]) & np.uint32((1 << CLASS_BITS) - 1)
    return np.uint32(steps[(state << np.uint32(CLASS_BITS)) | key])


@kernel
def flagged_lines(offsets, data, entries, steps, dull, entities, most_characters, lines):
    """The lines, each with its "\\n", that hold a reason for ftfy to look at them.

    offsets, data     int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    entries ... dull                             Tables
    entities          ENTITIES_*                 whether HTML entities are a reason; auto: up to the first
                                                 line of the text that has "<"
    most_characters   a longer line gets the reason LONG
    lines             int64[m, 4]                out: text, first byte, byte past the last, reasons; in order
    returns           how many lines there are; if more than m, only the first m were written

    MOJIBAKE is exact. ORDER is Unicode's quick check: right unless a character MAY_JOIN the one before it.
    Twin: tests/clean/test_fix.py (naive_flagged_lines).
    """
    count = 0
    accept = np.uint32(ACCEPT)
    restart = np.uint32(RESTART)
    for i in range(offsets.size - 1):
        p, end = offsets[i], offsets[i + 1]
        start = looked = p
        is_html = False
        reasons = 0
        state = np.uint32(BEGIN)
        last = np.uint32(STAYS)  # rank of the mark that ends at `marked`
        marked = np.int64(-1)
        marks = 0  # how many in a row end there
        while p < end:
            if p + 8 <= data.size and data[p] < 0x80:
                rest = _not_dull(load8(data, p))
                n = min(np.int64(trailing_zeros(rest) >> np.uint64(3)), end - p)
                if n > 0:
                    state = _step(state, data[p], entries, steps)
                    if n > 1:
                        if state == accept:
                            reasons |= MOJIBAKE
                            state = restart
                        state = _step(state, data[p + 1], entries, steps)
                    if state == accept:
                        reasons |= MOJIBAKE
                        state = restart
                    p += n
                    if n == 8:
                        while p + 8 <= end:
                            rest = _not_dull(load8(data, p))
                            if rest != 0:
                                p += np.int64(trailing_zeros(rest) >> np.uint64(3))
                                break
                            p += 8
                    if n > 2:
                        # Two ASCII characters make the automaton forget what came before them.
                        state = _step(restart, data[p - 2], entries, steps)
                        state = _step(state, data[p - 1], entries, steps)
                    continue
            first = p
            c = np.uint32(data[p])
            if c < np.uint32(0x80):
                p += 1
                may_unescape = c == np.uint32(0x26) and entities != ENTITIES_NEVER and not is_html
                if may_unescape and _is_entity(data, first, end):
                    # "<" is looked for only here, from where the last look ended, to the end of this line.
                    while entities == ENTITIES_AUTO and looked < end:
                        if data[looked] == 0x3C:
                            is_html = True
                            break
                        if data[looked] == 0x0A and looked > p:
                            break
                        looked += 1
                    if not is_html:
                        reasons |= ENTITY
            elif c < np.uint32(0xE0):
                c = (c & np.uint32(0x1F)) << np.uint32(6) | (np.uint32(data[p + 1]) & np.uint32(0x3F))
                p += 2
            elif c < np.uint32(0xF0):
                if state == restart and dull[c & np.uint32(0x0F)]:
                    p += 3
                    while p < end and data[p] & 0xF0 == 0xE0 and dull[data[p] & 0x0F]:
                        p += 3
                    continue
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
            entry = np.uint32(entries[c])
            state = np.uint32(steps[(state << np.uint32(CLASS_BITS)) | (entry & np.uint32((1 << CLASS_BITS) - 1))])
            if state == accept:
                reasons |= MOJIBAKE
                state = restart
            entry >>= np.uint32(CLASS_BITS)
            if entry != 0:
                if entry & np.uint32(1 << _FORM_BITS) != 0:
                    reasons |= FIX
                if entry & np.uint32(2 << _FORM_BITS) != 0:
                    reasons |= CARRIAGE_RETURN
                rank = entry & np.uint32((1 << _FORM_BITS) - 1)
                if rank != STAYS:
                    if first != marked:
                        last, marks = np.uint32(STAYS), 0
                    # A mark out of order ranks below the one before it.
                    if rank < last or rank >= MAY_JOIN:
                        reasons |= ORDER
                    last, marked, marks = rank, p, marks + 1
                    if marks >= MANY_MARKS:
                        reasons |= MARKS
            if c == np.uint32(0x0A):
                count = _noted(data, i, start, p, reasons, most_characters, lines, count)
                reasons = 0
                start = p
                state = np.uint32(BEGIN)
        if start < end:
            count = _noted(data, i, start, end, reasons, most_characters, lines, count)
    return count
