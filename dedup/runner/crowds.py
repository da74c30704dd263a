"""Files of dense buckets: crowds.bin, uint32 documents one bucket after the other, and crowds.npy, where each lies.

A partition's index is int64[n, 2] of (begin, end); that of all of them has the group of components before these,
and is sorted by it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from dedup.buffers import Int64s
from dedup.io.copies import on_disk
from dedup.io.files import save_array
from dedup.near.edges import Crowd


def save(folder: Path, crowds: Iterable[Crowd], *columns: Sequence[int]) -> None:
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


def join(folder: Path, parts: Sequence[str], groups: np.ndarray) -> None:
    """Write the crowds of all partitions, sorted by the group that their members are of."""
    firsts = [int(groups[members[0]]) for part in parts for members in read(part)]
    order = np.argsort(np.array(firsts, np.int64), kind="stable")
    places = [(part, row) for part in parts for row in np.load(on_disk(part, "crowds.npy"))]
    crowds = (next(_read(places[n][0], places[n][1][None])) for n in order.tolist())
    save(folder, crowds, [firsts[n] for n in order.tolist()])


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


def distinct(parts: Iterable[np.ndarray], at_least: int) -> Int64s:
    """The distinct documents of some arrays, ascending; sorted whenever there are `at_least` more than known."""
    held, size, most = [np.zeros(0, np.int64)], 0, at_least
    for part in itertools.chain(parts, [np.zeros(0, np.int64)]):
        held.append(part.ravel())
        size += part.size
        if size > most:
            held = [np.unique(np.concatenate(held))]
            size, most = len(held[0]), at_least + 2 * len(held[0])
    return np.unique(np.concatenate(held)).astype(np.int64)
