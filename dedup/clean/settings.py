"""What cleaning stages share: checks of settings, and the batch with another text."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from dedup import buffers
from dedup.errors import RecipeError


def with_text(batch: pa.RecordBatch, texts: pa.LargeStringArray) -> pa.RecordBatch:
    """The batch with other texts, and without what was derived from the old ones (its transient columns)."""
    batch = buffers.without_transient(batch)
    index = batch.schema.get_field_index("text")
    return batch.set_column(index, batch.schema.field(index).with_type(pa.large_string()), texts)


def one_of(stage: str, setting: str, value: str, allowed: Collection[str]) -> str:
    if value not in allowed:
        raise RecipeError(f"{stage}: {setting} is {value!r}; it is one of {', '.join(allowed)}")
    return value
