"""Looking up what is new among the documents of an index: those that share a key with a new one, as if scanned.

One task a partition of the new keys finds them in the sorted keys of each folder of the index; one task a stretch of
a folder's documents then writes the files of a scan for those that were found in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers
from dedup.buffers import Int64s
from dedup.errors import InputChangedError, UserError
from dedup.io import index as store
from dedup.io import read
from dedup.io.exchange import ExchangeWriter, partition_bits, read_partition
from dedup.io.files import save_array
from dedup.io.shards import Shard
from dedup.io.units import Piece, Unit
from dedup.near.edges import DOCUMENT_BITS
from dedup.plan import bands_of
from dedup.recipe import Step
from dedup.runner.barrier import RunTasks
from dedup.runner.scanned import Scan, Scanned
from dedup.runner.task import Progress, Task, key_of

KEY_ROWS = 512 << 10  # of new keys looked up by one task
STRETCH = 1 << 18  # old documents that one unit of candidates is drawn from
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
        names = pa.array([shard.path for shard, _ in store.shards(Path(self.source))], pa.large_string())
        rows = some[read.ROW].combine_chunks().cast(pa.large_string())
        made = pc.binary_join_element_wise(
            names.take(some["_file"].combine_chunks()), rows, pa.scalar("#", pa.large_string())
        )
        return pc.coalesce(buffers.one_chunk(some[read.ID]), made)

    def texts(self, documents: Int64s, source: read.Source, batch_bytes: int) -> Iterator[tuple[Int64s, Any]]:
        """(places within `documents`, texts), from the index or from the file that had them."""
        folder = Path(self.source)
        table = self.table().take(pa.array(documents))
        numbers = table["_document"].to_numpy()
        held = buffers.large_strings(store.Rows(folder).take(numbers, ["text"])["text"])
        has = held.is_valid().to_numpy(zero_copy_only=False)
        if has.any():
            yield np.flatnonzero(has), held.filter(pa.array(has))
        files, rows = table["_file"].to_numpy(), table[read.ROW].to_numpy()
        listed = store.shards(folder)
        for number in np.unique(files[~has]):
            places = np.flatnonzero((files == number) & ~has)
            shard, column = listed[number]
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
                f"{shard.path} is gone or not what it was when {Path(self.source).parent} took its documents; put it "
                "back, or forget them with `dedup index remove-source`"
            ) from None


def look_up(
    run: RunTasks, folder: Path, catalogue: store.Catalogue, index: Path, before: int, barriers: Sequence[Step],
    left: Scanned,
) -> Scanned:  # fmt: skip
    """The old documents that a new one may be a duplicate of, as references.

    before   only those of generations below it
    """
    near = next((step for step in barriers if step.kind == "near"), None)
    bands = bands_of(near)[1].bands if near else 1
    bits = partition_bits(left.bases[-1] * bands, KEY_ROWS)
    key = key_of(left.keys, dataclasses.asdict(catalogue), before, bits)
    folders = [str(index / name) for name in catalogue.folders]
    tasks = [
        Task(
            "dedup.runner.index_lookup:find_keys", str(folder / f"found-{p:05}"), key_of(key, "find", p),
            {"scans": left.folders, "folders": folders, "partition": p, "bits": bits, "is_near": near is not None},
        )
        for p in range(1 << bits)
    ]  # fmt: skip
    counts = run("look up", tasks)
    stretches = sorted({(n, s) for count in counts for n, s in count["stretches"]})
    found = [str(task.folder) for task in tasks]
    takes = [
        Task(
            "dedup.runner.index_lookup:take_candidates", str(folder / f"old-{n:03}-{s:05}"), key_of(key, "take", n, s),
            {"found": found, "number": n, "source": folders[n], "stretch": s, "before": before,
             "barriers": len(barriers), "is_near": near is not None},
        )
        for n, s in stretches
    ]  # fmt: skip
    counts = run("fetch old", takes) if takes else []
    scans: list[Scan] = []
    for place, ((n, _), task) in enumerate(zip(stretches, takes, strict=True)):
        scans.append(Old(Unit(OLD_UNITS + place, ()), task.folder, (), (), (), (), folders[n]))
    bases = [0, *np.cumsum([count["documents"] for count in counts]).tolist()]
    return Scanned(scans, [task.key for task in takes], bases)


def find_keys(
    folder: Path, progress: Progress, *, scans: list[str], folders: list[str], partition: int, bits: int, is_near: bool
) -> dict[str, Any]:
    """Old documents that share a key of one partition: keys-N.npy, bands-N.npy uint64[m, 2] of (document, key)."""
    keys, bands = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for scan in scans:
        keys += [part.columns[0] for part in read_partition(Path(scan, "exact-0.bin"), partition, bits)]
        if is_near:
            parts = read_partition(Path(scan, "bands-0.bin"), partition, bits)
            bands += [part.columns[0] >> np.uint64(DOCUMENT_BITS) for part in parts]
    stretches: set[tuple[int, int]] = set()
    for n, source in enumerate(folders):
        for name, wanted in (("keys", keys), ("bands", bands)):
            found = store.find(Path(source, f"{name}.arrow"), np.unique(np.concatenate(wanted)))
            found = found[np.argsort(found[:, 0], kind="stable")]
            save_array(folder / f"{name}-{n:03}.npy", found)
            stretches.update((n, int(s)) for s in np.unique(found[:, 0].astype(np.int64) // STRETCH))
    progress(0, 0)
    return {"stretches": sorted(stretches)}


def take_candidates(
    folder: Path,
    progress: Progress,
    *,
    found: list[str],
    number: int,
    source: str,
    stretch: int,
    before: int,
    barriers: int,
    is_near: bool,
) -> dict[str, Any]:
    """The files of a scan for the old documents of one stretch that share a key with a new one."""
    hits: dict[str, Any] = {}
    for name in ("keys", "bands"):
        parts = [np.zeros((0, 2), np.uint64)]
        for one in found:
            rows = np.load(Path(one, f"{name}-{number:03}.npy"), mmap_mode="r")
            low, high = np.searchsorted(rows[:, 0], np.array([stretch, stretch + 1], np.uint64) * np.uint64(STRETCH))
            parts.append(np.array(rows[low:high]))
        hits[name] = np.concatenate(parts)
    documents = np.unique(np.concatenate([hits["keys"][:, 0], hits["bands"][:, 0]])).astype(np.int64)
    names = [name for name in store.DOCUMENTS.names if name != "text"]
    table = store.Rows(Path(source)).take(documents, names)
    old = table["generation"].to_numpy() < before
    documents, table = documents[old], table.filter(pa.array(old))
    high, low = table["key_high"].to_numpy(), table["key_low"].to_numpy()
    nothing = np.zeros(len(documents), np.uint64)
    columns: dict[str, Any] = {
        read.ROW: table["row"], read.ID: table["id"], "_file": table["file"], "_document": pa.array(documents),
        "_key_high": table["key_high"], "_key_low": table["key_low"],
    }  # fmt: skip
    for n in range(barriers):
        columns[f"_order_{n}"] = pa.array(nothing)
        writer = ExchangeWriter(folder / f"exact-{n}.bin", 5)
        live = np.flatnonzero((high != 0) | (low != 0))
        writer.add(0, high[live], low[live], nothing[live], low[live], live.astype(np.uint64))
        writer.close()
    rows = pa.table(columns)
    with pa.ipc.new_file(str(folder / "rows.arrow"), rows.schema) as file:
        file.write_table(rows)
    if is_near:
        _write_sketches(folder, table, hits["bands"], documents)
    progress(len(documents), 0)
    return {"documents": len(documents)}


def _write_sketches(folder: Path, table: pa.Table, hits: Any, documents: Int64s) -> None:
    with open(folder / "sketches-0.bin", "wb") as file:
        for chunk in table["sketch"].chunks:
            offsets = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            if len(chunk):
                file.write(memoryview(chunk.buffers()[2])[offsets[0] : offsets[-1]])
    save_array(folder / "sketches-0.npy", table["few"].to_numpy())
    save_array(folder / "shingles-0.npy", table["shingles"].to_numpy())
    writer = ExchangeWriter(folder / "bands-0.bin", 1)
    numbers = hits[:, 0].astype(np.int64)
    at = np.minimum(np.searchsorted(documents, numbers), max(len(documents) - 1, 0))
    hit = documents[at] == numbers if len(documents) else np.zeros(len(numbers), np.bool_)
    local, keys = at[hit], hits[hit, 1]
    for base in range(0, len(documents), SEGMENT):
        some = (local >= base) & (local < base + SEGMENT)
        writer.add(base, keys[some] << np.uint64(DOCUMENT_BITS) | (local[some] - base).astype(np.uint64))
    writer.close()
