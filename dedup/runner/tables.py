"""The tables that a run ends with: queries over the columns that the tasks left; nothing counts along."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedup import drop
from dedup.io import copies, parquet
from dedup.io.files import naming, replacing
from dedup.io.place import Place, at, is_url, parquet_source
from dedup.io.shards import Shard
from dedup.near.match import Misses
from dedup.plan import Plan
from dedup.recipe import Recipe
from dedup.runner.barrier import Drops, joined
from dedup.runner.scan import DUPLICATE
from dedup.runner.scanned import Scan, Scanned, open_table, rows_table

KINDS = ("exact", "near")
LOCAL = pa.schema(
    [
        ("document", pa.int64()),
        ("id", pa.large_string()),
        ("duplicate_of", pa.large_string()),
        ("similarity", pa.float64()),
        ("kind", pa.string()),
        ("verified", pa.bool_()),
        ("doc_id", pa.int64()),
        ("duplicate_of_doc_id", pa.int64()),
    ]
)
DUPLICATES = pa.schema([LOCAL.field(i) for i in range(1, len(LOCAL))])
TWINS = pa.schema([("place", pa.int64()), ("id", pa.large_string()), ("doc_id", pa.int64())])
MISSES = pa.schema(
    [
        ("similarity", pa.float64()),
        ("verified", pa.bool_()),
        ("id", pa.large_string()),
        ("doc_id", pa.int64()),
        ("other_id", pa.large_string()),
        ("other_doc_id", pa.int64()),
    ]
)
NAMED_AT_ONCE = 1 << 20


def write_recipe(path: Place, text: str) -> None:
    """The recipe as run."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def write_json(path: Place, data: dict[str, Any]) -> None:
    """A JSON file for people and programs."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", "utf-8")


def write_manifest(path: Place, shards: Sequence[Shard]) -> None:
    """manifest.parquet: the files that are read, in their order."""
    numbers = ("number", "bytes", "mtime_ns", "priority")
    names = ("number", "name", "path", "bytes", "mtime_ns", "format", "codec", "tag", "role", "input", "priority")
    schema = pa.schema([(name, pa.int64() if name in numbers else pa.string()) for name in names])
    table = pa.table({name: [getattr(shard, name) for shard in shards] for name in names}, schema=schema)
    with replacing(path) as temporary:
        writer = parquet.RowWriter(temporary, schema)
        writer.add(table)
        writer.close()


def changed_files(manifest: Place, shards: Sequence[Shard]) -> list[str]:
    """Files of a manifest that are among the shards and not as they were, or that are gone."""
    if not manifest.exists():
        return []
    now = {shard.path: (shard.bytes, shard.version) for shard in shards}
    columns = pq.read_table(parquet_source(manifest), columns=["path", "bytes", "mtime_ns", "tag"]).to_pydict().values()
    return [
        path
        for path, size, mtime_ns, tag in zip(*columns, strict=True)
        if (now[path] != (size, tag or str(mtime_ns)) if path in now else _is_gone(path))
    ]


def _is_gone(path: str) -> bool:
    return not (at(path).exists() if is_url(path) else os.path.lexists(path))


def count_reasons(folders: Sequence[str]) -> Counter[str]:
    """Documents by the reason that a rule gave them."""
    counts: Counter[str] = Counter()
    copies.fetch(os.path.join(folder, "rows.arrow") for folder in folders)
    for folder in folders:
        rows = rows_table(folder)
        if rows.num_columns:
            counts.update(_counted(rows[drop.REASON]))
    return counts


def _counted(reasons: Any) -> dict[str, int]:
    counted = pc.value_counts(reasons).to_pylist()
    return {item["values"]: item["counts"] for item in counted if item["values"] is not None}


def write_duplicates(
    output: Place, folder: Place, scanned: Scanned, references: Scanned, drops: Sequence[Drops]
) -> list[str]:
    """duplicates.parquet, and the same rows a unit for the tasks that write its shards; the paths of these.

    references   numbered before zero
    """
    every = merged(drops)
    here = folder if isinstance(folder, Path) else copies.scratch()
    here.mkdir(parents=True, exist_ok=True)
    named = _name_twins(here, every, references, scanned)
    paths: list[str] = []
    with (
        replacing(output / "duplicates.parquet") as temporary,
        copies.Outbox() as outbox,
        contextlib.ExitStack() as stack,
    ):
        twin_files = [stack.enter_context(pa.ipc.open_file(stack.enter_context(pa.OSFile(name)))) for name in named]
        writer = parquet.RowWriter(temporary, DUPLICATES)
        for unit, (scan, base, until) in enumerate(scanned.spans()):
            low, high = np.searchsorted(every.documents, [base, until])
            twins = pa.Table.from_batches([file.get_batch(unit) for file in twin_files], TWINS).sort_by("place")
            table = _local_table(scan, every.between(low, high), base, twins)
            path = folder / f"{scan.unit.number:05}.arrow"
            with outbox.writing(path) as local, naming(local), pa.ipc.new_file(str(local), LOCAL) as file:
                file.write_table(table)
            writer.add(table.select(DUPLICATES.names))
            paths.append(str(path))
        writer.close()
    return paths


def merged(drops: Sequence[Drops]) -> Drops:
    """The drops of all passes, by document."""
    nothing = np.zeros(0, np.int64)
    return joined(drops or [Drops(nothing, nothing, np.zeros(0), np.zeros(0, np.int8), np.zeros(0, np.bool_))])


def _name_twins(folder: Path, drops: Drops, references: Scanned, scanned: Scanned) -> list[str]:
    """Files that tell the id and doc_id of every drop's kept twin, a batch a unit of the dropped, places ascending.

    So many drops at once, in the order of their twins: no more ids than these have are in memory.
    """
    spans = [*references.spans(), *scanned.spans()]
    order = np.argsort(drops.twins)
    ends = scanned.bases[1:]
    paths: list[str] = []
    for begin in range(0, len(order), NAMED_AT_ONCE):
        places = np.sort(order[begin : begin + NAMED_AT_ONCE])
        twins, at = np.unique(drops.twins[places], return_inverse=True)
        ids, numbers = _names(spans, twins)
        columns = [pa.array(places), ids.take(pa.array(at)), pa.array(numbers[at])]
        batch = pa.RecordBatch.from_arrays(columns, schema=TWINS)
        cuts = [0, *np.searchsorted(drops.documents[places], ends).tolist()]
        paths.append(str(folder / f"twins-{len(paths):05}.arrow"))
        with pa.ipc.new_file(paths[-1], TWINS) as file:
            for low, high in pairwise(cuts):
                file.write_batch(batch.slice(low, high - low))
    return paths


def _names(spans: Sequence[tuple[Scan, int, int]], documents: Any) -> tuple[Any, Any]:
    """(ids, doc_ids) of some documents, ascending."""
    ids = [pa.array([], pa.large_string())]
    numbers = [np.zeros(0, np.int64)]
    for scan, base, until in spans:
        low, high = np.searchsorted(documents, [base, until])
        if low < high:
            some, rows = documents[low:high] - base, scan.table()
            ids.append(scan.ids(some, rows))
            numbers.append(scan.doc_ids(some, rows))
    return pa.concat_arrays(ids), np.concatenate(numbers)


def _local_table(scan: Scan, drops: Drops, base: int, twins: pa.Table) -> pa.Table:
    if not len(drops.documents):
        return LOCAL.empty_table()
    own, rows = drops.documents - base, scan.table()
    missing = np.isnan(drops.similarity)
    numbers = twins["doc_id"].to_numpy()
    columns = [
        own,
        scan.ids(own, rows),
        twins["id"],
        pa.array(drops.similarity, mask=missing),
        pa.array(np.array(KINDS)[drops.kind]),
        drops.verified,
        scan.doc_ids(own, rows),
        pa.array(numbers, mask=numbers < 0),  # one of an index is in no shard of this run
    ]
    return pa.table(columns, names=LOCAL.names).cast(LOCAL)


def write_misses(
    folder: Place, scanned: Scanned, references: Scanned, drops: Sequence[Drops], misses: Sequence[tuple[Misses, bool]]
) -> None:
    """report/near_misses.parquet: pairs of documents that stay although they came near to a threshold.

    references   numbered before zero
    misses       of each near barrier, and whether its similarities are exact
    """
    gone = merged(drops).documents
    spans = [*references.spans(), *scanned.spans()]
    tables = [MISSES.empty_table()]
    for (pairs, similarity), verified in misses:
        documents, at = np.unique(pairs, return_inverse=True)
        ids, numbers = _names(spans, documents)
        stays = ~np.isin(documents, gone) & ~_dropped_by_rules(spans, documents)
        ends = at.reshape(-1, 2)[stays[at.reshape(-1, 2)].all(axis=1)]
        left = similarity[stays[at.reshape(-1, 2)].all(axis=1)]
        columns = [left, np.full(len(ends), verified)]
        for side in (0, 1):
            known = numbers[ends[:, side]]
            columns += [ids.take(pa.array(ends[:, side])), pa.array(known, mask=known < 0)]
        tables.append(pa.table(columns, schema=MISSES))
    order = [("similarity", "descending"), ("doc_id", "ascending"), ("other_doc_id", "ascending")]
    with replacing(folder / "near_misses.parquet") as temporary:
        writer = parquet.RowWriter(temporary, MISSES)
        writer.add(pa.concat_tables(tables).sort_by(order))
        writer.close()


def _dropped_by_rules(spans: Sequence[tuple[Scan, int, int]], documents: Any) -> Any:
    """bool[n]: whether a rule has dropped each of some documents, ascending; none of those compared with."""
    found = [np.zeros(0, np.bool_)]
    for scan, base, until in spans:
        low, high = np.searchsorted(documents, [base, until])
        if base < 0:
            found.append(np.zeros(high - low, np.bool_))
        elif low < high:
            reasons = scan.table()[drop.REASON].take(pa.array(documents[low:high] - base))
            found.append(reasons.is_valid().to_numpy())
    return np.concatenate(found)


class Reasons(NamedTuple):
    """Documents by drop reason, and how many of them had stood for duplicates that went before them."""

    counts: Counter[str]
    representatives: int


def write_documents(
    folder: Place,
    scanned: Scanned,
    duplicates: Sequence[str],
    drops: Sequence[Drops],
    measures: Sequence[tuple[str, pa.DataType]],
) -> Reasons:
    """report/documents.parquet: id, doc_id, drop_reason, text_bytes and every measure of every document.

    report/representatives_dropped.parquet: those of them that a later step dropped although documents had gone for
    them, with how many.
    """
    names = [name for name, _ in measures]
    common = [("id", pa.large_string()), ("doc_id", pa.int64()), (drop.REASON, pa.string())]
    schema = pa.schema([*common, ("text_bytes", pa.int64()), *measures])
    lost_schema = pa.schema([*common, ("stood_for", pa.int64())])
    counts: Counter[str] = Counter()
    lost = 0
    twins, stood_for = np.unique(merged(drops).twins, return_counts=True)
    with (
        replacing(folder / "documents.parquet") as temporary,
        replacing(folder / "representatives_dropped.parquet") as lost_path,
    ):
        writer = parquet.RowWriter(temporary, schema, sized="id")
        lost_writer = parquet.RowWriter(lost_path, lost_schema)
        for (scan, base, _), local in zip(scanned.spans(), duplicates, strict=True):
            rows = scan.table()
            if not rows.num_columns:
                continue
            reasons = _all_reasons(rows, open_table(local))
            counts.update(_counted(reasons))
            everyone = np.arange(rows.num_rows)
            ids, doc_ids = scan.ids(everyone, rows), scan.doc_ids(everyone, rows)
            writer.add(pa.table([ids, doc_ids, reasons, *(rows[name] for name in ("_bytes", *names))], schema=schema))
            low, high = np.searchsorted(twins, [base, base + rows.num_rows])
            places = pa.array(twins[low:high] - base)
            gone = pa.table(
                [ids.take(places), doc_ids[places], reasons.take(places), stood_for[low:high]],
                schema=lost_schema,
            ).filter(pc.field(drop.REASON).is_valid())
            lost_writer.add(gone)
            lost += gone.num_rows
        writer.close()
        lost_writer.close()
    return Reasons(counts, lost)


def _all_reasons(rows: pa.Table, duplicates: pa.Table) -> Any:
    """Every document's drop reason, those of barriers included."""
    by_rule = rows[drop.REASON].combine_chunks()
    by_rule = pc.if_else(pc.fill_null(pc.equal(by_rule, DUPLICATE), False), pa.scalar(None, pa.string()), by_rule)
    kinds = np.full(rows.num_rows, -1, np.int64)
    kinds[duplicates["document"].to_numpy()] = pc.equal(duplicates["kind"], "near").to_numpy().astype(np.int64)
    names = pa.array([f"{kind} duplicate" for kind in KINDS], pa.string())
    return pc.coalesce(by_rule, names.take(pa.array(kinds, mask=kinds < 0)))


def summarize(
    plan: Plan,
    scans: Sequence[dict[str, Any]],
    written: Sequence[dict[str, Any]],
    found: Reasons,
    notes: Sequence[dict[str, Any]],
    seen: Sequence[dict[str, int]],
) -> dict[str, Any]:
    """The numbers of a run, checked: every row read is kept, dropped or rejected."""
    from dedup.errors import RunError

    reasons = found.counts

    def total(counts: Sequence[dict[str, Any]], name: str) -> int:
        return int(sum(count[name] for count in counts))

    documents, rejected = total(scans, "documents"), total(scans, "rejected_rows")
    kept, dropped = total(written, "kept"), total(written, "dropped")
    if documents != kept + dropped or dropped != sum(reasons.values()):
        raise RunError(
            f"{documents} documents were read, but {kept} kept and {dropped} dropped "
            f"({dict(reasons)}); please report this"
        )
    near = reasons.get("near duplicate", 0)
    rows = documents + rejected
    shards_rejected = total(scans, "rejected_shards")
    many = rejected > max(10, plan.recipe.max_rejected * rows)
    return {
        "rows_in": rows,
        "documents_in": documents,
        "documents_kept": kept,
        "documents_dropped": dropped,
        "rows_rejected": rejected,
        "shards_in": len(plan.shards),
        "shards_rejected": shards_rejected,
        "null_text": total(scans, "null_text"),
        "empty_text": total(scans, "empty_text"),
        "bytes_in": total(scans, "bytes_in"),
        "bytes_kept": total(written, "bytes_kept"),
        "dropped_by_reason": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "rejected_by_reason": total_rejected(scans),
        "seen_by_steps": seen,
        "duplicates": {"exact": reasons.get("exact duplicate", 0), "near": near},
        "representatives_dropped": found.representatives,
        "rules_that_never_fired": [name for _, name in plan.rules if name not in reasons],
        "near": list(notes),
        "exit_code": 1 if shards_rejected or many else 0,
    }


def seen_by_steps(scans: Sequence[dict[str, Any]]) -> list[dict[str, int]]:
    """Documents, and bytes of their texts, that each row-local step saw."""
    seen: dict[int, Counter[str]] = {}
    for scan in scans:
        for counts in scan["steps"]:
            seen.setdefault(counts["step"], Counter()).update({name: counts[name] for name in ("rows", "bytes")})
    return [{"step": step, "rows": seen[step]["rows"], "bytes": seen[step]["bytes"]} for step in sorted(seen)]


def cpu_by_part(recipe: Recipe, counts: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, float]:
    """CPU seconds of tasks by part of the run; a scan is its steps and the rest: reading, keys and signatures.

    Tasks that an earlier attempt did count with what they took then; the driver's own time is in none of them.
    """
    spent: dict[str, float] = {}
    for part, tasks in counts.items():
        spent[part] = sum(task["cpu_seconds"] for task in tasks)
        for one in (one for task in tasks for one in task.get("steps", ())):
            label = recipe.step[one["step"]].label
            spent[label] = spent.get(label, 0.0) + one["cpu_seconds"]
            spent[part] -= one["cpu_seconds"]
    return spent


def total_rejected(scans: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Rejected rows and shards by reason."""
    counts: Counter[str] = Counter()
    for scan in scans:
        counts.update(scan["rejected_by_reason"])
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
