"""Adding to an index: what survived the last barriers of a run, as a new generation.

Tasks collect the rows of documents, a unit each, and the sorted keys of these, a partition each; the driver puts their
files one after the other and replaces the catalogue last.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from dedup import buffers, drop
from dedup.buffers import Int64s
from dedup.io import index as store
from dedup.io import read
from dedup.io.exchange import partition_bits, read_partition
from dedup.io.files import save_array
from dedup.near import signature as signing
from dedup.near.edges import DOCUMENT_BITS
from dedup.plan import Plan, bands_of
from dedup.recipe import Step
from dedup.runner.barrier import Drops, RunTasks
from dedup.runner.scanned import Changes, Scan, Scanned
from dedup.runner.task import Progress, Task, key_of

KEY_ROWS = 512 << 10  # of keys sorted by one task
SEGMENT = 1 << 16  # documents a batch


def add(
    run: RunTasks,
    folder: Path,
    index: Path,
    generation: store.Generation,
    settings: dict[str, Any],
    plan: Plan,
    left: Scanned,
    drops: Sequence[Drops],
    barriers: Sequence[Step],
    batch_bytes: int,
) -> int:
    """Append what survived the barriers as a generation; how many documents."""
    with_texts = plan.recipe.index_texts
    gone = np.sort(np.concatenate([np.zeros(0, np.int64), *(one.documents for one in drops)]))
    folder.mkdir(parents=True, exist_ok=True)
    save_array(folder / "gone.npy", gone)
    key = key_of(left.keys, generation.number, with_texts, xxhash.xxh3_64_hexdigest(gone.tobytes()))
    is_near = settings["near"] is not None
    tasks = [
        Task(
            "dedup.runner.index_add:collect_documents", str(folder / f"documents-{place:05}"),
            key_of(key, "doc", place),
            {"scan": scan, "base": base, "until": until, "gone": str(folder / "gone.npy"), "source": plan.source,
             "generation": generation.number, "batch_bytes": batch_bytes, "is_near": is_near, "with_texts": with_texts},
        )
        for place, (scan, base, until) in enumerate(left.spans())
    ]  # fmt: skip
    counts = [count["documents"] for count in run("index documents", tasks)]
    firsts = [0, *np.cumsum(counts).tolist()]
    bands = next((bands_of(step)[1].bands for step in barriers if step.kind == "near"), 1)
    bits = partition_bits(firsts[-1] * bands, KEY_ROWS)
    sorts = [
        Task(
            "dedup.runner.index_add:collect_keys", str(folder / f"keys-{p:05}"), key_of(key, "keys", p, bits),
            {"scans": left.folders, "parts": [task.folder for task in tasks], "firsts": firsts, "partition": p,
             "bits": bits, "is_near": is_near},
        )
        for p in range(1 << bits)
    ]  # fmt: skip
    run("index keys", sorts)
    catalogue = store.load(index)
    with store.new_folder(index, generation.number) as out:
        for name, schema, some in (
            ("documents.arrow", store.DOCUMENTS, tasks), ("keys.arrow", store.KEYS, sorts),
            ("bands.arrow", store.KEYS, sorts),
        ):  # fmt: skip
            with pa.ipc.new_file(str(out / name), schema) as writer:
                for task in some:
                    for batch in store.batches(Path(task.folder, name)):
                        writer.write_batch(batch)
        store.write_files(out, [(shard, plan.source.text) for shard in plan.shards])
        name = store.free_name(index, generation.number).name
    added = dataclasses.replace(generation, documents=firsts[-1])
    store.commit(index, store.Catalogue(settings, (*catalogue.generations, added), (*catalogue.folders, name)))
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
    is_near: bool,
    with_texts: bool,
) -> dict[str, Any]:
    """The rows of documents.arrow of one unit; places.npy: which documents of the unit they are."""
    table = scan.table()
    alive = np.zeros(0, np.bool_)
    if table.num_columns:
        alive = table[drop.REASON].combine_chunks().is_null().to_numpy(zero_copy_only=False).copy()
    dropped = np.load(gone, mmap_mode="r")
    low, high = np.searchsorted(dropped, [base, until])
    alive[dropped[low:high] - base] = False
    places = np.flatnonzero(alive)
    save_array(folder / "places.npy", places)
    with pa.ipc.new_file(str(folder / "documents.arrow"), store.DOCUMENTS) as writer:
        if len(places):
            columns = _columns(scan, table, places, generation, is_near)
            columns["text"] = _texts(scan, places, source, batch_bytes, with_texts)
            rows = pa.table([columns[name] for name in store.DOCUMENTS.names], schema=store.DOCUMENTS)
            writer.write_table(rows, max_chunksize=SEGMENT)
    progress(len(places), 0)
    return {"documents": len(places)}


def _columns(scan: Scan, table: pa.Table, places: Int64s, generation: int, is_near: bool) -> dict[str, Any]:
    n = len(places)
    numbers = np.array([piece.shard.number for piece in scan.unit.pieces], np.int32)
    some = table.take(pa.array(places))
    columns: dict[str, Any] = {
        "generation": np.full(n, generation, np.uint32),
        "id": some[read.ID] if read.ID in table.schema.names else pa.nulls(n, pa.large_string()),
        "file": numbers[scan.piece_of(places)], "row": scan.rows(places, table),
        "key_high": some["_key_high"], "key_low": some["_key_low"],
        "shingles": np.zeros(n, np.uint32), "few": np.zeros(n, np.uint8),
        "sketch": pa.nulls(n, pa.large_binary()),
    }  # fmt: skip
    if is_near:
        counts = np.load(Path(scan.folder, "sketches-0.npy"), mmap_mode="r")
        data = np.fromfile(Path(scan.folder, "sketches-0.bin"), np.uint8)
        full = int((np.asarray(counts) >= signing.SMALL).sum())
        width = (len(data) - int(counts[counts < signing.SMALL].astype(np.int64).sum()) * 8) // full if full else 0
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(signing.record_bytes(counts, width))])
        parts = [None, pa.py_buffer(ends), pa.py_buffer(data)]
        sketches = pa.Array.from_buffers(pa.large_binary(), len(counts), parts)
        columns["sketch"], columns["few"] = sketches.take(pa.array(places)), counts[places]
        columns["shingles"] = np.load(Path(scan.folder, "shingles-0.npy"), mmap_mode="r")[places]
    return columns


def _texts(scan: Scan, places: Int64s, source: read.Source, batch_bytes: int, with_texts: bool) -> Any:
    """The texts that the files do not have as they were compared, or all of them."""
    if not with_texts:
        hits, texts = Changes(Path(scan.folder)).at(places)
        return buffers.with_replaced(pa.nulls(len(places), pa.large_string()), hits, texts)
    parts = [pa.array([], pa.large_string())]
    parts += [texts for _, texts in scan.texts(places, source, batch_bytes)]
    return pa.concat_arrays(parts)


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
            places = np.load(Path(part, "places.npy"), mmap_mode="r")
            if not len(places) or (name == "bands" and not is_near):
                continue
            for rows in read_partition(Path(scan, file), partition, bits):
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
        order = np.lexsort((documents, keys))
        store.write_keys(folder / f"{name}.arrow", [(keys[order], documents[order])])
    progress(0, 0)
    return {}
