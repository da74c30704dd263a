"""A worker process: reads tasks from its standard input, writes results to what was its standard output.

A thread reads the input, so that its end is noticed while a task runs: then nobody waits for the result.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from dedup.runner.task import Progress, Task

OWN_STAGES = "--own-stages"  # the recipe names no module of the user


def main() -> None:
    """Work until the driver closes the pipe."""
    if OWN_STAGES in sys.argv:
        skip_optional_imports()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver gets it too and closes the pipe
    results = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a stage prints must not get among the results
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()

    import pyarrow as pa

    from dedup.runner.local import write_frame

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    while True:
        task = tasks.get()
        write_frame(results, outcome(task, lambda documents, size: write_frame(results, ("progress", documents, size))))


def outcome(task: Task, progress: Progress) -> tuple[Any, ...]:
    """Do a task; the message for the driver: ("done", counts, peak memory of this process) or ("error", error)."""
    from dedup.errors import DedupError, RunError
    from dedup.runner.local import give_back_memory, guarded, own_peak_rss_bytes

    try:
        counts = guarded(task, progress)
        give_back_memory()
        return "done", counts, own_peak_rss_bytes()
    except DedupError as error:
        return "error", error
    except Exception as error:
        return "error", RunError(f"{task.function}: {type(error).__name__}: {error}\n{traceback.format_exc()}")


class _Absent:
    """An import finder to which some packages are not installed."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """Refuse pandas and SciPy, know nothing of others."""
        if name in ("pandas", "scipy"):
            raise ModuleNotFoundError(f"No module named {name!r} in a worker of own stages", name=name)


def skip_optional_imports() -> None:
    """Take pandas and SciPy for absent, in a process that is ours and runs no code of the user.

    The first pa.array() imports pandas to know its series, the first kernel imports SciPy to know its BLAS. No stage
    of ours has a use for either, and they are 0.4 of 1.4 s of CPU and 43 of 237 MB of a process that has just begun.
    """
    sys.meta_path.insert(0, _Absent)


def _read_tasks(tasks: queue.SimpleQueue[Any]) -> None:
    from dedup.runner.local import read_frame

    pipe: BinaryIO = sys.stdin.buffer
    while (task := read_frame(pipe)) is not None:
        tasks.put(task)
    os._exit(0)


if __name__ == "__main__":
    main()
