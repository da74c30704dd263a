"""One pass over report/documents.parquet: everything that tables and pages want to know of all documents.

Batches of rows go by; what is held is as much as there are shards, reasons, languages and bins, some documents of every
reason, and 16 bytes for each duplicate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedup import drop
from dedup.buffers import Int64s, UInt64s, one_chunk
from dedup.io import parquet
from dedup.io.place import Place, parquet_source
from dedup.recipe import Recipe
from dedup.report import bins
from dedup.report.sources import Sources

LOOKED_AT = 100_000  # documents that tell the range of a measure
BATCH_ROWS = 1 << 16
TOKENS = "token_count"
DUPLICATES = ("exact duplicate", "near duplicate")
OWN = ("id", "doc_id", drop.REASON, "text_bytes")
MOST_LABELS = 10_000  # of a measure that is text: hosts, say, are not counted
CELL = pa.schema(
    [
        (drop.REASON, pa.string()),
        ("shard", pa.int64()),
        ("language", pa.string()),
        ("documents", pa.int64()),
        ("bytes", pa.int64()),
        ("tokens", pa.int64()),
    ]
)


@dataclass
class Histogram:
    """How the values of one measure are spread.

    edges     float64[n + 1]   of bins; empty for a measure that is text
    grows     whether bins grow by a factor
    kept      int64[n + 2]     documents kept, from below the first edge to above the last
    dropped   int64[n + 2]     likewise
    labels    of a measure that is text: value to [kept, dropped]
    nothing   [kept, dropped] documents without a value
    many      the measure is text of more values than a picture shows: they are not counted
    """

    edges: bins.Floats
    grows: bool
    kept: Int64s
    dropped: Int64s
    labels: dict[str, list[int]] = field(default_factory=dict)
    nothing: list[int] = field(default_factory=lambda: [0, 0])
    many: bool = False

    def add(self, column: Any, is_kept: Any) -> None:
        """Count some documents."""
        for place, part in ((0, is_kept), (1, pc.invert(is_kept))):
            values = column.filter(part)
            self.nothing[place] += values.null_count
            values = values.drop_null()
            if len(self.edges):
                counts = np.bincount(
                    np.searchsorted(self.edges, numbers(values), "right"), minlength=len(self.edges) + 1
                )
                (self.dropped if place else self.kept)[:] += counts
            elif not self.many:
                for item in pc.value_counts(values.cast(pa.large_string())).to_pylist():
                    self.labels.setdefault(item["values"], [0, 0])[place] += item["counts"]
        if len(self.labels) > MOST_LABELS:
            self.many, self.labels = True, {}


def numbers(values: Any) -> bins.Floats:
    """Values of a measure as float64; NaN, which no bin has, as infinity."""
    found: bins.Floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.nan_to_num(found, nan=np.inf, posinf=np.inf, neginf=-np.inf)


@dataclass
class Rule:
    """What one drop reason did, and what it would do alone.

    cut    documents whose measures break the bound, whatever else drops them; None where that is not known
    alone  those of them that break no other bound
    """

    step: int
    bound: drop.Bound
    cut: int | None = 0
    alone: int | None = 0


@dataclass
class Seen:
    """What the pass found.

    cells        documents and bytes by reason (null: kept), place of the shard, language
    histograms   by measure
    rules        of drop.when steps, in their order
    examples     doc_ids by reason, seeded
    duplicates   int64[n, 2]   (doc_id, bytes of text) of each duplicate, by doc_id
    """

    cells: pa.Table
    histograms: dict[str, Histogram]
    rules: list[Rule]
    examples: dict[str, list[int]]
    duplicates: Int64s


def look(output: Place, recipe: Recipe, sources: Sources, *, seed: int, examples: int) -> Seen:
    """Go over the documents of a finished run."""
    file = pq.ParquetFile(parquet_source(output / "report" / "documents.parquet"))
    schema = file.schema_arrow
    rules = _rules(recipe, schema)
    histograms = _histograms(file, rules)
    cells, held, chosen = [CELL.empty_table()], 0, _Examples(seed, examples)
    duplicates = [np.zeros((0, 2), np.int64)]
    for batch in parquet.batches(file, BATCH_ROWS):
        reasons = one_chunk(batch[drop.REASON])
        kept = reasons.is_null()
        for name, histogram in histograms.items():
            histogram.add(one_chunk(batch[name]), kept)
        _break(rules, batch)
        chosen.add(batch["doc_id"].to_numpy(), reasons)
        copies = batch.filter(pc.is_in(reasons, pa.array(DUPLICATES)))
        duplicates.append(np.stack([copies["doc_id"].to_numpy(), copies["text_bytes"].to_numpy()], axis=1))
        cells.append(_cells(batch, sources))
        held += cells[-1].num_rows
        if held > 1 << 20:
            cells = [_summed(cells)]
            held = cells[0].num_rows
    return Seen(_summed(cells), histograms, [rule for _, some in rules for rule in some], chosen.found(),
                np.concatenate(duplicates))  # fmt: skip


def measures_of(schema: pa.Schema) -> list[str]:
    """The measures among the columns of report/documents.parquet that a histogram can show."""
    return [field.name for field in schema if field.name not in OWN and not pa.types.is_nested(field.type)]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


# Histograms


def _histograms(file: Any, rules: Rules) -> dict[str, Histogram]:
    schema = file.schema_arrow
    names = measures_of(schema)
    measured = [name for name in names if _is_number(schema.field(name).type)]
    values = _some_values(file, measured)
    bounds = _numeric_bounds(rules)
    found = {}
    for name in names:
        cut, grows = np.zeros(0), False
        if name in values:
            whole = pa.types.is_integer(schema.field(name).type)
            cut, grows = bins.edges(values[name], bounds.get(name, []), whole=whole)
        size = len(cut) + 1
        found[name] = Histogram(cut, grows, np.zeros(size, np.int64), np.zeros(size, np.int64))
    return found


def _numeric_bounds(rules: Rules) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for rule in (rule for _, some in rules for rule in some):
        if rule.bound.bound in ("below", "above"):
            found.setdefault(rule.bound.column, []).append(float(rule.bound.value))
    return found


def _some_values(file: Any, names: Sequence[str]) -> dict[str, bins.Floats]:
    """Finite values of every k-th document."""
    found: dict[str, list[bins.Floats]] = {name: [np.zeros(0)] for name in names}
    step = max(1, file.metadata.num_rows // LOOKED_AT)
    first = 0  # of the next batch, the first that is taken
    for batch in parquet.batches(file, BATCH_ROWS, list(names)) if names else ():
        places = pa.array(np.arange(first, batch.num_rows, step))
        first = (first - batch.num_rows) % step
        for name in names:
            values = numbers(batch[name].take(places).drop_null())
            found[name].append(values[np.isfinite(values)])
    return {name: np.concatenate(parts) for name, parts in found.items()}


# Rules

Rules = Sequence[tuple[dict[str, Any], list[Rule]]]  # of each drop.when step, the settings that can be judged


def _rules(recipe: Recipe, schema: pa.Schema) -> Rules:
    """The drop.when steps of a recipe with their bounds; of columns that were not measured nothing is known."""
    found = []
    names = {*schema.names}
    for step in (step for step in recipe.step if step.use == "drop.when"):
        bounds = drop.bounds(step.settings)
        languages = step.settings.get("per_language") or {}
        can_be_judged = not languages or drop.LANGUAGE in names
        rules = []
        for bound in bounds:
            known = 0 if can_be_judged and bound.column in names else None
            rules.append(Rule(step.number, bound, known, known))
        settings = {column: bound for column, bound in step.settings.items() if column in names and can_be_judged}
        if languages and can_be_judged:
            settings["per_language"] = {
                language: {column: bound for column, bound in table.items() if column in names}
                for language, table in languages.items()
            }
        found.append((settings, rules))
    return found


def _break(rules: Rules, batch: pa.RecordBatch) -> None:
    """Count which bounds the measures of some documents break."""
    broken: list[tuple[Rule, npt.NDArray[np.bool_]]] = []
    for settings, some in rules:
        found = drop.breaches(batch, settings)
        known = [rule for rule in some if rule.cut is not None]
        broken += [(rule, found[rule.bound.reason].to_numpy(zero_copy_only=False)) for rule in known]
    times = np.zeros(batch.num_rows, np.int32)
    for _, rows in broken:
        times += rows
    for rule, rows in broken:
        rule.cut = (rule.cut or 0) + int(rows.sum())
        rule.alone = (rule.alone or 0) + int((rows & (times == 1)).sum())


# Cells and examples


def _cells(batch: pa.RecordBatch, sources: Sources) -> pa.Table:
    size = batch.num_rows
    languages = batch[drop.LANGUAGE].cast(pa.string()) if _has_language(batch.schema) else pa.nulls(size, pa.string())
    tokens = batch[TOKENS].cast(pa.int64()) if TOKENS in batch.schema.names else pa.nulls(size, pa.int64())
    shards = sources.shard_places(batch["doc_id"].to_numpy())
    columns = [batch[drop.REASON], pa.array(shards), languages, np.ones(size, np.int64), batch["text_bytes"], tokens]
    return _summed([pa.table(columns, schema=CELL)])


def _has_language(schema: pa.Schema) -> bool:
    return drop.LANGUAGE in schema.names and not pa.types.is_nested(schema.field(drop.LANGUAGE).type)


def _summed(tables: Sequence[pa.Table]) -> pa.Table:
    keys = [drop.REASON, "shard", "language"]
    sums = [(name, "sum") for name in ("documents", "bytes", "tokens")]
    found = pa.concat_tables(tables).group_by(keys, use_threads=False).aggregate(sums)
    return (
        found.rename_columns([name.removesuffix("_sum") for name in found.schema.names]).select(CELL.names).cast(CELL)
    )


class _Examples:
    """A few documents of every reason: those whose numbers have the smallest hashes."""

    def __init__(self, seed: int, count: int) -> None:
        self._seed, self._count = seed, count
        self._found: dict[str, list[tuple[int, int]]] = {}

    def add(self, doc_ids: Int64s, reasons: Any) -> None:
        """Look at some documents."""
        encoded = reasons.dictionary_encode()
        places = encoded.indices.fill_null(-1).to_numpy()
        hashes = mixed(doc_ids, self._seed)
        order = np.lexsort((hashes, places))
        starts = np.searchsorted(places[order], np.arange(len(encoded.dictionary) + 1))
        for place, reason in enumerate(encoded.dictionary.to_pylist()):
            some = order[starts[place] : min(starts[place + 1], starts[place] + self._count)]
            pairs = list(zip(hashes[some].tolist(), doc_ids[some].tolist(), strict=True))
            self._found[reason] = sorted(self._found.get(reason, []) + pairs)[: self._count]

    def found(self) -> dict[str, list[int]]:
        """doc_ids by reason."""
        return {reason: [number for _, number in pairs] for reason, pairs in sorted(self._found.items())}


def mixed(doc_ids: Int64s, seed: int) -> UInt64s:
    """A hash of each number (splitmix64): the same ones come first wherever they lie."""
    x = doc_ids.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def one_number(doc_id: int) -> Int64s:
    """A single doc_id as an array."""
    return np.array([doc_id], np.int64)


def fired(cells: pa.Table) -> dict[str | None, int]:
    """Documents by reason; those kept under None."""
    found = cells.group_by(drop.REASON, use_threads=False).aggregate([("documents", "sum")])
    return dict(zip(found[drop.REASON].to_pylist(), found["documents_sum"].to_pylist(), strict=True))
