"""What may go wrong around an index: files that are gone, folders that overlap, an altered past, kills, budgets."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import dedup
from benchmarks.memory import watched
from dedup import cli
from dedup.errors import UserError
from dedup.io import files, index_change, shards
from dedup.io import index as store
from dedup.runner import budget
from tests.runner.test_index import BOTH, LONG, SERIAL, grow
from tests.runs import pairs, read_documents, tree_bytes, write_jsonl


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """in-a, in-b and in-c, which share documents."""
    a, b, c, d = (LONG[name] for name in "abcd")
    write_jsonl(tmp_path / "in-a" / "x.jsonl", [{"id": "a1", "text": a}, {"id": "a2", "text": b}])
    write_jsonl(tmp_path / "in-b" / "x.jsonl", [{"id": "b1", "text": a + " pea"}, {"id": "b2", "text": c}])
    write_jsonl(tmp_path / "in-b" / "y.jsonl", [{"id": "b3", "text": d}])
    write_jsonl(tmp_path / "in-c" / "x.jsonl", [{"id": "c1", "text": d}, {"id": "c2", "text": c}])
    return tmp_path


def kept(*folders: Path) -> list[str]:
    return [row["id"] for folder in folders for row in read_documents(folder)]


def test_texts_too_short_for_signatures_are_looked_up_too(tmp_path: Path) -> None:
    for part in "ab":
        write_jsonl(tmp_path / f"in-{part}" / "x.jsonl", [{"id": part, "text": "too short"}])
    assert pairs(grow(tmp_path, BOTH, ["a", "b"], **SERIAL)[1]) == [("b", "a", 1.0, "exact")]


# The past of a run


def test_a_finished_run_stays_finished_when_what_it_was_compared_with_is_forgotten(parts: Path) -> None:
    grow(parts, BOTH, ["a", "b"], **SERIAL)
    tree = tree_bytes(parts / "out-b")
    index_change.remove_source(parts / "index", [str(parts / "in-a")])
    grow(parts, BOTH, ["b"], **SERIAL)
    assert tree_bytes(parts / "out-b") == tree


def test_a_run_whose_past_was_altered_is_not_done_again_beside_its_old_generation(parts: Path) -> None:
    grow(parts, BOTH, ["a", "b"], **SERIAL)
    index_change.remove_source(parts / "index", [str(parts / "in-a")])
    shutil.rmtree(parts / "out-b")
    with pytest.raises(UserError) as error:
        grow(parts, BOTH, ["b"], **SERIAL)
    assert str(error.value) == (
        f"{parts}/index: generation 1 is of this run, and what it was compared with has changed since; forget it with "
        "`dedup index remove-source` and the inputs of the run, then run again"
    )
    assert not (parts / "out-b" / "documents").exists()
    index_change.remove_source(parts / "index", [str(parts / "in-b")])
    grow(parts, BOTH, ["b", "c"], **SERIAL)
    assert kept(parts / "out-b", parts / "out-c") == ["b1", "b2", "b3"]


def test_a_run_of_whose_documents_some_are_forgotten_is_not_done_again_beside_the_rest(parts: Path) -> None:
    grow(parts, BOTH, ["a", "b"], **SERIAL)
    assert index_change.remove_source(parts / "index", [str(parts / "in-b" / "y.jsonl")]) == 1
    shutil.rmtree(parts / "out-b")
    with pytest.raises(UserError, match=r"index: some documents of generation 1, which is of this run, are forgotten;"):
        grow(parts, BOTH, ["b"], **SERIAL)


def test_a_merge_alters_nobodys_past(parts: Path) -> None:
    grow(parts, BOTH, ["a", "b"], **SERIAL)
    tree = tree_bytes(parts / "out-b")
    index_change.merge(parts / "index")
    shutil.rmtree(parts / "out-b")
    grow(parts, BOTH, ["b"], **SERIAL)
    assert tree_bytes(parts / "out-b") == tree
    assert len(store.load(parts / "index").generations) == 2


def test_an_index_of_which_all_is_forgotten_takes_other_settings(parts: Path) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    index_change.remove_source(parts / "index", [str(parts)])
    assert store.load(parts / "index").folders == ()
    grow(parts, {"id": "id", "step": [{"dedup": "near", "threshold": 0.9}]}, ["b"], **SERIAL)
    assert [path.name for path in (parts / "index").glob("gen*")] == ["generation-00000"]


def test_sources_on_a_store_may_end_with_a_slash(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    with pytest.raises(UserError, match=r"no document is of s3://bucket/in/; `dedup index info"):
        index_change.remove_source(parts / "index", ["s3://bucket/in/"])
    assert index_change.is_below("s3://bucket/in/x.jsonl", "s3://bucket/in/")
    assert index_change.is_below("/in/x.jsonl", "/in/x.jsonl")
    assert not index_change.is_below("/in/x.jsonl.gz", "/in/x.jsonl")


# Folders that are not what they should be


@pytest.mark.parametrize(
    ("index", "output", "work", "message"),
    [
        ("out/index", "out", None, r"index .*/out/index lies in the output folder .*/out; keep them apart"),
        ("out", "out", None, r"index .*/out is the output folder; keep them apart"),
        ("index", "index/out", None, r"output folder .*/index/out lies in the index .*/index; keep them apart"),
        ("in-a/../in-b/index", "out", None, r"in-b/index/f\.jsonl lies in the index .*in-b/index; keep the index out"),
    ],
)
def test_an_index_lies_apart_from_what_is_read_and_written(
    parts: Path, index: str, output: str, work: str | None, message: str
) -> None:
    if "in-b" in index:
        write_jsonl(parts / "in-b" / "index" / "generation-00000" / "f.jsonl", [{"id": "x", "text": "y"}])
        shutil.move(parts / "in-b" / "index" / "generation-00000" / "f.jsonl", parts / "in-b" / "index" / "f.jsonl")
        store.commit(parts / "in-b" / "index", store.Catalogue())
    before = sorted(parts.rglob("*"))
    with pytest.raises(UserError, match=message):
        dedup.run(BOTH, parts / "in-b", parts / output, index=parts / index, **SERIAL)
    assert sorted(parts.rglob("*")) == before


def test_an_index_in_the_folder_of_temporary_work_is_refused(parts: Path) -> None:
    work = parts / "work"
    dedup.run(BOTH, parts / "in-a", parts / "out", work=work, keep_work=True, **SERIAL)
    (own,) = work.iterdir()
    shutil.rmtree(parts / "out")
    with pytest.raises(UserError, match=r"lies in the folder for temporary work .*; keep them apart"):
        dedup.run(BOTH, parts / "in-a", parts / "out", work=work, index=own / "index", **SERIAL)


def test_an_index_that_another_run_uses_is_named_as_such(parts: Path) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    with (
        files.locked(parts / "index"),
        pytest.raises(UserError, match=r"index: another run uses this index; wait for it, or take another index"),
    ):
        grow(parts, BOTH, ["b"], **SERIAL)


@pytest.mark.parametrize("name", ["documents.arrow", "documents.npy", "keys.arrow", "bands.arrow", "files.arrow"])
def test_a_file_of_the_index_that_is_gone_or_broken_is_named(parts: Path, name: str) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    path = parts / "index" / "generation-00000" / name
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(UserError, match=rf"generation-00000/{name} is gone; put it back, or make the index anew"):
        grow(parts, BOTH, ["b"], **SERIAL)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=rf"generation-00000/{name} is broken \(.*\); put it back, or make the index"):
        grow(parts, BOTH, ["b"], **SERIAL)
    path.write_bytes(whole)
    grow(parts, BOTH, ["b"], **SERIAL)
    assert kept(parts / "out-b") == ["b2", "b3"]


def test_a_plan_names_a_file_of_the_index_that_is_gone(parts: Path) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    path = parts / "index" / "generation-00000" / "keys.arrow"
    path.unlink()
    (parts / "recipe.toml").write_text('[[step]]\ndedup = "near"\n')
    command = ["plan", str(parts / "recipe.toml"), "-i", str(parts / "in-b"), "--index", str(parts / "index")]
    for more in ([], ["--json"], ["--no-sample"]):
        error = CliRunner().invoke(cli.cli, [*command, *more]).exception
        assert str(error) == f"{path} is gone; put it back, or make the index anew"


@pytest.mark.parametrize("lacks", ["settings", "generations", "folders", "run"])
def test_a_catalogue_that_lacks_something_is_none(parts: Path, lacks: str) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    path = parts / "index" / store.CATALOGUE
    data = json.loads(path.read_text())
    (data if lacks in data else data["generations"][0]).pop(lacks)
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match=r"index\.json: not the catalogue of an index; choose another folder"):
        store.load(parts / "index")


def test_a_folder_takes_no_more_documents_than_it_can_number(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(parts, BOTH, ["a", "b"], **SERIAL)
    monkeypatch.setattr(index_change, "MOST_DOCUMENTS", 3)
    before = (parts / "index" / store.CATALOGUE).read_bytes()
    with pytest.raises(UserError, match=r"index: a folder holds at most 3 documents; leave them in several"):
        index_change.merge(parts / "index")
    assert (parts / "index" / store.CATALOGUE).read_bytes() == before
    assert [p.name for p in sorted((parts / "index").iterdir())] == [
        "generation-00000", "generation-00001", "index.json",
    ]  # fmt: skip


# Being killed


@pytest.mark.parametrize("after", ["rename", "catalogue"])
def test_a_change_killed_at_its_end_leaves_an_index_as_it_was_or_as_it_should_be(
    parts: Path, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the new folder and the catalogue, and between the catalogue and the removal of old folders."""

    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    grow(parts, BOTH, ["a", "b"], **SERIAL)
    shutil.copytree(parts / "index", parts / "copy")
    if after == "rename":
        monkeypatch.setattr(files, "replacing", kill)
    else:
        monkeypatch.setattr(store, "_keep_only", kill)
    with pytest.raises(Killed):
        index_change.merge(parts / "index")
    monkeypatch.undo()
    assert len(store.load(parts / "index").folders) == (2 if after == "rename" else 1)
    assert len(list((parts / "index").glob("generation-*"))) == 3
    results = [
        dedup.run(BOTH, parts / "in-c", parts / f"out-{name}", index=parts / name, **SERIAL)
        for name in ("index", "copy")
    ]
    assert [pairs(one) for one in results] == [[("c1", "b3", 1.0, "exact"), ("c2", "b2", 1.0, "exact")]] * 2
    assert len(list((parts / "index").glob("generation-*"))) == len(store.load(parts / "index").folders)


# Budgets


@pytest.mark.parametrize("index_texts", [False, pytest.param(True, marks=pytest.mark.slow(always=True))])
def test_sizes_of_tasks_change_neither_outputs_nor_what_an_index_finds(
    tmp_path: Path, index_texts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"id": f"{n:03}", "text": f"{LONG['abcdefgh'[n % 7]]} {'more words here ' * (n % 5)}{n // 9}"}
        for n in range(90)
    ]
    for part, some in (("a", rows[:40]), ("b", rows[40:70]), ("c", rows[70:])):
        write_jsonl(tmp_path / f"in-{part}" / "x.jsonl", some)
    recipe = BOTH | {"index_texts": index_texts}
    expected = [tree_bytes(tmp_path / f"out-{part}") for part in "abc" if grow(tmp_path, recipe, [part], **SERIAL)]
    told = [one.documents for one in store.load(tmp_path / "index").generations]
    for part in "abc":
        shutil.rmtree(tmp_path / f"out-{part}")
    shutil.rmtree(tmp_path / "index")
    monkeypatch.setattr("dedup.runner.index_add.ROWS", 3)
    monkeypatch.setattr("dedup.io.index_files.BATCH_ROWS", 7)
    monkeypatch.setattr("dedup.io.index_change.MERGE_ROWS", 11)
    derive = dedup.runner.budget.derive

    def tiny(*args: Any, **kwargs: Any) -> Any:
        from dataclasses import replace

        return replace(derive(*args, **kwargs), batch_bytes=700, band_rows=64, key_rows=64, old_documents=4)

    monkeypatch.setattr("dedup.runner.budget.derive", tiny)
    for part, tree in zip("abc", expected, strict=True):
        grow(tmp_path, recipe, [part], **SERIAL)
        assert tree_bytes(tmp_path / f"out-{part}") == tree
        if part == "b":
            index_change.merge(tmp_path / "index")
    assert [one.documents for one in store.load(tmp_path / "index").generations] == told
    assert os.listdir(tmp_path / "index").count("generation-00002") == 1


@pytest.mark.slow
@pytest.mark.parametrize("index_texts", [False, True])
def test_runs_with_a_large_index_stay_within_their_budget(tmp_path: Path, index_texts: bool) -> None:
    """200,000 documents are added, then half of them looked up by near duplicates."""
    some, words = random.Random(1), [f"w{n}" for n in range(5_000)]
    texts = [" ".join(some.choices(words, k=80)) for _ in range(200_000)]
    write_jsonl(tmp_path / "in-a" / "x.jsonl", [{"id": f"a{n}", "text": text} for n, text in enumerate(texts)])
    alike = [{"id": f"b{n}", "text": f"{text} new"} for n, text in enumerate(texts) if n % 2]
    write_jsonl(tmp_path / "in-b" / "x.jsonl", alike)
    (tmp_path / "recipe.toml").write_text(
        f'id = "id"\nindex_texts = {str(index_texts).lower()}\n[[step]]\ndedup = "near"\n'
    )
    told = []
    for part in "ab":
        output, source = tmp_path / f"out-{part}", tmp_path / f"in-{part}"
        size = budget.look_at(shards.discover([str(source)])).least(2)
        options = ("--workers", "2", "--memory", str(size), "--index", str(tmp_path / "index"))
        assert watched("run", [tmp_path / "recipe.toml", source], output, *options) <= size
        told.append(json.loads((output / "report" / "summary.json").read_text())["index"])
    assert [one["documents_added"] for one in told] == [200_000, 0]
    assert 100_000 <= told[1]["candidates"] < 100_100
