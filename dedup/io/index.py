"""An index: what runs keep of the documents that survived, so that later ones compare with these alone.

index.json names the folders that count; whatever else lies there was being written when somebody stopped, and goes at
the next change. So a generation is added, and folders are merged, by the replacement of one small file. What a folder
holds is told in index_files.

On an object store a folder is written on this machine and uploaded under a name that no other has; then the catalogue
is replaced, on condition that it is the one that was read. So a run that lost its lock unawares spoils nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedup.errors import RunError, UserError
from dedup.io import copies, files, lease, place
from dedup.io.index_files import NAMES
from dedup.io.place import Place, Remote
from dedup.io.store import Conflict

FORMAT = 2
CATALOGUE = "index.json"
CUT = "cut"  # instead of what a generation was compared with: some of its documents were forgotten


@dataclass(frozen=True)
class Generation:
    """What one run added.

    run        names the run: its recipe and the files that it read
    cleaning   the steps that made its texts
    compared   names what it was compared with
    """

    number: int
    run: str
    documents: int
    cleaning: list[Any]
    version: str
    compared: str


@dataclass(frozen=True)
class Catalogue:
    """index.json: what the signatures of an index share, its generations, and the folders that hold them.

    tag   the store's, of the catalogue that was read; "" where there was none, and of a folder's
    """

    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    generations: tuple[Generation, ...] = ()
    folders: tuple[str, ...] = ()
    tag: str = ""

    def as_data(self) -> dict[str, Any]:
        """What index.json says."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "tag"}

    def before(self, run: str) -> tuple[Generation, ...]:
        """The generations that a run is compared with: not its own of an earlier attempt, nor what came after it."""
        own = min((one.number for one in self.generations if one.run == run), default=self.next_number)
        return tuple(one for one in self.generations if one.number < own)

    def of(self, run: str) -> Generation | None:
        """The generation of a run."""
        return next((one for one in self.generations if one.run == run), None)

    @property
    def next_number(self) -> int:
        """Of the generation to come."""
        return max((one.number for one in self.generations), default=-1) + 1


def load(index: Place) -> Catalogue:
    """The catalogue of an index, empty where there is none; UserError for a folder of something else."""
    path = index / CATALOGUE
    try:
        tag = path.store.about(path.url).tag if isinstance(path, Remote) else ""
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        _refuse_others(index)
        return Catalogue()
    except UnicodeDecodeError:
        text = ""
    try:
        data = json.loads(text)
        version = data["format"]
        if version == FORMAT:
            generations = tuple(Generation(**one) for one in data["generations"])
            return Catalogue(data["settings"], generations, tuple(data["folders"]), tag)
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not the catalogue of an index; choose another folder") from None
    raise UserError(f"{path} is of format {version}, and this version of dedup reads {FORMAT}; make the index anew")


def _refuse_others(index: Place) -> None:
    """UserError where a folder without a catalogue holds what no run with an index left there."""
    if isinstance(index, Remote):
        names = (one.url[len(index.url) + 1 :] for one in index.below())  # no more of them than until the first other
        is_file = index.is_file()
    else:
        names = (path.name for path in (index.iterdir() if index.is_dir() else ()))
        is_file = index.exists() and not index.is_dir()
    if is_file or any(not name.startswith((".", "generation-")) for name in names):
        raise UserError(f"{index} is not empty and no index; choose another folder")


def check_files(index: Place, catalogue: Catalogue) -> None:
    """UserError where a file of the index is gone."""
    for path in missing_files(index, catalogue):
        raise UserError(f"{path} is gone; put it back, or make the index anew")


def missing_files(index: Place, catalogue: Catalogue) -> list[str]:
    """The files of an index that are not there."""
    return sorted(place.missing(str(index / folder / name) for folder in catalogue.folders for name in NAMES))


def bytes_of(folder: Place) -> int:
    """Bytes of the files in one folder of an index."""
    if isinstance(folder, Remote):
        return sum(one.bytes for one in folder.below())
    return sum(path.stat().st_size for path in folder.iterdir())


@contextlib.contextmanager
def locked(index: Place) -> Iterator[None]:
    """Keep other runs out of an index, and remove what one that was killed left there."""
    if isinstance(index, Path):
        index.mkdir(parents=True, exist_ok=True)
    load(index)  # before anything is touched
    with contextlib.ExitStack() as stack:
        if isinstance(index, Remote):
            stack.enter_context(lease.held(index, "index"))
            index.store.abort_uploads(f"{index}/generation-")
        else:
            try:
                stack.enter_context(files.locked(index))
            except UserError:
                raise UserError(f"{index}: another run uses this index; wait for it, or take another index") from None
            files.remove_temporary(index)
        catalogue = load(index)
        check_files(index, catalogue)
        _keep_only(index, catalogue.folders)
        yield


def commit(index: Place, catalogue: Catalogue) -> None:
    """Replace the catalogue, then remove folders that it no longer names."""
    text = json.dumps({"format": FORMAT} | catalogue.as_data(), indent=1) + "\n"
    if isinstance(index, Remote):
        _replace(index, catalogue, text.encode())
    else:
        try:
            with files.replacing(index / CATALOGUE) as temporary:
                temporary.write_text(text, "utf-8")
        except OSError:
            _keep_only(index, load(index).folders)  # where the disk is full, room is what is wanted
            raise
    _keep_only(index, catalogue.folders)


def _replace(index: Remote, catalogue: Catalogue, data: bytes) -> None:
    """Replace the catalogue that was read; RunError where that is no longer there, or what it is to name is not.

    Whoever takes over a lock that ran out removes what its holder has uploaded, or has added something already.
    """
    path = index / CATALOGUE
    try:
        if not missing_files(index, catalogue):
            path.store.write(data, path.url, catalogue.tag)
            return
    except Conflict:
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == data:  # it was asked twice, because the first answer did not come
                return
    raise RunError(f"{index}: lost the lock (another run took the index over); the same command goes on from here")


def _keep_only(index: Place, names: Sequence[str]) -> None:
    if isinstance(index, Remote):
        begin = f"{index}/generation-"
        there = {one.url[len(index.url) + 1 :].partition("/")[0] for one in index.store.find(begin)}
    else:
        there = {path.name for path in index.glob("generation-*")}
    for name in sorted(there - set(names)):
        place.remove_folder(index / name)


@contextlib.contextmanager
def new_folder(index: Place, number: int) -> Iterator[tuple[Path, str]]:
    """(A folder to write to, the name under which it then appears): that of generation `number` if it is free."""
    if isinstance(index, Remote):
        with _uploading(index, number) as found:
            yield found
        return
    temporary, name = index / f"{files.TEMPORARY}{os.getpid()}-generation", _free_name(index, number)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with files.naming(index):
            yield temporary, name
            for path in temporary.iterdir():
                with open(path, "rb+") as file:
                    os.fsync(file.fileno())
            os.rename(temporary, index / name)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _free_name(index: Path, number: int) -> str:
    """Of the next folder of a generation."""
    names = (f"generation-{number:05}" + (f"-{n}" if n else "") for n in range(1 << 20))
    return next(name for name in names if not (index / name).exists())


@contextlib.contextmanager
def _uploading(index: Remote, number: int) -> Iterator[tuple[Path, str]]:
    """A folder of this machine, uploaded at the end under a name that nobody else uploads to at the same time."""
    name = f"generation-{number:05}-{uuid.uuid4().hex[:12]}"
    with _scratch(index) as folder:
        yield folder, name
        for path in sorted(folder.iterdir()):
            index.store.upload(path, f"{index}/{name}/{path.name}")


@contextlib.contextmanager
def _scratch(index: Remote) -> Iterator[Path]:
    if index.scratch is None:
        with copies.working_folder() as folder:
            yield folder
        return
    index.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{files.TEMPORARY}{os.getpid()}-", dir=index.scratch) as name:
        yield Path(name)
