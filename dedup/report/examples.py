"""Documents of a finished run to look at: some that went, the least similar pairs, the largest clusters.

Tables are streamed and only what is shown is kept: of five million documents, 1.5 million of them duplicates, each took
2 to 3 s of CPU and at most 310 MB. A choice by chance hashes doc_ids with a seed: the same seed shows the same ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from dedup import drop
from dedup.buffers import Int64s
from dedup.errors import UserError, nearest
from dedup.io import parquet
from dedup.io.place import Place
from dedup.report.differences import differences, windows
from dedup.report.finished import Finished, source_of
from dedup.report.passes import mixed
from dedup.report.texts import ROW_BITS, Text, excerpt, groups_with, rows_of, texts

Output = str | os.PathLike[str] | Place | Finished
Item = dict[str, Any]
ROW = (1 << ROW_BITS) - 1
EXCERPT = 400  # characters
MEMBERS = 1_000  # of a cluster that are named
BATCH_ROWS = 1 << 16
OWN = ("id", "doc_id", "shard", "row", drop.REASON, "duplicate_of", "similarity", "text", "text_bytes")  # no measures
TWIN = ("id", "duplicate_of", "similarity", "kind", "verified")


def opened(output: Output) -> Finished:
    """A finished output; UserError where there is none."""
    return (
        output
        if isinstance(output, Finished)
        else Finished(os.fspath(output) if isinstance(output, os.PathLike) else output)
    )


def show(
    output: Output, *, reason: str | None = None, source: str | None = None, n: int = 10, seed: int = 0
) -> list[Item]:
    """Some dropped documents, chosen by chance: what each was, why it went, the measure that broke the rule.

    reason   only those that went for it, such as "near duplicate" or "word_count < 50"
    source   only those of an input by its name, of a folder, of a shard
    n        how many; of the same seed more begin with the same ones
    """
    finished = opened(output)
    reasons = finished.summary["dropped_by_reason"]
    if reason is not None and reason not in reasons:
        raise UserError(f"{finished.output}: no document was dropped for {reason!r}; {nearest(reason, reasons)}")
    shards = _shards_of(finished, source)
    chosen = _Chosen(n)
    for batch in _batches(finished, "report/documents.parquet", ["doc_id", drop.REASON]):
        reasons_here = batch[drop.REASON]
        wanted = pc.is_valid(reasons_here) if reason is None else pc.fill_null(pc.equal(reasons_here, reason), False)
        numbers = batch["doc_id"].filter(wanted).to_numpy()
        if shards is not None:
            numbers = numbers[np.isin(numbers >> ROW_BITS, shards)]
        chosen.add(mixed(numbers, seed), numbers)
    return _dropped(finished, chosen.numbers.tolist())


def _shards_of(finished: Finished, source: str | None) -> list[int] | None:
    """The numbers of a source's shards, None for all."""
    if source is None:
        return None
    sources = {number: source_of(shard) for number, shard in finished.shards.items() if shard.role == "input"}
    found = [number for number, name in sources.items() if source in (name, finished.shards[number].name)]
    if not found:
        raise UserError(f"{finished.output}: there is no source {source!r}; {nearest(source, set(sources.values()))}")
    return found


def _dropped(finished: Finished, numbers: Sequence[int]) -> list[Item]:
    """Rows of dropped/, in the order of `numbers`."""
    columns = columns_of_rules(finished)
    twins = _twin_rows(finished, np.array(sorted(numbers), np.int64))
    by_shard: dict[int, list[int]] = {}
    for number in numbers:
        by_shard.setdefault(number >> ROW_BITS, []).append(number & ROW)
    found: dict[int, Item] = {}
    for shard, rows in by_shard.items():
        for row, record in _rows_there(finished, shard, rows):
            broken = columns.get(record[drop.REASON])
            twin = twins.get(shard << ROW_BITS | row)
            found[shard << ROW_BITS | row] = {
                "id": record["id"],
                "source": source_of(finished.shards[shard]),
                **{name: record[name] for name in ("shard", "row", drop.REASON, "duplicate_of", "similarity")},
                **{name: twin and twin[name] for name in ("kind", "verified")},
                "broke": {} if broken is None else {broken: record.get(broken)},
                "measures": {name: value for name, value in record.items() if name not in OWN},
                "text": record["text"],
            }
    return [found[number] for number in numbers]


def _rows_there(finished: Finished, shard: int, rows: Sequence[int]) -> Iterator[Any]:
    with finished.parquet(f"dropped/{finished.shards[shard].name}.parquet"):  # says so where it is gone
        yield from rows_of(finished, shard, rows)


def _twin_rows(finished: Finished, numbers: Int64s) -> dict[int, Item]:
    """Rows of duplicates.parquet by doc_id, of those of some documents that are duplicates."""
    found: dict[int, Item] = {}
    with finished.parquet("duplicates.parquet") as file:
        for group in groups_with(file, "doc_id", numbers):
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], use_threads=False):
                found |= {row["doc_id"]: row for row in _rows_with(batch, numbers)}
    return found


def columns_of_rules(finished: Finished) -> dict[str, str]:
    """The column that each drop reason of the recipe looks at."""
    return {
        bound.reason: bound.column
        for step in finished.recipe.get("step", ())
        if step.get("use") == "drop.when"
        for bound in drop.bounds({key: value for key, value in step.items() if key != "use"})
    }


def pairs(output: Output, *, below: float | None = None, n: int = 10, seed: int | None = None) -> list[Item]:
    """Duplicates beside the documents that stay for them, the least similar first, with what differs.

    below   only pairs of less similarity
    n       how many
    seed    choose them by chance, instead of the least similar; the same for the same number
    """
    finished = opened(output)
    chosen = _Chosen(n)
    rows: dict[int, Item] = {}
    for batch in _batches(finished, "duplicates.parquet", None):
        similarity = batch["similarity"].fill_null(np.inf).to_numpy()  # through a third document: told last
        if below is not None:
            batch = batch.filter(pa.array(similarity < below))
            similarity = similarity[similarity < below]
        numbers = batch["doc_id"].to_numpy()
        chosen.add(similarity if seed is None else mixed(numbers, seed), numbers)
        rows = {row["doc_id"]: row for row in [*rows.values(), *_rows_with(batch, chosen.numbers)]}
        rows = {number: rows[number] for number in chosen.numbers.tolist()}
    order = sorted(rows.values(), key=lambda row: (row["similarity"] is None, row["similarity"], row["doc_id"]))
    twins = [row["duplicate_of_doc_id"] for row in order]
    found, later = texts(finished, [*rows, *twins]), reasons_of(finished, twins)
    return [_pair(row, found, later) for row in order]


def reasons_of(finished: Finished, numbers: Iterable[int | None]) -> dict[int | None, str]:
    """The drop reasons of those of some documents that did not stay: a later rule may drop what others went for."""
    wanted = np.array(sorted({number for number in numbers if number is not None}), np.int64)
    found: dict[int | None, str] = {}
    with finished.parquet("report/documents.parquet") as file:
        for group in groups_with(file, "doc_id", wanted):
            for batch in file.iter_batches(
                BATCH_ROWS, row_groups=[group], columns=["doc_id", drop.REASON], use_threads=False
            ):
                gone = batch.filter(batch[drop.REASON].is_valid())
                found |= {row["doc_id"]: row[drop.REASON] for row in _rows_with(gone, wanted)}
    return found


def _rows_with(batch: pa.RecordBatch, numbers: Int64s) -> list[Item]:
    found: list[Item] = batch.filter(pc.is_in(batch["doc_id"], pa.array(numbers))).to_pylist()
    return found


def _pair(row: Item, found: Any, later: Any) -> Item:
    own, twin = found[row["doc_id"]], found[row["duplicate_of_doc_id"]]
    pair = {name: row[name] for name in TWIN} | {"text": own.text, "duplicate_of_text": twin.text}
    pair["duplicate_of_drop_reason"] = later.get(row["duplicate_of_doc_id"])
    if own.note:
        pair["note"] = own.note
    return pair | beside(own, twin)


def beside(own: Text, twin: Text) -> Item:
    """What is told of a document's twin: a note on its text, and what differs where both texts are there."""
    told: Item = {"duplicate_of_note": twin.note} if twin.note else {}
    if own.text is not None and twin.text is not None:
        told["differences"] = [list(span) for span in windows(differences(twin.text, own.text))]
    return told


def clusters(output: Output, *, n: int = 10) -> list[Item]:
    """The largest clusters: a document that stays and those that went for it.

    n   how many

    Of each its size and bytes of text (null where the output was made before these were told), the kept document, the
    ids of up to 1,000 others, and the beginnings of its text and of the least similar one's.
    """
    finished = opened(output)
    keys, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for batch in _batches(finished, "duplicates.parquet", ["duplicate_of_doc_id", "duplicate_of"]):
        some, times = np.unique(_twins(batch), return_counts=True)
        keys.append(some)
        counts.append(times)
        if sum(map(len, keys)) > 4 * len(keys[0]) + (1 << 20):
            keys, counts = _summed(keys, counts)
    (twins,), (sizes,) = _summed(keys, counts)
    largest = np.lexsort((twins, -sizes))[:n]
    found = {int(twins[at]): _Cluster(int(sizes[at]) + 1) for at in largest}
    for batch in _batches(finished, "duplicates.parquet", None) if found else ():
        twins = _twins(batch)
        for key in set(np.unique(twins).tolist()) & found.keys():
            found[key].add(batch.filter(pa.array(twins == key)))
    return _clusters(finished, list(found.values()))


def _summed(keys: list[Int64s], counts: list[Int64s]) -> tuple[list[Int64s], list[Int64s]]:
    values, places = np.unique(np.concatenate(keys), return_inverse=True)
    return [values], [np.bincount(places, np.concatenate(counts), len(values)).astype(np.int64)]


def _twins(batch: pa.RecordBatch) -> Int64s:
    """A number for each kept document: its doc_id, or a negative one by the id of one that is in an index."""
    numbers = batch["duplicate_of_doc_id"]
    if numbers.null_count == 0:
        known: Int64s = numbers.to_numpy()
        return known
    hashed = [
        ~(xxhash.xxh3_64_intdigest(name.encode("utf-8")) >> 1) if number is None else number
        for number, name in zip(numbers.to_pylist(), batch["duplicate_of"].to_pylist(), strict=True)
    ]
    return np.array(hashed, np.int64)


class _Cluster:
    """What is known of a cluster: the kept document, members, and the one of them that is least similar."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: Item = {}
        self.least: Item = {}
        self.members: list[Item] = []
        self.numbers: list[Int64s] = []
        self._least = np.inf

    def add(self, batch: pa.RecordBatch) -> None:
        """More rows of duplicates.parquet."""
        likeness = batch["similarity"].fill_null(2.0).to_numpy()
        least = int(likeness.argmin())
        if likeness[least] < self._least:
            (self.least,) = batch.slice(least, 1).to_pylist()
            self._least = likeness[least]
        self.kept = {"id": self.least["duplicate_of"], "doc_id": self.least["duplicate_of_doc_id"]}
        self.numbers.append(batch["doc_id"].to_numpy())
        some = batch.slice(0, MEMBERS - len(self.members)).select(["id", "similarity", "kind", "verified"])
        self.members += some.to_pylist()


def _clusters(finished: Finished, found: Sequence[_Cluster]) -> list[Item]:
    numbers = [[*one.numbers, *_own_number(one.kept["doc_id"])] for one in found]
    sizes = _bytes(finished, [np.concatenate(some) for some in numbers])
    wanted = [one.kept["doc_id"] for one in found] + [one.least["doc_id"] for one in found]
    known = texts(finished, wanted)
    later = reasons_of(finished, [one.kept["doc_id"] for one in found])
    items = []
    for one, size in zip(found, sizes, strict=True):
        kept = known[one.kept["doc_id"]]
        items.append(
            {
                "size": one.size,
                "bytes": size,
                "kept": one.kept["id"],
                "kept_drop_reason": later.get(one.kept["doc_id"]),
                "kept_text": None if kept.text is None else excerpt(kept.text, EXCERPT),
                **({"kept_note": kept.note} if kept.note else {}),
                "members": one.members,
                "least_similar": one.least["id"],
                "least_similar_text": excerpt(known[one.least["doc_id"]].text or "", EXCERPT),
            }
        )
    return items


def _own_number(number: int | None) -> list[Int64s]:
    return [] if number is None else [np.array([number], np.int64)]


def _bytes(finished: Finished, groups: Sequence[Int64s]) -> list[int | None]:
    """Bytes of text of some groups of documents of this run; None where the output does not tell them."""
    with finished.parquet("report/documents.parquet") as file:
        if not groups or "text_bytes" not in file.schema_arrow.names:
            return [None] * len(groups)
    numbers = np.concatenate(groups)
    owners = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    order = np.argsort(numbers)
    numbers, owners = numbers[order], owners[order]
    sums = np.zeros(len(groups), np.int64)
    for batch in _batches(finished, "report/documents.parquet", ["doc_id", "text_bytes"]):
        ids, sizes = batch["doc_id"].to_numpy(), batch["text_bytes"].fill_null(0).to_numpy()
        low, high = np.searchsorted(numbers, [ids[0], ids[-1] + 1])
        at = np.searchsorted(ids, numbers[low:high])
        np.add.at(sums, owners[low:high], np.where(ids[at] == numbers[low:high], sizes[at], 0))
    return [int(size) for size in sums]


# Reading and choosing


def _batches(finished: Finished, name: str, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    with finished.parquet(name) as file:
        for batch in parquet.batches(file, BATCH_ROWS, columns):
            if batch.num_rows:
                yield batch


class _Chosen:
    """The `count` documents of the least keys so far, ties by doc_id."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._keys: Any = np.zeros(0)
        self.numbers: Int64s = np.zeros(0, np.int64)

    def add(self, keys: Any, numbers: Int64s) -> None:
        keys = np.concatenate([self._keys.astype(keys.dtype), keys])
        numbers = np.concatenate([self.numbers, numbers])
        order = np.lexsort((numbers, keys))[: self._count]
        self._keys, self.numbers = keys[order], numbers[order]
