"""What benchmarks run on: the real shards of ../shared/data, or where they are absent a corpus of the same shape.

A generated shard has the documents, row groups, columns and bytes of an English one, words of Zipf's frequencies, and
every twentieth document is an edited copy. Its ratios come out near the real ones but are not the promised figures.
"""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

SHARED = Path(__file__).parents[2] / "shared" / "data"
DOCUMENTS = 15_000  # of a generated shard
GROUP_ROWS = 2_000
WORDS = 400  # the mean length of a generated document
SHORT = 400  # characters of a short document


def english(folder: Path, count: int = 4) -> list[Path]:
    """The first `count` English Parquet shards; generated into `folder` where there are no real ones."""
    real = sorted(SHARED.glob("en/*.parquet"))
    if len(real) >= count:
        return real[:count]
    return [generate(folder / f"generated-{i}.parquet", i) for i in range(count)]


def chinese(folder: Path) -> list[Path]:
    """The Chinese Parquet shards, and as Parquet in `folder` those that are JSONL.gz; none without the real ones."""
    converted = []
    for path in sorted(SHARED.glob("zh/*.jsonl.gz")):
        with gzip.open(path) as lines:
            table = pa.Table.from_pylist([orjson.loads(line) for line in lines])
        converted.append(folder / path.name.replace(".jsonl.gz", ".parquet"))
        pq.write_table(table, converted[-1], compression="zstd", row_group_size=GROUP_ROWS)
    return [*sorted(SHARED.glob("zh/*.parquet")), *converted]


def code() -> list[Path]:
    """The Parquet shards of source code; none without the real ones."""
    return sorted(SHARED.glob("code/*.parquet"))


def everything(folder: Path) -> list[Path]:
    """All English and Chinese shards, of whatever format."""
    return sorted([*SHARED.glob("en/en*"), *SHARED.glob("zh/zh*")]) or english(folder, 6)


def is_real() -> bool:
    """Whether the shared corpora are there."""
    return SHARED.is_dir()


def generate(path: Path, seed: int) -> Path:
    """Write a shard of words drawn by Zipf's law."""
    random = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    words = ["".join(random.choice(letters, random.integers(2, 11))) for _ in range(30_000)]
    frequency = 1 / np.arange(1, len(words) + 1)
    lengths = random.lognormal(np.log(WORDS), 0.8, DOCUMENTS).astype(int) + 20
    drawn = random.choice(len(words), lengths.sum(), p=frequency / frequency.sum())
    texts: list[str] = []
    for i, part in enumerate(np.split(drawn, np.cumsum(lengths)[:-1])):
        if i % 20 == 19:
            texts.append(texts[int(random.integers(i))] + " " + words[part[0]])
        else:
            texts.append(" ".join(words[j] for j in part))
    return write(path, texts, f"generated-{seed}")


def write(path: Path, texts: list[str], prefix: str) -> Path:
    """Write a Parquet shard with the columns that the real ones have."""
    n = len(texts)
    numbers = [str(i) for i in range(n)]
    table = pa.table({
        "id": [f"{prefix}-{i}" for i in numbers], "text": texts, "source": [prefix] * n, "lang": ["en"] * n,
        "url": [f"https://example.org/{prefix}/{i}" for i in numbers], "date": ["2024-01-01"] * n,
    })  # fmt: skip
    pq.write_table(table, path, compression="zstd", row_group_size=GROUP_ROWS)
    return path


def short(folder: Path, count: int) -> list[Path]:
    """Shards of the first SHORT characters of English texts, in every four of them other letters for the old ones."""
    out = []
    shards = english(folder)
    for n in range(count):
        out.append(folder / f"short-{n:03}.parquet")
        table = pq.read_table(shards[n % 4])
        at = table.schema.get_field_index("text")
        cut = pc.utf8_slice_codeunits(table["text"].combine_chunks().cast(pa.large_string()), 0, SHORT)
        changed = _other_letters(cut, n // 4).cast(table.schema.field(at).type)
        table = table.set_column(at, table.schema.field(at), changed)
        pq.write_table(table, out[-1], compression="zstd", row_group_size=GROUP_ROWS)
    return out


def _other_letters(texts: pa.LargeStringArray, places: int) -> pa.LargeStringArray:
    """Every ASCII letter replaced by the one so many places later."""
    table = np.arange(256, dtype=np.uint8)
    for first in b"Aa":
        table[first : first + 26] = first + (np.arange(26) + places) % 26
    validity, offsets, data = texts.buffers()
    changed = table[np.frombuffer(data, np.uint8)]
    return pa.LargeStringArray.from_buffers(len(texts), offsets, pa.py_buffer(changed), validity, texts.null_count)


def as_jsonl_zst(path: Path, folder: Path) -> Path:
    """The rows of a Parquet shard as JSONL.zst."""
    out = folder / f"{path.stem}.jsonl.zst"
    with pq.ParquetFile(path) as file, zstandard.open(out, "wb") as sink:
        for batch in file.iter_batches(1000):
            sink.write(b"".join(orjson.dumps(row, default=str) + b"\n" for row in batch.to_pylist()))
    return out


def ten_documents(folder: Path) -> Path:
    """A small JSONL.gz file."""
    path = folder / "ten.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"text": f"a short document, number {i // 2}"}) + b"\n" for i in range(10)))
    with open(path, "rb") as source, gzip.open(path.with_suffix(".jsonl.gz"), "wb") as sink:
        shutil.copyfileobj(source, sink)
    path.unlink()
    return path.with_suffix(".jsonl.gz")
