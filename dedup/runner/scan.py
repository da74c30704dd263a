"""The scan of one unit: read, run the stages up to the barrier, and write small tables beside each other.

rows.arrow      one row a document: _row within its piece, the user's id, drop_reason, measures, bytes of text,
                exact key, keep order; with `keep` also which step dropped it, what steps that change texts saw and did
exact-*.bin     exchange rows of an exact barrier
sketches-*.bin  signatures of near barriers;  shingles-*.npy shingles a document;  bands-*.bin exchange rows: barriers
                of equal settings share them
changed.arrow   the texts of changed rows only: the input itself is the spool
rejected.arrow  what was rejected, with its piece and its row within that
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers, drop, exact, memory
from dedup.buffers import Int64s
from dedup.errors import UserError
from dedup.io import jsonl, parquet, read
from dedup.io.copies import on_disk
from dedup.io.exchange import ExchangeWriter
from dedup.io.files import save_array
from dedup.io.units import Piece, Unit
from dedup.near import match
from dedup.near import signature as signing
from dedup.near.params import Bands, Sketch
from dedup.plan import bands_of, near_files
from dedup.recipe import Step
from dedup.runner.budget import DOCUMENT_COPIES
from dedup.runner.scanned import Changes, open_table
from dedup.runner.steps import Done, Steps, differ
from dedup.runner.task import Progress
from dedup.segment import TOKENS

REJECTED = pa.schema(
    [
        ("piece", pa.int32()),
        ("row", pa.int64()),
        ("offset", pa.int64()),
        ("reason", pa.string()),
        ("raw", pa.large_binary()),
        ("is_shard", pa.bool_()),
    ]
)
CHANGED = pa.schema([("document", pa.int64()), ("text", pa.large_string())])
DROPPED_AT = "_dropped_at"  # int16: the place of the step that dropped the document, as Done tells it
EXACT_SEGMENT = 1 << 18  # documents a segment of an exact exchange


@dataclass(frozen=True)
class Earlier:
    """What the passes before know of a unit: its folder of the last scan and what its barriers dropped.

    dropped   path of an int64 .npy: documents (numbered within the unit) dropped by barriers so far
    """

    folder: str
    dropped: str


@dataclass(frozen=True)
class Work:
    """What a scan does, the same for every unit of the input, or of what this is compared with (`is_reference`)."""

    stages: tuple[Step, ...]
    barriers: tuple[Step, ...]
    source: read.Source
    measures: tuple[tuple[str, pa.DataType], ...]
    batch_bytes: int
    measure_all: bool
    limit: int | None
    folder: str  # of the recipe
    is_reference: bool = False
    room: int | None = None  # bytes of a task; what a document takes may not be more
    keep: bool = False  # it is left for `dedup rerun` and `dedup sweep`

    @property
    def signs_all(self) -> bool:
        """Whether dropped documents get signatures too, so that another rule may drop less."""
        return self.keep and self.measure_all


def scan_unit(folder: Path, progress: Progress, *, unit: Unit, work: Work, earlier: Earlier | None) -> dict[str, Any]:
    """Scan one unit; counts of documents, rejected rows and shards, null and empty texts, bytes of text.

    Of each piece: its documents, the rows it passed, what of it was rejected, and the bytes it decoded to.
    """
    try:
        return _scan(folder, progress, unit, work, earlier, {})
    except parquet.BrokenGroup:
        for path in folder.iterdir():  # some batches of the broken group may be in them
            path.unlink()
        return _scan(folder, progress, unit, work, earlier, _broken_groups(unit, work))


def _broken_groups(unit: Unit, work: Work) -> dict[int, parquet.BrokenGroup]:
    """The first row group of each piece that cannot be decoded."""
    broken = {}
    for n, piece in enumerate(unit.pieces):
        try:
            for _ in read.read(piece, work.source, work.batch_bytes, work.limit):
                pass
        except parquet.BrokenGroup as fault:
            broken[n] = fault
    return broken


COUNTS = ("documents", "rejected_rows", "rejected_shards", "null_text", "empty_text", "bytes_in")
OF_PIECES = ("piece_documents", "piece_rows", "piece_rejected", "piece_bytes")


def _scan(
    folder: Path,
    progress: Progress,
    unit: Unit,
    work: Work,
    earlier: Earlier | None,
    broken: Mapping[int, parquet.BrokenGroup],
) -> dict[str, Any]:
    before = Before(earlier) if earlier is not None else None
    counts: dict[str, Any] = dict.fromkeys(COUNTS, 0) | {name: [0] * len(unit.pieces) for name in OF_PIECES}
    steps = Steps(work.stages, work.folder, work.measure_all, keep_all=work.is_reference)
    first = 0
    reasons: Counter[str] = Counter()
    with contextlib.closing(_Sinks(folder, work)) as sinks:
        for batch, decoded_bytes in _batches(unit, work, broken, sinks, counts, reasons):
            if batch.num_rows:
                batch, original = _begin(batch, before, np.arange(first, first + batch.num_rows))
                sinks.add(steps.apply(batch), original, first)
                first += batch.num_rows
            progress(batch.num_rows, decoded_bytes)
    return counts | {"rejected_by_reason": dict(reasons), "steps": steps.counts, "signs_all": work.signs_all}


def scan_some(
    folder: Path, work: Work, batches: Iterable[tuple[pa.RecordBatch, Int64s]], earlier: Earlier | None
) -> list[dict[str, Any]]:
    """Scan some documents of a unit as if there were no others: they are numbered from 0; the counts of each step.

    batches   and their numbers within the unit, ascending
    """
    before = Before(earlier) if earlier is not None else None
    steps = Steps(work.stages, work.folder, work.measure_all, keep_all=work.is_reference)
    first = 0
    with contextlib.closing(_Sinks(folder, work)) as sinks:
        for batch, documents in batches:
            batch, original = _begin(batch, before, documents)
            sinks.add(steps.apply(batch), original, first)
            first += batch.num_rows
    return steps.counts


def _batches(
    unit: Unit,
    work: Work,
    broken: Mapping[int, parquet.BrokenGroup],
    sinks: _Sinks,
    counts: dict[str, Any],
    reasons: Counter[str],
) -> Iterator[tuple[pa.RecordBatch, int]]:
    """(documents, bytes decoded) of a unit, small shards together; counts, and hands over what is rejected."""
    held: list[pa.RecordBatch] = []
    size = 0
    for n, piece in enumerate(unit.pieces):
        piece.shard.check_unchanged()
        for chunk in read_piece(piece, work, broken.get(n)):
            sinks.reject(n, chunk.rejected)
            reasons.update(r.reason for r in chunk.rejected)
            _count(chunk, n, counts)
            held.append(chunk.batch)
            size += chunk.decoded_bytes
            if len(unit.pieces) == 1 or size >= work.batch_bytes:
                yield pa.concat_batches(held) if len(held) > 1 else held[0], size
                held, size = [], 0
        piece.shard.check_unchanged()
    if held:
        yield pa.concat_batches(held), size


def read_piece(piece: Piece, work: Work, broken: parquet.BrokenGroup | None = None) -> Iterator[read.Chunk]:
    """The documents of a piece; UserError for one that takes more memory than a task has."""
    longest = None if work.room is None else work.room // DOCUMENT_COPIES
    try:
        yield from read.read(piece, work.source, work.batch_bytes, work.limit, broken, longest)
    except jsonl.LongLine as line:
        where = f", line {line.row + 1:,}" if piece.begin == 0 else ""
        raise UserError(
            f"{piece.shard.path}{where}: a document of {memory.text(line.size)} takes about "
            f"{memory.text(line.size * DOCUMENT_COPIES)}, and memory leaves {memory.text(work.room or 0)} to a task; "
            "run again with more memory or fewer workers"
        ) from None


def _count(chunk: read.Chunk, n: int, counts: dict[str, Any]) -> None:
    texts = chunk.batch[read.TEXT]
    lengths = pc.binary_length(texts)
    shards = sum(r.is_shard for r in chunk.rejected)
    counts["documents"] += len(texts)
    counts["rejected_shards"] += shards
    counts["rejected_rows"] += len(chunk.rejected) - shards
    counts["null_text"] += texts.null_count
    counts["empty_text"] += pc.sum(pc.equal(lengths, 0)).as_py() or 0
    counts["bytes_in"] += pc.sum(lengths).as_py() or 0
    for name, more in zip(OF_PIECES, (len(texts), chunk.rows, len(chunk.rejected), chunk.decoded_bytes), strict=True):
        counts[name][n] += more


class Before:
    """The columns and texts that earlier passes left for a unit, by document."""

    def __init__(self, earlier: Earlier) -> None:
        self.rows = open_table(earlier.folder, "rows.arrow")
        self.changed = Changes(earlier.folder)
        self.dropped = np.load(on_disk(earlier.dropped))

    def lay_over(self, batch: pa.RecordBatch, documents: Int64s) -> pa.RecordBatch:
        """The batch with what is known of its documents: their texts, measures and drop reasons."""
        if not len(documents):
            return batch
        first, is_stretch = int(documents[0]), int(documents[-1]) - int(documents[0]) + 1 == len(documents)
        rows = self.rows.slice(first, len(documents)) if is_stretch else self.rows.take(pa.array(documents))
        for field_ in rows.schema:
            if not field_.name.startswith("_") and field_.name != read.ID:
                batch = drop.set_column(batch, field_.name, buffers.one_chunk(rows[field_.name]))
        texts = buffers.with_replaced(buffers.large_strings(batch[read.TEXT]), *self.changed.at(documents))
        return drop.set_column(
            drop.set_column(batch, read.TEXT, texts), drop.REASON, self.reasons(batch[drop.REASON], documents)
        )

    def reasons(self, by_rule: Any, documents: Int64s) -> Any:
        """The drop reasons that some documents enter with, from those that rules gave."""
        at = np.minimum(np.searchsorted(self.dropped, documents), max(len(self.dropped) - 1, 0))
        gone = self.dropped[at] == documents if len(self.dropped) else np.zeros(len(documents), np.bool_)
        return pc.if_else(pa.array(gone), pa.scalar(DUPLICATE, pa.string()), by_rule)


DUPLICATE = "duplicate"  # the reason of rows that a barrier dropped, while later passes run


def _begin(batch: pa.RecordBatch, before: Before | None, documents: Int64s) -> tuple[pa.RecordBatch, Any]:
    """(batch as the first stage sees it, texts as they are in the input)."""
    original = batch[read.TEXT]
    batch = drop.set_column(batch, drop.REASON, pa.nulls(batch.num_rows, pa.string()))
    return (batch if before is None else before.lay_over(batch, documents)), original


def size_column(at: int) -> str:
    """int64: the bytes of each text that the step at a place saw, which may change texts."""
    return f"_size_{at}"


def key_columns(barrier: int) -> tuple[str, str]:
    """uint64: both halves of the key of the columns that a barrier compares."""
    return f"_on_{barrier}_high", f"_on_{barrier}_low"


def changed_column(at: int) -> str:
    """bool: whether the step at a place changed the text."""
    return f"_changed_{at}"


def exact_writer(folder: Path, barrier: int) -> ExchangeWriter:
    """For rows of an exact barrier: high and low half of the key, keep order, low half of the text's key, document."""
    return ExchangeWriter(folder / f"exact-{barrier}.bin", 5)


class _Sinks:
    """The files of a scan, open."""

    def __init__(self, folder: Path, work: Work) -> None:
        self._folder, self._work = folder, work
        self._rows: Any = None
        self._changed = pa.ipc.new_file(str(folder / "changed.arrow"), CHANGED)
        self._rejected = pa.ipc.new_file(str(folder / "rejected.arrow"), REJECTED)
        self._exchanges = {n: exact_writer(folder, n) for n in range(len(work.barriers))}
        self._near: dict[int, _NearSink] = {}
        for n, files in near_files(work.barriers).items():
            settings, bands = bands_of(work.barriers[n])
            if files.sketches not in self._near:
                self._near[files.sketches] = _NearSink(folder, files.sketches, settings, signs_all=work.signs_all)
            self._near[files.sketches].cut(files.bands, bands)

    def reject(self, piece: int, rejected: Sequence[read.Rejected]) -> None:
        if rejected:
            parts = ([piece] * len(rejected), *zip(*rejected, strict=True))
            columns = [pa.array(values, kind) for values, kind in zip(parts, REJECTED.types, strict=True)]
            self._rejected.write_batch(pa.RecordBatch.from_arrays(columns, schema=REJECTED))

    def add(self, done: Done, original: Any, first: int) -> None:
        batch, places = done.batch, done.places
        texts = buffers.large_strings(batch[read.TEXT])
        keys = exact.text_keys(texts)
        self._add_changed(texts, original, first)
        names = [
            n for n in batch.schema.names if not n.startswith("_") and n not in (read.TEXT, *self._work.source.more)
        ]
        columns = {read.ROW: batch[read.ROW]}
        columns |= {read.ID: batch[read.ID]} if self._work.source.id is not None else {}
        columns |= {name: batch[name] for name in names if name != read.ID}
        columns["_key_high"], columns["_key_low"] = pa.array(keys[:, 0]), pa.array(keys[:, 1])
        columns["_bytes"] = pc.cast(pc.fill_null(pc.binary_length(texts), 0), pa.int64())
        for n, step in enumerate(self._work.barriers):
            # References come before all others, whatever is kept: they may not even have the column.
            order = None if self._work.is_reference else exact.order_keys(step.settings["keep"], texts, batch)
            ranks = np.zeros(batch.num_rows, np.uint64) if order is None else order
            columns[f"_order_{n}"] = pa.array(ranks)
            self._add_exact(n, step, done, keys[places], ranks[places], first)
        for sink in self._near.values():
            sink.add(done, first)
        if self._work.keep:
            columns[DROPPED_AT] = pa.array(done.dropped_at)
            columns |= self._column_keys(batch)
            columns |= {size_column(at): pa.array(size) for at, size in done.sizes.items()}
            columns |= {changed_column(at): pa.array(changed) for at, changed in done.changed.items()}
        rows = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
        if self._rows is None:
            self._rows = pa.ipc.new_file(str(self._folder / "rows.arrow"), rows.schema)
        self._rows.write_batch(rows)

    def _column_keys(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """The keys of columns that barriers compare, of dropped documents too."""
        found: dict[str, pa.Array] = {}
        for n, step in enumerate(self._work.barriers):
            if step.settings.get("on"):
                keys = exact.column_keys([_column(batch, name, self._work) for name in step.settings["on"]])
                found |= {name: pa.array(keys[:, half]) for half, name in enumerate(key_columns(n))}
        return found

    def _add_changed(self, texts: Any, original: Any, first: int) -> None:
        original = buffers.large_strings(original)
        if texts is original or texts.equals(original):
            return
        documents = np.flatnonzero(differ(texts, original))
        columns = [pa.array(documents + first), texts.take(pa.array(documents))]
        self._changed.write_batch(pa.RecordBatch.from_arrays(columns, schema=CHANGED))

    def _add_exact(self, n: int, step: Step, done: Done, keys: Any, ranks: Any, first: int) -> None:
        """keys, ranks: of the rows that are alive."""
        on = step.settings.get("on")
        used = exact.column_keys([_column(done.alive, name, self._work) for name in on]) if on else keys
        live = np.flatnonzero((used != 0).any(axis=1))
        for at in range(0, len(live), EXACT_SEGMENT):
            some = live[at : at + EXACT_SEGMENT]
            documents = done.places[some].astype(np.uint64)
            # The low half of the text's key breaks ties last: columns may be equal where texts are not.
            self._exchanges[n].add(first, used[some, 0], used[some, 1], ranks[some], keys[some, 0], documents)

    def close(self) -> None:
        if self._rows is not None:
            self._rows.close()
        for sink in (self._changed, self._rejected, *self._exchanges.values(), *self._near.values()):
            sink.close()


class _NearSink:
    """The files of near barriers whose signatures are the same."""

    def __init__(self, folder: Path, number: int, settings: Sketch, *, signs_all: bool) -> None:
        self._folder, self._settings, self._signs_all = folder, settings, signs_all
        self._sketches = signing.SketchWriter(folder / f"sketches-{number}.bin")
        self._counts = folder / f"shingles-{number}.npy"
        self._bands: dict[int, tuple[Bands, ExchangeWriter]] = {}
        self._shingles: list[Any] = []

    def cut(self, number: int, bands: Bands) -> None:
        """Write band keys too."""
        if number not in self._bands:
            self._bands[number] = (bands, ExchangeWriter(self._folder / f"bands-{number}.bin", 1))

    def add(self, done: Done, first: int) -> None:
        """Documents from `first` on."""
        settings, alive, places = self._settings, done.alive, done.places
        if self._signs_all:
            alive, places = done.measured, np.arange(done.batch.num_rows)
        is_dropped = np.ones(done.batch.num_rows, np.bool_)
        is_dropped[done.places] = False
        tokens = alive[TOKENS] if TOKENS in alive.schema.names and not settings.fold_traditional else None
        texts = buffers.large_strings(alive[read.TEXT])
        for at in range(0, done.batch.num_rows, 8192):  # signatures of short texts outweigh them: bounded by rows
            until = min(at + 8192, done.batch.num_rows)
            low, high = np.searchsorted(places, [at, until])
            if tokens is None:
                offsets, hashes = signing.token_hashes(texts[low:high], settings)
            else:
                offsets, hashes = buffers.list_parts(tokens[low:high])
            here = np.full(until - at, -1)
            here[places[low:high] - at] = np.arange(high - low)
            # Rows that are gone have no tokens, so that sketches stay one a document.
            offsets = offsets[np.append(0, np.maximum.accumulate(here) + 1)]
            sketches = signing.sketch(buffers.frozen(offsets), hashes, settings)
            sketches.counts[here < 0] = 0
            self._sketches.add(sketches)
            sketches.counts[is_dropped[at:until]] = 0  # they are no candidates
            for bands, exchange in self._bands.values():
                exchange.add(first + at, match.band_rows(sketches, 0, bands))
            self._shingles.append(np.maximum(np.diff(offsets) - settings.shingle + 1, 1).astype(np.uint32))

    def close(self) -> None:
        """Finish the files."""
        self._sketches.close()
        for _, exchange in self._bands.values():
            exchange.close()
        save_array(self._counts, np.concatenate([np.zeros(0, np.uint32), *self._shingles]))


def _column(batch: pa.RecordBatch, name: str, work: Work) -> pa.Array:
    inside = read.TEXT if name == work.source.text else read.ID if name == work.source.id else name
    return batch[inside]
