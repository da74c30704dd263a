"""The tasks between scan and writing: exact groups, edges, components, fetched shingles, representatives.

Each reads what the scans left beside each other and writes NumPy files. Documents are numbered over the whole
corpus, in the order of shards and rows; the number of a unit's first document is its base.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import buffers, exact
from dedup.buffers import Int64s
from dedup.io import read
from dedup.io.exchange import read_partition
from dedup.io.files import save_array
from dedup.near import edges as bucket_edges
from dedup.near import match
from dedup.near import signature as signing
from dedup.plan import bands_of
from dedup.recipe import Step
from dedup.runner.scanned import Changes, Scan, rows_table
from dedup.runner.task import Progress

FETCH_SEGMENT = 2 << 20  # shingles written as one segment


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
) -> dict[str, Any]:
    """Exact groups of one partition: members.npy, int64[m, 2] of (document, the group's first).

    gone   .npy of documents that an earlier barrier of the same run of barriers dropped, as bool over all
    """
    parts: list[list[Any]] = [[np.zeros(0, np.uint64)] for _ in range(5)]
    for scan, base in zip(scans, bases, strict=False):
        for part in read_partition(Path(scan, f"exact-{barrier}.bin"), partition, bits):
            for column, values in zip(parts, part.columns, strict=True):
                column.append(values)
            parts[4][-1] = parts[4][-1] + np.uint64(base + part.document_base)
    high, low, order, tie, documents = (np.concatenate(column) for column in parts)
    if gone is not None:
        alive = ~np.load(gone, mmap_mode="r")[documents.astype(np.int64)]
        high, low, order, tie, documents = (column[alive] for column in (high, low, order, tie, documents))
    ranks = {"first": [], "last": [~documents]}.get(keep, [order, tie])
    members, firsts = exact.group_firsts(high, low, ranks, documents.astype(np.int64))
    save_array(folder / "members.npy", np.stack([members, firsts], axis=1))
    progress(len(documents), 0)
    return {"members": len(members)}


def find_edges(
    folder: Path,
    progress: Progress,
    *,
    scans: list[str],
    bases: list[int],
    step: Step,
    gone: str,
    partition: int,
    bits: int,
) -> dict[str, Any]:
    """Edges among the documents of one partition of band keys."""
    settings, bands = bands_of(step)
    dropped = np.load(gone, mmap_mode="r")
    rows = [np.zeros(0, np.uint64)]
    for scan, base in zip(scans, bases, strict=False):
        for part in read_partition(Path(scan, "bands.bin"), partition, bits):
            numbered = match.with_documents(part.columns[0], base + part.document_base)
            rows.append(numbered[~dropped[(numbered & np.uint64(0xFFFFFFFF)).astype(np.int64)]])
    paths = [Path(scan, "sketches.bin") for scan in scans]
    tally = bucket_edges.Tally()
    edges = bucket_edges.find_edges(
        np.concatenate(rows),
        lambda documents: signing.read_sketches(paths, np.array(bases), documents, settings),
        bands,
        step.settings["threshold"],
        tally,
    )
    save_array(folder / "pairs.npy", edges.pairs)
    save_array(folder / "similarity.npy", edges.similarity)
    progress(0, 0)
    return asdict(tally) | {"edges": len(edges.pairs)}


def join_components(
    folder: Path, progress: Progress, *, edges: list[str], scans: list[str], bases: list[int], group_shingles: int
) -> dict[str, Any]:
    """All edges once, documents with an edge, and the group of components that each belongs to.

    documents.npy int64[n] ascending, groups.npy int64[n]; pairs.npy, similarity.npy sorted by group,
    edge_offsets.npy int64[groups + 1]

    group_shingles   of the components that one task decides, about
    """
    parts = [bucket_edges.Edges(np.load(Path(e, "pairs.npy")), np.load(Path(e, "similarity.npy"))) for e in edges]
    found = bucket_edges.distinct_edges(parts)
    members = match.components(found.pairs)
    groups = _grouped(members, _shingle_counts(members.documents, scans, bases), group_shingles)
    edge_groups = groups[np.searchsorted(members.documents, found.pairs[:, 0])]
    order = np.argsort(edge_groups, kind="stable")
    count = int(groups.max(initial=-1)) + 1
    save_array(folder / "documents.npy", members.documents)
    save_array(folder / "groups.npy", groups)
    save_array(folder / "pairs.npy", found.pairs[order])
    save_array(folder / "similarity.npy", found.similarity[order])
    save_array(folder / "edge_offsets.npy", np.searchsorted(edge_groups[order], np.arange(count + 1)))
    progress(0, 0)
    return {"groups": count, "documents": len(members.documents), "edges": len(found.pairs)}


def _shingle_counts(documents: Int64s, scans: list[str], bases: list[int]) -> Int64s:
    counts = np.zeros(len(documents), np.int64)
    for scan, base, until in zip(scans, bases, bases[1:], strict=False):
        low, high = np.searchsorted(documents, [base, until])
        if low < high:
            counts[low:high] = np.load(Path(scan, "shingles.npy"), mmap_mode="r")[documents[low:high] - base]
    return counts


def _grouped(members: match.Components, shingles: Int64s, most: int) -> Int64s:
    """Groups of whole components, in order of their first documents, of about `most` shingles each."""
    if not len(members.documents):
        return np.zeros(0, np.int64)
    roots, component = np.unique(members.roots, return_inverse=True)
    sizes = np.bincount(component, weights=shingles, minlength=len(roots)).astype(np.int64)
    numbers = (np.cumsum(sizes) - sizes) // most
    group: Int64s = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
    return group[component]


def fetch_shingles(
    folder: Path,
    progress: Progress,
    *,
    scan: Scan,
    base: int,
    until: int,
    joined: str,
    step: Step,
    source: read.Source,
    batch_bytes: int,
) -> dict[str, Any]:
    """The sorted distinct shingles of a unit's documents that have an edge, sorted by group in each segment.

    shingles.bin uint64; index.npy int64[n, 4]: document, group, begin, end (in shingles)
    """
    settings, _ = bands_of(step)
    low, high = np.searchsorted(np.load(Path(joined, "documents.npy"), mmap_mode="r"), [base, until])
    documents = np.load(Path(joined, "documents.npy"), mmap_mode="r")[low:high] - base
    groups = np.load(Path(joined, "groups.npy"), mmap_mode="r")[low:high]
    writer = _ShingleWriter(folder, base)
    few = np.zeros(0, np.uint8)
    if len(documents):
        few = np.load(Path(scan.folder, "sketches.npy"), mmap_mode="r")[documents]
    small = few < signing.SMALL
    if small.any():
        sketches = signing.read_sketches(
            [Path(scan.folder, "sketches.bin")], np.array([0, until - base]), documents[small], settings
        )
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
    rows = scan.table()[read.ROW].to_numpy()[documents]
    changes = Changes(Path(scan.folder))
    done = 0
    for piece, first, count, _ in scan.pieces():
        low, high = np.searchsorted(documents, [first, first + count])
        if low == high:
            continue
        piece.shard.check_unchanged()
        for texts in read.read_texts(piece, source, rows[low:high], batch_bytes):
            part = slice(done, done + len(texts))
            texts = buffers.with_replaced(texts, *changes.at(documents[part]))
            offsets, tokens = signing.token_hashes(texts, settings)
            writer.add(documents[part], groups[part], *signing.shingle_sets(offsets, tokens, settings))
            progress(len(texts), texts.nbytes)
            done += len(texts)
        piece.shard.check_unchanged()


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
) -> dict[str, Any]:
    """Decide one group of components: dropped.npy int64[m, 2] of (document, kept twin), similarity.npy."""
    documents = np.load(Path(joined, "documents.npy"))[np.load(Path(joined, "groups.npy")) == group]
    begin, end = np.load(Path(joined, "edge_offsets.npy"))[group : group + 2]
    pairs = np.load(Path(joined, "pairs.npy"), mmap_mode="r")[begin:end]
    edges = bucket_edges.Edges(np.array(pairs), np.load(Path(joined, "similarity.npy"), mmap_mode="r")[begin:end])
    found = match.decide(
        documents,
        _ranks(documents, scans, bases, barrier, step.settings["keep"]),
        edges,
        _shingle_counts(documents, scans, bases),
        _Fetched(fetched, group, documents) if step.settings["verify"] == "exact" else None,
        threshold=step.settings["threshold"],
    )
    save_array(folder / "dropped.npy", np.stack([found.documents, found.twins], axis=1))
    save_array(folder / "similarity.npy", found.similarity)
    progress(len(documents), 0)
    return {"dropped": len(found.documents)}


class _Fetched:
    """The fetched shingles of one group of components, read for some documents at a time."""

    def __init__(self, folders: list[str], group: int, documents: Int64s) -> None:
        parts, files = [np.zeros((0, 4), np.int64)], [np.zeros(0, np.int64)]
        for number, folder in enumerate(folders):
            index = np.load(Path(folder, "index.npy"), mmap_mode="r")
            parts.append(np.array(index[index[:, 1] == group]))
            files.append(np.full(len(parts[-1]), number))
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
            with open(Path(self._folders[number], "shingles.bin"), "rb") as source:
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
    """What orders documents before their number: the policy's key, then the content hash."""
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
