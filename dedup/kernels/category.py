"""What every code point is to the measures that count characters: one table of flags, of the running Python's
Unicode version.

Only what is needed of Unicode's categories, so that a character costs one look into 2 MiB, of which a text
touches a few pages. Han is that of design 6.1: it does not stop at U+9FFF.
"""

from __future__ import annotations

import functools
import unicodedata

import numpy as np
import numpy.typing as npt

from dedup.kernels import unicode

SPACE, HAN, PUNCTUATION, DIGIT, SPECIAL, END, BREAK, LETTER, NUMBER = (1 << k for k in range(9))
SENTENCE_ENDS = "。．｡！？；!?;…‼⁇⁈⁉"
LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_CATEGORIES = {"P": PUNCTUATION | SPECIAL, "N": NUMBER | SPECIAL, "L": LETTER, "M": 0}  # the others: SPECIAL
# Beyond: private use and the unassigned, but for the variation selectors.
_FROM, _MARKS = 0x40000, slice(0xE0100, 0xE01F0)


@functools.cache
def flags() -> npt.NDArray[np.uint16]:
    """uint16[0x110000], read-only: what a code point is, a bit each.

    SPACE         str.isspace            HAN      the ranges of design 6.1      BREAK   str.splitlines cuts there
    LETTER        category L             NUMBER   category N                    DIGIT   category Nd
    PUNCTUATION   category P             SPECIAL  neither letter nor mark       END     ends a Chinese sentence
    """
    table = np.full(0x110000, SPECIAL, np.uint16)
    characters = np.arange(_FROM, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    names, index = np.unique(np.array(list(map(unicodedata.category, characters)), "U2"), return_inverse=True)
    kinds = [_CATEGORIES.get(name[0], SPECIAL) | (DIGIT if name == "Nd" else 0) for name in names.tolist()]
    table[:_FROM] = np.array(kinds, np.uint16)[index]
    table[_MARKS] = 0
    for first, last in unicode.HAN:
        table[first : last + 1] |= HAN
    table[[c for c in range(0x3001) if chr(c).isspace()]] |= SPACE
    table[list(map(ord, SENTENCE_ENDS))] |= END
    table[list(map(ord, LINE_BREAKS))] |= BREAK
    table.flags.writeable = False
    return table
