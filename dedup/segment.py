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

UNITS = ("tokens", "whitespace", "punctuated")

TOKENS, STARTS, ENDS = "_tokens", "_token_starts", "_token_ends"
COLUMNS = {
    "tokens": (TOKENS, STARTS, ENDS),
    "whitespace": ("_whitespace", "_whitespace_starts", "_whitespace_ends"),
    "punctuated": ("_punctuated", "_punctuated_starts", "_punctuated_ends"),
}
_TYPES = (pa.large_list(pa.uint64()), pa.large_list(pa.int32()), pa.large_list(pa.int32()))


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

    unit   one of those of `segment`, or the name of a column of the batch that lists each text's words (list of
           strings; null is an empty list, a null word the empty one)
    """
    if unit in UNITS:
        batch = segment(batch, units=unit)
        hash_column, *span_columns = COLUMNS[unit]
        offsets, hashes = buffers.list_parts(batch[hash_column])
        starts, ends = (buffers.list_parts(batch[name])[1] for name in span_columns)
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


def segment(batch: pa.RecordBatch, *, units: str = "tokens") -> pa.RecordBatch:
    """Add the words of `text` in a unit as transient columns; a batch that has them comes back as it is.

    units                the words are
    tokens               folded letters and numbers; each character of an unspaced script (design 6.1)
    whitespace           what stands between white space, as str.split cuts it
    punctuated           words and signs apart, as spaCy's blank English tokenizer cuts: signs off both ends of what
                         stands between white space, contractions ("do" "n't"), units ("10" "km") and hyphenated
                         words in parts; abbreviations ("e.g.", "U.S."), addresses and smileys whole. A character of
                         an unspaced script is a word of its own, where spaCy takes a run of them for one

    columns (here of tokens; _whitespace and _punctuated likewise)
    _tokens        large_list<uint64>   hash of each word; of a token's folded characters, of others as they stand
    _token_starts  large_list<int32>    byte offset of its first byte in the document's UTF-8
    _token_ends    large_list<int32>    byte offset past its last byte

    A null text has no words. Limit: a text of 2 GiB.
    """
    if units not in UNITS:
        raise RecipeError(f"units is {units!r}; it is one of {', '.join(UNITS)}")
    fields = [pa.field(name, kind) for name, kind in zip(COLUMNS[units], _TYPES, strict=True)]
    if fields[1].name in batch.schema.names:
        return batch
    if batch.num_rows == 0:
        columns = [pa.array([], field.type) for field in fields]
    else:
        offsets, *parts = _cut(batch["text"], units)
        columns = [buffers.large_list(offsets, values) for values in parts]
    kept = [name for name in batch.schema.names if name != fields[0].name]
    arrays = [*(batch[name] for name in kept), *columns]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([*(batch.schema.field(n) for n in kept), *fields]))


def _cut(texts: pa.Array, unit: str) -> tuple[buffers.Int64s, buffers.UInt64s, np.ndarray, np.ndarray]:
    """(offsets, hashes, starts, ends) of the words of texts."""
    from dedup.kernels import cut, english, specials, token, unicode

    view = buffers.texts(texts)
    text_bytes = int(view.offsets[-1] - view.offsets[0])
    # Of punctuated words a text may have one a byte. Memory that no word is written to is never touched.
    size = text_bytes if unit == "punctuated" else token.most_tokens(text_bytes, len(texts))
    hashes = np.empty(size, np.uint64)
    starts, ends = np.empty(size, np.int32), np.empty(size, np.int32)
    offsets = np.empty(len(texts) + 1, np.int64)
    out = hashes, starts, ends, offsets
    if unit == "tokens":
        token.tokenize(view.offsets, view.data, unicode.table(), *out)
    elif unit == "whitespace":
        cut.whitespace(view.offsets, view.data, *out)
    else:
        recent = np.zeros((cut.RECENT_RUNS, 2), np.uint64)
        cut.punctuated(view.offsets, view.data, english.classes(), specials.specials(), recent, *out)
    used = int(offsets[-1])
    return offsets, hashes[:used], starts[:used], ends[:used]
