"""Exchange files: the rows of one task, regrouped by key without knowing who will read them.

Rows are written in segments, each sorted by its key, so that any number of partitions can later be taken as
ranges of keys by a binary search: the number of partitions need not be known before the corpus is counted, and a
thousand tasks make a thousand files, not a thousand times the partitions. Columns of a segment lie one
after the other.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from dedup.buffers import UInt64s
from dedup.io.copies import on_disk
from dedup.io.files import mapped


class Part(NamedTuple):
    """A segment's rows of one partition: columns, and the number that its documents count from."""

    columns: tuple[UInt64s, ...]
    document_base: int


class ExchangeWriter:
    """Writes segments of uint64 columns, each sorted by the first."""

    def __init__(self, path: Path, columns: int) -> None:
        self._path, self._columns = path, columns
        self._file = open(path, "wb")  # noqa: SIM115  # closed by close()
        self._segments: list[dict[str, int]] = []

    def add(self, document_base: int, *columns: UInt64s) -> None:
        """Append one segment; its documents count from `document_base` within the task."""
        if columns[0].size == 0:
            return
        order = slice(None) if len(columns) == 1 else np.argsort(columns[0], kind="stable")
        if len(columns) == 1:
            columns = (np.sort(columns[0]),)
        self._segments.append({"offset": self._file.tell(), "rows": int(columns[0].size), "base": document_base})
        for column in columns:
            self._file.write(np.ascontiguousarray(column[order], np.uint64).data)

    def close(self) -> None:
        """Finish the file and its index."""
        self._file.close()
        index = {"columns": self._columns, "segments": self._segments}
        self._path.with_suffix(".json").write_text(json.dumps(index))


def read_partition(path: str | Path, partition: int, bits: int) -> list[Part]:
    """The rows whose key has `partition` in its highest `bits` bits, a part a segment; copies.

    path   a file, or the URL of an object
    """
    index: dict[str, Any] = orjson.loads(on_disk(_index_of(path)).read_bytes())
    if not index["segments"]:
        return []
    data = mapped(on_disk(path)).view(np.uint64)
    last = partition == (1 << bits) - 1
    bounds = np.array([partition << (64 - bits), 0 if last else (partition + 1) << (64 - bits)], np.uint64)
    parts = []
    for segment in index["segments"]:
        start, rows = segment["offset"] // 8, segment["rows"]
        keys = data[start : start + rows]
        low, high = np.searchsorted(keys, bounds).tolist()
        high = rows if last else high
        if low < high:
            begins = (start + i * rows for i in range(index["columns"]))
            parts.append(Part(tuple(np.array(data[b + low : b + high]) for b in begins), segment["base"]))
    return parts


def files_of(path: str) -> tuple[str, str]:
    """What is read of an exchange file."""
    return path, _index_of(path)


def _index_of(path: str | Path) -> str:
    return os.path.splitext(path)[0] + ".json"


def partition_bits(rows: int, rows_each: int) -> int:
    """The fewest bits that cut so many rows into partitions of at most `rows_each`, if keys spread evenly."""
    return max(0, (max(rows, 1) - 1).bit_length() - (rows_each.bit_length() - 1))
