"""Copies on this machine of what tasks left on a store.

What a task left on a local folder is read where it lies. Of what lies on a store every node keeps whole copies, fetched
once by whichever of its processes is first: a partition takes kilobytes of each of a thousand files, and a thousand
partitions would ask a store millions of times for what is gigabytes a node. Within one attempt at a run an object is
written once, and copies live no longer than the attempt: so none is ever stale, and nobody asks for tags.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from dedup.io import place, store

ATTEMPT = "_DEDUP_ATTEMPT"  # the variable that tells workers which attempt they belong to
FREE_SHARE = 10  # one part in so many of the disk stays free of copies
IN_USE_SECONDS = 60  # a copy that was asked for so recently is not removed to make room
FETCHES = 8  # at once
RANGE_BYTES = 2 << 20  # of an object asked for at once; a fetch holds one range
WAITING = 64  # files of the driver to be sent
_LOCKS = 64  # two objects that share one wait for each other, now and then
_IN_USE = ".in-use"

_attempt: str | None = None
_held: tuple[str, Path, int] | None = None  # attempt, its folder, the descriptor of its lock
_absent: set[str] = set()  # copies that there is no object for: a file that a task did not leave
_holding = threading.Lock()


def begin(attempt: str) -> None:
    """Make this process one of an attempt at a run; it makes folders on this machine once it needs one."""
    global _attempt
    _attempt = attempt


def current() -> str | None:
    """The attempt that this process has begun, or its driver."""
    return _attempt or os.environ.get(ATTEMPT)


def variables() -> dict[str, str]:
    """What tells a process that this one starts to which attempt it belongs."""
    return {} if _attempt is None else {ATTEMPT: _attempt}


def end(attempt: str) -> None:
    """Remove what an attempt keeps on this machine; its other processes must have ended."""
    global _attempt
    with _holding:
        if _held is not None and _held[0] == attempt:
            _let_go()
        if _attempt == attempt:
            _attempt = None
        shutil.rmtree(_home() / attempt, ignore_errors=True)
        with contextlib.suppress(OSError):  # others are there, or it never was
            _home().rmdir()


def _home() -> Path:
    return place.cache_folder() / "runs"


def _let_go() -> None:
    global _held
    if _held is not None:
        os.close(_held[2])
        _held = None
        _absent.clear()


def _folder() -> Path:
    """What this attempt keeps on this machine; what others left that nobody holds any more goes."""
    global _held
    attempt = current()
    if attempt is None:
        begin(attempt := uuid.uuid4().hex)
    with _holding:
        if _held is None or _held[0] != attempt:
            _let_go()
            folder = _home() / attempt
            _held = attempt, folder, _hold(folder)
            _remove_left()
        return _held[1]


def _hold(folder: Path) -> int:
    """A shared lock that says that a process of this attempt lives."""
    path = folder / _IN_USE
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(lock, fcntl.LOCK_SH)
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == os.fstat(lock).st_ino:
                    return lock
            os.close(lock)  # it was just removed


def _remove_left() -> None:
    for folder in _home().iterdir():
        try:
            lock = os.open(folder / _IN_USE, os.O_RDWR)
        except OSError:
            continue  # about to be held, or gone
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # somebody holds it
        finally:
            os.close(lock)


def scratch() -> Path:
    """A folder of this machine for what is on its way to a store."""
    folder = _folder() / "tasks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """An empty folder of this machine for a task whose own is on a store; it goes with the block."""
    with tempfile.TemporaryDirectory(dir=scratch(), prefix=f"{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def on_disk(folder: str | Path, *names: str) -> Path:
    """Where the bytes of a file of a task lie on this machine; of an object a copy that is there for a minute at least.

    Nothing is there if there is no such file or object.
    """
    path = os.path.join(folder, *names)
    if not place.is_url(path):
        return Path(path)
    copy = _copy_of(path)
    if not _is_fresh(copy) and copy.name not in _absent:
        _fetch(path, copy)
    return copy


def fetch(paths: Iterable[str]) -> None:
    """Have copies of several files here, some at once: one after the other they cost a round trip each."""
    urls = [path for path in paths if place.is_url(path) and not _copy_of(path).exists()]
    if len(urls) > 1:
        with ThreadPoolExecutor(FETCHES) as pool:
            list(pool.map(on_disk, urls))


class Outbox:
    """Files that the driver writes for tasks to read; a context manager, at the end of which all are in their places.

    On disk a file is written where it belongs. To a store they go some at once, while the next are written, and what
    goes there is a copy that is here already.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._sent: list[Future[None]] = []

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=failed is not None)
        if failed is None:
            for one in self._sent:
                one.result()

    @contextlib.contextmanager
    def writing(self, path: place.Place) -> Iterator[Path]:
        """Where to write a file on this machine; it is sent at the end of the block."""
        if isinstance(path, Path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield path
            return
        copy = _copy_of(str(path))
        copy.parent.mkdir(parents=True, exist_ok=True)
        yield copy
        self._pool = self._pool or ThreadPoolExecutor(FETCHES)
        self._sent.append(self._pool.submit(path.store.upload, copy, str(path)))
        if len(self._sent) > WAITING:
            self._sent.pop(0).result()


def _copy_of(url: str) -> Path:
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:24]}-{url.rpartition('/')[2][-60:]}"
    return _folder() / "copies" / name


def _is_fresh(copy: Path) -> bool:
    """Whether a copy is there; it then counts as used now."""
    try:
        os.utime(copy)
    except FileNotFoundError:
        return False
    return True


def _fetch(url: str, copy: Path) -> None:
    home = copy.parent
    home.mkdir(parents=True, exist_ok=True)
    number = int(copy.name[:8], 16) % _LOCKS
    with open(home / f".lock-{number:02}", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of processes that want it all but one wait
        if _is_fresh(copy):
            return
        try:
            data, size = store.of(url).read(url, 0, RANGE_BYTES)
        except FileNotFoundError:
            _absent.add(copy.name)
            return
        _make_room(home, size)
        temporary = home / f".tmp-{os.getpid()}-{copy.name}"
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                for begin in range(len(data), size, RANGE_BYTES):
                    file.write(store.of(url).read(url, begin, begin + RANGE_BYTES)[0])
            os.replace(temporary, copy)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _make_room(home: Path, size: int) -> None:
    """Remove the copies that were not used for longest, as far as the disk is too full for one more."""
    usage = shutil.disk_usage(home)
    short = size + usage.total // FREE_SHARE - usage.free
    if short <= 0:
        return
    copies = []
    with os.scandir(home) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                copies.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    for used, held, path in sorted(copies):
        if short <= 0 or used > time.time() - IN_USE_SECONDS:
            return
        if not os.path.basename(path).startswith("."):
            Path(path).unlink(missing_ok=True)
            short -= held
