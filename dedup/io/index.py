"""An index: what runs keep of the documents that survived, so that later ones compare with these alone.

index.json names the folders that count; whatever else lies there was being written when somebody stopped, and goes at
the next change. So a generation is added, and folders are merged, by the replacement of one small file. What a folder
holds is told in index_files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedup.errors import UserError
from dedup.io import files
from dedup.io.index_files import NAMES

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
    """index.json: what the signatures of an index share, its generations, and the folders that hold them."""

    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    generations: tuple[Generation, ...] = ()
    folders: tuple[str, ...] = ()

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


def load(index: Path) -> Catalogue:
    """The catalogue of an index, empty where there is none; UserError for a folder of something else."""
    path = index / CATALOGUE
    if not path.exists():
        others = [p.name for p in index.iterdir() if not p.name.startswith(".")] if index.is_dir() else []
        others = [name for name in others if not name.startswith("generation-")]
        if others or (index.exists() and not index.is_dir()):
            raise UserError(f"{index} is not empty and no index; choose another folder")
        return Catalogue()
    try:
        data = json.loads(path.read_text("utf-8"))
        version = data["format"]
        if version == FORMAT:
            generations = tuple(Generation(**one) for one in data["generations"])
            return Catalogue(data["settings"], generations, tuple(data["folders"]))
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not the catalogue of an index; choose another folder") from None
    raise UserError(f"{path} is of format {version}, and this version of dedup reads {FORMAT}; make the index anew")


def check_files(index: Path, catalogue: Catalogue) -> None:
    """UserError where a file of the index is gone."""
    for path in (index / folder / name for folder in catalogue.folders for name in NAMES):
        if not path.exists():
            raise UserError(f"{path} is gone; put it back, or make the index anew")


@contextlib.contextmanager
def locked(index: Path) -> Iterator[None]:
    """Keep other runs out of an index, and remove what one that was killed left there."""
    index.mkdir(parents=True, exist_ok=True)
    load(index)  # before anything is touched
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.locked(index))
        except UserError:
            raise UserError(f"{index}: another run uses this index; wait for it, or take another index") from None
        files.remove_temporary(index)
        catalogue = load(index)
        check_files(index, catalogue)
        _keep_only(index, catalogue.folders)
        yield


def commit(index: Path, catalogue: Catalogue) -> None:
    """Replace the catalogue, then remove folders that it no longer names."""
    data = {"format": FORMAT} | dataclasses.asdict(catalogue)
    try:
        with files.replacing(index / CATALOGUE) as temporary:
            temporary.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    except OSError:
        _keep_only(index, load(index).folders)  # where the disk is full, room is what is wanted
        raise
    _keep_only(index, catalogue.folders)


def _keep_only(index: Path, names: Sequence[str]) -> None:
    for path in index.glob("generation-*"):
        if path.name not in names:
            shutil.rmtree(path)


@contextlib.contextmanager
def new_folder(index: Path, number: int) -> Iterator[Path]:
    """A folder to write to that appears under a name of its own, which is `number`'s if it is free."""
    temporary = index / f"{files.TEMPORARY}{os.getpid()}-generation"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with files.naming(index):
            yield temporary
            for path in temporary.iterdir():
                with open(path, "rb+") as file:
                    os.fsync(file.fileno())
            os.rename(temporary, free_name(index, number))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def free_name(index: Path, number: int) -> Path:
    """Where the next folder of a generation goes."""
    names = (f"generation-{number:05}" + (f"-{n}" if n else "") for n in range(1 << 20))
    return next(index / name for name in names if not (index / name).exists())
