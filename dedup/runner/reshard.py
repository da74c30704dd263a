"""Output files of about the same size (`output_shard_bytes`), cut from the kept rows of all shards in their order.

Shards are written as always, but under work/; parts are made of those. A kept document belongs to the part that its
place among the bytes of kept texts says, so that parts depend neither on work units nor on workers. Shards can share a
part where they have the same format and codec, and as Parquet the same schema: the others have parts of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dedup import drop
from dedup.buffers import Int64s
from dedup.errors import RunError
from dedup.io import jsonl, parquet, place
from dedup.io.files import replacing
from dedup.io.place import Place
from dedup.io.shards import Shard
from dedup.runner.publish import RunTasks
from dedup.runner.scanned import Scanned, open_table
from dedup.runner.task import Progress, Task, forget, key_of

SUFFIXES = {"none": ".jsonl", "gzip": ".jsonl.gz", "zstd": ".jsonl.zst"}


@dataclass(frozen=True)
class Source:
    """The kept rows of one shard: a file under work/, its format, its codec."""

    path: str
    format: str
    codec: Any


@dataclass(frozen=True)
class Part:
    """One output file: of each source, in order, the rows `begin` to `end` - 1."""

    path: str
    rows: tuple[tuple[Source, int, int], ...]


def publish_parts(
    run: RunTasks,
    folder: Place,
    key: str,
    scanned: Scanned,
    duplicates: Sequence[str],
    kept: Mapping[int, str],
    shards: Sequence[Shard],
    documents: Place,
    size: int,
) -> None:
    """Write the parts of `size` bytes of text into `documents`, and remove whatever else lies there.

    kept   by the number of a shard, the file of its kept rows
    """
    sources = {shard.number: Source(kept[shard.number], shard.format, shard.codec) for shard in shards}
    parts = _parts(_sizes(scanned, duplicates), sources, documents, size)
    gone = place.missing(part.path for part in parts)
    together = list(_together(parts))
    tasks = [_task(folder, key, some) for some in together]
    forget([task for task, some in zip(tasks, together, strict=True) if any(part.path in gone for part in some)])
    if tasks:
        run("cut anew", tasks)
    wanted = {part.path for part in parts}
    for path in place.files_below(documents):
        if path not in wanted:
            place.remove(path)


def _task(folder: Place, key: str, parts: Sequence[Part]) -> Task:
    name = Path(parts[0].path).name.partition(".")[0]
    arguments = {"parts": list(parts)}
    return Task("dedup.runner.reshard:write_parts", str(folder / name), key_of(key, "parts", name), arguments)


def _sizes(scanned: Scanned, duplicates: Sequence[str]) -> Iterator[tuple[int, Int64s]]:
    """(number of a shard, bytes of its kept texts), in the order of documents; a shard comes once a piece."""
    for scan, local in zip(scanned.scans, duplicates, strict=True):
        rows = scan.table()
        if not rows.num_columns:
            continue
        kept = rows[drop.REASON].combine_chunks().is_null().to_numpy(zero_copy_only=False).copy()
        kept[open_table(local)["document"].to_numpy()] = False
        sizes = rows["_bytes"].to_numpy()
        for piece, first, count, _ in scan.pieces():
            here = slice(first, first + count)
            yield piece.shard.number, sizes[here][kept[here]]


def _parts(
    sizes: Iterator[tuple[int, Int64s]], sources: Mapping[int, Source], documents: Place, size: int
) -> list[Part]:
    """The parts, those of one kind of shards after the other, kinds by their first shard."""
    kinds: dict[Any, list[list[tuple[Source, int, int]]]] = {}
    kind_of: dict[int, Any] = {}
    passed: dict[Any, int] = {}  # bytes of a kind, so far
    last: dict[Any, int] = {}  # the part that its last document belongs to
    rows: dict[int, int] = {}  # of a shard, so far
    for number, kept in sizes:
        if not len(kept):
            continue
        if number not in kind_of:
            kind_of[number] = _kind(sources[number])
        kind = kind_of[number]
        begins = passed.get(kind, 0) + np.cumsum(kept) - kept
        passed[kind] = int(begins[-1] + kept[-1])
        places, firsts = np.unique(begins // size, return_index=True)
        ends = np.append(firsts[1:], len(kept))
        before = rows.get(number, 0)
        for at, begin, end in zip(places.tolist(), firsts.tolist(), ends.tolist(), strict=True):
            found = kinds.setdefault(kind, [])
            if last.get(kind) != at:
                found.append([])
                last[kind] = at
            _extend(found[-1], sources[number], before + begin, before + end)
        rows[number] = before + len(kept)
    flat = [(_suffix(kind), some) for kind, found in kinds.items() for some in found]
    return [Part(str(documents / f"part-{n:05}{suffix}"), tuple(some)) for n, (suffix, some) in enumerate(flat)]


def _extend(part: list[tuple[Source, int, int]], source: Source, begin: int, end: int) -> None:
    if part and part[-1][0] == source and part[-1][2] == begin:
        begin = part.pop()[1]
    part.append((source, begin, end))


def _kind(source: Source) -> Any:
    """Equal for shards whose rows can stand in one file."""
    return kind_of_parquet(source.path) if source.format == "parquet" else source.codec


def kind_of_parquet(path: str) -> Any:
    """Equal for Parquet files whose rows can stand in one file: those of the same codecs and schema."""
    with parquet.open_file(path) as file:
        group = file.metadata.row_group(0)
        codecs = tuple(group.column(i).compression for i in range(group.num_columns))
        return (codecs, file.schema_arrow.serialize().to_pybytes())


def _suffix(kind: Any) -> str:
    return SUFFIXES[kind] if isinstance(kind, str) else ".parquet"


def _together(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Parts that begin in the same shard: one task reads it once, and no shard is read by more than two."""
    held: list[Part] = []
    for part in parts:
        if held and held[-1].rows[0][0] != part.rows[0][0]:
            yield held
            held = []
        held.append(part)
    if held:
        yield held


# The task


def write_parts(folder: Path, progress: Progress, *, parts: Sequence[Part]) -> dict[str, Any]:
    """Write some parts, whose rows follow each other."""
    reader: _Lines | _Groups | None = None
    for part in parts:
        with replacing(place.at(part.path, folder)) as path:
            writer: Any = None
            for source, begin, end in part.rows:
                if reader is None or reader.source != source:
                    reader = _Groups(source) if source.format == "parquet" else _Lines(source)
                writer = writer or reader.writer(path)
                for some in reader.take(begin, end):
                    writer.write(some)
                progress(end - begin, 0)
            writer.close()
    return {"parts": len(parts)}


class _Lines:
    """The lines of one file, taken in order."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._blocks = jsonl.read_lines(source.path, source.codec)
        self._block: Any = None

    def writer(self, path: Path) -> jsonl.LineWriter:
        return jsonl.LineWriter(path, self.source.codec)

    def take(self, begin: int, end: int) -> Iterator[memoryview]:
        """Lines begin to end - 1, a block of them at once."""
        while True:
            if self._block is None:
                self._block = next(self._blocks, None)
            if not isinstance(self._block, jsonl.Lines):
                raise RunError(f"{self.source.path}: it holds fewer lines than were written to it; run again")
            first, bounds = self._block.first_row, self._block.bounds
            until = first + len(bounds) - 1
            low, high = max(begin, first), min(end, until)
            if low < high:
                yield memoryview(self._block.data)[bounds[low - first] : bounds[high - first]]
            if until >= end:
                return
            self._block = None


class _Groups:
    """The rows of one Parquet file, taken in order."""

    def __init__(self, source: Source) -> None:
        self.source = source
        with parquet.open_file(source.path) as file:
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self._ends = np.cumsum(groups)
        self._held: tuple[int, Any] = (-1, None)  # parts that end within a group come back to it

    def writer(self, path: Path) -> parquet.GroupWriter:
        with parquet.open_file(self.source.path) as file:
            return parquet.GroupWriter(path, file, 0)

    def take(self, begin: int, end: int) -> Iterator[pa.Table]:
        """Rows begin to end - 1, those of one row group at once."""
        with parquet.open_file(self.source.path) as file:
            for group in range(int(np.searchsorted(self._ends, begin, "right")), len(self._ends)):
                until = int(self._ends[group])
                first = until - file.metadata.row_group(group).num_rows
                if first >= end:
                    return
                low, high = max(begin, first), min(end, until)
                if self._held[0] != group:
                    self._held = (-1, None)
                    self._held = (group, file.read_row_group(group, use_threads=False))
                yield self._held[1].slice(low - first, high - low)
