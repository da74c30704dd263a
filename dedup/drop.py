"""The only module that decides what goes: columns of numbers and labels become `drop_reason`.

Measures are made elsewhere and kept for ever; a rule is a column and its bounds. So a threshold changes
without measuring again, and every dropped document can say which rule dropped it.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dedup.errors import RecipeError, nearest

REASON = "drop_reason"
BOUNDS = ("below", "above", "equals", "in", "not_in")


def when(batch: pa.RecordBatch, **rules: dict[str, Any]) -> pa.RecordBatch:
    """Mark rows that break a rule: `word_count={"below": 50}` drops what has fewer than 50 words.

    Each rule is a column with bounds, taken in the order written: below and above (numbers, both
    exclusive of the bound itself), equals, in and not_in (a list). The first that fires names the reason
    ("word_count < 50"); a row marked before keeps its reason; a null never drops.
    """
    reason = _reasons(batch)
    for column, bounds in rules.items():
        for bound, value in _checked(batch, column, bounds).items():
            fires = pc.fill_null(_fires(batch[column], column, bound, value), False)
            fresh = pc.and_(pc.is_null(reason), fires)
            reason = pc.if_else(fresh, pa.scalar(rule_name(column, bound, value), pa.string()), reason)
    return set_column(batch, REASON, reason)


def rule_name(column: str, bound: str, value: Any) -> str:
    """The drop reason of one bound, as tables show it."""
    signs = {"below": "<", "above": ">", "equals": "=", "in": "in", "not_in": "not in"}
    return f"{column} {signs[bound]} {value}"


def _reasons(batch: pa.RecordBatch) -> pa.Array:
    if REASON in batch.schema.names:
        return batch[REASON]
    return pa.nulls(batch.num_rows, pa.string())


def set_column(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    """The batch with a column replaced in its place, or added at the end."""
    at = batch.schema.get_field_index(name)
    if at < 0:
        return batch.append_column(name, values)
    return batch.set_column(at, name, values)


def _checked(batch: pa.RecordBatch, column: str, bounds: Any) -> dict[str, Any]:
    if column not in batch.schema.names:
        raise RecipeError(f"there is no column {column!r}; {nearest(column, batch.schema.names)}")
    if not isinstance(bounds, dict) or not bounds:
        raise RecipeError(f"{column} is {bounds!r}; a rule is a table such as {{ below = 50 }}")
    kind = batch.schema.field(column).type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    for bound, value in bounds.items():
        if bound not in BOUNDS:
            raise RecipeError(f"{column} has no bound {bound!r}; {nearest(bound, BOUNDS)}")
        if bound in ("below", "above") and not numeric:
            raise RecipeError(f"{column} is of type {kind}; {bound} needs a column of numbers")
        if bound in ("below", "above") and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise RecipeError(f"{column}.{bound} is {value!r}; it is a number")
        if bound in ("in", "not_in") and not isinstance(value, list):
            raise RecipeError(f"{column}.{bound} is {value!r}; it is a list")
    return bounds


def _fires(values: pa.Array, column: str, bound: str, value: Any) -> pa.Array:
    if bound == "below":
        return pc.less(values, pa.scalar(value))
    if bound == "above":
        return pc.greater(values, pa.scalar(value))
    try:
        choices = pa.array([value] if bound == "equals" else value, values.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        raise RecipeError(f"{column}.{bound} is {value!r}; the column is of type {values.type}") from None
    inside = pc.is_in(values, value_set=choices, skip_nulls=True)
    if bound == "not_in":
        inside = pc.invert(inside)
    return pc.if_else(pc.is_null(values), pa.scalar(None, pa.bool_()), inside)
