"""Progress on stderr: what of a part is done and left, as words and as JSON objects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dedup.runner import progress
from dedup.runner.progress import Part, in_words

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the module sees."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_what_is_left_is_told_by_bytes(clock: list[float]) -> None:
    part = Part("scan", 4, 80_000_000)
    clock[0] += 2
    part.advance(1_500, 20_000_000)
    assert (part.share, part.eta_seconds) == (0.25, 6.0)
    assert in_words(part) == "0 of 4 tasks, 1,500 documents, 20 MB, 10.0 MB/s, 0:00:06 left"


def test_where_bytes_are_unknown_it_is_told_by_tasks(clock: list[float]) -> None:
    part = Part("match near", 4, 0)
    clock[0] += 3
    part.advance(30, 0)
    assert (part.share, part.eta_seconds) == (0, None)
    part.ended(1)
    assert (part.share, part.eta_seconds) == (0.25, 9.0)
    assert in_words(part) == "1 of 4 tasks, 30 documents, 10 a second, 0:00:09 left"
    part.ended(3)
    assert (part.share, part.eta_seconds) == (1, 0)


@pytest.mark.parametrize("size", [0, 4_000])
def test_what_an_earlier_attempt_did_counts_for_nothing(clock: list[float], size: int) -> None:
    part = Part("scan", 4, size)
    part.ended(2)
    clock[0] += 5
    part.advance(10, 1_000)
    part.ended(1)
    assert (part.tasks_done, part.share, part.eta_seconds) == (3, 0.5, 5.0)


def test_a_part_with_more_bytes_than_were_foreseen_is_not_done_before_its_tasks_are(clock: list[float]) -> None:
    part = Part("scan", 2, 1_000)
    part.advance(10, 5_000)
    assert part.share == 0.99
    part.ended(2)
    assert part.share == 1


def test_a_part_without_tasks_is_done() -> None:
    assert (Part("write", 0, 0).share, in_words(Part("write", 0, 0))) == (1, "0 of 0 tasks")


def test_lines_come_every_minute(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Lines().part("fetch", 4, 0) as part:
        for _ in range(4):
            clock[0] += 40
            part.advance(400, 0)
            part.ended(1)
    assert capsys.readouterr().err.splitlines() == [
        "dedup: fetch: 1 of 4 tasks, 800 documents, 10 a second, 0:04:00 left",
        "dedup: fetch: 3 of 4 tasks, 1,600 documents, 10 a second, 0:00:53 left",
    ]


def test_bars_tell_what_lines_tell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with progress.Bars() as show, show.part("fetch", 2, 0) as part:
        part.advance(1_234, 0)
        part.ended(2)
    err = capsys.readouterr().err
    assert "fetch" in err
    assert "2 of 2 tasks, 1,234 documents" in err


# --log-json

RUN = ("near", "corpus.jsonl", "-o", "out", "--log-json")


def dedup(folder: Path, *arguments: str, **environment: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, objects on stderr, stdout."""
    more = os.environ | {"PYTHONPATH": str(ROOT), "DEDUP_TEST": str(ROOT)} | environment
    command = [sys.executable, "-m", "dedup", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=more, check=False)
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()], done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = [f"{i % 7} one two three four five six seven eight" for i in range(30)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return tmp_path


def test_every_part_of_a_run_begins_and_ends_with_an_object(folder: Path) -> None:
    code, objects, out = dedup(folder, *RUN, "--workers", "2")
    assert code == 0
    assert out.startswith("dedup ")
    told = [one for one in objects if one["event"] == "progress"]
    assert [set(one) for one in told] == [
        {"time", "event", "part", "tasks_done", "tasks", "documents", "bytes", "seconds", "eta_seconds"}
    ] * len(told)
    scans = [one for one in told if one["part"] == "scan"]
    named = [[one[name] for name in ("tasks_done", "tasks", "documents", "eta_seconds")] for one in scans]
    assert (named[0], named[-1]) == ([0, 1, 0, None], [1, 1, 30, 0.0])
    assert {"scan", "match equal", "match near", "write"} <= {one["part"] for one in told}
    assert {one["event"] for one in objects} <= {"progress", "info"}


def test_what_a_stage_prints_becomes_an_object(folder: Path) -> None:
    (folder / "loud.py").write_text(
        "import sys\ndef stage(batch):\n    print('hello', '\\x1b[1m', file=sys.stderr)\n    return batch\n"
    )
    (folder / "loud.toml").write_text('output = "out"\n[[step]]\nuse = "loud:stage"\n')
    code, objects, _ = dedup(folder, "run", "loud.toml", "-i", "corpus.jsonl", "--log-json", "--workers", "2")
    assert code == 0
    assert "hello \x1b[1m" in [one.get("message") for one in objects if one["event"] == "info"]


def test_mistakes_and_faults_are_objects(folder: Path) -> None:
    code, objects, _ = dedup(folder, "near", "nowhere", "-o", "out", "--log-json")
    assert (code, [one["event"] for one in objects]) == (2, ["error"])
    assert "nowhere" in objects[0]["message"]
    code, objects, _ = dedup(folder, *RUN, "--threshhold", "0.9")
    assert (code, [one["event"] for one in objects]) == (2, ["error"])
    assert "--threshold" in objects[0]["message"]


def test_quiet_leaves_warnings_and_errors(folder: Path) -> None:
    code, objects, out = dedup(folder, *RUN, "--quiet", "--workers", "1")
    assert (code, out, [one for one in objects if one["event"] == "progress"]) == (0, "", [])
