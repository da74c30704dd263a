"""What a finished run left under work/, and the scans of another recipe made from it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dedup.errors import UserError
from dedup.io.place import Place
from dedup.plan import Plan, bands_of, reference_stages
from dedup.runner.environment import environment_key
from dedup.runner.lineup import Lineup, MissingError, line_up, same_makers
from dedup.runner.rescan import Kept
from dedup.runner.scan import Work
from dedup.runner.tables import write_json
from dedup.runner.task import Task, key_of
from dedup.stages import user_module

KEPT = "kept.json"


def write_kept(work: Place, plan: Plan, key: str, limit: int | None) -> None:
    """Say that what lies under work/ is all of the run with this key."""
    write_json(work / KEPT, {"key": key, "limit": limit, "folder": os.path.abspath(plan.recipe.folder)})


def read_kept(output: str, work: Place) -> dict[str, Any]:
    """What write_kept said; UserError where nothing was kept."""
    try:
        return dict(json.loads((work / KEPT).read_text()))
    except FileNotFoundError:
        raise UserError(
            f"{output}: made without --keep-work ({work / KEPT} is missing); run its recipe again with --keep-work"
        ) from None


def key_of_run(plan: Plan, limit: int | None, environment: str | None = None) -> str:
    """Names everything that the bytes of a run depend on, but for an index."""
    environment = environment or key_of(environment_key(plan.recipe), plan.files)
    return key_of(environment, plan.recipe.identity(), limit, [s.fingerprint for s in plan.every_shard])


class Reuse:
    """Makes the scans of a plan from those of a run over the same input, and takes the shingles it fetched."""

    def __init__(self, before: Plan, work: Place, now: Plan, *, reads_texts: bool = True) -> None:
        """work: where that run worked;  reads_texts: as Kept says."""
        self.work, self._reads_texts = work, reads_texts
        self._before = before
        self._lineups = [_lineups(before, now, number) for number in range(len(now.passes))]

    def rescans(self, number: int, tasks: Sequence[Task]) -> list[Task]:
        """The scans of a pass; those stay as they are for which texts have to be read again."""
        return [self._rescan(number, task) for task in tasks]

    def _rescan(self, number: int, task: Task) -> Task:
        work: Work = task.arguments["work"]
        lineup = self._lineups[number][work.is_reference]
        if lineup is None and not self._reads_texts:
            raise MissingError(
                "a rule looks at columns that are not kept, of the input or made anew later; `dedup rerun` reads them"
            )
        if lineup is None:
            return task
        folder = f"{self.work}/pass-{number}/{os.path.basename(task.folder)}"
        arguments = task.arguments | {"kept": Kept(folder, lineup, self._reads_texts)}
        return dataclasses.replace(task, function="dedup.runner.rescan:rescan_unit", arguments=arguments)

    def refetches(self, number: int, tasks: Sequence[Task]) -> list[Task]:
        """Tasks of a pass that fetch shingles, with what the run fetched for a barrier of the same settings."""
        barriers = self._before.passes[number].barriers if number < len(self._before.passes) else []
        fetched = [(n, bands_of(s)[0]) for n, s in enumerate(barriers) if s.settings.get("verify") == "exact"]
        given: list[Task] = []
        for task in tasks:
            settings, _ = bands_of(task.arguments["step"])
            same = [f"{self.work}/pass-{number}/barrier-{n}" for n, theirs in fetched if theirs == settings]
            kept = {"kept": f"{same[0]}/{os.path.basename(task.folder)}"} if same else {}
            given.append(dataclasses.replace(task, arguments=task.arguments | kept))
        return given


def _lineups(before: Plan, now: Plan, number: int) -> dict[bool, Lineup | None]:
    """Of a pass: for what it is compared with (True), and for the input."""
    is_same = same_makers(before, now, number) and _same_modules(before, now)
    if number >= len(before.passes) or not is_same:
        return {True: None, False: None}
    stages, old = now.passes[number].stages, before.passes[number].stages
    references, old_references = reference_stages(now, stages), reference_stages(before, old)
    same = [(s.use, s.settings) for s in references] == [(s.use, s.settings) for s in old_references]
    return {
        True: line_up(before, now, number, references, old_references) if same else None,
        False: line_up(before, now, number, stages, old),
    }


def _same_modules(before: Plan, now: Plan) -> bool:
    """Whether modules of the user's that both recipes name are the same: each looks beside its own recipe."""
    old, new = _modules(before), _modules(now)
    return all(old[name] == new[name] for name in old if name in new)


def _modules(plan: Plan) -> dict[str, bytes]:
    names = {step.use.partition(":")[0] for step in plan.recipe.step if ":" in step.use}
    return {name: Path(user_module(name, plan.recipe.folder).__file__ or "").read_bytes() for name in names}
