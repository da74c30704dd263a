"""Batches of texts, in and out."""

from __future__ import annotations

import pyarrow as pa


def texts_of(batch: pa.RecordBatch) -> list[str | None]:
    return batch["text"].to_pylist()


def batch_of(*texts: str | None) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.large_string())})
