"""One task: a function of this package, its arguments, and a folder that appears when it is done.

A task is skipped if its folder exists for the same key. The key names everything that its output depends on, so a
changed recipe, input or version cannot reuse stale work; files are checked by length and hash before they are.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from dedup.io.files import TEMPORARY

DONE = "done.json"
Progress = Callable[[int, int], None]  # documents, bytes since the last call


@dataclass(frozen=True)
class Task:
    """What to do, picklable.

    function    "module:name" of a function(folder, progress, **arguments) -> dict of counts
    folder      where it writes; appears by rename when all is written
    key         names everything the output depends on
    """

    function: str
    folder: str
    key: str
    arguments: dict[str, Any] = field(default_factory=dict)


def finished(task: Task) -> dict[str, Any] | None:
    """The counts of a task that was done before for the same key and whose files are whole; else None."""
    try:
        done = json.loads(Path(task.folder, DONE).read_text())
    except (OSError, ValueError):
        return None
    if done["key"] != task.key:
        return None
    for name, (size, digest) in done["files"].items():
        path = Path(task.folder, name)
        if not path.exists() or path.stat().st_size != size or _digest(path) != digest:
            return None
    return dict(done["counts"])


def run_task(task: Task, progress: Progress) -> dict[str, Any]:
    """Do a task unless it is done; its counts."""
    done = finished(task)
    if done is not None:
        return done
    folder = Path(task.folder)
    working = folder.with_name(f"{TEMPORARY}{os.getpid()}-{folder.name}")
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    module, _, name = task.function.partition(":")
    begun = time.process_time()
    try:
        counts = getattr(importlib.import_module(module), name)(working, progress, **task.arguments)
        counts["cpu_seconds"] = time.process_time() - begun
        files = {path.name: (path.stat().st_size, _digest(path)) for path in sorted(working.iterdir())}
        (working / DONE).write_text(json.dumps({"key": task.key, "counts": counts, "files": files}))
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)  # where the disk is full, room is what is wanted
        raise
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(working, folder)
    return dict(counts)


def _digest(path: Path) -> str:
    digest = xxhash.xxh3_64()
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return str(digest.hexdigest())


def key_of(*parts: Any) -> str:
    """A key from anything JSON can write."""
    return str(xxhash.xxh3_128_hexdigest(json.dumps(parts, sort_keys=True, default=str).encode()))
