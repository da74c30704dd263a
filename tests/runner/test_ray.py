"""Ray does what processes of this machine do: same bytes, same errors, and nothing that stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest

import dedup
from dedup import sample
from dedup.recipe import load
from dedup.runner import ray as executors
from dedup.runner.environment import environment_key
from dedup.runner.task import Task
from tests.runner import test_every_write as every_write
from tests.runs import DIES, EVERYTHING, NEAR, files, tree_bytes, write_jsonl

ROOT = Path(__file__).parents[2]


def rows(folder: Path, *texts: str) -> str:
    """A shard a text."""
    for number, text in enumerate(texts):
        write_jsonl(folder / "in" / f"{number}.jsonl", [{"id": str(number), "text": text}])
    return str(folder / "in")


def stage(folder: Path, source: str) -> Path:
    """A recipe of one stage of the user's, called `rule`."""
    (folder / "rules.py").write_text(source)
    (folder / "recipe.toml").write_text('id = "id"\n[[step]]\nuse = "rules:rule"\n')
    return folder / "recipe.toml"


def test_serial_local_and_ray_write_the_same_bytes_of_every_file(tmp_path: Path, one_ray: Any) -> None:
    sample.write(tmp_path / "in")
    trees = {}
    for way in ({"executor": "serial"}, {"executor": "local", "workers": 2}, {"executor": "ray"}):
        output = tmp_path / str(way["executor"])
        dedup.run(EVERYTHING, str(tmp_path / "in"), output, **way)
        trees[output.name] = tree_bytes(output)
    assert len(trees["ray"]) == 2 * 5 + 1 + 1 + 3 + 11  # the tables of a report
    assert trees["ray"] == trees["local"] == trees["serial"]


def test_what_a_run_left_is_rerun_and_swept_over_ray(tmp_path: Path, one_ray: Any) -> None:
    sample.write(tmp_path / "in")
    changes = ["threshold=0.9", "step.2.word_count.below=5"]
    dedup.run(EVERYTHING, str(tmp_path / "in"), tmp_path / "old", keep_work=True, executor="ray")
    dedup.run(EVERYTHING, str(tmp_path / "in"), tmp_path / "full", changes=changes, executor="serial")
    dedup.rerun(tmp_path / "old", EVERYTHING, tmp_path / "again", changes=changes, executor="ray")
    assert tree_bytes(tmp_path / "again") == tree_bytes(tmp_path / "full")
    found = dedup.sweep(tmp_path / "old", rule={"step.2.word_count.below": [3, 5]}, threshold=[0.8])
    kept = found["documents_kept"].to_pylist()
    assert kept[0] == kept[2] == dedup.Result(tmp_path / "old").summary["documents_kept"] > kept[1]


def test_what_a_run_left_undone_another_executor_does(tmp_path: Path, one_ray: Any) -> None:
    sample.write(tmp_path / "in")
    for output, ways in {"both": ("ray", "local"), "one": ("local",)}.items():
        for way in ways:
            (tmp_path / output / "report" / "summary.json").unlink(missing_ok=True)
            dedup.run(NEAR, str(tmp_path / "in"), tmp_path / output, executor=way, workers=2, keep_work=True)
    assert tree_bytes(tmp_path / "both") == tree_bytes(tmp_path / "one")


def test_no_worker_is_asked_for_tasks_that_are_done(tmp_path: Path, one_ray: Any) -> None:
    run = {"recipe": NEAR, "input": rows(tmp_path, "a", "b"), "output": tmp_path / "out", "keep_work": True}
    dedup.run(**run, executor="serial")
    (tmp_path / "out" / "report" / "summary.json").unlink()
    executor = executors.Ray(load(NEAR, input="in", output="out"), [tmp_path / "out"], "", quiet=True)
    executor._do = None  # whoever calls it fails
    folder = tmp_path / "out" / "work" / "pass-0" / "scan-00001"
    key = json.loads((folder / "done.json").read_text())["key"]
    (counts,) = executor.map([Task("no:where", str(folder), key)], lambda documents, size: None)
    assert counts["documents"] == 1
    assert executor.peak_rss_bytes() == 0


def test_counts_progress_and_memory_are_told(tmp_path: Path, one_ray: Any) -> None:
    """The summary knows the workers' time and memory; progress adds up to the documents."""
    result = dedup.run(NEAR, rows(tmp_path, "a", "b", "c"), tmp_path / "out", executor="ray", workers=2)
    summary = result.summary
    assert (summary["documents_kept"], summary["workers"]) == (3, 2)
    assert summary["peak_rss_bytes"] > psutil.Process().memory_info().rss + (50 << 20)
    assert summary["cpu_seconds"] >= sum(summary["cpu_seconds_by_part"].values()) > 0


def test_workers_are_bounded_by_the_cpus_and_the_recipe(tmp_path: Path, one_ray: Any) -> None:
    found = []
    for asked in (0, 1, 5):
        recipe = load(NEAR, input="in", output="out", workers=asked)
        executor = executors.Ray(recipe, [tmp_path], "", quiet=True)
        found.append((executor.workers, executor._room()))
        executor.close()
    assert found == [(2, 4), (1, 1), (2, 5)]
    assert one_ray.is_initialized()  # closing left it alone


# Errors


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("def rule(batch):\n    return batch.slice(1)\n",
         "step[0] (rules:rule) returned 0 rows for 1; a stage returns the rows it was given"),
        ("def rule(batch):\n    return open('/no/such/file') if batch.num_rows else batch\n",
         "/no/such/file: No such file or directory; the same command goes on from here"),
        ("import dedup.errors as e\ndef rule(batch):\n    if batch.num_rows:\n      raise e.InputChangedError('new')\n"
         "    return batch\n", "new"),
    ],
)  # fmt: skip
def test_an_error_of_a_task_is_the_same_line_and_class_as_locally(
    source: str, text: str, tmp_path: Path, one_ray: Any
) -> None:
    recipe = stage(tmp_path, source)
    found = []
    for executor in ("local", "ray"):
        with pytest.raises(dedup.DedupError) as caught:
            dedup.run(recipe, rows(tmp_path, "a", "b"), tmp_path / executor, executor=executor, workers=2)
        found.append((type(caught.value).__name__, str(caught.value).replace(f"/{executor}/", "/")))
    assert found[0] == found[1]
    assert found[1][1] == text


WAITS = """
import os, pathlib, time

def rule(batch):
    if batch.num_rows and batch["text"][0].as_py() == "waits":
        pathlib.Path({begun!r}).write_text(str(os.getpid()))
        time.sleep(600)
    while batch.num_rows and not os.path.exists({begun!r}):
        time.sleep(0.01)
    return 1 / 0 if batch.num_rows else batch
"""


def test_after_an_error_nothing_of_the_run_goes_on(tmp_path: Path, one_ray: Any) -> None:
    begun = tmp_path / "begun"
    recipe = stage(tmp_path, WAITS.format(begun=str(begun)))
    with pytest.raises(dedup.DedupError, match="division by zero"):
        dedup.run(recipe, rows(tmp_path, "waits", "fails"), tmp_path / "out", executor="ray")
    with contextlib.suppress(psutil.NoSuchProcess):  # gone already; it would sleep ten minutes
        psutil.Process(int(begun.read_text())).wait(20)


def ends_the_run(folder: Path, progress: Any, *, stop: str) -> dict[str, Any]:
    Path(stop).touch()
    progress(1, 1)
    return {}


def test_a_task_sees_at_its_next_batch_and_before_its_first_that_the_run_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "_begin", lambda run, folder: None)
    stop = tmp_path / "stop"
    task = Task(f"{__name__}:ends_the_run", str(tmp_path / "task"), "key", {"stop": str(stop)})
    for _ in range(2):
        how, error = executors.do(task, "run", str(stop), str(tmp_path))
        assert (how, str(error)) == ("error", "the run has ended")
        assert stop.exists()
        task = Task("no:where", task.folder, "key")


def test_after_an_error_tasks_end_by_themselves_and_none_is_cancelled(
    tmp_path: Path, one_ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        import time

        def rule(batch):
            time.sleep(0.5 * batch.num_rows)
            return 1 / 0 if batch.num_rows and batch["text"][0].as_py() == "fails" else batch
    """
    recipe = stage(tmp_path, textwrap.dedent(source))
    cancelled = []
    monkeypatch.setattr(one_ray, "cancel", lambda *reference, **how: cancelled.append(reference))
    with pytest.raises(dedup.DedupError, match="division by zero"):
        dedup.run(recipe, rows(tmp_path, "fails", *"abcdefgh"), tmp_path / "out", executor="ray")
    assert cancelled == []
    assert [name for name in files(tmp_path / "out") if "-stop" in name] == []


@pytest.mark.parametrize("times", [1, 2])
def test_a_task_whose_worker_was_killed_is_tried_once_more_then_named(times: int, tmp_path: Path, one_ray: Any) -> None:
    recipe = stage(tmp_path, DIES)
    recipe.write_text(f"{recipe.read_text()}marker = {str(tmp_path / 'deaths')!r}\ntimes = {times}\n")
    way = {"recipe": recipe, "input": rows(tmp_path, "a", "kill me", "b"), "output": tmp_path / "out"}
    if times == 2:
        with pytest.raises(dedup.DedupError) as caught:
            dedup.run(**way, executor="ray")
        task = tmp_path / "out" / "work" / "pass-0" / "scan-00001"
        assert str(caught.value) == (
            f"a worker ended twice (WorkerCrashedError) at dedup.runner.scan:scan_unit in {task}; "
            "where memory is short, run again with fewer --workers"
        )
    result = dedup.run(**way, executor="ray")
    assert (result.summary["documents_kept"], (tmp_path / "deaths").read_text()) == (3, "x" * times)
    assert [name for name in files(tmp_path / "out") if name.startswith((".", "work"))] == []


def test_a_full_disk_is_named_and_with_room_the_same_command_goes_on(tmp_path: Path, one_ray: Any) -> None:
    input, failures = every_write.make_input(tmp_path / "in"), []
    with every_write.disk(tmp_path / "disk", 1 << 20) as small:
        for size in range(100, 1_000, 75):
            subprocess.run(["mount", "-o", f"remount,size={size << 10}", small], check=True)
            try:
                dedup.run(every_write.RECIPE, str(input), small / "out", executor="ray", workers=2)
                break
            except dedup.DedupError as error:
                failures.append(str(error))
                assert list(small.rglob(".tmp-*")) == []
        dedup.run(every_write.RECIPE, str(input), tmp_path / "out", executor="serial")
        assert tree_bytes(small / "out") == tree_bytes(tmp_path / "out")
        assert files(small / "out") == files(tmp_path / "out")
    pattern = rf"{small}[^\n]*: [^\n]*No space left on device[^\n]*; the same command goes on from here"
    assert [text for text in failures if not re.fullmatch(pattern, text)] == []
    assert [part for part in ("scan-", "barrier-") if not any(part in text for text in failures)] == []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_stage_that_was_edited_is_read_again_by_workers_that_stay(tmp_path: Path, one_ray: Any) -> None:
    found = []
    for word in ("one", "two"):
        recipe = stage(tmp_path, f"def rule(batch):\n    return batch if not batch.num_rows else {word}\n")
        for name in [name for name in sys.modules if name.startswith("_dedup_user_")]:
            del sys.modules[name]  # as in the new process of the next run
        with pytest.raises(dedup.DedupError) as caught:
            dedup.run(recipe, rows(tmp_path, "a"), tmp_path / word, executor="ray")
        found.append(str(caught.value).partition("\n")[0].rpartition(": ")[2])
    assert found == ["name 'one' is not defined", "name 'two' is not defined"]


PRINTS = "def rule(batch):\n    print('hello' if batch.num_rows else '', end='')\n    return batch\n"


def test_what_a_stage_prints_in_a_worker_does_not_get_among_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "printing.py").write_text("def work(folder, progress):\n    print('hello')\n    return {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(executors, "_begun", {"run"})
    task = Task("printing:work", str(tmp_path / "task"), "key")
    how, *_ = executors.do(task, "run", str(tmp_path / "stop"), ".")
    assert (how, *capsys.readouterr()) == ("done", "", "hello\n")


# Connecting


def command(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dedup", *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT,
        env=os.environ | environment,
    )  # fmt: skip


def test_without_the_package_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(dedup.DedupError) as caught:
        dedup.run(NEAR, rows(tmp_path, "a"), tmp_path / "out", executor="ray")
    assert str(caught.value) == "executor = \"ray\" needs one more package: pip install 'dedup[ray]'"
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out" / "recipe.toml").exists()


def test_an_address_is_for_ray_alone(tmp_path: Path) -> None:
    with pytest.raises(dedup.DedupError, match=r"address is 'auto', and the executor is serial; an"):
        dedup.run(NEAR, rows(tmp_path, "a"), tmp_path / "out", executor="serial", address="auto")


@pytest.mark.parametrize("how", ["option", "variable"])
def test_an_address_where_nobody_answers_is_one_line(how: str, tmp_path: Path, ray: Any) -> None:
    arguments = ["exact", rows(tmp_path, "a"), "-o", tmp_path / "out", "--executor", "ray"]
    if how == "option":
        done = command(*arguments, "--address", "127.0.0.1:9")
    else:
        done = command(*arguments, RAY_ADDRESS="127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "dedup: no Ray answers at 127.0.0.1:9 ([Errno 111] Connection refused); start one with `ray start --head`, "
        "name host:port of its head, or leave --address out for a Ray of this machine alone\n"
    )
    assert not (tmp_path / "out" / "recipe.toml").exists()


def test_a_ray_of_its_own_is_quiet_and_ends_with_the_run(tmp_path: Path, ray: Any) -> None:
    before = _rays()
    recipe = stage(tmp_path, PRINTS)
    more = ["--executor", "ray", "--quiet"]
    done = command("run", recipe, "-i", rows(tmp_path, "a", "a"), "-o", tmp_path / "out", *more)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert _rays() - before == set()


def _rays() -> set[int]:
    return {p.pid for p in psutil.process_iter() if any("raylet" in word for word in _command(p)[:1])}


def test_a_ray_that_does_not_start_is_one_line(tmp_path: Path, ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**settings: Any) -> None:
        raise Exception("The node timed out\nduring startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", fail)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(dedup.DedupError) as caught:
        dedup.run(NEAR, rows(tmp_path, "a"), tmp_path / "out", executor="ray")
    assert str(caught.value) == (
        "Ray did not start on this machine (The node timed out during startup.); its logs are below /tmp/ray"
    )


# Nodes


def test_a_node_with_other_code_or_without_the_folder_is_named(tmp_path: Path) -> None:
    recipe = load({"step": [{"dedup": "exact"}]}, input="in", output="out")
    key = environment_key(recipe)
    marker = tmp_path / "marker"
    node = os.uname().nodename
    ways = [(str(marker), key), (str(marker), "another"), (str(tmp_path / "elsewhere" / "marker"), key)]
    marker.touch()
    found = [executors.make_ready(recipe, [where], code, "run", os.getcwd()) for where, code in ways]
    assert [how for how, _ in found] == ["done", "error", "error"]
    assert [str(error) for _, error in found] == [
        "None",
        f"{node} has other versions of dedup, its libraries or the recipe's modules than the driver; "
        "install the same on every node",
        f"{node} does not see {tmp_path / 'elsewhere'}; recipe, input, output and work have to lie on a store "
        "or in folders that every node sees under the same path",
    ]


@pytest.mark.slow
def test_a_cluster_of_two_nodes_writes_the_same_bytes_and_is_left_as_it_was(tmp_path: Path, ray: Any) -> None:
    """Two nodes of one CPU each on this machine; a stage writes down which of them did what."""
    from ray.cluster_utils import Cluster

    sample.write(tmp_path / "in")
    recipe = stage(
        tmp_path,
        "import os, pathlib\ndef rule(batch):\n"
        f"    pathlib.Path({str(tmp_path)!r}, 'node-' + os.environ.get('NODE', 'none')).touch()\n    return batch\n",
    )
    recipe.write_text(recipe.read_text() + '[[step]]\ndedup = "near"\n')
    small = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=small | {"include_dashboard": False})
    try:
        for number in range(2):
            if number:
                cluster.add_node(**small, env_vars={"NODE": "second"})
            more = [
                "-o",
                tmp_path / f"{number + 1} nodes",
                "--executor",
                "ray",
                "--address",
                cluster.address,
                "--quiet",
            ]
            done = command("run", recipe, "-i", tmp_path / "in", *more)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    finally:
        cluster.shutdown()
    dedup.run(recipe, str(tmp_path / "in"), tmp_path / "serial", executor="serial")
    trees = [tree_bytes(tmp_path / name) for name in ("serial", "1 nodes", "2 nodes")]
    assert trees[0] == trees[1] == trees[2]
    assert (tmp_path / "node-second").exists()
