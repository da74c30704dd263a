"""Strings that are cut in a way of their own: contractions, abbreviations, smileys and units of measure, in one array.

They are looked for at every step of cutting and nearly never found: bits that say how special words begin and end, and
which hashes they have, answer most questions from a few kilobytes. One array, since each that is passed on to a
function costs seven arguments.
"""

from __future__ import annotations

import functools

import numpy as np

from dedup.buffers import UInt64s
from dedup.kernels import english
from dedup.kernels.compile import lean_kernel
from dedup.kernels.utf8 import hash_bytes

LONGEST = 29  # bytes
WORD, UNIT = np.uint64(1 << 24), np.uint64(1 << 25)  # what an entry is: a word to cut, a unit of measure
_SLOTS = 4096
# Where the parts of the table begin: bits of hashes, of the first two and of the last two bytes; keys and entries.
_SEEN, _BEGIN, _END, _KEYS = (np.uint64(place) for place in (0, 512, 512 + 1024, 512 + 2048))
_SEEN_BITS = np.uint64((1 << 15) - 1)
_SLOT_BITS = np.uint64(_SLOTS - 1)
_ONE, _SIX, _EIGHT, _63 = np.uint64(1), np.uint64(6), np.uint64(8), np.uint64(63)


@functools.cache
def specials() -> UInt64s:
    """The table of special words and units, read-only.

    An entry is the bytes of the first three pieces, a byte each, the first lowest, and WORD or UNIT or both. Keys are
    hashes (hash_bytes), each before its entry; open addressing by a hash's lowest bits; 0 is empty.
    """
    words = {word: (pieces, int(WORD)) for word, pieces in english.special_words().items()}
    for unit in english.units():
        pieces, kind = words.get(unit, ((unit,), 0))
        words[unit] = pieces, kind | int(UNIT)
    table = np.zeros(int(_KEYS) + 2 * _SLOTS, np.uint64)
    for word, (pieces, kind) in words.items():
        data = word.encode()
        number = int(hash_bytes(np.frombuffer(data, np.uint8), 0, len(data)))
        slot = number % _SLOTS
        while table[int(_KEYS) + 2 * slot]:
            slot = (slot + 1) % _SLOTS
        sizes = sum(len(piece.encode()) << 8 * k for k, piece in enumerate(pieces))
        table[int(_KEYS) + 2 * slot : int(_KEYS) + 2 * slot + 2] = number, sizes | kind
        if kind & int(WORD):
            _set_bit(table, int(_SEEN), number & int(_SEEN_BITS))
            if len(data) > 1:
                _set_bit(table, int(_BEGIN), data[0] << 8 | data[1])
                _set_bit(table, int(_END), data[-2] << 8 | data[-1])
    table.flags.writeable = False
    return table


def _set_bit(table: UInt64s, place: int, bit: int) -> None:
    table[place + (bit >> 6)] |= np.uint64(1 << (bit & 63))


@lean_kernel
def _bit(table, place, bit):
    """Whether a bit of the part that begins at `place` is set."""
    return table[place + (bit >> _SIX)] >> (bit & _63) & _ONE != 0


@lean_kernel
def entry_of(h, kind, table):
    """The entry of a string with this hash, if it is of the kind; else 0."""
    slot = h & _SLOT_BITS
    while True:
        place = _KEYS + (slot << _ONE)
        key = table[place]
        if key == h:
            entry = table[place + _ONE]
            return entry if entry & kind else np.uint64(0)
        if key == 0:
            return np.uint64(0)
        slot = slot + _ONE & _SLOT_BITS


@lean_kernel
def special_word(h, table):
    """The entry of the special word with this hash; 0 if there is none."""
    return entry_of(h, WORD, table) if _bit(table, _SEEN, h & _SEEN_BITS) else np.uint64(0)


@lean_kernel
def begins_special(data, a, table):
    """Whether a special word begins with the two bytes at a."""
    return _bit(table, _BEGIN, np.uint64(data[a]) << _EIGHT | np.uint64(data[a + 1]))


@lean_kernel
def may_be_special(data, a, b, table):
    """Whether data[a:b] has two bytes or more and begins and ends as a special word does; asked first, for no call."""
    if b - a < 2 or not begins_special(data, a, table):
        return False
    return _bit(table, _END, np.uint64(data[b - 2]) << _EIGHT | np.uint64(data[b - 1]))


@lean_kernel
def special(data, a, b, table):
    """The entry of the special word data[a:b], which may be one; 0 if it is none."""
    return special_word(hash_bytes(data, a, b - a), table) if b - a <= LONGEST else np.uint64(0)
