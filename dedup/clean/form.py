"""Unicode forms: what one does to each character, which lines of a batch it may change, and long runs of marks.

`unicodedata.normalize` (and so ftfy) and Arrow's `utf8_normalize` put the marks of a run in order one by one: a run
of 20,000 takes them 0.4 to 1.7 s, of 200,000 a hundred times that. `with_runs_in_order` does it first, by sorting.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import buffers

FORMS = ("NFC", "NFD", "NFKC", "NFKD")


class Moved(NamedTuple):
    """Two masks: texts that a form may change, and those of them with a long run of marks."""

    may_move: pa.BooleanArray
    has_long_run: pa.BooleanArray


def moved(texts: pa.LargeStringArray, form: str) -> Moved:
    """Which texts a form may change (a look costs 1 to 2 ns a byte, the change 14)."""
    from dedup.kernels import screen

    lines = flagged_lines(buffers.texts(texts), _form_tables(form), screen.ENTITIES_NEVER, np.iinfo(np.int64).max)
    masks = []
    for reason in (screen.ORDER, screen.MARKS):
        mask = np.zeros(len(texts), np.bool_)
        mask[lines[lines[:, 3] & reason != 0, 0]] = True
        masks.append(mask)
    return Moved(pa.array(masks[0]), pa.array(masks[0] & masks[1]))


def flagged_lines(view: buffers.Texts, tables: Any, entities: int, most_characters: int) -> npt.NDArray[np.int64]:
    """The lines of kernels/screen.py, as many as there are."""
    from dedup.kernels import screen

    arguments = view.offsets, view.data, tables.entries, tables.steps, tables.dull, entities, most_characters
    lines = np.empty((1 + len(view.data) // 1024, 4), np.int64)
    count = screen.flagged_lines(*arguments, lines)
    if count > len(lines):
        lines = np.empty((count, 4), np.int64)
        screen.flagged_lines(*arguments, lines)
    return lines[:count]


def normalized(form: Any, text: str) -> str:
    """unicodedata.normalize, in linear time also for long runs of marks."""
    if text.isascii():
        return text
    return unicodedata.normalize(form, with_runs_in_order(text))


def with_runs_in_order(text: str) -> str:
    """The text with long runs of marks taken apart and in canonical order, which every form gives anyway."""
    from dedup.kernels import screen

    if len(text) < _WORTH_A_LOOK:
        return text
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    others = np.flatnonzero(np.append(_marks()[characters], False) == 0)
    runs = np.diff(others, prepend=-1) - 1  # before each character that is no mark
    parts, copied = [], 0
    for i in np.flatnonzero(runs >= screen.MANY_MARKS).tolist():
        end = int(others[i])
        start = end - int(runs[i])
        parts += [text[copied:start], _in_order(text[start:end])]
        copied = end
    return "".join([*parts, text[copied:]]) if parts else text


_WORTH_A_LOOK = 512  # characters


def _in_order(run: str) -> str:
    # One by one: a form of the whole run would sort it the slow way.
    apart = "".join(unicodedata.normalize("NFD", mark) for mark in run)
    return "".join(sorted(apart, key=unicodedata.combining))


@functools.cache
def _marks() -> npt.NDArray[np.bool_]:
    """bool[0x110000], read-only: characters that are marks, or marks alone when taken apart."""
    from dedup.kernels.kept import kept

    arrays = kept(f"marks-unicode-{unicodedata.unidata_version}", __file__, lambda: {"marks": _built_marks()})
    return buffers.frozen(arrays["marks"])


def _built_marks() -> npt.NDArray[np.bool_]:
    marks = np.zeros(0x110000, np.bool_)
    for c in _looked_up():
        marks[c] = all(map(unicodedata.combining, unicodedata.normalize("NFD", chr(c))))
    return marks


@functools.cache
def _form_tables(form: str) -> Any:
    """The tables of a form alone; it may also change what this Python's Unicode does not have yet: Arrow's may be
    newer."""
    from dedup.kernels import screen

    table = form_table(form).copy()
    table[[c for c in _looked_up() if unicodedata.category(chr(c)) == "Cn"]] = screen.CHANGES
    return screen.tables(None, table, (), carriage_return=False)


@functools.cache
def form_table(form: str) -> npt.NDArray[np.uint8]:
    """uint8[0x110000], read-only: what a form does to a character, as in kernels/screen.py."""
    from dedup.kernels.kept import kept

    arrays = kept(f"form-{form}-unicode-{unicodedata.unidata_version}", __file__, lambda: {"table": _built(form)})
    return buffers.frozen(arrays["table"])


def _built(form: Any) -> npt.NDArray[np.uint8]:
    from dedup.kernels import screen

    table = np.full(0x110000, screen.STAYS, np.uint8)
    classes = sorted({unicodedata.combining(chr(c)) for c in _looked_up()} - {0})
    rank = {number: i for i, number in enumerate(classes, start=1)}
    if len(rank) >= screen.MAY_JOIN:
        raise NotImplementedError(f"this Python's Unicode has {len(rank)} classes of marks")
    for c in _looked_up():
        if not unicodedata.is_normalized(form, chr(c)):
            table[c] = screen.CHANGES
        elif unicodedata.combining(chr(c)):
            table[c] = rank[unicodedata.combining(chr(c))]
    if form in ("NFC", "NFKC"):
        table[list(_joining())] = screen.MAY_JOIN
    else:
        table[_HANGUL_SYLLABLES.start : _HANGUL_SYLLABLES.stop] = screen.CHANGES
    return table


def _joining() -> Iterator[int]:
    """Characters that join the one before them: vowels and finals of Hangul, second halves of compositions."""
    yield from range(0x1161, 0x1176)
    yield from range(0x11A8, 0x11C3)
    for c in _looked_up():
        decomposition = unicodedata.decomposition(chr(c))
        if " " in decomposition and decomposition[0] != "<":
            pair = "".join(chr(int(part, 16)) for part in decomposition.split())
            if unicodedata.normalize("NFC", pair) == chr(c):
                yield ord(pair[1])


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
