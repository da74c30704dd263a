"""Progress of long work on stderr: a bar a part on a terminal, else a line now and then, or JSON objects.

What is left of a part is told by its decoded bytes where these are known about beforehand, else by its tasks: a part
whose only task is under way has no remaining time rather than a guess.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import IO, Any

AS_JSON: ContextVar[bool] = ContextVar("dedup_log_json", default=False)  # of the command: one process runs one
LINE_SECONDS = 60.0  # between plain lines
JSON_SECONDS = 5.0  # between objects
WAIT_SECONDS = 2.0  # for the last lines of processes that we do not end ourselves


class Part:
    """One part of a run: what of it is done.

    size   decoded bytes of all its tasks, about; 0 where unknown
    tell   is called with it after every change
    """

    def __init__(self, name: str, tasks: int, size: int, tell: Callable[[Part], None] = lambda part: None) -> None:
        self.name, self.tasks, self.size = name, tasks, size
        self.tasks_done = self._found = self.documents = self.bytes = 0
        self._begun = time.monotonic()
        self._tell = tell

    def advance(self, documents: int, size: int) -> None:
        """Documents and bytes done since the last call."""
        self.documents += documents
        self.bytes += size
        self._tell(self)

    def ended(self, tasks: int) -> None:
        """So many more tasks are done; those before any progress were done by an earlier attempt."""
        self.tasks_done += tasks
        if not self.documents and not self.bytes:
            self._found += tasks
        self._tell(self)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._begun

    @property
    def share(self) -> float:
        """How much of it is done, of what no earlier attempt had done; in [0, 1]."""
        left = self.tasks - self._found
        if left <= 0 or self.tasks_done >= self.tasks:
            return 1.0
        size = self.size * left / self.tasks
        if size:
            return min(self.bytes / size, 0.99)
        return (self.tasks_done - self._found) / left

    @property
    def eta_seconds(self) -> float | None:
        """Until it is done, if all goes on as before; None where nothing tells."""
        share = self.share
        return self.seconds * (1 - share) / share if share else None


class Show:
    """Shows nothing but warnings."""

    def __enter__(self) -> Show:
        return self

    def __exit__(self, *error: object) -> None:
        return

    def say(self, text: str) -> None:
        """Tell what takes long."""

    def warn(self, text: str) -> None:
        """Tell what the user should know."""
        print(f"dedup: {text}", file=sys.stderr)

    @contextlib.contextmanager
    def part(self, name: str, tasks: int, size: int) -> Iterator[Part]:
        """One part of the run."""
        yield Part(name, tasks, size)


class Bars(Show):
    """Shows a bar a part, where stderr is a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress: Any = Progress(
            TextColumn("{task.description:<12}"), BarColumn(bar_width=None), TextColumn("{task.fields[told]}"),
            console=Console(stderr=True), expand=True,
        )  # fmt: skip

    def __enter__(self) -> Show:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        print(f"dedup: {text}", file=sys.stderr)

    @contextlib.contextmanager
    def part(self, name: str, tasks: int, size: int) -> Iterator[Part]:
        bar = self._progress.add_task(name, total=1.0, told="")

        def tell(part: Part) -> None:
            self._progress.update(bar, completed=part.share, told=in_words(part))

        yield Part(name, tasks, size, tell)
        self._progress.update(bar, completed=1.0)


class Lines(Show):
    """Says what takes long, and every minute how far it is, where stderr is not a terminal."""

    def say(self, text: str) -> None:
        print(f"dedup: {text}", file=sys.stderr)

    @contextlib.contextmanager
    def part(self, name: str, tasks: int, size: int) -> Iterator[Part]:
        yield Part(name, tasks, size, _every(LINE_SECONDS, self._tell))

    def _tell(self, part: Part) -> None:
        eta = part.eta_seconds
        if eta is None or eta >= 1:  # else the next thing to be said is what came of it
            self.say(f"{part.name}: {in_words(part)}")


class Objects(Show):
    """Writes JSON objects, one a line: when a part begins and ends, every few seconds between, and what is said.

    quiet   warnings only
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def say(self, text: str) -> None:
        if not self._quiet:
            log("info", message=text)

    def warn(self, text: str) -> None:
        log("warning", message=text)

    @contextlib.contextmanager
    def part(self, name: str, tasks: int, size: int) -> Iterator[Part]:
        if self._quiet:
            yield Part(name, tasks, size)
            return
        part = Part(name, tasks, size, _every(JSON_SECONDS, _log_part))
        _log_part(part)
        yield part
        _log_part(part)


def _every(seconds: float, tell: Callable[[Part], None]) -> Callable[[Part], None]:
    """`tell`, but only so long after the last time."""
    last = time.monotonic()

    def sometimes(part: Part) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            tell(part)

    return sometimes


def in_words(part: Part) -> str:
    """How far a part is, such as "3 of 10 tasks, 1,200 documents, 40 MB, 8.0 MB/s, 0:12 left"."""
    told = [f"{part.tasks_done:,} of {part.tasks:,} tasks"]
    told += [f"{part.documents:,} documents"] if part.documents else []
    if part.bytes:
        told += [f"{part.bytes / 1e6:,.0f} MB", f"{part.bytes / 1e6 / max(part.seconds, 1e-9):,.1f} MB/s"]
    elif part.documents:
        told += [f"{part.documents / max(part.seconds, 1e-9):,.0f} a second"]
    eta = part.eta_seconds
    told += [f"{datetime.timedelta(seconds=round(eta))} left"] if eta and part.share < 1 else []
    return ", ".join(told)


def _log_part(part: Part) -> None:
    eta = part.eta_seconds
    log(
        "progress", part=part.name, tasks_done=part.tasks_done, tasks=part.tasks, documents=part.documents,
        bytes=part.bytes, seconds=round(part.seconds, 3), eta_seconds=None if eta is None else round(eta, 1),
    )  # fmt: skip


def log(event: str, **told: Any) -> None:
    """One JSON object on stderr: time (UTC), event ("progress", "info", "warning" or "error") and what it tells."""
    print(_line(event, told), file=sys.stderr, flush=True)


def _line(event: str, told: dict[str, Any]) -> str:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, "event": event} | told)


@contextlib.contextmanager
def only_objects() -> Iterator[None]:
    """Make what anybody else writes to stderr, workers and libraries too, an "info" object a line."""
    sys.stderr.flush()
    real = os.dup(2)
    read, write = os.pipe()
    os.dup2(write, 2)
    os.close(write)
    thread = threading.Thread(target=_wrap, args=(os.fdopen(read, "rb"), real), daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(real, 2)
        thread.join(WAIT_SECONDS)  # the daemons of a Ray that goes on may hold it open for days


def _wrap(lines: IO[bytes], real: int) -> None:
    with os.fdopen(real, "wb", buffering=0) as out:
        for raw in lines:
            text = raw.decode("utf-8", "replace").rstrip("\r\n")
            if text:
                out.write((text if _is_object(text) else _line("info", {"message": text})).encode() + b"\n")


def _is_object(text: str) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"time", "event"} <= found.keys()


def make(quiet: bool) -> Show:
    """What suits this stderr."""
    if AS_JSON.get():
        return Objects(quiet=quiet)
    if quiet:
        return Show()
    return Bars() if sys.stderr.isatty() else Lines()
