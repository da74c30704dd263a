"""Documents that others are compared with: what a run tells of those that it neither changes nor writes.

They take the steps that change texts, stand before all documents of the input, and stay whatever they are like. What
could not be read of them is told like that of the input, and counted apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from dedup.io import parquet
from dedup.io.files import replacing
from dedup.io.place import Place
from dedup.plan import Plan
from dedup.runner.scanned import Scanned, open_table
from dedup.runner.tables import total_rejected
from dedup.runner.write import rejected_rows

REJECTED = "rejected_against.parquet"


def summarize_references(plan: Plan, scans: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of references, for the summary; nothing where there are none.

    scans   counts of their units in the first pass
    """
    if not plan.against:
        return {}
    names = ("documents", "rejected_rows", "rejected_shards", "bytes_in")
    documents, rejected, shards, size = (sum(count[name] for count in scans) for name in names)
    return {
        "against": {
            "documents": documents,
            "shards": len(plan.against),
            "bytes": size,
            "rows_rejected": rejected,
            "shards_rejected": shards,
            "rejected_by_reason": total_rejected(scans),
        }
    }


def exit_code(plan: Plan, summary: dict[str, Any]) -> int:
    """1 where a shard, or more rows than the recipe allows, could not be read; else 0."""
    told = summary.get("against", {"documents": 0, "rows_rejected": 0, "shards_rejected": 0})
    rows = told["documents"] + told["rows_rejected"]
    many = told["rows_rejected"] > max(10, plan.recipe.max_rejected * rows)
    return 1 if told["shards_rejected"] or many else 0


def write_rejected(folder: Place, references: Scanned) -> None:
    """report/rejected_against.parquet: what could not be read of them; no file where all could."""
    tables = [
        rejected_rows(open_table(scan.folder, "rejected.arrow"), place, before, scan.offsets[place], piece.shard)
        for scan in references.scans
        if any(scan.rejected)
        for place, (piece, _, _, before) in enumerate(scan.pieces())
    ]
    if not tables:
        (folder / REJECTED).unlink(missing_ok=True)
        return
    table = pa.concat_tables(tables)
    with replacing(folder / REJECTED) as temporary:
        writer = parquet.RowWriter(temporary, table.schema, sized="raw")
        writer.add(table)
        writer.close()
