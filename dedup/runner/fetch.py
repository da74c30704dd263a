"""The shingles of documents that have an edge: fetched from texts or from what an earlier run had, read by group."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.buffers import Int64s
from dedup.io import read
from dedup.io.copies import fetch, on_disk
from dedup.io.files import load_flat, map_flat, save_array
from dedup.near import match
from dedup.near import signature as signing
from dedup.plan import NearFiles, bands_of
from dedup.recipe import Step
from dedup.runner.scanned import Scan
from dedup.runner.task import Progress, left_whole

SEGMENT = 2 << 20  # shingles written as one segment
NO_GROUP = 0xFFFFFFFF
ANEW = "anew.npy"  # of a scan made from another: the documents whose texts may differ from what they were


def fetch_shingles(
    folder: Path,
    progress: Progress,
    *,
    scan: Scan,
    base: int,
    until: int,
    joined: str,
    step: Step,
    files: NearFiles,
    source: read.Source,
    batch_bytes: int,
    kept: str | None = None,
) -> dict[str, Any]:
    """The sorted distinct shingles of a unit's documents that have an edge, sorted by group in each segment.

    shingles.bin uint64; index.npy int64[n, 4]: document, group, begin, end (in shingles); segments.npy int64: where
    each segment begins in the index, and its end

    kept   a folder of such files that an earlier run left of the unit; their documents have the same numbers here
    """
    settings, _ = bands_of(step)
    groups = np.array(np.load(on_disk(joined, "groups.npy"), mmap_mode="r")[base:until])
    documents = np.flatnonzero(groups != NO_GROUP)
    groups = groups[documents].astype(np.int64)
    writer = _ShingleWriter(folder, base)
    few = np.zeros(0, np.uint8)
    sketches_path = os.path.join(scan.folder, f"sketches-{files.sketches}.bin")
    if len(documents):
        few = np.load(on_disk(signing.index_of(sketches_path)), mmap_mode="r")[documents]
    left = few >= signing.SMALL
    if not left.all():
        small = documents[~left]
        sketches = signing.read_sketches([sketches_path], np.array([0, until - base]), small, settings)
        writer.add(small, groups[~left], *_runs(sketches))
    if kept is not None and left.any():
        left[left] = ~_take_kept(writer, documents[left], groups[left], scan, kept)
    if left.any():
        _fetch_texts(writer, documents[left], groups[left], scan, settings, source, batch_bytes, progress)
    writer.close()
    return {"documents": len(documents), "texts": int(left.sum())}


def _runs(sketches: signing.Sketches) -> tuple[Int64s, npt.NDArray[np.uint64]]:
    inside = np.arange(signing.SMALL) < sketches.counts[:, None]
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sketches.counts)]), sketches.small[inside]


def _take_kept(
    writer: _ShingleWriter, documents: Int64s, groups: Int64s, scan: Scan, kept: str
) -> npt.NDArray[np.bool_]:
    """Add what an earlier run fetched, of documents that went the same way as there; bool[n]: of which it was."""
    from dedup.kernels.shingle import gather_runs

    taken = np.zeros(len(documents), np.bool_)
    if not on_disk(scan.folder, ANEW).exists() or left_whole(kept) is None:
        return taken
    taken = ~np.load(on_disk(scan.folder, ANEW), mmap_mode="r")[documents]
    index, segments = _index_of(kept)
    was_there = np.zeros(len(documents), np.bool_)
    with open(on_disk(kept, "shingles.bin"), "rb", buffering=0) as file:
        for low, high in itertools.pairwise(segments):
            runs = np.array(index[low:high])
            at = np.minimum(np.searchsorted(documents, runs[:, 0] - writer.base), len(documents) - 1)
            some = np.flatnonzero((documents[at] == runs[:, 0] - writer.base) & taken[at])
            if not len(some):
                continue
            begin, end = int(runs[0, 2]), int(runs[-1, 3])
            file.seek(begin * 8)
            values = np.fromfile(file, np.uint64, end - begin)
            bounds = np.append(runs[:, 2], end) - begin
            out = np.empty(int((runs[some, 3] - runs[some, 2]).sum()), np.uint64)
            gather_runs(values, bounds, some, out)
            lengths = np.cumsum(runs[some, 3] - runs[some, 2])
            writer.add(documents[at[some]], groups[at[some]], np.concatenate([[0], lengths]), out)
            was_there[at[some]] = True
    return was_there


def _fetch_texts(
    writer: _ShingleWriter,
    documents: Int64s,
    groups: Int64s,
    scan: Scan,
    settings: Any,
    source: read.Source,
    batch_bytes: int,
    progress: Progress,
) -> None:
    for places, texts in scan.texts(documents, source, batch_bytes):
        offsets, tokens = signing.token_hashes(texts, settings)
        writer.add(documents[places], groups[places], *signing.shingle_sets(offsets, tokens, settings))
        progress(len(texts), texts.nbytes)


class _ShingleWriter:
    """Collects shingle sets and writes them in segments sorted by group."""

    def __init__(self, folder: Path, base: int) -> None:
        self.base = base
        self._folder = folder
        self._file = open(folder / "shingles.bin", "wb")  # noqa: SIM115  # closed by close()
        self._index = [np.zeros((0, 4), np.int64)]
        self._held: list[tuple[Int64s, Int64s, Int64s, npt.NDArray[np.uint64]]] = []
        self._size = self._written = 0

    def add(self, documents: Int64s, groups: Int64s, offsets: Int64s, values: npt.NDArray[np.uint64]) -> None:
        self._held.append((documents, groups, np.diff(offsets), values.copy()))
        self._size += len(values)
        if self._size >= SEGMENT:
            self._flush()

    def _flush(self) -> None:
        from dedup.kernels.shingle import gather_runs

        if not self._held:
            return
        documents, groups, lengths, values = (np.concatenate(parts) for parts in zip(*self._held, strict=True))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        order = np.lexsort((documents, groups))
        out = np.empty(len(values), np.uint64)
        gather_runs(values, offsets, order, out)
        self._file.write(out.data)
        ends = self._written + np.cumsum(lengths[order])
        columns = [documents[order] + self.base, groups[order], ends - lengths[order], ends]
        self._index.append(np.stack(columns, axis=1))
        self._written += len(values)
        self._held, self._size = [], 0

    def close(self) -> None:
        self._flush()
        self._file.close()
        save_array(self._folder / "index.npy", np.concatenate(self._index))
        save_array(self._folder / "segments.npy", np.cumsum([len(part) for part in self._index]))


def _index_of(folder: str) -> tuple[Int64s, list[int]]:
    """(index, segments) as the writer left them."""
    index = map_flat(on_disk(folder, "index.npy"), np.int64).reshape(-1, 4)
    return index, load_flat(on_disk(folder, "segments.npy"), np.int64).tolist()


class Fetched:
    """The fetched shingles of one group of components, read for some documents at a time."""

    def __init__(self, folders: list[str], group: int, documents: Int64s) -> None:
        parts, files = [np.zeros((0, 4), np.int64)], [np.zeros(0, np.int64)]
        fetch(os.path.join(f, name) for f in folders for name in ("index.npy", "segments.npy"))
        for number, folder in enumerate(folders):
            index, segments = _index_of(folder)
            for begin, end in itertools.pairwise(segments):
                low, high = begin + np.searchsorted(index[begin:end, 1], [group, group + 1])
                parts.append(np.array(index[low:high]))
                files.append(np.full(high - low, number))
        index = np.concatenate(parts)
        order = np.argsort(index[:, 0])
        if not np.array_equal(index[order, 0], documents):
            raise AssertionError("fetched documents are not those of the group")
        self._folders, self._documents = folders, documents
        self._file, self._begin, self._end = np.concatenate(files)[order], index[order, 2], index[order, 3]

    def __call__(self, documents: Int64s) -> match.Runs:
        """Of documents in any order."""
        from dedup.kernels.shingle import gather_runs

        rows = np.searchsorted(self._documents, documents)
        file, begin, end = self._file[rows], self._begin[rows], self._end[rows]
        order = np.lexsort((begin, file))  # as they lie
        lengths = end - begin
        values = np.empty(int(lengths.sum()), np.uint64)
        done = 0
        # Runs of one group follow each other within a segment: one read a segment.
        breaks = (file[order][1:] != file[order][:-1]) | (begin[order][1:] != end[order][:-1])
        stretches = np.split(order, np.flatnonzero(breaks) + 1) if len(order) else []
        for number, some in itertools.groupby(stretches, lambda stretch: int(file[stretch[0]])):
            with open(on_disk(self._folders[number], "shingles.bin"), "rb") as source:
                for stretch in some:
                    size = int(end[stretch[-1]] - begin[stretch[0]])
                    source.seek(int(begin[stretch[0]]) * 8)
                    source.readinto(values[done : done + size].view(np.uint8).data)
                    done += size
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[order])])
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        out = np.empty(len(values), np.uint64)
        gather_runs(values, bounds, back, out)
        return match.Runs(np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]), out)
