"""Two passes over duplicates.parquet: similarities, clusters, which source repeats which, and pairs to look at.

A cluster here is a kept document and those that went for it. What is held is 16 bytes a duplicate.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedup.buffers import Int64s, one_chunk
from dedup.io import parquet
from dedup.io.place import Place, parquet_source
from dedup.report.passes import BATCH_ROWS
from dedup.report.sources import Sources

STEPS = 100  # bins of similarity between 0 and 1
Row = dict[str, Any]


@dataclass
class Cluster:
    """A kept document and how many went for it.

    likest   (similarity, doc_id) of the one that is most like it, whose text stands for all
    """

    doc_id: int
    id: str
    exact: int = 0
    near: int = 0
    least: float = 1.0
    bytes: int = 0
    likest: tuple[float, int] = (-1.0, -1)

    @property
    def size(self) -> int:
        """Documents, the kept one included."""
        return 1 + self.exact + self.near


@dataclass
class Copies:
    """What is known of all duplicates.

    similarities   duplicates by (kind, verified, bin; -1: no similarity)
    sizes          clusters by size
    largest        clusters, the largest first
    matrix         [duplicates, bytes] by (source, source of the kept document)
    least          rows of duplicates.parquet, the least similar near duplicates first, one for each kept document
    """

    similarities: Counter[tuple[str, bool, int]] = field(default_factory=Counter)
    sizes: dict[int, int] = field(default_factory=dict)
    largest: list[Cluster] = field(default_factory=list)
    matrix: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    least: list[Row] = field(default_factory=list)


def look(output: Place, sources: Sources, sizes: Int64s, *, clusters: int, pairs: int) -> Copies:
    """Go over the duplicates of a finished run.

    sizes      int64[n, 2]   (doc_id, bytes of text) of duplicates, by doc_id
    clusters   how many of the largest
    pairs      how many of the least similar, about
    """
    found = Copies()
    twins, strangers = [np.zeros(0, np.int64)], [pa.array([], pa.large_string())]
    least = _Least(pairs)
    for batch in _batches(output, None):
        _add_similarities(found.similarities, batch)
        _add_sources(found.matrix, batch, sources, _bytes_of(batch["doc_id"].to_numpy(), sizes))
        known = batch["duplicate_of_doc_id"].is_valid()
        twins.append(batch["duplicate_of_doc_id"].drop_null().to_numpy())
        strangers.append(batch["duplicate_of"].filter(pc.invert(known)))
        least.add(batch)
    found.least = least.found()
    kept, counts = np.unique(np.concatenate(twins), return_counts=True)
    others = pc.value_counts(pa.concat_arrays(strangers)).field("counts").to_numpy()
    values, numbers = np.unique(np.concatenate([counts, others]) + 1, return_counts=True)
    found.sizes = dict(zip(values.tolist(), numbers.tolist(), strict=True))
    order = np.lexsort((kept, -counts))[:clusters]
    found.largest = _clusters(output, kept[order], sizes)
    return found


def _batches(output: Place, columns: Sequence[str] | None) -> Any:
    file = pq.ParquetFile(parquet_source(output / "duplicates.parquet"))
    return parquet.batches(file, BATCH_ROWS, columns)


def _bytes_of(doc_ids: Int64s, sizes: Int64s) -> Int64s:
    if not len(sizes):
        return np.zeros(len(doc_ids), np.int64)
    at = np.minimum(np.searchsorted(sizes[:, 0], doc_ids), len(sizes) - 1)
    found: Int64s = np.where(sizes[at, 0] == doc_ids, sizes[at, 1], 0)
    return found


def _add_similarities(counts: Counter[tuple[str, bool, int]], batch: pa.RecordBatch) -> None:
    values = batch["similarity"].fill_null(-1.0).to_numpy()
    places = np.where(values < 0, -1, np.minimum(np.floor(values * STEPS + 1e-9), STEPS - 1)).astype(np.int64)
    table = pa.table([batch["kind"], batch["verified"], places], names=["kind", "verified", "place"])
    for row in table.group_by(table.column_names).aggregate([([], "count_all")]).to_pylist():
        counts[row["kind"], row["verified"], row["place"]] += row["count_all"]


def _add_sources(
    matrix: dict[tuple[str, str], list[int]], batch: pa.RecordBatch, sources: Sources, sizes: Int64s
) -> None:
    names = ["source", "duplicate_of_source", "bytes"]
    theirs = sources.of(one_chunk(batch["duplicate_of_doc_id"]))
    table = pa.table([sources.of(one_chunk(batch["doc_id"])), theirs, sizes], names=names)
    for row in table.group_by(names[:2]).aggregate([([], "count_all"), ("bytes", "sum")]).to_pylist():
        entry = matrix.setdefault((row["source"], row["duplicate_of_source"]), [0, 0])
        entry[0] += row["count_all"]
        entry[1] += row["bytes_sum"]


class _Least:
    """The least similar near duplicates, one for each kept document; ties by doc_id."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._rows: list[Row] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Look at some duplicates."""
        is_near = pc.and_(pc.equal(batch["kind"], "near"), batch["similarity"].is_valid())
        near = batch.filter(is_near)
        similarity = near["similarity"].to_numpy()
        order = np.lexsort((near["doc_id"].to_numpy(), similarity))
        # The least similar one of each kept document: of those in that order the first.
        codes = near["duplicate_of"].dictionary_encode().indices.to_numpy()[order]
        _, first = np.unique(codes, return_index=True)
        some = order[np.sort(first)[: self._count]]
        best: dict[str, Row] = {}
        rows = self._rows + near.take(pa.array(some)).to_pylist()
        for row in sorted(rows, key=lambda row: (row["similarity"], row["doc_id"])):
            best.setdefault(row["duplicate_of"], row)
        self._rows = list(best.values())[: self._count]

    def found(self) -> list[Row]:
        return self._rows


def _clusters(output: Place, kept: Int64s, sizes: Int64s) -> list[Cluster]:
    """What went for some kept documents."""
    found: dict[int, Cluster] = {}
    wanted = pa.array(kept)
    for batch in _batches(output, None) if len(kept) else ():
        some = batch.filter(pc.is_in(batch["duplicate_of_doc_id"], wanted))
        own = _bytes_of(some["doc_id"].to_numpy(), sizes)
        columns = (some[name].to_pylist() for name in ("doc_id", "duplicate_of_doc_id", "duplicate_of", "kind"))
        for number, twin, name, kind, similarity, size in zip(
            *columns, some["similarity"].fill_null(-1.0).to_pylist(), own.tolist(), strict=True
        ):
            one = found.setdefault(twin, Cluster(twin, name))
            one.exact += kind == "exact"
            one.near += kind == "near"
            one.least = min(one.least, similarity) if similarity >= 0 else one.least
            one.bytes += size
            one.likest = max(one.likest, (similarity, -number))
    for one in found.values():
        one.likest = (one.likest[0], -one.likest[1])
    return heapq.nsmallest(len(kept), found.values(), key=lambda one: (-one.size, one.doc_id))
