"""Another recipe over what a run has read, with the measures and signatures that the run left."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from dedup import recipe as recipes
from dedup.errors import UserError
from dedup.io import place, shards
from dedup.io.place import Place
from dedup.plan import Plan, make_plan
from dedup.recipe import Recipe
from dedup.runner import driver, tables
from dedup.runner.result import Result
from dedup.runner.reuse import Reuse, key_of_run, read_kept


def rerun(
    output: str | os.PathLike[str],
    recipe: str | os.PathLike[str] | Mapping[str, Any],
    new_output: str | os.PathLike[str],
    *,
    changes: Sequence[str] = (),
    memory: int | str | None = None,
    workers: int | None = None,
    executor: str | None = None,
    address: str | None = None,
    work: str | os.PathLike[str] | None = None,
    keep_work: bool = False,
    quiet: bool = True,
) -> Result:
    """Run a recipe over what an earlier run has read; the bytes are those of a run, the cost is of what changed.

    Measures, texts and signatures are taken from what the earlier run left with `keep_work`. What that does not tell
    is read again: documents that reach a stage which they did not reach before, or everything where a stage changed.

    output       of the earlier run, made with keep_work
    recipe       a path or a dict; what it says of input and against gives way to what the earlier run has read
    new_output   another folder
    changes, memory, workers, executor, address, work, keep_work, quiet   as for `dedup.run`
    """
    how: dict[str, Any] = {"memory": memory, "workers": workers, "executor": executor, "address": address}
    how["work"] = None if work is None else os.fspath(work)
    loaded = recipes.load(recipe, input=os.fspath(output), output=new_output, changes=changes, **how)
    if place.absolute(str(loaded.output)) == place.absolute(os.fspath(output)):
        raise UserError(f"{loaded.output} is the output that is reused; choose another with -o")
    if loaded.index is not None:
        raise UserError(f"index is {loaded.index!r}; a rerun would add to it what it holds already: use `dedup run`")
    left = left_by(os.fspath(output))
    loaded = dataclasses.replace(loaded, input=left.plan.recipe.input, against=left.plan.recipe.against)
    return driver.run_recipe(
        loaded,
        limit=left.limit,
        keep_work=keep_work,
        quiet=quiet,
        reuse=lambda plan: Reuse(left.plan, left.work, plan),
    )


class Left(NamedTuple):
    """What a run left: its plan over the input as it is now, where it worked, its limit, its output."""

    plan: Plan
    work: Place
    limit: int | None
    output: Place


def left_by(output: str) -> Left:
    """What a run left; UserError where it left nothing, or what it left is of other files or another dedup."""
    here = place.at(output)
    summary = Result(output).summary
    recipe = recipes.load(str(here / "recipe.toml"))
    if recipe.index is not None:
        raise UserError(f"{output}: it was compared with the index {recipe.index}, which has changed since")
    work = place.work_folder(output, recipe.work)
    kept = read_kept(output, work)
    recipe = dataclasses.replace(recipe, folder=kept["folder"])
    plan = _plan_of(recipe, here)
    if not summary["key"] == kept["key"] == key_of_run(plan, kept["limit"]):
        raise UserError(
            f"{output}: made by another version of dedup, of its libraries, or of a file that its recipe names; "
            "run its recipe again with --keep-work"
        )
    return Left(plan, work, kept["limit"], here)


def _plan_of(recipe: Recipe, output: Place) -> Plan:
    """The plan of a run's recipe; UserError where its input is not what it was."""
    found = shards.discover(recipe.input)
    plan = make_plan(recipe, found, shards.discover_against(recipe.against, found))
    changed = tables.changed_files(output / "manifest.parquet", plan.every_shard)
    known = set(pq.read_table(place.parquet_source(output / "manifest.parquet"), columns=["path"])["path"].to_pylist())
    changed += [shard.path for shard in plan.every_shard if shard.path not in known]
    if changed:
        more = f" (and {len(changed) - 1:,} more)" if len(changed) > 1 else ""
        raise UserError(
            f"{changed[0]}{more}: changed, new or gone since the run of {output}; run its recipe again with --keep-work"
        )
    return plan
