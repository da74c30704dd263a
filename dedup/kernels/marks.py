"""What a code point is to rules about lines and sentences: one table of flags, of the running Python's Unicode."""

from __future__ import annotations

import functools
import unicodedata

import numpy as np
import numpy.typing as npt

UPPER, DIGIT, DECIMAL, WORD, PUNCTUATION, TERMINAL = (1 << k for k in range(6))

# Unicode's property Sentence_Terminal (PropList.txt of Unicode 15.1): 159 code points of all scripts, hexadecimal.
_SENTENCE_TERMINALS = """
21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D6
17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F 203C-203D 2047-2049 2E2E
2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52
FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6
111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944
11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F
1DA88
"""
_CASED_TO, _WORDS_TO, _PAGE = 0x20000, 0x40000, 256  # beyond: no case, digit or punctuation; no letter either


def sentence_terminals() -> list[int]:
    """The code points that end a sentence, in order."""
    found: list[int] = []
    for entry in _SENTENCE_TERMINALS.split():
        first, _, last = entry.partition("-")
        found += range(int(first, 16), int(last or first, 16) + 1)
    return found


@functools.cache
def flags() -> npt.NDArray[np.uint8]:
    """uint8[0x110000], read-only: what a code point is, a bit each.

    UPPER   str.isupper       DIGIT        str.isdigit     DECIMAL   str.isdecimal, as \\d of an expression
    WORD    \\w                PUNCTUATION  category P      TERMINAL  ends a sentence
    """
    table = np.zeros(0x110000, np.uint8)
    characters = np.arange(_WORDS_TO, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    for first in range(0, _CASED_TO, _PAGE):
        page = characters[first : first + _PAGE]
        flags_of_page = table[first : first + _PAGE]
        if page.isalpha() and page.upper() == page.lower():  # ideographs and syllables
            flags_of_page |= WORD
            continue
        kinds = ((UPPER, str.isupper), (DIGIT, str.isdigit), (DECIMAL, str.isdecimal), (WORD, str.isalnum))
        for flag, holds in kinds:
            flags_of_page |= np.array(list(map(holds, page))).astype(np.uint8) * np.uint8(flag)
        categories = "".join(unicodedata.category(character)[0] for character in page)
        flags_of_page[np.array(list(categories)) == "P"] |= PUNCTUATION
    for first in range(_CASED_TO, _WORDS_TO, _PAGE):
        page = characters[first : first + _PAGE]
        holds_all = np.True_ if page.isalnum() else np.array(list(map(str.isalnum, page)))
        table[first : first + _PAGE] |= holds_all * np.uint8(WORD)
    table[ord("_")] |= WORD
    table[sentence_terminals()] |= TERMINAL
    table.flags.writeable = False
    return table
