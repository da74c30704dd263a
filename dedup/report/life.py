"""Why a document went, or what it stands for: asked of the tables of a finished run."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedup.errors import UserError
from dedup.io.place import parquet_source
from dedup.runner.result import Result


def lives(output: str, document_id: str) -> list[dict[str, Any]]:
    """Every document of that id: its measures, reason, twin and what it stands for; UserError for none."""
    result = Result(output)

    def source(name: str) -> Any:
        return parquet_source(result.output / name)

    wanted = pc.equal(pc.field("id"), pa.scalar(document_id, pa.large_string()))
    documents = pq.read_table(source("report/documents.parquet"), filters=wanted).to_pylist()
    if not documents:
        raise UserError(f"{output}: no document has the id {document_id!r}; ids are in report/documents.parquet")
    duplicates = pq.ParquetFile(source("duplicates.parquet"))
    numbers = {document["doc_id"] for document in documents}
    own: dict[int, dict[str, Any]] = {}
    stands_for: dict[int, list[dict[str, Any]]] = {}
    for batch in duplicates.iter_batches():
        values = pa.array(sorted(numbers), pa.int64())
        for row in batch.filter(pc.is_in(batch["doc_id"], values)).to_pylist():
            own[row["doc_id"]] = row
        for row in batch.filter(pc.is_in(batch["duplicate_of_doc_id"], values)).to_pylist():
            stands_for.setdefault(row["duplicate_of_doc_id"], []).append(row)
    names = {shard["number"]: shard["name"] for shard in pq.read_table(source("manifest.parquet")).to_pylist()}
    return [_life(document, names, own, stands_for) for document in documents]


def _life(
    document: dict[str, Any], names: dict[int, str], own: dict[int, Any], stands_for: dict[int, Any]
) -> dict[str, Any]:
    number = document["doc_id"]
    twin = own.get(number, {})
    shown = {key: value for key, value in document.items() if key not in ("id", "doc_id", "drop_reason")}
    return {
        "id": document["id"],
        "shard": names[number >> 40],
        "row": number & ((1 << 40) - 1),
        "drop_reason": document["drop_reason"],
        "duplicate_of": twin.get("duplicate_of"),
        "similarity": twin.get("similarity"),
        "kind": twin.get("kind"),
        "verified": twin.get("verified"),
        "stands_for": [
            {k: row[k] for k in ("id", "similarity", "kind", "verified")} for row in stands_for.get(number, [])
        ],
        "measures": shown,
    }


def tell(life: dict[str, Any]) -> str:
    """One document's life for a person."""
    lines = [f"{life['id']}   ({life['shard']}, line {life['row'] + 1})"]
    if life["duplicate_of"] is not None:
        lines.append(f"  dropped: {life['drop_reason']} of {life['duplicate_of']} ({_similarity(life)})")
    elif life["drop_reason"] is not None:
        lines.append(f"  dropped: {life['drop_reason']}")
    else:
        lines.append("  kept" if life["stands_for"] else "  kept; no document was dropped for it")
    lines += [f"  stands for {twin['id']} ({twin['kind']}, {_similarity(twin)})" for twin in life["stands_for"]]
    lines += [f"  {name} = {_number(value)}" for name, value in life["measures"].items()]
    return "\n".join(lines)


def _similarity(pair: dict[str, Any]) -> str:
    if pair["similarity"] is None:
        return "through a third document"
    return f"{'similarity' if pair['verified'] else 'estimated similarity'} {_number(pair['similarity'])}"


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
