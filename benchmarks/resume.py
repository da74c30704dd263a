"""What a second attempt costs after the first was killed at 80 % of its tasks, as a share of a run from the start."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from benchmarks import corpus
from benchmarks.process import cost, start
from benchmarks.table import Row

SHARE, BAR = 0.8, 0.5  # of tasks done when killed; of the CPU seconds of a whole run
ROUNDS = 2


def rows(folder: Path) -> list[Row]:
    """The least share over some rounds: killed after a given number of tasks, where exactly is chance."""
    return [min((second_attempt(folder) for _ in range(ROUNDS)), key=lambda row: row.value)]


def second_attempt(folder: Path) -> Row:
    """Kill a run of `dedup near` on four shards, run it again, and compare with an undisturbed one."""
    out = folder / "resumed"
    command = ["-m", "dedup", "near", *corpus.english(folder), "-o", out, "--quiet", "--workers", "2"]
    shutil.rmtree(out, ignore_errors=True)
    whole = cost([*command, "--keep-work"]).cpu_seconds
    tasks = _done(out)
    shutil.rmtree(out)
    first = start(command, new_session=True)
    while first.poll() is None and _done(out) < SHARE * tasks:
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    before = _done(out)
    again = cost(command).cpu_seconds
    shutil.rmtree(out)
    return Row("second attempt", again / whole, "of a whole run", BAR, f"killed after {before} of {tasks} tasks")


def _done(output: Path) -> int:
    return sum("done.json" in names for _, _, names in os.walk(output / "work"))
