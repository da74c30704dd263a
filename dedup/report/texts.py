"""Texts of documents of a finished output, looked up where the run has put them.

A dropped document is found in dropped/ by its row. A kept one has no number in documents/: its place there is how many
documents of its shard stay before it, which report/documents.parquet tells. Files are streamed, and of Parquet only
the row groups are decoded that hold one of the documents, so that memory does not grow with the corpus.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedup.buffers import Int64s
from dedup.drop import REASON
from dedup.errors import DedupError, InputChangedError, one_line
from dedup.io import jsonl, parquet
from dedup.io.decode import Codec
from dedup.io.place import Place, files_below, parquet_source
from dedup.io.shards import Shard
from dedup.report.finished import Finished
from dedup.runner import reshard

ROW_BITS = 40
BATCH_BYTES = 4 << 20
MOST_CHARACTERS = 1 << 20  # of a text that is handed over
_FAULTS = (OSError, pa.ArrowException, parquet.BrokenGroup, DedupError)


class Text(NamedTuple):
    """A document's text, None where it is null or cannot be had.

    note   why, or that the text is cut, or that it is not the cleaned one
    """

    text: str | None
    note: str = ""


class _File(NamedTuple):
    path: str
    format: str
    codec: Codec


class _Standing(NamedTuple):
    """Of some documents of the run whether they stay, and how many of their shard stay before them; those of shards."""

    found: set[int]
    kept: dict[int, int]
    kept_of_shards: dict[int, int]


def texts(finished: Finished, doc_ids: Iterable[int | None], *, most: int = MOST_CHARACTERS) -> dict[int | None, Text]:
    """The text of each document by its doc_id: as cleaned if it is of the run, as it lies there if of `against`.

    doc_ids   None is a document of an index, whose text is not in this output
    most      characters of each
    """
    wanted = set(doc_ids)
    found: dict[int | None, Text] = {}
    if None in wanted:
        found[None] = Text(None, f"it is in the index {finished.recipe.get('index', '')}, not in this output")
    numbers = np.array(sorted(number for number in wanted if number is not None), np.int64)
    own = np.array([_is_own(finished, int(shard)) for shard in numbers >> ROW_BITS], np.bool_)
    standing = _standing(finished, numbers[own])
    kept: dict[int, list[int]] = {}
    for shard, some in _by_shard(numbers):
        if finished.shards.get(shard) is None:
            found |= dict.fromkeys(some, Text(None, "there is no such document in this output"))
        elif not _is_own(finished, shard):
            found |= _against(finished, shard, some, most)
        else:
            kept[shard] = [number for number in some if number in standing.kept]
            gone = [number for number in some if number in standing.found and number not in standing.kept]
            found |= _dropped(finished, shard, gone, most)
    found |= _kept(finished, kept, standing, most)
    return {number: found.get(number, Text(None, "there is no such document in this output")) for number in wanted}


def excerpt(text: str, most: int, at: int = 0) -> str:
    """About `most` characters of a text around one of them, with an ellipsis where something is left out."""
    begin = max(min(at - most // 3, len(text) - most), 0)
    cut = text[begin : begin + most]
    return ("…" if begin else "") + cut + ("…" if begin + most < len(text) else "")


def rows_of(finished: Finished, shard: int, rows: Iterable[int], columns: Sequence[str] | None = None) -> Iterator[Any]:
    """(row, its columns as a dict) of some rows of a shard in dropped/, ascending; all columns or those named."""
    wanted = np.array(sorted(rows), np.int64)
    if not len(wanted):
        return
    path = _dropped_path(finished, shard)
    names = None if columns is None else [*columns, "row"]
    with pq.ParquetFile(parquet_source(path), pre_buffer=False) as file:
        for group in groups_with(file, "row", wanted):
            for batch in file.iter_batches(1 << 12, row_groups=[group], columns=names, use_threads=False):
                for record in batch.filter(pc.is_in(batch["row"], pa.array(wanted))).to_pylist():
                    yield record["row"], record


def _dropped_path(finished: Finished, shard: int) -> Place:
    return finished.output / "dropped" / f"{finished.shards[shard].name}.parquet"


def _is_own(finished: Finished, shard: int) -> bool:
    return shard in finished.shards and finished.shards[shard].role == "input"


def _by_shard(numbers: Int64s) -> Iterator[tuple[int, list[int]]]:
    for shard in np.unique(numbers >> ROW_BITS).tolist():
        yield shard, numbers[numbers >> ROW_BITS == shard].tolist()


def groups_with(file: Any, column: str, wanted: Int64s, bits: int = 0) -> Iterator[int]:
    """The row groups of a file, sorted by a column, where one of some values may be: of its values without `bits`."""
    at = file.schema_arrow.names.index(column)
    for group in range(file.num_row_groups):
        bounds = file.metadata.row_group(group).column(at).statistics
        low, high = np.searchsorted(wanted, bounds.min >> bits), np.searchsorted(wanted, bounds.max >> bits, "right")
        if low < high:
            yield group


def _cut(text: str | None, most: int, note: str = "") -> Text:
    if text is None:
        return Text(None, "its text is null")
    if len(text) <= most:
        return Text(text, note)
    told = f"the first {most:,} of {len(text):,} characters"
    return Text(text[:most], f"{note}; {told}" if note else told)


def _failed(numbers: Iterable[int], error: Exception, where: object) -> dict[int | None, Text]:
    """What is said of documents whose file is gone or cannot be read."""
    if isinstance(error, FileNotFoundError):
        told = f"{error.filename or where} is not there any more"
    else:
        told = f"{where} cannot be read ({one_line(error)})"
    return {number: Text(None, told) for number in numbers}


def _dropped(finished: Finished, shard: int, numbers: Sequence[int], most: int) -> dict[int | None, Text]:
    base = shard << ROW_BITS
    found: dict[int | None, Text] = {}
    try:
        for row, record in rows_of(finished, shard, [number - base for number in numbers], ["text"]):
            found[base + row] = _cut(record["text"], most)
    except _FAULTS as error:
        return _failed(numbers, error, _dropped_path(finished, shard)) | found
    return found


def _against(finished: Finished, shard: int, numbers: Sequence[int], most: int) -> dict[int | None, Text]:
    """Of a file that the run only compared with: its rows as they lie there."""
    one = finished.shards[shard]
    note = f"as it lies in {one.name}"
    base = shard << ROW_BITS
    found: dict[int | None, Text] = {}
    try:
        one.check_unchanged()
        places = np.array(numbers, np.int64) - base
        for row, text in _texts_at([_File(one.path, one.format, one.codec)], places, _column(finished)):
            found[base + row] = _cut(text, most, note)
    except InputChangedError:
        told = "is not there any more" if not os.path.exists(one.path) and "://" not in one.path else "has changed"
        return {number: Text(None, f"{one.path} {told}") for number in numbers}
    except _FAULTS as error:
        return _failed(numbers, error, one.path) | found
    return found


# Kept documents


def _standing(finished: Finished, numbers: Int64s) -> _Standing:
    """Told by report/documents.parquet, two columns of it; with output_shard_bytes by all its rows."""
    found: set[int] = set()
    kept: dict[int, int] = {}
    before: dict[int, int] = {}
    if not len(numbers):
        return _Standing(found, kept, before)
    shards = np.unique(numbers >> ROW_BITS)
    with finished.parquet("report/documents.parquet") as file:
        groups = range(file.num_row_groups) if _in_parts(finished) else groups_with(file, "doc_id", shards, ROW_BITS)
        for group in groups:
            for batch in file.iter_batches(row_groups=[group], columns=["doc_id", REASON], use_threads=False):
                ids = batch["doc_id"].to_numpy()
                stays = batch[REASON].is_null().to_numpy(zero_copy_only=False)
                _count(ids, stays, numbers, found, kept, before)
    return _Standing(found, kept, before)


def _count(
    ids: Int64s, stays: Any, numbers: Int64s, found: set[int], kept: dict[int, int], before: dict[int, int]
) -> None:
    """Count one more batch into what is known of documents and shards."""
    passed = np.cumsum(stays) - stays
    shards, firsts, counts = np.unique(ids >> ROW_BITS, return_index=True, return_counts=True)
    for number in numbers[np.isin(numbers, ids)].tolist():
        at = int(np.searchsorted(ids, number))
        found.add(number)
        if stays[at]:
            first = int(firsts[np.searchsorted(shards, number >> ROW_BITS)])
            kept[number] = before.get(number >> ROW_BITS, 0) + int(passed[at] - passed[first])
    for shard, first, count in zip(shards.tolist(), firsts.tolist(), counts.tolist(), strict=True):
        before[shard] = before.get(shard, 0) + int(stays[first : first + count].sum())


def _kept(
    finished: Finished, wanted: Mapping[int, Sequence[int]], standing: _Standing, most: int
) -> dict[int | None, Text]:
    found: dict[int | None, Text] = {}
    sequences: dict[tuple[_File, ...], dict[int, int]] = {}  # by files that follow each other, doc_id by place
    for shard, numbers in wanted.items():
        if numbers:
            try:
                files, first = _files(finished, shard, standing)
            except _FAULTS as error:
                found |= _failed(numbers, error, finished.output / "documents")
                continue
            sequences.setdefault(files, {}).update({first + standing.kept[number]: number for number in numbers})
    for files, places in sequences.items():
        try:
            for place, text in _texts_at(files, np.array(sorted(places), np.int64), _column(finished)):
                found[places[place]] = _cut(text, most)
        except _FAULTS as error:
            found = _failed(places.values(), error, files[0].path) | found
    return found


def _files(finished: Finished, shard: int, standing: _Standing) -> tuple[tuple[_File, ...], int]:
    """The files of documents/ in which the kept rows of a shard lie, and the place of the first of them there."""
    own = finished.shards[shard]
    if not _in_parts(finished):
        return (_File(str(finished.output / "documents" / own.name), own.format, own.codec),), 0
    paths = sorted(files_below(finished.output / "documents"))
    others = [finished.shards[number] for number in sorted(standing.kept_of_shards)]
    others = [one for one in others if standing.kept_of_shards[one.number] and one.format == own.format]
    if own.format == "jsonl":
        paths = [path for path in paths if path.endswith(reshard.SUFFIXES[own.codec])]
        others = [one for one in others if one.codec == own.codec]
    else:
        paths = [path for path in paths if path.endswith(".parquet")]
        paths, others = _of_kind(paths, others, own)
    before = sum(standing.kept_of_shards[one.number] for one in others if one.number < shard)
    return tuple(_File(path, own.format, own.codec) for path in paths), before


def _of_kind(paths: Sequence[str], shards: Sequence[Shard], own: Shard) -> tuple[list[str], list[Shard]]:
    """The Parquet parts that hold rows of a shard, and the shards that share them: those of its schema and codecs.

    Parts of one kind follow each other, kinds in the order of their first shards; which is which the inputs tell.
    """
    kinds = [reshard.kind_of_parquet(path) for path in paths]
    order = list(dict.fromkeys(kinds))
    if len(order) == 1:
        return list(paths), list(shards)
    theirs = {one.number: reshard.kind_of_parquet(one.path) for one in shards}
    kind = order[list(dict.fromkeys(theirs.values())).index(theirs[own.number])]
    return (
        [path for path, its in zip(paths, kinds, strict=True) if its == kind],
        [one for one in shards if theirs[one.number] == theirs[own.number]],
    )


def _in_parts(finished: Finished) -> bool:
    return finished.recipe.get("output_shard_bytes") is not None


def _column(finished: Finished) -> str:
    return str(finished.recipe.get("text", "text"))


# Rows of files


def _texts_at(files: Sequence[_File], places: Int64s, column: str) -> Iterator[tuple[int, str | None]]:
    """(place, text) of some rows, ascending, of files that follow each other."""
    first = 0
    for file in files:
        blocks = _row_groups(file, column) if file.format == "parquet" else _lines(file, column)
        for count, read in blocks:
            low, high = np.searchsorted(places, [first, first + count])
            if low < high:
                yield from ((first + row, text) for row, text in read(places[low:high] - first))
            first += count
            if high == len(places):
                return


Read = Callable[[Int64s], Iterator[tuple[int, str | None]]]


def _row_groups(file: _File, column: str) -> Iterator[tuple[int, Read]]:
    with parquet.open_file(file.path) as opened:
        for group in range(opened.num_row_groups):

            def read(rows: Int64s, group: int = group) -> Iterator[tuple[int, str | None]]:
                columns = parquet.Columns(column, None)
                for first, batch in parquet.read_batches(opened, columns, BATCH_BYTES, group, group + 1):
                    low, high = np.searchsorted(rows, [first, first + batch.num_rows])
                    if low < high:
                        found, _ = parquet.readable_texts(parquet.column(batch, column))
                        yield from ((row, found[row - first].as_py()) for row in rows[low:high].tolist())

            yield opened.metadata.row_group(group).num_rows, read


def _lines(file: _File, column: str) -> Iterator[tuple[int, Read]]:
    for lines in jsonl.read_lines(file.path, file.codec):
        if isinstance(lines, jsonl.Tail):
            return
        count = len(lines.bounds) - 1

        def read(rows: Int64s, lines: jsonl.Lines = lines, count: int = count) -> Iterator[tuple[int, str | None]]:
            keep = np.zeros(count, np.bool_)
            keep[rows] = True
            parsed = jsonl.parse(lines, text=column, id=None, columns={}, keep=keep)
            yield from zip(parsed.positions.tolist(), parsed.columns["text"].to_pylist(), strict=True)

        yield count, read
