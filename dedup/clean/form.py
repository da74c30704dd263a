"""Unicode forms: which characters one may change, and which lines of a batch hold such a character."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import buffers

FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def may_move(texts: pa.LargeStringArray, form: str) -> pa.BooleanArray:
    """Whether a text holds a character that the form may change (a look costs 1 to 2 ns a byte, the change 14)."""
    from dedup.kernels import screen

    mask = np.zeros(len(texts), np.bool_)
    lines = flagged_lines(buffers.texts(texts), form_table(form), screen.ENTITIES_NEVER, np.iinfo(np.int64).max)
    mask[lines[:, 0]] = True
    return pa.array(mask)


def flagged_lines(
    view: buffers.Texts, table: npt.NDArray[np.uint8], entities: int, most_characters: int
) -> npt.NDArray[np.int64]:
    from dedup.kernels import screen

    lines = np.empty((1 + len(view.data) // 1024, 4), np.int64)
    count = screen.flagged_lines(view.offsets, view.data, table, entities, most_characters, lines)
    if count > len(lines):
        lines = np.empty((count, 4), np.int64)
        screen.flagged_lines(view.offsets, view.data, table, entities, most_characters, lines)
    return lines[:count]


@functools.cache
def form_table(form: str) -> npt.NDArray[np.uint8]:
    """uint8[0x110000], read-only: ORDER where a normalization form may change a character, else 0.

    Also where this Python's Unicode has no character yet: Arrow's may be newer.
    """
    from dedup.kernels import screen

    table = np.zeros(0x110000, np.uint8)
    table[moved_by(form)] = screen.ORDER
    table[[c for c in _looked_up() if unicodedata.category(chr(c)) == "Cn"]] = screen.ORDER
    return buffers.frozen(table)


# Code points that no normalization form touches need no look: ideographs, Yi, surrogates, private use,
# cuneiform, hieroglyphs, Tangut. Hangul syllables are known.
_LOOKED_UP = (
    *((0xA0, 0x3400), (0xA480, 0xAC00), (0xF900, 0x13460), (0x16000, 0x17000)),
    *((0x18B00, 0x20000), (0x2F800, 0x2FA20)),
)
_HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)


def _looked_up() -> Iterator[int]:
    for first, end in _LOOKED_UP:
        yield from range(first, end)


def moved_by(form: Any) -> list[int]:
    """Code points that a normalization form changes, reorders, or may join to the one before."""
    found = [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]  # vowels and finals join a Hangul syllable
    if form in ("NFD", "NFKD"):
        found += _HANGUL_SYLLABLES
    for code_point in _looked_up():
        character = chr(code_point)
        if unicodedata.combining(character) or not unicodedata.is_normalized(form, character):
            found.append(code_point)
        decomposition = unicodedata.decomposition(character)
        if decomposition and decomposition[0] != "<":
            found += (int(part, 16) for part in decomposition.split()[1:])
    return found
