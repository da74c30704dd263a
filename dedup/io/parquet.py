"""Parquet shards: streamed in by row group, written back with schema, metadata and codecs as they were.

An output row group is the kept rows of one input row group, one contiguous chunk a column before a single
write_table: otherwise page boundaries, and so bytes, would depend on how rows were batched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedup import buffers
from dedup.errors import one_line
from dedup.io.place import is_url, parquet_source

ZSTD_LEVEL = 3
GZIP_LEVEL = 6
LEAST_ROWS = 16  # of a batch
BUFFER_BYTES = 1 << 16  # of each column of a local file; without it a column chunk is held whole, as it is in the file
NESTED_BYTES = 1 << 30  # of a nested column in one row group, beyond which pyarrow may not be able to give it whole


class Columns(NamedTuple):
    """Columns of a run as a shard names them; dotted paths reach into structs."""

    text: str
    id: str | None
    more: tuple[str, ...] = ()


def open_file(path: str) -> Any:
    """A ParquetFile of a path or URL; ArrowInvalid or OSError where it is none."""
    try:
        # Of a store a column chunk is asked for at once: a request costs more than the memory.
        return pq.ParquetFile(parquet_source(path), pre_buffer=False, buffer_size=0 if is_url(path) else BUFFER_BYTES)
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(f"a name in the footer is not UTF-8: {error}") from error


def text_fault(schema: pa.Schema, text: str) -> str | None:
    """Why this column cannot be read as text, None if it can."""
    kind = field_type(schema, text)
    if kind is None:
        return f"no column {text!r}"
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary,
             pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_null)  # fmt: skip
    return None if any(test(kind) for test in tests) else f"column {text!r} is of type {kind}"


def field_type(schema: pa.Schema, path: str) -> pa.DataType | None:
    """The type of a column or struct member; None where there is none."""
    if path in schema.names:
        return schema.field(path).type
    name, _, rest = path.partition(".")
    kind = schema.field(name).type if rest and name in schema.names else None
    while rest and kind is not None and pa.types.is_struct(kind):
        part, _, rest = rest.partition(".")
        kind = kind.field(part).type if kind.get_field_index(part) >= 0 else None
    return kind if not rest else None


class BrokenGroup(Exception):
    """A row group cannot be decoded; its rows begin at `row` of those that were read."""

    def __init__(self, group: int, row: int, reason: str) -> None:
        super().__init__(group, row, reason)
        self.group, self.row, self.reason = group, row, reason


def read_batches(
    file: Any, columns: Columns, batch_bytes: int, begin: int = 0, end: int | None = None, *, whole: bool = False
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(row of its first row, batch) of the wanted columns as the shard has them; about batch_bytes each.

    begin, end   read only the row groups `begin` to `end` - 1, whose rows count from 0
    whole        decode the other columns too, so that a group that cannot be written is not begun
    BrokenGroup where a row group cannot be decoded
    """
    wanted = [path for path in (columns.text, columns.id, *columns.more) if path is not None]
    present = list(dict.fromkeys(path for path in wanted if field_type(file.schema_arrow, path) is not None))
    others = [name for name in file.schema_arrow.names if name not in present] if whole else []
    row = 0
    for group in range(begin, file.num_row_groups if end is None else end):
        begun = row
        try:
            facts = file.metadata.row_group(group)
            if others:
                _check_others(file, group, others, batch_bytes)
            batches = _batches(file, group, present, batch_bytes)
        except (pa.ArrowException, OSError) as error:
            raise BrokenGroup(group, begun, one_line(error)) from error
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    _check_rows(row - begun, facts)
            except (pa.ArrowException, OSError) as error:
                raise BrokenGroup(group, begun, one_line(error)) from error
            if batch is None:
                break
            if batch.num_rows:
                yield row, batch
                row += batch.num_rows


def batches(file: Any, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """All of a file, so many rows at once; pyarrow 19 fails where there is no row group."""
    found: Iterator[pa.RecordBatch] = file.iter_batches(rows, columns=columns, use_threads=False)
    return found if file.num_row_groups else iter(())


def _check_others(file: Any, group: int, others: list[str], batch_bytes: int) -> None:
    """Decode columns that are not wanted, about batch_bytes at once; ArrowException or OSError where that fails."""
    rows = sum(batch.num_rows for batch in _batches(file, group, others, batch_bytes))
    facts = file.metadata.row_group(group)
    _check_rows(rows, facts)
    for name in others:
        if pa.types.is_nested(file.schema_arrow.field(name).type) and _bytes(facts, [name]) > NESTED_BYTES:
            file.read_row_group(group, columns=[name], use_threads=False)


def _batches(file: Any, group: int, columns: list[str], batch_bytes: int) -> Iterator[pa.RecordBatch]:
    """Some columns of a row group, about batch_bytes at once."""
    # pyarrow ends the process where it cannot make out the facts of a column chunk; reading only raises.
    first = next(file.iter_batches(LEAST_ROWS, row_groups=[group], columns=columns, use_threads=False), None)
    rows = _batch_rows(file.metadata.row_group(group), first, columns, batch_bytes)
    del first
    batches: Iterator[pa.RecordBatch] = file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False)
    return batches


def _check_rows(rows: int, group: Any) -> None:
    """ArrowInvalid where a row group holds fewer or more rows than its footer says."""
    if rows != group.num_rows:
        raise pa.ArrowInvalid(f"it holds {rows} rows, and the footer says {group.num_rows}")


def _batch_rows(group: Any, first: pa.RecordBatch | None, names: list[str], batch_bytes: int) -> int:
    """Rows of about batch_bytes. A value that many rows share stands once in the file, so the first rows tell."""
    if group.num_rows <= 0:
        return 1
    seen = first.nbytes // first.num_rows if first is not None and first.num_rows else 0
    each = max(1, _bytes(group, names) // group.num_rows, seen)
    return int(min(max(batch_bytes // each, LEAST_ROWS), 1 << 16))


def _bytes(group: Any, names: list[str]) -> int:
    """Bytes of some columns of a row group, not compressed."""
    columns = (group.column(i) for i in range(group.num_columns))
    wanted = tuple(f"{name}." for name in names)
    return sum(one.total_uncompressed_size for one in columns if f"{one.path_in_schema}.".startswith(wanted))


def column(batch: pa.RecordBatch | pa.Table, path: str) -> Any:
    """A column or struct member by path, nulls of its parents included."""
    if path in batch.schema.names:
        return batch[path]
    name, _, rest = path.partition(".")
    return pc.struct_field(batch[name], rest.split("."))


def readable_texts(values: Any) -> tuple[pa.LargeStringArray, npt.NDArray[np.bool_]]:
    """(texts as large_string, True where a text could be read); bytes that are not UTF-8 become null."""
    values = buffers.one_chunk(values)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    readable = np.ones(len(values), np.bool_)
    kind = values.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        try:
            return values.cast(pa.large_string()), readable
        except pa.ArrowInvalid:
            items = [_decoded(value) for value in values.cast(pa.large_binary()).to_pylist()]
            readable = np.array([item is not False for item in items])
            return pa.array([None if item is False else item for item in items], pa.large_string()), readable
    texts = buffers.large_strings(values)
    try:
        texts.validate(full=True)  # Arrow reads strings as they stand in the file: 0.1 ns a byte to look
    except pa.ArrowInvalid:
        return readable_texts(texts.cast(pa.large_binary()))
    return texts, readable


def _decoded(value: bytes | None) -> str | bool | None:
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return False


class GroupWriter:
    """Writes one table as one row group into a file like `source`.

    group   of `source` whose codecs are taken: one that can be decoded; None if there is none
    more    names and types of columns that follow those of `source`
    """

    def __init__(
        self, path: Path, source: Any, group: int | None, more: Sequence[tuple[str, pa.DataType]] = ()
    ) -> None:
        self._schema = source.schema_arrow
        codecs = _codecs(source.metadata, group)
        for name, kind in more:
            self._schema = self._schema.append(pa.field(name, kind))
            codecs[name] = "SNAPPY"
        levels = {name: {"ZSTD": ZSTD_LEVEL, "GZIP": GZIP_LEVEL}.get(codec) for name, codec in codecs.items()}
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression={name: "NONE" if codec == "UNCOMPRESSED" else codec for name, codec in codecs.items()},
            compression_level={name: level for name, level in levels.items() if level is not None} or None,
        )

    def write(self, table: pa.Table) -> None:
        """One row group of the table's rows; nothing for no rows."""
        if table.num_rows:
            self._writer.write_table(table.combine_chunks(), row_group_size=table.num_rows)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def _codecs(metadata: Any, number: int | None) -> dict[str, str]:
    """The codec of each column; of a column chunk with an unknown one, pyarrow would end the process."""
    if number is None:
        return {metadata.schema.column(i).path: "SNAPPY" for i in range(metadata.num_columns)}
    group = metadata.row_group(number)
    return {group.column(i).path_in_schema: group.column(i).compression for i in range(group.num_columns)}


def with_texts(table: pa.Table, path: str, rows: npt.NDArray[np.int64], texts: pa.LargeStringArray) -> pa.Table:
    """The table with the texts of some rows replaced; the column keeps its type."""
    if path in table.schema.names:
        at = table.schema.get_field_index(path)
        return table.set_column(at, table.schema.field(at), _replaced(table[path], rows, texts))
    name, _, rest = path.partition(".")
    at = table.schema.get_field_index(name)
    array = table[name].combine_chunks()
    return table.set_column(at, table.schema.field(at), _with_member(array, rest.split("."), rows, texts))


def _with_member(array: Any, path: Sequence[str], rows: npt.NDArray[np.int64], texts: Any) -> Any:
    if not path:
        return _replaced(array, rows, texts)
    members = [array.field(i) for i in range(array.type.num_fields)]
    at = array.type.get_field_index(path[0])
    changed = _with_member(members[at], path[1:], rows, texts)
    members[at] = buffers.one_chunk(changed)
    return pa.StructArray.from_arrays(members, fields=list(array.type), mask=array.is_null())


def _replaced(values: Any, rows: npt.NDArray[np.int64], texts: Any) -> Any:
    """`values` with those at `rows` replaced by `texts`, in its own type."""
    kind = values.type
    plain = pa.large_binary() if "binary" in str(kind) else pa.large_string()
    old = values.cast(kind.value_type).cast(plain) if pa.types.is_dictionary(kind) else values.cast(plain)
    merged = buffers.with_replaced(buffers.one_chunk(old), rows, texts.cast(plain))
    if pa.types.is_dictionary(kind):
        return merged.cast(kind.value_type).dictionary_encode().cast(kind)
    return merged.cast(kind)


class RowWriter:
    """Writes a table of the run in row groups of fixed size, however its rows arrive.

    A group ends after 65,536 rows or with the row that completes 4 MiB of `sized` values.
    """

    ROWS = 1 << 16
    BYTES = 4 << 20

    def __init__(self, path: Path, schema: pa.Schema, sized: str | None = None) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", compression_level=ZSTD_LEVEL)
        self._schema, self._sized = schema, sized
        self._tables: list[pa.Table] = []
        self._rows = self._bytes = 0

    def add(self, table: pa.Table) -> None:
        """Append rows."""
        while table.num_rows:
            take = min(table.num_rows, self.ROWS - self._rows)
            size = 0
            if self._sized is not None:
                lengths = pc.fill_null(pc.binary_length(table[self._sized]), 0).to_numpy()
                ends = np.cumsum(lengths)
                take = min(take, int(np.searchsorted(ends, self.BYTES - self._bytes)) + 1)
                size = int(ends[take - 1])
            self._tables.append(table.slice(0, take))
            self._rows += take
            self._bytes += size
            table = table.slice(take)
            if self._rows == self.ROWS or self._bytes >= self.BYTES:
                self._flush()

    def _flush(self) -> None:
        if self._rows:
            merged = pa.concat_tables(self._tables).cast(self._schema).combine_chunks()
            self._writer.write_table(merged, row_group_size=self._rows)
        self._tables, self._rows, self._bytes = [], 0, 0

    def close(self) -> None:
        """Write what is left and finish the file."""
        self._flush()
        self._writer.close()
