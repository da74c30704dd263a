"""Languages: the profiles evaluated by a kernel beside langdetect itself, on the same characters of the same texts."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import corpus
from benchmarks.process import seconds
from benchmarks.table import Row
from dedup.measure.language import identify

DOCUMENTS = 4_000
FEW = 200  # documents for langdetect
CHARACTERS = 1_000
LEAST_GAIN = 80


def rows(folder: Path) -> list[Row]:
    """Microseconds a document and nanoseconds a byte; the share of langdetect's time has a bar."""
    texts = pq.ParquetFile(corpus.english(folder, 1)[0]).read(columns=["text"])["text"].slice(0, DOCUMENTS)
    batch = pa.table({"text": texts}).combine_chunks().to_batches()[0]
    few = batch.slice(0, FEW)
    size = pc.sum(pc.binary_length(batch["text"])).as_py()
    ours, short = seconds(lambda: identify(batch), 5), seconds(lambda: identify(batch, characters=500), 5)
    same = seconds(lambda: identify(few), rounds=20)
    theirs = seconds(lambda: identify(few, backend="langdetect", characters=CHARACTERS), rounds=2)
    pairs = zip(identify(few)["language"], identify(few, backend="langdetect")["language"], strict=True)
    agree = sum(a.equals(b) for a, b in pairs)
    return [
        Row(
            "profiles", ours / batch.num_rows * 1e6, "us/document", beside=f"{ours / size * 1e9:.1f} ns a byte of text"
        ),
        Row("profiles, 500 characters", short / batch.num_rows * 1e6, "us/document"),
        Row(
            "langdetect", theirs / FEW * 1e6, "us/document", beside=f"{agree} of {FEW} languages are those of profiles"
        ),
        Row("profiles of langdetect", 100 * same / theirs, "%", bar=100 / LEAST_GAIN, beside="CPU, the same documents"),
    ]
