"""Looking up what is new among the documents of an index: those that share a key with a new one, as if scanned.

One task a partition of the new keys finds them in the sorted keys of each folder of the index; one task a stretch of
a folder's documents then writes the files of a scan for those that were found in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers
from dedup.buffers import Int64s, UInt64s
from dedup.errors import InputChangedError, UserError
from dedup.io import index as store
from dedup.io import index_files, place, read
from dedup.io.copies import on_disk
from dedup.io.exchange import ExchangeWriter, partition_bits, read_partition
from dedup.io.files import save_array
from dedup.io.place import Place
from dedup.io.shards import Shard
from dedup.io.units import Piece, Unit
from dedup.near.edges import DOCUMENT_BITS
from dedup.plan import bands_of
from dedup.recipe import Step
from dedup.runner.barrier import RunTasks
from dedup.runner.budget import Budget
from dedup.runner.scanned import Scan, Scanned
from dedup.runner.task import Progress, Task, key_of

MOST_UNITS = 1 << 12  # of candidates of one folder: exchanges are read by every task of the next part
SEGMENT = 1 << 16
OLD_UNITS = 1 << 30  # numbers of their units, above those of the input


@dataclass(frozen=True)
class Old(Scan):
    """Candidates of an index, as if they had been scanned; rows.arrow has the document that each is in `source`."""

    source: str = ""

    def pieces(self) -> Iterator[tuple[Piece, int, int, int]]:
        """None: what there is to write and to number lies elsewhere."""
        return iter(())

    def doc_ids(self, documents: Int64s, table: pa.Table) -> Int64s:
        """-1: they are in no shard of this run."""
        return np.full(len(documents), -1)

    def ids(self, documents: Int64s, table: pa.Table) -> Any:
        """The ids that they came with; path#row where there was none."""
        some = table.take(pa.array(documents))
        rows = buffers.one_chunk(some[read.ROW]).cast(pa.large_string())
        numbers, at = np.unique(some["_file"].to_numpy(), return_inverse=True)
        names = buffers.one_chunk(index_files.paths(place.at(self.source), numbers)).take(pa.array(at))
        made = pc.binary_join_element_wise(names, rows, pa.scalar("#", pa.large_string()))
        return pc.coalesce(buffers.one_chunk(some[read.ID]), made)

    def texts(self, documents: Int64s, source: read.Source, batch_bytes: int) -> Iterator[tuple[Int64s, Any]]:
        """(places within `documents`, texts), from the index or from the file that had them."""
        folder = place.at(self.source)
        table = self.table().take(pa.array(documents))
        has = np.zeros(len(documents), np.bool_)
        for some, batch in index_files.Rows(folder).take(table["_document"].to_numpy(), ["text"]):
            valid = batch["text"].is_valid()
            has[some] = valid.to_numpy(zero_copy_only=False)
            if has[some].any():
                yield some.start + np.flatnonzero(has[some]), buffers.large_strings(batch["text"].filter(valid))
        files, rows = table["_file"].to_numpy(), table[read.ROW].to_numpy()
        for number, (shard, column) in index_files.shards(folder, np.unique(files[~has])).items():
            places = np.flatnonzero((files == number) & ~has)
            self._check(shard)
            done = 0
            for texts in read.read_texts(Piece(shard), read.Source(column), rows[places], batch_bytes):
                yield places[done : done + len(texts)], texts
                done += len(texts)
            self._check(shard)

    def _check(self, shard: Shard) -> None:
        try:
            shard.check_unchanged()
        except InputChangedError:
            raise UserError(
                f"{shard.path} is gone or not what it was when {self.source.rpartition('/')[0]} took its documents; "
                "put it back, or forget them with `dedup index remove-source`"
            ) from None


def look_up(
    run: RunTasks, folder: Place, catalogue: store.Catalogue, index: Place, before: int, barriers: Sequence[Step],
    left: Scanned, budget: Budget,
) -> Scanned:  # fmt: skip
    """The old documents that a new one may be a duplicate of, as references.

    before   only those of generations below it
    """
    near = next((step for step in barriers if step.kind == "near"), None)
    bands = bands_of(near)[1].bands if near else 1
    bits = partition_bits(left.bases[-1] * bands, budget.key_rows)
    stretch = max(budget.old_documents, sum(one.documents for one in catalogue.generations) // MOST_UNITS)
    key = key_of(left.keys, catalogue.as_data(), before, bits, stretch)
    folders = [str(index / name) for name in catalogue.folders]
    tasks = [
        Task(
            "dedup.runner.index_lookup:find_keys", str(folder / f"found-{p:05}"), key_of(key, "find", p),
            {"scans": left.folders, "folders": folders, "partition": p, "bits": bits, "is_near": near is not None,
             "stretch": stretch},
        )
        for p in range(1 << bits)
    ]  # fmt: skip
    counts = run("look up", tasks)
    stretches = sorted({(n, s) for count in counts for n, s in count["stretches"]})
    found = [str(task.folder) for task in tasks]
    takes = [
        Task(
            "dedup.runner.index_lookup:take_candidates", str(folder / f"old-{n:03}-{s:05}"), key_of(key, "take", n, s),
            {"found": found, "number": n, "source": folders[n], "begin": s * stretch, "end": (s + 1) * stretch,
             "before": before, "barriers": len(barriers), "is_near": near is not None},
        )
        for n, s in stretches
    ]  # fmt: skip
    counts = run("fetch old", takes) if takes else []
    scans: list[Scan] = []
    for at, ((n, _), task) in enumerate(zip(stretches, takes, strict=True)):
        scans.append(Old(Unit(OLD_UNITS + at, ()), task.folder, (), (), (), (), folders[n]))
    bases = [0, *np.cumsum([count["documents"] for count in counts]).tolist()]
    return Scanned(scans, [task.key for task in takes], bases)


def find_keys(
    folder: Path,
    progress: Progress,
    *,
    scans: list[str],
    folders: list[str],
    partition: int,
    bits: int,
    is_near: bool,
    stretch: int,
) -> dict[str, Any]:
    """Old documents that share a key of one partition, ascending, a file a folder of the index.

    keys-N.npy, bands-N.npy   uint64[n, 2]: document, key
    """
    stretches: set[tuple[int, int]] = set()
    for name, wanted in _wanted(scans, partition, bits, is_near):
        for n, source in enumerate(folders):
            found = [np.zeros((0, 2), np.uint64), *index_files.find(place.at(source) / f"{name}.arrow", wanted)]
            hits = np.concatenate(found)
            found.clear()
            hits = hits[np.argsort(hits[:, 0], kind="stable")]
            save_array(folder / f"{name}-{n:03}.npy", hits)
            places = hits[:, 0] // np.uint64(stretch)
            stretches.update((n, int(s)) for s in places[:1].tolist() + places[1:][np.diff(places) > 0].tolist())
    progress(0, 0)
    return {"stretches": sorted(stretches)}


def _wanted(scans: list[str], partition: int, bits: int, is_near: bool) -> Iterator[tuple[str, UInt64s]]:
    """The distinct keys of one partition, ascending, and the name of the file that they are looked up in."""
    parts = [np.zeros(0, np.uint64)]
    for scan in scans:
        parts += [part.columns[0] for part in read_partition(os.path.join(scan, "exact-0.bin"), partition, bits)]
    yield "keys", np.unique(np.concatenate(parts))
    parts = [np.zeros(0, np.uint64)]
    for scan in scans if is_near else ():
        found = read_partition(os.path.join(scan, "bands-0.bin"), partition, bits)
        parts += [part.columns[0] >> np.uint64(DOCUMENT_BITS) for part in found]
    yield "bands", np.unique(np.concatenate(parts))


def count(index: Place, catalogue: store.Catalogue, scans: list[str], *, is_near: bool) -> int:
    """How many documents of an index share a key with some that were scanned, a few."""
    hits = [np.zeros(0, np.uint64)]
    for name, wanted in _wanted(scans, 0, 0, is_near):
        for n, folder in enumerate(catalogue.folders):
            found = index_files.find(index / folder / f"{name}.arrow", wanted)
            hits += [np.unique(some[:, 0]) + np.uint64(n << 32) for some in found]
    return len(np.unique(np.concatenate(hits)))


def take_candidates(
    folder: Path,
    progress: Progress,
    *,
    found: list[str],
    number: int,
    source: str,
    begin: int,
    end: int,
    before: int,
    barriers: int,
    is_near: bool,
) -> dict[str, Any]:
    """The files of a scan for the old documents from `begin` to `end` - 1 that share a key with a new one."""
    hits = {name: _hits(found, f"{name}-{number:03}.npy", begin, end) for name in ("keys", "bands")}
    wanted = np.union1d(hits["keys"][:, 0], hits["bands"][:, 0]).astype(np.int64)
    kept = [np.zeros(0, np.int64)]
    with _Candidates(folder, barriers, is_near) as files:
        for some, batch in index_files.Rows(place.at(source)).take(wanted, files.columns):
            old = batch["generation"].to_numpy() < before
            kept.append(wanted[some][old])
            files.add(kept[-1], batch.filter(pa.array(old)))
    documents = np.concatenate(kept)
    if is_near:
        _write_bands(folder, documents, hits["bands"])
    progress(len(documents), 0)
    return {"documents": len(documents)}


def _hits(found: list[str], name: str, begin: int, end: int) -> npt.NDArray[np.uint64]:
    """uint64[n, 2], (document, key), of what was found among documents `begin` to `end` - 1, in any order."""
    parts = [np.zeros((0, 2), np.uint64)]
    for one in found:
        rows = np.load(on_disk(one, name), mmap_mode="r")
        low, high = np.searchsorted(rows[:, 0], np.array([begin, end], np.uint64))
        parts.append(np.array(rows[low:high]))
    return np.concatenate(parts)


class _Candidates:
    """The files of a scan, written batch by batch from rows of an index."""

    def __init__(self, folder: Path, barriers: int, is_near: bool) -> None:
        self.columns = ["generation", "id", "file", "row", "key_high", "key_low"]
        self.columns += ["shingles", "few", "sketch"] if is_near else []
        self._folder, self._barriers, self._count = folder, barriers, 0
        fields = [
            (read.ROW, pa.int64()),
            (read.ID, pa.large_string()),
            ("_file", pa.int32()),
            ("_document", pa.int64()),
        ]
        fields += [(name, pa.uint64()) for name in ("_key_high", "_key_low", *(f"_order_{n}" for n in range(barriers)))]
        self._schema = pa.schema(fields)
        self._rows = pa.ipc.new_file(str(folder / "rows.arrow"), self._schema)
        self._exchanges = [ExchangeWriter(folder / f"exact-{n}.bin", 5) for n in range(barriers)]
        self._sketches = open(folder / "sketches-0.bin", "wb") if is_near else None  # noqa: SIM115  # closed by __exit__
        self._few, self._shingles = [np.zeros(0, np.uint8)], [np.zeros(0, np.uint32)]

    def add(self, documents: Int64s, batch: pa.RecordBatch) -> None:
        """Append rows of some documents of the index."""
        nothing = np.zeros(len(documents), np.uint64)
        columns = [batch["row"], batch["id"], batch["file"], pa.array(documents), batch["key_high"], batch["key_low"]]
        columns += [pa.array(nothing)] * self._barriers
        self._rows.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        high, low = batch["key_high"].to_numpy(), batch["key_low"].to_numpy()
        live = np.flatnonzero((high != 0) | (low != 0))
        for exchange in self._exchanges:
            exchange.add(self._count, high[live], low[live], nothing[live], low[live], live.astype(np.uint64))
        if self._sketches is not None:
            sketches = batch["sketch"]
            offsets = np.frombuffer(sketches.buffers()[1], np.int64)[sketches.offset :][: len(sketches) + 1]
            if len(sketches) and offsets[0] < offsets[-1]:
                self._sketches.write(memoryview(sketches.buffers()[2])[offsets[0] : offsets[-1]])
            self._few.append(batch["few"].to_numpy())
            self._shingles.append(batch["shingles"].to_numpy())
        self._count += len(documents)

    def __enter__(self) -> _Candidates:
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()
        for exchange in self._exchanges:
            exchange.close()
        if self._sketches is not None:
            self._sketches.close()
            save_array(self._folder / "sketches-0.npy", np.concatenate(self._few))
            save_array(self._folder / "shingles-0.npy", np.concatenate(self._shingles))


def _write_bands(folder: Path, documents: Int64s, hits: npt.NDArray[np.uint64]) -> None:
    """bands-0.bin of the band keys through which some documents were found, in segments of SEGMENT documents."""
    writer = ExchangeWriter(folder / "bands-0.bin", 1)
    numbers, keys = hits[:, 0].astype(np.int64), hits[:, 1]
    for base in range(0, len(documents), SEGMENT):
        some = documents[base : base + SEGMENT]
        at = np.minimum(np.searchsorted(some, numbers), len(some) - 1)
        hit = some[at] == numbers  # neither of another segment nor of a later generation
        writer.add(base, keys[hit] << np.uint64(DOCUMENT_BITS) | at[hit].astype(np.uint64))
    writer.close()
