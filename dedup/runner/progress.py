"""Progress of long work on stderr: per part tasks, documents, MB/s and remaining time; silent where nobody looks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

Advance = Callable[[int, int], None]


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
    def part(self, name: str, tasks: int, size: int) -> Iterator[Advance]:
        """One part of the run; the value is called with documents and bytes done since the last call."""
        yield lambda documents, done: None


class Bars(Show):
    """Shows a bar a part, where stderr is a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._progress: Any = Progress(
            TextColumn("{task.description:<12}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
            TextColumn("{task.fields[documents]:,} documents"), TimeRemainingColumn(), console=Console(stderr=True),
        )  # fmt: skip

    def __enter__(self) -> Show:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        print(f"dedup: {text}", file=sys.stderr)

    @contextlib.contextmanager
    def part(self, name: str, tasks: int, size: int) -> Iterator[Advance]:
        bar = self._progress.add_task(name, total=size or None, documents=0)
        seen = 0

        def advance(documents: int, done: int) -> None:
            nonlocal seen
            seen += documents
            self._progress.update(bar, advance=done, documents=seen)

        yield advance
        done = max(size, int(self._progress.tasks[bar].completed), 1)
        self._progress.update(bar, total=done, completed=done)


class Lines(Show):
    """Says only what takes long, where stderr is not a terminal."""

    def say(self, text: str) -> None:
        print(f"dedup: {text}", file=sys.stderr)


def make(quiet: bool) -> Show:
    """What suits this stderr."""
    if quiet:
        return Show()
    return Bars() if sys.stderr.isatty() else Lines()
