"""One way to read any shard: batches of documents, and what was rejected on the way.

A batch has `_row` (physical record), `text` (large_string), `id` where the user names one, and whatever further columns
the recipe needs, all under one name and type whatever the shard calls them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import buffers
from dedup.errors import one_line
from dedup.io import decode, jsonl, parquet
from dedup.io.shards import Shard
from dedup.io.units import Piece

ROW, TEXT, ID = "_row", "text", "id"


@dataclass(frozen=True)
class Source:
    """What a run reads of every shard: text and id by the user's names, further columns with their types."""

    text: str = "text"
    id: str | None = None
    more: Mapping[str, pa.DataType] = field(default_factory=dict)

    def schema(self) -> pa.Schema:
        """The schema of a batch."""
        names = [(ROW, pa.int64()), (TEXT, pa.large_string())]
        names += [(ID, pa.large_string())] if self.id is not None else []
        return pa.schema(
            [pa.field(name, kind, metadata=buffers.OF_INPUT) for name, kind in (*names, *self.further().items())]
        )

    def further(self) -> dict[str, pa.DataType]:
        """Columns beside text and id; one that is called `id` gives way to the user's id."""
        return {name: kind for name, kind in self.more.items() if self.id is None or name != ID}


class Rejected(NamedTuple):
    """Input that is no document; row and offset are None for a shard as a whole."""

    row: int | None
    offset: int | None
    reason: str
    raw: bytes
    is_shard: bool


class Chunk(NamedTuple):
    """Some documents of a piece in order, what was rejected among them, bytes decoded, and physical rows passed.

    Rows count from the first of the piece.
    """

    batch: pa.RecordBatch
    rejected: list[Rejected]
    decoded_bytes: int
    rows: int


def read(
    piece: Piece,
    source: Source,
    batch_bytes: int,
    limit: int | None = None,
    broken: parquet.BrokenGroup | None = None,
    longest: int | None = None,
) -> Iterator[Chunk]:
    """The documents of a piece, about batch_bytes of text at once; the first `limit` of them.

    A Parquet row group that cannot be decoded raises BrokenGroup, maybe after some of its rows were given: read again
    with it as `broken`, which ends the shard before that group, whatever the batches. A line of more than `longest`
    bytes raises jsonl.LongLine before it is held.
    """
    if limit is None:
        yield from _read(piece, source, batch_bytes, broken, longest)
        return
    left = limit
    for chunk in _read(piece, source, batch_bytes, broken, longest):
        if chunk.batch.num_rows >= left:
            batch = chunk.batch.slice(0, left)
            last = batch[ROW][-1].as_py() if left else -1
            yield chunk._replace(batch=batch, rejected=[r for r in chunk.rejected if r.row is None or r.row < last])
            return
        yield chunk
        left -= chunk.batch.num_rows


def _read(
    piece: Piece, source: Source, batch_bytes: int, broken: parquet.BrokenGroup | None, longest: int | None
) -> Iterator[Chunk]:
    if piece.shard.format == "parquet":
        yield from _read_parquet(piece, source, batch_bytes, broken)
    elif piece.shard.format == "jsonl":
        yield from _read_jsonl(piece, source, batch_bytes, longest)
    else:
        yield _shard_fault(source, piece.shard.fault)


def _shard_fault(
    source: Source, reason: str, row: int | None = None, offset: int | None = None, raw: bytes = b""
) -> Chunk:
    return Chunk(empty(source), [Rejected(row, offset, reason, raw, True)], 0, 0)


def empty(source: Source) -> pa.RecordBatch:
    """A batch of no rows."""
    schema = source.schema()
    return pa.RecordBatch.from_arrays([pa.array([], kind) for kind in schema.types], schema=schema)


def _read_parquet(
    piece: Piece, source: Source, batch_bytes: int, broken: parquet.BrokenGroup | None
) -> Iterator[Chunk]:
    try:
        file = parquet.open_file(piece.shard.path)
    except (pa.ArrowException, OSError) as error:
        yield _shard_fault(source, f"not readable as Parquet ({one_line(error)})")
        return
    with file:
        fault = parquet.text_fault(file.schema_arrow, source.text)
        if fault is not None:
            yield _shard_fault(source, fault)
            return
        columns = parquet.Columns(source.text, source.id, tuple(source.more))
        end = broken.group if broken is not None else piece.end
        for row, batch in parquet.read_batches(file, columns, batch_bytes, piece.begin, end, whole=True):
            yield _parquet_chunk(row, batch, source)
    if broken is not None:
        yield _shard_fault(source, f"row group {broken.group} cannot be decoded ({broken.reason})", broken.row)


def _parquet_chunk(first_row: int, batch: pa.RecordBatch, source: Source) -> Chunk:
    texts, readable = parquet.readable_texts(parquet.column(batch, source.text))
    rows = np.arange(first_row, first_row + batch.num_rows)
    arrays = [pa.array(rows), texts]
    arrays += [_as_type(batch, path, kind) for path, kind in _wanted(source)]
    result = pa.RecordBatch.from_arrays(arrays, schema=source.schema())
    size = int(np.diff(buffers.texts(texts).offsets[[0, -1]])[0])
    if readable.all():
        return Chunk(result, [], size, batch.num_rows)
    raw = parquet.column(batch, source.text).cast(pa.large_binary())
    rejected = [
        Rejected(int(rows[i]), None, "text is not UTF-8", raw[int(i)].as_py(), False) for i in np.flatnonzero(~readable)
    ]
    return Chunk(result.filter(pa.array(readable)), rejected, size, batch.num_rows)


def _wanted(source: Source) -> list[tuple[str, pa.DataType]]:
    named = [(source.id, pa.large_string())] if source.id is not None else []
    return [*named, *source.further().items()]


def _as_type(batch: pa.RecordBatch, path: str, kind: pa.DataType) -> pa.Array:
    """A column of a Parquet batch in the run's type; null where the shard has no such column."""
    if parquet.field_type(batch.schema, path) is None:
        return pa.nulls(batch.num_rows, kind)
    values = parquet.column(batch, path)
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if values.type == kind:
        return values
    numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if numeric or not pa.types.is_floating(kind):
        try:
            return values.cast(kind, safe=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    if pa.types.is_large_string(kind):  # lists and structs, as their JSON text
        return pa.array([None if v is None else json.dumps(v, default=str) for v in values.to_pylist()], kind)
    return pa.nulls(batch.num_rows, kind)


def _read_jsonl(piece: Piece, source: Source, batch_bytes: int, longest: int | None) -> Iterator[Chunk]:
    held: list[Chunk] = []
    size = 0
    for chunk in _jsonl_chunks(piece, source, min(batch_bytes, decode.BLOCK_BYTES), longest):
        held.append(chunk)
        size += chunk.decoded_bytes
        del chunk  # nothing here holds what was given away: one document may be most of the memory
        if size >= batch_bytes:
            yield _joined(held)
            size = 0
    if held:
        yield _joined(held)


def _joined(chunks: list[Chunk]) -> Chunk:
    """Some chunks as one; takes them out of the list."""
    if len(chunks) == 1:
        return chunks.pop()
    batches, rejected, decoded_bytes, rows = zip(*chunks, strict=True)
    chunks.clear()
    return Chunk(pa.concat_batches(batches), [r for some in rejected for r in some], sum(decoded_bytes), sum(rows))


def read_lines(
    piece: Piece, block_bytes: int = decode.BLOCK_BYTES, longest: int | None = None
) -> Iterator[jsonl.Lines | jsonl.Tail]:
    """The lines of a piece of a JSONL shard."""
    return jsonl.read_lines(piece.shard.path, piece.shard.codec, block_bytes, piece.begin, piece.end, longest)


def _jsonl_chunks(piece: Piece, source: Source, block_bytes: int, longest: int | None) -> Iterator[Chunk]:
    for lines in read_lines(piece, block_bytes, longest):
        some = [_jsonl_chunk(lines, piece, source)]
        del lines
        yield some.pop()


def _jsonl_chunk(lines: jsonl.Lines | jsonl.Tail, piece: Piece, source: Source) -> Chunk:
    if isinstance(lines, jsonl.Tail):
        return _shard_fault(source, lines.reason, lines.row, lines.offset, lines.raw)
    parsed = jsonl.parse(lines, text=source.text, id=source.id, columns=source.further())
    arrays = [pa.array(parsed.rows), *(parsed.columns[name] for name in source.schema().names[1:])]
    batch = pa.RecordBatch.from_arrays(arrays, schema=source.schema())
    rejected = [Rejected(r.row, r.offset, r.reason, r.raw, False) for r in parsed.rejects]
    mark = lines.offset if piece.begin == lines.first_row == 0 else 0  # a byte-order mark
    return Chunk(batch, rejected, mark + len(lines.data), len(lines.bounds) - 1)


def read_texts(
    piece: Piece, source: Source, rows: npt.NDArray[np.int64], batch_bytes: int
) -> Iterator[pa.LargeStringArray]:
    """The texts of some rows of a piece, ascending, in order; about batch_bytes of the shard at once."""
    if piece.shard.format == "parquet":
        columns = parquet.Columns(source.text, None)
        with parquet.open_file(piece.shard.path) as file:
            for first, batch in parquet.read_batches(file, columns, batch_bytes, piece.begin, piece.end):
                low, high = np.searchsorted(rows, [first, first + batch.num_rows])
                if low < high:
                    texts, _ = parquet.readable_texts(parquet.column(batch, source.text))
                    yield texts.take(pa.array(rows[low:high] - first))
                if high == len(rows):
                    break  # what follows is not wanted, and may be the group that cannot be decoded
        return
    for lines in read_lines(piece):
        if isinstance(lines, jsonl.Tail):
            continue
        count = len(lines.bounds) - 1
        low, high = np.searchsorted(rows, [lines.first_row, lines.first_row + count])
        if low < high:
            keep = np.zeros(count, np.bool_)
            keep[rows[low:high] - lines.first_row] = True
            yield jsonl.parse(lines, text=source.text, id=None, columns={}, keep=keep).columns["text"]
        if high == len(rows):
            break


def source_columns(shard: Shard) -> dict[str, Any] | None:
    """Columns that a shard shows: Arrow types for Parquet, sets of JSON type names for JSONL; None if unreadable."""
    if shard.format == "parquet":
        try:
            with parquet.open_file(shard.path) as file:
                return _flat({field.name: field.type for field in file.schema_arrow})
        except (pa.ArrowException, OSError):
            return None
    if shard.format == "jsonl":
        try:
            return dict(jsonl.probe(shard.path, shard.codec)) or None
        except OSError:
            return None
    return None


def _flat(fields: dict[str, pa.DataType]) -> dict[str, pa.DataType]:
    flat = dict(fields)
    for name, kind in fields.items():
        if pa.types.is_struct(kind):
            inner = _flat({kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)})
            flat |= {f"{name}.{path}": inner_kind for path, inner_kind in inner.items()}
    return flat
