"""The scan of one unit from what an earlier run left of it: what scan_unit makes, and texts are read of few documents.

Where the earlier scan cannot tell enough, or more than half of the text would be read anyway, the unit is scanned as
if there had been no run before: so a rerun is always right, and what it costs is all that varies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers, drop, exact
from dedup.buffers import Int64s
from dedup.io import read
from dedup.io.copies import on_disk
from dedup.io.files import link, save_array
from dedup.io.units import Unit
from dedup.runner import fetch, scan
from dedup.runner.lineup import Lineup, MissingError
from dedup.runner.renear import NearFilesOf
from dedup.runner.replay import Bools, Fates, replay
from dedup.runner.retext import Restored, restore
from dedup.runner.scan import DROPPED_AT, Before, Earlier, Work, changed_column, size_column
from dedup.runner.scanned import Changes, open_table
from dedup.runner.steps import changes_text
from dedup.runner.task import Progress, left_whole

ROWS = 1 << 16  # documents looked at together
ANEW = "anew"  # the folder of what is scanned from texts
RESTORED = "restored"  # of texts as they were before later stages changed them
KEYS = ("_key_high", "_key_low")


@dataclass(frozen=True)
class Kept:
    """What an earlier run left of a unit.

    folder        of its scan
    lineup        how its steps stand to those of now
    reads_texts   False: only which documents stay is wanted, and MissingError tells that it takes texts to know
    """

    folder: str
    lineup: Lineup
    reads_texts: bool = True


def rescan_unit(
    folder: Path, progress: Progress, *, unit: Unit, work: Work, earlier: Earlier | None, kept: Kept
) -> dict[str, Any]:
    """Scan one unit; the counts of scan_unit, and `anew`: how many documents were read for it."""
    counts = _counts(kept)
    if counts is not None and not counts["documents"]:
        return scan.scan_unit(folder, progress, unit=unit, work=work, earlier=earlier)
    if counts is None and not kept.reads_texts:
        raise MissingError(f"{kept.folder} is not whole; run its recipe again with --keep-work")
    rescan = _Rescan(folder, unit, work, earlier, kept, counts) if counts is not None else None
    if rescan is None or rescan.is_hopeless:
        return scan.scan_unit(folder, progress, unit=unit, work=work, earlier=earlier)
    made = rescan.make()
    progress(made["documents"], made["bytes_in"])
    return made


def _counts(kept: Kept) -> dict[str, Any] | None:
    """The counts of the earlier scan; None where its files are not whole or were not made to be kept."""
    counts = left_whole(kept.folder)
    if counts is None:
        return None
    rows = open_table(kept.folder, "rows.arrow")
    is_kept = not counts["documents"] or DROPPED_AT in rows.schema.names
    return counts if is_kept else None


class _Rescan:
    """One unit."""

    def __init__(
        self,
        folder: Path,
        unit: Unit,
        work: Work,
        earlier: Earlier | None,
        kept: Kept,
        counts: dict[str, Any],
    ) -> None:
        self._folder, self._unit, self._work, self._earlier = folder, unit, work, earlier
        self._kept, self._lineup, self._counts = kept, kept.lineup, counts
        self._old = open_table(kept.folder, "rows.arrow")
        self._before = Before(earlier) if earlier is not None else None
        self._measures_all = work.measure_all or work.is_reference
        self._fates = [self._look(first, rows) for first, rows in _parts(self._old)]
        self._dropped_at = np.concatenate([fates.dropped_at for fates in self._fates])
        self._is_anew = np.concatenate([fates.anew for fates in self._fates])
        # Of a document that enters dropped nothing is done: all is as the pass before left it.
        self._enters_dropped = (self._dropped_at < 0) & (self._before is not None) & (not self._measures_all)
        self._alive = self._dropped_at == len(work.stages)
        stale = np.concatenate([fates.stale for fates in self._fates]) & ~self._enters_dropped & ~self._is_anew
        stale &= kept.reads_texts
        if any(":" in step.use for step in work.stages):  # what it reads of a document is not known
            self._is_anew |= stale
            stale[:] = False
        self._anew = np.flatnonzero(self._is_anew)
        self._is_stale = stale
        self._some: pa.Table = pa.table({})
        self._restored = Restored(np.zeros(0, np.int64), np.zeros((0, 2), np.uint64), np.zeros(0, np.int64))

    @property
    def is_hopeless(self) -> bool:
        """Whether to scan the unit as a whole is right, or no dearer; MissingError where no text may be read."""
        if not len(self._anew) and not self._is_stale.any():
            return False
        # What barriers of the run had dropped may go on: members of pairs, of which texts are read anyway.
        known = self._is_anew & ((self._old[DROPPED_AT].to_numpy() >= 0) | (self._before is None))
        if not self._kept.reads_texts and known.any():
            raise MissingError(
                f"{int(known.sum()):,} or more documents that the run dropped go on, and what comes next was not "
                "measured or signed of them; run its recipe again with measure_all = true and --keep-work"
            )
        sizes = self._old["_bytes"].to_numpy()
        return self._counts["rejected_shards"] > 0 or int(sizes[self._anew].sum()) * 2 > int(sizes.sum())

    def _look(self, first: int, rows: pa.RecordBatch) -> Fates:
        entry = pa.nulls(rows.num_rows, pa.string())
        if self._before is not None:
            documents = np.arange(first, first + rows.num_rows)
            by_rule = self._before.rows[drop.REASON].slice(first, rows.num_rows)
            entry = buffers.one_chunk(self._before.reasons(buffers.one_chunk(by_rule), documents))
        needs_signature = bool(self._lineup.sketches) and not self._counts["signs_all"]
        return replay(
            rows,
            entry,
            self._work.stages,
            self._lineup,
            self._work.folder,
            measure_all=self._measures_all,
            needs_signature=needs_signature,
        )

    def make(self) -> dict[str, Any]:
        """Write the files; the counts."""
        for piece in self._unit.pieces:
            piece.shard.check_unchanged()
        steps = self._scan_anew()
        self._restore()
        self._write_rows()
        self._write_changed()
        near = NearFilesOf(self._kept.folder, self._folder, self._folder / ANEW, self._is_anew, self._alive)
        near.write(self._work.barriers, self._lineup, was_alive=self._was_alive)
        save_array(self._folder / fetch.ANEW, self._is_anew)
        link(on_disk(self._kept.folder, "rejected.arrow"), self._folder / "rejected.arrow")
        for name in (ANEW, RESTORED):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        same = {name: self._counts[name] for name in (*scan.COUNTS, *scan.OF_PIECES, "rejected_by_reason")}
        signs_all = self._counts["signs_all"] and self._work.measure_all
        return same | {"steps": steps, "signs_all": signs_all, "anew": len(self._anew) + int(self._is_stale.sum())}

    @property
    def _was_alive(self) -> Bools:
        alive: Bools = self._old[DROPPED_AT].to_numpy() == self._lineup.steps
        return alive

    # Documents that are scanned from their texts

    def _scan_anew(self) -> list[dict[str, Any]]:
        """Scan them into a folder of their own; the counts of each step over all documents."""
        steps = self._seen()
        if len(self._anew):
            (self._folder / ANEW).mkdir()
            work = dataclasses.replace(self._work, keep=True)
            batches = self._read(self._anew, whole=bool(work.source.more))
            counts = scan.scan_some(self._folder / ANEW, work, batches, self._earlier)
            self._some = open_table(self._folder / ANEW, "rows.arrow")
            self._alive[self._anew] = self._some[DROPPED_AT].to_numpy() == len(work.stages)
            for step, more in zip(steps, counts, strict=True):
                step.update({name: step[name] + more[name] for name in ("rows", "bytes", "cpu_seconds")})
        return steps

    def _restore(self) -> None:
        stale = np.flatnonzero(self._is_stale)
        if len(stale):
            (self._folder / RESTORED).mkdir()
            earlier = None if self._before is None else self._before.changed
            batches = self._read(stale, whole=False)
            where, stages = self._folder / RESTORED, self._work.stages
            self._restored = restore(where, stages, self._work.folder, self._dropped_at, batches, earlier)

    def _read(self, wanted: Int64s, *, whole: bool) -> Iterator[tuple[pa.RecordBatch, Int64s]]:
        """Some documents as they lie in the input, with all columns that are read of it or texts and ids alone."""
        first = 0
        for piece, count in zip(self._unit.pieces, self._counts["piece_documents"], strict=True):
            low, high = np.searchsorted(wanted, [first, first + count])
            if low < high:
                some = wanted[low:high]
                yield from self._read_whole(piece, some, first) if whole else self._read_texts(piece, some)
            first += count

    def _read_texts(self, piece: Any, documents: Int64s) -> Iterator[tuple[pa.RecordBatch, Int64s]]:
        """Where nothing else is read of the input, other rows are passed over."""
        source = self._work.source
        rows = self._old[read.ROW].take(pa.array(documents))
        ids = self._old[read.ID].take(pa.array(documents)) if source.id is not None else None
        done = 0
        for texts in read.read_texts(piece, source, rows.to_numpy(), self._work.batch_bytes):
            here = slice(done, done + len(texts))
            columns = [buffers.one_chunk(rows[here]), buffers.large_strings(texts)]
            columns += [buffers.one_chunk(ids[here])] if ids is not None else []
            schema = dataclasses.replace(source, more={}).schema()
            yield pa.RecordBatch.from_arrays(columns, schema=schema), documents[here]
            done += len(texts)

    def _read_whole(self, piece: Any, documents: Int64s, first: int) -> Iterator[tuple[pa.RecordBatch, Int64s]]:
        for chunk in scan.read_piece(piece, self._work):
            low, high = np.searchsorted(documents, [first, first + chunk.batch.num_rows])
            if low < high:
                yield chunk.batch.take(pa.array(documents[low:high] - first)), documents[low:high]
            first += chunk.batch.num_rows

    def _seen(self) -> list[dict[str, Any]]:
        """What each step sees of the documents that are not scanned anew."""
        reached = self._dropped_at[~self._is_anew]
        before = self._old[DROPPED_AT].to_numpy()[~self._is_anew]
        sizes = self._old["_bytes"].to_numpy()[~self._is_anew]
        found = []
        for at, step in reversed(list(enumerate(self._work.stages))):
            was = self._lineup.places[at]
            if was is not None and changes_text(step):
                earlier = self._old[size_column(was)].to_numpy()[~self._is_anew]
                sizes = np.where(self._measures_all | (before >= was), earlier, sizes)
            seen = np.ones(len(reached), np.bool_) if self._measures_all else reached >= at
            found.append(
                {"step": step.number, "rows": int(seen.sum()), "bytes": int(sizes[seen].sum()), "cpu_seconds": 0.0}
            )
        return found[::-1]

    # Rows and texts

    def _write_rows(self) -> None:
        files = self._folder / "rows.arrow"
        exchanges = {n: scan.exact_writer(self._folder, n) for n in range(len(self._work.barriers))}
        with contextlib.ExitStack() as stack:
            writer = None
            for (first, old), fates in zip(_parts(self._old), self._fates, strict=True):
                rows = self._merged(first, self._as_now(first, old, fates))
                writer = writer or stack.enter_context(pa.ipc.new_file(str(files), rows.schema))
                writer.write_batch(rows)
                self._add_equal(exchanges, rows, first)
        for exchange in exchanges.values():
            exchange.close()

    def _as_now(self, first: int, old: pa.RecordBatch, fates: Fates) -> pa.RecordBatch:
        """The rows of documents as they are now, but for those that are scanned anew."""
        columns = {read.ROW: old[read.ROW]}
        columns |= {read.ID: old[read.ID]} if self._work.source.id is not None else {}
        for name in self._lineup.columns:
            if name in old.schema.names:
                columns[name] = _without(old[name], fates.unmade.get(name))
        columns[drop.REASON] = fates.reasons
        columns |= self._of_texts(first, old)
        for n, step in enumerate(self._work.barriers):
            columns[f"_order_{n}"] = self._order(n, step.settings["keep"], old)
            if n in self._lineup.exacts:
                was = scan.key_columns(self._lineup.exacts[n])
                columns |= dict(zip(scan.key_columns(n), (old[name] for name in was), strict=True))
        columns[DROPPED_AT] = pa.array(fates.dropped_at)
        for at, step in enumerate(self._work.stages):
            formerly = self._lineup.places[at]
            if formerly is not None and changes_text(step):
                columns[size_column(at)] = old[size_column(formerly)]
                columns[changed_column(at)] = old[changed_column(formerly)]
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))

    def _of_texts(self, first: int, old: pa.RecordBatch) -> dict[str, pa.Array]:
        """Keys of texts and their bytes."""
        low, high = np.searchsorted(self._restored.documents, [first, first + old.num_rows])
        if low == high:
            return {name: old[name] for name in (*KEYS, "_bytes")}
        places = self._restored.documents[low:high] - first
        new = (*self._restored.keys[low:high].T, self._restored.sizes[low:high])
        columns = {}
        for name, values in zip((*KEYS, "_bytes"), new, strict=True):
            columns[name] = old[name].to_numpy().copy()
            columns[name][places] = values
        return {name: pa.array(values) for name, values in columns.items()}

    def _order(self, n: int, keep: str, old: pa.RecordBatch) -> pa.Array:
        before = self._lineup.orders[n]
        if self._work.is_reference or keep in ("first", "last"):
            return pa.array(np.zeros(old.num_rows, np.uint64))
        if before is not None:
            return old[f"_order_{before}"]
        return pa.array(exact.order_keys(keep, pa.nulls(0, pa.large_string()), old))

    def _merged(self, first: int, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Rows with those that are scanned anew, or came in dropped, in their places."""
        until = first + rows.num_rows
        source = np.arange(rows.num_rows)
        parts = [pa.Table.from_batches([rows])]
        low, high = np.searchsorted(self._anew, [first, until])
        if low < high:
            parts.append(self._some.slice(low, high - low).select(rows.schema.names))
            source[self._anew[low:high] - first] = rows.num_rows + np.arange(high - low)
        gone = np.flatnonzero(self._enters_dropped[first:until])
        if len(gone):
            source[gone] = sum(part.num_rows for part in parts) + np.arange(len(gone))
            parts.append(self._came_dropped(rows.take(pa.array(gone)), gone + first))
        if len(parts) == 1:
            return rows
        table = pa.concat_tables(parts, promote_options="default").take(pa.array(source))
        arrays = [buffers.one_chunk(table[name]) for name in rows.schema.names]
        return pa.RecordBatch.from_arrays(arrays, schema=rows.schema)

    def _came_dropped(self, rows: pa.RecordBatch, documents: Int64s) -> pa.Table:
        """The rows that the pass before left of some documents, with what they came in with."""
        assert self._before is not None
        left = self._before.rows.take(pa.array(documents))
        columns = {name: rows[name] for name in rows.schema.names}
        for name in (*self._lineup.columns, *KEYS, "_bytes"):
            if name in columns:
                kind = columns[name].type
                columns[name] = left[name] if name in left.schema.names else pa.nulls(len(documents), kind)
        return pa.table(columns)

    def _add_equal(self, exchanges: dict[int, Any], rows: pa.RecordBatch, first: int) -> None:
        """What exact barriers compare of documents that stay."""
        alive = np.flatnonzero(self._alive[first : first + rows.num_rows])
        for n, exchange in exchanges.items():
            names = scan.key_columns(n) if n in self._lineup.exacts else KEYS
            high, low = (rows[name].to_numpy()[alive] for name in names)
            some = np.flatnonzero((high != 0) | (low != 0))
            ranks, ties = (rows[name].to_numpy()[alive][some] for name in (f"_order_{n}", KEYS[0]))
            exchange.add(first, high[some], low[some], ranks, ties, alive[some].astype(np.uint64))

    def _write_changed(self) -> None:
        """Changed texts, of each document from where it is told."""
        if not self._is_anew.any() and not self._is_stale.any() and not self._enters_dropped.any():
            link(on_disk(self._kept.folder, "changed.arrow"), self._folder / "changed.arrow")
            return
        old = Changes(self._kept.folder)
        some = Changes(self._folder / ANEW) if len(self._anew) else None
        restored = Changes(self._folder / RESTORED) if self._is_stale.any() else None
        with pa.ipc.new_file(str(self._folder / "changed.arrow"), scan.CHANGED) as writer:
            for first, rows in _parts(self._old):
                documents = np.arange(first, first + rows.num_rows)
                here = slice(first, first + rows.num_rows)
                gone = self._enters_dropped[here]
                found = [_changes_of(old, documents[~self._is_anew[here] & ~self._is_stale[here] & ~gone])]
                if restored is not None:
                    found.append(_changes_of(restored, documents[self._is_stale[here]]))
                if self._before is not None:
                    found.append(_changes_of(self._before.changed, documents[gone]))
                if some is not None:
                    low, high = np.searchsorted(self._anew, [first, first + rows.num_rows])
                    at, texts = some.at(np.arange(low, high))
                    found.append((self._anew[at + low], texts))
                numbers = np.concatenate([numbers for numbers, _ in found])
                order = np.argsort(numbers)
                texts = pa.concat_arrays([texts for _, texts in found]).take(pa.array(order))
                writer.write_batch(pa.RecordBatch.from_arrays([pa.array(numbers[order]), texts], schema=scan.CHANGED))


def _parts(table: pa.Table) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(first document, rows) of a table, so many at once."""
    for first in range(0, table.num_rows, ROWS):
        part = table.slice(first, ROWS)
        columns = [buffers.one_chunk(column) for column in part.columns]
        yield first, pa.RecordBatch.from_arrays(columns, names=part.schema.names)


def _without(column: pa.Array, hidden: Bools | None) -> pa.Array:
    """The column, null at some places."""
    if hidden is None or not hidden.any():
        return column
    return pc.if_else(pa.array(hidden), pa.scalar(None, column.type), column)


def _changes_of(changes: Changes, documents: Int64s) -> tuple[Int64s, Any]:
    at, texts = changes.at(documents)
    return documents[at], texts
