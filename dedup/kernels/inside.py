"""Words of a run whose ends are free of signs: an address whole, else cut at signs inside."""

from __future__ import annotations

import numpy as np

from dedup.kernels import english
from dedup.kernels.compile import lean_kernel
from dedup.kernels.token import ascii_word_bytes
from dedup.kernels.utf8 import char_bytes, characters, code_point, last_character
from dedup.kernels.word import load8

_LETTER = np.uint16(english.LOWER | english.UPPER)
_LOWER, _UPPER, _DIGIT = np.uint16(english.LOWER), np.uint16(english.UPPER), np.uint16(english.DIGIT)
_QUOTE, _SYMBOL = np.uint16(english.QUOTE), np.uint16(english.SYMBOL)
_LETTER_OR_DIGIT = np.uint16(english.LOWER | english.UPPER | english.DIGIT)
_NOTHING = np.uint16(0)
# Bits of the ASCII signs that may be cut within a run.
_INFIXES = np.uint64(sum(1 << ord(sign) for sign in "*+,-./:<=>"))
_INFIXES_FROM_64 = np.uint64(sum(1 << ord(sign) - 64 for sign in "^~"))


@lean_kernel
def cut_inside(data, begin, a, b, kinds, ends, n):
    """Words of data[a:b]; where each ends goes to `ends`, from `begin` on. The number of words then."""
    first = n
    p = start = a
    undotted = True
    while p < b:
        p = _after_letters_and_digits(data, p, b)
        if p == b:
            break
        c = data[p]
        if c == 0x2E and undotted and a < p < b - 2:
            undotted = False
            if _is_address(data, a, b, kinds):
                n, start = first, a
                break
        if c < 0x80 and not _is_infix(c):
            p += 1
            continue
        size = np.int64(1) if _parts_words(data, a, p, b, c) else _infix(data, a, p, b, kinds)
        if size > 0 and p > a:
            if p > start:
                ends[n] = p - begin
                n += 1
            start = p + size
            ends[n] = start - begin
            n += 1
        p += size if size > 0 else np.int64(char_bytes(data[p]))
    if start < b:
        ends[n] = b - begin
        n += 1
    return n


@lean_kernel
def _is_infix(c):
    """Whether this ASCII sign may be cut within a run: one of *+,-./:<=>^~"""
    mask = _INFIXES_FROM_64 if c & 0x40 else _INFIXES
    return mask >> np.uint64(c & 0x3F) & np.uint64(1) != 0


@lean_kernel
def _parts_words(data, a, p, b, c):
    """Whether the sign c at p parts an ASCII letter before it from one after it."""
    if p == a or p + 1 == b or c == 0x2E or c == 0x2A or c == 0x2B or c == 0x5E or c >= 0x80:
        return False
    return 0x61 <= data[p - 1] | 0x20 <= 0x7A and 0x61 <= data[p + 1] | 0x20 <= 0x7A


@lean_kernel
def _infix(data, a, p, b, kinds):
    """Bytes of a sign at p that parts what is before, from a on, from what follows; 0 for none."""
    c = data[p]
    width = np.int64(char_bytes(c))
    after = p + width
    if c >= 0x80:
        w = code_point(data, p)
        if w == 0x2026 or kinds[w] & _SYMBOL:
            return width
        if w != 0x2013 and w != 0x2014:
            return np.int64(0)
    kind_before = kinds[code_point(data, last_character(data, a, p))] if p > a else _NOTHING
    kind_after = kinds[code_point(data, after)] if after < b else _NOTHING
    word_before, word_after = kind_before & _LETTER_OR_DIGIT != 0, kind_after & _LETTER != 0
    if c >= 0x80:
        if word_before and word_after:
            return width
        if w == 0x2014 and word_before and after + 3 < b and code_point(data, after) == 0x2014:
            return 6 if kinds[code_point(data, after + 3)] & _LETTER else 0
        return 0
    if c == 0x2E:
        if after < b and data[after] == 0x2E:
            while after < b and data[after] == 0x2E:
                after += 1
            return after - p
        return 1 if kind_before & (_LOWER | _QUOTE) and kind_after & (_UPPER | _QUOTE) else 0
    if c == 0x2C:
        return 1 if kind_before & _LETTER and word_after else 0
    if c == 0x3A or c == 0x3C or c == 0x3D or c == 0x3E or c == 0x2F or c == 0x7E:
        return 1 if word_before and word_after else 0
    if c == 0x2B or c == 0x2D or c == 0x2A or c == 0x5E:
        if kind_before & _DIGIT and after < b and (kind_after & _DIGIT or data[after] == 0x2D):
            return 1
        if c != 0x2D or not word_before:
            return 0
        while after < b and data[after] == 0x2D:
            after += 1
        kind_after = kinds[code_point(data, after)] if after < b else _NOTHING
        return after - p if after - p <= 3 and kind_after & _LETTER else 0
    return 0


@lean_kernel
def _is_host(data, p, b, kinds):
    """Whether data[p:b] is a host name with a lower-case last label, then a port or a path or nothing."""
    label = p
    labels = 0
    while p < b:
        p = _after_letters_and_digits(data, p, b)
        if p == b:
            break
        c = data[p]
        if c == 0x2E:
            if not _is_label(data, label, p, 64):
                return False
            if data[label] == 0x2D or data[label] == 0x5F or data[p - 1] == 0x2D or data[p - 1] == 0x5F:
                return False
            labels += 1
            label = p + 1
        elif c >= 0xF0 or (c < 0x80 and c != 0x2D and c != 0x5F) or (c == 0xC2 and data[p + 1] <= 0xA0):
            break
        p += np.int64(char_bytes(c))
    if labels == 0 or p - label < 2 or not _is_label(data, label, p, 63):
        return False
    characters = 0
    while label < p:
        if not kinds[code_point(data, label)] & _LOWER:
            return False
        label += np.int64(char_bytes(data[label]))
        characters += 1
    if characters < 2:
        return False
    if p < b and data[p] == 0x3A:
        digits = p + 1
        while digits < b and 0x30 <= data[digits] <= 0x39:
            digits += 1
        if not 2 <= digits - p - 1 <= 5:
            return False
        p = digits
    return p == b or data[p] == 0x2F or data[p] == 0x3F or data[p] == 0x23


@lean_kernel
def _is_label(data, a, b, most):
    """Whether data[a:b] has a character, and not more than so many."""
    return a < b and (b - a <= most or characters(data, a, b) <= most)


@lean_kernel
def _after_letters_and_digits(data, p, b):
    """Where the ASCII letters and digits from p on end, at b the latest."""
    while p + 8 <= data.size:
        passed = np.int64(ascii_word_bytes(load8(data, p)))
        p += passed
        if passed < 8:
            return min(p, b)
    while p < b and (0x30 <= data[p] <= 0x39 or 0x61 <= data[p] | 0x20 <= 0x7A):
        p += 1
    return min(p, b)


@lean_kernel
def _is_address(data, a, b, kinds):
    """Whether data[a:b] is an address: a host after nothing, a scheme, or anything and "@"."""
    if _is_host(data, a, b, kinds):
        return True
    p = a
    while p < b and (kinds[code_point(data, p)] & _LETTER_OR_DIGIT or data[p] in (0x2B, 0x2D, 0x2E, 0x5F)):
        p += np.int64(char_bytes(data[p]))
    schemed = p - a >= 2 and p + 3 < b and data[p] == 0x3A and data[p + 1] == 0x2F and data[p + 2] == 0x2F
    if schemed and _is_host(data, p + 3, b, kinds):
        return True
    p = a + 1
    while p < b - 1 and not (data[p] == 0x40 and _is_host(data, p + 1, b, kinds)):
        p += 1
    return p < b - 1
