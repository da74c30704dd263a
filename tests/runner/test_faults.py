"""Killed, starved or disturbed, a run ends with the same bytes when started again, and leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pyarrow.parquet as pq
import pytest

import dedup
from dedup.io import files as io_files
from dedup.io import place
from dedup.io.files import locked
from dedup.plan import NearFiles
from dedup.runner import tables
from dedup.runner.local import Local, Serial
from dedup.runner.task import Task
from tests.runs import DIES, NEAR, WORDS, files, tree_bytes, write_jsonl, write_parquet

SEED = 20_240_501
SCRIPT = "import dedup, sys; dedup.run(sys.argv[1], executor='local', workers=2, keep_work=len(sys.argv) > 2)"
RECIPE = """
input = {input!r}
output = {output!r}
id = "id"
[[step]]
use = "measure.gopher.quality"
[[step]]
dedup = "near"
[[step]]
use = "drop.when"
word_count = {{ above = 150 }}
"""


class Job(NamedTuple):
    """A corpus, and what an uninterrupted run over it left: bytes, files, and how many tasks it had."""

    input: Path
    tree: dict[str, bytes]
    layout: list[str]
    tasks: int


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("faults")
    rng = random.Random(SEED)
    originals = [[rng.choice(WORDS) for _ in range(rng.randint(60, 160))] for _ in range(1_200)]
    for shard in range(6):
        rows = []
        for n in range(400):
            words = list(rng.choice(originals))
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            rows.append({"id": f"{shard}-{n}", "text": " ".join(words)})
        write_jsonl(folder / "in" / f"{shard}.jsonl", rows)
    finish(folder / "in", folder / "out", keep_work=True)
    layout = [name for name in files(folder / "out") if not name.startswith("work/")]
    return Job(folder / "in", tree_bytes(folder / "out"), layout, done(folder / "out"))


def finish(input: Path, output: Path, *, keep_work: bool = False) -> None:
    """The same run in this process, by itself: it costs a quarter of three new ones, and bytes are the same."""
    dedup.run(recipe_of(input, output), executor="serial", keep_work=keep_work)


def recipe_of(input: Path, output: Path) -> Path:
    recipe = output.parent / f"{output.name}.toml"
    recipe.write_text(RECIPE.format(input=str(input), output=str(output)))
    return recipe


def start(input: Path, output: Path, *options: str) -> subprocess.Popen[bytes]:
    """The driver of a run, in a process group of its own; with an option it keeps its work."""
    command = [sys.executable, "-c", SCRIPT, str(recipe_of(input, output)), *options]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2])


def done(output: Path) -> int:
    """How many tasks of a run are done."""
    return sum("done.json" in names for _, _, names in os.walk(output / "work"))  # folders are renamed meanwhile


def interrupt(driver: subprocess.Popen[bytes], output: Path, tasks: int, seconds: float, victim: str) -> None:
    """Kill the "tree", the "driver" or a "worker" some seconds after so many tasks are done; await all workers' end."""
    while done(output) < tasks and driver.poll() is None:
        pause(driver, 0.005)
    pause(driver, seconds)
    try:
        workers = psutil.Process(driver.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        workers = []
    if driver.poll() is None:
        if victim == "tree":
            os.killpg(driver.pid, signal.SIGKILL)
        elif victim == "driver":
            driver.kill()
        elif workers:
            workers[tasks % len(workers)].kill()
    driver.wait()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert (len(gone), alive) == (len(workers), [])


def pause(driver: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        driver.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def check_killed_run_ends_alike(job: Job, tmp_path: Path, kills: int) -> None:
    rng = random.Random(SEED + kills)
    for number in range(kills):
        output = tmp_path / f"out-{number}"
        moment = rng.randrange(job.tasks)
        victim = ("tree", "driver", "worker")[number % 3]
        driver = start(job.input, output)
        interrupt(driver, output, moment, rng.uniform(0, 0.05), victim)
        if victim == "worker":
            assert driver.returncode == 0, (number, moment)
        else:
            finish(job.input, output)
        assert tree_bytes(output) == job.tree, (number, moment)
        assert files(output) == job.layout, (number, moment)
        assert not (output / "work").exists()


@pytest.mark.slow(always=True)
def test_a_run_killed_and_started_again_ends_with_the_same_bytes(job: Job, tmp_path: Path) -> None:
    """Once the whole tree, once the driver alone, once a worker: that run goes on by itself."""
    assert job.tasks == 28  # scan, exact, edges, join, fetch, represent, scan, write: 6 + 1 + 1 + 1 + 6 + 1 + 6 + 6
    check_killed_run_ends_alike(job, tmp_path, 3)


@pytest.mark.slow
def test_fifty_runs_killed_at_random_moments_end_with_the_same_bytes(job: Job, tmp_path: Path, seeded: bool) -> None:
    check_killed_run_ends_alike(job, tmp_path, 6 if seeded else 50)


def test_a_second_attempt_does_not_repeat_what_the_first_had_done(job: Job, tmp_path: Path) -> None:
    output = tmp_path / "out"
    interrupt(start(job.input, output, "keep work"), output, int(job.tasks * 0.8), 0.0, "tree")
    left = (output / "work").rglob("done.json")
    before = {path: path.stat().st_mtime_ns for path in left if ".tmp-" not in str(path)}
    assert len(before) >= int(job.tasks * 0.8) - 2  # one of each worker may have been about to appear
    finish(job.input, output, keep_work=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert done(output) == job.tasks
    assert tree_bytes(output) == job.tree


def test_no_worker_starts_for_tasks_that_are_done(tmp_path: Path) -> None:
    tasks = [
        Task(
            "dedup.runner.match:join_components",
            str(tmp_path / str(n)),
            str(n),
            {"edges": [], "scans": [], "bases": [0], "files": NearFiles(0, 0)},
        )
        for n in range(3)
    ]
    counts = Serial().map(tasks[:2], lambda documents, size: None)
    executor = Local(2)
    try:
        assert executor.map(tasks[:2], lambda documents, size: None) == counts
        assert psutil.Process().children() == []
        executor.map(tasks, lambda documents, size: None)
        assert len(psutil.Process().children()) == 1  # one was left to do
    finally:
        executor.close()


def test_a_damaged_intermediate_is_made_again(job: Job, tmp_path: Path) -> None:
    output = tmp_path / "out"
    finish(job.input, output, keep_work=True)
    (output / "report" / "summary.json").unlink()
    for name in ("rows.arrow", "sketches-0.bin"):
        (path,) = (output / "work" / "pass-0" / "scan-00003").glob(name)
        path.write_bytes(path.read_bytes()[:-1])
    finish(job.input, output)
    assert tree_bytes(output) == job.tree


def test_a_published_file_that_somebody_removed_is_written_again(job: Job, tmp_path: Path) -> None:
    output = tmp_path / "out"
    finish(job.input, output, keep_work=True)
    (output / "report" / "summary.json").unlink()
    (output / "documents" / "2.jsonl").unlink()
    (output / "dropped" / "4.jsonl.parquet").unlink()
    finish(job.input, output)
    assert tree_bytes(output) == job.tree


# Workers that die


def deadly(tmp_path: Path, times: int) -> dict[str, Any]:
    """A recipe whose stage kills its worker so many times at shard 1."""
    (tmp_path / "deadly_rules.py").write_text(DIES)
    for number, text in enumerate(["a", "kill me", "b"]):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", [{"text": text}])
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'[[step]]\nuse = "deadly_rules:rule"\nmarker = {str(tmp_path / "deaths")!r}\ntimes = {times}\n')
    return {
        "recipe": recipe,
        "input": str(tmp_path / "in"),
        "output": tmp_path / "out",
        "executor": "local",
        "workers": 2,
    }


def test_a_task_whose_worker_was_killed_once_is_tried_again_and_what_it_left_is_removed(tmp_path: Path) -> None:
    arguments = deadly(tmp_path, 1)
    leaves = f"pathlib.Path({str(tmp_path / 'out' / '.tmp-1-1.jsonl')!r}).touch()\n        os.kill("
    (tmp_path / "deadly_rules.py").write_text(DIES.replace("os.kill(", leaves))
    result = dedup.run(**arguments)
    assert (result.summary["documents_kept"], (tmp_path / "deaths").read_text()) == (3, "x")
    assert [name for name in files(tmp_path / "out") if ".tmp-" in name] == []


def test_a_task_that_kills_two_workers_is_named(tmp_path: Path) -> None:
    arguments = deadly(tmp_path, 2)
    with pytest.raises(dedup.DedupError) as caught:
        dedup.run(**arguments)
    task = tmp_path / "out" / "work" / "pass-0" / "scan-00001"
    assert str(caught.value) == (
        f"a worker ended twice (signal 9) at dedup.runner.scan:scan_unit in {task}; "
        "where memory is short, run again with fewer --workers"
    )
    assert psutil.Process().children(recursive=True) == []
    assert dedup.run(**arguments).summary["documents_kept"] == 3
    assert not (tmp_path / "out" / ".lock").exists()


@pytest.mark.parametrize("left", [".tmp-123-recipe.toml", ".lock"])
def test_a_run_killed_before_its_first_file_can_be_started_again(left: str, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [{"id": "0", "text": "a"}])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / left).write_text("half")
    assert dedup.run(NEAR, str(path), tmp_path / "out", executor="serial").summary["documents_kept"] == 1
    assert [name for name in files(tmp_path / "out") if name.startswith(".")] == []


def test_a_stage_that_raises_stops_the_run_and_is_named(tmp_path: Path, executor: dict[str, Any]) -> None:
    (tmp_path / "bad_rules.py").write_text("def bad(batch):\n    return batch if not batch.num_rows else 1 / 0\n")
    (tmp_path / "recipe.toml").write_text('[[step]]\nuse = "bad_rules:bad"\n')
    for number in range(2):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", [{"text": "a"}])
    with pytest.raises(Exception, match="division by zero"):
        dedup.run(tmp_path / "recipe.toml", str(tmp_path / "in"), tmp_path / "out", **executor)
    assert [name for name in files(tmp_path / "out") if "documents" in name or ".lock" in name] == []


# A changing input


def disturb(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something between the last scan and the writing of shards."""
    write_duplicates = tables.write_duplicates

    def disturbed(*arguments: Any) -> Any:
        action()
        return write_duplicates(*arguments)

    monkeypatch.setattr(tables, "write_duplicates", disturbed)


def test_an_input_that_changes_between_scan_and_writing_is_refused_by_name(
    tmp_path: Path, executor: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", [{"id": f"{number}", "text": "same"}])
    changed = tmp_path / "in" / "1.jsonl"
    disturb(monkeypatch, lambda: write_jsonl(changed, [{"id": "1", "text": "other"}]))
    with pytest.raises(
        dedup.DedupError, match=f"{changed}: changed during the run; run again, nothing of it was published"
    ):
        dedup.run(NEAR, str(tmp_path / "in"), tmp_path / "out", **executor)
    assert not (tmp_path / "out" / "documents" / "1.jsonl").exists()
    monkeypatch.undo()
    result = dedup.run(NEAR, str(tmp_path / "in"), tmp_path / "out", **executor)
    assert result.summary["documents_kept"] == 2


def test_an_input_that_vanishes_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jsonl(tmp_path / "in" / "0.jsonl", [{"id": "0", "text": "same"}])
    disturb(monkeypatch, path.unlink)
    with pytest.raises(dedup.DedupError, match=f"{path}: vanished during the run; put it back and run again"):
        dedup.run(NEAR, str(path), tmp_path / "out", executor="serial")


def test_an_input_that_changes_before_a_task_is_tried_again_is_refused_by_name(tmp_path: Path) -> None:
    """The stage changes the shard and kills its worker; the second one sees another file."""
    arguments = deadly(tmp_path, 1)
    module = tmp_path / "deadly_rules.py"
    changed = tmp_path / "in" / "1.jsonl"
    module.write_text(DIES.replace("os.kill(", f"pathlib.Path({str(changed)!r}).write_text('{{}}')\n        os.kill("))
    with pytest.raises(dedup.DedupError, match=f"^{changed}: changed during the run; run again, nothing of it was"):
        dedup.run(**arguments)
    write_jsonl(changed, [{"text": "kill me"}])
    assert dedup.run(**arguments).summary["documents_kept"] == 3  # refused once, it is now taken as it is


def broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """Arguments of a run over three shards whose first attempt broke off before the tables."""
    for number in range(3):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", [{"id": f"{number}", "text": f"text {number}"}])

    def fail() -> None:
        raise OSError(5, "Input/output error", "/dev/vda")

    with monkeypatch.context() as patched:
        disturb(patched, fail)
        with pytest.raises(
            dedup.DedupError, match=r"^/dev/vda: Input/output error; the same command goes on from here$"
        ):
            dedup.run(NEAR, str(tmp_path / "in"), tmp_path / "out", executor="serial")
    return NEAR, str(tmp_path / "in"), tmp_path / "out"


def test_an_input_that_changed_since_an_attempt_that_broke_off_is_refused_by_name_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = broken_off(tmp_path, monkeypatch)
    changed = write_jsonl(tmp_path / "in" / "1.jsonl", [{"id": "1", "text": "text 0"}, {"id": "3", "text": "text 3"}])
    with pytest.raises(dedup.DedupError) as caught:
        dedup.run(*arguments, executor="serial")
    assert str(caught.value) == (
        f"{changed}: changed or vanished since the attempt that broke off; "
        "put it back, or run again to take the input as it is"
    )
    assert dedup.run(*arguments, executor="serial").summary["documents_in"] == 4
    dedup.run(*arguments[:2], tmp_path / "fresh", executor="serial")
    assert tree_bytes(tmp_path / "out") == tree_bytes(tmp_path / "fresh")


def test_an_input_that_vanished_since_an_attempt_that_broke_off_is_refused_by_name_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = broken_off(tmp_path, monkeypatch)
    for number in (0, 2):
        (tmp_path / "in" / f"{number}.jsonl").unlink()
    with pytest.raises(dedup.DedupError, match=r"0.jsonl \(and 1 more\): changed or vanished since the attempt that"):
        dedup.run(*arguments, executor="serial")
    assert dedup.run(*arguments, executor="serial").summary["documents_in"] == 1


def test_an_input_that_changed_after_a_run_that_ended_is_taken_as_it_is(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [{"id": "0", "text": "a"}])
    dedup.run(NEAR, str(path), tmp_path / "out", executor="serial", keep_work=True)
    write_jsonl(path, [{"id": "0", "text": "a"}, {"id": "1", "text": "b"}])
    assert dedup.run(NEAR, str(path), tmp_path / "out", executor="serial").summary["documents_in"] == 2


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_an_input_that_vanishes_between_plan_and_scan_is_refused_by_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"in.{kind}"
    (write_jsonl if kind == "jsonl" else write_parquet)(path, [{"id": "0", "text": "a"}])
    write_manifest = tables.write_manifest
    monkeypatch.setattr(tables, "write_manifest", lambda *given: (write_manifest(*given), path.unlink()))
    with pytest.raises(dedup.DedupError, match=f"^{path}: vanished during the run; put it back and run again$"):
        dedup.run(NEAR, str(path), tmp_path / "out", executor="serial")


# Inputs that cannot be read


def rejected(output: Path) -> dict[str, str]:
    """{shard: reason} of everything in rejected/."""
    return {
        row["path"]: row["reason"]
        for path in (output / "rejected").rglob("*")
        for row in pq.read_table(path).to_pylist()
    }


def test_what_cannot_be_read_among_good_shards_is_named_and_they_come_through(
    tmp_path: Path, executor: dict[str, Any]
) -> None:
    folder = tmp_path / "in"
    good = write_jsonl(folder / "good.jsonl", [{"id": "0", "text": "a"}])
    (folder / "dangling.jsonl").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.jsonl")
    result = dedup.run(NEAR, str(folder), tmp_path / "out", **executor)
    assert (result.exit_code, result.summary["shards_rejected"], result.summary["documents_kept"]) == (1, 2, 1)
    assert rejected(tmp_path / "out") == {
        "dangling.jsonl": "cannot be read (No such file or directory)",
        "pipe.jsonl": "not a regular file",
    }
    assert (tmp_path / "out" / "documents" / "good.jsonl").read_bytes() == good.read_bytes()


def test_a_shard_that_may_not_be_opened_is_named_and_the_good_ones_come_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        write_jsonl(tmp_path / "in" / f"{name}.jsonl", [{"id": name, "text": name}])

    def forbidding(path: Any, *arguments: Any, **settings: Any) -> Any:
        if str(path).endswith("b.jsonl"):
            raise PermissionError(13, "Permission denied", str(path))
        return open(path, *arguments, **settings)

    monkeypatch.setattr(place, "open", forbidding, raising=False)
    result = dedup.run(NEAR, str(tmp_path / "in"), tmp_path / "out", executor="serial")
    assert (result.exit_code, result.summary["documents_kept"]) == (1, 1)
    assert rejected(tmp_path / "out") == {"b.jsonl": "cannot be read (Permission denied)"}


def test_a_folder_that_may_not_be_listed_is_a_mistake_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(tmp_path / "in" / "inner" / "a.jsonl", [{"id": "0", "text": "a"}])
    scandir = os.scandir

    def forbidding(path: Any) -> Any:
        if str(path).endswith("inner"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidding)
    with pytest.raises(dedup.DedupError, match=r"in/inner: cannot be listed \(Permission denied\)$") as caught:
        dedup.run(NEAR, str(tmp_path / "in"), tmp_path / "out", executor="serial")
    assert caught.value.exit_code == 2


# Full disks, locks


LIMITED = (
    "import dedup, resource, sys\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    "try:\n"
    "    dedup.run(sys.argv[1], executor=sys.argv[2], workers=2)\n"
    "except dedup.DedupError as error:\n"
    "    print(error, file=sys.stderr)\n"
    "    sys.exit(error.exit_code)\n"
)


def test_a_file_that_cannot_grow_is_one_line_and_a_rerun_goes_on(
    job: Job, tmp_path: Path, executor: dict[str, Any]
) -> None:
    """As on a full disk: a limit on the size of files stands in for it."""
    if executor["executor"] == "ray":
        pytest.skip("Ray itself does not start under such a limit")
    output = tmp_path / "out"
    recipe = tmp_path / "out.toml"
    recipe.write_text(RECIPE.format(input=str(job.input), output=str(output)))
    command = [sys.executable, "-c", LIMITED, str(recipe), executor["executor"]]
    failed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert failed.returncode == 4
    assert failed.stderr.count("\n") == 1
    assert "File too large; the same command goes on from here" in failed.stderr
    finish(job.input, output)
    assert tree_bytes(output) == job.tree
    assert files(output) == job.layout


def test_two_runs_into_one_output_exclude_each_other(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [{"id": "0", "text": "a"}])
    output = tmp_path / "out"
    output.mkdir()
    with (
        locked(output),
        pytest.raises(dedup.DedupError, match="out: another run is writing there; wait for it or choose") as e,
    ):
        dedup.run(NEAR, str(path), output, executor="serial")
    assert e.value.exit_code == 2
    assert files(output) == []
    assert dedup.run(NEAR, str(path), output, executor="serial").summary["documents_kept"] == 1


def test_a_run_waits_for_the_workers_of_a_driver_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold its lock; but nobody waits for a driver that lives."""
    script = (
        "import os, pathlib, subprocess, sys; from dedup.io.files import locked\n"
        "with locked(pathlib.Path(sys.argv[1])) as lock:\n"
        "    child = subprocess.Popen(['sleep', '60'], pass_fds=[lock], stdout=subprocess.DEVNULL)\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    home = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, check=False, cwd=home)
    worker = psutil.Process(int(done.stdout))
    monkeypatch.setattr(io_files, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(dedup.DedupError, match="another run is writing there"), locked(tmp_path):
        pass
    monkeypatch.setattr(io_files, "PATIENCE_SECONDS", 60)
    threading.Timer(0.2, worker.kill).start()
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
    assert files(tmp_path) == []


def test_workers_hold_the_lock_of_their_run(tmp_path: Path) -> None:
    def is_free() -> bool:
        with open(tmp_path / "lock", "w") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
        return True

    arguments = {"edges": [], "scans": [], "bases": [0], "files": NearFiles(0, 0)}
    task = Task("dedup.runner.match:join_components", str(tmp_path / "0"), "", arguments)
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        executor = Local(1, lock=lock.fileno())
        executor.map([task], lambda documents, size: None)
    held = is_free()
    executor.close()
    assert (held, is_free()) == (False, True)


def test_temporary_files_of_dead_runs_are_removed_and_those_of_a_live_run_are_not(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [{"id": "0", "text": "a"}])
    output = tmp_path / "out"
    dedup.run(NEAR, str(path), output, executor="serial", keep_work=True)
    (output / "report" / "summary.json").unlink()
    left = [
        output / ".tmp-9-recipe.toml",
        output / "documents" / ".tmp-9-in.jsonl",
        output / "work" / ".tmp-9-scan" / "a",
    ]
    for one in left:
        one.parent.mkdir(exist_ok=True)
        one.write_text("half")
    with locked(output), pytest.raises(dedup.DedupError, match="another run is writing there"):
        dedup.run(NEAR, str(path), output, executor="serial")
    assert [one.exists() for one in left] == [True, True, True]
    dedup.run(NEAR, str(path), output, executor="serial", keep_work=True)
    assert [one.exists() for one in (*left, left[2].parent)] == 4 * [False]


def test_work_that_a_run_killed_at_its_end_left_is_removed_by_the_same_command(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [{"id": "0", "text": "a"}])
    first = dedup.run(NEAR, str(path), tmp_path / "out", executor="serial", keep_work=True)
    again = dedup.run(NEAR, str(path), tmp_path / "out", executor="serial")
    assert again.summary == first.summary
    assert not (tmp_path / "out" / "work").exists()


def test_a_name_may_be_as_long_as_a_file_system_takes(tmp_path: Path) -> None:
    name = "\N{CJK UNIFIED IDEOGRAPH-9577}" * 79 + ".jsonl"  # dropped/ adds .parquet: 251 of 255 bytes
    path = write_jsonl(tmp_path / "in" / name, [{"id": "0", "text": "a"}])
    dedup.run(NEAR, str(path), tmp_path / "out", executor="serial")
    assert (tmp_path / "out" / "documents" / name).read_bytes() == path.read_bytes()
