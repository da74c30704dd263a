"""Adding to an index: what survived the last barriers of a run, as a new generation.

Tasks collect the rows of documents, a unit each, and the sorted keys of these, a partition each; the driver puts their
files one after the other and replaces the catalogue last.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from dedup import buffers, drop
from dedup.buffers import Int64s
from dedup.io import index as store
from dedup.io import read
from dedup.io.copies import on_disk
from dedup.io.exchange import partition_bits, read_partition
from dedup.io.files import put_array, save_array
from dedup.io.index_files import DOCUMENTS, Mapped, Writer, write_files, write_keys
from dedup.io.place import Place
from dedup.near import signature as signing
from dedup.near.edges import DOCUMENT_BITS
from dedup.plan import Plan, bands_of
from dedup.recipe import Step
from dedup.runner.barrier import Drops, RunTasks
from dedup.runner.budget import Budget
from dedup.runner.scanned import Changes, Scan, Scanned
from dedup.runner.task import Progress, Task, key_of

ROWS = 1 << 14  # documents a batch


def add(
    run: RunTasks, folder: Place, index: Place, catalogue: store.Catalogue, generation: store.Generation,
    settings: dict[str, Any], plan: Plan, left: Scanned, drops: Sequence[Drops], barriers: Sequence[Step],
    budget: Budget,
) -> int:  # fmt: skip
    """Append what survived the barriers as a generation; how many documents."""
    gone = np.sort(np.concatenate([np.zeros(0, np.int64), *(one.documents for one in drops)]))
    path = put_array(folder / "gone.npy", gone)
    with_texts = plan.recipe.index_texts
    key = key_of(left.keys, generation.number, with_texts, xxhash.xxh3_64_hexdigest(gone.tobytes()))
    near = next((step for step in barriers if step.kind == "near"), None)
    tasks = [
        Task(
            "dedup.runner.index_add:collect_documents", str(folder / f"documents-{place:05}"),
            key_of(key, "doc", place),
            {"scan": scan, "base": base, "until": until, "gone": path, "source": plan.source,
             "generation": generation.number, "batch_bytes": budget.batch_bytes, "near": near,
             "with_texts": with_texts},
        )
        for place, (scan, base, until) in enumerate(left.spans())
    ]  # fmt: skip
    counts = [count["documents"] for count in run("index documents", tasks)]
    firsts = [0, *np.cumsum(counts).tolist()]
    bits = partition_bits(firsts[-1] * (bands_of(near)[1].bands if near else 1), budget.key_rows)
    sorts = [
        Task(
            "dedup.runner.index_add:collect_keys", str(folder / f"keys-{p:05}"), key_of(key, "keys", p, bits),
            {"scans": left.folders, "parts": [task.folder for task in tasks], "firsts": firsts, "partition": p,
             "bits": bits, "is_near": near is not None},
        )
        for p in range(1 << bits)
    ]  # fmt: skip
    run("index keys", sorts)
    with store.new_folder(index, generation.number) as (out, name):
        for kind, some in (("documents", tasks), ("keys", sorts), ("bands", sorts)):
            with Writer(out, kind) as writer:
                for task in some:
                    for batch in Mapped(on_disk(task.folder, f"{kind}.arrow")):
                        writer.add_batch(batch)
        write_files(out, plan.shards, plan.source.text)
    added = dataclasses.replace(generation, documents=firsts[-1])
    every, folders = (*catalogue.generations, added), (*catalogue.folders, name)
    store.commit(index, dataclasses.replace(catalogue, settings=settings, generations=every, folders=folders))
    return int(firsts[-1])


def collect_documents(
    folder: Path,
    progress: Progress,
    *,
    scan: Scan,
    base: int,
    until: int,
    gone: str,
    source: read.Source,
    generation: int,
    batch_bytes: int,
    near: Step | None,
    with_texts: bool,
) -> dict[str, Any]:
    """The rows of documents.arrow of one unit; places.npy: which documents of the unit they are."""
    table = scan.table()
    alive = np.zeros(0, np.bool_)
    if table.num_columns:
        alive = buffers.one_chunk(table[drop.REASON]).is_null().to_numpy(zero_copy_only=False).copy()
    dropped = np.load(on_disk(gone), mmap_mode="r")
    low, high = np.searchsorted(dropped, [base, until])
    alive[dropped[low:high] - base] = False
    places = np.flatnonzero(alive)
    save_array(folder / "places.npy", places)
    numbers = np.array([piece.shard.number for piece in scan.unit.pieces], np.int32)
    sketches = _Sketches(scan.folder, near) if near is not None else None
    with Writer(folder, "documents") as writer:
        for some, texts in _texts(scan, table, places, source, batch_bytes, with_texts):
            n = len(some)
            rows = table.take(pa.array(some))
            columns: dict[str, Any] = {
                "generation": np.full(n, generation, np.uint32),
                "id": rows[read.ID] if read.ID in table.schema.names else pa.nulls(n, pa.large_string()),
                "file": numbers[scan.piece_of(some)], "row": scan.rows(some, table),
                "key_high": rows["_key_high"], "key_low": rows["_key_low"],
                "shingles": np.zeros(n, np.uint32), "few": np.zeros(n, np.uint8),
                "sketch": pa.nulls(n, pa.large_binary()), "text": texts,
            }  # fmt: skip
            columns |= sketches.of(some) if sketches is not None else {}
            writer.add(*(buffers.one_chunk(columns[name]) for name in DOCUMENTS.names))
            progress(n, 0)
    return {"documents": len(places)}


def _texts(
    scan: Scan, table: pa.Table, places: Int64s, source: read.Source, batch_bytes: int, with_texts: bool
) -> Iterator[tuple[Int64s, Any]]:
    """(documents, texts) of all places, in order; ROWS and about batch_bytes at once.

    with_texts   all of them; otherwise those that the files do not have as they were compared, null for others
    """
    if with_texts:
        for at, texts in scan.texts(places, source, batch_bytes):
            for first in range(0, len(at), ROWS):
                yield places[at[first : first + ROWS]], texts[first : first + ROWS]
        return
    changes = Changes(scan.folder)
    sizes = table["_bytes"].to_numpy() if len(places) else np.zeros(0, np.int64)
    ends = np.cumsum(sizes[places])
    first = done = 0
    while first < len(places):
        last = min(first + ROWS, max(first + 1, int(np.searchsorted(ends, done + batch_bytes, "right"))))
        some = places[first:last]
        yield some, buffers.with_replaced(pa.nulls(len(some), pa.large_string()), *changes.at(some))
        first, done = last, int(ends[last - 1])


class _Sketches:
    """What a scan left of the signatures of its documents, read for some at a time."""

    def __init__(self, folder: str, near: Step) -> None:
        sketch, _ = bands_of(near)
        width = sketch.slots * np.dtype(signing.signature_type(sketch)).itemsize
        self._few = np.load(on_disk(folder, "sketches-0.npy"))
        self._ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(signing.record_bytes(self._few, width))])
        self._shingles = np.load(on_disk(folder, "shingles-0.npy"), mmap_mode="r")
        self._path = os.path.join(folder, "sketches-0.bin")

    def of(self, documents: Int64s) -> dict[str, Any]:
        """Columns of some documents, ascending."""
        first, last = int(documents[0]), int(documents[-1]) + 1
        begin, end = int(self._ends[first]), int(self._ends[last])
        with open(on_disk(self._path), "rb") as file:
            file.seek(begin)
            data = file.read(end - begin)
        offsets = pa.py_buffer(self._ends[first : last + 1] - begin)
        records = pa.Array.from_buffers(pa.large_binary(), last - first, [None, offsets, pa.py_buffer(data)])
        return {
            "sketch": records.take(pa.array(documents - first)),
            "few": self._few[documents], "shingles": self._shingles[documents],
        }  # fmt: skip


def collect_keys(
    folder: Path,
    progress: Progress,
    *,
    scans: list[str],
    parts: list[str],
    firsts: list[int],
    partition: int,
    bits: int,
    is_near: bool,
) -> dict[str, Any]:
    """keys.arrow and bands.arrow of one partition of the keys of what survived."""
    for name, file in (("keys", "exact-0.bin"), ("bands", "bands-0.bin")):
        found: list[list[Any]] = [[np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]]
        for scan, part, first in zip(scans, parts, firsts, strict=False):
            places = np.load(on_disk(part, "places.npy"), mmap_mode="r")
            if not len(places) or (name == "bands" and not is_near):
                continue
            for rows in read_partition(os.path.join(scan, file), partition, bits):
                keys, documents = rows.columns[0], rows.columns[-1]
                if name == "bands":
                    documents = keys & np.uint64((1 << DOCUMENT_BITS) - 1)
                    keys = keys >> np.uint64(DOCUMENT_BITS)
                own = documents.astype(np.int64) + rows.document_base
                at = np.minimum(np.searchsorted(places, own), len(places) - 1)
                hit = places[at] == own
                found[0].append(keys[hit])
                found[1].append((at[hit] + first).astype(np.uint64))
        keys, documents = (np.concatenate(some) for some in found)
        order = np.argsort(keys, kind="stable")  # documents come ascending, in runs of sorted keys
        write_keys(folder, name, [(keys[order], documents[order])])
    progress(0, 0)
    return {}
