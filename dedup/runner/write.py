"""The last pass: read the input once more and split what is kept from what is dropped.

A kept row leaves as it came, but for a changed text. The task checks that what it wrote is what the tables say. One
task writes the shards of one unit. The pieces of a plain JSONL shard are written by one task each and then put one
after the other; those of a Parquet shard by one task, because only one writer can write a Parquet file, and those of a
zstd shard too, because it is written as one frame.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers, drop
from dedup.errors import RunError
from dedup.io import jsonl, parquet, read
from dedup.io.copies import on_disk
from dedup.io.files import replacing
from dedup.io.place import Place, Remote, at, open_file
from dedup.io.shards import Shard
from dedup.io.units import Piece
from dedup.runner import annotate
from dedup.runner.annotate import Annotations
from dedup.runner.scanned import Changes, Scan, open_table
from dedup.runner.task import Progress, Task, run_task

WAITING = 8  # shards of a unit that are written at the same time, where it has more
Measures = Sequence[tuple[str, pa.DataType]]
Dropped = Iterator[tuple[npt.NDArray[np.int64], pa.LargeStringArray]]


@dataclass(frozen=True)
class Outputs:
    """Where a shard's rows go."""

    documents: str
    dropped: str
    rejected: str


@dataclass(frozen=True)
class How:
    """What is the same for all shards of a run."""

    source: read.Source
    measures: tuple[tuple[str, pa.DataType], ...]
    limit: int | None
    annotations: Annotations = Annotations()  # noqa: RUF009  # of tuples


class _Split:
    """Which documents of a unit are kept, and the table of the others but for their texts."""

    def __init__(self, scan: Scan, duplicates: str, how: How) -> None:
        self.scan, self._added = scan, how.annotations
        self._rows = scan.table()
        self._table = open_table(duplicates)
        self._duplicates = self._table["document"].to_numpy()
        self._families = annotate.read_families(duplicates) if how.annotations.has_families else annotate.NONE
        self._measures = [name for name, _ in how.measures]
        self.changes = Changes(scan.folder)
        self.rows, self.kept, self.sizes = np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0, np.int64)
        if self._rows.num_columns:
            self.rows, self.sizes = self._rows[read.ROW].to_numpy(), self._rows["_bytes"].to_numpy()
            self.kept = self._rows[drop.REASON].combine_chunks().is_null().to_numpy(zero_copy_only=False)
        self.kept[self._duplicates] = False

    def annotations(self, documents: Any) -> pa.Table:
        """The columns that some kept documents get, ascending."""
        return annotate.columns(self._added, self._families, documents, self.sizes[documents], self._rows)

    def dropped(self, documents: Any, texts: Any, shard: Shard, schema: pa.Schema) -> pa.Table:
        """Rows of dropped/ for some dropped documents of a shard, ascending."""
        some = self._rows.take(pa.array(documents))
        at = np.searchsorted(self._duplicates, documents)
        at = np.minimum(at, max(len(self._duplicates) - 1, 0))
        hit = self._duplicates[at] == documents if len(self._duplicates) else np.zeros(len(documents), np.bool_)
        places = pa.array(np.where(hit, at, 0), mask=~hit)
        twin = self._table.take(places) if len(self._duplicates) else None
        columns = {
            "id": self.scan.ids(documents, self._rows),
            "shard": pa.array([shard.name] * len(documents), pa.string()),
            "row": self.scan.rows(documents, self._rows),
        }
        kind = twin["kind"] if twin is not None else pa.nulls(len(documents), pa.string())
        reason = pc.binary_join_element_wise(kind.cast(pa.string()), "duplicate", " ")
        # A barrier comes first: later passes mark what it dropped with a placeholder only.
        columns[drop.REASON] = pc.coalesce(reason, some[drop.REASON])
        columns["duplicate_of"] = (
            twin["duplicate_of"] if twin is not None else pa.nulls(len(documents), pa.large_string())
        )
        columns["similarity"] = twin["similarity"] if twin is not None else pa.nulls(len(documents), pa.float64())
        columns |= {name: some[name] for name in self._measures}
        columns["text"] = texts
        return pa.table(columns).cast(schema)


def dropped_schema(measures: Measures) -> pa.Schema:
    """Columns of dropped/."""
    first = [
        ("id", pa.large_string()),
        ("shard", pa.string()),
        ("row", pa.int64()),
        (drop.REASON, pa.string()),
        ("duplicate_of", pa.large_string()),
        ("similarity", pa.float64()),
    ]
    return pa.schema([*first, *measures, ("text", pa.large_string())])


@dataclass(frozen=True)
class _Stretch:
    """The documents of one piece: those of a unit from `first` on; `before` rows of the shard come before the piece."""

    split: _Split
    piece: Piece
    first: int
    count: int
    before: int

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Their rows within the piece."""
        return self.split.rows[self.first : self.first + self.count]

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        return self.split.kept[self.first : self.first + self.count]

    @property
    def bytes_kept(self) -> int:
        """Bytes of the kept texts."""
        return int(self.split.sizes[self.first : self.first + self.count][self.kept].sum())

    def annotations(self, places: Any) -> pa.Table:
        """The columns that kept ones of its documents get."""
        return self.split.annotations(places + self.first)

    def changed(self, low: int, high: int) -> tuple[Any, Any]:
        """(places from `low` on, texts) of those of its documents low to high - 1 whose text was changed."""
        return self.split.changes.within(self.first + low, high - low)


def _stretches(scans: Sequence[Scan], duplicates: Sequence[str], how: How) -> dict[int, list[_Stretch]]:
    """The stretches of each shard."""
    found: dict[int, list[_Stretch]] = {}
    for scan, table in zip(scans, duplicates, strict=True):
        split = _Split(scan, table, how)
        for piece, first, count, before in scan.pieces():
            found.setdefault(piece.shard.number, []).append(_Stretch(split, piece, first, count, before))
    return found


# Tasks


def write_shards(
    folder: Path,
    progress: Progress,
    *,
    scans: Sequence[Scan],
    duplicates: Sequence[str],
    how: How,
    outputs: Mapping[int, Outputs],
) -> dict[str, Any]:
    """Write documents/, dropped/ and rejected/ of whole shards; counts of kept and dropped documents and bytes.

    outputs   by the number of the shard
    """
    counts = {"kept": 0, "dropped": 0, "bytes_kept": 0}
    telling = threading.Lock()

    def tell(documents: int, size: int) -> None:
        with telling:
            progress(documents, size)

    def write(number: int, stretches: Sequence[_Stretch]) -> dict[str, int]:
        return _write_shard(folder, stretches, how, outputs[number], tell)

    found = _stretches(scans, duplicates, how)
    for some in _each(write, found):
        for name, more in some.items():
            counts[name] += more
    return counts


def _each(
    write: Callable[[int, Sequence[_Stretch]], dict[str, int]], found: Mapping[int, Sequence[_Stretch]]
) -> list[dict[str, int]]:
    """What `write` gives of each shard; of a tiny one half the time is waiting for the disk: threads wait together."""
    if len(found) <= WAITING:
        return [write(*one) for one in found.items()]
    with ThreadPoolExecutor(WAITING) as pool:
        try:
            return list(pool.map(write, found.keys(), found.values()))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # a full disk is full for the next thousand, too
            raise


def _write_shard(
    folder: Path, stretches: Sequence[_Stretch], how: How, outputs: Outputs, progress: Progress
) -> dict[str, int]:
    shard = stretches[0].piece.shard
    shard.check_unchanged()
    write_rejected([stretch.split.scan for stretch in stretches], at(outputs.rejected, folder), shard)
    if shard.format == "unknown" or (shard.format == "parquet" and not _is_readable(shard, how.source)):
        return {"kept": 0, "dropped": 0, "bytes_kept": 0}
    schema = dropped_schema(how.measures)
    with (
        replacing(at(outputs.documents, folder)) as kept_path,
        replacing(at(outputs.dropped, folder)) as dropped_path,
    ):
        dropped = parquet.RowWriter(dropped_path, schema, sized="text")
        counts = _write_kept(kept_path, stretches, how, progress, schema, dropped.add)
        dropped.close()
    return counts


def write_piece(folder: Path, progress: Progress, *, scan: Scan, duplicates: str, how: How) -> dict[str, Any]:
    """Write what one piece of a plain JSONL shard gives to documents/ and dropped/: the files `kept`, dropped.arrow."""
    (stretches,) = _stretches([scan], [duplicates], how).values()
    schema = dropped_schema(how.measures)
    stretches[0].piece.shard.check_unchanged()
    with pa.ipc.new_file(str(folder / "dropped.arrow"), schema) as dropped:
        return dict(_write_kept(folder / "kept", stretches, how, progress, schema, dropped.write_table))


def join_kept(
    folder: Path, progress: Progress, *, pieces: Sequence[Task], outputs: Outputs, counts: dict[str, int]
) -> dict[str, Any]:
    """Put the kept rows of the pieces of a shard one after the other; on disk it removes each piece's, to make room.

    Pieces that a worker had removed when it was killed are made again.
    """
    with replacing(at(outputs.documents, folder)) as path, open(path, "wb", buffering=0) as file:
        for piece in pieces:
            kept = at(piece.folder) / "kept"
            if isinstance(kept, Path) and not kept.exists():
                run_task(piece, progress)
            _append(kept, file)
            if isinstance(kept, Path):
                kept.unlink()
    progress(0, 0)
    return dict(counts)


def join_dropped(
    folder: Path,
    progress: Progress,
    *,
    pieces: Sequence[str],
    scans: Sequence[Scan],
    measures: Measures,
    outputs: Outputs,
) -> dict[str, Any]:
    """Write dropped/ and rejected/ of a shard from what its pieces gave."""
    write_rejected(scans, at(outputs.rejected, folder), scans[0].unit.pieces[0].shard)
    with replacing(at(outputs.dropped, folder)) as path:
        dropped = parquet.RowWriter(path, dropped_schema(measures), sized="text")
        for piece in pieces:
            with pa.ipc.open_file(pa.memory_map(str(on_disk(piece, "dropped.arrow")))) as table:
                for number in range(table.num_record_batches):
                    dropped.add(pa.Table.from_batches([table.get_batch(number)]))
        dropped.close()
    progress(0, 0)
    return {"kept": 0, "dropped": 0, "bytes_kept": 0}  # counted with what is kept


def _append(path: Place, file: BinaryIO) -> None:
    """Append a file's bytes without taking them through this process, where the system can."""
    if isinstance(path, Remote):
        with open_file(str(path)) as source:
            shutil.copyfileobj(source, file, 1 << 20)
        return
    with open(path, "rb") as source:
        try:
            while os.copy_file_range(source.fileno(), file.fileno(), 1 << 30):
                pass
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in CANNOT_COPY:
                raise
            shutil.copyfileobj(source, file, 1 << 20)


CANNOT_COPY = (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def _is_readable(shard: Shard, source: read.Source) -> bool:
    try:
        with parquet.open_file(shard.path) as file:
            return parquet.text_fault(file.schema_arrow, source.text) is None
    except (pa.ArrowException, OSError):
        return False


def write_rejected(scans: Sequence[Scan], path: Place, shard: Shard) -> None:
    """Write what was rejected of a shard; no file where nothing was."""
    tables = [
        rejected_rows(
            open_table(scan.folder, "rejected.arrow"), place, scan.rows_before[place], scan.offsets[place], shard
        )
        for scan in scans
        for place in scan.places_of(shard.number)
        if scan.rejected[place]
    ]
    if not tables:
        path.unlink(missing_ok=True)
        return
    table = pa.concat_tables(tables)
    with replacing(path) as temporary:
        writer = parquet.RowWriter(temporary, table.schema, sized="raw")
        writer.add(table)
        writer.close()


def rejected_rows(table: pa.Table, place: int, before: int, offset: int, shard: Shard) -> pa.Table:
    """Rows of rejected/ from one piece, the one at `place` of its unit."""
    table = table.filter(pc.field("piece") == place)
    columns = {
        "path": pa.array([shard.name] * table.num_rows, pa.string()),
        "row": pc.add(table["row"], before),
        "byte_offset": pc.add(table["offset"], offset),
        "reason": table["reason"],
        "raw": table["raw"],
    }
    return pa.table(columns)


# Kept rows


def _write_kept(
    path: Path, stretches: Sequence[_Stretch], how: How, progress: Progress, schema: pa.Schema, add_dropped: Any
) -> dict[str, int]:
    """Write the kept rows of pieces of one shard, and hand over tables of the others; the counts."""
    shard = stretches[0].piece.shard
    counts = {"kept": 0, "dropped": 0, "bytes_kept": sum(stretch.bytes_kept for stretch in stretches)}
    write = _write_parquet if shard.format == "parquet" else _write_jsonl
    with contextlib.closing(_writer(path, stretches, how)) as writer:
        for stretch in stretches:
            for places, texts in write(writer, stretch, how, counts, progress):
                add_dropped(stretch.split.dropped(places + stretch.first, texts, shard, schema))
                counts["dropped"] += len(places)
    shard.check_unchanged()
    scanned, kept = (sum(size) for size in zip(*((s.count, int(s.kept.sum())) for s in stretches), strict=True))
    if counts["kept"] + counts["dropped"] != scanned or counts["kept"] != kept:
        raise RunError(
            f"{shard.path}: {counts['kept']} documents kept and {counts['dropped']} dropped of {scanned} scanned; "
            "the file changed while it was read. Run again"
        )
    return counts


def _writer(path: Path, stretches: Sequence[_Stretch], how: How) -> Any:
    shard = stretches[0].piece.shard
    if shard.format != "parquet":
        return jsonl.LineWriter(path, shard.codec)
    with parquet.open_file(shard.path) as file:
        return parquet.GroupWriter(path, file, _first_group(stretches, file.metadata), how.annotations.columns)


def _first_group(stretches: Sequence[_Stretch], metadata: Any) -> int | None:
    """The first row group with documents: the scan has decoded it."""
    for stretch in stretches:
        if stretch.count:
            begin = stretch.piece.begin
            ends = np.cumsum([metadata.row_group(i).num_rows for i in range(begin, metadata.num_row_groups)])
            return begin + int(np.searchsorted(ends, stretch.rows[0], "right"))
    return None


def _write_parquet(
    writer: parquet.GroupWriter, stretch: _Stretch, how: How, counts: dict[str, int], progress: Progress
) -> Dropped:
    """Write kept rows of row groups; yields (places in the stretch, texts) of those dropped."""
    with parquet.open_file(stretch.piece.shard.path) as file:
        end = file.num_row_groups if stretch.piece.end is None else stretch.piece.end
        first_row = 0
        for group in range(stretch.piece.begin, end):
            count = file.metadata.row_group(group).num_rows
            first, last = (int(x) for x in np.searchsorted(stretch.rows, [first_row, first_row + count]))
            if first < last:
                table = file.read_row_group(group, use_threads=False)
                yield from _split_group(table, writer, stretch, how, first_row, first, last, counts)
            progress(last - first, file.metadata.row_group(group).total_byte_size)
            first_row += count


def _split_group(
    table: pa.Table,
    writer: parquet.GroupWriter,
    stretch: _Stretch,
    how: How,
    first_row: int,
    first: int,
    last: int,
    counts: dict[str, int],
) -> Dropped:
    places = stretch.rows[first:last] - first_row
    changed, texts = stretch.changed(first, last)
    if len(changed):
        table = parquet.with_texts(table, how.source.text, places[changed], texts)
    kept = stretch.kept[first:last]
    if len(places) == table.num_rows and kept.all():
        out = table
    else:
        mask = np.zeros(table.num_rows, np.bool_)
        mask[places[kept]] = True
        out = table.filter(pa.array(mask))
    if how.annotations.columns:
        added = stretch.annotations(np.flatnonzero(kept) + first)
        for field, column in zip(added.schema, added.columns, strict=True):
            out = out.append_column(field, column)
    writer.write(out)
    counts["kept"] += out.num_rows
    if not kept.all():
        gone = parquet.column(table, how.source.text).take(pa.array(places[~kept]))
        yield np.flatnonzero(~kept) + first, parquet.readable_texts(gone)[0]


def _write_jsonl(
    writer: jsonl.LineWriter, stretch: _Stretch, how: How, counts: dict[str, int], progress: Progress
) -> Dropped:
    """Write kept lines of a piece; yields (places in the stretch, texts) of those dropped."""
    last_row = int(stretch.rows[-1]) if how.limit is not None and stretch.count else None
    for lines in read.read_lines(stretch.piece):
        if isinstance(lines, jsonl.Tail):
            continue
        n, next_row, size = len(lines.bounds) - 1, lines.first_row + len(lines.bounds) - 1, len(lines.data)
        first, last = (int(x) for x in np.searchsorted(stretch.rows, [lines.first_row, next_row]))
        places = stretch.rows[first:last] - lines.first_row
        kept = stretch.kept[first:last]
        changed, texts = stretch.changed(first, last)
        stays = kept[changed]
        new = dict(zip(places[changed[stays]].tolist(), texts.filter(pa.array(stays)).to_pylist(), strict=True))
        if how.annotations.columns and kept.any():
            added = stretch.annotations(np.flatnonzero(kept) + first)
            _write_annotated(writer, lines, places[kept], new, how.source, added, stretch)
        else:
            _write_lines(writer, lines, places[kept], new, how.source)
        counts["kept"] += int(kept.sum())
        if not kept.all():
            gone = np.flatnonzero(~kept) + first
            wanted = np.zeros(n, np.bool_)
            wanted[places[~kept]] = True
            texts = jsonl.parse(lines, text=how.source.text, id=None, columns={}, keep=wanted).columns["text"]
            del lines, new  # one document may be most of the memory
            texts = buffers.with_replaced(texts, *stretch.split.changes.at(gone + stretch.first))
            yield gone, texts
        progress(last - first, size)
        if last_row is not None and next_row > last_row:
            break


def _write_annotated(
    writer: jsonl.LineWriter, lines: jsonl.Lines, kept: Any, changed: dict[int, str], source: read.Source,
    added: pa.Table, stretch: _Stretch,
) -> None:  # fmt: skip
    """As _write_lines, with what is added to each row before its last brace."""
    held = io.BytesIO()
    _write_lines(held, lines, kept, changed, source)
    data = held.getvalue()
    values = np.frombuffer(data, np.uint8)
    bounds = np.append(0, np.flatnonzero(values == ord("\n")) + 1)
    own = annotate.own_key(data, bounds, added.column_names)
    if own is not None:
        row, name = stretch.before + lines.first_row + int(kept[own[0]]), own[1]
        raise RunError(
            f"{stretch.piece.shard.path}: line {row + 1} has a key {name!r} of its own; "
            "rename it, or leave it out of annotate"
        )
    writer.write(annotate.with_members(values, bounds, annotate.members(added)).data)


def _write_lines(
    writer: jsonl.LineWriter | BinaryIO, lines: jsonl.Lines, kept: Any, changed: dict[int, str], source: read.Source
) -> None:
    """Whole stretches of unchanged kept lines are written at once."""
    data = memoryview(lines.data)
    bounds = lines.bounds
    if not len(kept):
        return
    breaks = np.flatnonzero(np.diff(kept) != 1) + 1
    if changed:
        touched = np.flatnonzero(np.isin(kept, np.array(list(changed), np.int64)))
        breaks = np.unique(np.concatenate([breaks, touched, touched + 1]))
        breaks = breaks[(breaks > 0) & (breaks < len(kept))]
    for stretch in np.split(kept, breaks):
        begin, end = int(bounds[stretch[0]]), int(bounds[stretch[-1] + 1])
        if int(stretch[0]) in changed:
            writer.write(jsonl.replace_text(lines.data[begin:end], source.text, changed[int(stretch[0])]))
        else:
            writer.write(data[begin:end])
        if lines.data[end - 1] != 10:
            writer.write(b"\n")
