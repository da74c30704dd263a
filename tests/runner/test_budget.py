from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import dedup
from benchmarks import budget as benchmark
from benchmarks import planted
from benchmarks.memory import watched
from dedup import memory
from dedup.errors import UserError
from dedup.io import decode, shards
from dedup.runner import budget, disk
from tests.runs import NEAR, write_jsonl, write_parquet

MIB = 1 << 20
NEAR_STEP = 'dedup = "near"'
STAGES = {False: (), True: (  # those of web_en without its rules, which leave nothing of made-up words
    'use = "clean.fix_text"', 'use = "measure.language.identify"', 'use = "measure.gopher.repetition"',
    'use = "measure.gopher.quality"', 'use = "clean.drop_lines"\nterminal_marks = ""', 'use = "measure.c4"',
    'use = "measure.fineweb"', 'use = "clean.mask_pii"\nphone = false',
)}  # fmt: skip


def _corpus(documents: int, group_bytes: int = 0) -> budget.Corpus:
    return budget.Corpus(documents, documents * 1000, group_bytes)


def test_a_budget_too_small_for_the_workers_asked_for_lowers_their_number() -> None:
    corpus = _corpus(1000)
    least = [corpus.least(workers) for workers in (1, 2, 3, 4)]
    assert [budget.fitting_workers(corpus, size, 4) for size in least] == [1, 2, 3, 4]
    assert budget.fitting_workers(corpus, least[2] - 1, 4) == 2


def test_a_budget_too_small_for_any_is_refused_naming_the_least() -> None:
    corpus = _corpus(1_000_000, 400 * MIB)
    with pytest.raises(UserError) as error:
        budget.fitting_workers(corpus, 300 * MIB, 2)
    assert str(error.value) == (
        "memory is 300M; about 1,000,000 documents and a row group of 400M, which is written as one, need at least "
        f"{memory.text(corpus.least(1))} with one worker, {memory.text(corpus.least(2))} with two"
    )


def test_driver_and_workers_count_at_most_64_bytes_a_document() -> None:
    assert (_corpus(50_000_000).least(2) - _corpus(0).least(2)) / 50_000_000 <= 64


def test_very_many_shards_count_and_so_does_a_huge_row_group_in_any_of_them(tmp_path: Path) -> None:
    for number in range(40):
        rows = [{"text": f"{number} {row}"} for row in range(2_000 if number == 17 else 20)]
        write_parquet(tmp_path / f"{number:02}.parquet", rows)
    found = budget.look_at(shards.discover([str(tmp_path)]))
    largest = pq.ParquetFile(tmp_path / "17.parquet").metadata.row_group(0).total_byte_size
    assert (found.shards, found.group_bytes) == (40, largest)
    assert found.least(1) - dataclasses.replace(found, shards=0).least(1) == 40 * budget.SHARD


@pytest.mark.parametrize("size", [1, 256 * MIB, 512 * MIB, 1 << 30, 1 << 36])
@pytest.mark.parametrize("workers", [1, 2, 64])
def test_what_tasks_get_grows_with_the_budget_between_bounds(size: int, workers: int) -> None:
    less, more = (budget.derive(s, workers, 1000, batch_bytes=16 * MIB) for s in (size, size * 2))
    assert all(a <= b for a, b in zip(vars(less).values(), vars(more).values(), strict=True))
    assert less.batch_bytes >= MIB
    assert more.batch_bytes <= 16 * MIB


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_documents_are_estimated_from_footers_and_first_lines(tmp_path: Path, kind: str) -> None:
    lines = b"".join(b'{"text": "a line of about forty bytes, %08d"}\n' % i for i in range(50_000))
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"text": lines.decode().split("\n")[:-1]}), path, row_group_size=20_000)
    else:
        codec: Any = {"jsonl": bytes, "jsonl.gz": gzip.compress, "jsonl.zst": zstandard.compress}[kind]
        path.write_bytes(codec(lines))
    found = budget.look_at(shards.discover([str(path)]))
    assert found.documents == pytest.approx(50_000, rel=0.1)
    assert found.text_bytes == pytest.approx(len(lines), rel=0.15)
    assert (found.group_bytes > 0) == (kind == "parquet")
    assert budget.look_at(shards.discover([str(path)]), limit=7).documents == 7


def test_a_shard_that_cannot_be_read_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing more")
    (tmp_path / "b.jsonl.gz").write_bytes(b"\x1f\x8b\x08nonsense")
    (tmp_path / "c.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfdnonsense")
    assert budget.look_at(shards.discover([str(tmp_path)])).documents == 0


def test_a_run_that_cannot_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", [{"id": "x", "text": "some words"}])
    with pytest.raises(UserError, match=r"^memory is 100M; about 1 documents need at least \d+M with one worker, \d+M"):
        dedup.run(NEAR, source, tmp_path / "out", memory="100M")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pack", [bytes, lambda data: zstandard.ZstdCompressor().compress(data)], ids=["plain", "zstd"])
def test_a_document_that_no_task_has_memory_for_is_named_and_with_more_the_same_command_goes_on(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    lines = [json.dumps({"id": name, "text": f"{name} " * (12 << 20 if name == "b" else 10)}) for name in "abc"]
    (tmp_path / "in").write_bytes(pack("\n".join(lines).encode()))
    run = (NEAR | {"step": [{"dedup": "exact"}]}, tmp_path / "in", tmp_path / "out")
    with pytest.raises(UserError) as error:
        dedup.run(*run, memory="380M", executor="serial")
    assert str(error.value) == (
        f"{tmp_path / 'in'}, line 2: a document of 25M takes about 193M, and memory leaves 100M to a task; "
        "run again with more memory or fewer workers"
    )
    assert dedup.run(*run, memory="490M", executor="serial").summary["documents_kept"] == 3


def test_a_run_without_room_on_its_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", [{"id": "x", "text": "some words"}] * 9)
    usage = type("Usage", (), {"free": 9 * 340 - 1})
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError) as error:
        dedup.run(NEAR, source, tmp_path / "out")
    assert str(error.value) == (
        f"{tmp_path}: 1M of disk are free, and the run needs about 1M there; make room, or choose another output or "
        "work folder"
    )
    usage.free += 1
    assert dedup.run(NEAR, source, tmp_path / "out").summary["documents_in"] == 9


def test_fewer_workers_than_asked_for_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", [{"id": "x", "text": "some words"}])
    least = budget.look_at(shards.discover([str(source)])).least
    result = dedup.run(NEAR, source, tmp_path / "out", memory=least(1), workers=2)
    assert result.summary["workers"] == 1
    assert capsys.readouterr().err == (
        f"dedup: memory = {memory.text(least(1))} is enough for 1 of 2 workers; {memory.text(least(2))} is for all\n"
    )


def test_the_planted_corpus_is_what_it_says(tmp_path: Path) -> None:
    what = planted.write(tmp_path, 3_000)
    result = dedup.run(NEAR, tmp_path / "shards", tmp_path / "out", executor="serial")
    assert benchmark.differences(tmp_path / "out", planted.truth(what)) == 0
    assert result.summary["duplicates"]["near"] > 100
    assert len(planted.truth(what)) == result.summary["documents_dropped"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["jsonl", pytest.param("parquet", marks=pytest.mark.slow(always=True)), "one group", "jsonl.zst", "web_en"]
)
def test_a_run_stays_within_its_budget(tmp_path: Path, kind: str) -> None:
    what = planted.write(tmp_path, 50_000, format="jsonl" if kind.startswith("jsonl") else "parquet")
    (path,) = (tmp_path / "shards").iterdir()
    if kind == "one group":
        pq.write_table(pq.read_table(path), path, row_group_size=1 << 20)
    if kind == "jsonl.zst":
        with open(path, "rb") as source, zstandard.open(f"{path}.zst", "wb") as sink:
            sink.write(source.read())
        path.unlink()
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('id = "id"\n' + "".join(f"[[step]]\n{step}\n" for step in (*STAGES[kind == "web_en"], NEAR_STEP)))
    size = budget.look_at(shards.discover([str(tmp_path / "shards")]), with_stages=kind == "web_en").least(2)
    output = tmp_path / "out"
    peak = watched("run", [recipe, tmp_path / "shards"], output, "--workers", "2", "--memory", str(size))
    assert peak <= size
    assert peak > size / 2  # what is asked for is needed, about
    assert json.loads((output / "report" / "summary.json").read_text())["workers"] == 2
    assert benchmark.differences(output, planted.truth(what)) == 0


@pytest.mark.ray
def test_a_node_of_ray_does_no_more_tasks_at_once_than_its_memory_is_enough_for(
    tmp_path: Path, one_ray: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", [{"id": "x", "text": "some words"}] * 3)
    least = budget.look_at(shards.discover([str(source)])).least
    result = dedup.run(NEAR, source, tmp_path / "out", executor="ray", workers=2, memory=least(1))
    assert (result.summary["workers"], result.summary["documents_dropped"]) == (1, 2)
    told = [line for line in capsys.readouterr().err.splitlines() if "of a node" in line]
    assert told == [
        f"dedup: memory = {memory.text(least(1))} is enough for 1 of 2 workers of a node; "
        f"{memory.text(least(2))} is for all"
    ]


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("lines_a_frame", [20, 20_000])
def test_documents_are_estimated_whatever_members_and_frames_a_file_has(
    codec: str, lines_a_frame: int, tmp_path: Path
) -> None:
    lines = [f'{{"text": "{n} {n * n} {n * n * n}"}}\n'.encode() for n in range(20_000)]
    compress = gzip.compress if codec == "gzip" else zstandard.ZstdCompressor().compress
    frames = (b"".join(lines[n : n + lines_a_frame]) for n in range(0, len(lines), lines_a_frame))
    (tmp_path / "in.jsonl").write_bytes(b"".join(map(compress, frames)))
    corpus = budget.look_at(shards.discover([str(tmp_path)]))
    assert 15_000 < corpus.documents < 25_000


def test_a_bomb_is_looked_at_no_further_than_a_few_megabytes() -> None:
    for raw in (gzip.compress(bytes(1 << 28)), zstandard.ZstdCompressor().compress(bytes(1 << 28))):
        codec = "gzip" if raw.startswith(b"\x1f\x8b") else "zstd"
        decoded, used = decode.beginning(raw, codec, 1 << 24)
        assert len(decoded) < 18 << 20
        assert 0 < used <= len(raw)
