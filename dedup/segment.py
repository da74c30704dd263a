"""Text to tokens: the transient columns that measures and near duplicates share.

Tokens follow one script-aware definition (design 6.1): no language setting, no external tokenizer. They
are kept as hashes and byte spans, never as strings, so that a batch is cut once and read many times.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers
from dedup.errors import RecipeError

UNITS = ("tokens",)

TOKENS, STARTS, ENDS = "_tokens", "_token_starts", "_token_ends"
FIELDS = (
    pa.field(TOKENS, pa.large_list(pa.uint64())),
    pa.field(STARTS, pa.large_list(pa.int32())),
    pa.field(ENDS, pa.large_list(pa.int32())),
)


class Words(NamedTuple):
    """The words of a batch, read-only: word j of row i, offsets[i] <= j < offsets[i + 1], is the UTF-8
    data[base[i] + starts[j]:base[i] + ends[j]].

    offsets        int64[n + 1];  base int64[n];  starts, ends int32[m];  data uint8[...]
    hashes         uint64[m]   equal words have equal hashes; tokens are folded first, other units are not
    """

    offsets: buffers.Int64s
    hashes: buffers.UInt64s
    base: buffers.Int64s
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    data: buffers.UInt8s


def words(batch: pa.RecordBatch, unit: str) -> tuple[pa.RecordBatch, Words]:
    """The words of a batch in a unit, and the batch with them as transient columns, so that nobody cuts twice.

    unit   "tokens", or the name of a column of the batch that lists each text's words (list of strings;
           null is an empty list, a null word the empty one)
    """
    if unit == "tokens":
        batch = segment(batch)
        offsets, hashes = buffers.list_parts(batch[TOKENS])
        starts, ends = (buffers.list_parts(batch[name])[1] for name in (STARTS, ENDS))
        view = buffers.texts(batch["text"])
        return batch, Words(offsets, hashes, view.offsets[:-1], starts, ends, view.data)
    if unit not in batch.schema.names:
        raise RecipeError(f"there is no column {unit!r}; words are {', '.join(UNITS)} or a column that lists them")
    return batch, _listed(unit, batch[unit])


def _listed(name: str, lists: pa.Array) -> Words:
    from dedup.kernels.utf8 import hash_spans

    try:
        lists = lists.cast(pa.large_list(pa.large_string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise RecipeError(f"{name} is of type {lists.type}; a column of words holds lists of strings") from None
    lists = pc.fill_null(lists, pa.scalar([], lists.type)) if lists.null_count else lists
    first = np.frombuffer(lists.buffers()[1], np.int64, len(lists) + 1, lists.offset * 8)
    view = buffers.texts(lists.values.slice(int(first[0]), int(first[-1] - first[0])))
    offsets = first - first[0]
    base = view.offsets[offsets[:-1]]
    rows = np.repeat(np.arange(len(lists)), np.diff(offsets))
    starts = (view.offsets[:-1] - base[rows]).astype(np.int32)
    ends = (view.offsets[1:] - base[rows]).astype(np.int32)
    hashes = np.empty(len(starts), np.uint64)
    if len(starts):
        hash_spans(view.data, offsets, base, starts, ends, hashes)
    return Words(*map(buffers.frozen, (offsets, hashes, base, starts, ends, view.data)))


def segment(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Add the tokens of `text` as transient columns; a batch that has them comes back as it is.

    _tokens        large_list<uint64>   hash of each token's folded characters
    _token_starts  large_list<int32>    byte offset of its first byte in the document's UTF-8
    _token_ends    large_list<int32>    byte offset past its last byte

    A null text has no tokens. Limit: a text of 2 GiB.
    """
    if STARTS in batch.schema.names:
        return batch
    if batch.num_rows == 0:
        columns = [pa.array([], field.type) for field in FIELDS]
    else:
        offsets, tokens, starts, ends = _cut(batch["text"])
        columns = [buffers.large_list(offsets, values) for values in (tokens, starts, ends)]
    kept = [name for name in batch.schema.names if name != TOKENS]
    arrays = [*(batch[name] for name in kept), *columns]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([*(batch.schema.field(n) for n in kept), *FIELDS]))


def _cut(texts: pa.Array) -> tuple[buffers.Int64s, buffers.UInt64s, np.ndarray, np.ndarray]:
    from dedup.kernels.token import most_tokens, tokenize
    from dedup.kernels.unicode import table

    view = buffers.texts(texts)
    size = most_tokens(int(view.offsets[-1] - view.offsets[0]), len(texts))
    tokens = np.empty(size, np.uint64)
    starts, ends = np.empty(size, np.int32), np.empty(size, np.int32)
    offsets = np.empty(len(texts) + 1, np.int64)
    tokenize(view.offsets, view.data, table(), tokens, starts, ends, offsets)
    used = int(offsets[-1])
    return offsets, tokens[:used], starts[:used], ends[:used]
