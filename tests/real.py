"""Documents of the real corpora, for comparing kernels with their twins."""

from __future__ import annotations

import pyarrow.parquet as pq

from tests.conftest import SHARED

SHARDS = ["edge/valid/edge", "en/en_docs-00001", "zh/zh_docs-00000", "mixed/mixed_web-00000"]


def documents(shard: str, count: int, shorter_than: int) -> list[str | None]:
    """About so many texts from all over a shard, but for long ones."""
    column = pq.read_table(SHARED / f"{shard}.parquet", columns=["text"])["text"].to_pylist()
    return [text for text in column[:: max(1, len(column) // count)] if text is None or len(text) < shorter_than]
