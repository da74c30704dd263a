"""A corpus with every row as often as its weight says, for trainers that cannot sample by weight.

Copies follow each other and are the bytes of the row, so that a shuffle is up to the trainer. One shard at a time, in
this process: it is a copy of files, bound by the disk.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from dedup.errors import RunError, UserError, nearest, one_line
from dedup.io import jsonl, parquet, place, shards
from dedup.io.files import replacing

BATCH_ROWS = 1024
GROUP_ROWS = 1 << 16  # of what is written
GROUP_BYTES = 64 << 20  # held, decoded


def rehydrate(inputs: Sequence[str], output: str | os.PathLike[str], weight: str = "weight") -> tuple[int, int]:
    """Write the rows of some shards, each as often as its weight, below another folder; rows in and out.

    weight   column of whole numbers from 0; a row of weight 0 is left out
    """
    if place.is_url(os.fspath(output)):
        raise UserError(f"{output}: choose a folder of this machine")
    folder = Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already; choose another with -o")
    found = shards.discover(list(inputs))
    for shard in found:
        if shard.format == "unknown":
            raise UserError(f"{shard.path}: {shard.fault}")
    rows = copies = 0
    for shard in found:
        path = folder / shard.name
        path.parent.mkdir(parents=True, exist_ok=True)
        write = _parquet if shard.format == "parquet" else _jsonl
        try:
            with replacing(path) as temporary:
                for times in write(shard, temporary, weight):
                    rows, copies = rows + len(times), copies + int(times.sum())
                shard.check_unchanged()
        except pa.ArrowException as error:
            raise UserError(f"{shard.path}: {one_line(error)}") from None
        except OSError as error:
            raise RunError(f"{error.filename or shard.path}: {error.strerror or error}") from None
    return rows, copies


def _jsonl(shard: shards.Shard, path: Path, weight: str) -> Iterator[np.ndarray[Any, Any]]:
    """Write the lines of a shard; yields how often."""
    with contextlib.closing(jsonl.LineWriter(path, shard.codec)) as writer:
        for lines in jsonl.read_lines(shard.path, shard.codec):
            if isinstance(lines, jsonl.Tail):
                raise UserError(f"{shard.path}, line {(lines.row or 0) + 1:,}: {lines.reason}")
            bounds = lines.bounds.tolist()
            times = []
            for number, (begin, end) in enumerate(itertools.pairwise(bounds)):
                line = lines.data[begin:end]
                if not line.strip():
                    continue
                count = _weight(line, weight, f"{shard.path}, line {lines.first_row + number + 1:,}")
                whole = line if line.endswith(b"\n") else line + b"\n"
                for _ in range(count):
                    writer.write(whole)
                times.append(count)
            yield np.array(times, np.int64)


def _weight(line: bytes, name: str, where: str) -> int:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error})") from None
    value = record.get(name) if isinstance(record, dict) else None
    if type(value) is not int or value < 0:
        raise UserError(f"{where}: {name} is {value!r}; a weight is a whole number from 0")
    return value


def _parquet(shard: shards.Shard, path: Path, weight: str) -> Iterator[np.ndarray[Any, Any]]:
    """Write the rows of a shard; yields how often."""
    with parquet.open_file(shard.path) as file:
        schema = file.schema_arrow
        if weight not in schema.names:
            raise UserError(f"{shard.path}: no column {weight!r}; {nearest(weight, schema.names)}")
        if not pa.types.is_integer(schema.field(weight).type):
            raise UserError(f"{shard.path}: {weight} is of type {schema.field(weight).type}; weights are whole numbers")
        writer = parquet.GroupWriter(path, file, 0 if file.num_row_groups else None)
        with contextlib.closing(writer):
            held: list[pa.Table] = []
            for batch in parquet.batches(file, BATCH_ROWS):
                column = batch[weight]
                times = column.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
                if times.size and times.min() < 0:
                    raise UserError(f"{shard.path}: {weight} is null or below 0; a weight is a whole number from 0")
                for part in _repeated(batch, times):
                    held.append(part)
                    if sum(p.num_rows for p in held) >= GROUP_ROWS or sum(p.nbytes for p in held) >= GROUP_BYTES:
                        writer.write(pa.concat_tables(held).unify_dictionaries())
                        held = []
                yield times
            if held:
                writer.write(pa.concat_tables(held).unify_dictionaries())


def _repeated(batch: pa.RecordBatch, times: np.ndarray[Any, Any]) -> Iterator[pa.Table]:
    """The rows of a batch as often as said, some at a time."""
    places = np.repeat(np.arange(batch.num_rows), times)
    step = max(1, min(BATCH_ROWS, GROUP_BYTES * batch.num_rows // max(batch.nbytes, 1)))
    table = pa.Table.from_batches([batch])
    for begin in range(0, len(places), step):
        yield table.take(pa.array(places[begin : begin + step]))
