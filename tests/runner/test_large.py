"""One document of a hundred megabytes among ordinary ones passes, and takes a few times its size of memory."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from dedup.runner.budget import DOCUMENT_COPIES
from tests.runs import write_jsonl

SIZE = 100_000_000
# A run over ordinary documents first: what a process takes that has all it needs.
SCRIPT = """
import json, sys, dedup
from dedup.runner.local import own_peak_rss_bytes
recipe = {"id": "id", "step": [{"dedup": "near"}]}
dedup.run(recipe, sys.argv[1] + "/ordinary.jsonl", sys.argv[2] + "/alone", executor="serial")
before = own_peak_rss_bytes()
result = dedup.run(recipe, sys.argv[1], sys.argv[2] + "/both", executor="serial")
print(json.dumps([own_peak_rss_bytes() - before, result.duplicates.select(["id", "duplicate_of"]).to_pylist()]))
"""


def large_text() -> str:
    """So many characters of words that do not repeat in the same order."""
    rng = random.Random(SIZE)
    block = " ".join(f"word{rng.randrange(100_000)}" for _ in range(20_000))
    parts = [f"{n} {block[rng.randrange(1_000) :]}\n" for n in range(SIZE // (len(block) - 1_000) + 1)]
    return "".join(parts)[:SIZE]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jsonl", "jsonl.zst", "parquet"])
def test_a_document_of_a_hundred_megabytes_passes_and_its_twin_is_found(kind: str, tmp_path: Path) -> None:
    rng = random.Random(1)
    ordinary = [{"id": f"{n}", "text": f"{rng.random()} " * 200} for n in range(100)]
    write_jsonl(tmp_path / "in" / "ordinary.jsonl", ordinary)
    text = large_text()
    for name, more in (("first", ""), ("second", " and its end")):
        row = {"id": name, "text": text + more}
        path = tmp_path / "in" / f"{name}.{kind}"
        if kind == "parquet":
            pq.write_table(pa.table({"id": [name], "text": pa.array([row["text"]], pa.large_string())}), path)
        else:
            line = json.dumps(row).encode()
            path.write_bytes(zstandard.ZstdCompressor().compress(line) if kind == "jsonl.zst" else line)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "in"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[2])
    grown, duplicates = json.loads(done.stdout)
    assert duplicates == [{"id": "second", "duplicate_of": "first"}]
    assert grown < DOCUMENT_COPIES * SIZE  # 4.3 to 7.5 times
