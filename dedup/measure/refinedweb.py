"""The page rule of RefinedWeb (Penedo et al. 2023, "The RefinedWeb Dataset for Falcon LLM", section 3.2 and
appendix G.2) that is its own; its other rules are Gopher's.

A page of which the rules for lines would take more than 5 % of the words is dropped. `clean.drop_lines` applies
them and says how much went; this measure says it of a text that stays as it is.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dedup import buffers

FIELD = pa.field("refinedweb_words_removed_share", pa.float64())


def refinedweb(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Add how much RefinedWeb's rules for lines would take away.

    column                          type     what                                          drop if
    refinedweb_words_removed_share  float64  words that `clean.drop_lines` would take,     > 0.05
                                             of all; in [0, 1]; null without words

    Null for a null text. The rules are DCLM's: lines that are upper case by more than half, digits only, counters
    ("3 likes"), or of one word go, and buttons are cut ("Read more..."); see `clean.drop_lines`, with
    words_below = 2, uppercase_above = 0.5, numeric_above = 0.999999, counters and buttons on, the others off.
    Words are runs of non-space, so a Chinese, Japanese or Thai line is mostly one, and goes.
    """
    values = _measured(batch["text"]) if batch.num_rows else pa.array([], FIELD.type)
    return buffers.with_columns(batch, {FIELD: values})


def _measured(texts: pa.Array) -> pa.Array:
    from dedup.kernels import marks, rules

    view = buffers.texts(texts)
    counts = np.empty((len(texts), rules.COUNTS), np.int64)
    scratch = np.empty(int(np.diff(view.offsets).max()), np.uint8)
    nowhere, no_marks = np.empty(0, np.int64), buffers.frozen(np.empty(0, np.uint32))
    rules.drop_lines(view.offsets, view.data, rules.REFINEDWEB, no_marks, marks.flags(), nowhere, scratch, counts)
    missing = None if view.valid is None else ~view.valid
    return buffers.ratio(counts[:, rules.WORDS_REMOVED], counts[:, rules.WORDS], missing)
