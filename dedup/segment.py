"""Text to tokens: the transient columns that measures and near duplicates share.

Tokens follow one script-aware definition (design 6.1): no language setting, no external tokenizer. They
are kept as hashes and byte spans, never as strings, so that a batch is cut once and read many times.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dedup import buffers

TOKENS, STARTS, ENDS = "_tokens", "_token_starts", "_token_ends"
FIELDS = (
    pa.field(TOKENS, pa.large_list(pa.uint64())),
    pa.field(STARTS, pa.large_list(pa.int32())),
    pa.field(ENDS, pa.large_list(pa.int32())),
)


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
