"""Runs with an index: whom it takes, what is looked up in it and when it is added to.

Old documents that share a key with a new one are put beside the scans as if they were a unit of references, with the
same files (index_lookup). So everything after the look-up is what a run with `against` does, and costs what is new.
What survives is added at the end (index_add).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

import dedup
from dedup import exact
from dedup.errors import RecipeError, UserError
from dedup.io import index as store
from dedup.io import place
from dedup.io.index_change import is_below
from dedup.io.place import Place
from dedup.kernels.unicode import UNICODE_VERSION
from dedup.near import match
from dedup.near import signature as signing
from dedup.plan import Plan, bands_of
from dedup.recipe import Step
from dedup.runner import index_add, index_lookup
from dedup.runner.barrier import Drops, RunTasks
from dedup.runner.budget import Budget
from dedup.runner.scanned import Scanned
from dedup.runner.task import key_of

PROBE = ["One two three four five six seven, caf\u00e9 \u4e2d\u6587\u6d4b\u8bd5\u6587\u672c.", "word " * 40 + "tail"]


def last_barriers(plan: Plan) -> tuple[Step, ...]:
    """The barriers that an index takes part in: those of the last pass that has any."""
    return next((one.barriers for one in reversed(plan.passes) if one.barriers), ())


def settings_of(plan: Plan) -> dict[str, Any]:
    """What the signatures of an index share; RecipeError where the recipe's barriers cannot use one."""
    barriers = last_barriers(plan)
    if not barriers:
        raise RecipeError('index is given, but no step removes duplicates; add dedup = "exact" or "near"')
    for step in barriers:
        if step.settings.get("on"):
            raise RecipeError(
                f"{step.label}: an index holds keys of texts, not of columns; take `on` or the index away"
            )
    near = [step for step in barriers if step.kind == "near"]
    if len(near) > 1:
        raise RecipeError(f"{near[1].label}: an index holds signatures of one near step; take the index or a step away")
    settings: dict[str, Any] = {"unicode": UNICODE_VERSION, "near": None}
    texts = pa.array(PROBE, pa.large_string())
    digest = xxhash.xxh3_64(exact.text_keys(texts).tobytes())
    if near:
        sketch, bands = bands_of(near[0])
        settings["near"] = {**dataclasses.asdict(sketch), "threshold": near[0].settings["threshold"]}
        sketches = signing.sketch(*signing.token_hashes(texts, sketch), sketch)
        signing.complete(sketches, sketch)
        digest.update(sketches.signatures.tobytes() + match.band_rows(sketches, 0, bands).tobytes())
    return settings | {"signatures": digest.hexdigest()}


def check(index: Place, catalogue: store.Catalogue, settings: dict[str, Any]) -> None:
    """UserError where the index was made with other settings or by code whose signatures differ."""
    old = catalogue.settings
    if not catalogue.generations or old == settings:
        return
    again = "take another index, or restore the value"
    if (old["near"] is None) != (settings["near"] is None):
        with_, without = ("the recipe", "the index") if old["near"] is None else ("the index", "the recipe")
        raise UserError(f"{index}: {with_} has signatures of near, and {without} has not; take another index")
    for name, value in (old["near"] or {}).items():
        if value != settings["near"][name]:
            raise UserError(
                f"{index} was made with {name} = {value}; this recipe has {name} = {settings['near'][name]}; {again}"
            )
    version = catalogue.generations[-1].version
    raise UserError(
        f"{index} was made by dedup {version}, whose signatures (Unicode {old['unicode']}) are not those of dedup "
        f"{dedup.__version__} (Unicode {settings['unicode']}); make the index anew"
    )


def warnings(plan: Plan, catalogue: store.Catalogue) -> list[str]:
    """What a plan with an index does not promise."""
    steps = [step for one in plan.passes for step in one.barriers]
    groups = sum(bool(one.barriers) for one in plan.passes)
    reasons = []
    if groups != 1 or any(step.kind == "near" for step in steps[:-1]):
        reasons.append("duplicates are removed in more than one place")
    reasons += sorted({f"keep = {step.settings['keep']!r}" for step in steps if step.settings["keep"] != "first"})
    if len({one.priority for one in plan.recipe.input}) > 1:
        reasons.append("inputs have priorities")
    if any(one.cleaning != _as_json(cleaning(plan)) for one in catalogue.generations):
        reasons.append("what the index holds was cleaned by other steps")
    if not reasons:
        return []
    return [f"with an index this recipe may keep other documents than one run over everything: {', '.join(reasons)}"]


@contextlib.contextmanager
def held(plan: Plan) -> Iterator[None]:
    """Keep other runs out of a recipe's index, if it has one that it can use."""
    if plan.recipe.index is None:
        yield
        return
    index, _ = usable(plan)
    with store.locked(index):
        yield


def _path(plan: Plan) -> Place:
    work = place.work_folder(plan.recipe.output, plan.recipe.work)
    return place.at(place.absolute(plan.recipe.index or ""), work if isinstance(work, Path) else None)


def usable(plan: Plan) -> tuple[Place, store.Catalogue]:
    """A recipe's index; UserError where the recipe cannot use it, or where it lies among what is read or written."""
    index = _path(plan)
    catalogue = store.load(index)
    store.check_files(index, catalogue)
    check(index, catalogue, settings_of(plan))
    for shard in plan.every_shard:
        if shard.path.startswith(f"{index}/"):
            raise UserError(f"{shard.path} lies in the index {index}; keep the index outside of what is read")
    output = place.absolute(plan.recipe.output)
    work = place.absolute(str(place.work_folder(plan.recipe.output, plan.recipe.work)))
    if str(index) == output:
        raise UserError(f"index {index} is the output folder; keep them apart")
    for inner, what, outer in (
        (str(index), f"index {index} lies in the output folder", output),
        (str(index), f"index {index} lies in the folder for temporary work", work),
        (output, f"output folder {output} lies in the index", str(index)),
    ):
        if is_below(inner, outer):
            raise UserError(f"{what} {outer}; keep them apart")
    return index, catalogue


class Index:
    """The index of a run."""

    def __init__(self, plan: Plan, limit: int | None) -> None:
        self._plan, self._limit = plan, limit
        self._path = _path(plan)
        self._settings = settings_of(plan)
        self._catalogue = store.load(self._path)
        check(self._path, self._catalogue, self._settings)
        # Without versions of code and ways to write a path: the same command after an update adds nothing twice.
        steps = {k: v for k, v in plan.recipe.identity().items() if k not in ("input", "against", "index")}
        read = [[shard.role, shard.priority, shard.fingerprint] for shard in plan.every_shard]
        self._run = key_of(steps, read, dict(plan.files))
        self._own = self._catalogue.of(self._run)
        self._before = self._catalogue.before(self._run)
        self._now = key_of([[one.number, one.run, one.documents] for one in self._before])
        self._compared = 0

    @property
    def state(self) -> str:
        """Names what it is compared with, or was when its generation was added."""
        return self._now if self._own is None else self._own.compared

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to add."""
        return self._limit is not None or self._own is not None

    def check_past(self) -> None:
        """UserError where the generation of this run is not what the run would make now."""
        if self._own is None or self._own.compared == self._now or self._limit is not None:
            return
        number = self._own.number
        what = f"generation {number} is of this run, and what it was compared with has changed since; forget it"
        if self._own.compared == store.CUT:
            what = f"some documents of generation {number}, which is of this run, are forgotten; forget the others"
        raise UserError(
            f"{self._path}: {what} with `dedup index remove-source` and the inputs of the run, then run again"
        )

    def takes_part(self, number: int) -> bool:
        """Whether it is compared with at the barriers of a pass: the last that has any."""
        return number == max(n for n, one in enumerate(self._plan.passes) if one.barriers)

    def look_up(self, run: RunTasks, folder: Place, left: Scanned, budget: Budget) -> Scanned:
        """The old documents that one of the input may be a duplicate of."""
        if not self._before:
            return Scanned([], [], [0])
        before = 1 + max(one.number for one in self._before)
        barriers = last_barriers(self._plan)
        found = index_lookup.look_up(run, folder, self._catalogue, self._path, before, barriers, left, budget)
        self._compared = found.bases[-1]
        return found

    def add(
        self,
        run: RunTasks,
        folder: Place,
        left: Scanned,
        drops: Sequence[Drops],
        budget: Budget,
        warn: Callable[[str], None],
    ) -> dict[str, Any]:
        """Add what survived, unless an attempt before did; what the summary tells."""
        told = {"generations": len(self._before), "candidates": self._compared, "documents_added": 0}
        if self._limit is not None:
            warn(f"{self._path}: nothing is added to the index by a run with a limit")
        elif self._own is None:
            number, steps = self._catalogue.next_number, _as_json(cleaning(self._plan))
            generation = store.Generation(number, self._run, 0, steps, dedup.__version__, self._now)
            told["documents_added"] = index_add.add(
                run, folder, self._path, self._catalogue, generation, self._settings, self._plan, left, drops,
                last_barriers(self._plan), budget,
            )  # fmt: skip
        else:
            told["documents_added"] = self._own.documents
        return {"index": told}


def describe_index(plan: Plan) -> list[str]:
    """What a plan says of its index; the same errors as when it runs."""
    _, catalogue = usable(plan)
    documents = sum(one.documents for one in catalogue.generations)
    lines = [f"index    {plan.recipe.index}: {len(catalogue.generations)} generations, {documents:,} documents"]
    return lines + [f"warning  {warning}" for warning in warnings(plan, catalogue)]


def _as_json(data: Any) -> Any:
    return json.loads(json.dumps(data, default=str))


def cleaning(plan: Plan) -> list[Any]:
    """The steps before the barriers that an index takes part in, as data."""
    last = max(n for n, one in enumerate(plan.passes) if one.barriers)
    return [[step.use, step.settings] for one in plan.passes[: last + 1] for step in one.stages]
