"""Files of dense buckets: crowds.bin, uint32 documents one bucket after the other, and crowds.npy, where each lies.

A partition's index is int64[n, 2] of (begin, end); that of all of them has the group of components before these,
and is sorted by it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.buffers import Int64s
from dedup.io.copies import on_disk
from dedup.io.files import save_array
from dedup.near.edges import Crowd


def save(folder: Path, crowds: Iterable[Crowd], *columns: Int64s) -> None:
    """Write the crowds of a partition, or of all with a column of groups in ascending order."""
    ends = [0]
    with open(folder / "crowds.bin", "wb") as file:
        for members in crowds:
            file.write(np.ascontiguousarray(members, np.uint32).data)
            ends.append(ends[-1] + len(members))
    index = np.array([*columns, ends[:-1], ends[1:]], np.int64).T
    save_array(folder / "crowds.npy", np.ascontiguousarray(index))


def read(folder: str) -> Iterator[Crowd]:
    """The crowds of a partition."""
    return _read(folder, np.load(on_disk(folder, "crowds.npy")))


def join(folder: Path, parts: Sequence[str], groups: npt.NDArray[np.uint32]) -> None:
    """Write the crowds of all partitions, sorted by the group that their members are of."""
    index, own_groups = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)]
    for number, part in enumerate(parts):
        own = np.load(on_disk(part, "crowds.npy"))
        if len(own):
            firsts = np.memmap(on_disk(part, "crowds.bin"), np.uint32, "r")[own[:, 0]]
            own_groups.append(groups[firsts].astype(np.int64))
            index.append(np.insert(own, 0, number, axis=1))
    found = np.concatenate(own_groups)
    order = np.argsort(found, kind="stable")
    rows = np.concatenate(index)[order]
    save(folder, (next(_read(parts[row[0]], row[None, 1:])) for row in rows), found[order])


def of_group(joined: str, group: int) -> Iterator[Crowd]:
    """The crowds of one group of components."""
    index = np.load(on_disk(joined, "crowds.npy"), mmap_mode="r")
    low, high = np.searchsorted(index[:, 0], [group, group + 1])
    return _read(joined, index[low:high, 1:])


def _read(folder: str, index: Int64s) -> Iterator[Crowd]:
    if not len(index):
        return
    with open(on_disk(folder, "crowds.bin"), "rb") as file:
        for begin, end in index.tolist():
            file.seek(begin * 4)
            yield np.frombuffer(file.read((end - begin) * 4), np.uint32)


def distinct(parts: Iterable[npt.NDArray[Any]], at_least: int) -> Int64s:
    """The distinct documents of some arrays, ascending; sorted whenever there are `at_least` more than known."""
    held, size, most = [np.zeros(0, np.int64)], 0, at_least
    for part in itertools.chain(parts, [np.zeros(0, np.int64)]):
        held.append(part.ravel())
        size += part.size
        if size > most:
            held = [np.unique(np.concatenate(held))]
            size, most = len(held[0]), at_least + 2 * len(held[0])
    return np.unique(np.concatenate(held)).astype(np.int64)
