"""What every code point is to the comparison: its folded character and its kind (design 6.1).

Built once with one Python (`python -m dedup.kernels.unicode`, Unicode 15.1.0) and shipped as unicode.npz,
since Pythons differ in 5,000 code points and building takes half a second. The same file is used
everywhere, so signatures made under Python 3.11 and 3.13 are comparable.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt

SEPARATOR, WORD, ALONE, MARK, SKIP = range(5)
KIND_SHIFT = 21  # an entry is kind << 21 | folded code point
UNICODE_VERSION = "15.1.0"
CODE_POINTS = 0x110000
_FILE = Path(__file__).with_name("unicode.npz")
_PAGE = 256
_IDENTITY = np.arange(CODE_POINTS, dtype=np.uint32)

# Scripts written without spaces between words: each character is a token of its own.
HAN = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF), (0x3005, 0x3007))
UNSPACED = (
    *HAN,
    *((0x3040, 0x30FF), (0x31F0, 0x31FF)),  # kana
    *((0x0E00, 0x0E7F), (0x0E80, 0x0EFF)),  # Thai, Lao
    *((0x1000, 0x109F), (0xAA60, 0xAA7F), (0xA9E0, 0xA9FF)),  # Myanmar
    *((0x1780, 0x17FF), (0x19E0, 0x19FF)),  # Khmer
)
# Variation selectors, zero-width characters and joiners, the byte-order mark, the soft hyphen.
INVISIBLE = (
    (0xFE00, 0xFE0F),
    (0xE0100, 0xE01EF),
    (0x200B, 0x200D),
    (0x2060, 0x2060),
    (0xFEFF, 0xFEFF),
    (0xAD, 0xAD),
)


@functools.cache
def table(traditional_to_simplified: bool = False) -> npt.NDArray[np.uint32]:
    """uint32[0x110000], read-only: kind << 21 | folded code point of every code point."""
    with np.load(_FILE) as stored:
        # Stored as differences from the code point: most pages are then alike, and the file is 25 KB.
        entries: npt.NDArray[np.uint32] = stored["pages"][stored["index"]].reshape(-1) + _IDENTITY
        if traditional_to_simplified:
            # Folding comes first: a compatibility ideograph becomes its traditional form, then the simplified.
            simplified = _IDENTITY.copy()
            simplified[stored["traditional"]] = stored["simplified"]
            folded = simplified[entries & ((1 << KIND_SHIFT) - 1)]
            entries = (entries >> KIND_SHIFT << KIND_SHIFT) | folded
    entries.flags.writeable = False
    return entries


def _fold(character: str) -> str:
    """lower(NFKC(c)) where that is one code point, else lower(c) where that is one, else c."""
    import unicodedata

    for candidate in (unicodedata.normalize("NFKC", character).lower(), character.lower()):
        if len(candidate) == 1:
            return candidate
    return character


def _entry(code_point: int) -> int:
    import unicodedata

    folded = _fold(chr(code_point))
    number, category = ord(folded), unicodedata.category(folded)
    if any(first <= number <= last for first, last in INVISIBLE):
        kind = SKIP
    elif category.startswith("M"):
        kind = MARK
    elif category[0] in "LN":
        kind = ALONE if any(first <= number <= last for first, last in UNSPACED) else WORD
    else:
        kind = SEPARATOR
    return kind << KIND_SHIFT | number


def build() -> npt.NDArray[np.uint32]:
    """The table of the running Python's Unicode version; half a second."""
    return np.array([_entry(code_point) for code_point in range(CODE_POINTS)], np.uint32)


def _traditional() -> list[tuple[int, int]]:
    """(traditional, simplified) code points: OpenCC's TSCharacters, first choice of each (Apache-2.0)."""
    import opencc  # type: ignore[import-not-found]  # opencc-python-reimplemented, only to build the file

    path = Path(opencc.__file__).parent / "dictionary" / "TSCharacters.txt"
    pairs = []
    for line in path.read_text("utf-8").splitlines():
        traditional, _, choices = line.partition("\t")
        simplified = choices.split()[0]
        if len(traditional) == len(simplified) == 1 and traditional != simplified:
            pairs.append((ord(traditional), ord(simplified)))
    return sorted(pairs)


def _write() -> None:
    import unicodedata

    if unicodedata.unidata_version != UNICODE_VERSION:
        raise SystemExit(f"run this with a Python of Unicode {UNICODE_VERSION}, not {unicodedata.unidata_version}")
    pages, index = np.unique((build() - _IDENTITY).reshape(-1, _PAGE), axis=0, return_inverse=True)
    pairs = np.array(_traditional(), np.uint32)
    np.savez_compressed(
        _FILE,
        pages=pages,
        index=index.astype(np.uint16).ravel(),
        traditional=pairs[:, 0],
        simplified=pairs[:, 1],
    )


if __name__ == "__main__":
    _write()
