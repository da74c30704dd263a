"""The row-local steps of a scan, one batch at a time.

A row that a rule drops is set aside at once and laid back at the end: later steps cost only what is left, and columns
that they add are null for it. With `measure_all` every step sees every row.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers, drop
from dedup.errors import RunError
from dedup.io import read
from dedup.recipe import Step
from dedup.stages import find, with_copies


class Done(NamedTuple):
    """A batch after the steps.

    batch       every row in its place, without transient columns
    alive       the rows without a drop reason, with transient columns
    places      int64[alive]   their places in `batch`, ascending
    measured    with `measure_all` every row, with transient columns; else those that are alive
    dropped_at  int16[rows]   the place of the step that dropped the row; -1 dropped before, the number of steps: not
    sizes       of each step that may change texts, by its place: int64[rows], the bytes it saw of each row's text
    changed     of the same: bool[rows], whether it changed the text
    """

    batch: pa.RecordBatch
    alive: pa.RecordBatch
    places: buffers.Int64s
    measured: pa.RecordBatch
    dropped_at: npt.NDArray[np.int16]
    sizes: dict[int, buffers.Int64s]
    changed: dict[int, npt.NDArray[np.bool_]]


def differ(texts: Any, others: Any) -> npt.NDArray[np.bool_]:
    """Whether each text is another than the one beside it; null is like null alone."""
    apart = pc.fill_null(pc.not_equal(texts, others), True)
    apart = pc.and_(apart, pc.or_(texts.is_valid(), others.is_valid()))
    found: npt.NDArray[np.bool_] = apart.to_numpy(zero_copy_only=False)
    return found


def changes_text(step: Step) -> bool:
    """Whether a stage may change texts: one of the user's may do anything."""
    return step.use.startswith("clean.") or ":" in step.use


class Steps:
    """Applies steps to batches and counts what each of them sees and costs.

    counts   of each step, in their order: {"step": its number, "rows": seen, "bytes": of text of these,
             "cpu_seconds": of this process}
    """

    def __init__(self, steps: Sequence[Step], folder: str, measure_all: bool, *, keep_all: bool = False) -> None:
        """keep_all: what a step says of dropping is forgotten."""
        self._steps = [(with_copies(step, folder), find(step, folder)) for step in steps]
        self._measure_all, self._keep_all = measure_all or keep_all, keep_all
        self.counts: list[dict[str, Any]] = [
            {"step": step.number, "rows": 0, "bytes": 0, "cpu_seconds": 0.0} for step in steps
        ]

    def apply(self, batch: pa.RecordBatch) -> Done:
        """The batch after all steps; it has a drop reason already."""
        aside = _Aside(batch)
        dropped_at = np.full(batch.num_rows, len(self._steps), np.int16)
        sizes: dict[int, buffers.Int64s] = {}
        changed: dict[int, npt.NDArray[np.bool_]] = {}
        batch = self._after(-1, batch, aside, dropped_at)
        for at, ((step, function), counts) in enumerate(zip(self._steps, self.counts, strict=True)):
            begun = time.process_time()
            lengths = pc.binary_length(batch[read.TEXT])
            counts["rows"] += batch.num_rows
            counts["bytes"] += pc.sum(lengths).as_py() or 0
            if changes_text(step):
                sizes[at] = np.zeros(len(dropped_at), np.int64)
                sizes[at][aside.places] = pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False)
            after, is_same = _run(step, function, batch)
            if changes_text(step):
                changed[at] = np.zeros(len(dropped_at), np.bool_)
                if not is_same:
                    changed[at][aside.places] = differ(after[read.TEXT], batch[read.TEXT])
            batch = self._after(at, after, aside, dropped_at)
            counts["cpu_seconds"] += time.process_time() - begun
        if self._keep_all:
            batch = drop.set_column(batch, drop.REASON, pa.nulls(batch.num_rows, pa.string()))
            dropped_at[:] = len(self._steps)
        batch, alive, places, measured = aside.lay_back(batch)
        return Done(batch, alive, places, measured, dropped_at, sizes, changed)

    def _after(self, at: int, batch: pa.RecordBatch, aside: _Aside, dropped_at: npt.NDArray[np.int16]) -> Any:
        """What goes on after the step at a place, with what that dropped noted."""
        if batch[drop.REASON].null_count < batch.num_rows:
            gone = aside.places[batch[drop.REASON].is_valid().to_numpy(zero_copy_only=False)]
            dropped_at[gone] = np.minimum(dropped_at[gone], at)
        return batch if self._measure_all else aside.take_dropped(batch)


def _run(step: Step, function: Any, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, bool]:
    """(what the step gives, whether no text is another)."""
    after = function(batch, **step.settings)
    if not isinstance(after, pa.RecordBatch) or after.num_rows != batch.num_rows:
        raise RunError(
            f"{step.label} returned {getattr(after, 'num_rows', after)!r} rows for {batch.num_rows}; "
            "a stage returns the rows it was given"
        )
    # Words that were cut from another text are of no use.
    is_same = after[read.TEXT].equals(batch[read.TEXT])
    return (after if is_same else buffers.without_transient(after)), is_same


class _Aside:
    """Rows that were dropped, until the others have seen every step.

    places   int64   where those that go on were in the batch
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.places = np.arange(batch.num_rows)
        self._parts: list[tuple[buffers.Int64s, pa.RecordBatch]] = []

    def take_dropped(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without the rows that have a drop reason."""
        if batch[drop.REASON].null_count == batch.num_rows:
            return batch
        gone = batch[drop.REASON].is_valid().to_numpy(zero_copy_only=False)
        self._parts.append((self.places[gone], buffers.filter_rows(buffers.without_transient(batch), gone)))
        self.places = self.places[~gone]
        return buffers.filter_rows(batch, ~gone)

    def lay_back(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch, buffers.Int64s, pa.RecordBatch]:
        """batch, alive, places and measured of Done; `batch` is what is left."""
        whole = buffers.without_transient(batch)
        if not self._parts:
            is_alive = batch[drop.REASON].is_null().to_numpy(zero_copy_only=False)
            alive = batch if is_alive.all() else buffers.filter_rows(batch, is_alive)
            return whole, alive, np.flatnonzero(is_alive), batch
        names = whole.schema.names
        parts = [pa.Table.from_batches([part.select([n for n in names if n in part.schema.names])])
                 for _, part in self._parts]  # fmt: skip
        order = np.empty(sum(len(places) for places, _ in self._parts) + batch.num_rows, np.int64)
        order[np.concatenate([self.places, *(places for places, _ in self._parts)])] = np.arange(len(order))
        rows = pa.concat_tables([pa.Table.from_batches([whole]), *parts], promote_options="default")
        columns = [buffers.one_chunk(column).take(pa.array(order)) for column in rows.columns]
        every = pa.RecordBatch.from_arrays(columns, schema=rows.schema)
        return every, batch, self.places, batch
