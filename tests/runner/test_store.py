"""A run through an object store: the same bytes as on disk, objects that are whole or absent, faults that are named.

The server is moto's, a process of its own.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hypothesis
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

import dedup
from dedup import cli, sample
from dedup.errors import RunError, UserError
from dedup.io import copies, lease, place, shards, store
from dedup.io.ranged import Reader
from dedup.recipe import load
from dedup.runner import ray as executors
from dedup.runner.environment import environment_key
from dedup.runner.task import Task, forget, look_up, run_task
from tests.bucket import Bucket
from tests.runs import EVERYTHING, NEAR, files, tree_bytes, write_jsonl, write_parquet

SERIAL: dict[str, Any] = {"executor": "serial"}
EXACT = {"step": [{"dedup": "exact"}]}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A small corpus of every format."""
    sample.write(tmp_path / "in")
    return tmp_path / "in"


def manifest(output: Path) -> list[dict[str, Any]]:
    """The shards without where they lay and when they were written."""
    return pq.read_table(output / "manifest.parquet").drop(["path", "mtime_ns", "tag"]).to_pylist()


# The same bytes


@pytest.mark.parametrize("executor", [SERIAL, {"executor": "local", "workers": 2}])
def test_a_run_through_a_store_writes_the_bytes_of_every_file_that_one_on_disk_writes(
    executor: dict[str, Any], s3: Bucket, corpus: Path, tmp_path: Path
) -> None:
    """Input and output on the store, only one of them, and neither."""
    there = s3.put(corpus, "in")
    dedup.run(EVERYTHING, str(corpus), tmp_path / "disk", **SERIAL)
    dedup.run(EVERYTHING, there, f"{s3.url}/both/", **executor)
    dedup.run(EVERYTHING, there, tmp_path / "from", **executor)
    dedup.run(EVERYTHING, str(corpus), f"{s3.url}/to", **executor)
    disk = tree_bytes(tmp_path / "disk")
    for output in (s3.get("both", tmp_path / "both"), tmp_path / "from", s3.get("to", tmp_path / "to")):
        assert tree_bytes(output) == disk
        assert manifest(output) == manifest(tmp_path / "disk")
        assert files(output) == files(tmp_path / "disk")  # no lock, no temporary name
    assert files(tmp_path / "cache") == []  # no work either


@pytest.mark.parametrize("executor", [SERIAL, {"executor": "local", "workers": 2}])
def test_a_run_that_works_on_a_store_writes_the_bytes_of_every_file_that_one_on_disk_writes(
    executor: dict[str, Any], s3: Bucket, corpus: Path, tmp_path: Path
) -> None:
    """Input, output and work on the store, and work alone; nothing of the work stays there or here."""
    dedup.run(EVERYTHING, str(corpus), tmp_path / "disk", **SERIAL)
    there = s3.put(corpus, "in")
    s3.counts()
    dedup.run(EVERYTHING, there, f"{s3.url}/out", work=f"{s3.url}/work", **executor)
    assert s3.counts()["LIST"] < 200
    dedup.run(EVERYTHING, str(corpus), tmp_path / "here", work=f"{s3.url}/work/", **executor)
    for output in (s3.get("out", tmp_path / "out"), tmp_path / "here"):
        assert tree_bytes(output) == tree_bytes(tmp_path / "disk")
        assert manifest(output) == manifest(tmp_path / "disk")
        assert files(output) == files(tmp_path / "disk")
    assert s3.names("work") == []
    assert files(tmp_path / "cache") == []


def test_what_a_run_left_on_a_store_is_rerun_and_swept(s3: Bucket, corpus: Path, tmp_path: Path) -> None:
    """The work of the run there, that of the rerun there or here."""
    changes = ["threshold=0.9", "step.2.word_count.below=5"]
    dedup.run(EVERYTHING, str(corpus), tmp_path / "old", work=f"{s3.url}/work", keep_work=True, **SERIAL)
    dedup.run(EVERYTHING, str(corpus), tmp_path / "full", changes=changes, **SERIAL)
    for name, work in (("there", f"{s3.url}/more"), ("here", None)):
        dedup.rerun(tmp_path / "old", EVERYTHING, tmp_path / name, changes=changes, work=work, **SERIAL)
        assert tree_bytes(tmp_path / name) == tree_bytes(tmp_path / "full")
    assert s3.names("more") == []
    rules = dedup.sweep(tmp_path / "old", rule={"step.2.word_count.below": [3, 5]}, threshold=[0.8, 0.9])
    kept = dict(zip(rules["value"].to_pylist(), rules["documents_kept"].to_pylist(), strict=True))
    assert kept[3.0] == kept[0.8] == dedup.Result(tmp_path / "old").summary["documents_kept"]
    assert all("sweep-" not in name for name in s3.names("work"))
    assert files(tmp_path / "cache") == []


def test_one_big_file_is_cut_on_a_store_as_on_disk(s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.io.units.UNIT_BYTES", 5_000)
    rows = [{"id": str(n), "text": f"the {n} of {n % 90} ferries left the harbour at {n % 7}"} for n in range(600)]
    write_jsonl(tmp_path / "in" / "a.jsonl", rows)
    write_parquet(tmp_path / "whole.parquet", rows)
    (tmp_path / "in" / "b").mkdir()
    pq.write_table(pq.read_table(tmp_path / "whole.parquet"), tmp_path / "in" / "b" / "c.parquet", row_group_size=100)
    dedup.run(NEAR, str(tmp_path / "in"), tmp_path / "disk", **SERIAL)
    dedup.run(NEAR, s3.put(tmp_path / "in", "in"), f"{s3.url}/out", **SERIAL)
    dedup.run(NEAR, str(tmp_path / "in"), tmp_path / "here", work=f"{s3.url}/work", **SERIAL)
    assert tree_bytes(s3.get("out", tmp_path / "out")) == tree_bytes(tmp_path / "disk")
    assert tree_bytes(tmp_path / "here") == tree_bytes(tmp_path / "disk")
    assert s3.names("work") == []


def test_output_is_cut_anew_on_a_store_as_on_disk(s3: Bucket, corpus: Path, tmp_path: Path) -> None:
    recipe = EXACT | {"output_shard_bytes": 3_000}
    dedup.run(recipe, str(corpus), tmp_path / "disk", **SERIAL)
    dedup.run(recipe, str(corpus), f"{s3.url}/out", work=f"{s3.url}/work", **SERIAL)
    assert len([name for name in files(tmp_path / "disk") if "part-" in name]) > 10
    assert tree_bytes(s3.get("out", tmp_path / "out")) == tree_bytes(tmp_path / "disk")
    assert s3.names("work") == []


@pytest.mark.shared
@pytest.mark.parametrize("part", ["valid", "invalid"])
def test_the_edge_folder_gives_the_same_through_a_store(part: str, s3: Bucket, shared: Path, tmp_path: Path) -> None:
    there = s3.put(shared / "edge" / part, part)
    codes = [
        dedup.run({"step": EVERYTHING["step"]}, given, output, **SERIAL).exit_code
        for given, output in ((str(shared / "edge" / part), str(tmp_path / "disk")), (there, f"{s3.url}/out"))
    ]
    assert codes[0] == codes[1]
    assert tree_bytes(s3.get("out", tmp_path / "out")) == tree_bytes(tmp_path / "disk")
    assert manifest(tmp_path / "out") == manifest(tmp_path / "disk")


def test_other_urls_go_through_fsspec(corpus: Path, tmp_path: Path) -> None:
    """Its own double of a store is a folder of this machine."""
    pytest.importorskip("fsspec")
    dedup.run(NEAR, str(corpus), tmp_path / "disk", **SERIAL)
    dedup.run(NEAR, f"local://{corpus}", f"local://{tmp_path}/out", work=tmp_path / "work", **SERIAL)
    dedup.run(NEAR, str(corpus), tmp_path / "here", work=f"local://{tmp_path}/there", **SERIAL)
    for output in (tmp_path / "out", tmp_path / "here"):
        assert tree_bytes(output) == tree_bytes(tmp_path / "disk")
        assert files(output) == files(tmp_path / "disk")
    assert files(tmp_path / "there") == []


def test_a_file_url_is_a_path(corpus: Path, tmp_path: Path) -> None:
    result = dedup.run(NEAR, corpus.as_uri(), (tmp_path / "out").as_uri(), **SERIAL)
    assert result.output == tmp_path / "out"
    assert (tmp_path / "out" / "recipe.toml").exists()


def test_recipe_and_tables_are_read_from_a_store(
    s3: Bucket, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").write_text('id = "id"\n[[step]]\ndedup = "near"\n')
    recipe, there = s3.put(tmp_path / "recipe.toml", "recipe.toml"), s3.put(corpus, "in")
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", recipe, "-i", f"{there}/*.jsonl", "-o", f"{s3.url}/out", "--executor", "serial"])
    assert ended.value.code == 0
    result = dedup.Result(f"{s3.url}/out")
    gone = result.duplicates["id"].to_pylist()
    assert sorted(result.dropped["id"].to_pylist()) == sorted(gone)
    assert result.documents.num_rows == result.summary["documents_in"]
    capsys.readouterr()
    cli.main(["why", f"{s3.url}/out", gone[0]])
    assert "dropped: " in capsys.readouterr().out


@pytest.mark.parametrize("executor", [SERIAL, {"executor": "local", "workers": 2}])
def test_a_setting_may_name_a_file_on_a_store(executor: dict[str, Any], s3: Bucket, tmp_path: Path) -> None:
    (tmp_path / "flagged.txt").write_text("cat\n")
    there = s3.put(tmp_path / "flagged.txt", "lists/flagged.txt")
    write_jsonl(tmp_path / "in" / "0.jsonl", [{"id": text, "text": f"a {text} here"} for text in ("cat", "cow")])

    def gone(output: str) -> list[str]:
        steps = [
            {"use": "measure.words", "lists": {"flagged": there}},
            {"use": "drop.when", "flagged_count": {"above": 0}},
        ]
        result = dedup.run({"id": "id", "step": steps}, tmp_path / "in", tmp_path / output, **executor)
        return result.dropped["id"].to_pylist()

    assert gone("out") == ["cat"]
    (tmp_path / "flagged.txt").write_text("cow\n")
    s3.put(tmp_path / "flagged.txt", "lists/flagged.txt")
    assert gone("other") == ["cow"]
    s3.client.delete_object(Bucket=s3.name, Key="lists/flagged.txt")
    with pytest.raises(UserError, match=rf"lists.flagged is '{there}'; there is no such object$"):
        gone("third")


@pytest.mark.parametrize(
    "pattern",
    ["in", "in/", "in/*.jsonl", "in/*", "in/**", "in/**/*.jsonl", "in/a?/x.jsonl", "in/[!b]*/*.jsonl", "*/a1", "in/a*",
     "in/**/x.*", "in/a1/x.jsonl", "in/a[1-3]/*", "in/.b/*.jsonl", "in/_c/*.jsonl"],
)  # fmt: skip
def test_a_pattern_finds_on_a_store_what_it_finds_on_disk(pattern: str, s3: Bucket, tmp_path: Path) -> None:
    names = ["x.jsonl", "y.txt", "a1/x.jsonl", "a1/z.parquet", "a2/x.jsonl", "a2/_y.jsonl", "b/.w.jsonl", "b/c/x.jsonl",
             "a1/deep/er/x.jsonl", ".b/x.jsonl", "_c/x.jsonl", "a1/_d/x.jsonl", "b/c/x+(1).jsonl"]  # fmt: skip
    for name in names:
        write_jsonl(tmp_path / "in" / name, [{"text": name}])
    s3.put(tmp_path / "in", "in")
    s3.client.put_object(Bucket=s3.name, Key="in/marker/", Body=b"")

    def found(given: str) -> list[tuple[Any, ...]]:
        return [(s.number, s.name, s.bytes, s.format) for s in shards.discover([given])]

    assert found(f"{s3.url}/{pattern}") == found(str(tmp_path / pattern))


def test_references_may_lie_on_a_store(s3: Bucket, tmp_path: Path) -> None:
    for name, words in (("in", "abc"), ("against", "cd")):
        write_jsonl(tmp_path / name / "x.jsonl", [{"id": w, "text": f"the document {w}"} for w in words])
    there = s3.put(tmp_path / "against", "against")
    result = dedup.run(EXACT | {"id": "id"}, tmp_path / "in", tmp_path / "out", against=there, **SERIAL)
    assert result.dropped["id"].to_pylist() == ["c"]
    assert s3.names() == ["against/x.jsonl"]


def test_inputs_on_disk_and_on_a_store_go_together(s3: Bucket, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "x.jsonl", [{"text": "x"}])
    inputs = [s3.put(tmp_path / "in", "in"), s3.put(tmp_path / "in", "more/in"), str(tmp_path / "in")]
    own = (tmp_path / "in").as_posix()[1:]
    assert [shard.name for shard in shards.discover(inputs[:2])] == ["in/x.jsonl", "more/in/x.jsonl"]
    there = f"s3:/{s3.name}"
    assert [shard.name for shard in shards.discover(inputs)] == [
        f"{own}/x.jsonl", f"{there}/in/x.jsonl", f"{there}/more/in/x.jsonl"
    ]  # fmt: skip


# Ranges


@hypothesis.given(
    st.binary(max_size=300),
    st.lists(st.tuples(st.integers(0, 320), st.integers(-1, 90)), max_size=12),
    st.sampled_from([0, 0, 60, 200]),
    st.none() | st.integers(0, 320),
)
def test_a_reader_gives_what_a_file_gives(
    data: bytes, reads: list[tuple[int, int]], held: int, until: int | None
) -> None:
    place.Remote("memory://tests/reader").store.write(data, "memory://tests/reader")
    reader, file = Reader("memory://tests/reader", ahead=64, held=held, until=until), io.BytesIO(data)
    reader.LEAST, reader.EARLY = 16, 32
    for at, count in reads:
        assert reader.seek(at) == file.seek(at)
        assert reader.read(count) == file.read(count)
        assert reader.read(7) == file.read(7)  # read on from there
        assert reader.tell() == file.tell()
    assert reader.seek(-min(3, len(data)), os.SEEK_END) == file.seek(-min(3, len(data)), os.SEEK_END)
    assert io.BufferedReader(reader).read() == file.read()


def test_a_store_is_listed_once_and_read_by_the_megabyte(s3: Bucket, tmp_path: Path) -> None:
    """20 MB of JSONL in a shard and 5 small ones: a first look at each, then a few ranges for scan and write."""
    line = {"id": "x", "text": "salt " * 200}
    write_jsonl(tmp_path / "in" / "big.jsonl", [line] * 19_500)
    for number in range(5):
        write_jsonl(tmp_path / "in" / f"small-{number}.jsonl", [line])
    there = s3.put(tmp_path / "in", "in")
    s3.counts()
    dedup.run(EXACT, there, tmp_path / "o", **SERIAL)
    asked = s3.counts()
    assert asked["LIST"] == 1
    # 6 first looks, 6 for the budget, then at columns; the big shard for scan and write by 0.25, 0.5, 1, 2, 4, 8 and
    # 8 MB; small ones.
    assert asked["GET"] <= 6 + 6 + 5 + 3 + 2 * 7 + 2 * 5
    # Whether each is what it was: before and after it is scanned, and before and after it is written.
    assert asked["HEAD"] <= 6 * 4


def test_column_chunks_are_asked_for_once(s3: Bucket, tmp_path: Path) -> None:
    rows = [{"id": str(n), "text": random.Random(n).randbytes(600).hex(), "score": n / 7} for n in range(3_000)]
    write_parquet(tmp_path / "in" / "a.parquet", rows)
    there = s3.put(tmp_path / "in", "in")
    s3.counts()
    dedup.run(EXACT, there, tmp_path / "o", **SERIAL)
    # A first look; the footer by plan, budget, scan and write (which opens it three times); at most five of data.
    asked = s3.counts()["GET"]
    assert asked <= 11, asked


# Faults


def test_requests_that_a_store_fails_are_asked_again(s3: Bucket, corpus: Path, tmp_path: Path) -> None:
    there = s3.put(corpus, "in")
    dedup.run(NEAR, str(corpus), tmp_path / "disk", **SERIAL)
    for fault in (
        {"times": 1, "status": 503, "code": "SlowDown"},
        {"times": 2, "status": 500, "code": "InternalError", "method": "PUT"},
        {"times": 2, "cut": True, "method": "GET", "match": ".jsonl"},
    ):
        s3.control(**fault)
        dedup.run(NEAR, there, f"{s3.url}/out-{fault.get('method')}-{len(fault)}", **SERIAL)
    outputs = {key.split("/")[0] for key in s3.names("out-")}
    assert len(outputs) == 3
    for output in outputs:
        assert tree_bytes(s3.get(output, tmp_path / output)) == tree_bytes(tmp_path / "disk")


def test_a_store_that_goes_on_failing_is_named_and_the_same_command_goes_on(
    s3: Bucket, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store._s3.cache_clear()
    there = s3.put(corpus, "in")
    dedup.run(NEAR, str(corpus), tmp_path / "disk", **SERIAL)
    for match, method in (("in/", "GET"), ("zh-1.jsonl.zst", "PUT"), ("duplicates", "PUT"), ("summary", "PUT")):
        s3.control(times=1_000, status=503, code="SlowDown", method=method, match=match)
        with pytest.raises(
            RunError, match=r"^s3://.*: the store fails \(SlowDown: as told\); the same command goes on"
        ):
            dedup.run(NEAR, there, f"{s3.url}/out", **SERIAL)
    s3.control()
    assert any("scan" in path for path in files(tmp_path / "cache"))
    dedup.run(NEAR, there, f"{s3.url}/out", **SERIAL)
    assert tree_bytes(s3.get("out", tmp_path / "out")) == tree_bytes(tmp_path / "disk")
    assert files(tmp_path / "cache") == []


def test_a_store_that_fails_while_a_run_works_there_is_named_and_the_same_command_goes_on(
    s3: Bucket, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it fails at: each attempt comes further, and the last finds what the others did."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store._s3.cache_clear()
    dedup.run(NEAR, str(corpus), tmp_path / "disk", **SERIAL)
    faults = [("PUT", "scan-00001/sketches"), ("PUT", "scan-00002/done.json"), ("GET", "bands-0.bin"),
              ("PUT", "joined/groups"), ("PUT", "duplicates/00001"), ("POST", "delete")]  # fmt: skip
    for method, match in faults:
        s3.control(times=1_000, status=503, code="SlowDown", method=method, match=match)
        with pytest.raises(
            RunError, match=r"^s3://.*: the store fails \(SlowDown: as told\); the same command goes on"
        ):
            dedup.run(NEAR, str(corpus), tmp_path / "out", work=f"{s3.url}/work", **SERIAL)
        assert files(tmp_path / "cache") == []
    s3.control()
    s3.counts()
    dedup.run(NEAR, str(corpus), tmp_path / "out", work=f"{s3.url}/work", **SERIAL)
    assert s3.counts()["PUT"] <= 3  # its lease
    assert tree_bytes(tmp_path / "out") == tree_bytes(tmp_path / "disk")
    assert s3.names("work") == []


def test_what_is_wrong_with_a_store_is_one_line(
    s3: Bucket, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = s3.put(corpus, "in")

    def said(given: str, output: str) -> str:
        with pytest.raises(dedup.DedupError) as caught:
            dedup.run(NEAR, given, output, **SERIAL)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert said("s3://no-such-bucket/in", "out") == "s3://no-such-bucket/in/: there is no bucket 'no-such-bucket'"
    assert said(there, "s3://no-such-bucket/out").endswith(": there is no bucket 'no-such-bucket'")
    assert said(f"{s3.url}/nothing", "out") == f"{s3.url}/nothing: no such object or folder"
    assert said(f"{s3.url}/in/*.txt", "out") == f"{s3.url}/in/*.txt: matches no object"
    assert said(there, there) == f"{there}/en-0.jsonl lies in the output folder {there}; write somewhere else"
    s3.control(times=1, status=403, code="AccessDenied", method="GET", match="in/")
    assert said(there, "out").endswith("access denied (AccessDenied: as told)")
    assert said("nosuch://bucket/in", "out").startswith("nosuch:// cannot be opened (")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store._s3.cache_clear()
    assert said(there, "out").endswith(
        'Could not connect to the endpoint URL: "http://127.0.0.1:9/'
        f'{s3.name}?list-type=2&prefix=in%2F&encoding-type=url"; the same command goes on from here'
    )


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    store._s3.cache_clear()
    with pytest.raises(UserError, match=r"^s3:// needs one more package: pip install 'dedup\[s3\]'$"):
        dedup.run(NEAR, "s3://bucket/in", "out", **SERIAL)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_no_shard_is_taken_for_broken_because_the_store_fails(
    kind: str, s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever read of it fails: through pyarrow's reader too the run stops, and rejects nothing."""
    rows = [{"id": str(n), "text": random.Random(n).randbytes(300).hex()} for n in range(2_000)]
    (write_jsonl if kind == "jsonl" else write_parquet)(tmp_path / "in" / f"a.{kind}", rows)
    there = s3.put(tmp_path / "in", "in")
    reads, before = [0, 0], store.S3.read

    def read(self: store.S3, url: str, begin: int, end: int | None) -> Any:
        reads[0] += url.startswith(there)
        if reads[0] == reads[1]:
            raise RunError("the store fails")
        return before(self, url, begin, end)

    monkeypatch.setattr(store.S3, "read", read)
    stopped = 0
    for reads[1] in range(1, 30):
        reads[0] = 0
        try:
            result = dedup.run(EXACT, there, tmp_path / f"out-{reads[1]}", **SERIAL)
        except RunError as error:
            assert str(error) == "the store fails"  # noqa: PT017  # some do, some do not
            stopped += 1
        else:
            assert result.summary["documents_kept"] == 2_000
            break
    assert stopped >= 5


@pytest.mark.parametrize("how", ["changed", "vanished"])
def test_an_object_that_changed_or_vanished_since_an_attempt_that_broke_off_is_refused_by_name_once(
    how: str, s3: Bucket, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store._s3.cache_clear()
    there = s3.put(corpus, "in")
    s3.control(times=1_000, status=503, code="SlowDown", method="PUT", match="duplicates")
    with pytest.raises(RunError, match="SlowDown"):
        dedup.run(NEAR, there, f"{s3.url}/out", **SERIAL)
    s3.control()
    lines = s3.read("in/en-0.jsonl").splitlines(keepends=True)
    s3.client.delete_object(Bucket=s3.name, Key="in/en-0.jsonl")
    if how == "changed":
        s3.client.put_object(Bucket=s3.name, Key="in/en-0.jsonl", Body=b"".join(reversed(lines)))
    with pytest.raises(dedup.DedupError, match=rf"^{there}/en-0.jsonl: changed or vanished since the attempt"):
        dedup.run(NEAR, there, f"{s3.url}/out", **SERIAL)
    result = dedup.run(NEAR, there, f"{s3.url}/out", **SERIAL)
    assert result.summary["shards_in"] == len(s3.names("in/"))


def test_an_object_that_changes_while_it_is_read_is_refused_by_name(
    s3: Bucket, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = s3.put(corpus, "in")
    before = store.S3.read

    def read(self: store.S3, url: str, begin: int, end: int | None) -> Any:
        if end != 4096 and url.endswith("en-0.jsonl"):
            s3.client.put_object(Bucket=s3.name, Key="in/en-0.jsonl", Body=os.urandom(9))
        return before(self, url, begin, end)

    monkeypatch.setattr(store.S3, "read", read)
    with pytest.raises(dedup.DedupError, match=rf"^{there}/en-0.jsonl: changed during the run"):
        dedup.run({"step": [{"dedup": "near"}]}, f"{there}/en-0.jsonl", f"{s3.url}/out", **SERIAL)


# Whole or not at all


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART_BYTES", 5 << 20)  # the least that S3 takes
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store._s3.cache_clear()


def test_an_upload_of_several_parts_appears_whole_or_not_at_all(s3: Bucket, tmp_path: Path, small_parts: None) -> None:
    data = os.urandom(12 << 20)
    (tmp_path / "big").write_bytes(data)
    s3.control(times=9, status=503, code="SlowDown", method="PUT", match="partNumber=2")
    with pytest.raises(RunError, match="SlowDown"):
        store.of(s3.url).upload(tmp_path / "big", f"{s3.url}/big")
    assert s3.names() == []
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=s3.name)
    s3.control()
    store.of(s3.url).upload(tmp_path / "big", f"{s3.url}/big")
    assert s3.read("big") == data


def test_an_upload_that_a_killed_run_left_is_forgotten_at_the_next_start(s3: Bucket, corpus: Path) -> None:
    for key in ("out/documents/en-0.jsonl", "other/en-0.jsonl"):
        s3.client.create_multipart_upload(Bucket=s3.name, Key=key)
    dedup.run(NEAR, str(corpus), f"{s3.url}/out", **SERIAL)
    left = s3.client.list_multipart_uploads(Bucket=s3.name)["Uploads"]
    assert [one["Key"] for one in left] == ["other/en-0.jsonl"]  # not ours


@pytest.mark.parametrize(
    ("victim", "work", "moment"),
    [("driver", None, "out/dropped/"), ("tree", None, "out/dropped/"), ("tree", "work", "work/"),
     pytest.param("driver", "work", "work/", marks=pytest.mark.slow),
     pytest.param("tree", "work", "out/dropped/", marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_killed_run_goes_on_with_the_same_command(
    victim: str, work: str | None, moment: str, s3: Bucket, corpus: Path, tmp_path: Path
) -> None:
    """Killed as the first of its files is there: of its output, or of a task that works on the store."""
    dedup.run(NEAR, str(corpus), tmp_path / "disk", **SERIAL)
    there = s3.put(corpus, "in")
    (tmp_path / "recipe.toml").write_text('id = "id"\n[[step]]\ndedup = "near"\n')
    command = [sys.executable, "-m", "dedup", "run", str(tmp_path / "recipe.toml"), "-i", there, "-o", f"{s3.url}/out"]
    s3.control(seconds=0.15)  # a request: long enough to be killed in between
    more = {"work": f"{s3.url}/{work}"} if work else {}
    command += ["--work", more["work"]] if work else []
    run = subprocess.Popen([*command, "--workers", "2"], start_new_session=True, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not any("pass-0" in name or "dropped" in name for name in s3.names(moment)) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL) if victim == "driver" else os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    s3.control()
    assert "out/.lock" in s3.names()  # it had no time to let go
    assert "out/report/summary.json" not in s3.names()
    dedup.run(tmp_path / "recipe.toml", there, f"{s3.url}/out", executor="local", workers=2, **more)
    assert s3.names("work") == []
    assert tree_bytes(s3.get("out", tmp_path / "out")) == tree_bytes(tmp_path / "disk")
    assert files(tmp_path / "out") == files(tmp_path / "disk")
    assert files(tmp_path / "cache") == []


@pytest.mark.slow
def test_runs_that_work_on_a_store_killed_at_random_moments_end_with_the_same_bytes(
    s3: Bucket, corpus: Path, tmp_path: Path, seeded: bool
) -> None:
    """The whole tree or the driver alone, as some tasks are done; the same command finishes, and leaves nothing."""
    rng = random.Random(7)
    dedup.run(EVERYTHING, str(corpus), tmp_path / "disk", **SERIAL)
    code = "import dedup, sys, tests.runs as r; dedup.run(r.EVERYTHING, *sys.argv[1:3], work=sys.argv[3], workers=2)"
    for number in range(3 if seeded else 12):
        output, work = tmp_path / f"out-{number}", f"{s3.url}/work-{number}"
        moment = rng.randrange(22)  # tasks of scans, groups, edges, join, fetch, represent, scans again, writes
        run = subprocess.Popen([sys.executable, "-c", code, str(corpus), str(output), work], start_new_session=True)
        while len([n for n in s3.names(f"work-{number}") if n.endswith("done.json")]) < moment and run.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        if run.poll() is None:
            os.kill(run.pid, signal.SIGKILL) if number % 2 else os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        dedup.run(EVERYTHING, str(corpus), output, work=work, **SERIAL)
        assert tree_bytes(output) == tree_bytes(tmp_path / "disk"), (number, moment)
        assert files(output) == files(tmp_path / "disk"), (number, moment)
        assert s3.names(f"work-{number}") == [], (number, moment)
    assert files(tmp_path / "cache") == []


@pytest.mark.ray
def test_ray_writes_the_same_through_a_store(s3: Bucket, ray: Any, corpus: Path, tmp_path: Path) -> None:
    """A Ray of the run's own: its workers know the store by the variables of the driver."""
    dedup.run(NEAR, str(corpus), tmp_path / "disk", **SERIAL)
    there = s3.put(corpus, "in")
    code = "import dedup, sys, tests.runs as r; dedup.run(r.NEAR, sys.argv[1], sys.argv[2], executor='ray', workers=2)"
    done = subprocess.run(
        [sys.executable, "-c", code, there, f"{s3.url}/out"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert tree_bytes(s3.get("out", tmp_path / "out")) == tree_bytes(tmp_path / "disk")
    assert files(tmp_path / "out") == files(tmp_path / "disk")
    assert files(tmp_path / "cache") == []


CLUSTER = """
import os, pathlib, time

def rule(batch):
    node = os.environ.get("NODE", "none")
    if batch.num_rows:
        pathlib.Path({folder!r}, "node-" + node).touch()
        time.sleep(600 if node == "dies" else 0)
    return batch
"""


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("second", ["second", "dies"])
def test_a_cluster_whose_nodes_share_no_folder_writes_the_same_through_a_store(
    second: str, s3: Bucket, ray: Any, corpus: Path, tmp_path: Path
) -> None:
    """Two nodes of one CPU each on this machine, each with a cache of its own; or one that ends amid its first task."""
    from ray.cluster_utils import Cluster

    (tmp_path / "rules.py").write_text(CLUSTER.format(folder=str(tmp_path)))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('id = "id"\n[[step]]\nuse = "rules:rule"\n[[step]]\ndedup = "near"\n')
    dedup.run(recipe, str(corpus), tmp_path / "disk", **SERIAL)
    node = {"num_cpus": 1, "object_store_memory": 100 << 20}
    caches = [str(tmp_path / f"cache-{n}") for n in range(2)]
    head = node | {"include_dashboard": False, "env_vars": {"XDG_CACHE_HOME": caches[0], "NODE": "first"}}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
    try:
        other = cluster.add_node(**node, env_vars={"XDG_CACHE_HOME": caches[1], "NODE": second})
        command = [sys.executable, "-m", "dedup", "run", str(recipe), "-i", s3.put(corpus, "in"), "-o", f"{s3.url}/out"]
        command += ["--work", f"{s3.url}/work", "--executor", "ray", "--address", cluster.address, "--quiet"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
            if second == "dies":
                until = time.monotonic() + 100
                while not (tmp_path / "node-dies").exists() and run.poll() is None and time.monotonic() < until:
                    time.sleep(0.02)
                cluster.remove_node(other, allow_graceful=False)
            said = run.communicate()[0]
        assert run.returncode == 0, said
        assert said == "" or second == "dies"  # of a node that ends Ray speaks
    finally:
        cluster.shutdown()
    assert tree_bytes(s3.get("out", tmp_path / "out")) == tree_bytes(tmp_path / "disk")
    assert files(tmp_path / "out") == files(tmp_path / "disk")
    assert {path.name for path in tmp_path.glob("node-*")} >= {"node-first", f"node-{second}"}
    assert s3.names("work") == []
    assert [files(tmp_path / name) for name in ("cache", "cache-0")] == [[], []]
    assert second == "dies" or files(Path(caches[1])) == []


# The lock


def test_two_runs_into_one_output_exclude_each_other(s3: Bucket, corpus: Path, tmp_path: Path) -> None:
    """By the store's lease, whatever folder each of them works in; by its work folder, if that is the same."""
    output = f"{s3.url}/out"
    with lease.held(place.Remote(output)) as check:
        check()
        with pytest.raises(UserError, match=rf"^{output}: another run is writing there"):
            dedup.run(NEAR, str(corpus), output, work=tmp_path / "work", **SERIAL)
        assert s3.names("out/") == ["out/.lock"]
    assert s3.names("out/") == []
    assert dedup.run(NEAR, str(corpus), output, **SERIAL).exit_code == 0


def write_lease(s3: Bucket, **owner: Any) -> None:
    body = json.dumps({"run": "another", "host": "elsewhere", "pid": 1, "seconds": 60} | owner)
    s3.client.put_object(Bucket=s3.name, Key="out/.lock", Body=body.encode())


def test_a_lease_of_another_machine_is_taken_over_when_it_has_run_out(s3: Bucket) -> None:
    write_lease(s3)
    with pytest.raises(UserError, match="another run is writing there"), lease.held(place.Remote(f"{s3.url}/out")):
        pass
    write_lease(s3, seconds=-1)
    with lease.held(place.Remote(f"{s3.url}/out")):
        assert json.loads(s3.read("out/.lock"))["pid"] == os.getpid()


def test_a_lease_of_a_process_of_this_machine_that_is_gone_is_taken_over_at_once(s3: Bucket) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_lease(s3, host=lease.socket.gethostname(), pid=gone.pid)
    with lease.held(place.Remote(f"{s3.url}/out")):
        assert json.loads(s3.read("out/.lock"))["pid"] == os.getpid()


def check_until(check: Callable[[], None], until: float) -> None:
    while time.monotonic() < until:
        check()
        time.sleep(0.02)


def test_a_lease_is_renewed_and_a_run_that_lost_it_stops_and_leaves_it(
    s3: Bucket, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SECONDS", 0.5)
    with lease.held(place.Remote(f"{s3.url}/out")) as check:
        first = store.of(s3.url).about(f"{s3.url}/out/.lock").tag
        until = time.monotonic() + 10
        while store.of(s3.url).about(f"{s3.url}/out/.lock").tag == first and time.monotonic() < until:
            time.sleep(0.02)
        check()
        write_lease(s3)
        with pytest.raises(RunError, match=r"lost the lock \(another run took the output over\)"):
            check_until(check, until)
    assert json.loads(s3.read("out/.lock"))["run"] == "another"


def test_a_run_that_lost_its_lock_publishes_nothing(s3: Bucket, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(self: lease._Lease) -> None:
        raise RunError("lost the lock")

    monkeypatch.setattr(lease._Lease, "check", lost)
    with pytest.raises(RunError, match="lost the lock"):
        dedup.run(NEAR, str(corpus), f"{s3.url}/out", **SERIAL)
    assert s3.names("out/documents/") == []


# Where the work goes


def write_numbers(folder: Path, progress: Any, *, names: list[str]) -> dict[str, Any]:
    """A task: a file a name, and how often it was done."""
    for name in names:
        (folder / name).write_text(name)
    DONE.append(names)
    return {"times": len(DONE)}


DONE: list[list[str]] = []


def test_a_task_on_a_store_counts_once_all_of_it_is_there_for_its_key(s3: Bucket, tmp_path: Path) -> None:
    DONE.clear()
    copies.begin("attempt")

    def times(key: str, *names: str) -> int:
        task = Task(f"{__name__}:write_numbers", f"{s3.url}/work/task-0", key, {"names": list(names)})
        found = look_up([task], 1)[0]
        done = run_task(task, lambda documents, size: None)
        assert found is None or found == done
        assert s3.names("work/task-0/") == sorted(f"work/task-0/{name}" for name in ["done.json", *names])
        return int(done["times"])

    assert [times("one", "a", "b"), times("one", "a", "b")] == [1, 1]
    assert times("two", "a") == 2  # what another key left is gone
    s3.client.put_object(Bucket=s3.name, Key="work/task-0/a", Body=b"longer")
    assert times("two", "a") == 3
    s3.client.delete_object(Bucket=s3.name, Key="work/task-0/a")
    assert times("two", "a") == 4
    s3.client.delete_object(Bucket=s3.name, Key="work/task-0/done.json")
    assert times("two", "a") == 5
    forget([Task("", f"{s3.url}/work/task-0", "two"), Task("", f"{s3.url}/work/task-1", "two")])
    assert times("two", "a") == 6
    copies.end("attempt")
    assert files(tmp_path / "cache") == []


def test_tasks_on_a_store_are_looked_up_by_one_listing(s3: Bucket) -> None:
    tasks = [Task("no:where", f"{s3.url}/work/task-{n:05}", "key") for n in range(40)]
    for task in tasks[:30]:
        body = json.dumps({"key": "key", "counts": {"of": task.folder}, "files": {}}).encode()
        store.of(s3.url).write(body, f"{task.folder}/done.json")
    s3.counts()
    assert look_up(tasks, 2) == [*({"of": task.folder} for task in tasks[:30]), *[None] * 10]
    assert s3.counts() == {"LIST": 1, "GET": 30}
    forget(tasks[20:])
    assert s3.counts() == {"LIST": 1, "DELETE": 10}
    assert [found is None for found in look_up(tasks, 2)] == [False] * 20 + [True] * 20


def test_an_object_is_fetched_once_by_all_that_want_it_at_once(
    s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "RANGE_BYTES", 5)
    copies.begin("attempt")
    for name in ("a", "b"):
        store.of(s3.url).write(b"some bytes", f"{s3.url}/{name}")
    s3.control(seconds=0.1)
    s3.counts()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: copies.on_disk(s3.url, "abc"[n % 3]), range(24)))
    assert {path.read_bytes() for n, path in enumerate(found) if n % 3 < 2} == {b"some bytes"}
    assert not found[2].exists()
    copies.on_disk(s3.url, "c")
    assert s3.counts()["GET"] <= 2 + 2 + 3  # two ranges each; of what is not there no lock is held
    copies.end("attempt")
    assert not found[0].exists()


def test_what_the_driver_sends_is_all_there_in_the_end_or_its_fault_is_told(
    s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(copies, "WAITING", 2)
    store._s3.cache_clear()
    copies.begin("attempt")

    def send(folder: place.Place) -> None:
        with copies.Outbox() as outbox:
            for n in range(9):
                with outbox.writing(folder / f"{n}.txt") as path:
                    path.write_text(str(n))

    send(tmp_path / "here")
    send(place.at(f"{s3.url}/there"))
    names = [f"{n}.txt" for n in range(9)]
    assert files(tmp_path / "here") == names
    assert [s3.read(f"there/{name}").decode() for name in names] == list("012345678")
    s3.counts()
    assert copies.on_disk(f"{s3.url}/there", "7.txt").read_text() == "7"
    assert s3.counts() == {}  # it is here already
    for number in (1, 8):
        s3.control(times=1, status=503, code="SlowDown", method="PUT", match=f"again/{number}.txt")
        with pytest.raises(RunError, match=f"again/{number}.txt: the store fails"):
            send(place.at(f"{s3.url}/again"))
    copies.end("attempt")


def test_a_node_that_does_not_see_the_work_on_a_store_is_named(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load(EXACT, input="in", output="out")
    marker = f"{s3.url}/work/.tmp-run"
    found = [executors.make_ready(recipe, [marker], environment_key(recipe), "run", os.getcwd())]
    store.of(s3.url).write(b"", marker)
    found.append(executors.make_ready(recipe, [marker], environment_key(recipe), "run", os.getcwd()))
    s3.control(times=9, status=403, code="AccessDenied", match="work/")
    found.append(executors.make_ready(recipe, [marker], environment_key(recipe), "run", os.getcwd()))
    assert [how for how, _ in found] == ["error", "done", "error"]
    node = os.uname().nodename
    assert str(found[0][1]) == (
        f"{node} does not see {s3.url}/work; recipe, input, output and work have to lie on a store or in folders that "
        "every node sees under the same path"
    )
    assert str(found[2][1]).startswith(f"{node}: {marker}: access denied (")


def test_a_task_sees_on_a_store_that_the_run_has_ended(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "LOOK_SECONDS", 0)
    watch = executors._Watch(f"{s3.url}/work/stop")
    watch.check()
    store.of(s3.url).write(b"", f"{s3.url}/work/stop")
    with pytest.raises(RunError, match=r"^the run has ended$"):
        watch.check()
    monkeypatch.setattr(executors, "LOOK_SECONDS", 100)
    s3.client.delete_object(Bucket=s3.name, Key="work/stop")
    s3.counts()
    for _ in range(9):
        watch.check()
    assert s3.counts() == {"HEAD": 1}  # not at every batch


def test_copies_that_were_not_used_for_longest_make_room(
    s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.begin("attempt")
    for name in "abcd":
        store.of(s3.url).write(bytes(100), f"{s3.url}/{name}")
    found = {name: copies.on_disk(f"{s3.url}/{name}") for name in "abc"}
    for name, age in (("a", 200), ("b", 300), ("c", 5)):
        os.utime(found[name], (time.time() - age, time.time() - age))
    usage = type(copies.shutil.disk_usage(tmp_path))
    monkeypatch.setattr(copies.shutil, "disk_usage", lambda path: usage(1_000, 900, 100))
    copies.on_disk(f"{s3.url}/d")  # of 1,000 bytes 100 stay free: one copy has to go
    assert [name for name in "abc" if found[name].exists()] == ["a", "c"]
    monkeypatch.setattr(copies.shutil, "disk_usage", lambda path: usage(1_000, 1_000, 0))
    copies.on_disk(f"{s3.url}/b")  # what was used a moment ago stays whatever is short
    assert [name for name in "abc" if found[name].exists()] == ["b", "c"]
    copies.end("attempt")


def test_what_an_attempt_that_is_no_more_left_here_goes_and_what_another_holds_stays(
    tmp_path: Path, s3: Bucket
) -> None:
    code = "import sys; from dedup.io import copies; copies.begin(sys.argv[1]); print(copies.scratch()); input()"
    homes = {}
    for attempt in ("held", "left"):
        process = subprocess.Popen(
            [sys.executable, "-c", code, attempt], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        homes[attempt] = process, Path(process.stdout.readline().strip())
    homes["left"][0].kill()
    homes["left"][0].wait()
    copies.begin("ours")
    copies.scratch()
    assert [homes[attempt][1].exists() for attempt in ("held", "left")] == [True, False]
    copies.end("ours")
    homes["held"][0].communicate("")


def test_work_goes_where_it_is_told(s3: Bucket, corpus: Path, tmp_path: Path) -> None:
    outputs = [f"{s3.url}/out", str(tmp_path / "out")]
    for output in outputs:
        dedup.run(NEAR, str(corpus), output, work=tmp_path / "scratch", keep_work=True, **SERIAL)
    assert len(list((tmp_path / "scratch").iterdir())) == 2  # each output has a folder of its own
    assert not (tmp_path / "out" / "work").exists()
    for output in outputs:
        dedup.run(NEAR, str(corpus), output, work=tmp_path / "scratch", **SERIAL)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_work_that_stays_on_a_store_is_gone_on_with_and_what_somebody_removed_is_written_again(
    s3: Bucket, tmp_path: Path
) -> None:
    for name in "ab":
        write_jsonl(tmp_path / "in" / f"{name}.jsonl", [{"text": f"text {name}"}])
    way: dict[str, Any] = {"work": f"{s3.url}/work", "keep_work": True, **SERIAL}
    dedup.run(EXACT, str(tmp_path / "in"), tmp_path / "out", **way)
    before = tree_bytes(tmp_path / "out")
    assert len([name for name in s3.names("work/") if name.endswith("/done.json")]) == 2 + 1 + 2  # scan, match, write
    (tmp_path / "out" / "documents" / "a.jsonl").unlink()
    s3.control(times=1_000, status=503, code="SlowDown", method="PUT", match="scan-")  # nobody scans again
    dedup.run(EXACT, str(tmp_path / "in"), tmp_path / "out", **way)
    assert tree_bytes(tmp_path / "out") == before
    assert not any(name.endswith(".lock") for name in s3.names())
