"""An index: what runs keep of the documents that survived, so that later ones compare with these alone.

index.json names the folders that count; whatever else lies there was being written when somebody stopped, and goes at
the next change. So a generation is added, and folders are merged, by the replacement of one small file. Keys lie sorted
in memory-mapped Arrow files: to look up what is new touches a few pages a key, however much there is of the old.

documents.arrow   a row a document: generation, id, file and row of its text, exact key, shingles, sketch, and the text
                  where the file does not have it as it was compared
keys.arrow        high halves of exact keys, ascending, with the document (its row in documents.arrow)
bands.arrow       band keys, ascending, with the document
files.json        the files that texts lie in
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup.buffers import Int64s, UInt64s
from dedup.errors import UserError
from dedup.io import files
from dedup.io.shards import Shard

FORMAT = 1
CATALOGUE = "index.json"
MERGE_ROWS = 4 << 20  # of keys sorted at once
BATCH_ROWS = 1 << 18  # of sorted keys
DOCUMENTS = pa.schema(
    [
        ("generation", pa.uint32()), ("id", pa.large_string()), ("file", pa.int32()), ("row", pa.int64()),
        ("key_high", pa.uint64()), ("key_low", pa.uint64()), ("shingles", pa.uint32()), ("few", pa.uint8()),
        ("sketch", pa.large_binary()), ("text", pa.large_string()),
    ]
)  # fmt: skip
KEYS = pa.schema([("key", pa.uint64()), ("document", pa.uint32())])


@dataclass(frozen=True)
class Generation:
    """What one run added.

    run        names the run: its recipe and the files that it read
    cleaning   the steps that made its texts
    """

    number: int
    run: str
    documents: int
    cleaning: list[Any]
    version: str


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

    def has(self, run: str) -> bool:
        """Whether it has the generation of a run."""
        return any(one.run == run for one in self.generations)

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
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not the catalogue of an index; choose another folder") from None
    if version != FORMAT:
        raise UserError(f"{path} is of format {version}, and this version of dedup reads {FORMAT}; make the index anew")
    generations = tuple(Generation(**one) for one in data["generations"])
    return Catalogue(data["settings"], generations, tuple(data["folders"]))


@contextlib.contextmanager
def locked(index: Path) -> Iterator[None]:
    """Keep other runs out of an index, and remove what one that was killed left there."""
    index.mkdir(parents=True, exist_ok=True)
    load(index)  # before anything is touched
    with files.locked(index):
        files.remove_temporary(index)
        _keep_only(index, load(index).folders)
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


# Reading


def batches(path: Path) -> list[pa.RecordBatch]:
    """The batches of an Arrow file, memory-mapped."""
    with pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        return [file.get_batch(i) for i in range(file.num_record_batches)]


class Rows:
    """documents.arrow of a folder, of which some rows are taken at a time."""

    def __init__(self, folder: Path) -> None:
        self.batches = batches(folder / "documents.arrow")
        self.firsts = np.concatenate([[0], np.cumsum([batch.num_rows for batch in self.batches])]).astype(np.int64)

    def take(self, documents: Int64s, columns: Sequence[str]) -> pa.Table:
        """Some columns of documents, ascending."""
        parts = []
        for n in np.unique(np.searchsorted(self.firsts, documents, "right") - 1):
            low, high = np.searchsorted(documents, self.firsts[n : n + 2])
            parts.append(self.batches[n].select(list(columns)).take(pa.array(documents[low:high] - self.firsts[n])))
        return pa.Table.from_batches(parts, pa.schema([DOCUMENTS.field(name) for name in columns]))


def find(path: Path, wanted: UInt64s) -> npt.NDArray[np.uint64]:
    """uint64[n, 2]: (document, key) of every row whose key is among some, ascending and distinct."""
    found = [np.zeros((0, 2), np.uint64)]
    for batch in batches(path):
        keys, documents = (batch.column(i).to_numpy() for i in range(2))
        some = wanted[np.searchsorted(wanted, keys[0]) : np.searchsorted(wanted, keys[-1], "right")]
        low, high = np.searchsorted(keys, some), np.searchsorted(keys, some, "right")
        counts = high - low
        at = np.repeat(low - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
        at = at.astype(np.int64)
        found.append(np.stack([documents[at].astype(np.uint64), keys[at]], axis=1))
    return np.concatenate(found)


def shards(folder: Path) -> list[tuple[Shard, str]]:
    """The files that texts of a folder lie in, each with the name of the column."""
    listed = json.loads((folder / "files.json").read_text("utf-8"))
    return [(Shard(**one["shard"]), one["text"]) for one in listed]


# Writing


def write_files(folder: Path, listed: Iterable[tuple[Shard, str]]) -> None:
    """files.json."""
    data = [{"shard": dataclasses.asdict(shard), "text": text} for shard, text in listed]
    (folder / "files.json").write_text(json.dumps(data), "utf-8")


def write_keys(path: Path, parts: Iterable[tuple[UInt64s, UInt64s]]) -> None:
    """An Arrow file of ascending keys and their documents."""
    with pa.ipc.new_file(str(path), KEYS) as writer:
        for keys, documents in parts:
            for at in range(0, len(keys), BATCH_ROWS):
                some = slice(at, at + BATCH_ROWS)
                columns = [pa.array(keys[some]), pa.array(documents[some].astype(np.uint32))]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=KEYS))


def merge(index: Path) -> None:
    """Put all folders into one; what runs find is the same."""
    catalogue = load(index)
    if len(catalogue.folders) > 1:
        name = _rewrite(index, catalogue.folders, catalogue.generations[-1].number, lambda _: None)
        commit(index, dataclasses.replace(catalogue, folders=(name,)))


def remove_source(index: Path, sources: Sequence[str]) -> int:
    """Forget the documents of some files or folders; how many these were, and UserError where there were none.

    A generation of which nothing is left is forgotten with them, so that its run may add it again.
    """
    catalogue = load(index)
    wanted = [os.path.abspath(source) if "://" not in source else source for source in sources]
    folders: list[str] = []
    removed = 0
    left: dict[int, int] = {one.number: one.documents for one in catalogue.generations}
    for name in catalogue.folders:
        listed = [shard.path for shard, _ in shards(index / name)]
        gone = {n for n, path in enumerate(listed) if any(path == w or path.startswith(w + "/") for w in wanted)}
        counts = _by_generation(index / name, gone) if gone else {}
        for number, count in counts.items():
            left[number] -= count
            removed += count
        if counts:
            last = catalogue.generations[-1].number
            name = _rewrite(index, [name], last, lambda files, gone=gone: ~np.isin(files, list(gone)))  # type: ignore[misc]
        folders.append(name)
    if not removed:
        raise UserError(f"{index}: no document is of {', '.join(sources)}; `dedup index info {index}` lists the files")
    generations = [
        dataclasses.replace(one, documents=left[one.number]) for one in catalogue.generations if left[one.number]
    ]
    commit(index, dataclasses.replace(catalogue, generations=tuple(generations), folders=tuple(folders)))
    return removed


def documents_of_files(folder: Path) -> dict[int, int]:
    """Documents by the file that they are of."""
    counts: dict[int, int] = {}
    for batch in batches(folder / "documents.arrow"):
        for number, count in zip(*np.unique(batch["file"].to_numpy(), return_counts=True), strict=True):
            counts[int(number)] = counts.get(int(number), 0) + int(count)
    return counts


def _by_generation(folder: Path, gone: set[int]) -> dict[int, int]:
    """Documents of some files, by generation."""
    counts: dict[int, int] = {}
    for batch in batches(folder / "documents.arrow"):
        of_them = np.isin(batch["file"].to_numpy(), list(gone))
        for number, count in zip(*np.unique(batch["generation"].to_numpy()[of_them], return_counts=True), strict=True):
            counts[int(number)] = counts.get(int(number), 0) + int(count)
    return counts


def _rewrite(index: Path, names: Sequence[str], number: int, keep: Callable[[Any], Any]) -> str:
    """Write the documents of some folders that stay into a new one; its name.

    keep   of file numbers, which stay; None: all
    """
    places: list[Int64s] = []  # of each folder's documents in the new one, -1 for none
    listed: list[tuple[Shard, str]] = []
    total = 0
    with new_folder(index, number) as out:
        with pa.ipc.new_file(str(out / "documents.arrow"), DOCUMENTS) as writer:
            for name in names:
                parts = [np.zeros(0, np.int64)]
                for batch in batches(index / name / "documents.arrow"):
                    mask = keep(batch["file"].to_numpy())
                    mask = np.ones(batch.num_rows, np.bool_) if mask is None else mask
                    parts.append(np.where(mask, total + np.cumsum(mask) - 1, -1))
                    total += int(mask.sum())
                    table = pa.Table.from_batches([batch]).filter(pa.array(mask))
                    moved = pa.array(table["file"].to_numpy() + np.int32(len(listed)))
                    writer.write_table(table.set_column(2, DOCUMENTS.field("file"), moved))
                places.append(np.concatenate(parts))
                listed += shards(index / name)
        write_files(out, listed)
        for keys in ("keys.arrow", "bands.arrow"):
            write_keys(out / keys, _merged([index / name / keys for name in names], places))
        name = free_name(index, number).name
    return name


def _merged(paths: Sequence[Path], places: Sequence[Int64s]) -> Iterator[tuple[UInt64s, UInt64s]]:
    """The keys of some files in stretches of about MERGE_ROWS, with their new documents."""
    every = [batches(path) for path in paths]
    rows = sum(batch.num_rows for some in every for batch in some)
    top = max((int(batch["key"][-1].as_py()) for some in every for batch in some), default=0)
    count = -(-rows // MERGE_ROWS)
    bounds = [top * i // count for i in range(1, count)]
    for low, high in zip([-1, *bounds], [*bounds, top], strict=True):  # low < key <= high
        parts: list[list[Any]] = [[np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]]
        for some, place in zip(every, places, strict=True):
            for batch in some:
                keys = batch["key"].to_numpy()
                begin = int(np.searchsorted(keys, np.uint64(low), "right")) if low >= 0 else 0
                end = int(np.searchsorted(keys, np.uint64(high), "right"))
                new = place[batch["document"].to_numpy()[begin:end].astype(np.int64)]
                parts[0].append(keys[begin:end][new >= 0])
                parts[1].append(new[new >= 0].astype(np.uint64))
        keys, documents = (np.concatenate(part) for part in parts)
        order = np.lexsort((documents, keys))
        yield keys[order], documents[order]
