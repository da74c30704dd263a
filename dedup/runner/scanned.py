"""What a scan left, for the tasks and tables that come after it.

A unit's tables know its documents in their order alone. Where these stand in their shards, and so their doc_ids and the
ids of those that have none of their own, is told by how many each piece of the unit holds and by the rows before it,
which are known once every unit is counted.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers
from dedup.buffers import Int64s, UInt64s
from dedup.io import read
from dedup.io.copies import on_disk
from dedup.io.units import Piece, Unit
from dedup.runner.task import Task


@dataclass(frozen=True)
class Scan:
    """The scan of one unit.

    documents    of each piece, how many
    rows_before  of each piece, the rows of its shard before it
    rejected     of each piece, the rows that are no documents; a fault that ends a shard counts as one
    offsets      of each piece, what is added to offsets within it: those of a zstd piece count from where its first
                 frame begins in the file, and are wanted in the decoded shard
    """

    unit: Unit
    folder: str
    documents: tuple[int, ...]
    rows_before: tuple[int, ...]
    rejected: tuple[int, ...]
    offsets: tuple[int, ...]

    def pieces(self) -> Iterator[tuple[Piece, int, int, int]]:
        """(piece, its first document within the unit, how many, rows before it)."""
        first = 0
        for piece, count, before in zip(self.unit.pieces, self.documents, self.rows_before, strict=True):
            yield piece, first, count, before
            first += count

    def places_of(self, number: int) -> range:
        """Where the pieces of a shard are within the unit; a unit holds thousands of tiny shards."""
        low = bisect.bisect_left(self.unit.pieces, number, key=lambda piece: piece.shard.number)
        high = bisect.bisect_right(self.unit.pieces, number, key=lambda piece: piece.shard.number)
        return range(low, high)

    def table(self) -> pa.Table:
        """rows.arrow."""
        return rows_table(self.folder)

    def rows(self, documents: Int64s, table: pa.Table) -> Int64s:
        """The rows of some documents in their shards."""
        rows: Int64s = table[read.ROW].take(pa.array(documents)).to_numpy()
        return rows + self._arrays[1][self.piece_of(documents)]

    def doc_ids(self, documents: Int64s, table: pa.Table) -> Int64s:
        """The doc_ids of some documents."""
        return (self._arrays[2][self.piece_of(documents)] << 40) + self.rows(documents, table)

    def ids(self, documents: Int64s, table: pa.Table) -> Any:
        """The user's ids of some documents; path#row where there is none."""
        own = table[read.ID].take(pa.array(documents)) if read.ID in table.schema.names else None
        if own is not None and own.null_count == 0:
            return buffers.one_chunk(own)
        found, at = np.unique(self.piece_of(documents), return_inverse=True)
        names = pa.array([self.unit.pieces[n].shard.name for n in found.tolist()], pa.large_string())
        made = pc.binary_join_element_wise(
            names.take(pa.array(at)),
            pa.array(self.rows(documents, table)).cast(pa.large_string()),
            pa.scalar("#", pa.large_string()),
        )
        return made if own is None else pc.coalesce(buffers.one_chunk(own), made)

    def texts(self, documents: Int64s, source: read.Source, batch_bytes: int) -> Iterator[tuple[Int64s, Any]]:
        """(places within `documents`, texts as the stages left them) of some documents, ascending."""
        rows = self.table()[read.ROW].to_numpy()[documents]
        changes = Changes(self.folder)
        done = 0
        for piece, first, count, _ in self.pieces():
            low, high = np.searchsorted(documents, [first, first + count])
            if low == high:
                continue
            piece.shard.check_unchanged()
            for texts in read.read_texts(piece, source, rows[low:high], batch_bytes):
                places = np.arange(done, done + len(texts))
                yield places, buffers.with_replaced(texts, *changes.at(documents[places]))
                done += len(texts)
            piece.shard.check_unchanged()

    def piece_of(self, documents: Int64s) -> Int64s:
        """The places of their pieces in the unit."""
        return np.searchsorted(self._arrays[0], documents, "right")

    @functools.cached_property
    def _arrays(self) -> tuple[Int64s, Int64s, Int64s]:
        """Of each piece: the document after its last, the rows before it, the number of its shard."""
        numbers = np.array([piece.shard.number for piece in self.unit.pieces], np.int64)
        return np.cumsum(self.documents), np.array(self.rows_before, np.int64), numbers


class Scanned(NamedTuple):
    """What the scan of a pass left, a unit each: its scan, its key, and the number of its first document."""

    scans: list[Scan]
    keys: list[str]
    bases: list[int]  # one more than units: the last is the number of documents

    @property
    def folders(self) -> list[str]:
        """Where each unit's tables lie."""
        return [scan.folder for scan in self.scans]

    def spans(self) -> Iterator[tuple[Scan, int, int]]:
        """(scan, its first document, the first after it)."""
        yield from zip(self.scans, self.bases, self.bases[1:], strict=False)


def together(references: Scanned, own: Scanned) -> Scanned:
    """References first, then the input, numbered from 0."""
    first = references.bases[-1]
    bases = [*references.bases, *(first + base for base in own.bases[1:])]
    return Scanned([*references.scans, *own.scans], [*references.keys, *own.keys], bases)


def before_zero(references: Scanned) -> Scanned:
    """References with the numbers before those of the input, which then count from 0: -1 is the last."""
    return references._replace(bases=[base - references.bases[-1] for base in references.bases])


@dataclass(frozen=True)
class Standing:
    """What comes before `keep`: references stay, in their order, then the copy in the input of the highest priority.

    references   documents below it are such
    firsts       the documents with which stretches of one priority begin; none where all have the same
    places       of each stretch, 0 for the highest priority
    """

    references: int = 0
    firsts: tuple[int, ...] = ()
    places: tuple[int, ...] = ()

    def ranks(self, documents: Int64s) -> list[UInt64s]:
        """What orders documents first: nothing or one key."""
        if not self.references and not self.firsts:
            return []
        own = np.full(len(documents), self.references)
        if self.firsts:
            stretch = np.searchsorted(np.array(self.firsts, np.int64), documents, "right") - 1
            own += np.array(self.places, np.int64)[np.maximum(stretch, 0)]
        return [np.where(documents < self.references, documents, own).astype(np.uint64)]


def standing(references: Scanned, own: Scanned) -> Standing:
    """Of the documents of both together."""
    first = references.bases[-1]
    stretches: list[tuple[int, int]] = []
    for scan, base, _ in own.spans():
        for piece, begin, count, _ in scan.pieces():
            if count and (not stretches or stretches[-1][1] != piece.shard.priority):
                stretches.append((first + base + begin, piece.shard.priority))
    order = sorted({priority for _, priority in stretches}, reverse=True)
    if len(order) < 2:
        return Standing(first)
    firsts, priorities = zip(*stretches, strict=True)
    return Standing(first, firsts, tuple(order.index(priority) for priority in priorities))


def of_tasks(
    units: Sequence[Unit], counts: Sequence[dict[str, Any]], tasks: Sequence[Task]
) -> tuple[Scanned, list[dict[str, Any]]]:
    """What the scans of all units left, and their counts; without those behind a fault that ended their shard."""
    scans: list[Scan] = []
    kept_keys: list[str] = []
    kept_counts: list[dict[str, Any]] = []
    rows: dict[int, int] = {}  # of a shard, so far
    decoded: dict[int, int] = {}  # bytes
    ended: set[int] = set()
    for unit, count, task in zip(units, counts, tasks, strict=True):
        numbers = [piece.shard.number for piece in unit.pieces]
        if ended.intersection(numbers):
            continue  # of a piece: whole shards come once
        before = tuple(rows.get(number, 0) for number in numbers)
        offsets = tuple(
            decoded.get(piece.shard.number, 0) - piece.begin if piece.shard.codec == "zstd" else 0
            for piece in unit.pieces
        )
        rejected = tuple(count["piece_rejected"])
        scans.append(Scan(unit, task.folder, tuple(count["piece_documents"]), before, rejected, offsets))
        kept_keys.append(task.key)
        kept_counts.append(count)
        for number, passed, size in zip(numbers, count["piece_rows"], count["piece_bytes"], strict=True):
            rows[number] = rows.get(number, 0) + passed
            decoded[number] = decoded.get(number, 0) + size
        if count["rejected_shards"]:
            ended.update(numbers)
    bases = [0, *np.cumsum([count["documents"] for count in kept_counts]).tolist()]
    return Scanned(scans, kept_keys, bases), kept_counts


def open_table(folder: str | Path, *names: str) -> pa.Table:
    """A table of a scan, memory-mapped; a table without columns where the unit had no document."""
    path = on_disk(folder, *names)
    if not path.exists():
        return pa.table({})
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def rows_table(folder: Path | str) -> pa.Table:
    """The rows table of a scan."""
    return open_table(folder, "rows.arrow")


class Changes:
    """The changed texts of a unit, to be laid over the texts of its input."""

    def __init__(self, folder: str | Path) -> None:
        table = open_table(folder, "changed.arrow")
        self._documents = buffers.one_chunk(table["document"]).to_numpy() if table.num_rows else np.zeros(0, np.int64)
        self._table = table

    def __len__(self) -> int:
        return len(self._documents)

    def within(self, first: int, count: int) -> tuple[Any, Any]:
        """(int64 places, texts): the changed ones among documents first to first + count - 1."""
        low, high = np.searchsorted(self._documents, [first, first + count])
        texts = self._table["text"].slice(low, high - low) if high > low else pa.chunked_array([], pa.large_string())
        return self._documents[low:high] - first, buffers.large_strings(texts)

    def over(self, texts: Any, first: int) -> Any:
        """The texts of documents from `first` on as the stages left them."""
        return buffers.with_replaced(buffers.large_strings(texts), *self.within(first, len(texts)))

    def at(self, documents: Any) -> tuple[Any, Any]:
        """(places within `documents` that are changed, their texts); documents ascending."""
        found = np.searchsorted(self._documents, documents)
        found = np.minimum(found, max(len(self._documents) - 1, 0))
        hits = np.flatnonzero(self._documents[found] == documents) if len(self._documents) else np.zeros(0, np.int64)
        if not len(hits):
            return hits, pa.array([], pa.large_string())
        return hits, buffers.large_strings(self._table["text"].take(pa.array(found[hits])))
