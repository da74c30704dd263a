"""Which script a letter belongs to, by Unicode blocks; Han letters by whether only one of its two forms has them.

Python knows no script property, and blocks are enough to tell in which script most letters of a text are.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt

CODE_POINTS = 0x40000  # beyond lie tags, variation selectors and private use

# ISO 15924 and the blocks' first and last code points. Bopomofo is counted as Han: it writes Chinese.
_BLOCKS = {
    "Hani": ((0x3005, 0x3007), (0x3100, 0x312F), (0x31A0, 0x31BF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
             (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
    "Hant": (),
    "Hans": (),
    "Jpan": ((0x3041, 0x309F), (0x30A1, 0x30FB), (0x30FD, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D),
             (0x1B000, 0x1B16F)),
    "Hang": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF), (0xFFA0, 0xFFDC)),
    "Latn": ((0x41, 0x2AF), (0x1D00, 0x1DBF), (0x1E00, 0x1EFF), (0x2071, 0x209C), (0x2183, 0x2184), (0x2C60, 0x2C7F),
             (0xA720, 0xA7FF), (0xAB30, 0xAB6F), (0xFB00, 0xFB06), (0xFF21, 0xFF5A)),
    "Cyrl": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0xA640, 0xA69F)),
    "Arab": ((0x600, 0x6FF), (0x750, 0x77F), (0x870, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFE)),
    "Deva": ((0x900, 0x97F), (0xA8E0, 0xA8FF)),
    "Grek": ((0x370, 0x3E1), (0x3F0, 0x3FF), (0x1F00, 0x1FFF)),
    "Hebr": ((0x590, 0x5FF), (0xFB1D, 0xFB4F)),
    "Thai": ((0xE00, 0xE7F),),
    "Beng": ((0x980, 0x9FF),),
    "Guru": ((0xA00, 0xA7F),),
    "Gujr": ((0xA80, 0xAFF),),
    "Taml": ((0xB80, 0xBFF),),
    "Telu": ((0xC00, 0xC7F),),
    "Knda": ((0xC80, 0xCFF),),
    "Mlym": ((0xD00, 0xD7F),),
    "Armn": ((0x530, 0x58F), (0xFB13, 0xFB17)),
    "Syrc": ((0x700, 0x74F), (0x860, 0x86F)),
    "Thaa": ((0x780, 0x7BF),),
    "Nkoo": ((0x7C0, 0x7FF),),
    "Orya": ((0xB00, 0xB7F),),
    "Sinh": ((0xD80, 0xDFF),),
    "Laoo": ((0xE80, 0xEFF),),
    "Tibt": ((0xF00, 0xFFF),),
    "Mymr": ((0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F)),
    "Geor": ((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F)),
    "Ethi": ((0x1200, 0x139F), (0x2D80, 0x2DDF), (0xAB00, 0xAB2F)),
    "Cher": ((0x13A0, 0x13FF), (0xAB70, 0xABBF)),
    "Cans": ((0x1400, 0x167F), (0x18B0, 0x18FF)),
    "Khmr": ((0x1780, 0x17FF),),
    "Mong": ((0x1800, 0x18AF),),
    "Olck": ((0x1C50, 0x1C7F),),
    "Java": ((0xA980, 0xA9DF),),
    "Tfng": ((0x2D30, 0x2D7F),),
    "Yiii": ((0xA000, 0xA4CF),),
    "Adlm": ((0x1E900, 0x1E95F),),
}  # fmt: skip

# Kind of a letter: 0 is no letter, kind k is SCRIPTS[k]. Zzzz: a letter of another script, or of none (ℓ, 𝐀).
SCRIPTS = ("", *_BLOCKS, "Zzzz")
HAN, HAN_TRADITIONAL, HAN_SIMPLIFIED, KANA, HANGUL, LATIN = range(1, 7)
KINDS = len(SCRIPTS)

_PAGE = 256


@functools.cache
def table() -> npt.NDArray[np.uint8]:
    """uint8[CODE_POINTS], read-only: the kind of every letter (str.isalpha), 0 for what is none; 20 ms."""
    kinds = np.full(CODE_POINTS, SCRIPTS.index("Zzzz"), np.uint8)
    for kind, blocks in enumerate(_BLOCKS.values(), start=1):
        for first, last in blocks:
            kinds[first : last + 1] = kind
    for kind, only in zip((HAN_TRADITIONAL, HAN_SIMPLIFIED), _of_one_form(), strict=True):
        kinds[only] = kind
    kinds[~_letters()] = 0
    kinds.flags.writeable = False
    return kinds


def _of_one_form() -> tuple[list[int], list[int]]:
    """Code points that only traditional, and only simplified Chinese has.

    The simplified form of one word may be the traditional form of another (后, 里, 面), so a character that the
    other form's national character set has as well (GB 2312, Big5) tells nothing.
    """
    with np.load(Path(__file__).with_name("unicode.npz")) as stored:
        traditional, simplified = stored["traditional"].tolist(), stored["simplified"].tolist()
    return (
        [c for c in traditional if not _encodes(c, "gb2312")],
        [c for c in simplified if not _encodes(c, "big5")],
    )


def _encodes(code_point: int, encoding: str) -> bool:
    return bool(chr(code_point).encode(encoding, "ignore"))


def _letters() -> npt.NDArray[np.bool_]:
    """str.isalpha of every code point; a page of letters only is told by one call."""
    letters = np.zeros(CODE_POINTS, np.bool_)
    characters = np.arange(CODE_POINTS, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    for first in range(0, CODE_POINTS, _PAGE):
        page = characters[first : first + _PAGE]
        letters[first : first + _PAGE] = page.isalpha() or list(map(str.isalpha, page))
    return letters
