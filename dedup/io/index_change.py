"""Changes of an index between runs: its folders put into one, and the documents of some files forgotten.

Both write new folders batch by batch and replace the catalogue last, so that whoever is killed on the way leaves the
index as it was.
"""

from __future__ import annotations

import bisect
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup.errors import UserError
from dedup.io import index as store
from dedup.io.index_files import DOCUMENTS, FILES, Mapped, Rows, Writer, paths, write_keys
from dedup.io.place import Place

MERGE_ROWS = 4 << 20  # of keys sorted at once
MOST_DOCUMENTS = (1 << 32) - 1  # of a folder: they are numbered in 32 bits
GONE = 0xFFFFFFFF
Places = npt.NDArray[np.uint32]
Keep = Callable[[npt.NDArray[np.int32]], npt.NDArray[np.bool_]]


def merge(index: Place) -> None:
    """Put all folders into one; what runs find is the same."""
    catalogue = store.load(index)
    if len(catalogue.folders) > 1:
        name = _rewrite(index, catalogue.folders, catalogue.generations[-1].number)
        store.commit(index, dataclasses.replace(catalogue, folders=(name,)))


def remove_source(index: Place, sources: Sequence[str]) -> int:
    """Forget the documents of some files or folders; how many these were, and UserError where there were none.

    A generation of which nothing is left is forgotten with them, so that its run may add it again.
    """
    catalogue = store.load(index)
    wanted = [source if "://" in source else os.path.abspath(source) for source in sources]
    folders: list[str] = []
    removed: dict[int, int] = {}  # documents by generation
    for name in catalogue.folders:
        listed = paths(index / name).to_pylist()
        gone = np.array([n for n, path in enumerate(listed) if any(is_below(path, one) for one in wanted)], np.int32)
        counts = _by_generation(index / name, gone)
        for number, count in counts.items():
            removed[number] = removed.get(number, 0) + count
        if sum(counts.values()) == Rows(index / name).firsts[-1]:
            continue
        if counts:
            last = catalogue.generations[-1].number
            name = _rewrite(index, [name], last, lambda files, gone=gone: ~np.isin(files, gone))  # type: ignore[misc]
        folders.append(name)
    if not removed:
        raise UserError(f"{index}: no document is of {', '.join(sources)}; `dedup index info {index}` lists the files")
    generations = (
        dataclasses.replace(one, documents=one.documents - removed[one.number], compared=store.CUT)
        if one.number in removed
        else one
        for one in catalogue.generations
        if removed.get(one.number) != one.documents
    )
    store.commit(index, dataclasses.replace(catalogue, generations=tuple(generations), folders=tuple(folders)))
    return sum(removed.values())


def is_below(path: str, source: str) -> bool:
    """Whether a file is that source, or in that folder."""
    source = source.rstrip("/")
    return path == source or path.startswith(f"{source}/")


def documents_of_files(folder: Place) -> dict[int, int]:
    """Documents by the file that they are of."""
    return _counts(batch["file"].to_numpy() for batch in Mapped(folder / "documents.arrow", ["file"]))


def _by_generation(folder: Place, gone: npt.NDArray[np.int32]) -> dict[int, int]:
    """Documents of some files, by generation."""
    if not len(gone):
        return {}
    return _counts(
        batch["generation"].to_numpy()[np.isin(batch["file"].to_numpy(), gone)]
        for batch in Mapped(folder / "documents.arrow", ["generation", "file"])
    )


def _counts(parts: Iterator[npt.NDArray[Any]]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for part in parts:
        for value, count in zip(*np.unique(part, return_counts=True), strict=True):
            counts[int(value)] = counts.get(int(value), 0) + int(count)
    return counts


def _rewrite(index: Place, names: Sequence[str], number: int, keep: Keep | None = None) -> str:
    """Write the documents of some folders that stay into a new one; its name.

    keep   of file numbers, which stay; without it all
    """
    held = sum(int(Rows(index / name).firsts[-1]) for name in names)
    if held > MOST_DOCUMENTS:
        raise UserError(f"{index}: a folder holds at most {MOST_DOCUMENTS:,} documents; leave them in several")
    places: list[int | Places] = []  # of each folder's documents in the new one
    total = listed = 0
    with store.new_folder(index, number) as (out, new):
        with Writer(out, "documents") as documents, Writer(out, "files") as files:
            for name in names:
                total, place = _copy(documents, index / name, total, listed, keep)
                places.append(place)
                for batch in Mapped(index / name / "files.arrow"):
                    moved = batch["number"].to_numpy() + listed
                    files.add_batch(batch.set_column(0, FILES.field("number"), pa.array(moved)))
                listed += int(Rows(index / name, "files").firsts[-1])
        for keys in ("keys", "bands"):
            write_keys(out, keys, _merged([index / name / f"{keys}.arrow" for name in names], places))
    return new


def _copy(writer: Writer, folder: Place, total: int, listed: int, keep: Keep | None) -> tuple[int, int | Places]:
    """Append the documents of a folder that stay; how many there are then, and where each is.

    The places are what is added to a number where all stay, else one for each document, GONE for those that go.
    """
    first = total
    parts: list[Places] = [np.zeros(0, np.uint32)]
    for batch in Mapped(folder / "documents.arrow"):
        numbers = batch["file"].to_numpy()
        moved = pa.array(numbers + np.int32(listed))
        batch = batch.set_column(2, DOCUMENTS.field("file"), moved)
        if keep is not None:
            mask = keep(numbers)
            parts.append(np.where(mask, total + np.cumsum(mask) - 1, GONE).astype(np.uint32))
            batch = batch.filter(pa.array(mask))
        writer.add_batch(batch)
        total += batch.num_rows
    return total, first if keep is None else np.concatenate(parts)


def _merged(
    sources: Sequence[Place], places: Sequence[int | Places]
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """The keys of some files in stretches of about MERGE_ROWS, with their new documents."""
    every = [_Keys(path, place) for path, place in zip(sources, places, strict=True)]
    top = max((keys.last[-1] for keys in every if keys.last), default=0)
    count = -(-sum(keys.rows for keys in every) // MERGE_ROWS)
    bounds = [top * i // count for i in range(1, count)]
    for low, high in zip([-1, *bounds], [*bounds, top], strict=True):  # low < key <= high
        parts = [part for keys in every for part in keys.between(low, high)]
        if parts:
            found, documents = (np.concatenate(part) for part in zip(*parts, strict=True))
            order = np.argsort(found, kind="stable")  # documents come ascending, in runs of sorted keys
            yield found[order], documents[order]


class _Keys:
    """A file of sorted keys, of which stretches are read one after the other."""

    def __init__(self, path: Place, place: int | Places) -> None:
        self._file, self._place = Mapped(path), place
        self.rows = 0
        self.last: list[int] = []  # key of each batch
        for batch in self._file:
            self.rows += batch.num_rows
            self.last.append(batch["key"][-1].as_py())

    def between(self, low: int, high: int) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.uint32]]]:
        """(keys, new documents) of the rows above `low` and up to `high`."""
        for n in range(bisect.bisect_right(self.last, low), len(self.last)):
            keys, documents = (column.to_numpy() for column in self._file.batch(n).columns)
            begin = int(np.searchsorted(keys, keys.dtype.type(low), "right")) if low >= 0 else 0
            end = int(np.searchsorted(keys, keys.dtype.type(high), "right"))
            keys, documents = keys[begin:end].copy(), documents[begin:end]
            if isinstance(self._place, int):
                yield keys, documents + np.uint32(self._place)
            else:
                moved = self._place[documents]
                yield keys[moved != GONE], moved[moved != GONE]
            self._file.let_go()
            if self.last[n] > high:
                return
