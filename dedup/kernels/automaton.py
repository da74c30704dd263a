"""Finds all words of any number of lists in one pass over a text (Aho and Corasick 1975).

Characters are folded as tokens are (design 6.1) and become symbols: only characters of listed words have one, so that
most characters of a text lead back to the beginning by one look. Transitions stand in a hash table, since a dense
one of 20,000 Chinese words would take 200 MB. Time is linear in the text and the hits, whatever the lists.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import kernel
from dedup.kernels.token import mix64
from dedup.kernels.unicode import MARK, SEPARATOR, SKIP, WORD
from dedup.kernels.utf8 import char_bytes, code_point
from dedup.kernels.word import HIGH, LOW, ONES, SPACES, load8, trailing_zeros

SPACE = 5  # a kind beside those of kernels/unicode.py: white space, of which a run is one
KIND_SHIFT = 24  # an entry of the table of symbols is kind << 24 | symbol
_SYMBOL = np.uint32((1 << KIND_SHIFT) - 1)


@kernel
def _key(state, symbol):
    return np.uint64(state) << np.uint64(KIND_SHIFT) | np.uint64(symbol)


@kernel
def _next(keys, values, state, symbol):
    """Where a symbol leads from a state that is not the beginning; 0: nowhere."""
    key = _key(state, symbol)
    mask = np.uint64(keys.size - 1)
    slot = mix64(key) & mask
    while keys[slot] != key:
        if keys[slot] == 0:
            return np.int32(0)
        slot = (slot + np.uint64(1)) & mask
    return values[slot]


@kernel
def grow(offsets, symbols, first, keys, values, parents, via, depths, entry_of, same):
    """The states of a trie of entries; returns how many, the beginning included.

    offsets, symbols   int64[m + 1], uint32[...]   entry i is symbols[offsets[i]:offsets[i + 1]], not empty, none 0
    first              int32[symbols + 1]          zeros; out: where a symbol leads from the beginning
    keys, values       uint64[2**k], int32[2**k]   zeros; out: where it leads from other states
    parents, via, depths, entry_of   int32[states] out: of each state; entry_of is the last entry that ends there, or -1
    same               int32[m]                    out: another entry of the same symbols, or -1
    """
    states = 1
    entry_of[0] = -1
    mask = np.uint64(keys.size - 1)
    for i in range(offsets.size - 1):
        state = np.int32(0)
        for j in range(offsets[i], offsets[i + 1]):
            symbol = symbols[j]
            following = first[symbol] if state == 0 else _next(keys, values, state, symbol)
            if following == 0:
                following = np.int32(states)
                parents[states], via[states], depths[states] = state, symbol, j + 1 - offsets[i]
                entry_of[states] = -1
                if state == 0:
                    first[symbol] = following
                else:
                    key = _key(state, symbol)
                    slot = mix64(key) & mask
                    while keys[slot] != 0:
                        slot = (slot + np.uint64(1)) & mask
                    keys[slot], values[slot] = key, following
                states += 1
            state = following
        same[i] = entry_of[state]
        entry_of[state] = i
    return states


@kernel
def link(order, first, keys, values, parents, via, entry_of, fail, shorter):
    """Where each state goes when a symbol leads nowhere, and the nearest shorter state where an entry ends.

    order            int64[states]   the states by depth, the beginning first
    fail, shorter    int32[states]   out: the longest proper suffix that is a state; of those that end an entry, or 0
    """
    fail[0] = shorter[0] = 0
    for k in range(1, order.size):
        state = order[k]
        found = np.int32(0)
        back = parents[state]
        while back != 0 and found == 0:
            back = fail[back]
            found = first[via[state]] if back == 0 else _next(keys, values, back, via[state])
        fail[state] = found
        shorter[state] = found if entry_of[found] >= 0 else shorter[found]


@kernel
def _word_bytes(x):
    """How many of the lowest bytes of x are ASCII letters or digits before the first that is not: 0 to 8."""
    t = x & LOW
    lower = t | SPACES
    letter = (lower + np.uint64(0x1F) * ONES) & ~(lower + np.uint64(0x05) * ONES)
    digit = (t + np.uint64(0x50) * ONES) & ~(t + np.uint64(0x46) * ONES)
    return np.int64(trailing_zeros(~((letter | digit) & ~x) & HIGH) >> np.uint64(3))


@kernel
def _report(i, state, last, following, kinds, entry_of, shorter, same, lengths, lists, bounded, seen, out):
    """Count the entries that end at symbol `last` of text i, unless they are parts of longer words.

    following   the kind of the next character
    kinds       uint8[2**k]   by position: the character's kind, and << 4 the kind of the token that it is part of
    """
    mask = kinds.size - 1
    word_goes_on = following == MARK or (following == WORD and kinds[last & mask] >> 4 == WORD)
    while state != 0:
        entry = entry_of[state]
        if entry >= 0:
            start = last + 1 - lengths[entry]
            joined = (
                start > 0 and kinds[start & mask] & 15 == WORD and kinds[(start - 1) & mask] >> 4 == WORD
            ) or word_goes_on
            while entry >= 0:
                number = lists[entry]
                if not (joined and bounded[number]):
                    out[i, number, 0] += 1
                    if seen[entry] != i:
                        seen[entry] = i
                        out[i, number, 1] += 1
                entry = same[entry]
        state = shorter[state]


@kernel
def count_hits(
    offsets,
    data,
    symbols,
    first,
    keys,
    values,
    fail,
    entry_of,
    shorter,
    same,
    lengths,
    lists,
    bounded,
    kinds,
    seen,
    out,
):
    """Hits of listed words, and how many distinct ones, by list.

    offsets, data    int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    symbols          uint32[0x110000]           kind << 24 | symbol of every code point
    first ... same                              of `grow` and `link`
    lengths, lists   int64[m]                   symbols of each entry, and the list that it is of
    bounded          bool[lists]                whether a hit inside a longer word is none
    kinds            uint8[2**k]                scratch, longer than the longest entry by two
    seen             int64[m]                   scratch of -1
    out              int64[n, lists, 2]         zeros at first: hits, distinct entries

    Twin: tests/measure/test_words.py.
    """
    only_at_beginnings = bounded.all()
    mask = kinds.size - 1
    for i in range(offsets.size - 1):
        p, end = offsets[i], offsets[i + 1]
        state = np.int32(0)
        part_of = SEPARATOR  # the kind of the token that the last character was part of
        last_kind = SEPARATOR
        position = 0
        while p < end:
            c = data[p]
            if state == 0 and part_of == WORD and only_at_beginnings and c < 0x80 and p + 8 <= end:
                skipped = _word_bytes(load8(data, p))  # no entry begins inside a word
                if skipped > 0:
                    p += skipped
                    position += skipped
                    last_kind = WORD
                    kinds[(position - 1) & mask] = WORD | WORD << 4
                    continue
            entry = symbols[code_point(data, p)]
            p += np.int64(char_bytes(c))
            kind = np.int64(entry >> np.uint32(KIND_SHIFT))
            if kind == SKIP or (kind == SPACE and last_kind == SPACE):
                continue
            if state != 0 and (entry_of[state] >= 0 or shorter[state] != 0):
                _report(
                    i, state, position - 1, kind, kinds, entry_of, shorter, same, lengths, lists, bounded, seen, out
                )
            symbol = entry & _SYMBOL
            following = np.int32(0)
            if symbol != 0:
                while state != 0:
                    following = _next(keys, values, state, symbol)
                    if following != 0:
                        break
                    state = fail[state]
                if state == 0 and not (only_at_beginnings and kind == WORD and part_of == WORD):
                    following = first[symbol]
            state = following
            if kind != MARK:
                part_of = kind
            last_kind = kind
            kinds[position & mask] = kind | part_of << 4
            position += 1
        if state != 0:
            _report(
                i, state, position - 1, SEPARATOR, kinds, entry_of, shorter, same, lengths, lists, bounded, seen, out
            )
