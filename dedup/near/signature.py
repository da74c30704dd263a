"""Texts to signatures, and the file that holds them (design 6.3).

A document of fewer than 64 distinct shingles stores these instead of a signature: fewer bytes, and exact. Its
signature is made again when it is compared. Records lie one after the other in document order.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import buffers
from dedup.buffers import Int64s, UInt64s
from dedup.io.copies import fetch, on_disk
from dedup.io.files import load_flat, mapped, save_array
from dedup.near.params import Sketch

SMALL = 64
WINDOW = 16 << 20  # bytes of a file that are mapped at once


class Sketches(NamedTuple):
    """Signatures of n documents.

    signatures   uint16[n, slots] ("fast") or uint32[n, slots] ("minhash"); undefined where counts is 0
    small        uint64[n, 64]    sorted distinct shingles where counts is under 64
    counts       int32[n]         distinct shingles, 64 for "64 or more"
    """

    signatures: npt.NDArray[Any]
    small: UInt64s
    counts: npt.NDArray[np.int32]


def signature_type(settings: Sketch) -> type[np.unsignedinteger[Any]]:
    """The NumPy type of one slot."""
    return np.uint16 if settings.scheme == "fast" else np.uint32


def permutations(settings: Sketch) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """(a, b) of datasketch 2's affine32 scheme for the same seed and number of slots."""
    # RandomState, not Generator: these must be the very numbers that datasketch draws.
    random = np.random.RandomState(settings.seed)
    a = random.randint(0, 1 << 31, settings.slots, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return a, random.randint(0, 1 << 32, settings.slots, dtype=np.uint32)


def token_hashes(texts: pa.Array, settings: Sketch) -> tuple[Int64s, UInt64s]:
    """(offsets, hashes): the tokens of text i are hashes[offsets[i]:offsets[i + 1]]; a null text has none."""
    from dedup.kernels.token import most_tokens, tokenize
    from dedup.kernels.unicode import table

    view = buffers.texts(texts)
    tokens = np.empty(most_tokens(int(view.offsets[-1] - view.offsets[0]), len(texts)), np.uint64)
    offsets = np.empty(len(texts) + 1, np.int64)
    nothing = np.empty(0, np.int32)
    tokenize(view.offsets, view.data, table(settings.fold_traditional), tokens, nothing, nothing, offsets)
    # Frozen like those of a column: kernels are then compiled once for both.
    return buffers.frozen(offsets), buffers.frozen(tokens)


def sketch(offsets: Int64s, tokens: UInt64s, settings: Sketch) -> Sketches:
    """Signatures of documents given by their token hashes."""
    from dedup.kernels import sketch as kernels

    n = len(offsets) - 1
    signatures = np.empty((n, settings.slots), signature_type(settings))
    small = np.empty((n, SMALL), np.uint64)
    counts = np.empty(n, np.int32)
    longest = int(np.diff(offsets).max(initial=0)) + 1
    buffer = np.empty(longest, np.uint64)
    shape = (settings.shingle, settings.short == "whole")
    if settings.scheme == "fast":
        seed = np.uint64(settings.seed)
        kernels.sketch_tokens_fast(tokens, offsets, *shape, seed, buffer, signatures, small, counts)
    else:
        a, b = permutations(settings)
        kernels.sketch_tokens_minhash(tokens, offsets, *shape, a, b, buffer, signatures, small, counts)
    return Sketches(signatures, small, counts)


def complete(sketches: Sketches, settings: Sketch) -> None:
    """Make the signatures of documents that carry shingles instead, in place."""
    from dedup.kernels import sketch as kernels

    rows = np.flatnonzero((sketches.counts > 0) & (sketches.counts < SMALL))
    if rows.size == 0:
        return
    small, counts = sketches.small[rows], sketches.counts[rows]
    made = np.empty((rows.size, settings.slots), signature_type(settings))
    if settings.scheme == "fast":
        kernels.sketch_small_fast(small, counts, np.uint64(settings.seed), made)
    else:
        kernels.sketch_small_minhash(small, counts, *permutations(settings), made)
    sketches.signatures[rows] = made


def shingle_sets(offsets: Int64s, tokens: UInt64s, settings: Sketch) -> tuple[Int64s, UInt64s]:
    """(offsets, hashes): the sorted distinct shingle hashes of each document."""
    from dedup.kernels.shingle import compact_sorted, shingle_all, sort_runs

    n = len(offsets) - 1
    values = np.empty(int(offsets[-1] - offsets[0]) + n + 1, np.uint64)
    bounds = np.empty(n + 1, np.int64)
    shingle_all(tokens, offsets, settings.shingle, settings.short == "whole", values, bounds)
    sort_runs(values, bounds, np.empty(int(np.diff(bounds).max(initial=0)), np.uint64))
    distinct = np.empty(n + 1, np.int64)
    compact_sorted(values, bounds, distinct)
    return distinct, values[: distinct[-1]]


class SketchWriter:
    """Appends the sketches of a task's documents to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "wb")  # noqa: SIM115  # closed by close()
        self._counts: list[npt.NDArray[np.uint8]] = []

    def add(self, sketches: Sketches) -> None:
        """Append documents."""
        from dedup.kernels.record import pack_records

        counts = sketches.counts
        signatures = sketches.signatures.view(np.uint8)
        sizes = record_bytes(counts, signatures.shape[1])
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        packed = np.empty(int(ends[-1]), np.uint8)
        pack_records(signatures, sketches.small.view(np.uint8), counts, ends, packed)
        self._file.write(packed.data)
        self._counts.append(counts.astype(np.uint8))

    def close(self) -> None:
        """Finish the file and its index."""
        self._file.close()
        save_array(self._path.with_suffix(".npy"), np.concatenate([np.zeros(0, np.uint8), *self._counts]))


def index_of(path: str | Path) -> str:
    """The file that tells how many shingles each document of a sketch file has, 64 for more."""
    return os.path.splitext(path)[0] + ".npy"


def record_bytes(counts: npt.NDArray[Any], signature_bytes: int) -> Int64s:
    """Bytes of each document's record."""
    return np.where(counts < SMALL, counts.astype(np.int64) * 8, signature_bytes)


def read_sketches(paths: Sequence[str | Path], bases: Int64s, documents: Int64s, settings: Sketch) -> Sketches:
    """The sketches of some documents, signatures complete.

    paths       one sketch file a task, or its URL
    bases       int64[tasks + 1]   task i holds documents bases[i] to bases[i + 1] - 1
    documents   int64[n], ascending
    """
    from dedup.kernels.record import find_records, unpack_records

    n = len(documents)
    dtype = signature_type(settings)
    out = Sketches(np.zeros((n, settings.slots), dtype), np.zeros((n, SMALL), np.uint64), np.zeros(n, np.int32))
    width = settings.slots * np.dtype(dtype).itemsize
    longest = max(width, 8 * SMALL)
    tasks = np.unique(np.searchsorted(bases, documents, "right") - 1).tolist()
    fetch(str(path) for task in tasks for path in (paths[task], index_of(paths[task])))
    for task in tasks:
        low, high = np.searchsorted(documents, bases[task : task + 2])
        local = documents[low:high] - bases[task]
        counts = load_flat(on_disk(index_of(paths[task])), np.uint8)
        out.counts[low:high] = counts[local]
        begins = np.empty(len(local) + 1, np.int64)
        find_records(counts, width, local, begins)
        # Mapped and not read: those wanted lie a page or ten apart. In windows: what is mapped counts as memory.
        at = 0
        while at < len(local):
            first = int(begins[at])
            until = max(at + 1, int(np.searchsorted(begins[1:], first + WINDOW, "right")))
            data = mapped(on_disk(paths[task]), first, int(begins[until - 1]) + longest)
            rows = slice(low + at, low + until)
            unpack_records(
                data, begins[at:until] - first, out.counts[rows],
                out.signatures[rows].view(np.uint8), out.small[rows].view(np.uint8),
            )  # fmt: skip
            at = until
    complete(out, settings)
    return out
