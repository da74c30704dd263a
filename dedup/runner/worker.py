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
from typing import Any, BinaryIO


def main() -> None:
    """Work until the driver closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver gets it too and closes the pipe
    results = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a stage prints must not get among the results
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()

    import pyarrow as pa

    from dedup.errors import DedupError, RunError
    from dedup.runner.local import guarded, own_peak_rss_bytes, write_frame

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    while True:
        task = tasks.get()
        try:
            counts = guarded(task, lambda documents, size: write_frame(results, ("progress", documents, size)))
            write_frame(results, ("done", counts, own_peak_rss_bytes()))
        except DedupError as error:
            write_frame(results, ("error", error))
        except Exception as error:
            text = f"{task.function}: {type(error).__name__}: {error}\n{traceback.format_exc()}"
            write_frame(results, ("error", RunError(text)))


def _read_tasks(tasks: queue.SimpleQueue[Any]) -> None:
    from dedup.runner.local import read_frame

    pipe: BinaryIO = sys.stdin.buffer
    while (task := read_frame(pipe)) is not None:
        tasks.put(task)
    os._exit(0)


if __name__ == "__main__":
    main()
