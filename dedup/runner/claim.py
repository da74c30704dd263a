"""Whether a run may write to its output, and the lock by which it claims it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from dedup import recipe as recipes
from dedup.errors import UserError
from dedup.io import files, lease, place
from dedup.io.place import Place, Remote
from dedup.plan import Plan
from dedup.recipe import Recipe


@contextlib.contextmanager
def locked(folder: Place, work: Place) -> Iterator[tuple[int, Callable[[], None]]]:
    """Hold the lock of an output: (its descriptor, what raises where it is lost).

    On a store it is a lease: of the output, else of the work, which machines may share that have like-named outputs.
    """
    there = next((one for one in (folder, work) if isinstance(one, Remote)), None)
    here = next((one for one in (folder, work) if isinstance(one, Path)), None)
    is_ours = here is None  # else the folder is the output, or goes with the work
    here = here or place.lock_folder(str(folder))
    here.mkdir(parents=True, exist_ok=True)
    try:
        with files.locked(here, str(folder)) as lock:
            if there is None:
                yield lock, lambda: None
                return
            with lease.held(there) as check:
                yield lock, check
    finally:
        if is_ours:
            with contextlib.suppress(OSError):
                here.rmdir()


def check_output(folder: Place, recipe: Recipe) -> None:
    """UserError where the output holds something else than this recipe's run."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; the output is a folder")
    names = {name for name in place.names_in(folder) if not name.startswith(files.TEMPORARY)} - {".lock"}
    if names and "recipe.toml" not in names:
        raise UserError(f"{folder} is not empty and not the output of a run; choose another output")
    published = names & {"documents", "dropped", "duplicates.parquet"}
    if published and recipes.load(str(folder / "recipe.toml")).identity() != recipe.identity():
        raise UserError(
            f"{folder} holds the output of another recipe ({folder / 'recipe.toml'}); choose another output"
        )


def check_inputs_outside(plan: Plan, folder: Place, work: Place) -> None:
    """UserError where something that is read lies among what a run writes."""
    for name, one in (("output", folder), ("work", work)):
        inside = place.absolute(str(one)) + "/"
        for shard in plan.every_shard:
            if shard.path.startswith(inside):
                raise UserError(f"{shard.path} lies in the {name} folder {one}; write somewhere else")
