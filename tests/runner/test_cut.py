"""How a corpus is cut into work units does not show: not in a byte, not where a shard breaks off in the middle."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import dedup
from dedup.io import jsonl, units
from dedup.runner import local, write
from dedup.runner.task import Task
from tests.runs import NEAR, WORDS, tree_bytes, write_jsonl, write_parquet

SERIAL: dict[str, Any] = {"executor": "serial"}
TWO_PASSES = {
    "step": [
        {"use": "clean.fix_text"},
        {"use": "measure.gopher.quality", "words": "tokens"},
        {"dedup": "near"},
        {"use": "drop.when", "word_count": {"above": 70}},
    ]
}


def records(seed: int, count: int) -> list[dict[str, Any]]:
    """Documents of which many are equal or similar; some texts change when they are cleaned."""
    rng = random.Random(seed)
    originals = [[rng.choice(WORDS) for _ in range(rng.randint(20, 80))] for _ in range(count // 3)]
    rows: list[dict[str, Any]] = []
    for n in range(count):
        words = list(rng.choice(originals))
        if rng.random() < 0.5:
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        text = " ".join(words) + rng.choice(
            ["", "", " caf\N{LATIN CAPITAL LETTER A WITH TILDE}\N{COPYRIGHT SIGN}", " \N{SNOWMAN}"]
        )
        rows.append({"id": f"{seed}-{n}" if rng.random() < 0.8 else None, "text": rng.choice([text] * 9 + [None])})
    return rows


def nasty(rows: list[dict[str, Any]]) -> bytes:
    """JSONL with a byte-order mark, both line endings, blank and broken lines, one long line, no newline at its end."""
    lines = [json.dumps(row, ensure_ascii=n % 2 == 0).encode() for n, row in enumerate(rows)]
    lines[3:3] = [b"", b"{broken", b'{"text": "\xff"}', b'{"text": 1}', b"  "]
    lines[20:20] = [json.dumps({"text": " ".join(WORDS * 30)}).encode()]
    ends = [b"\r\n" if n % 5 == 0 else b"\n" for n in range(len(lines))]
    return b"\xef\xbb\xbf" + b"".join(line + end for line, end in zip(lines, ends, strict=True)).rstrip()


def frames(data: bytes, count: int) -> bytes:
    """Bytes as so many zstd frames, cut anywhere, with a skippable one after each."""
    compress = zstandard.ZstdCompressor(write_checksum=True).compress
    bounds = [len(data) * n // count for n in range(count + 1)]
    return b"".join(compress(data[a:b]) + b"\x5f\x2a\x4d\x18\1\0\0\0x" for a, b in itertools.pairwise(bounds))


def mixed(folder: Path) -> Path:
    """Shards of every kind."""
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(nasty(records(1, 60)))
    write_parquet(folder / "b.parquet", records(2, 5))
    pq.write_table(pa.Table.from_pylist(records(3, 60)), folder / "c.parquet", row_group_size=7)
    (folder / "d.jsonl.gz").write_bytes(gzip.compress(nasty(records(4, 30)), mtime=0))
    (folder / "d2.jsonl.zst").write_bytes(frames(nasty(records(5, 60)), 12))
    (folder / "d3.jsonl.zst").write_bytes(frames(nasty(records(6, 60)), 12)[:-40])
    write_jsonl(folder / "e.jsonl", records(1, 40))
    (folder / "f.jsonl").write_bytes(b"")
    (folder / "g.jsonl").write_bytes(b"neither\0nor")
    return folder


def whole_and_cut(
    recipe: dict[str, Any], input: Path, output: Path, set_cut: Callable[[], object], how: dict[str, Any]
) -> dict[str, bytes]:
    """Run uncut and cut, and compare all bytes; those of the run."""
    dedup.run(recipe, str(input), output / "whole", **(how | SERIAL))
    set_cut()
    dedup.run(recipe, str(input), output / "cut", **how)
    expected, found = tree_bytes(output / "whole"), tree_bytes(output / "cut")
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    return expected


@pytest.mark.parametrize(("size", "more"), [(400, {"id": "id"}), (5000, {"id": "id"}), (1100, {})])
def test_the_bytes_do_not_depend_on_where_big_files_are_cut(
    size: int, more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    input = mixed(tmp_path / "in")
    recipe = TWO_PASSES | more
    whole_and_cut(recipe, input, tmp_path, lambda: monkeypatch.setattr(units, "UNIT_BYTES", size), SERIAL)
    assert dedup.Result(tmp_path / "cut").summary["duplicates"]["near"] > 0
    assert dedup.Result(tmp_path / "cut").summary["rows_rejected"] == 12


def test_nor_on_the_executor_that_does_the_pieces(
    tmp_path: Path, executor: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    input = mixed(tmp_path / "in")
    whole_and_cut(TWO_PASSES, input, tmp_path, lambda: monkeypatch.setattr(units, "UNIT_BYTES", 3000), executor)


def test_the_first_documents_of_every_shard_are_the_same_where_files_are_big(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    input = mixed(tmp_path / "in")
    how = SERIAL | {"limit": 9}
    whole_and_cut(NEAR, input, tmp_path, lambda: monkeypatch.setattr(units, "UNIT_BYTES", 500), how)


def pack(monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    """Pack as many shards as fit."""
    monkeypatch.setattr(units, "LEAST_UNITS", max(1, shards // 4))


@pytest.mark.parametrize("size", [1 << 20, 2000])
def test_the_bytes_do_not_depend_on_which_small_files_are_packed(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    input = mixed(tmp_path / "in")
    for n in range(9):
        write_jsonl(input / f"h{n}.jsonl", records(n, 8))
    broken_parquet(input / "h5.parquet", [4])
    broken_parquet(input / "h6.parquet", [0])
    (input / "h7.jsonl.gz").write_bytes(gzip.compress(nasty(records(4, 30)), mtime=0)[:-300])

    def cut() -> None:
        monkeypatch.setattr(units, "UNIT_BYTES", size)
        pack(monkeypatch, 19)

    whole_and_cut(TWO_PASSES, input, tmp_path, cut, SERIAL | {"keep_work": True})
    tasks = len(list((tmp_path / "cut" / "work" / "pass-0").glob("scan-*")))
    assert tasks < 19 if size == 1 << 20 else tasks > 19


@pytest.mark.slow
def test_twenty_thousand_tiny_shards_choke_nothing(tmp_path: Path, seeded: bool) -> None:
    count = 4_000 if seeded else 20_000
    for n in range(count):
        write_jsonl(tmp_path / "in" / f"{n % 20}" / f"{n}.jsonl", [{"id": f"{n}", "text": f"shard {n} of many"}])
    result = dedup.run(NEAR, str(tmp_path / "in"), tmp_path / "out", executor="local", workers=2, keep_work=True)
    assert result.summary["documents_kept"] == count
    assert sum(len(names) for _, _, names in os.walk(tmp_path / "out" / "work")) < 2_000
    assert result.summary["cpu_seconds"] < count * 0.006  # 4 ms here: two files a shard, waited for


# A shard that breaks off


def broken_parquet(path: Path, groups: list[int]) -> None:
    """Ten row groups; the text of some is damaged."""
    table = pa.table({"text": [f"{n} " + " ".join(random.Random(n).choices(WORDS, k=40)) for n in range(100)]})
    pq.write_table(table, path, row_group_size=10, use_dictionary=False)
    data = bytearray(path.read_bytes())
    metadata = pq.read_metadata(path)
    for group in groups:
        column = metadata.row_group(group).column(0)
        for at in range(column.data_page_offset, column.data_page_offset + column.total_compressed_size):
            data[at] = 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("groups", [[0], [4], [3, 7], [9]])
@pytest.mark.parametrize("recipe", [NEAR | {"id": None}, TWO_PASSES], ids=["near", "two passes"])
def test_a_broken_row_group_ends_its_shard_whatever_unit_it_is_in(
    groups: list[int], recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    recipe = {key: value for key, value in recipe.items() if value is not None}
    broken_parquet(tmp_path / "in" / "a.parquet", groups)
    write_jsonl(tmp_path / "in" / "b.jsonl", records(1, 20))
    size = (tmp_path / "in" / "a.parquet").stat().st_size // 5
    whole_and_cut(recipe, tmp_path / "in", tmp_path, lambda: monkeypatch.setattr(units, "UNIT_BYTES", size), SERIAL)
    summary = dedup.Result(tmp_path / "cut").summary
    assert (summary["documents_in"], summary["shards_rejected"]) == (20 + 10 * groups[0], 1)


@pytest.mark.parametrize(("most", "line"), [("MAX_STRANGE_BYTES", b" " * 9000), ("MAX_LINE_BYTES", b"{" + b" " * 9000)])
@pytest.mark.parametrize("size", [700, 3000])
def test_a_line_that_is_too_long_ends_its_shard_whatever_unit_it_is_in(
    most: str, line: bytes, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "MAX_RAW_BYTES", 1000)
    monkeypatch.setattr(jsonl, "MAX_STRANGE_BYTES", 4000)
    monkeypatch.setattr(jsonl, most, 4000)
    (tmp_path / "in").mkdir()
    data = [json.dumps(row).encode() for row in records(1, 30)]
    (tmp_path / "in" / "a.jsonl").write_bytes(b"\n".join([*data[:20], line, *data[20:]]))
    how = SERIAL | {"changes": ["batch_bytes=100"]}
    whole_and_cut(NEAR, tmp_path / "in", tmp_path, lambda: monkeypatch.setattr(units, "UNIT_BYTES", size), how)
    summary = dedup.Result(tmp_path / "cut").summary
    assert (summary["documents_in"], summary["shards_rejected"]) == (20, 1)


def test_a_big_parquet_shard_without_the_text_column_is_rejected_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"body": ["a"] * 30}), tmp_path / "in" / "a.parquet", row_group_size=3)
    write_jsonl(tmp_path / "in" / "b.jsonl", records(1, 20))
    whole_and_cut(TWO_PASSES, tmp_path / "in", tmp_path, lambda: monkeypatch.setattr(units, "UNIT_BYTES", 50), SERIAL)
    assert dedup.Result(tmp_path / "cut").summary["shards_rejected"] == 1


# One big file


def test_one_big_file_and_its_hundred_pieces_give_the_same_but_for_names(
    tmp_path: Path, executor: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.dumps(row).encode() + b"\n" for row in records(5, 400)]
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    (tmp_path / "one" / "all.jsonl").write_bytes(b"".join(lines))
    for n in range(100):
        (tmp_path / "many" / f"{n:02}.jsonl").write_bytes(b"".join(lines[4 * n : 4 * n + 4]))
    monkeypatch.setattr(units, "UNIT_BYTES", 9000)
    monkeypatch.setattr(units, "LEAST_UNITS", 10)  # ten shards a unit: a hundred tasks of each part show no more
    for name in ("one", "many"):
        dedup.run(NEAR, str(tmp_path / name), tmp_path / f"{name}-out", **executor)
    one, many = (dedup.Result(tmp_path / f"{name}-out") for name in ("one", "many"))
    parts = sorted((many.output / "documents").iterdir())
    assert b"".join(path.read_bytes() for path in parts) == (one.output / "documents" / "all.jsonl").read_bytes()
    assert _named(one) == _named(many)
    assert len(_named(one)) > 100


def _named(result: dedup.Result) -> list[Any]:
    """Duplicates, told by the ids of those that have one."""
    table = result.duplicates.select(["id", "duplicate_of", "similarity", "kind"])
    return [["#" if "#" in str(value) else value for value in row.values()] for row in table.to_pylist()]


def test_a_line_longer_than_many_units_is_one_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = {"id": "long", "text": " ".join(WORDS * 400)}
    input = write_jsonl(tmp_path / "in" / "a.jsonl", [*records(1, 5), long, *records(2, 5), long | {"id": "copy"}])
    whole_and_cut(NEAR, input, tmp_path, lambda: monkeypatch.setattr(units, "UNIT_BYTES", 1000), SERIAL)
    twins = dedup.Result(tmp_path / "cut").duplicates.to_pylist()
    assert {row["id"]: row["duplicate_of"] for row in twins}["copy"] == "long"


# Interrupted


def test_a_run_that_fails_while_pieces_are_put_together_goes_on_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    input = mixed(tmp_path / "in")
    append = write._append
    times = [0]

    def fail(path: Path, file: Any) -> None:
        times[0] += 1
        if times[0] == 3:
            raise OSError(28, "No space left on device", str(path))
        append(path, file)

    def cut() -> None:
        monkeypatch.setattr(units, "UNIT_BYTES", 3000)
        monkeypatch.setattr(write, "_append", fail)
        with pytest.raises(dedup.DedupError, match="No space left on device; the same command goes on from here"):
            dedup.run(TWO_PASSES, str(input), tmp_path / "cut", **SERIAL)

    whole_and_cut(TWO_PASSES, input, tmp_path, cut, SERIAL)
    assert times[0] > 6


@pytest.mark.parametrize("name", ["documents/a.jsonl", "dropped/a.jsonl.parquet", "rejected/a.jsonl.parquet"])
def test_a_published_file_of_a_cut_shard_that_somebody_removed_is_written_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    input = mixed(tmp_path / "in")

    def cut() -> None:
        monkeypatch.setattr(units, "UNIT_BYTES", 3000)
        dedup.run(TWO_PASSES, str(input), tmp_path / "cut", **SERIAL, keep_work=True)
        (tmp_path / "cut" / "report" / "summary.json").unlink()
        (tmp_path / "cut" / name).unlink()

    whole_and_cut(TWO_PASSES, input, tmp_path, cut, SERIAL)


def test_what_was_put_together_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    input = mixed(tmp_path / "in")
    monkeypatch.setattr(units, "UNIT_BYTES", 3000)
    dedup.run(TWO_PASSES, str(input), tmp_path / "out", **SERIAL, keep_work=True)
    (tmp_path / "out" / "report" / "summary.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "documents").iterdir()}
    shutil.rmtree(tmp_path / "out" / "work" / "write" / "00000")  # a piece of a.jsonl
    dedup.run(TWO_PASSES, str(input), tmp_path / "out", **SERIAL, keep_work=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not (tmp_path / "out" / "work" / "write" / "00000").exists()


def test_pieces_are_copied_also_where_the_system_cannot_do_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    input = mixed(tmp_path / "in")

    def refuse(source: int, target: int, count: int) -> int:
        raise OSError(18, "Invalid cross-device link")

    def cut() -> None:
        monkeypatch.setattr(units, "UNIT_BYTES", 3000)
        monkeypatch.setattr(write.os, "copy_file_range", refuse)

    whole_and_cut(NEAR, input, tmp_path, cut, SERIAL)


def test_a_shard_is_put_together_though_a_worker_was_killed_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    input = mixed(tmp_path / "in")
    dedup.run(TWO_PASSES, str(input), tmp_path / "whole", **SERIAL)
    monkeypatch.setattr(units, "UNIT_BYTES", 900)
    append, run_task = write._append, local.run_task
    appended = []

    def breaks(path: Any, file: Any) -> None:
        append(path, file)
        appended.append(path)
        if len(appended) == 3:
            raise InterruptedError

    def tried_again(task: Task, progress: Any) -> dict[str, Any]:
        if task.function.endswith("join_kept"):
            appended.clear()
            with monkeypatch.context() as patch, contextlib.suppress(InterruptedError):
                patch.setattr(write, "_append", breaks)
                return run_task(task, progress)
        return run_task(task, progress)

    monkeypatch.setattr(local, "run_task", tried_again)
    dedup.run(TWO_PASSES, str(input), tmp_path / "out", **SERIAL)
    assert len(appended) == 3
    expected, found = tree_bytes(tmp_path / "whole"), tree_bytes(tmp_path / "out")
    assert [name for name in expected if expected[name] != found.get(name)] == []
