"""Files that appear whole or not at all, and the lock that keeps two runs out of one output.

Every file of a run is written under a temporary name that says so and renamed when it is complete, so that
a half-written file is never taken for a finished one; whatever carries such a name at the next start
belongs to no run and is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import shutil
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.errors import UserError
from dedup.io.place import Place, Remote

TEMPORARY = ".tmp-"
PATIENCE_SECONDS = 30  # for the workers of a killed driver; they end as soon as they notice


@contextlib.contextmanager
def replacing(path: Place, *, sync: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` to write to; renamed to it at the end, removed on an error.

    Of an object on a store, a temporary file of this machine that is uploaded at the end.
    """
    if isinstance(path, Remote):
        with path.replacing() as temporary:
            yield temporary
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{_end_of(path.name)}")
    try:
        with naming(path):
            yield temporary
            if sync:
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Have a fault of the system tell which file it is about: a write that fails does not, and disks are many."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def _end_of(name: str) -> str:
    """What a temporary name keeps of a name: a file system takes 255 bytes, which a name may use up.

    Its hash, because names that end alike may be written at once, and its end, for people.
    """
    whole = os.fsencode(name)
    return f"{zlib.crc32(whole):08x}-{whole[-100:].decode('utf-8', 'ignore')}"


def touch(path: Place) -> None:
    """Make an empty file or object."""
    if isinstance(path, Remote):
        path.store.write(b"", path.url)
    else:
        path.touch()


def save_array(path: str | Path, array: npt.NDArray[Any]) -> None:
    """Write a .npy file as np.save does, but tell when the disk is full.

    np.save writes through a C stream and drops what its last flush says: on a full disk up to 4 KiB went missing
    without an error.
    """
    with naming(path), open(path, "wb") as file:
        array = np.ascontiguousarray(array)
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data.cast("B") if array.size else b"")


def load_flat(path: str | Path, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The values of what save_array wrote of a known type, flat; np.load parses a header, which takes longer."""
    with open(path, "rb") as file:
        return np.fromfile(file, dtype, offset=_header_bytes(file.read(10)) - 10)


def map_flat(path: str | Path, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """As `load_flat`, as they lie in the file."""
    data = mapped(path)
    return data[_header_bytes(data[:10].tobytes()) :].view(dtype)


def _header_bytes(head: bytes) -> int:
    """Bytes before the values of a .npy file of version 1, told by its first ten: magic, version, and the rest."""
    return 10 + int.from_bytes(head[8:], "little")


def mapped(path: str | Path, begin: int = 0, end: int | None = None) -> npt.NDArray[np.uint8]:
    """Bytes begin to end - 1 of a file, or up to where it ends, as they lie there; np.memmap asks ten times as much."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        end = size if end is None else min(end, size)
        if begin >= end:
            return np.zeros(0, np.uint8)
        first = begin - begin % mmap.ALLOCATIONGRANULARITY
        data = mmap.mmap(file.fileno(), end - first, access=mmap.ACCESS_READ, offset=first)
    return np.frombuffer(data, np.uint8, offset=begin - first)


def put_array(path: Place, array: npt.NDArray[Any]) -> str:
    """Write a .npy file of the driver's for tasks to read, of which no half is ever read; where it is."""
    if isinstance(path, Remote):
        with path.replacing() as temporary:
            save_array(temporary, array)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_array(path, array)
    return str(path)


def link(old: Path, new: Path) -> None:
    """The same file under another name, or a copy where that cannot be; for files that are only ever replaced whole."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)


def remove_temporary(folder: Path) -> None:
    """Remove what an interrupted run left half-written below a folder."""
    for where, folders, names in os.walk(folder):
        for name in [n for n in folders if n.startswith(TEMPORARY)]:
            shutil.rmtree(os.path.join(where, name), ignore_errors=True)
            folders.remove(name)
        for name in names:
            if name.startswith(TEMPORARY):
                os.unlink(os.path.join(where, name))


@contextlib.contextmanager
def locked(folder: Path, output: str = "") -> Iterator[int]:
    """Hold folder/.lock, which names this process; UserError where another run holds it. The file goes with the lock.

    output   what is written under the lock, if that is not the folder

    The value is the lock's descriptor: a worker that inherits it holds the lock too, until it ends. So the workers of
    a driver that was killed are awaited here, and never write among the files of the next run.
    """
    path = folder / ".lock"
    lock = _lock(path, time.monotonic() + PATIENCE_SECONDS, output or str(folder))
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield lock
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def _lock(path: Path, until: float, output: str) -> int:
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(lock, 20, 0)
            os.close(lock)
            if lives(holder) or time.monotonic() > until:
                raise UserError(
                    f"{output}: another run is writing there; wait for it or choose another output"
                ) from None
            time.sleep(0.02)
            continue
        # The holder before us may have removed the file between our open and our lock.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(lock).st_ino:
                return lock
        os.close(lock)


def lives(process: bytes | int) -> bool:
    """Whether the process that a lock names is there."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):  # not named yet, or somebody else's
        return True
    return True
