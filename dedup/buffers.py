"""The only bridge between Arrow arrays and NumPy views.

`np.frombuffer` on an Arrow buffer is writable for some arrays and read-only for others, so a kernel
could change a caller's data in place, and Numba would compile twice. Every view made here is read-only,
and texts always come as int64 offsets with uint8 data, whatever string type the caller has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s = npt.NDArray[np.int64]
UInt8s = npt.NDArray[np.uint8]
UInt64s = npt.NDArray[np.uint64]


class Texts(NamedTuple):
    """Texts as kernels read them: text i is data[offsets[i]:offsets[i + 1]], UTF-8; read-only.

    A null text is an empty range; `valid` tells it from an empty one (None: no nulls).
    """

    offsets: Int64s
    data: UInt8s
    valid: npt.NDArray[np.bool_] | None


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only view of the same memory."""
    view = array.view()
    view.flags.writeable = False
    return view


def one_chunk(array: Any) -> Any:
    """The same values as one plain array."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # of some types, and of no chunk at all
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    return array


def large_strings(array: pa.Array | pa.ChunkedArray) -> pa.LargeStringArray:
    """The same texts as one large_string array without an offset overflow at 2 GiB."""
    return one_chunk(array if array.type == pa.large_string() else array.cast(pa.large_string()))


def texts(array: pa.Array | pa.ChunkedArray) -> Texts:
    """Read-only views of a string array; copies only for a type that is not large_string."""
    array = large_strings(array)
    _, offset_buffer, data_buffer = array.buffers()
    if len(array) == 0 or offset_buffer is None:
        return Texts(frozen(np.zeros(1, np.int64)), frozen(np.zeros(0, np.uint8)), None)
    offsets = np.frombuffer(offset_buffer, np.int64, len(array) + 1, array.offset * 8)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    return Texts(frozen(offsets), frozen(data), validity(array))


def with_replaced(array: pa.Array, places: Int64s, values: pa.Array) -> pa.Array:
    """The array with the values at some places replaced; `values` is of its type."""
    if not len(places):
        return array
    indices = np.arange(len(array))
    indices[places] = len(array) + np.arange(len(places))
    return pa.concat_arrays([array, values]).take(pa.array(indices))


def with_columns(batch: pa.RecordBatch, columns: Mapping[pa.Field, pa.Array]) -> pa.RecordBatch:
    """The batch with columns replaced in their place where they are there, else added at the end."""
    for field, values in columns.items():
        index = batch.schema.get_field_index(field.name)
        if index < 0:
            batch = batch.append_column(field, values)
        else:
            batch = batch.set_column(index, field, values)
    return batch


def filter_rows(batch: pa.RecordBatch, keep: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """The rows where `keep`; lists run by run, which Arrow's filter copies element by element (6 times slower)."""
    mask = pa.array(keep)
    ends = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]])))
    runs = list(zip(ends[::2].tolist(), ends[1::2].tolist(), strict=True))
    columns = [
        pa.concat_arrays([column.slice(first, until - first) for first, until in runs])
        if runs and pa.types.is_large_list(column.type)
        else column.filter(mask)
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


OF_INPUT = {b"dedup": b"input"}  # metadata of a field whose column was read, whatever its name begins with


def without_transient(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without columns that stages derived from its texts to share them: those that begin with "_".

    The row's number, and columns of the input that begin so (their fields say OF_INPUT), stay.
    """
    kept = [f.name for f in batch.schema if f.name[:1] != "_" or f.name == "_row" or f.metadata == OF_INPUT]
    return batch if len(kept) == batch.num_columns else batch.select(kept)


def numbers(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None) -> pa.Array:
    """A column of numbers, null where `missing`."""
    return pa.array(np.ascontiguousarray(values), mask=missing)


def ratio(parts: npt.NDArray[Any], wholes: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None) -> pa.Array:
    """A float64 column parts / wholes, null where the whole is 0 or the row is `missing`."""
    nothing = wholes == 0
    values = parts / np.where(nothing, 1, wholes)
    return numbers(values, nothing if missing is None else nothing | missing)


def validity(array: pa.Array) -> npt.NDArray[np.bool_] | None:
    """True where a value is there; None if none is missing."""
    if array.null_count == 0:
        return None
    return frozen(array.is_valid().to_numpy(zero_copy_only=False))


def large_list(offsets: npt.NDArray[Any], values: npt.NDArray[Any]) -> pa.LargeListArray:
    """A list column over NumPy memory, without a copy."""
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values))


def list_parts(array: pa.LargeListArray) -> tuple[Int64s, npt.NDArray[Any]]:
    """(offsets, values) of a large_list of numbers, as read-only views."""
    offsets = np.frombuffer(array.buffers()[1], np.int64, len(array) + 1, array.offset * 8)
    return frozen(offsets), frozen(array.values.to_numpy(zero_copy_only=True))


def large_strings_from(offsets: npt.NDArray[Any], data: npt.NDArray[Any], valid: Any) -> pa.LargeStringArray:
    """A large_string array over NumPy memory (int64 offsets, uint8 UTF-8 data), null where not `valid`."""
    bitmap = None
    if valid is not None:
        bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data), bitmap)
