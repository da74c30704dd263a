"""The last pass, one task a shard: read the input once more and split what is kept from what is dropped.

A kept row leaves as it came, but for a changed text. The task checks that what it wrote is what the tables say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers, drop
from dedup.errors import RunError
from dedup.io import jsonl, parquet, read
from dedup.io.files import replacing
from dedup.io.shards import Shard
from dedup.runner import scan
from dedup.runner.task import Progress


@dataclass(frozen=True)
class Outputs:
    """Where a shard's rows go."""

    documents: str
    dropped: str
    rejected: str


class _Split:
    """Which documents of a shard are kept, and the table of the others but for their texts."""

    def __init__(
        self, scan_folder: str, duplicates: str, measures: tuple[str, ...], shard: Shard, limit: int | None
    ) -> None:
        rows = scan.rows_table(scan_folder)
        table = pa.ipc.open_file(pa.memory_map(duplicates)).read_all()
        self.rows = rows[read.ROW].to_numpy() if rows.num_columns else np.zeros(0, np.int64)
        self.changes = scan.Changes(Path(scan_folder))
        reasons = rows[drop.REASON].combine_chunks() if rows.num_columns else pa.array([], pa.string())
        documents = table["document"].to_numpy()
        by_rule = reasons.is_valid().to_numpy(zero_copy_only=False)
        self.kept = ~by_rule
        self.kept[documents] = False
        self._table, self._rows, self._measures, self._shard = table, rows, measures, shard
        self._duplicates = documents
        self.last_row = int(self.rows[-1]) if limit is not None and len(self.rows) else None

    def bytes_kept(self) -> int:
        """Bytes of the kept texts."""
        return int(self._rows["_bytes"].to_numpy()[self.kept].sum()) if len(self.rows) else 0

    def schema(self, types: dict[str, pa.DataType]) -> pa.Schema:
        """Columns of dropped/."""
        first = [
            ("id", pa.large_string()),
            ("shard", pa.string()),
            ("row", pa.int64()),
            (drop.REASON, pa.string()),
            ("duplicate_of", pa.large_string()),
            ("similarity", pa.float64()),
        ]
        return pa.schema([*first, *((name, types[name]) for name in self._measures), ("text", pa.large_string())])

    def dropped(self, documents: Any, texts: Any, schema: pa.Schema) -> pa.Table:
        """Rows of dropped/ for some dropped documents, ascending."""
        some = self._rows.take(pa.array(documents))
        at = np.searchsorted(self._duplicates, documents)
        at = np.minimum(at, max(len(self._duplicates) - 1, 0))
        hit = self._duplicates[at] == documents if len(self._duplicates) else np.zeros(len(documents), np.bool_)
        places = pa.array(np.where(hit, at, 0), mask=~hit)
        twin = self._table.take(places) if len(self._duplicates) else None
        columns = {
            "id": some["id"],
            "shard": pa.array([self._shard.name] * len(documents), pa.string()),
            "row": some[read.ROW],
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


def write_shard(
    folder: Path,
    progress: Progress,
    *,
    shard: Shard,
    scan_folder: str,
    duplicates: str,
    source: read.Source,
    measures: tuple[tuple[str, pa.DataType], ...],
    outputs: Outputs,
    limit: int | None,
) -> dict[str, Any]:
    """Write documents/, dropped/ and rejected/ of one shard; counts of kept and dropped documents and bytes."""
    shard.check_unchanged()
    split = _Split(scan_folder, duplicates, tuple(name for name, _ in measures), shard, limit)
    counts = {"kept": 0, "dropped": 0, "bytes_kept": split.bytes_kept()}
    _write_rejected(Path(scan_folder), Path(outputs.rejected), shard)
    if shard.format == "unknown" or (shard.format == "parquet" and not _is_readable(shard, source)):
        return counts
    schema = split.schema(dict(measures))
    with replacing(Path(outputs.documents)) as kept_path, replacing(Path(outputs.dropped)) as dropped_path:
        dropped = parquet.RowWriter(dropped_path, schema, sized="text")
        writer = _write_parquet if shard.format == "parquet" else _write_jsonl
        for documents, texts in writer(kept_path, shard, split, source, counts, progress):
            dropped.add(split.dropped(documents, texts, schema))
            counts["dropped"] += len(documents)
        dropped.close()
        shard.check_unchanged()
        if counts["kept"] + counts["dropped"] != len(split.kept) or counts["kept"] != int(split.kept.sum()):
            raise RunError(
                f"{shard.path}: {counts['kept']} documents kept and {counts['dropped']} dropped of "
                f"{len(split.kept)} scanned; the file changed while it was read. Run again"
            )
    return counts


def _is_readable(shard: Shard, source: read.Source) -> bool:
    try:
        with parquet.open_file(shard.path) as file:
            return parquet.text_fault(file.schema_arrow, source.text) is None
    except (pa.ArrowException, OSError):
        return False


def _write_rejected(scan_folder: Path, path: Path, shard: Shard) -> None:
    table = scan.open_table(scan_folder / "rejected.arrow")
    if table.num_rows == 0:
        path.unlink(missing_ok=True)
        return
    names = pa.array([shard.name] * table.num_rows, pa.string())
    columns = {
        "path": names,
        "row": table["row"],
        "byte_offset": table["offset"],
        "reason": table["reason"],
        "raw": table["raw"],
    }
    with replacing(path) as temporary:
        writer = parquet.RowWriter(temporary, pa.table(columns).schema, sized="raw")
        writer.add(pa.table(columns))
        writer.close()


Dropped = Iterator[tuple[npt.NDArray[np.int64], pa.LargeStringArray]]


def _write_parquet(
    path: Path,
    shard: Shard,
    split: _Split,
    source: read.Source,
    counts: dict[str, int],
    progress: Progress,
) -> Dropped:
    """Write kept rows of a Parquet shard; yields (documents, texts) of those dropped."""
    with parquet.open_file(shard.path) as file:
        writer: parquet.GroupWriter | None = None
        first_row = 0
        for group in range(file.num_row_groups):
            first = int(np.searchsorted(split.rows, first_row))
            count = file.metadata.row_group(group).num_rows
            last = int(np.searchsorted(split.rows, first_row + count))
            if first < last:  # the scan has decoded it
                table = file.read_row_group(group, use_threads=False)
                writer = writer or parquet.GroupWriter(path, file, group)
                yield from _split_group(table, writer, split, source, first_row, first, last, counts)
            progress(last - first, file.metadata.row_group(group).total_byte_size)
            first_row += count
        (writer or parquet.GroupWriter(path, file, None)).close()


def _split_group(
    table: pa.Table,
    writer: parquet.GroupWriter,
    split: _Split,
    source: read.Source,
    first_row: int,
    first: int,
    last: int,
    counts: dict[str, int],
) -> Dropped:
    places = split.rows[first:last] - first_row
    changed, texts = split.changes.within(first, last - first)
    if len(changed):
        table = parquet.with_texts(table, source.text, places[changed], texts)
    kept = split.kept[first:last]
    if len(places) == table.num_rows and kept.all():
        out = table
    else:
        mask = np.zeros(table.num_rows, np.bool_)
        mask[places[kept]] = True
        out = table.filter(pa.array(mask))
    writer.write(out)
    counts["kept"] += out.num_rows
    if not kept.all():
        gone = parquet.column(table, source.text).take(pa.array(places[~kept]))
        yield np.flatnonzero(~kept) + first, parquet.readable_texts(gone)[0]


def _write_jsonl(
    path: Path,
    shard: Shard,
    split: _Split,
    source: read.Source,
    counts: dict[str, int],
    progress: Progress,
) -> Dropped:
    """Write kept lines of a JSONL shard; yields (documents, texts) of those dropped."""
    writer = jsonl.LineWriter(path, shard.codec)
    for lines in jsonl.read_lines(shard.path, shard.codec):
        if isinstance(lines, jsonl.Tail):
            continue
        n = len(lines.bounds) - 1
        first, last = (int(x) for x in np.searchsorted(split.rows, [lines.first_row, lines.first_row + n]))
        places = split.rows[first:last] - lines.first_row
        kept = split.kept[first:last]
        changed, texts = split.changes.within(first, last - first)
        _write_lines(
            writer, lines, places[kept], dict(zip(places[changed].tolist(), texts.to_pylist(), strict=True)), source
        )
        counts["kept"] += int(kept.sum())
        if not kept.all():
            documents = np.flatnonzero(~kept) + first
            wanted = np.zeros(n, np.bool_)
            wanted[places[~kept]] = True
            parsed = jsonl.parse(lines, text=source.text, id=None, columns={}, keep=wanted)
            yield documents, buffers.with_replaced(parsed.columns["text"], *split.changes.at(documents))
        progress(last - first, len(lines.data))
        if split.last_row is not None and lines.first_row + n > split.last_row:
            break
    writer.close()


def _write_lines(
    writer: jsonl.LineWriter, lines: jsonl.Lines, kept: Any, changed: dict[int, str], source: read.Source
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
