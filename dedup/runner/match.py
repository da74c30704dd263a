"""The tasks between scan and writing: exact groups, edges, components, fetched shingles, representatives.

Each reads what the scans left beside each other and writes NumPy files. Documents are numbered over the whole
corpus, in the order of shards and rows; the number of a unit's first document is its base.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import exact
from dedup.buffers import Int64s, UInt64s
from dedup.io.copies import fetch, on_disk
from dedup.io.exchange import files_of, read_partition
from dedup.io.files import map_flat, save_array
from dedup.near import edges as bucket_edges
from dedup.near import match
from dedup.near import signature as signing
from dedup.near.crowds import Crowds
from dedup.near.edges import DOCUMENT_BITS
from dedup.plan import NearFiles, bands_of
from dedup.recipe import Step
from dedup.runner import crowds
from dedup.runner.fetch import NO_GROUP, Fetched
from dedup.runner.scanned import Standing, rows_table
from dedup.runner.task import Progress

EDGE_BLOCK = 1 << 19  # edges read at once: 8 MiB


def group_exact(
    folder: Path,
    progress: Progress,
    *,
    scans: list[str],
    bases: list[int],
    barrier: int,
    keep: str,
    gone: str | None,
    partition: int,
    bits: int,
    standing: Standing,
) -> dict[str, Any]:
    """Exact groups of one partition: members.npy, int64[m, 2] of (document, the group's first); no references.

    gone   .npy of documents that an earlier barrier of the same run of barriers dropped, as bool over all
    """
    parts: list[list[Any]] = [[np.zeros(0, np.uint64)] for _ in range(5)]
    for path, base in zip(_exchanged(scans, f"exact-{barrier}.bin"), bases, strict=False):
        for part in read_partition(path, partition, bits):
            for column, values in zip(parts, part.columns, strict=True):
                column.append(values)
            parts[4][-1] = parts[4][-1] + np.uint64(base + part.document_base)
    high, low, order, tie, documents = (np.concatenate(column) for column in parts)
    if gone is not None:
        alive = ~np.load(on_disk(gone), mmap_mode="r")[documents.astype(np.int64)]
        high, low, order, tie, documents = (column[alive] for column in (high, low, order, tie, documents))
    ranks = {"first": [], "last": [~documents]}.get(keep, [order, tie])
    numbers = documents.astype(np.int64)
    members, firsts = exact.group_firsts(high, low, [*standing.ranks(numbers), *ranks], numbers)
    own = members >= standing.references
    save_array(folder / "members.npy", np.stack([members[own], firsts[own]], axis=1))
    progress(len(documents), 0)
    return {"members": int(own.sum())}


def find_edges(
    folder: Path,
    progress: Progress,
    *,
    scans: list[str],
    bases: list[int],
    step: Step,
    files: NearFiles,
    gone: str,
    partition: int,
    bits: int,
    references: int,
    chunk: int = 0,
) -> dict[str, Any]:
    """Edges among the documents of one partition of band keys, and its crowds.

    chunk   members of buckets whose signatures may be in memory at once
    """
    settings, bands = bands_of(step)
    rows = _band_rows(_exchanged(scans, f"bands-{files.bands}.bin"), bases, partition, bits, gone)
    paths = [os.path.join(scan, f"sketches-{files.sketches}.bin") for scan in scans]
    tally = bucket_edges.Tally()
    dense: list[bucket_edges.Crowd] = []
    with _EdgeFiles(folder, with_similarity=step.settings["verify"] != "exact") as written:
        for edges in bucket_edges.stream_edges(
            rows,
            lambda documents: signing.read_sketches(paths, np.array(bases), documents, settings),
            bands,
            step.settings["threshold"],
            tally,
            references,
            dense,
            chunk,
        ):
            written.add(edges)
    crowds.save(folder, dense)
    progress(0, 0)
    return asdict(tally) | {"edges": written.count}


def _band_rows(paths: list[str], bases: list[int], partition: int, bits: int, gone: str) -> UInt64s:
    """The rows of one partition of band keys as key << 32 | document, without documents that are gone."""
    from dedup.kernels.bucket import number_rows

    dropped = np.load(on_disk(gone), mmap_mode="r")
    found: list[UInt64s] = [np.zeros(0, np.uint64)]
    for path, base in zip(paths, bases, strict=False):
        for part in read_partition(path, partition, bits):
            rows = part.columns[0]  # a copy, written over
            size = number_rows(rows, np.uint64(DOCUMENT_BITS), base + part.document_base, dropped, rows)
            found.append(rows[:size])
    return np.concatenate(found)


def _exchanged(scans: list[str], name: str) -> list[str]:
    """An exchange file of each scan, ready to be read."""
    paths = [os.path.join(scan, name) for scan in scans]
    fetch(itertools.chain.from_iterable(map(files_of, paths)))
    return paths


class _EdgeFiles:
    """Edges one after the other: pairs.bin uint32[m, 2], and similarity.bin float64[m] if it is wanted."""

    def __init__(self, folder: Path, *, with_similarity: bool) -> None:
        self._pairs = open(folder / "pairs.bin", "wb")  # noqa: SIM115  # closed by __exit__
        self._similarity = open(folder / "similarity.bin", "wb") if with_similarity else None  # noqa: SIM115
        self.count = 0

    def __enter__(self) -> _EdgeFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._pairs.close()
        if self._similarity is not None:
            self._similarity.close()

    def add(self, edges: bucket_edges.Edges) -> None:
        """Append some edges."""
        self._pairs.write(np.ascontiguousarray(edges.pairs).data)
        if self._similarity is not None:
            self._similarity.write(np.ascontiguousarray(edges.similarity).data)
        self.count += len(edges.pairs)


def _read_edges(folder: str, stretches: Int64s | None = None) -> Iterator[bucket_edges.Edges]:
    """Edges of such files, EDGE_BLOCK at most at a time; similarity 0 where none was written.

    stretches   int64[n, 2]: of the edges from .. to; None: all
    """
    with contextlib.ExitStack() as stack:
        pairs = stack.enter_context(open(on_disk(folder, "pairs.bin"), "rb"))
        similarity = None
        if (path := on_disk(folder, "similarity.bin")).exists():
            similarity = stack.enter_context(open(path, "rb"))
        whole = [[0, os.fstat(pairs.fileno()).st_size // 8]]
        for begin, end in whole if stretches is None else stretches.tolist():
            for at in range(begin, end, EDGE_BLOCK):
                size = min(end - at, EDGE_BLOCK)
                known = np.zeros(size) if similarity is None else _values(similarity, np.float64, at, size)
                yield bucket_edges.Edges(_values(pairs, np.uint32, 2 * at, 2 * size).reshape(size, 2), known)


def _values(file: BinaryIO, dtype: type, begin: int, size: int) -> npt.NDArray[Any]:
    bytes_each = np.dtype(dtype).itemsize
    file.seek(begin * bytes_each)
    return np.frombuffer(file.read(size * bytes_each), dtype)


def join_components(
    folder: Path,
    progress: Progress,
    *,
    edges: list[str],
    scans: list[str],
    bases: list[int],
    files: NearFiles,
    group_shingles: int = 2 << 20,
) -> dict[str, Any]:
    """The group of components that each document belongs to, and all edges and crowds by group; 20 bytes a document.

    groups.npy uint32[documents], NO_GROUP for those without an edge; pairs.bin, similarity.bin in segments sorted by
    group; index.npy int64[n, 3], sorted: group, begin, end (in edges)

    group_shingles   of the components that one task decides, about
    """
    fetch(os.path.join(e, name) for e in edges for name in ("pairs.bin", "crowds.npy", "crowds.bin"))
    groups, count = _grouped(edges, _shingle_files(scans, files), bases, group_shingles)
    save_array(folder / "groups.npy", groups)
    index, done = [np.zeros((0, 3), np.int64)], 0
    with_similarity = any(on_disk(e, "similarity.bin").exists() for e in edges)
    with _EdgeFiles(folder, with_similarity=with_similarity) as written:
        for part in itertools.chain.from_iterable(_read_edges(e) for e in edges):
            own = groups[part.pairs[:, 0]]
            order = np.argsort(own, kind="stable")
            written.add(bucket_edges.Edges(part.pairs[order], part.similarity[order]))
            names, starts = np.unique(own[order], return_index=True)
            ends = np.append(starts[1:], len(own))
            index.append(np.stack([names.astype(np.int64), done + starts, done + ends], axis=1))
            done += len(own)
    found = np.concatenate(index)
    save_array(folder / "index.npy", found[np.lexsort((found[:, 1], found[:, 0]))])
    crowds.join(folder, edges, groups)
    progress(0, 0)
    return {"groups": count, "documents": int(np.count_nonzero(groups != NO_GROUP))}


def _shingle_files(scans: list[str], files: NearFiles) -> list[str]:
    paths = [os.path.join(scan, f"shingles-{files.sketches}.npy") for scan in scans]
    fetch(paths)
    return paths


def _grouped(edges: list[str], counts: list[str], bases: list[int], most: int) -> tuple[npt.NDArray[np.uint32], int]:
    """Groups of whole components, in order of their first documents, of about `most` shingles each; their number."""
    from dedup.kernels.graph import flatten, union_edges

    parent = np.arange(bases[-1], dtype=np.uint32)
    is_met = np.zeros(bases[-1], np.bool_)
    for part in itertools.chain.from_iterable(_read_edges(e) for e in edges):
        union_edges(parent, part.pairs)
        is_met[part.pairs.ravel()] = True
    for members in itertools.chain.from_iterable(crowds.read(e) for e in edges):
        union_edges(parent, np.stack([np.full(len(members), members[0]), members], axis=1))
        is_met[members] = True
    flatten(parent)
    sizes = np.zeros(bases[-1], np.int64)  # shingles of a component, at its first document
    for path, base, until in zip(counts, bases, bases[1:], strict=False):
        met = np.flatnonzero(is_met[base:until])
        if len(met):
            np.add.at(sizes, parent[base + met], np.load(on_disk(path), mmap_mode="r")[met])
    roots = np.flatnonzero(is_met & (parent == np.arange(bases[-1], dtype=np.uint32)))
    numbers = (np.cumsum(sizes[roots]) - sizes[roots]) // most
    numbers = np.unique(numbers, return_inverse=True)[1]
    groups = np.full(bases[-1], NO_GROUP, np.uint32)
    groups[roots] = numbers
    groups = groups[parent]
    groups[~is_met] = NO_GROUP
    return groups, int(numbers.max(initial=-1)) + 1


def _shingle_counts(documents: Int64s, paths: list[str], bases: list[int]) -> Int64s:
    counts = np.zeros(len(documents), np.int64)
    cuts = np.searchsorted(documents, bases).tolist()
    for path, base, low, high in zip(paths, bases, cuts, cuts[1:], strict=False):
        if low < high:
            counts[low:high] = map_flat(on_disk(path), np.uint32)[documents[low:high] - base]
    return counts


def represent(
    folder: Path,
    progress: Progress,
    *,
    joined: str,
    fetched: list[str],
    scans: list[str],
    bases: list[int],
    group: int,
    barrier: int,
    step: Step,
    files: NearFiles,
    standing: Standing,
) -> dict[str, Any]:
    """Decide one group of components: dropped.npy int64[m, 2] of (document, kept twin), similarity.npy.

    missed.npy int64[k, 2], missed-similarity.npy: the pairs below the threshold that came nearest to it
    """
    settings, bands = bands_of(step)
    pairs = (part.pairs for part in _edges_of(joined, group))
    documents = crowds.distinct(itertools.chain(pairs, crowds.of_group(joined, group)), EDGE_BLOCK)
    paths = [os.path.join(scan, f"sketches-{files.sketches}.bin") for scan in scans]
    dense = Crowds(
        crowds.of_group(joined, group),
        lambda some: signing.read_sketches(paths, np.array(bases), some, settings),
        bands.least_equal,
        standing.references,
    )
    found = match.decide(
        documents,
        [*standing.ranks(documents), *_ranks(documents, scans, bases, barrier, step.settings["keep"])],
        _edges_of(joined, group),
        _shingle_counts(documents, _shingle_files(scans, files), bases),
        Fetched(fetched, group, documents) if step.settings["verify"] == "exact" else None,
        threshold=step.settings["threshold"],
        scratch=folder,
        crowds=dense,
    )
    save_array(folder / "dropped.npy", np.stack([found.documents, found.twins], axis=1))
    save_array(folder / "similarity.npy", found.similarity)
    save_array(folder / "missed.npy", found.misses.pairs)
    save_array(folder / "missed-similarity.npy", found.misses.similarity)
    progress(len(documents), 0)
    return {"dropped": len(found.documents), "edges": found.edges, "compared": found.compared}


def _edges_of(joined: str, group: int) -> Iterator[bucket_edges.Edges]:
    """The edges of one group of components."""
    index = map_flat(on_disk(joined, "index.npy"), np.int64).reshape(-1, 3)
    low, high = np.searchsorted(index[:, 0], [group, group + 1])
    yield from _read_edges(joined, index[low:high, 1:])


def _ranks(documents: Int64s, scans: list[str], bases: list[int], barrier: int, keep: str) -> list[Any]:
    """What orders documents of equal standing before their number: the policy's key, then the content hash."""
    if keep == "first":
        return []
    if keep == "last":
        return [~documents.astype(np.uint64)]
    names = (f"_order_{barrier}", "_key_high", "_key_low")
    ranks = [np.zeros(len(documents), np.uint64) for _ in names]
    for scan, base, until in zip(scans, bases, bases[1:], strict=False):
        low, high = np.searchsorted(documents, [base, until])
        if low < high:
            some = rows_table(scan).select(list(names)).take(pa.array(documents[low:high] - base))
            for rank, name in zip(ranks, names, strict=True):
                rank[low:high] = some[name].to_numpy()
    return ranks
