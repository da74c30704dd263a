"""The lock of an output on an object store: an object that its holder keeps renewing.

It is written on condition that there is none, or that the one there is still the stale one that was looked at, so that
of two runs one holds it. The store's own clock tells its age: a run that was killed is waited for until its lease has
run out, unless it ran on this machine, where its absence shows at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from dedup.errors import DedupError, RunError, UserError
from dedup.io.files import lives
from dedup.io.place import Remote
from dedup.io.store import Conflict

SECONDS = 60  # that a lease lasts
RENEWALS = 5  # in that time


@contextlib.contextmanager
def held(folder: Remote, what: str = "output") -> Iterator[Callable[[], None]]:
    """Hold the lease of an output; UserError where another run does. It goes with the block.

    what   is told to be held

    The value raises RunError once the lease is lost, because the store was not reached while it lasted.
    """
    lease = _Lease(folder, what)
    lease.take()
    renewing = threading.Thread(target=lease.renew, name="lease", daemon=True)
    renewing.start()
    try:
        yield lease.check
    finally:
        lease.ended.set()
        renewing.join()
        lease.leave()


class _Lease:
    def __init__(self, folder: Remote, what: str) -> None:
        self._folder, self._what, self._place = folder, what, folder / ".lock"
        self._tag = ""
        self._until = 0.0
        self._name = uuid.uuid4().hex
        self.ended = threading.Event()
        self._lost = ""

    def _write(self, only: str) -> None:
        begun = time.monotonic()
        owner = {"run": self._name, "host": socket.gethostname(), "pid": os.getpid(), "seconds": SECONDS}
        data = json.dumps(owner | {"renewed": time.time()}).encode()  # no two are alike: nor are their tags
        self._tag = self._place.store.write(data, self._place.url, only)
        self._until = begun + SECONDS

    def take(self) -> None:
        for _ in range(3):  # it may change hands while we look
            try:
                self._write("")
                return
            except Conflict:
                pass
            try:
                there = self._place.store.about(self._place.url)
                owner = self._place.read_bytes()
            except FileNotFoundError:
                continue
            if not _is_left(owner, there.age):
                break
            try:
                self._write(there.tag)
                return
            except Conflict:
                continue
        raise UserError(
            f"{self._folder}: another run is writing there, or was killed on another machine less than {SECONDS} s ago;"
            f" wait for it or choose another {self._what}"
        )

    def renew(self) -> None:
        """Renew it again and again until the run has ended or it is lost."""
        while not self.ended.wait(SECONDS / RENEWALS):
            try:
                self._write(self._tag)
            except (Conflict, FileNotFoundError):
                self._lost = f"another run took the {self._what} over"
                return
            except DedupError:
                continue  # the store may answer again before the lease has run out

    def check(self) -> None:
        """RunError where the lease is lost."""
        lost = self._lost or ("the store could not be reached in time" if time.monotonic() > self._until else "")
        if lost:
            raise RunError(f"{self._folder}: lost the lock ({lost}); the same command goes on from here")

    def leave(self) -> None:
        """Remove it if it is ours."""
        with contextlib.suppress(DedupError, FileNotFoundError, ValueError):
            if json.loads(self._place.read_bytes()).get("run") == self._name:
                self._place.unlink()


def _is_left(owner: bytes, age: float | None) -> bool:
    """Whether nobody holds a lease of this age any more."""
    try:
        said = json.loads(owner)
        seconds, host, process = float(said["seconds"]), said["host"], int(said["pid"])
    except (ValueError, KeyError, TypeError):
        return age is None or age > SECONDS
    if host == socket.gethostname() and process != os.getpid() and not lives(process):
        return True
    return age is not None and age > seconds
