"""The tables of a report: all that its page shows, as Parquet files under report/.

They are made of what a run published, so that `dedup report` can make them again of any finished output. But for
performance.parquet, which tells how a run went, their bytes depend on input and recipe alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dedup import drop
from dedup.io import parquet
from dedup.io.files import replacing
from dedup.io.place import Place, parquet_source
from dedup.recipe import Recipe
from dedup.report import copies, passes
from dedup.report.finished import Finished
from dedup.report.funnel import funnel
from dedup.report.sources import Sources
from dedup.report.texts import Text, excerpt, rows_of, texts

Rows = list[dict[str, Any]]
SEED = 0
EXAMPLES = 5  # dropped documents shown of every reason
CLUSTERS = 12
PAIRS = 10
EXCERPT = 600  # characters of an example
PAIR_EXCERPT = 8_000  # of each text of a pair
READ_BYTES = 1 << 30  # of shards that are gone through for the texts of kept documents, about

_INT, _TEXT, _FLOAT, _BOOL = pa.int64(), pa.large_string(), pa.float64(), pa.bool_()
SCHEMAS: dict[str, pa.Schema] = {
    name: pa.schema(list(columns.items()))
    for name, columns in {
        "funnel": {"step": _INT, "name": _TEXT, "kind": _TEXT, "documents": _INT, "bytes": _INT, "tokens": _INT},
        "drops": {
            drop.REASON: _TEXT, "source": _TEXT, "shard": _TEXT, "language": _TEXT, "documents": _INT, "bytes": _INT,
        },
        "measures": {
            "measure": _TEXT, "label": _TEXT, "low": _FLOAT, "high": _FLOAT, "documents_kept": _INT,
            "documents_dropped": _INT,
        },
        "rules": {
            drop.REASON: _TEXT, "step": _INT, "column": _TEXT, "bound": _TEXT, "value": _TEXT, "language": _TEXT,
            "documents_cut": _INT, "documents_cut_alone": _INT, "documents_dropped": _INT,
        },
        "similarities": {"kind": _TEXT, "verified": _BOOL, "low": _FLOAT, "high": _FLOAT, "duplicates": _INT},
        "clusters": {"size": _INT, "clusters": _INT},
        "largest_clusters": {
            "id": _TEXT, "doc_id": _INT, "source": _TEXT, "size": _INT, "exact": _INT, "near": _INT,
            "least_similarity": _FLOAT, "bytes_dropped": _INT, "excerpt": _TEXT,
        },
        "sources": {"source": _TEXT, "duplicate_of_source": _TEXT, "duplicates": _INT, "bytes": _INT},
        "pairs": {
            "which": _TEXT, "similarity": _FLOAT, "verified": _BOOL, "id": _TEXT, "other_id": _TEXT, "doc_id": _INT,
            "other_doc_id": _INT, "source": _TEXT, "other_source": _TEXT, "text": _TEXT, "other_text": _TEXT,
            "note": _TEXT,
        },
        "dropped_examples": {
            drop.REASON: _TEXT, "id": _TEXT, "doc_id": _INT, "source": _TEXT, "shard": _TEXT, "row": _INT,
            "characters": _INT, "excerpt": _TEXT,
        },
    }.items()
}  # fmt: skip
LEAST_REMOVED, MOST_KEPT = "least similar removed", "most similar kept"


def make(finished: Finished, recipe: Recipe, sources: Sources) -> dict[str, Rows]:
    """The rows of every table, by name."""
    seen = passes.look(finished.output, recipe, sources, seed=SEED, examples=EXAMPLES)
    found = copies.look(finished.output, sources, seen.duplicates, clusters=CLUSTERS, pairs=PAIRS)
    stops = funnel(recipe, finished.summary, seen.cells)
    made = {
        "funnel": [{name: getattr(stop, name) for name in SCHEMAS["funnel"].names} for stop in stops],
        "drops": list(_drops(seen.cells, sources)),
        "measures": [row for name, one in seen.histograms.items() for row in _measure(name, one)],
        "rules": list(_rules(seen, recipe)),
        "similarities": list(_similarities(found)),
        "clusters": [{"size": size, "clusters": count} for size, count in found.sizes.items()],
        "largest_clusters": _largest(finished, found, sources),
        "sources": [
            {"source": source, "duplicate_of_source": twin, "duplicates": count, "bytes": size}
            for (source, twin), (count, size) in sorted(found.matrix.items())
        ],
        "pairs": _pairs(finished, found, sources),
        "dropped_examples": list(_examples(finished, seen, sources)),
    }
    return {name: [dict.fromkeys(SCHEMAS[name].names) | row for row in rows] for name, rows in made.items()}


def write(folder: Place, tables: dict[str, Rows]) -> None:
    """Write the tables into report/."""
    for name, rows in tables.items():
        write_one(folder / f"{name}.parquet", SCHEMAS[name], rows)


def write_one(path: Place, schema: pa.Schema, rows: Rows) -> None:
    """Write one table."""
    with replacing(path) as temporary:
        writer = parquet.RowWriter(temporary, schema)
        writer.add(pa.Table.from_pylist(rows, schema=schema))
        writer.close()


# Aggregates


def _drops(cells: pa.Table, sources: Sources) -> Iterator[dict[str, Any]]:
    rows = cells.to_pylist()
    rows.sort(key=lambda row: (row[drop.REASON] or "", row["shard"], row["language"] or ""))
    for row in rows:
        shard = row["shard"]
        yield {
            drop.REASON: row[drop.REASON], "source": sources.sources[sources.of_shard[shard]],
            "shard": sources.shards[shard], "language": row["language"], "documents": row["documents"],
            "bytes": row["bytes"],
        }  # fmt: skip


def _measure(name: str, one: passes.Histogram) -> Iterator[dict[str, Any]]:
    """Bins that hold documents, labels by frequency, and (neither low, high nor label) documents without a value."""

    def row(kept: int, dropped: int, **where: Any) -> dict[str, Any]:
        return {"measure": name, **where, "documents_kept": kept, "documents_dropped": dropped}

    if len(one.edges):
        ends = [None, *one.edges.tolist(), None]
        for (low, high), kept, dropped in zip(pairwise(ends), one.kept.tolist(), one.dropped.tolist(), strict=True):
            yield row(kept, dropped, low=low, high=high)
    for label, (kept, dropped) in sorted(one.labels.items(), key=lambda item: (-sum(item[1]), item[0])):
        yield row(kept, dropped, label=label)
    if any(one.nothing):
        yield row(*one.nothing)


def _rules(seen: passes.Seen, recipe: Recipe) -> Iterator[dict[str, Any]]:
    fired = passes.fired(seen.cells)
    told: set[str] = set()
    for step in recipe.step:
        for rule in (rule for rule in seen.rules if rule.step == step.number):
            bound = rule.bound
            yield {
                drop.REASON: bound.reason, "step": step.number, "column": bound.column, "bound": bound.bound,
                "value": json.dumps(bound.value, ensure_ascii=False), "language": bound.language,
                "documents_cut": rule.cut, "documents_cut_alone": rule.alone,
                "documents_dropped": 0 if bound.reason in told else fired.get(bound.reason, 0),
            }  # fmt: skip
            told.add(bound.reason)
        if step.use == "drop.sample":
            yield {drop.REASON: drop.SAMPLE, "step": step.number, "documents_dropped": fired.get(drop.SAMPLE, 0)}
            told.add(drop.SAMPLE)
    for reason in sorted(
        reason for reason in fired if reason is not None and reason not in {*told, *passes.DUPLICATES}
    ):
        yield {drop.REASON: reason, "documents_dropped": fired[reason]}  # by a stage of the user's


def _similarities(found: copies.Copies) -> Iterator[dict[str, Any]]:
    for (kind, verified, place), count in sorted(found.similarities.items()):
        low, high = (None, None) if place < 0 else (place / copies.STEPS, (place + 1) / copies.STEPS)
        yield {"kind": kind, "verified": verified, "low": low, "high": high, "duplicates": count}


# Texts


def _source(sources: Sources, doc_id: int | None) -> str:
    return str(sources.of(pa.array([doc_id], pa.int64()))[0])


def _dropped_texts(finished: Finished, doc_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Rows of dropped/ by doc_id: id and text."""
    by_shard: dict[int, list[int]] = {}
    for number in doc_ids:
        by_shard.setdefault(number >> 40, []).append(number & ((1 << 40) - 1))
    return {
        shard << 40 | row: record
        for shard, rows in sorted(by_shard.items())
        for row, record in rows_of(finished, shard, rows, ["id", "text"])
    }


def _largest(finished: Finished, found: copies.Copies, sources: Sources) -> Rows:
    known = _dropped_texts(finished, [one.likest[1] for one in found.largest])
    return [
        {
            "id": one.id, "doc_id": one.doc_id, "source": _source(sources, one.doc_id), "size": one.size,
            "exact": one.exact, "near": one.near, "least_similarity": one.least, "bytes_dropped": one.bytes,
            "excerpt": excerpt(known[one.likest[1]]["text"] or "", EXCERPT),
        }
        for one in found.largest
    ]  # fmt: skip


def _pairs(finished: Finished, found: copies.Copies, sources: Sources) -> Rows:
    rows = [
        {
            "which": LEAST_REMOVED, "id": row["id"], "other_id": row["duplicate_of"],
            "other_doc_id": row["duplicate_of_doc_id"], **{n: row[n] for n in ("similarity", "verified", "doc_id")},
        }
        for row in found.least
    ]  # fmt: skip
    rows = _within_reach(finished, [*rows, *_misses(finished)])
    wanted = {row[name] for row in rows for name in ("doc_id", "other_doc_id")}
    known = texts(finished, wanted - {None}, most=PAIR_EXCERPT) | {None: Text(None, "it is in the index")}
    for row in rows:
        one, other = known[row["doc_id"]], known[row["other_doc_id"]]
        row |= {
            "text": one.text, "other_text": other.text, "note": _note(one, other),
            "source": _source(sources, row["doc_id"]), "other_source": _source(sources, row["other_doc_id"]),
        }  # fmt: skip
    return rows


def _misses(finished: Finished) -> Rows:
    """The most similar pairs that stay, a document in one of them alone."""
    met: set[str] = set()
    chosen: Rows = []
    path = finished.output / "report" / "near_misses.parquet"
    for row in pq.read_table(parquet_source(path)).to_pylist() if path.exists() else ():
        ends = {row["id"], row["other_id"]}
        if not ends & met and len(chosen) < PAIRS:
            chosen.append({"which": MOST_KEPT, **row})
            met |= ends
    return chosen


def _note(one: Text, other: Text) -> str:
    """What is said of both texts. Not where an index lies: the same run elsewhere has the same bytes."""
    return "; ".join(dict.fromkeys(text.note for text in (one, other) if text.note))


def _within_reach(finished: Finished, rows: Rows) -> Rows:
    """Those whose kept documents lie in so few and small shards that their texts are soon found."""
    known: set[int] = set()
    chosen: Rows = []
    left = READ_BYTES
    for row in rows:
        kept = (row["other_doc_id"],) if row["which"] == LEAST_REMOVED else (row["doc_id"], row["other_doc_id"])
        shards = {number >> 40 for number in kept if number is not None} - known
        size = sum(finished.shards[shard].bytes for shard in shards)
        if size <= left or not chosen:
            chosen.append(row)
            known |= shards
            left -= size
    return chosen


def _examples(finished: Finished, seen: passes.Seen, sources: Sources) -> Iterator[dict[str, Any]]:
    fired = passes.fired(seen.cells)
    known = _dropped_texts(finished, [number for numbers in seen.examples.values() for number in numbers])
    for reason in sorted(seen.examples, key=lambda reason: (-fired[reason], reason)):
        for number in seen.examples[reason]:
            text: str = known[number]["text"] or ""
            place = int(sources.shard_places(passes.one_number(number))[0])
            yield {
                drop.REASON: reason, "id": known[number]["id"], "doc_id": number, "source": _source(sources, number),
                "shard": sources.shards[place], "row": number & ((1 << 40) - 1), "characters": len(text),
                "excerpt": excerpt(text, EXCERPT),
            }  # fmt: skip


def names() -> Sequence[str]:
    """The tables that a report writes."""
    return [*SCHEMAS, "performance"]
