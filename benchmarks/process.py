"""Runs a command and says what its whole process tree cost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]


class Cost(NamedTuple):
    """cpu_seconds: user and system time of the process and of every descendant that was waited for."""

    cpu_seconds: float
    seconds: float


def start(arguments: Sequence[str | Path], *, new_session: bool = False) -> subprocess.Popen[bytes]:
    """Start `python ARGUMENTS` with this repository's package, its output discarded."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=new_session,
    )


def cost(arguments: Sequence[str | Path]) -> Cost:
    """What `python ARGUMENTS` costs; RuntimeError with its stderr where it fails."""
    begun = time.perf_counter()
    process = start(arguments)
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    # wait4 counts what the process itself waited for: the driver waits for its workers.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(
            f"{' '.join(map(str, arguments))} ended with {process.returncode}: {errors.decode()[-2000:]}"
        )
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - begun)


def dedup_cost(command: str, inputs: Sequence[Path], output: Path, *options: str) -> Cost:
    """What `dedup COMMAND INPUTS -o OUTPUT` costs; the output is removed before and after."""
    shutil.rmtree(output, ignore_errors=True)
    try:
        return cost(["-m", "dedup", command, *inputs, "-o", output, "--quiet", *options])
    finally:
        shutil.rmtree(output, ignore_errors=True)


def seconds(function: Callable[[], Any], rounds: int = 3) -> float:
    """CPU seconds of a call, the least of some, after one that compiles."""
    function()
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        function()
        times.append(time.process_time() - begun)
    return min(times)
