"""Columns that kept rows get: how many documents a kept one stands for, their bytes, a weight, measures.

A family is a kept document and all that went for it, directly or for one that later went for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers
from dedup.buffers import Int64s
from dedup.io.copies import on_disk
from dedup.io.files import put_array
from dedup.io.place import at
from dedup.plan import Plan
from dedup.recipe import BYTES, COUNT, OF_FAMILIES, WEIGHT
from dedup.runner.barrier import Drops
from dedup.runner.scanned import Scanned


class Annotations(NamedTuple):
    """What is added to kept rows.

    columns   names and types, in order
    weights   (documents of a family from here on, weight), ascending
    """

    columns: tuple[tuple[str, pa.DataType], ...] = ()
    weights: tuple[tuple[int, int], ...] = ()

    @property
    def has_families(self) -> bool:
        """Whether any of them tells of a family."""
        return any(name in OF_FAMILIES for name, _ in self.columns)


def of_plan(plan: Plan) -> Annotations:
    """What a plan adds to kept rows."""
    types = dict(plan.measures) | dict.fromkeys(OF_FAMILIES, pa.int64())
    return Annotations(tuple((name, types[name]) for name in plan.recipe.annotate), plan.recipe.weight or ())


class Families(NamedTuple):
    """Documents that others went for, ascending; how many these are, and the bytes of their texts: int64[n]."""

    documents: Int64s
    others: Int64s
    bytes: Int64s

    def between(self, first: int, until: int) -> Families:
        """Those of documents first to until - 1, numbered from `first`."""
        low, high = np.searchsorted(self.documents, [first, until])
        return Families(self.documents[low:high] - first, self.others[low:high], self.bytes[low:high])


NOBODY = np.zeros(0, np.int64)
NONE = Families(NOBODY, NOBODY, NOBODY)


def families_path(duplicates: str) -> str:
    """Where the families of a unit lie, beside its duplicates."""
    return duplicates.removesuffix(".arrow") + "-families.npy"


def write_families(duplicates: Sequence[str], drops: Drops, scanned: Scanned) -> None:
    """Leave the families of each unit for the tasks that write its shards.

    duplicates   a path a unit
    """
    every = families(drops, scanned)
    for path, (_, base, until) in zip(duplicates, scanned.spans(), strict=True):
        put_array(at(families_path(path)), np.stack(every.between(base, until)))


def read_families(duplicates: str) -> Families:
    """The families of a unit."""
    return Families(*np.load(on_disk(families_path(duplicates))))


def families(drops: Drops, scanned: Scanned) -> Families:
    """The families of some drops, by document; those of references, numbered before zero, are left out."""
    sizes = np.zeros(len(drops.documents), np.int64)
    for scan, base, until in scanned.spans():
        low, high = np.searchsorted(drops.documents, [base, until])
        if low < high:
            rows = scan.table()["_bytes"].take(pa.array(drops.documents[low:high] - base))
            sizes[low:high] = rows.to_numpy()
    kept = _kept(drops)
    order = np.argsort(kept, kind="stable")
    kept, begins = np.unique(kept[order], return_index=True)
    others = np.diff(np.append(begins, len(order)))
    totals = np.add.reduceat(sizes[order], begins) if len(begins) else np.zeros(0, np.int64)
    own = kept >= 0
    return Families(kept[own], others[own], totals[own])


def _kept(drops: Drops) -> Int64s:
    """The twin of each drop, or where that went for another one in a later pass, the last of them."""
    twins = drops.twins.copy()
    while len(twins):
        places = np.minimum(np.searchsorted(drops.documents, twins), len(twins) - 1)
        fell = np.flatnonzero(drops.documents[places] == twins)
        if not len(fell):
            break
        twins[fell] = drops.twins[places[fell]]
    return twins


def columns(annotations: Annotations, mine: Families, documents: Int64s, sizes: Int64s, rows: pa.Table) -> pa.Table:
    """The columns of some kept documents of a unit, ascending.

    mine    the unit's families;  sizes   int64[n] bytes of the documents' own texts;  rows   the unit's rows.arrow
    """
    places = np.minimum(np.searchsorted(mine.documents, documents), max(len(mine.documents) - 1, 0))
    hit = mine.documents[places] == documents if len(mine.documents) else np.zeros(len(documents), np.bool_)
    others, more = np.zeros(len(documents), np.int64), np.zeros(len(documents), np.int64)
    others[hit], more[hit] = mine.others[places[hit]], mine.bytes[places[hit]]
    made: dict[str, Callable[[], Any]] = {
        COUNT: lambda: pa.array(others + 1),
        BYTES: lambda: pa.array(sizes + more),
        WEIGHT: lambda: pa.array(_weights(annotations.weights, others + 1)),
    }
    found = [
        made[name]() if name in made else buffers.one_chunk(rows[name].take(pa.array(documents)))
        for name, _ in annotations.columns
    ]
    return pa.table(found, schema=pa.schema(annotations.columns))


def _weights(weights: Sequence[tuple[int, int]], sizes: Int64s) -> Int64s:
    froms, values = (np.array(column, np.int64) for column in zip(*weights, strict=True))
    found: Int64s = values[np.searchsorted(froms, sizes, "right") - 1]
    return found


def members(table: pa.Table) -> pa.LargeStringArray:
    """Rows as members of a JSON object: `"duplicate_count": 3, "language": "en"`."""
    parts = [
        pc.binary_join_element_wise(
            pa.scalar(orjson.dumps(name).decode(), pa.large_string()), _json(column), pa.scalar(": ", pa.large_string())
        )
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return buffers.one_chunk(pc.binary_join_element_wise(*parts, pa.scalar(", ", pa.large_string())))


def _json(column: Any) -> Any:
    """Values as JSON text; what JSON has no number for is null."""
    kind = column.type
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind))
    if pa.types.is_large_string(kind) or pa.types.is_string(kind):
        coded = buffers.one_chunk(column).dictionary_encode()
        texts = [orjson.dumps(value).decode() for value in coded.dictionary.to_pylist()]
        column = pa.array(texts, pa.large_string()).take(coded.indices)
    return pc.fill_null(pc.cast(column, pa.large_string()), "null")


def with_members(lines: npt.NDArray[np.uint8], bounds: Int64s, added: pa.LargeStringArray) -> npt.NDArray[np.uint8]:
    """Lines with members before their last brace.

    lines   JSON objects one after the other, line i at bounds[i] to bounds[i + 1]
    """
    from dedup.kernels.jsonl import insert_members

    view = buffers.texts(added)
    first = int(view.offsets[0])
    size = int(bounds[-1] - bounds[0]) + int(view.offsets[-1]) - first + 2 * len(added)
    out = np.empty(size, np.uint8)
    written = insert_members(lines, bounds, view.data, view.offsets, out)
    return out[:written]


def own_key(lines: bytes, bounds: Int64s, names: Sequence[str]) -> tuple[int, str] | None:
    """(line, key) of a line that has one of some keys already."""
    for name in names:
        found = lines.find(quoted := orjson.dumps(name))
        while found >= 0:
            line = int(np.searchsorted(bounds, found, "right")) - 1
            if name in orjson.loads(lines[bounds[line] : bounds[line + 1]]):
                return line, name
            found = lines.find(quoted, int(bounds[line + 1]))
    return None
