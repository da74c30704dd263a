"""What a report of 5 million documents takes: seconds and memory of `dedup report`, over tables that are made up.

    python -m benchmarks.report [documents]

The output has what a run over 200 shards leaves: 24 measures, four rules, a fifth of the documents gone as duplicates,
a tenth by rules. The texts are few: of kept and dropped documents only some are looked up, as in a real report.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.beside import AbsentError
from benchmarks.table import Row, render
from dedup.report.write import NEEDED

DOCUMENTS = 5_000_000
SHARDS = 200
MEASURES = 24
TEXT = "A line of text that stands for a document of the corpus. " * 8


def rows(folder: Path, documents: int = DOCUMENTS) -> list[Row]:
    """Make an output and report on it: seconds, CPU seconds, MB, and MB of the page."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise AbsentError(f"needs {' and '.join(missing)}: pip install 'dedup[report]'")
    output = folder / "out"
    make(output, documents)
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", TIMED, str(output)], capture_output=True, text=True, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, peak, size = json.loads(done.stdout)
    beside = f"{documents:,} documents, {SHARDS} shards, {MEASURES} measures"
    return [
        Row("time", seconds, "s", 60, beside),
        Row("CPU time", used.ru_utime + used.ru_stime - begun.ru_utime - begun.ru_stime, "s"),
        Row("peak memory", peak / 1e6, "MB", 1_000),
        Row("page", size / 1e6, "MB", 5),
    ]


TIMED = """
import json, os, resource, sys, time
from dedup.report.write import again
begun = time.monotonic()
page = again(sys.argv[1], print)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([time.monotonic() - begun, peak, os.path.getsize(page)]))
"""


def make(output: Path, documents: int) -> None:
    """The files of an output that a report reads."""
    rng = np.random.default_rng(5)
    each = documents // SHARDS
    (output / "report").mkdir(parents=True)
    gone = _documents(output, rng, each)
    _duplicates(output, rng, gone)
    _rows(output, gone, each)
    names = [f"source-{n % 8}/{n:04}.parquet" for n in range(SHARDS)]
    zeros = [0] * SHARDS
    pq.write_table(
        pa.table({
            "number": range(SHARDS), "name": names, "path": names, "bytes": zeros, "mtime_ns": zeros,
            "format": ["parquet"] * SHARDS, "codec": ["none"] * SHARDS, "tag": [""] * SHARDS,
            "role": ["input"] * SHARDS, "input": pa.nulls(SHARDS, pa.string()), "priority": zeros,
        }), output / "manifest.parquet",
    )  # fmt: skip
    bounds = "".join(f"measure_{n} = {{ above = {3.5 + n / 10} }}\n" for n in range(4))
    recipe = f'[[step]]\nuse = "drop.when"\n{bounds}[[step]]\ndedup = "exact"\n[[step]]\ndedup = "near"\n'
    (output / "recipe.toml").write_text(f'input = ["in"]\noutput = "out"\n{recipe}')
    total = each * SHARDS
    (output / "report" / "summary.json").write_text(json.dumps({
        "documents_in": total, "documents_kept": total - sum(map(len, gone.values())), "rows_in": total,
        "documents_dropped": sum(map(len, gone.values())), "bytes_in": total * 2_000, "bytes_kept": total * 1_400,
        "duplicates": {kind: len(gone[f"{kind} duplicate"]) for kind in ("exact", "near")}, "seconds": 1.0,
        "cpu_seconds": 1.0, "peak_rss_bytes": 1, "workers": 1, "version": "0", "key": "k", "near": [], "null_text": 0,
        "empty_text": 0, "rows_rejected": 0, "shards_rejected": 0, "shards_in": SHARDS, "rejected_by_reason": {},
        "rules_that_never_fired": [], "representatives_dropped": 0, "seen_by_steps": [], "cpu_seconds_by_part": {},
        "dropped_by_reason": {},
    }))  # fmt: skip


def _documents(output: Path, rng: np.random.Generator, each: int) -> dict[str, np.ndarray]:
    names = ["near duplicate", "exact duplicate", *(f"measure_{n} > {3.5 + n / 10}" for n in range(4))]
    gone: dict[str, list[np.ndarray]] = {name: [] for name in names}
    schema = pa.schema([
        ("id", pa.large_string()), ("doc_id", pa.int64()), ("drop_reason", pa.string()), ("text_bytes", pa.int64()),
        ("language", pa.string()), *((f"measure_{n}", pa.float64()) for n in range(MEASURES)),
    ])  # fmt: skip
    with pq.ParquetWriter(output / "report" / "documents.parquet", schema, compression="zstd") as writer:
        for shard in range(SHARDS):
            numbers = (shard << 40) + np.arange(each)
            reason = rng.choice([*range(len(names)), -1], each, p=[0.12, 0.08, *[0.025] * 4, 0.7])
            for place, name in enumerate(names):
                gone[name].append(numbers[reason == place])
            columns = [
                pa.array(numbers).cast(pa.large_string()), numbers,
                pa.array(names).take(pa.array(reason, mask=reason < 0)), rng.integers(100, 4_000, each),
                pa.array(["en", "zh", "de"]).take(pa.array(rng.integers(0, 3, each))),
                *(np.round(rng.lognormal(0, 0.2 + n / MEASURES, each), 4) for n in range(MEASURES)),
            ]  # fmt: skip
            writer.write_table(pa.table(columns, schema=schema), row_group_size=1 << 16)
    return {name: np.concatenate(parts) for name, parts in gone.items()}


def _duplicates(output: Path, rng: np.random.Generator, gone: dict[str, np.ndarray]) -> None:
    numbers = np.sort(np.concatenate([gone["near duplicate"], gone["exact duplicate"]]))
    is_near = np.isin(numbers, gone["near duplicate"])
    twins = (rng.zipf(1.4, len(numbers)) % SHARDS << 40) + 1_000_000 + rng.zipf(1.3, len(numbers)) % 900_000
    table = pa.table({
        "id": pa.array(numbers).cast(pa.large_string()), "duplicate_of": pa.array(twins).cast(pa.large_string()),
        "similarity": np.where(is_near, 0.8 + 0.2 * rng.random(len(numbers)), 1.0),
        "kind": pa.array(["exact", "near"]).take(pa.array(is_near.astype(np.int64))),
        "verified": np.ones(len(numbers), np.bool_), "doc_id": numbers, "duplicate_of_doc_id": twins,
    })  # fmt: skip
    pq.write_table(table, output / "duplicates.parquet", row_group_size=1 << 16, compression="zstd")


def _rows(output: Path, gone: dict[str, np.ndarray], each: int) -> None:
    """dropped/ and documents/, of short texts."""
    dropped = np.sort(np.concatenate(list(gone.values())))
    for shard in range(SHARDS):
        name = f"source-{shard % 8}/{shard:04}.parquet"
        low, high = np.searchsorted(dropped, [shard << 40, (shard + 1) << 40])
        rows = dropped[low:high] - (shard << 40)
        for folder, columns in (
            ("dropped", {"id": pa.array(rows).cast(pa.large_string()), "row": rows, "text": [TEXT] * len(rows)}),
            ("documents", {"text": [TEXT] * (each - len(rows))}),
        ):
            path = output / folder / (f"{name}.parquet" if folder == "dropped" else name)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), path, row_group_size=1 << 13, compression="zstd")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="dedup-bench-") as home:
        print(render("report", rows(Path(home), int((sys.argv[1:] or [DOCUMENTS])[0]))))
