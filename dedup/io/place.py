"""Where files lie: a path of this machine, or a URL of an object store.

`at` makes a Path of the one and a Remote of the other, which answers what the runner asks of a Path; the few functions
beside it do the same for either. A local path stays what it was: plain calls of the system, memory maps, renames.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from dedup.io import store
from dedup.io.ranged import Reader
from dedup.io.store import Object

HELD_BYTES = 64 << 20  # of a Parquet shard on a store: its reader asks for a column chunk twice
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL of a store; file:// is a path of this machine."""
    return isinstance(path, str) and _URL.match(path) is not None and not path.startswith("file://")


def plain(path: str) -> str:
    """A path as it is, file:// written as a path of this machine."""
    return unquote(path.removeprefix("file://")) if path.startswith("file://") else path


class Remote:
    """An object or a folder of objects.

    scratch   folder for what is on its way there; by default the system's
    """

    def __init__(self, url: str, scratch: Path | None = None) -> None:
        scheme, _, rest = url.partition("://")
        self.url = f"{scheme}://{rest.rstrip('/')}"
        self.scratch = scratch

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url}/{name}", self.scratch)

    @property
    def name(self) -> str:
        """The part after the last slash."""
        return self.url.rpartition("/")[2]

    @property
    def store(self) -> store.Store:
        """The store that has it."""
        return store.of(self.url)

    def below(self) -> Iterator[Object]:
        """Every object in the folder; a key that ends with a slash stands for a folder and is none."""
        return (one for one in self.store.find(self.url + "/") if not one.url.endswith("/"))

    def exists(self) -> bool:
        """Whether there is such an object, or one in the folder."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether there is such an object."""
        try:
            self.store.about(self.url)
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Whether there is an object in the folder."""
        return next(self.below(), None) is not None

    def read_bytes(self) -> bytes:
        """All of an object."""
        return self.store.read(self.url, 0, None)[0]

    def read_text(self, encoding: str = "utf-8") -> str:
        """All of an object, as text."""
        return self.read_bytes().decode(encoding)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object; one that is not there is gone already."""
        self.store.remove(self.url)

    @contextlib.contextmanager
    def replacing(self) -> Iterator[Path]:
        """A temporary file to write to; uploaded at the end, when the object appears as a whole."""
        if self.scratch is not None:
            self.scratch.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".tmp-{os.getpid()}-", dir=self.scratch)
        os.close(handle)
        try:
            yield Path(name)
            self.store.upload(Path(name), self.url)
        finally:
            Path(name).unlink(missing_ok=True)


Place = Path | Remote


def at(path: str | os.PathLike[str], scratch: Path | None = None) -> Place:
    """The place that a path or URL names."""
    path = os.fspath(path)
    return Remote(path, scratch) if is_url(path) else Path(plain(path))


def absolute(path: str) -> str:
    """A path that does not depend on the current folder; a URL without a slash at its end."""
    return str(Remote(path)) if is_url(path) else os.path.abspath(plain(path))


def open_file(path: str | os.PathLike[str], buffering: int = -1, until: int | None = None) -> BinaryIO:
    """A file or object to read; of an object nothing beyond byte `until` is read ahead."""
    if is_url(path):
        import io

        return io.BufferedReader(Reader(str(path), until=until), max(buffering, 1 << 17))
    return open(path, "rb", buffering)


def parquet_source(path: str | Place) -> Any:
    """What pyarrow's Parquet reader takes for a path."""
    if isinstance(path, Remote) or is_url(path):
        return Reader(str(path), held=HELD_BYTES)
    return path


def head(path: str, count: int) -> bytes:
    """The first bytes of a file or object."""
    if is_url(path):
        return store.of(path).read(path, 0, count)[0]
    with open(path, "rb") as file:
        return file.read(count)


def local_copy(path: str) -> str:
    """A path of this machine that has the bytes of a file or object; an object is copied here once for each content."""
    if not is_url(path):
        return path
    found = store.of(path).about(path)
    name = hashlib.sha256(f"{path}\n{found.tag}".encode()).hexdigest()[:16] + "-" + path.rpartition("/")[2][-100:]
    copy = cache_folder() / "files" / name
    if not copy.exists() or copy.stat().st_size != found.bytes:
        copy.parent.mkdir(parents=True, exist_ok=True)
        temporary = copy.with_name(f".tmp-{os.getpid()}-{name}")
        with open_file(path) as source, open(temporary, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        os.replace(temporary, copy)
    return str(copy)


def cache_folder() -> Path:
    """Where files lie on this machine that a run may make again."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache, "dedup")


def files_below(folder: Place) -> list[str]:
    """Every file or object in a folder and in those below it."""
    if isinstance(folder, Remote):
        return [one.url for one in folder.below()]
    return [str(path) for path in folder.rglob("*") if path.is_file()]


def names_in(folder: Place) -> set[str]:
    """The names of what lies in a folder."""
    if isinstance(folder, Remote):
        begin = len(folder.url) + 1
        return {one.url[begin:].partition("/")[0] for one in folder.below()}
    return {path.name for path in folder.iterdir()}


def shared_beginning(urls: Sequence[str]) -> str:
    """What all of some URLs begin with, letter by letter."""
    first, last = min(urls), max(urls)
    shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:shared]


def missing(paths: Iterable[str]) -> set[str]:
    """Those of some paths where there is no file; of objects one listing of the folder that they share tells."""
    wanted = set(paths)
    urls = [path for path in wanted if is_url(path)]
    there = set(files_below(Remote(shared_beginning(urls).rpartition("/")[0]))) if urls else set()
    return {path for path in wanted if (path not in there if is_url(path) else not os.path.exists(path))}


def remove_folder(folder: Place) -> None:
    """Remove a folder and all that is in it, if it is there."""
    if isinstance(folder, Remote):
        folder.store.remove_below(folder.url + "/")
    elif folder.exists():
        shutil.rmtree(folder)


def remove(path: str) -> None:
    """Remove a file or object, if it is there."""
    at(path).unlink(missing_ok=True)


def lock_folder(output: str) -> Path:
    """Where a run holds its lock on this machine if output and work lie on a store."""
    return cache_folder() / "locks" / hashlib.sha256(absolute(output).encode()).hexdigest()[:16]


def work_folder(output: str, within: str | None) -> Place:
    """Where a run keeps what it works with: beside a local output, unless it is told where.

    within   the folder or URL that `work` names: outputs have folders of their own in it
    """
    if within is None and not is_url(output):
        return Path(plain(output), "work")
    if within is None:
        within = str(cache_folder() / "work")
    name = absolute(output)
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name.partition("://")[2] or os.path.basename(name))[-60:].strip("-.")
    return at(within) / f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
