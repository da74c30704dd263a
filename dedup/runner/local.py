"""The executors `serial` and `local`: tasks in this process, or in workers of this machine.

Workers start as `python -m dedup.runner.worker`, so that a run works from a script without a main guard, from stdin and
from Jupyter. Each reads tasks from a pipe that only the driver holds; when the driver ends, however it ends, the pipe
closes and the worker ends with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import resource
import selectors
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import dedup
from dedup.errors import DedupError, RunError, one_line
from dedup.io import copies
from dedup.runner.task import Task, look_up, run_task
from dedup.runner.worker import OWN_STAGES

Progress = Callable[[int, int], None]
Ended = Callable[[int], None]  # tasks since the last call
ONE_THREAD = "OPENBLAS_NUM_THREADS"  # NumPy starts one a core at import, for products that we do not take
PATIENCE_SECONDS = 10  # for a worker to notice that its pipe is closed


class Executor(Protocol):
    """Does tasks; the counts come back in the order of the tasks, whoever did them when."""

    def map(self, tasks: Sequence[Task], progress: Progress, ended: Ended = lambda tasks: None) -> list[dict[str, Any]]:
        """Do all tasks."""
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...

    def peak_rss_bytes(self) -> int:
        """Sum of the workers' peaks, without the driver."""
        ...


class Serial:
    """Does every task in this process."""

    def map(self, tasks: Sequence[Task], progress: Progress, ended: Ended = lambda tasks: None) -> list[dict[str, Any]]:
        """Do all tasks, one after the other."""
        results = []
        for task in tasks:
            results.append(guarded(task, progress))
            ended(1)
        return results

    def close(self) -> None:
        """Nothing to let go."""

    def peak_rss_bytes(self) -> int:
        """There are no workers."""
        return 0


class Local:
    """Does tasks in at most so many processes.

    own_stages   whether they run no code of the user
    lock         descriptor of the output's lock, for them to hold too
    """

    def __init__(self, workers: int, *, own_stages: bool = False, lock: int | None = None) -> None:
        self._most, self._own_stages, self._lock = workers, own_stages, lock
        self._workers: list[_Worker] = []
        self._peaks: dict[int, int] = {}

    def map(self, tasks: Sequence[Task], progress: Progress, ended: Ended = lambda tasks: None) -> list[dict[str, Any]]:
        """Do all tasks; a task whose worker died is tried once more, then named.

        What an earlier attempt did is looked up here: a worker starts only for a task that is left.
        """
        give_back_memory()
        results = look_up(tasks, self._most)
        waiting = [number for number in reversed(range(len(tasks))) if results[number] is None]
        ended(len(tasks) - len(waiting))
        while len(self._workers) < min(self._most, len(waiting)):
            self._workers.append(_Worker(self._own_stages, self._lock))
        tried: dict[int, int] = {}
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.output, selectors.EVENT_READ, worker)
                self._feed(worker, tasks, waiting)
            while any(worker.task is not None for worker in self._workers):
                for key, _ in selector.select():
                    worker = key.data
                    number = worker.task
                    message = worker.receive()
                    if message is None:
                        selector.unregister(worker.output)
                        self._replace(worker, tasks, waiting, tried, selector)
                    elif message[0] == "progress":
                        progress(*message[1:])
                    elif message[0] == "error":
                        self.close()
                        raise message[1]
                    else:
                        results[number], self._peaks[worker.process.pid] = message[1:]
                        ended(1)
                        self._feed(worker, tasks, waiting)
        return results

    def _feed(self, worker: _Worker, tasks: Sequence[Task], waiting: list[int]) -> None:
        worker.task = waiting.pop() if waiting else None
        if worker.task is not None:
            worker.send(tasks[worker.task])

    def _replace(
        self, worker: _Worker, tasks: Sequence[Task], waiting: list[int], tried: dict[int, int], selector: Any
    ) -> None:
        code = worker.process.wait()
        number = worker.task
        self._workers.remove(worker)
        worker.close()
        if number is not None:
            tried[number] = tried.get(number, 0) + 1
            if tried[number] > 1:
                self.close()
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise RunError(
                    f"a worker ended twice ({how}) at {tasks[number].function} in {tasks[number].folder}; "
                    "where memory is short, run again with fewer --workers"
                )
            waiting.append(number)
        fresh = _Worker(self._own_stages, self._lock)
        self._workers.append(fresh)
        selector.register(fresh.output, selectors.EVENT_READ, fresh)
        self._feed(fresh, tasks, waiting)

    def close(self) -> None:
        """End the workers and wait for them."""
        for worker in self._workers:
            worker.close()
        self._workers = []

    def peak_rss_bytes(self) -> int:
        """Sum of the peaks of all workers there were."""
        return sum(self._peaks.values())


class _Worker:
    """One process and the pipes to it."""

    def __init__(self, own_stages: bool, lock: int | None) -> None:
        home = str(Path(dedup.__file__).parent.parent)
        paths = [home, *(os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path), ONE_THREAD: "1"}
        environment |= copies.variables()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dedup.runner.worker", *([OWN_STAGES] if own_stages else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            pass_fds=[] if lock is None else [lock],
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input: BinaryIO = self.process.stdin  # type: ignore[assignment]
        self.output: BinaryIO = self.process.stdout  # type: ignore[assignment]
        self.task: int | None = None

    def send(self, task: Task) -> None:
        try:
            write_frame(self._input, task)
        except OSError:  # it died: its output says so next
            return

    def receive(self) -> Any:
        return read_frame(self.output)

    def close(self) -> None:
        for pipe in (self._input, self.output):
            try:
                pipe.close()
            except OSError:
                continue
        try:
            self.process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def write_frame(file: BinaryIO, message: Any) -> None:
    """Write one message to a pipe."""
    data = pickle.dumps(message)
    file.write(len(data).to_bytes(8, "little") + data)
    file.flush()


def read_frame(file: BinaryIO) -> Any:
    """The next message of a pipe; None at its end."""
    head = _exactly(file, 8)
    if head is None:
        return None
    data = _exactly(file, int.from_bytes(head, "little"))
    return None if data is None else pickle.loads(data)


def _exactly(file: BinaryIO, size: int) -> bytes | None:
    """Unbuffered on purpose: what a buffer held back, a selector would not see."""
    parts = b""
    while len(parts) < size:
        more = os.read(file.fileno(), size - len(parts))
        if not more:
            return None
        parts += more
    return parts


def guarded(task: Task, progress: Progress) -> dict[str, Any]:
    """Do a task; a fault of the system becomes one line that says what to do."""
    try:
        return run_task(task, progress)
    except DedupError:
        raise
    except OSError as error:
        raise RunError(fault_line(error, task.folder)) from error
    except MemoryError as error:
        raise RunError(
            f"{task.function}: out of memory; run again with fewer --workers or smaller batch_bytes"
        ) from error


def fault_line(error: OSError, where: str) -> str:
    """What a fault of the system is, where, and what to do."""
    return f"{error.filename or where}: {one_line(error.strerror or error)}; the same command goes on from here"


def give_back_memory() -> None:
    """Return freed memory to the system: allocators keep it, and the peaks of unlike tasks would add up."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)


def own_peak_rss_bytes() -> int:
    """This process's peak resident memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
