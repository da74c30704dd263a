"""The user's fastText models: what a file says before it is loaded, and the library that loads it.

The library trusts a file: of one cut short within its settings it dies of a division by zero, within its dictionary it
reads for ever, within its weights it takes zeros for them. So we follow a file to its end first, by its lengths; that
costs half a second for a million words, loads no weights, and lists the labels while a recipe is planned.
"""

from __future__ import annotations

import functools
import importlib.util
import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dedup.errors import RecipeError
from dedup.io.named import version

PREFIX = "__label__"
# (line with a line feed at its end, how many labels, least probability, "strict") -> (probability, label), best first
Predict = Callable[[str, int, float, str], list[tuple[float, str]]]

_MAGIC, _VERSIONS, _SUPERVISED = 793_712_314, (11, 12), 3
_CENTROIDS = 256  # a quantized matrix has so many of each part of a row


class _File(NamedTuple):
    """A file as it was when it was looked at."""

    path: str
    version: tuple[int, int]


def check(model: str) -> tuple[str, ...]:
    """The labels of a model; RecipeError where there is no file, no classifier in it or no library to read it."""
    if not isinstance(model, str) or not Path(model).is_file():
        raise RecipeError(f"model is {model!r}; there is no such file")
    if importlib.util.find_spec("fasttext") is None:
        raise RecipeError("a fastText model needs one more package: pip install 'dedup[fasttext]'")
    return _labels(_seen(model))


def load(model: str) -> Predict:
    """What predicts the labels of a line; loaded once by each process, again if the file changes."""
    return _load(_seen(model))


def line(text: str | None, characters: int | None) -> str:
    """The beginning of a text as the one line that fastText reads; None is an empty one."""
    return " ".join((text or "")[:characters].splitlines())


def _seen(model: str) -> _File:
    return _File(model, version(model))


@functools.lru_cache(maxsize=4)
def _load(file: _File) -> Predict:
    import fasttext  # type: ignore[import-not-found, import-untyped, unused-ignore]

    try:
        # `predict` of the class around it wants NumPy 1 in the original package.
        predict: Predict = fasttext.load_model(file.path).f.predict
    except (ValueError, RuntimeError, MemoryError) as error:
        raise RecipeError(f"model is {file.path!r}; fastText cannot load it ({error})") from None
    return predict


@functools.lru_cache(maxsize=64)
def _labels(file: _File) -> tuple[str, ...]:
    try:
        with open(file.path, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _follow(_Reader(data))
    except _OtherFileError as error:
        raise RecipeError(f"model is {file.path!r}, which is no fastText classifier: {error}") from None
    except (_CutShortError, ValueError):  # a file of no bytes cannot be mapped
        raise RecipeError(
            f"model is {file.path!r}, which is no whole fastText model: it ends after {file.version[1]:,} bytes; "
            "fetch it again"
        ) from None


class _OtherFileError(Exception):
    """The file is something else."""


class _CutShortError(Exception):
    """The file ends too early."""


class _Reader:
    """A place in a file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def numbers(self, form: str) -> tuple[int, ...]:
        """The next numbers, by a format of `struct`."""
        first = self._at
        self.skip(struct.calcsize(form))
        return struct.unpack_from(form, self._data, first)

    def skip(self, size: int) -> None:
        """Go so many bytes on."""
        if size < 0:
            raise _OtherFileError("its lengths make no sense")
        self._at += size
        if self._at > len(self._data):
            raise _CutShortError

    def labels(self, size: int) -> tuple[str, ...]:
        """The labels of a dictionary of so many entries: bytes, a zero, eight bytes of a count and one of a kind."""
        at, labels, data = self._at, [], self._data
        find, bytes_in = data.find, len(data)
        for _ in range(size):
            end = find(b"\0", at)
            if end < 0 or end + 10 > bytes_in:
                raise _CutShortError
            if data[end + 9]:
                labels.append(data[at:end].decode("utf-8", "replace"))
            at = end + 10
        self._at = at
        return tuple(labels)


def _follow(reader: _Reader) -> tuple[str, ...]:
    """The labels, once the file was followed to its end."""
    magic, version, *settings = reader.numbers("<14i")
    if magic != _MAGIC or version not in _VERSIONS:
        raise _OtherFileError("it begins otherwise")
    if settings[7] != _SUPERVISED:
        raise _OtherFileError("it holds word vectors without labels")
    reader.skip(8)
    size, _, _, _, pruned = reader.numbers("<3i2q")
    labels = reader.labels(size)
    reader.skip(8 * max(pruned, 0))
    quantized = reader.numbers("<?")[0]
    _skip_matrix(reader, bool(quantized))
    output_quantized = reader.numbers("<?")[0]
    _skip_matrix(reader, bool(quantized and output_quantized))
    if not labels:
        raise _OtherFileError("it has no labels")
    return labels


def _skip_matrix(reader: _Reader, quantized: bool) -> None:
    norms = bool(quantized and reader.numbers("<?")[0])
    rows, columns = reader.numbers("<2q")
    if not quantized:
        reader.skip(4 * rows * columns)
        return
    reader.skip(reader.numbers("<i")[0])
    _skip_quantizer(reader)
    if norms:
        reader.skip(rows)
        _skip_quantizer(reader)


def _skip_quantizer(reader: _Reader) -> None:
    dimension, *_ = reader.numbers("<4i")
    reader.skip(4 * dimension * _CENTROIDS)
