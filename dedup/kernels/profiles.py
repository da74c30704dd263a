"""langdetect's profiles of 55 languages as one table for kernels: which n-grams say how much for which language.

Built from the installed langdetect (0.9 s) and kept beside the compiled kernels, in a folder whose name says the
version; from there it is mapped, not read (a few ms). Without a writable folder it is built in every process.

An n-gram of frequency p in a language counts log((p + w) / w) for it, w = 0.5 / 10,000 (langdetect's smoothing
without its noise), so that a language without the n-gram adds nothing and rows can be sparse.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.kernels.compile import cache_folder

LANES = 56  # languages, rounded up to whole vectors
NEAR = 53  # symbols 0 to 52 are the space and ASCII's letters: their n-grams are found by index
SYMBOL_BITS, CODE_BITS = 12, 17
NO_SYMBOL = (1 << SYMBOL_BITS) - 1  # stands in the first place of a pair
CODE_POINTS = 0x20000  # beyond, no character is in a profile or upper case
SLOT_BITS = 18
MULTIPLIER = 0x9E3779B97F4A7C15
WEIGHT = 0.5 / 10_000

_MANY = 6  # an n-gram of so many languages has a dense row: 4,833 of 87,598 have


class Profiles(NamedTuple):
    """The table, read-only. Code 0: no language knows the n-gram; 1 to d: row of `dense`; else `sparse[code - d - 1]`.

    symbols      uint16[CODE_POINTS]   symbol of a character as langdetect normalizes it; the last two stand for all
                                       that no profile has, upper case or not
    upper        bool[s]               symbols that are upper case
    one          int32[s]              code of a symbol alone
    two, three   int32[NEAR^2], int32[NEAR^3]   codes of pairs and triples of near symbols
    slots        uint64[2^SLOT_BITS]   all other pairs and triples, open addressing: key << CODE_BITS | code
    dense        float32[d + 1, LANES] what an n-gram counts for each language
    sparse       int32[n + 1]          others: entries sparse[i] to sparse[i + 1] of `lanes` and `values`
    lanes        uint8[m];  values   float32[m]
    vietnamese   uint16[0x1B1, 5]      letter and mark (U+0300, 0301, 0303, 0309, 0323) composed; 0: they are not
    """

    symbols: npt.NDArray[np.uint16]
    upper: npt.NDArray[np.bool_]
    one: npt.NDArray[np.int32]
    two: npt.NDArray[np.int32]
    three: npt.NDArray[np.int32]
    slots: npt.NDArray[np.uint64]
    dense: npt.NDArray[np.float32]
    sparse: npt.NDArray[np.int32]
    lanes: npt.NDArray[np.uint8]
    values: npt.NDArray[np.float32]
    vietnamese: npt.NDArray[np.uint16]


@functools.cache
def languages() -> tuple[str, ...]:
    """The names of the profiles, in the order of lanes."""
    return tuple(sorted(path.name for path in _folder().iterdir() if path.is_file() and path.name[0] != "."))


@functools.cache
def profiles() -> Profiles:
    """The table of the installed langdetect."""
    cache = cache_folder()
    if cache is None:
        return build()
    folder = cache / f"langdetect-{importlib.metadata.version('langdetect')}"
    if not folder.exists():
        _store(build(), folder)
    return Profiles(*(_mapped(folder / f"{name}.npy") for name in Profiles._fields))


def _mapped(path: Path) -> npt.NDArray[Any]:
    return np.asarray(np.load(path, mmap_mode="r"))


def _store(table: Profiles, folder: Path) -> None:
    """Write under another name, then rename; whoever comes second keeps the first one's."""
    written = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    written.mkdir(exist_ok=True)
    for name, array in table._asdict().items():
        np.save(written / f"{name}.npy", array)
    try:
        written.rename(folder)
    except OSError:
        shutil.rmtree(written)
        if not folder.exists():
            raise


def _folder() -> Path:
    from langdetect.detector_factory import PROFILES_DIRECTORY

    return Path(PROFILES_DIRECTORY)


def build() -> Profiles:
    """The table from langdetect's own files and functions."""
    grams = _frequencies()
    symbols, names, upper = _symbols({character for gram in grams for character in gram})
    number = {character: symbol for symbol, character in enumerate(names)}
    coded = {
        tuple(number[c] for c in gram): by_lane for gram, by_lane in grams.items() if all(c in number for c in gram)
    }
    dense = [gram for gram in coded if len(coded[gram]) >= _MANY]
    sparse = [gram for gram in coded if len(coded[gram]) < _MANY]
    codes = {gram: code for code, gram in enumerate([*dense, *sparse], start=1)}
    if len(codes) >= 1 << CODE_BITS or len(upper) > NO_SYMBOL:
        raise ValueError(f"{len(codes)} n-grams of {len(upper)} characters are too many for the table")
    near = [np.zeros(NEAR**2, np.int32), np.zeros(NEAR**3, np.int32)]
    one = np.zeros(len(upper), np.int32)
    far = []
    for gram, code in codes.items():
        if len(gram) == 1:
            one[gram[0]] = code
        elif max(gram) < NEAR:
            near[len(gram) - 2][functools.reduce(lambda index, symbol: index * NEAR + symbol, gram)] = code
        else:
            first, second, third = gram if len(gram) == 3 else (NO_SYMBOL, *gram)
            far.append(((first << 2 * SYMBOL_BITS | second << SYMBOL_BITS | third) << CODE_BITS) | code)
    rows = np.zeros((len(dense) + 1, LANES), np.float32)
    for row, gram in enumerate(dense, start=1):
        rows[row, list(coded[gram])] = list(coded[gram].values())
    entries = [entry for gram in sparse for entry in coded[gram].items()]
    table = Profiles(
        symbols,
        upper,
        one,
        near[0],
        near[1],
        _slots(far),
        rows,
        np.cumsum([0, *(len(coded[gram]) for gram in sparse)]).astype(np.int32),
        np.array([lane for lane, _ in entries], np.uint8),
        np.array([value for _, value in entries], np.float32),
        _vietnamese(),
    )
    for array in table:
        array.flags.writeable = False
    return table


def _frequencies() -> dict[str, dict[int, float]]:
    """What each n-gram counts for the lanes that have it."""
    import orjson

    grams: dict[str, dict[int, float]] = {}
    for lane, language in enumerate(languages()):
        profile = orjson.loads((_folder() / language).read_bytes())
        totals = profile["n_words"]
        for gram, count in profile["freq"].items():
            if 1 <= len(gram) <= 3:
                value = float(np.log1p(count / totals[len(gram) - 1] / WEIGHT))
                grams.setdefault(gram, {})[lane] = value
    return grams


def _symbols(known: set[str]) -> tuple[npt.NDArray[np.uint16], list[str], npt.NDArray[np.bool_]]:
    """The symbol of every code point, the characters that symbols stand for, and which are upper case."""
    from langdetect.utils.ngram import NGram

    normal = [NGram.normalize(chr(code_point)) for code_point in range(CODE_POINTS)]
    near = " ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    names = [*near, *sorted((known & set(normal)) - set(near))]
    number = {character: symbol for symbol, character in enumerate(names)}
    other = len(names)
    symbols = np.array([number.get(c, other + c.isupper()) for c in normal], np.uint16)
    return symbols, names, np.array([*(c.isupper() for c in names), False, True])


def _slots(entries: list[int]) -> npt.NDArray[np.uint64]:
    slots = np.zeros(1 << SLOT_BITS, np.uint64)
    for entry in entries:
        at = (entry >> CODE_BITS) * MULTIPLIER % (1 << 64) >> (64 - SLOT_BITS)
        while slots[at]:
            at = (at + 1) % len(slots)
        slots[at] = entry
    return slots


def _vietnamese() -> npt.NDArray[np.uint16]:
    from langdetect.utils.ngram import NGram

    composed = np.zeros((0x1B1, 5), np.uint16)
    for mark, row in enumerate(NGram.NORMALIZED_VI_CHARS):
        for letter, both in zip(NGram.TO_NORMALIZE_VI_CHARS, row, strict=True):
            composed[ord(letter), mark] = ord(both)
    return composed
