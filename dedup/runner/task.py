"""One task: a function of this package, its arguments, and a folder that appears when it is done.

A task is skipped if its folder exists for the same key. The key names everything that its output depends on, so a
changed recipe, input or version cannot reuse stale work; files are checked by length and hash before they are, objects
of a store, which appear whole, by length.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from dedup.io import copies, place, store
from dedup.io.files import TEMPORARY

DONE = "done.json"
UPLOADS = 4  # files at once
LOOKS = 16  # at once at tasks on a store: each waits for a round trip
Progress = Callable[[int, int], None]  # documents, bytes since the last call


@dataclass(frozen=True)
class Task:
    """What to do, picklable.

    function    "module:name" of a function(folder, progress, **arguments) -> dict of counts
    folder      where it writes; appears by rename when all is written. A URL: it counts once DONE is there
    key         names everything the output depends on
    """

    function: str
    folder: str
    key: str
    arguments: dict[str, Any] = field(default_factory=dict)


def finished(task: Task) -> dict[str, Any] | None:
    """The counts of a task that was done before for the same key and whose files are whole; else None."""
    if place.is_url(task.folder):
        return _finished_there(task, {one.url: one.bytes for one in place.Remote(task.folder).below()})
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


def left_whole(folder: str) -> dict[str, Any] | None:
    """The counts of a task of another run, whatever its key, if its files are whole; else None."""
    try:
        key = json.loads((place.at(folder) / DONE).read_text())["key"]
    except (OSError, ValueError):
        return None
    return finished(Task("", folder, key))


def look_up(tasks: Sequence[Task], threads: int) -> list[Any]:
    """The counts of tasks that an earlier attempt did, None for those that are left; objects are listed once."""
    look: Callable[[Task], dict[str, Any] | None] = finished
    if tasks and place.is_url(tasks[0].folder):
        sizes = {one.url: one.bytes for one in _below(tasks)}
        look, threads = functools.partial(_finished_there, sizes=sizes), max(threads, LOOKS)
    with ThreadPoolExecutor(threads) as pool:  # files are hashed outside the interpreter's lock
        return list(pool.map(look, tasks))


def _finished_there(task: Task, sizes: Mapping[str, int]) -> dict[str, Any] | None:
    """As `finished`, of a folder on a store; objects, which appear whole, are checked by length.

    sizes   of the objects that are there, by URL
    """
    if f"{task.folder}/{DONE}" not in sizes:
        return None
    try:
        done = json.loads((place.Remote(task.folder) / DONE).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if done["key"] != task.key:
        return None
    if any(sizes.get(f"{task.folder}/{name}") != size for name, (size, _) in done["files"].items()):
        return None
    return dict(done["counts"])


def forget(tasks: Sequence[Task]) -> None:
    """Have tasks done again that may be done; on a store one listing tells which are."""
    if tasks and place.is_url(tasks[0].folder):
        done = {f"{task.folder}/{DONE}" for task in tasks}
        for one in list(_below(tasks)):
            if one.url in done:
                place.remove(one.url)
        return
    for task in tasks:
        shutil.rmtree(task.folder, ignore_errors=True)


def _below(tasks: Sequence[Task]) -> Iterator[store.Object]:
    """What lies in the folders of some tasks on a store, and maybe in others."""
    return store.of(tasks[0].folder).find(place.shared_beginning([f"{task.folder}/" for task in tasks]))


def run_task(task: Task, progress: Progress) -> dict[str, Any]:
    """Do a task unless it is done; its counts."""
    if place.is_url(task.folder):
        return _run_there(task, place.Remote(task.folder), progress)
    done = finished(task)
    if done is not None:
        return done
    folder = Path(task.folder)
    working = folder.with_name(f"{TEMPORARY}{os.getpid()}-{folder.name}")
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    try:
        counts, done_text = _do(task, working, progress)
        (working / DONE).write_text(done_text)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)  # where the disk is full, room is what is wanted
        raise
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(working, folder)
    return counts


def _run_there(task: Task, folder: place.Remote, progress: Progress) -> dict[str, Any]:
    """As `run_task`, for a folder on a store: done here, uploaded file by file; DONE, the last, makes it count.

    Of two that do the same task at once, one on a node that was given up, both upload the same bytes.
    """
    there = {one.url: one.bytes for one in folder.below()}
    done = _finished_there(task, there)
    if done is not None:
        return done
    for url in sorted(there, key=lambda url: not url.endswith(f"/{DONE}")):  # first what says that the others count
        folder.store.remove(url)
    with copies.working_folder() as working:
        counts, done_text = _do(task, working, progress)
        with ThreadPoolExecutor(UPLOADS) as pool:
            list(pool.map(lambda path: folder.store.upload(path, str(folder / path.name)), working.iterdir()))
    folder.store.write(done_text.encode(), str(folder / DONE))
    return counts


def _do(task: Task, working: Path, progress: Progress) -> tuple[dict[str, Any], str]:
    """(counts of a task that wrote its files into `working`, text of its DONE)."""
    module, _, name = task.function.partition(":")
    begun = time.process_time()
    counts = getattr(importlib.import_module(module), name)(working, progress, **task.arguments)
    counts["cpu_seconds"] = time.process_time() - begun
    files = {path.name: (path.stat().st_size, _digest(path)) for path in sorted(working.iterdir())}
    return dict(counts), json.dumps({"key": task.key, "counts": counts, "files": files})


def _digest(path: Path) -> str:
    digest = xxhash.xxh3_64()
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return str(digest.hexdigest())


def key_of(*parts: Any) -> str:
    """A key from anything JSON can write."""
    return str(xxhash.xxh3_128_hexdigest(json.dumps(parts, sort_keys=True, default=str).encode()))
