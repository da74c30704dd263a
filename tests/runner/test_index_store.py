"""An index on an object store: what one in a folder is and finds, through kills, faults and runs at the same time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import dedup
from dedup import cli
from dedup.errors import RunError, UserError
from dedup.io import index as store
from dedup.io import index_change, lease, place
from dedup.io import store as stores
from dedup.runner import index_upkeep
from tests.bucket import Bucket
from tests.runner.test_index import BOTH, LONG, SERIAL
from tests.runs import NEAR, files, pairs, read_documents, tree_bytes, write_jsonl, write_parquet

SHORT = "the old ferry leaves the small harbour every morning at six and comes back at night"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """in-a, in-b and in-c, which share documents; those that are too short for signatures to tell are compared."""
    a, b, c, d = (LONG[name] for name in "abcd")
    other = " ".join(reversed(SHORT.split()))
    write_jsonl(
        tmp_path / "in-a" / "x.jsonl",
        [{"id": "a1", "text": a}, {"id": "a2", "text": b + "  end"}, {"id": "a3", "text": SHORT}],
    )
    write_parquet(
        tmp_path / "in-b" / "x.parquet",
        [{"id": "b1", "text": b + " pea"}, {"id": None, "text": c}, {"id": "b3", "text": SHORT + " late"}],
    )
    write_jsonl(
        tmp_path / "in-c" / "x.jsonl",
        [{"id": "c1", "text": c + " pea"}, {"id": "c2", "text": a}, {"id": "c3", "text": d},
         {"id": "c4", "text": other}],
    )  # fmt: skip
    return tmp_path


def contents(index: Path) -> dict[str, Any]:
    """What an index in a folder is made of; by place, since on a store folders have names of their own."""
    catalogue = json.loads((index / "index.json").read_text())
    told = {
        f"{n}": {path.name: path.read_bytes() for path in (index / name).iterdir()}
        for n, name in enumerate(catalogue.pop("folders"))
    }
    assert len(list(index.glob("generation-*"))) == len(told)
    return told | catalogue


def contents_there(s3: Bucket, name: str, target: Path) -> dict[str, Any]:
    """The same of one on a store."""
    return contents(s3.get(name, target))


def run_all(parts: Path, index: Any, where: str, names: str = "abc", **how: Any) -> None:
    for part in names:
        dedup.run(BOTH, parts / f"in-{part}", parts / f"{where}-{part}", index=index, **how)


# The same


@pytest.mark.parametrize(
    ("executor", "work", "index_texts"),
    [(SERIAL, False, True), pytest.param({"executor": "local", "workers": 2}, True, False, marks=pytest.mark.slow)],
)
def test_three_generations_on_a_store_are_those_of_a_folder(
    executor: dict[str, Any], work: bool, index_texts: bool, s3: Bucket, parts: Path
) -> None:
    """The same bytes, of the index and of every output, with a merge in between; what is kept is what one run keeps."""
    recipe, there = BOTH | {"index_texts": index_texts}, f"{s3.url}/some/index"
    more = {"work": f"{s3.url}/work"} if work else {}
    for part in "abc":
        dedup.run(recipe, parts / f"in-{part}", parts / f"disk-{part}", index=parts / "index", **SERIAL)
        dedup.run(recipe, parts / f"in-{part}", parts / f"there-{part}", index=there, **more, **executor)
        assert tree_bytes(parts / f"there-{part}") == tree_bytes(parts / f"disk-{part}")
        assert contents_there(s3, "some/index", parts / f"got-{part}") == contents(parts / "index")
        if part == "b":
            index_change.merge(parts / "index")
            index_upkeep.merge(there)
    inputs = [str(parts / f"in-{part}") for part in "abc"]
    dedup.run(recipe, inputs, parts / "out", **SERIAL)
    kept = [row["id"] for part in "abc" for row in read_documents(parts / f"there-{part}")]
    assert kept == [row["id"] for row in read_documents(parts / "out")]
    before = s3.names("some/index")
    dedup.run(recipe, parts / "in-b", parts / "there-b", index=there, **SERIAL)  # which adds nothing twice
    assert s3.names("some/index") == before
    assert not [name for name in s3.names() if ".lock" in name or "work" in name]
    assert files(parts / "cache") == []


def test_texts_of_an_index_are_read_from_the_store_that_has_them(s3: Bucket, parts: Path) -> None:
    for part in "ab":
        there = s3.put(parts / f"in-{part}", f"in-{part}")
        dedup.run(NEAR, there, f"{s3.url}/out-{part}", index=f"{s3.url}/index", work=f"{s3.url}/work", **SERIAL)
    assert [row[:2] for row in pairs(dedup.Result(f"{s3.url}/out-b"))] == [("b1", "a2"), ("b3", "a3")]
    s3.put(parts / "in-c" / "x.jsonl", "in-a/x.jsonl")
    write_jsonl(parts / "in-d" / "x.jsonl", [{"id": "d", "text": LONG["b"] + " soon"}])
    with pytest.raises(UserError) as error:
        dedup.run(NEAR, parts / "in-d", parts / "out-d", index=f"{s3.url}/index", **SERIAL)
    assert str(error.value) == (
        f"{s3.url}/in-a/x.jsonl is gone or not what it was when {s3.url}/index took its documents; put it back, or "
        "forget them with `dedup index remove-source`"
    )


def test_an_index_in_a_folder_is_used_by_a_run_that_works_on_a_store(s3: Bucket, parts: Path) -> None:
    for way, more in {"disk": {}, "there": {"work": f"{s3.url}/work"}}.items():
        run_all(parts, parts / f"{way}-index", way, "ab", **more, **SERIAL)
    assert tree_bytes(parts / "there-b") == tree_bytes(parts / "disk-b")
    assert contents(parts / "there-index") == contents(parts / "disk-index")
    assert s3.names("work") == []


def test_an_index_on_a_store_is_told_merged_and_forgotten_from_like_one_in_a_folder(s3: Bucket, parts: Path) -> None:
    there = f"{s3.url}/index"
    for index, where in ((parts / "index", "disk"), (there, "there")):
        run_all(parts, index, where, **SERIAL)

    def said(index: Any, *command: str) -> str:
        given = ["index", command[0], str(index), *command[1:]]
        answer = CliRunner().invoke(cli.cli, given, catch_exceptions=False)
        return answer.output.replace(str(index), "INDEX")

    info = ["info"]
    forget = [["remove-source", str(parts / name)] for name in ("in-b", "in-c/x.jsonl")]
    for step in (info, [*info, "--json"], forget[0], info, ["merge"], info, forget[1], info):
        ours, theirs = said(there, *step), said(parts / "index", *step)
        if "--json" in step:
            ours, theirs = ({**json.loads(one), "folders": None} for one in (ours, theirs))  # type: ignore[assignment]
        assert ours == theirs
        assert contents_there(s3, "index", parts / f"got-{len(list(parts.iterdir()))}") == contents(parts / "index")
    assert "3 documents in 1 folders" in said(there, "info")
    assert ".lock" not in "".join(s3.names("index"))
    assert files(parts / "cache") == []


def test_a_plan_looks_at_an_index_on_a_store(s3: Bucket, parts: Path) -> None:
    run_all(parts, f"{s3.url}/index", "out", "ab", **SERIAL)
    (parts / "recipe.toml").write_text('id = "id"\n[[step]]\ndedup = "near"\n')
    command = ["plan", str(parts / "recipe.toml"), "-i", str(parts / "in-c"), "--index", f"{s3.url}/index"]
    answer = CliRunner().invoke(cli.cli, command, catch_exceptions=False).output
    assert f"index    {s3.url}/index: 2 generations, 4 documents" in answer
    assert "and with" not in answer
    assert "about 2 of the index, which grows by" in answer


def test_of_documents_the_columns_that_are_wanted_are_read(s3: Bucket, parts: Path) -> None:
    """Of 4 MB with texts, which nobody asks for, a small part."""
    rows = [{"id": f"{n}", "text": f"{n} " + "some words that make it long " * 4_000} for n in range(60)]
    write_jsonl(parts / "in-long" / "x.jsonl", rows)
    recipe = {"id": "id", "index_texts": True, "step": [{"dedup": "exact"}]}
    dedup.run(recipe, parts / "in-long", parts / "out-long", index=f"{s3.url}/index", **SERIAL)
    reads: list[int] = []
    before = stores.S3.read

    def read(self: stores.S3, url: str, begin: int, end: int | None) -> tuple[bytes, int]:
        found = before(self, url, begin, end)
        reads.append(len(found[0]) if "/index/" in url else 0)
        return found

    write_jsonl(parts / "in-again" / "x.jsonl", rows[5:7])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stores.S3, "read", read)
        result = dedup.run(recipe, parts / "in-again", parts / "out-again", index=f"{s3.url}/index", **SERIAL)
    assert [row[1] for row in pairs(result)] == ["5", "6"]
    assert sum(reads) < 1_500_000 < sum(len(row["text"]) for row in rows)


# One at a time


def test_runs_with_one_index_on_a_store_exclude_each_other(s3: Bucket, parts: Path) -> None:
    there = f"{s3.url}/index"
    run_all(parts, there, "out", "a", **SERIAL)
    message = rf"^{there}: another run is writing there, .* wait for it or choose another index$"
    with lease.held(place.Remote(there), "index"):
        with pytest.raises(UserError, match=message):
            run_all(parts, there, "out", "b", **SERIAL)
        with pytest.raises(UserError, match=message):
            index_upkeep.merge(there)
    assert not (parts / "out-b" / "documents").exists()
    run_all(parts, there, "out", "b", **SERIAL)
    assert len(store.load(place.Remote(there)).generations) == 2


@pytest.mark.parametrize("other", ["removes", "commits", "asked twice"])
def test_a_change_that_lost_its_lock_unawares_spoils_nothing(
    other: str, s3: Bucket, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run takes the index over: it removes what was uploaded, or adds something first."""
    index = place.Remote(f"{s3.url}/index")
    run_all(parts, str(index), "out", "ab", **SERIAL)
    before = s3.read("index/index.json")
    write = stores.S3.write

    def late(self: stores.S3, data: bytes, url: str, only: str | None = None) -> str:
        if not url.endswith("index.json"):
            return write(self, data, url, only)
        write(self, data if other == "asked twice" else before + b" ", url, only)
        return write(self, data, url, only)

    if other == "removes":
        missing = store.missing_files

        def removed(index: place.Place, catalogue: store.Catalogue) -> list[str]:
            known = json.loads(before)["folders"]
            for name in set(catalogue.folders) - set(known):
                place.remove(f"{index}/{name}/bands.arrow")
            return missing(index, catalogue)

        monkeypatch.setattr(store, "missing_files", removed)
    else:
        monkeypatch.setattr(stores.S3, "write", late)
    if other == "asked twice":
        index_upkeep.merge(str(index))
    else:
        with pytest.raises(RunError) as error:
            index_upkeep.merge(str(index))
        assert str(error.value) == (
            f"{index}: lost the lock (another run took the index over); the same command goes on from here"
        )
        assert s3.read("index/index.json").strip() == before.strip()
    monkeypatch.undo()
    run_all(parts, str(index), "out", "c", **SERIAL)
    run_all(parts, parts / "index", "disk", **SERIAL)
    assert tree_bytes(parts / "out-c") == tree_bytes(parts / "disk-c")
    folders = store.load(index).folders
    assert {name.split("/")[1] for name in s3.names("index")} == {"index.json", *folders}
    assert len(folders) == (2 if other == "asked twice" else 3)


# Kills and faults


@pytest.mark.parametrize("work", [None, pytest.param("work", marks=pytest.mark.slow)])
def test_a_run_killed_while_its_generation_is_uploaded_goes_on_with_the_same_command(
    work: str | None, s3: Bucket, parts: Path
) -> None:
    there, recipe = f"{s3.url}/index", parts / "recipe.toml"
    recipe.write_text(
        'id = "id"\n[[step]]\nuse = "clean.normalize"\n[[step]]\ndedup = "exact"\n[[step]]\ndedup = "near"\n'
    )
    run_all(parts, parts / "index", "disk", "ab", **SERIAL)
    run_all(parts, there, "out", "a", **SERIAL)
    before = s3.read("index/index.json")
    held = s3.names("index/generation-")
    command = [sys.executable, "-m", "dedup", "run", str(recipe), "-i", str(parts / "in-b"), "-o", str(parts / "out-b")]
    command += ["--index", there, "--executor", "serial", *(["--work", f"{s3.url}/{work}"] if work else [])]
    s3.control(seconds=0.08)  # a request: long enough to be killed in between
    run = subprocess.Popen(command, start_new_session=True)
    until = time.monotonic() + 60
    while len(s3.names("index/generation-")) == len(held) and run.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    s3.control()
    assert s3.read("index/index.json") == before
    assert len(held) < len(s3.names("index/generation-")) < 2 * len(held)
    assert "index/.lock" in s3.names()
    more = {"work": f"{s3.url}/{work}"} if work else {}
    dedup.run(recipe, parts / "in-b", parts / "out-b", index=there, **more, **SERIAL)
    assert contents_there(s3, "index", parts / "got") == contents(parts / "index")
    assert tree_bytes(parts / "out-b") == tree_bytes(parts / "disk-b")
    assert not [name for name in s3.names() if ".lock" in name or name.startswith("work")]
    assert files(parts / "cache") == []


def test_a_store_that_fails_is_named_and_the_same_command_goes_on(
    s3: Bucket, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    stores._s3.cache_clear()
    there = f"{s3.url}/index"
    run_all(parts, parts / "index", "disk", "ab", **SERIAL)
    run_all(parts, there, "out", "a", **SERIAL)
    faults = [("HEAD", "index.json"), ("GET", "index.json"), ("PUT", ".lock"), ("GET", "keys.arrow"),
              ("GET", "documents.npy"), ("GET", "documents.arrow"), ("PUT", "documents.arrow"), ("PUT", "files.npy"),
              ("PUT", "index.json")]  # fmt: skip
    for method, match in faults:
        s3.control(times=1_000, status=503, code="SlowDown", method=method, match=match)
        with pytest.raises(RunError, match=r"^s3://.*: the store fails \(.*; the same command goes on"):
            run_all(parts, there, "out", "b", **SERIAL)
        s3.control()
    run_all(parts, there, "out", "b", **SERIAL)
    assert contents_there(s3, "index", parts / "got") == contents(parts / "index")
    assert tree_bytes(parts / "out-b") == tree_bytes(parts / "disk-b")


def test_what_is_wrong_with_an_index_on_a_store_is_one_line(s3: Bucket, parts: Path) -> None:
    there = f"{s3.url}/index"

    def said(index: str, output: str = "out") -> str:
        with pytest.raises(UserError) as caught:
            dedup.run(BOTH, parts / "in-b", output if "://" in output else parts / output, index=index, **SERIAL)
        return str(caught.value)

    with pytest.raises(UserError, match=f"^{there}: no index; a run with --index {there} makes one$"):
        index_upkeep.tell(there)
    s3.client.put_object(Bucket=s3.name, Key="other/x.jsonl", Body=b"{}")
    for index in (f"{s3.url}/other", f"{s3.url}/other/x.jsonl"):
        assert said(index) == f"{index} is not empty and no index; choose another folder"
    assert said(there, f"{there}/out") == f"output folder {there}/out lies in the index {there}; keep them apart"
    assert said(f"{there}/in", there) == f"index {there}/in lies in the output folder {there}; keep them apart"
    assert said("s3://no-such-bucket/index").endswith("there is no bucket 'no-such-bucket'")
    run_all(parts, there, "out", "a", **SERIAL)
    folder = f"index/{store.load(place.Remote(there)).folders[0]}"
    keys = s3.read(f"{folder}/keys.arrow")
    s3.client.put_object(Bucket=s3.name, Key=f"{folder}/keys.arrow", Body=keys[:-20])
    assert said(there).startswith(f"{s3.url}/{folder}/keys.arrow is broken (")
    s3.client.delete_object(Bucket=s3.name, Key=f"{folder}/keys.arrow")
    assert said(there) == f"{s3.url}/{folder}/keys.arrow is gone; put it back, or make the index anew"
    s3.client.put_object(Bucket=s3.name, Key="index/index.json", Body=b"\xff{")
    assert said(there) == f"{there}/index.json: not the catalogue of an index; choose another folder"
