"""The only module that decides what goes: columns of numbers and labels become `drop_reason`.

Measures are made elsewhere and kept for ever; a rule is a column and its bounds. So a threshold changes
without measuring again, and every dropped document can say which rule dropped it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers
from dedup.errors import RecipeError, nearest

REASON = "drop_reason"
SAMPLE = "sample"  # the reason that drop.sample gives
BOUNDS = ("below", "above", "equals", "in", "not_in")
LANGUAGE, ID, TEXT = "language", "id", "text"


def when(
    batch: pa.RecordBatch, *, per_language: dict[str, dict[str, Any]] | None = None, **rules: dict[str, Any]
) -> pa.RecordBatch:
    """Mark rows that break a rule: `word_count={"below": 50}` drops what has fewer than 50 words.

    Each rule is a column with bounds, taken in the order written: below and above (numbers, both
    exclusive of the bound itself), equals, in and not_in (a list). The first that fires names the reason
    ("word_count < 50"); a row marked before keeps its reason; a null never drops.

    per_language   rules that hold for one value of the column `language`, a table for each:
                   `{"zh": {"word_count": {"below": 20}, "mean_word_length": {}}}`. What a language says of a
                   column takes the place of the general bounds of that column, all of them (an empty table:
                   none); its other columns, other languages and rows without one keep the general rules. The
                   reason names the language: "word_count < 20 (zh)". Columns that only languages name come last.
    """
    general, languages = dict(rules), _tables(per_language)
    for table in (general, *languages.values()):
        for column, bounds in table.items():
            _check(batch, column, bounds, may_be_empty=table is not general)
    groups = _groups(batch, list(languages)) if languages else None
    reason = _reasons(batch)
    for rule in _resolved(general, languages):
        values = batch[rule.column]
        fires = _fires(values, rule, groups)
        fresh = pc.and_(pc.is_null(reason), pc.fill_null(fires, False))
        reason = pc.if_else(fresh, _by_group(rule.names, pa.string(), groups), reason)
    return set_column(batch, REASON, reason)


def sample(batch: pa.RecordBatch, *, share: float, seed: int = 1) -> pa.RecordBatch:
    """Keep a random share of the rows: the others are marked "sample".

    share   of the documents that is kept, in [0, 1]
    seed    another one keeps other documents, 0 to 2**64 - 1

    A document is chosen by a hash (xxh3, 64 bits) of the column `id`, or of its text where there is no such
    column or its value is null: the same document is always chosen, wherever it lies, and equal ids or texts
    go or stay together. A smaller share keeps some of those that a larger one keeps. Rows marked before keep
    their reason; a row without id and text stays.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise RecipeError(f"share is {share!r}; the share of documents that is kept lies in [0, 1]")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 64:
        raise RecipeError(f"seed is {seed!r}; it is a whole number from 0 to 2**64 - 1")
    keys = _sample_keys(batch)
    reason = _reasons(batch)
    if batch.num_rows:
        gone = pa.array(_hashes(keys, seed) >= round(share * (1 << 53)))
        gone = pc.and_(gone, pc.is_valid(keys))
        reason = pc.if_else(pc.and_(pc.is_null(reason), gone), pa.scalar(SAMPLE, pa.string()), reason)
    return set_column(batch, REASON, reason)


def reasons(use: str, settings: Mapping[str, Any]) -> list[str]:
    """Every drop reason that a step can give, in the order in which its rules are looked at."""
    if use == "drop.sample":
        return [SAMPLE]
    if use != "drop.when":
        return []
    general = dict(settings)
    languages = _tables(general.pop("per_language", None))
    names = (name for rule in _resolved(general, languages) for name in rule.names if name is not None)
    return list(dict.fromkeys(names))


class Bound(NamedTuple):
    """One bound of a drop.when step, for one language or (None) for all that have none of their own."""

    reason: str
    column: str
    bound: str
    value: Any
    language: str | None


def bounds(settings: Mapping[str, Any]) -> list[Bound]:
    """The bounds that the settings of a drop.when step hold, in the order in which they are looked at."""
    general = dict(settings)
    languages = _tables(general.pop("per_language", None))
    found: dict[str, Bound] = {}
    for rule in _resolved(general, languages):
        for value, reason in zip(rule.values, rule.names, strict=True):
            own = next((one for one in languages if reason == rule_name(rule.column, rule.bound, value, one)), None)
            if reason is not None:
                found.setdefault(reason, Bound(reason, rule.column, rule.bound, value, own))
    return list(found.values())


def breaches(batch: pa.RecordBatch, settings: Mapping[str, Any]) -> dict[str, pa.Array]:
    """Of every reason that a drop.when step can give: whether each row breaks that bound, alone or with others."""
    general = dict(settings)
    languages = _tables(general.pop("per_language", None))
    groups = _groups(batch, list(languages)) if languages else None
    found: dict[str, pa.Array] = {}
    for rule in _resolved(general, languages):
        fires = pc.fill_null(_fires(batch[rule.column], rule, groups), False)
        names = _by_group(rule.names, pa.string(), groups)
        for name in dict.fromkeys(name for name in rule.names if name is not None):
            broken = fires if groups is None else pc.and_(fires, pc.fill_null(pc.equal(names, name), False))
            found[name] = pc.or_(found[name], broken) if name in found else broken
    return found


def rule_name(column: str, bound: str, value: Any, language: str | None = None) -> str:
    """The drop reason of one bound, as tables show it."""
    signs = {"below": "<", "above": ">", "equals": "=", "in": "in", "not_in": "not in"}
    return f"{column} {signs[bound]} {value}" + (f" ({language})" if language is not None else "")


def set_column(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    """The batch with a column replaced in its place, or added at the end."""
    return buffers.with_columns(batch, {pa.field(name, values.type): values})


class _Rule(NamedTuple):
    """One bound of one column: its value and reason for each language in order, then for all others; None: none."""

    column: str
    bound: str
    values: list[Any]
    names: list[str | None]


def _tables(per_language: Any) -> dict[str, dict[str, Any]]:
    if per_language is None:
        return {}
    if not isinstance(per_language, Mapping):
        raise RecipeError(f"per_language is {per_language!r}; it is a table such as {{ zh = {{ ... }} }}")
    for language, table in per_language.items():
        if not isinstance(table, Mapping):
            example = "{ word_count = { below = 20 } }"
            raise RecipeError(f"per_language.{language} is {table!r}; it is a table of rules such as {example}")
    return dict(per_language)


def _resolved(general: Mapping[str, Any], languages: Mapping[str, Mapping[str, Any]]) -> list[_Rule]:
    tables = [general, *languages.values()]
    columns = dict.fromkeys(column for table in tables for column in table)
    places = dict.fromkeys((c, bound) for c in columns for table in tables for bound in table.get(c, {}))
    rules = []
    for column, bound in places:
        values, names = [], []
        for language, table in [*languages.items(), (None, general)]:
            own = language if column in table else None
            value = table.get(column, general.get(column, {})).get(bound)
            values.append(value)
            names.append(None if value is None else rule_name(column, bound, value, own))
        rules.append(_Rule(column, bound, values, names))
    return rules


def _groups(batch: pa.RecordBatch, languages: Sequence[str]) -> pa.Array:
    """int32[n]: the place of each row's language among those that have rules of their own, their number for others."""
    if LANGUAGE not in batch.schema.names:
        raise RecipeError(f"there is no column {LANGUAGE!r}; per_language needs it, measure.language.identify adds it")
    labels = batch[LANGUAGE]
    try:
        labels = labels.cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise RecipeError(f"{LANGUAGE} is of type {labels.type}; per_language needs a column of text") from None
    found = pc.index_in(labels, value_set=pa.array(languages, pa.large_string()), skip_nulls=True)
    return pc.fill_null(found, len(languages))


def _by_group(values: Sequence[Any], kind: pa.DataType | None, groups: pa.Array | None) -> Any:
    """The value of each row's group; one value for all where there are no groups."""
    if groups is None:
        return pa.scalar(values[0], kind)
    if kind is None and any(isinstance(value, float) for value in values):
        kind = pa.float64()
    return pa.array(values, kind).take(groups)


def _reasons(batch: pa.RecordBatch) -> pa.Array:
    if REASON in batch.schema.names:
        return batch[REASON]
    return pa.nulls(batch.num_rows, pa.string())


def _check(batch: pa.RecordBatch, column: str, bounds: Any, *, may_be_empty: bool) -> None:
    if column not in batch.schema.names:
        raise RecipeError(f"there is no column {column!r}; {nearest(column, batch.schema.names)}")
    if not isinstance(bounds, dict) or not (bounds or may_be_empty):
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


def _fires(values: pa.Array, rule: _Rule, groups: pa.Array | None) -> pa.Array:
    """Whether the rule drops each row; null where nothing is known of it."""
    if rule.bound == "below":
        return pc.less(values, _by_group(rule.values, None, groups))
    if rule.bound == "above":
        return pc.greater(values, _by_group(rule.values, None, groups))
    if groups is None:
        return _chosen(values, rule, rule.values[0])
    fires = pa.nulls(len(values), pa.bool_())
    for group, value in enumerate(rule.values):
        if value is not None:
            fires = pc.if_else(pc.equal(groups, group), _chosen(values, rule, value), fires)
    return fires


def _chosen(values: pa.Array, rule: _Rule, value: Any) -> pa.Array:
    try:
        choices = pa.array([value] if rule.bound == "equals" else value, values.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        raise RecipeError(f"{rule.column}.{rule.bound} is {value!r}; the column is of type {values.type}") from None
    inside = pc.is_in(values, value_set=choices, skip_nulls=True)
    if rule.bound == "not_in":
        inside = pc.invert(inside)
    return pc.if_else(pc.is_null(values), pa.scalar(None, pa.bool_()), inside)


def _sample_keys(batch: pa.RecordBatch) -> pa.Array:
    """What each document is chosen by: its id as text, else its text."""
    texts = buffers.large_strings(batch[TEXT])
    if ID not in batch.schema.names:
        return texts
    try:
        ids = buffers.one_chunk(batch[ID].cast(pa.large_string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise RecipeError(f"{ID} is of type {batch[ID].type}; ids are text or numbers") from None
    return pc.coalesce(ids, texts) if ids.null_count else ids


def _hashes(keys: pa.Array, seed: int) -> Any:
    """int64[n]: 53 bits of a hash of each text: as many as a share has."""
    import xxhash

    view = buffers.texts(keys)
    data = memoryview(view.data)  # type: ignore[arg-type]  # a NumPy array is a buffer
    digest = xxhash.xxh3_64_intdigest
    pairs = itertools.pairwise(view.offsets.tolist())
    return np.fromiter((digest(data[a:b], seed) >> 11 for a, b in pairs), np.int64, len(keys))
