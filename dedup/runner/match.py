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
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import exact
from dedup.buffers import Int64s
from dedup.io import read
from dedup.io.copies import fetch, on_disk
from dedup.io.exchange import files_of, read_partition
from dedup.io.files import save_array
from dedup.near import edges as bucket_edges
from dedup.near import match
from dedup.near import signature as signing
from dedup.near.crowds import Crowds
from dedup.plan import NearFiles, bands_of
from dedup.recipe import Step
from dedup.runner import crowds
from dedup.runner.scanned import Scan, Standing, rows_table
from dedup.runner.task import Progress

FETCH_SEGMENT = 2 << 20  # shingles written as one segment
EDGE_BLOCK = 1 << 19  # edges read at once: 8 MiB
NO_GROUP = 0xFFFFFFFF


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
) -> dict[str, Any]:
    """Edges among the documents of one partition of band keys, and its crowds."""
    settings, bands = bands_of(step)
    dropped = np.load(on_disk(gone), mmap_mode="r")
    rows = [np.zeros(0, np.uint64)]
    for path, base in zip(_exchanged(scans, f"bands-{files.bands}.bin"), bases, strict=False):
        for part in read_partition(path, partition, bits):
            numbered = match.with_documents(part.columns[0], base + part.document_base)
            rows.append(numbered[~dropped[(numbered & np.uint64(0xFFFFFFFF)).astype(np.int64)]])
    paths = [os.path.join(scan, f"sketches-{files.sketches}.bin") for scan in scans]
    tally = bucket_edges.Tally()
    numbered = np.concatenate(rows)
    rows.clear()
    dense: list[bucket_edges.Crowd] = []
    with _EdgeFiles(folder, with_similarity=step.settings["verify"] != "exact") as written:
        for edges in bucket_edges.stream_edges(
            numbered,
            lambda documents: signing.read_sketches(paths, np.array(bases), documents, settings),
            bands,
            step.settings["threshold"],
            tally,
            references,
            dense,
        ):
            written.add(edges)
    crowds.save(folder, dense)
    progress(0, 0)
    return asdict(tally) | {"edges": written.count}


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


def _read_edges(folder: str, begin: int = 0, end: int | None = None) -> Iterator[bucket_edges.Edges]:
    """Edges of such files from `begin` to `end` - 1, EDGE_BLOCK at a time; similarity 0 where none was written."""
    with contextlib.ExitStack() as stack:
        pairs = stack.enter_context(open(on_disk(folder, "pairs.bin"), "rb"))
        similarity = None
        if (path := on_disk(folder, "similarity.bin")).exists():
            similarity = stack.enter_context(open(path, "rb"))
            similarity.seek(begin * 8)
        pairs.seek(begin * 8)
        left = (os.fstat(pairs.fileno()).st_size // 8 if end is None else end) - begin
        while left > 0:
            size = min(left, EDGE_BLOCK)
            some = np.frombuffer(pairs.read(size * 8), np.uint32).reshape(size, 2)
            known = np.zeros(size) if similarity is None else np.frombuffer(similarity.read(size * 8), np.float64)
            yield bucket_edges.Edges(some, known)
            left -= size


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
    for path, base, until in zip(paths, bases, bases[1:], strict=False):
        low, high = np.searchsorted(documents, [base, until])
        if low < high:
            counts[low:high] = np.load(on_disk(path), mmap_mode="r")[documents[low:high] - base]
    return counts


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
) -> dict[str, Any]:
    """The sorted distinct shingles of a unit's documents that have an edge, sorted by group in each segment.

    shingles.bin uint64; index.npy int64[n, 4]: document, group, begin, end (in shingles); segments.npy int64: where
    each segment begins in the index, and its end
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
    small = few < signing.SMALL
    if small.any():
        sketches = signing.read_sketches([sketches_path], np.array([0, until - base]), documents[small], settings)
        writer.add(documents[small], groups[small], *_runs(sketches))
    if (~small).any():
        _fetch_texts(writer, documents[~small], groups[~small], scan, settings, source, batch_bytes, progress)
    writer.close()
    return {"documents": len(documents)}


def _runs(sketches: signing.Sketches) -> tuple[Int64s, npt.NDArray[np.uint64]]:
    inside = np.arange(signing.SMALL) < sketches.counts[:, None]
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sketches.counts)]), sketches.small[inside]


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
        self._folder, self._base = folder, base
        self._file = open(folder / "shingles.bin", "wb")  # noqa: SIM115  # closed by close()
        self._index = [np.zeros((0, 4), np.int64)]
        self._held: list[tuple[Int64s, Int64s, Int64s, npt.NDArray[np.uint64]]] = []
        self._size = self._written = 0

    def add(self, documents: Int64s, groups: Int64s, offsets: Int64s, values: npt.NDArray[np.uint64]) -> None:
        self._held.append((documents, groups, np.diff(offsets), values.copy()))
        self._size += len(values)
        if self._size >= FETCH_SEGMENT:
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
        columns = [documents[order] + self._base, groups[order], ends - lengths[order], ends]
        self._index.append(np.stack(columns, axis=1))
        self._written += len(values)
        self._held, self._size = [], 0

    def close(self) -> None:
        self._flush()
        self._file.close()
        save_array(self._folder / "index.npy", np.concatenate(self._index))
        save_array(self._folder / "segments.npy", np.cumsum([len(part) for part in self._index]))


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
        _Fetched(fetched, group, documents) if step.settings["verify"] == "exact" else None,
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
    index = np.load(on_disk(joined, "index.npy"), mmap_mode="r")
    low, high = np.searchsorted(index[:, 0], [group, group + 1])
    for _, begin, end in index[low:high].tolist():
        yield from _read_edges(joined, begin, end)


class _Fetched:
    """The fetched shingles of one group of components, read for some documents at a time."""

    def __init__(self, folders: list[str], group: int, documents: Int64s) -> None:
        parts, files = [np.zeros((0, 4), np.int64)], [np.zeros(0, np.int64)]
        fetch(os.path.join(f, name) for f in folders for name in ("index.npy", "segments.npy"))
        for number, folder in enumerate(folders):
            index = np.load(on_disk(folder, "index.npy"), mmap_mode="r")
            for begin, end in itertools.pairwise(np.load(on_disk(folder, "segments.npy")).tolist()):
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
