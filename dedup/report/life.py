"""What became of a document: asked of the tables of a finished run, which answer for as long as they are kept."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from dedup import drop
from dedup.errors import DedupError, UserError
from dedup.io import parquet, read
from dedup.report.examples import OWN, ROW, Item, Output, beside, opened, reasons_of
from dedup.report.finished import Finished, source_of
from dedup.report.texts import ROW_BITS, Text, texts

BATCH_ROWS = 1 << 16
STANDS_FOR = ["id", "similarity", "kind", "verified"]
NAMED = 1_000  # of the documents that one stands for


def why(output: Output, document_id: str) -> list[Item]:
    """The life of every document of that id: measures and bounds, reason, twin, what it stands for, texts.

    UserError where there is none. Of what it stands for 1,000 are named, and all counted.
    """
    finished = opened(output)
    documents = _documents(finished, document_id)
    numbers = pa.array(sorted(document["doc_id"] for document in documents), pa.int64())
    own: dict[int, Item] = {}
    stands_for: dict[int, list[Item]] = {}
    counts: Counter[int] = Counter()
    with finished.parquet("duplicates.parquet") as file:
        for batch in parquet.batches(file, BATCH_ROWS):
            for row in batch.filter(pc.is_in(batch["doc_id"], numbers)).to_pylist():
                own[row["doc_id"]] = row
            for number in numbers.to_pylist():
                rows = batch.filter(pc.fill_null(pc.equal(batch["duplicate_of_doc_id"], number), False))
                counts[number] += rows.num_rows
                some = stands_for.setdefault(number, [])
                some += rows.slice(0, NAMED - len(some)).select(STANDS_FOR).to_pylist()
    twins = [row["duplicate_of_doc_id"] for row in own.values()]
    found, later = texts(finished, [*numbers.to_pylist(), *twins]), reasons_of(finished, twins)
    steps = measured_by(finished)
    lives = [_life(finished, document, own, stands_for, found, steps) for document in documents]
    for document, life in zip(documents, lives, strict=True):
        life["stands_for_count"] = counts[document["doc_id"]]
        if document["doc_id"] in own:
            life["duplicate_of_drop_reason"] = later.get(own[document["doc_id"]]["duplicate_of_doc_id"])
    return lives


def _documents(finished: Finished, document_id: str) -> list[Item]:
    """Rows of report/documents.parquet; ids alone are read until one is found."""
    rows: list[Item] = []
    with finished.parquet("report/documents.parquet") as file:
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["id"])["id"]
            places = pc.indices_nonzero(pc.equal(ids, document_id))
            if len(places):
                rows += file.read_row_group(group).take(places).to_pylist()
    if not rows:
        raise UserError(
            f"{finished.output}: no document has the id {document_id!r}; ids are in report/documents.parquet"
        )
    return rows


def _life(
    finished: Finished,
    document: Item,
    own: dict[int, Item],
    stands_for: dict[int, list[Item]],
    found: dict[int | None, Text],
    steps: dict[str, str],
) -> Item:
    number = document["doc_id"]
    shard = finished.shards[number >> ROW_BITS]
    twin = own.get(number)
    text = found[number]
    life = {
        "id": document["id"],
        "source": source_of(shard),
        "shard": shard.name,
        "row": number & ROW,
        "drop_reason": document["drop_reason"],
        **{key: twin and twin[key] for key in ("duplicate_of", "similarity", "kind", "verified")},
        "stands_for": stands_for.get(number, []),
        "measures": {key: value for key, value in document.items() if key not in OWN},
        "measured_by": {key: step for key, step in steps.items() if key in document},
        "rules": rules_of(finished, document),
        "text": text.text,
    }
    if text.note:
        life["note"] = text.note
    if twin is not None:
        other = found[twin["duplicate_of_doc_id"]]
        life["duplicate_of_text"] = other.text
        life |= beside(text, other)
    return life


def rules_of(finished: Finished, document: Item) -> list[Item]:
    """The bounds of the recipe's rules that hold for a document: rule, column, what was measured, whether it breaks it.

    What was not measured, because the document had been dropped before, breaks none: null.
    """
    found = []
    for step in finished.recipe.get("step", ()):
        if step.get("use") != "drop.when":
            continue
        settings = {key: value for key, value in step.items() if key != "use"}
        bounds = drop.bounds(settings)
        language = document.get(drop.LANGUAGE)
        tables = settings.get("per_language", {})
        its_own = set(tables.get(language, {}))
        broken = _broken(settings, document, {bound.column for bound in bounds})
        for bound in bounds:
            if bound.column in document and bound.language == (language if bound.column in its_own else None):
                value = document[bound.column]
                found.append(
                    {
                        "rule": bound.reason,
                        "column": bound.column,
                        "measured": value,
                        "breaks": None if value is None else bound.reason in broken,
                    }
                )
    return found


def _broken(settings: Item, document: Item, columns: set[str]) -> set[str]:
    """The reasons whose bounds a document breaks, told by the code that decides."""
    known = {name: document[name] for name in (*columns, drop.LANGUAGE) if name in document}
    if not columns <= set(known):  # of the input, and in no table
        return set()
    broken = drop.breaches(pa.RecordBatch.from_pylist([known]), settings)
    return {reason for reason, fires in broken.items() if fires[0].as_py()}


def measured_by(finished: Finished) -> dict[str, str]:
    """The step that adds each measure, as far as shipped stages that need no column of the input tell it."""
    from dedup.stages import shipped

    batch = read.empty(read.Source())
    found: dict[str, str] = {}
    for number, step in enumerate(finished.recipe.get("step", ())):
        stage = shipped().get(step.get("use"))
        if stage is None or step["use"].startswith("drop."):
            continue
        try:
            after = stage(batch, **{key: value for key, value in step.items() if key != "use"})
        except (KeyError, DedupError, OSError):  # a column or a file that is not here: nothing is told of the step
            continue
        new = [name for name in after.schema.names if name not in batch.schema.names]
        found |= {name: f"step[{number}] ({step['use']})" for name in new if name[0] != "_"}
        batch = after
    return found
