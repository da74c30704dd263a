"""Which way each document of a unit goes through the stages of now, told by the way it went before.

A document is *anew* where that does not tell: it reaches a stage that it did not reach before, it is dropped before a
stage that has changed its text, or it is to be compared and has no signature. Such documents are scanned from their
texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import buffers, drop
from dedup.io import read
from dedup.recipe import Step
from dedup.runner.lineup import Lineup, is_rule
from dedup.runner.scan import DROPPED_AT, changed_column
from dedup.runner.steps import changes_text
from dedup.stages import find, with_copies

Bools = npt.NDArray[np.bool_]


class Fates(NamedTuple):
    """What becomes of some documents.

    dropped_at   int16[n]   the place of the stage that drops each; -1 dropped before, the number of stages: none
    reasons      string[n]  drop reasons
    anew         bool[n]    what is kept does not tell, and the two above mean nothing
    stale        bool[n]    dropped, and before a stage that has changed the text; also anew where texts are wanted
    unmade       of some columns, where they have not been made yet when the document is dropped
    """

    dropped_at: npt.NDArray[np.int16]
    reasons: Any
    anew: Bools
    stale: Bools
    unmade: dict[str, Bools]


def replay(
    rows: pa.RecordBatch,
    entry: Any,
    stages: Sequence[Step],
    lineup: Lineup,
    folder: str,
    *,
    measure_all: bool,
    needs_signature: bool,
) -> Fates:
    """The fates of documents.

    rows              of rows.arrow, as they were kept
    entry             drop reasons that they enter with
    needs_signature   those that stay are compared, and those that were dropped before have no signature
    """
    before = rows[DROPPED_AT].to_numpy()
    way = _Way(rows, before, entry, len(stages))
    if not measure_all:
        way.anew |= way.open & (before < 0)
    for at, (step, place) in enumerate(zip(stages, lineup.places, strict=True)):
        fell = way.open & (before == place) if place is not None else np.zeros(len(before), np.bool_)
        unknown = way.open & (before < place) if place is not None else way.open
        way.drop(at, fell, rows[drop.REASON])
        if is_rule(step):
            if unknown.any():
                way.judge(at, step, unknown, folder, is_evaluable=lineup.evaluable[at])
        elif not measure_all or ":" in step.use:  # a rule of the user's may be in it
            way.anew |= unknown
    if needs_signature:
        way.anew |= way.open & (before < lineup.steps)
    stale, unmade = (np.zeros(len(before), np.bool_), {}) if measure_all else _beyond(way, before, stages, lineup)
    return Fates(way.dropped_at, way.reasons, way.anew, stale, unmade)


class _Way:
    """Documents on their way."""

    def __init__(self, rows: pa.RecordBatch, before: npt.NDArray[np.int16], entry: Any, stages: int) -> None:
        self.rows, self._stages = rows, stages
        is_in = entry.is_null().to_numpy(zero_copy_only=False)
        self.dropped_at = np.where(is_in, stages, -1).astype(np.int16)
        self.reasons = entry
        self.anew = np.zeros(len(before), np.bool_)

    @property
    def open(self) -> Bools:
        """Whose fate is not told yet."""
        is_open: Bools = (self.dropped_at == self._stages) & ~self.anew
        return is_open

    def drop(self, at: int, fell: Bools, reasons: Any) -> None:
        """Drop some at a stage."""
        if fell.any():
            self.dropped_at[fell] = at
            self.reasons = buffers.with_replaced(self.reasons, np.flatnonzero(fell), reasons.filter(pa.array(fell)))

    def judge(self, at: int, step: Step, some: Bools, folder: str, *, is_evaluable: bool) -> None:
        """Have a rule look at the columns of some; they have been through every stage before it."""
        if not is_evaluable:
            self.anew |= some
            return
        if step.use == "drop.sample":  # documents without an id are chosen by their texts
            without = some & self.rows[read.ID].is_null().to_numpy(zero_copy_only=False)
            self.anew |= without
            some = some & ~without
        names = [name for name in self.rows.schema.names if name[:1] != "_"]
        batch = self.rows.select(names).filter(pa.array(some))
        batch = drop.set_column(batch, drop.REASON, pa.nulls(batch.num_rows, pa.string()))
        batch = drop.set_column(batch, read.TEXT, pa.nulls(batch.num_rows, pa.large_string()))
        after = find(step, folder)(batch, **with_copies(step, folder).settings)[drop.REASON]
        fell = np.zeros(len(some), np.bool_)
        fell[np.flatnonzero(some)] = after.is_valid().to_numpy(zero_copy_only=False)
        spread = buffers.with_replaced(pa.nulls(len(some), pa.string()), np.flatnonzero(some), after)
        self.drop(at, fell, spread)


def _beyond(
    way: _Way, before: npt.NDArray[np.int16], stages: Sequence[Step], lineup: Lineup
) -> tuple[Bools, dict[str, Bools]]:
    """Of documents that fall earlier than before: whose text is changed since, and the columns made since."""
    stale = np.zeros(len(before), np.bool_)
    unmade: dict[str, Bools] = {}
    for at, (step, place) in enumerate(zip(stages, lineup.places, strict=True)):
        if is_rule(step) or place is None:
            continue
        ran_since = (way.dropped_at >= 0) & (way.dropped_at < at) & (before >= place)
        alone = all(not names & lineup.writes[place] for n, names in enumerate(lineup.writes) if n != place)
        if not alone:
            stale |= ran_since
        elif changes_text(step):
            stale |= ran_since & way.rows[changed_column(place)].to_numpy(zero_copy_only=False)
        for name in lineup.writes[place]:
            unmade[name] = unmade.get(name, np.zeros(len(before), np.bool_)) | ran_since
    return stale, unmade
