"""The files of one folder of an index. Keys lie sorted, so that what is new is looked up by bisection.

documents.arrow   a row a document: generation, id, file and row of its text, exact key, shingles, sketch, and the text
                  where the file does not have it as it was compared
documents.npy     int64: of each of its batches, the first document; and the number of documents
keys.arrow        high halves of exact keys, ascending, with the document (its row in documents.arrow)
bands.arrow       band keys, ascending, with the document
files.arrow       the files that texts lie in;  files.npy as documents.npy

In a folder all are memory-mapped, and pages are let go as soon as they were looked at: they would count as memory of
the run, and a look-up of many keys touches nearly all. On an object store the batches that are wanted are read by
ranges, of documents.arrow the columns that are wanted: nobody needs a copy of an index that no disk may hold.
"""

from __future__ import annotations

import bisect
import io
import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup.buffers import Int64s, UInt64s
from dedup.errors import UserError, one_line
from dedup.io.files import save_array
from dedup.io.place import Place, Remote
from dedup.io.ranged import Reader
from dedup.io.shards import Shard

BATCH_ROWS = 1 << 18  # of sorted keys
HELD_BYTES = 4 << 20  # of an object: Arrow asks for one buffer after the other
FILE_ROWS = 1 << 12
DOCUMENTS = pa.schema(
    [
        ("generation", pa.uint32()), ("id", pa.large_string()), ("file", pa.int32()), ("row", pa.int64()),
        ("key_high", pa.uint64()), ("key_low", pa.uint64()), ("shingles", pa.uint32()), ("few", pa.uint8()),
        ("sketch", pa.large_binary()), ("text", pa.large_string()),
    ]
)  # fmt: skip
KEYS = pa.schema([("key", pa.uint64()), ("document", pa.uint32())])
FILES = pa.schema(
    [
        ("number", pa.int64()), ("path", pa.large_string()), ("name", pa.large_string()), ("bytes", pa.int64()),
        ("mtime_ns", pa.int64()), ("format", pa.string()), ("codec", pa.string()), ("tag", pa.string()),
        ("text", pa.string()),
    ]
)  # fmt: skip
SCHEMAS = {"documents": DOCUMENTS, "keys": KEYS, "bands": KEYS, "files": FILES}
NAMES = ("documents.arrow", "documents.npy", "keys.arrow", "bands.arrow", "files.arrow", "files.npy")


def _broken(path: Place, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path} is gone; put it back, or make the index anew")
    return UserError(f"{path} is broken ({one_line(error)}); put it back, or make the index anew")


# Reading


class Mapped:
    """An Arrow file of an index, memory-mapped or read by ranges; UserError where it is broken.

    columns   those that are wanted; all unless told
    """

    def __init__(self, path: Place, columns: Sequence[str] | None = None) -> None:
        # Of a memory map all: where it is told columns, Arrow copies them into memory of the process.
        some = columns if columns is not None and isinstance(path, Remote) else ()
        fields = [SCHEMAS[path.name.removesuffix(".arrow")].get_field_index(name) for name in some]
        wanted = pa.ipc.IpcReadOptions(included_fields=fields)  # all, where it is empty
        self._path, self._map = path, None
        try:
            if isinstance(path, Remote):
                source: Any = pa.PythonFile(Reader(path.url, held=HELD_BYTES), "r")
            else:
                with open(path, "rb") as file:
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                source = pa.py_buffer(self._map)
            self._file = pa.ipc.open_file(source, options=wanted)
        except (FileNotFoundError, ValueError, pa.ArrowException) as error:
            raise _broken(path, error) from None

    def __len__(self) -> int:
        return int(self._file.num_record_batches)

    def batch(self, n: int) -> pa.RecordBatch:
        """A batch, whose columns lie in the file."""
        try:
            return self._file.get_batch(n)
        except (OSError, pa.ArrowException) as error:
            raise _broken(self._path, error) from None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """All batches; the pages of each are let go after it."""
        for n in range(len(self)):
            yield self.batch(n)
            self.let_go()

    def let_go(self) -> None:
        """Take the pages that were looked at out of this process; batches stay usable."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)


class Rows:
    """documents.arrow or files.arrow of a folder, of which some rows are taken at a time."""

    def __init__(self, folder: Place, name: str = "documents") -> None:
        self._schema, self._path = SCHEMAS[name], folder / f"{name}.arrow"
        path = folder / f"{name}.npy"
        try:
            self.firsts = np.load(io.BytesIO(path.read_bytes()))
        except (FileNotFoundError, ValueError, EOFError) as error:
            raise _broken(path, error) from None

    def take(self, rows: Int64s, columns: Sequence[str]) -> Iterator[tuple[slice, pa.RecordBatch]]:
        """(places within `rows`, their columns) of some rows, ascending: those of one batch of the file at once."""
        file = Mapped(self._path, columns)
        for n in np.unique(np.searchsorted(self.firsts, rows, "right") - 1):
            low, high = np.searchsorted(rows, self.firsts[n : n + 2])
            some = pa.array(rows[low:high] - self.firsts[n])
            taken = file.batch(int(n)).select(list(columns)).take(some)
            file.let_go()
            yield slice(int(low), int(high)), taken

    def table(self, rows: Int64s, columns: Sequence[str]) -> pa.Table:
        """All of them at once."""
        schema = pa.schema([self._schema.field(name) for name in columns])
        return pa.Table.from_batches([batch for _, batch in self.take(rows, columns)], schema)


def find(path: Place, wanted: UInt64s) -> Iterator[npt.NDArray[np.uint64]]:
    """uint64[n, 2], (document, key), of the rows whose key is among some, ascending and distinct; a batch at once."""
    if not len(wanted):
        return
    file = Mapped(path)
    begin = bisect.bisect_left(range(len(file)), int(wanted[0]), key=lambda n: file.batch(n)["key"][-1].as_py())
    for n in range(begin, len(file)):
        keys, documents = (column.to_numpy() for column in file.batch(n).columns)
        if keys[0] > wanted[-1]:
            return
        some = wanted[np.searchsorted(wanted, keys[0]) : np.searchsorted(wanted, keys[-1], "right")]
        if len(some):
            low, high = np.searchsorted(keys, some), np.searchsorted(keys, some, "right")
            counts = high - low
            at = np.repeat(low - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
            yield np.stack([documents[at].astype(np.uint64), keys[at]], axis=1)
        file.let_go()


def shards(folder: Place, numbers: Int64s) -> dict[int, tuple[Shard, str]]:
    """Some of the files that texts of a folder lie in, ascending, each with the name of the column."""
    rows = Rows(folder, "files").table(numbers, FILES.names).to_pylist()
    return {
        int(number): (Shard(**{k: v for k, v in row.items() if k != "text"}), row["text"])
        for number, row in zip(numbers, rows, strict=True)
    }


def paths(folder: Place, numbers: Int64s | None = None) -> pa.ChunkedArray:
    """Where these files are, or all of them."""
    rows = Rows(folder, "files")
    return rows.table(np.arange(rows.firsts[-1]) if numbers is None else numbers, ["path"])["path"]


# Writing


class Writer:
    """An Arrow file of a folder; of documents and files, with where its batches begin."""

    def __init__(self, folder: Path, name: str) -> None:
        self._schema, self._path = SCHEMAS[name], folder / f"{name}.arrow"
        self._file = pa.ipc.new_file(str(self._path), self._schema)
        self._firsts = [0]

    def add(self, *columns: Any) -> None:
        """Append a batch; nothing for no rows."""
        self.add_batch(pa.RecordBatch.from_arrays([*map(pa.array, columns)], schema=self._schema))

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Append a batch; nothing for no rows."""
        if batch.num_rows:
            self._file.write_batch(batch)
            self._firsts.append(self._firsts[-1] + batch.num_rows)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
        if kind is None and self._schema in (DOCUMENTS, FILES):
            save_array(self._path.with_suffix(".npy"), np.array(self._firsts, np.int64))


def write_keys(folder: Path, name: str, parts: Iterable[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> None:
    """keys.arrow or bands.arrow of ascending keys and their documents."""
    with Writer(folder, name) as writer:
        for keys, documents in parts:
            for at in range(0, len(keys), BATCH_ROWS):
                some = slice(at, at + BATCH_ROWS)
                writer.add(keys[some], documents[some].astype(np.uint32))


def write_files(folder: Path, listed: Sequence[Shard], text: str) -> None:
    """files.arrow of the shards of a run."""
    with Writer(folder, "files") as writer:
        for at in range(0, len(listed), FILE_ROWS):
            rows = [{**_fields(shard), "text": text} for shard in listed[at : at + FILE_ROWS]]
            writer.add_batch(pa.RecordBatch.from_pylist(rows, FILES))


def _fields(shard: Shard) -> dict[str, Any]:
    return {name: getattr(shard, name) for name in FILES.names if name != "text"}
