"""Reading what a run wrote, and writing small inputs: helpers of the run-level tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

# Of summary.json: how it went, not what came out.
HOW = ("seconds", "cpu_seconds", "cpu_seconds_by_part", "peak_rss_bytes", "workers", "key")
# The tables of a report, which every run writes; performance.parquet tells how it went, too.
REPORT = (
    "clusters", "documents", "dropped_examples", "drops", "funnel", "largest_clusters", "measures", "near_misses",
    "pairs", "performance", "representatives_dropped", "rules", "similarities", "sources",
)  # fmt: skip
REPORT_FILES = [*(f"report/{name}.parquet" for name in REPORT), "report/summary.json"]
WORDS = [
    "ash",
    "bay",
    "cod",
    "dew",
    "elm",
    "fox",
    "gum",
    "hay",
    "ink",
    "jay",
    "kit",
    "log",
    "map",
    "nut",
    "oak",
    "pea",
    "rye",
    "sky",
    "tin",
    "urn",
    "van",
    "wax",
    "yak",
    "zoo",
]
NEAR = {"text": "text", "id": "id", "step": [{"dedup": "near"}]}
EVERYTHING = {
    "id": "id",
    "step": [
        {"use": "clean.fix_text"}, {"use": "measure.gopher.quality", "words": "tokens"},
        {"use": "drop.when", "word_count": {"below": 3}}, {"dedup": "exact"}, {"dedup": "near", "keep": "longest"},
        {"use": "clean.normalize"}, {"use": "drop.when", "word_count": {"above": 150}},
    ],
}  # fmt: skip

# A module with a stage that ends its worker where it meets a text, the first `times` times; `marker` counts them.
DIES = """
import os, pathlib

def rule(batch, *, marker, times):
    seen = pathlib.Path(marker)
    deaths = len(seen.read_text()) if seen.exists() else 0
    if "kill me" in batch["text"].to_pylist() and deaths < times:
        seen.write_text("x" * (deaths + 1))
        os.kill(os.getpid(), 9)
    return batch
"""


def tree_bytes(folder: Path) -> dict[str, bytes]:
    """{relative path: bytes} of everything that must not depend on how a run was carried out."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for name in ("documents", "dropped", "rejected")
        for path in sorted((folder / name).rglob("*"))
        if path.is_file()
    }
    for path in (folder / "duplicates.parquet", *sorted((folder / "report").glob("*.parquet"))):
        if path.name == "performance.parquet":
            continue
        found[path.relative_to(folder).as_posix()] = path.read_bytes()
    found["report/summary.json"] = json.dumps(what(json.loads((folder / "report/summary.json").read_text()))).encode()
    return found


def what(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary without how long it took and with how many workers."""
    return {key: value for key, value in summary.items() if key not in HOW}


def files(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def write_parquet(path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema | None = None) -> Path:
    """One row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)
    return path


def read_documents(folder: Path) -> list[dict[str, Any]]:
    """Rows of documents/ in the order of files."""
    rows: list[dict[str, Any]] = []
    for path in sorted((folder / "documents").rglob("*.*")):
        if path.suffix == ".parquet":
            rows += pq.read_table(path).to_pylist()
        else:
            rows += [json.loads(line) for line in decoded(path).split(b"\n") if line]
    return rows


def decoded(path: Path) -> bytes:
    """The bytes of a file, its codec told by its name."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().decompressobj().decompress(data) if path.suffix == ".zst" else data


def pairs(result: Any) -> list[tuple[str, str, float | None, str]]:
    """(id, duplicate_of, similarity, kind) of every duplicate, by id."""
    table = result.duplicates.select(["id", "duplicate_of", "similarity", "kind"])
    return sorted(tuple(row.values()) for row in table.to_pylist())
