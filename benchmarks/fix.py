"""clean.fix_text beside ftfy, on the same documents: every twentieth, since ftfy takes half a second a megabyte.

CPU seconds on one core; ours is the better of two runs without remembered lines, ftfy's is one run.
"""

from __future__ import annotations

import time
from pathlib import Path

import ftfy
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import corpus
from benchmarks.table import Row
from dedup import clean
from dedup.clean import line

EVERY = 20
TIMES_FASTER = {"en/en_docs-00000": 15, "zh/zh_docs-00000": 40, "mixed/mixed_web-00000": 15}  # what is promised
CONFIG = ftfy.TextFixerConfig(fix_character_width=False, uncurl_quotes=False)


def rows(folder: Path) -> list[Row]:
    """Our CPU as a share of ftfy's; only on the real corpora, a generated one holds nothing to fix."""
    return [_row(shard, times) for shard, times in TIMES_FASTER.items()] if corpus.is_real() else []


def _row(shard: str, times: int) -> Row:
    column = pq.read_table(corpus.SHARED / f"{shard}.parquet", columns=["text"])["text"]
    texts = [text for text in column.to_pylist()[::EVERY] if text is not None]
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    clean.fix_text(batch.slice(0, 1))  # compiles, reads the tables
    ours = min(_seconds_of_ours(batch) for _ in range(2))
    start = time.process_time()
    fixed = [ftfy.fix_text(text, CONFIG) for text in texts]
    ftfys = time.process_time() - start
    same = sum(a == b for a, b in zip(fixed, clean.fix_text(batch)["text"].to_pylist(), strict=True))
    size = sum(len(text.encode()) for text in texts)
    speeds = f"{ours / size * 1e9:.1f} against {ftfys / size * 1e9:.0f} ns/byte"
    beside = f"{ftfys / ours:.0f} times faster, {speeds}; {same:,} of {len(texts):,} texts the same"
    return Row(f"fix_text, {shard}", ours / ftfys * 100, "% of ftfy", 100 / times, beside)


def _seconds_of_ours(batch: pa.RecordBatch) -> float:
    line._remembered.cache_clear()
    start = time.process_time()
    clean.fix_text(batch)
    return time.process_time() - start
