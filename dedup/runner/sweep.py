"""What would stay at other values of a bound or threshold, told by what a run has kept.

Each value is decided as a run would decide it, over the measures and signatures under work/, with publishing left out.
A rule that no barrier follows is told by report/documents.parquet alone, which every run writes.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import drop, memory
from dedup import recipe as recipes
from dedup.buffers import Int64s
from dedup.errors import RecipeError, UserError, nearest
from dedup.io import place
from dedup.plan import make_plan
from dedup.recipe import Recipe, Step
from dedup.runner import budget, claim, measured
from dedup.runner.driver import Attempt, Decided
from dedup.runner.lineup import MissingError
from dedup.runner.result import Result
from dedup.runner.reuse import KEPT, Reuse
from dedup.runner.scanned import rows_table
from dedup.runner.whatif import Left, left_by

Bools = npt.NDArray[np.bool_]
EXAMPLES = 3  # documents between two values
SCHEMA = pa.schema(
    [
        ("rule", pa.string()),
        ("threshold", pa.float64()),
        ("value", pa.float64()),
        ("documents_kept", pa.int64()),
        ("documents_dropped", pa.int64()),
    ]
)


class Point(NamedTuple):
    """One value.

    rule       such as "word_count.below"; None for the threshold of a near step
    examples   doc_ids of documents that are kept at this value or the one before, and not at the other
    is_run     whether it is the value of the run
    """

    rule: str | None
    value: float
    documents_kept: int
    documents_dropped: int
    examples: tuple[int, ...] = ()
    is_run: bool = False

    def line(self) -> dict[str, Any]:
        """As JSON tells it."""
        name = {"threshold": self.value} if self.rule is None else {"rule": self.rule}
        counts = {"documents_kept": self.documents_kept, "documents_dropped": self.documents_dropped}
        return {**name, "value": self.value, **counts}


def sweep(
    output: str | os.PathLike[str],
    *,
    rule: Mapping[str, Sequence[float]] | None = None,
    threshold: Sequence[float] | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
) -> pa.Table:
    """How many documents a run would have kept with other values, exactly and without running again.

    output      of a run; made with keep_work, unless only rules are asked for that no barrier follows
    rule        by column and bound the values to try: {"word_count.below": [20, 50]}; step.N.COLUMN.BOUND for one step
    threshold   values of the near step's threshold to try
    workers     processes, as for a run;  memory  bytes, or text such as "8G"

    Columns: rule or threshold, value, documents_kept, documents_dropped. Values that drop less than the run did can
    need measure_all in its recipe.
    """
    how = {"workers": workers, "memory": memory}
    found = points(output, rule=rule, threshold=threshold, how={k: v for k, v in how.items() if v is not None})
    return pa.Table.from_pylist([point.line() for point in found], schema=SCHEMA)


def points(
    output: str | os.PathLike[str],
    *,
    rule: Mapping[str, Sequence[float]] | None = None,
    threshold: Sequence[float] | None = None,
    how: Mapping[str, Any] | None = None,
    quiet: bool = True,
) -> Iterator[Point]:
    """Every value of every rule, in order, and then every threshold.

    how   settings of the recipe that say how it is carried out
    """
    output = os.fspath(output)
    Result(output)
    recipe = recipes.load(str(place.at(output) / "recipe.toml"))
    asked: list[tuple[str | None, Where, Sequence[float]]] = []
    asked += [(name, _find(recipe, name), values) for name, values in (rule or {}).items()]
    asked += [(None, _threshold(recipe), threshold)] if threshold else []
    if not asked:
        raise UserError("nothing to try; give --rule COLUMN.BOUND=20,50 or --threshold 0.7,0.9")
    plans = [(name, where, [(v, _changed(recipe, where, v)) for v in values]) for name, where, values in asked]
    is_kept = (place.work_folder(output, recipe.work) / KEPT).exists()
    for name, where, changed in plans:
        if not is_kept and not _barrier_follows(recipe, where.step):
            yield from _by_table(output, recipe, where, name, changed)
        else:
            yield from _by_work(output, where, name, changed, dict(how or {}), quiet)


class Where(NamedTuple):
    """A setting: of a step, the keys that lead to it, and what the run had."""

    step: Step
    keys: tuple[str, ...]
    value: Any


def _find(recipe: Recipe, name: str) -> Where:
    """The bound that COLUMN.BOUND or step.N.COLUMN.BOUND names."""
    bounds = {
        f"step.{step.number}.{column}.{bound}": Where(step, (column, bound), value)
        for step in recipe.step
        if step.use == "drop.when"
        for column, rule in step.settings.items()
        if column != "per_language"
        for bound, value in rule.items()
        if bound in ("below", "above", "equals")
    }
    bounds |= {
        f"step.{step.number}.threshold": Where(step, ("threshold",), step.settings["threshold"])
        for step in recipe.step
        if step.kind == "near"
    }
    short: dict[str, list[str]] = {}
    for full in bounds:
        short.setdefault(full.split(".", 2)[2], []).append(full)
    if name in bounds:
        return bounds[name]
    if name not in short:
        raise UserError(f"the recipe has no rule {name!r} over numbers; {nearest(name, [*short, *bounds])}")
    if len(short[name]) > 1:
        raise UserError(f"several steps have {name!r}; write {' or '.join(short[name])}")
    return bounds[short[name][0]]


def _threshold(recipe: Recipe) -> Where:
    steps = [step for step in recipe.step if step.kind == "near"]
    if not steps:
        raise UserError("the recipe has no near step, whose threshold could be another")
    if len(steps) > 1:
        choices = " or ".join(f"--rule step.{step.number}.threshold=..." for step in steps)
        raise UserError(f"several steps have a threshold; write {choices}")
    return Where(steps[0], ("threshold",), steps[0].settings["threshold"])


def _changed(recipe: Recipe, where: Where, value: float) -> Recipe:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RecipeError(f"{'.'.join(where.keys)} is {value!r}; a sweep is over numbers")
    data = recipe.as_dict()
    table = data["step"][where.step.number]
    *outer, last = where.keys
    for key in outer:
        table[key] = dict(table[key])
        table = table[key]
    table[last] = value
    return dataclasses.replace(recipes.parse(data, recipe.folder), input=recipe.input)


def _barrier_follows(recipe: Recipe, step: Step) -> bool:
    return any(other.kind != "stage" for other in recipe.step[step.number :])


# By what lies under work/


def _by_work(
    output: str,
    where: Where,
    name: str | None,
    changed: Sequence[tuple[float, Recipe]],
    how: dict[str, Any],
    quiet: bool,
) -> Iterator[Point]:
    left = left_by(output)
    before: Bools | None = None
    with claim.locked(left.output, left.work) as (lock, check_lock):
        for value, recipe in changed:
            folder = left.work / f"sweep-{os.getpid()}"
            try:
                attempt = _attempt(left, recipe, folder, how, quiet, lock, check_lock)
                kept, examples = attempt.decide(functools.partial(_look, before=before))
            except MissingError as error:
                raise UserError(f"{name or 'threshold'} = {value}: {error}") from None
            finally:
                place.remove_folder(folder)
            yield _point(where, name, value, kept, examples)
            before = kept


def _point(where: Where, name: str | None, value: float, kept: Bools, examples: Iterable[int]) -> Point:
    count = int(kept.sum())
    return Point(name, value, count, len(kept) - count, tuple(examples), value == where.value)


def _look(decided: Decided, before: Bools | None) -> tuple[Bools, list[int]]:
    """(whether each document stays, the doc_ids of some of which that is not as before)."""
    kept = _kept(decided)
    return kept, _doc_ids(decided, _between(kept, before))


def _between(kept: Bools, before: Bools | None) -> Int64s:
    """Some documents that are kept at one of two values."""
    return np.zeros(0, np.int64) if before is None else np.flatnonzero(kept != before)[:EXAMPLES]


def _attempt(
    left: Left, recipe: Recipe, folder: place.Place, how: Mapping[str, Any], quiet: bool, lock: int, check_lock: Any
) -> Attempt:
    more = dict(how)
    if "memory" in more:
        more["memory"] = memory.parse(more["memory"])
    # It tells what a run would keep, and stops at nothing.
    recipe = dataclasses.replace(recipe, folder=left.plan.recipe.folder, max_drop=1.0, **more)
    plan = make_plan(recipe, left.plan.shards, left.plan.against)
    corpus = budget.look_at(plan.every_shard, left.limit, with_stages=budget.has_stages(plan.recipe))
    reuse = Reuse(left.plan, left.work, plan, reads_texts=False)
    return Attempt(plan, corpus, left.output, folder, left.limit, True, quiet, lock, check_lock, reuse)


def _kept(decided: Decided) -> Bools:
    """Whether each document stays."""
    kept = np.ones(decided.left.bases[-1], np.bool_)
    for one, base, until in decided.left.spans():
        rows = rows_table(one.folder)
        if rows.num_columns:
            kept[base:until] = rows[drop.REASON].is_null().to_numpy(zero_copy_only=False)
    for drops in decided.drops:
        kept[drops.documents] = False
    return kept


def _doc_ids(decided: Decided, documents: Int64s) -> list[int]:
    found: list[int] = []
    for one, base, until in decided.left.spans():
        low, high = np.searchsorted(documents, [base, until])
        if low < high:
            found += one.doc_ids(documents[low:high] - base, one.table()).tolist()
    return found


# By the table of all documents


def _by_table(
    output: str, recipe: Recipe, where: Where, name: str | None, changed: Sequence[tuple[float, Recipe]]
) -> Iterator[Point]:
    before: Bools | None = None
    for value, other in changed:
        try:
            kept, doc_ids = measured.kept(output, recipe, other, where.step.number)
        except MissingError as error:
            raise UserError(f"{name} = {value}: {error}; run its recipe again with measure_all = true") from None
        yield _point(where, name, value, kept, doc_ids[_between(kept, before)].tolist())
        before = kept
