"""One run of characters without white space to words and signs, as spaCy's blank English tokenizer cuts it.

Signs come off both ends, contractions and smileys go by a table, and what is left is cut at signs inside (inside.py).
The words lie end to end, so only where each ends is written. Whatever a plain byte can tell is asked before a function
is called: a call with its arrays costs as much as the answer (14.5 -> 6.5 ns a byte on English, with what cut.py does).
"""

from __future__ import annotations

import numpy as np

from dedup.kernels import english
from dedup.kernels.compile import lean_kernel
from dedup.kernels.inside import cut_inside
from dedup.kernels.specials import UNIT, begins_special, entry_of, may_be_special, special
from dedup.kernels.utf8 import char_bytes, code_point, hash_bytes, last_character
from dedup.kernels.word import HIGH, LOW, load8

_LETTER = np.uint16(english.LOWER | english.UPPER)
_LOWER, _UPPER, _DIGIT = np.uint16(english.LOWER), np.uint16(english.UPPER), np.uint16(english.DIGIT)
_CURRENCY = np.uint16(english.CURRENCY)
_FIRST_SIGNS = np.uint16(english.PUNCTUATION | english.QUOTE | english.CURRENCY | english.SYMBOL | english.PREFIX)
_LAST_SIGNS = np.uint16(english.PUNCTUATION | english.QUOTE | english.SYMBOL)
_BEFORE_FULL_STOP = np.uint16(english.LOWER | english.DIGIT | english.PUNCTUATION | english.QUOTE)

_LONGEST_UNIT = 8
_NONE = np.uint64(0)
_FROM_0 = np.uint64(0x5050505050505050)
_FROM_COLON = np.uint64(0x4646464646464646)
_LONGEST_GROUP = 8  # signs that are one smiley


@lean_kernel
def cut_run(data, begin, a, b, kinds, table, ends, n):
    """The words of data[a:b], which has no white space; the number of words then.

    ends   out: where each word ends, from `begin` on; the next one begins there

    Signs cut off the end wait at the upper end of `ends`, which has an entry for every byte and so room for both.
    """
    first, waiting, start = n, ends.size, a - begin
    found = special(data, a, b, table) if may_be_special(data, a, b, table) else _NONE
    while a < b and not found:
        c = data[a]
        if c < 0x80 and kinds[c] & _FIRST_SIGNS:
            prefix = np.int64(1)
        else:
            prefix = np.int64(0) if _is_plain(c) else _prefix(data, a, b, kinds)
        if 0 < prefix < b - a:
            found = special(data, a + prefix, b, table) if may_be_special(data, a + prefix, b, table) else _NONE
            if found:
                a += prefix
                ends[n] = a - begin
                n += 1
                break
        suffix = np.int64(0)
        if prefix < b - a:
            c = data[b - 1]
            if c < 0x80 and kinds[c] & _LAST_SIGNS:
                suffix = np.int64(1)
            elif not _is_plain_end(data, b, c):
                suffix = _suffix(data, a + prefix, b, kinds, table)
            if 0 < suffix < b - a:
                found = special(data, a, b - suffix, table) if may_be_special(data, a, b - suffix, table) else _NONE
        if prefix + suffix == 0:
            break
        if prefix > 0 and not found:
            a += prefix
            ends[n] = a - begin
            n += 1
        if suffix > 0:
            waiting -= 1
            ends[waiting] = b - begin
            b -= suffix
        if not found:
            found = special(data, a, b, table) if may_be_special(data, a, b, table) else _NONE
    if found:
        n = _write_pieces(ends, n, a - begin, found)
    elif a < b:
        n = cut_inside(data, begin, a, b, kinds, ends, n)
    while waiting < ends.size:
        ends[n] = ends[waiting]
        n += 1
        waiting += 1
    if n - first > 2:
        a = start
        for k in range(first, n - 1):
            if begins_special(data, begin + a, table):
                return _group(data, begin, a, table, ends, k, n)
            a = np.int64(ends[k])
    return n


@lean_kernel
def _is_plain(c):
    """Whether no sign of more than a byte, or cut off in some places only, begins with this byte."""
    return 0x30 <= c <= 0x39 or (0x61 <= c | 0x20 <= 0x7A and c != 0x41 and c != 0x43 and c != 0x55)


@lean_kernel
def _is_plain_end(data, b, c):
    """Whether nothing that ends before b, in the byte c, is cut off: digits, and letters without a digit near them."""
    if 0x30 <= c <= 0x39:
        return True
    if not 0x61 <= c | 0x20 <= 0x7A or c | 0x20 == 0x73 or b < 8:
        return False
    return not _has_digit(load8(data, b - 8))


@lean_kernel
def _has_digit(x):
    """Whether one of the eight bytes is an ASCII digit."""
    t = x & LOW
    return (t + _FROM_0) & ~(t + _FROM_COLON) & ~x & HIGH != 0


@lean_kernel
def _write_pieces(ends, n, a, entry):
    """The pieces of a special word at a; the number of words then."""
    while entry & np.uint64(0xFF):
        a += np.int64(entry & np.uint64(0xFF))
        entry = (entry & np.uint64(0xFFFFFF)) >> np.uint64(8)
        ends[n] = a
        n += 1
    return n


@lean_kernel
def _prefix(data, a, b, kinds):
    """Bytes of the sign that data[a:b] begins with; 0 for none."""
    c = data[a]
    if kinds[code_point(data, a)] & _FIRST_SIGNS:
        return np.int64(char_bytes(c))
    if c == 0x2E:  # two and more full stops
        p = a + 1
        while p < b and data[p] == 0x2E:
            p += 1
        return p - a if p - a > 1 else 0
    if c == 0x2B:  # "+" but not of a number
        return 0 if a + 1 < b and 0x30 <= data[a + 1] <= 0x39 else 1
    if b - a >= 2 and data[a + 1] == 0x24 and (c == 0x41 or c == 0x43):  # A$, C$
        return 2
    if b - a >= 3 and c == 0x55 and data[a + 1] == 0x53 and data[a + 2] == 0x24:  # US$
        return 3
    return 0


@lean_kernel
def _suffix(data, a, b, kinds, table):
    """Bytes of the sign, 's or unit that data[a:b] ends in; 0 for none."""
    q = last_character(data, a, b)
    w = code_point(data, q)
    kind = kinds[w]
    p = last_character(data, a, q) if q > a else q
    w_before = code_point(data, p) if q > a else np.uint32(0)
    kind_before = kinds[w_before]
    if kind & _LAST_SIGNS or w == 0x2013 or w == 0x2014:
        return b - p if w == 0x2026 and w_before == 0x2026 else b - q
    if w == 0x2E:
        return _full_stop_suffix(data, a, q, p, w_before, kinds)
    if q == a:
        return 0
    if w == 0x2B:
        return 1 if kind_before & _DIGIT else 0
    if (w == 0x73 or w == 0x53) and (w_before == 0x27 or w_before == 0x2019):
        return b - p
    if kind & _CURRENCY:
        if kind_before & _DIGIT:
            return b - q
        if w == 0x24 and (w_before == 0x43 or w_before == 0x41) and p > a and 0x30 <= data[p - 1] <= 0x39:
            return 2
        if w == 0x24 and b - a >= 4 and data[b - 2] == 0x53 and data[b - 3] == 0x55 and 0x30 <= data[b - 4] <= 0x39:
            return 3
        return 0
    if kind & _LETTER or w == 0x25 or w == 0xB2 or w == 0xB3:
        p = b
        while p > a and b - p <= _LONGEST_UNIT and not 0x30 <= data[p - 1] <= 0x39:
            p -= 1
        if a < p < b and 0x30 <= data[p - 1] <= 0x39 and entry_of(hash_bytes(data, p, b - p), UNIT, table):
            return b - p
    return 0


@lean_kernel
def _full_stop_suffix(data, a, q, before_it, w_before, kinds):
    """Bytes of the full stops that end at q, its last one: all of several; one after a word, none of an initial."""
    p = q
    while p > a and data[p - 1] == 0x2E:
        p -= 1
    if p < q:
        return q + 1 - p
    if q == a:
        return 0
    kind = kinds[w_before]
    if kind & _BEFORE_FULL_STOP or w_before == 0x25 or w_before == 0x2B or w_before == 0x2D or w_before == 0xB2:
        return 1
    if w_before == 0x7C:
        return 1
    if before_it > a:
        w = code_point(data, last_character(data, a, before_it))
        if kind & _UPPER and kinds[w] & _UPPER:
            return 1
    return 0


@lean_kernel
def _group(data, begin, start, table, ends, first, n):
    """Words from `first` on that together are a special word (a smiley) are cut as it is; the number of words then.

    Word `first` begins at `start`. Of groups that overlap the first one wins, and the others still keep those that
    overlap them from winning: five quotes are two and three. The words move to the upper end of `ends` first. They
    never catch up with those written anew, which have at least a byte each.
    """
    while first < n - 1:
        _, found = _longest_group(data, begin, start, table, ends, first, n)
        if found:
            break
        start = np.int64(ends[first])
        first += 1
    if first >= n - 1:
        return n
    size = ends.size
    i = size - (n - first)
    for k in range(n - first - 1, -1, -1):
        ends[i + k] = ends[first + k]
    n = first
    taken = free = i  # words below `taken` are written; a group may begin at `free`
    while i < size:
        following = np.int64(ends[i])  # before a word is written there
        j, found = _longest_group(data, begin, start, table, ends, i, size)
        if found and i >= free:
            n = _write_pieces(ends, n, start, found)
            taken = j + 1
        elif i >= taken:
            ends[n] = ends[i]
            n += 1
        if found:
            free = max(free, j + 1)
        start = following
        i += 1
    return n


@lean_kernel
def _longest_group(data, begin, start, table, ends, i, n):
    """(last word, entry) of the longest special word that several words from i on are together; entry 0: none.

    Word i begins at `start`; there are n words.
    """
    a = begin + start
    if i + 1 < n and begins_special(data, a, table):
        for j in range(min(i + _LONGEST_GROUP, n) - 1, i, -1):
            found = (
                special(data, a, begin + ends[j], table) if may_be_special(data, a, begin + ends[j], table) else _NONE
            )
            if found:
                return j, found
    return i, np.uint64(0)
