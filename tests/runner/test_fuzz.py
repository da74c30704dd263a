"""Mutated inputs have three outcomes only: read, rejected by name, or an error of one line; and the counts agree.

The runs are made in a process of its own (this file is its script too), so that a decoder that crashes or hangs is
seen, and the mutants that it was given are named. Whatever fails comes again from its number alone.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import dedup
from tests.runs import write_jsonl

SEED = 20_240_501
TOGETHER = 25  # mutants of one run
RECIPES = (
    {"id": "id", "step": [{"dedup": "exact"}]},
    {"id": "id", "step": [{"use": "clean.normalize"}, {"dedup": "near", "keep": "longest"}]},
)
GOOD = [{"id": f"good-{n}", "text": f"the good document number {n} lies beside the broken ones"} for n in range(3)]
SECONDS_A_RUN = 60


# Seeds: small files of each kind, with what each format can hold


def seeds() -> list[tuple[str, bytes]]:
    """(suffix, bytes) of valid files."""
    rng = random.Random(SEED)
    rows = [_row(rng, n) for n in range(12)]
    lines = [
        json.dumps(row, ensure_ascii=n % 2 == 0).encode() + (b"\r\n", b"\n")[n % 3 > 0] for n, row in enumerate(rows)
    ]
    plain = b"\xef\xbb\xbf" + b"".join(lines)
    frame = zstandard.ZstdCompressor(write_checksum=True).compress
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    table = pa.Table.from_pylist(rows)
    large = table.set_column(1, "text", table["text"].cast(pa.large_string()))
    nested = pa.table(
        {"id": table["id"], "text": table["text"].cast(pa.binary()), "more": [{"a": [n], "b": None} for n in range(12)]}
    )
    return [
        (".jsonl", plain),
        (".jsonl", b"".join(lines)),
        (".jsonl.gz", gzip.compress(plain, mtime=0)),
        (
            ".jsonl.gz",
            b"".join(gzip.compress(b"".join(lines[i : i + 4]), mtime=0) for i in range(0, 12, 4)) + b"\0" * 8,
        ),
        (".jsonl.zst", frame(plain)),
        (".jsonl.zst", frame(plain[:500]) + skippable + zstandard.ZstdCompressor().compress(plain[500:])),
        (".parquet", parquet(table, compression="snappy", row_group_size=5, write_page_checksum=True)),
        (".parquet", parquet(large, compression="zstd", use_dictionary=False, data_page_version="2.0")),
        (".parquet", parquet(nested, compression="gzip", row_group_size=4, write_page_index=True)),
        (
            ".parquet",
            parquet(
                table,
                compression="none",
                data_page_size=64,
                column_encoding={"text": "DELTA_BYTE_ARRAY"},
                use_dictionary=False,
            ),
        ),
    ]


def _row(rng: random.Random, n: int) -> dict[str, Any]:
    words = ["tide", "moon", "\u6f6e", "\U0001f30a", "the", "sea", "'quoted'", '"', "\\", "\t", "\x00", "é"]
    text = None if n == 7 else " ".join(rng.choice(words) for _ in range(rng.choice([0, 4, 30])))
    return {"id": f"id-{n}", "text": text, "score": rng.choice([None, 1.5, -0.0])}


def parquet(table: pa.Table, **options: Any) -> bytes:
    """The bytes of a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


# Mutants


def mutant(number: int, files: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
    """(suffix, bytes) of the mutant of this number."""
    rng = random.Random(SEED + number)
    suffix, data = rng.choice(files)
    for _ in range(rng.choice([1, 1, 2, 4])):
        data = rng.choice(MUTATIONS)(data, rng)
    return suffix, data


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _flip_near_an_end(data: bytes, rng: random.Random) -> bytes:
    """Headers and footers are where lengths and types are."""
    changed = bytearray(data)
    at = rng.randrange(max(1, min(64, len(changed))))
    if changed:
        changed[at if rng.random() < 0.3 else -1 - at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return bytes(changed)


def _truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _lose_a_head(data: bytes, rng: random.Random) -> bytes:
    return data[rng.randrange(min(len(data), 20) + 1) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    piece = rng.choice(
        [rng.randbytes(rng.randrange(1, 40)), b"\n", b"{", b'"', b"\0" * 9, b"\xff", b"[" * 2000, b"\\ud800"]
    )
    return data[:at] + piece + data[at:]


def _delete(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randrange(1, 60) :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    size = rng.randrange(1, 400)
    return data[: at + size] + data[at : at + size] * rng.choice([1, 2, 30]) + data[at + size :]


MUTATIONS = (_flip, _flip, _flip_near_an_end, _flip_near_an_end, _truncate, _lose_a_head, _insert, _delete, _repeat)


# The process that runs them


def main(folder: str, first: str, until: str) -> None:
    """Run mutants first to until - 1, TOGETHER at once; a line on stdout a failure, and one before each run."""
    files = seeds()
    for start in range(int(first), int(until), TOGETHER):
        numbers = list(range(start, min(start + TOGETHER, int(until))))
        print("run", numbers[0], numbers[-1], flush=True)
        if fault(Path(folder), numbers, files) is not None:
            for number in numbers:
                print("alone", number, flush=True)
                found = fault(Path(folder), [number], files)
                if found is not None:
                    print("fault", json.dumps(f"mutant {number}: {found}"), flush=True)


def fault(folder: Path, numbers: Sequence[int], files: Sequence[tuple[str, bytes]]) -> str | None:
    """What is wrong with the run over some mutants beside a good shard; None if nothing is."""
    here = folder / f"{numbers[0]}-{len(numbers)}"
    good = write_jsonl(here / "in" / "a-good.jsonl", GOOD)
    for number in numbers:
        suffix, data = mutant(number, files)
        (here / "in" / f"mutant-{number}{suffix}").write_bytes(data)
    recipe = RECIPES[numbers[0] // TOGETHER % len(RECIPES)]
    try:
        result = dedup.run(recipe, str(here / "in"), here / "out", executor="serial")
        return disagreement(here / "out", result.summary, good)
    except dedup.DedupError as error:
        text = str(error)
        return None if len(numbers) == 1 and text.count("\n") == 0 and "mutant-" in text else f"error: {text}"
    except Exception:
        return traceback.format_exc()


def disagreement(output: Path, summary: dict[str, Any], good: Path) -> str | None:
    """What does not agree in a run's output; None if all does."""
    rejected = [
        row for path in (output / "rejected").rglob("*") if path.is_file() for row in pq.read_table(path).to_pylist()
    ]
    kept = sum(_rows(path) for path in (output / "documents").rglob("*") if path.is_file())
    dropped = sum(pq.read_metadata(path).num_rows for path in (output / "dropped").rglob("*") if path.is_file())
    facts = {
        "rows in are documents or rejected": summary["rows_in"] == summary["documents_in"] + summary["rows_rejected"],
        "documents are kept or dropped": summary["documents_in"] == kept + dropped,
        "kept as counted": summary["documents_kept"] == kept,
        "dropped as counted": summary["documents_dropped"] == dropped,
        "documents in the report": pq.read_metadata(output / "report" / "documents.parquet").num_rows == kept + dropped,
        "rejected by name": len(rejected) == summary["rows_rejected"] + summary["shards_rejected"],
        "reasons are one line": all(row["reason"] and "\n" not in row["reason"] for row in rejected),
        "the good shard is whole": (output / "documents" / good.name).read_bytes() == good.read_bytes(),
        "the exit code tells": summary["shards_rejected"] == 0 or summary["exit_code"] == 1,
        "nothing is left behind": not (output / "work").exists(),
    }
    wrong = [fact for fact, holds in facts.items() if not holds]
    return f"not so: {', '.join(wrong)}" if wrong else None


def _rows(path: Path) -> int:
    data = path.read_bytes()
    if data.startswith(b"PAR1"):
        return int(pq.read_metadata(path).num_rows)
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    elif data.startswith(b"\x28\xb5\x2f\xfd"):
        data = zstandard.ZstdDecompressor().stream_reader(data).read()
    return data.count(b"\n")


# The tests


def check_mutants(folder: Path, first: int, until: int) -> None:
    command = [sys.executable, "-m", "tests.runner.test_fuzz", str(folder), str(first), str(until)]
    runs = (until - first) // TOGETHER + 1
    child = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        timeout=SECONDS_A_RUN * runs,
    )
    lines = child.stdout.splitlines()
    faults = [json.loads(line.partition(" ")[2]) for line in lines if line.startswith("fault ")]
    assert faults == []
    assert child.returncode == 0, (lines[-1:], child.returncode, child.stderr[-2000:])
    assert sum(line.startswith("run ") for line in lines) == -(-(until - first) // TOGETHER)


@pytest.mark.slow(always=True)
def test_a_mutated_input_is_read_or_rejected_by_name_and_the_counts_agree(tmp_path: Path) -> None:
    check_mutants(tmp_path, 0, 500)


@pytest.mark.slow
def test_ten_thousand_mutated_inputs_are_read_or_rejected_by_name(tmp_path: Path, seeded: bool) -> None:
    for first in range(500, 2_000 if seeded else 10_500, 500):
        check_mutants(tmp_path, first, first + 500)


if __name__ == "__main__":
    main(*sys.argv[1:])
