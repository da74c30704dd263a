"""What another bound of a rule would keep, told by report/documents.parquet: for rules that no barrier follows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedup import drop
from dedup.buffers import Int64s
from dedup.io import parquet, place, read
from dedup.recipe import Recipe, Step
from dedup.runner.lineup import MissingError, columns_read, is_rule
from dedup.stages import find, with_copies

Bools = npt.NDArray[np.bool_]


def kept(output: str, before: Recipe, now: Recipe, number: int) -> tuple[Bools, Int64s]:
    """(whether each document stays, doc_ids) where only a rule of one step has changed, and no barrier follows it.

    MissingError where documents go on of which nothing was measured after the rule.
    """
    old_names, names = (set(drop.reasons(s.use, s.settings)) for s in (before.step[number], now.step[number]))
    others = {n for s in before.step if s.number != number for n in drop.reasons(s.use, s.settings)}
    if (old_names - names) & others:
        raise MissingError(f"another step drops documents for {min((old_names - names) & others)!r} too")
    _check_columns(now, number)
    stays, doc_ids = [np.zeros(0, np.bool_)], [np.zeros(0, np.int64)]
    path = place.at(output) / "report" / "documents.parquet"
    with pq.ParquetFile(place.parquet_source(path)) as file:
        for batch in parquet.batches(file, 1 << 16):
            stays.append(_stay(batch, old_names - names, now, number))
            doc_ids.append(batch["doc_id"].to_numpy())
    return np.concatenate(stays), np.concatenate(doc_ids)


def _stay(batch: pa.RecordBatch, released: set[str], now: Recipe, number: int) -> Bools:
    """released: the reasons that the changed rule does not give any more."""
    reasons = batch[drop.REASON]
    is_in = pc.is_in(reasons, value_set=pa.array(sorted(released), pa.string()))
    again = is_in.to_numpy(zero_copy_only=False)
    goes_on = reasons.is_null().to_numpy(zero_copy_only=False) | again
    goes_on[goes_on] = ~_fires(batch.filter(pa.array(goes_on)), now.step[number], now)
    for step in now.step[number + 1 :]:  # what the run kept has been through these
        again = again & goes_on
        if not again.any():
            break
        if not is_rule(step):
            if not now.measure_all:
                raise MissingError(f"documents that the run dropped go on, and {step.label} has not measured them")
            continue
        goes_on[again] = ~_fires(batch.filter(pa.array(again)), step, now)
    stays: Bools = goes_on
    return stays


def _fires(batch: pa.RecordBatch, step: Step, recipe: Recipe) -> Bools:
    """Whether a rule drops each row."""
    batch = drop.set_column(batch, drop.REASON, pa.nulls(batch.num_rows, pa.string()))
    needed = columns_read(step)
    absent = [name for name in sorted(needed or {read.TEXT}) if name not in batch.schema.names]
    if needed is None or absent or step.use != "drop.when":
        raise MissingError(
            f"{step.label} looks at {(absent or [step.use])[0]!r}, which documents.parquet does not have"
        )
    after = find(step, recipe.folder)(batch, **with_copies(step, recipe.folder).settings)
    fires: Bools = after[drop.REASON].is_valid().to_numpy(zero_copy_only=False)
    return fires


def _check_columns(recipe: Recipe, number: int) -> None:
    """MissingError where a rule from a step on looks at a column that a later stage makes anew."""
    later: dict[str, str] = {}
    for step in reversed(recipe.step[number:]):
        if not is_rule(step):
            later |= dict.fromkeys(_writes(step, recipe), step.label)
        for name in (columns_read(step) or set()) & set(later):
            raise MissingError(f"{later[name]} makes {name!r} anew, and {step.label} looked at what it was before")


def _writes(step: Step, recipe: Recipe) -> set[str]:
    if ":" in step.use:
        raise MissingError(f"{step.label} may change what rules before it have looked at")
    nothing = pa.record_batch({read.TEXT: pa.array([], pa.large_string()), drop.REASON: pa.array([], pa.string())})
    try:
        after = find(step, recipe.folder)(nothing, **with_copies(step, recipe.folder).settings)
    except KeyError:
        raise MissingError(f"{step.label} may change what rules before it have looked at") from None
    return set(after.schema.names) - set(nothing.schema.names)
