"""How the steps of a recipe stand to those of a run that is done: what of that run still holds for one pass.

Stages are pure and look at one row at a time. So a document that goes the way it went before has the texts, measures
and signatures it had; a rule is looked at again with the measures that were kept. All that is decided here is decided
once a pass; which documents went another way is told unit by unit, in rescan.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from dedup import buffers, drop
from dedup.errors import UserError
from dedup.io import read
from dedup.plan import Plan, bands_of, near_files
from dedup.recipe import Step
from dedup.runner.steps import changes_text
from dedup.stages import find, with_copies


class MissingError(UserError):
    """What a run left does not tell what is asked for."""


MADE = {b"dedup": b"made"}  # metadata of a field that no stage has touched since


@dataclass(frozen=True)
class Lineup:
    """The steps of a pass now and before.

    places      of each stage now, the place of the same one before; None: a rule that was not there
    evaluable   of each stage now, whether it is a rule over columns that were kept
    steps       how many stages there were before
    writes      of each stage before, the columns that it adds or replaces
    columns     the measures that rows have after the pass
    orders      of each barrier now, one before that ordered documents alike; None where no order was kept or needed
    exacts      of each barrier now that compares columns, the one before that compared the same
    sketches    of each file of signatures now, the one before of the same settings
    bands       of each file of band keys now, the one before of the same signatures and bands, if there was one
    """

    places: tuple[int | None, ...]
    evaluable: tuple[bool, ...]
    steps: int
    writes: tuple[frozenset[str], ...]
    columns: tuple[str, ...]
    orders: tuple[int | None, ...]
    exacts: Mapping[int, int]
    sketches: Mapping[int, int]
    bands: Mapping[int, int]


def line_up(before: Plan, now: Plan, number: int, stages: Sequence[Step], old: Sequence[Step]) -> Lineup | None:
    """How some stages of a pass stand to those before, and its barriers; None where texts have to be read again."""
    if number >= len(before.passes) or not _same_source(before, now):
        return None
    barriers, old_barriers = now.passes[number].barriers, before.passes[number].barriers
    written = writes_of(before)
    writes = tuple(written[step.number] for step in old)
    places = _places(stages, old, writes, set(now.source.more))
    columns = _columns_after(now, number)
    if places is None or not set(columns) <= _columns_after(before, number).keys():
        return None
    orders = _orders(barriers, old_barriers, columns)
    exacts = _exacts(barriers, old_barriers)
    sketches, bands = _signatures(barriers, old_barriers)
    if orders is None or exacts is None or sketches is None:
        return None
    evaluable = tuple(_is_evaluable(at, stages, old, places, writes, columns, now) for at in range(len(stages)))
    lineup = Lineup(places, evaluable, len(old), writes, tuple(columns), orders, exacts, sketches, bands)
    return lineup if all(p is not None or e for p, e in zip(places, evaluable, strict=True)) else None


def same_makers(before: Plan, now: Plan, passes: int) -> bool:
    """Whether documents that no rule drops come out of the first passes as they did."""

    def makers(plan: Plan) -> list[tuple[int, str, object]]:
        return [(n, s.use, s.settings) for n in range(passes) for s in plan.passes[n].stages if not is_rule(s)]

    return passes == 0 or (len(before.passes) > passes and makers(before) == makers(now))


def is_rule(step: Step) -> bool:
    """Whether a stage decides and changes nothing else."""
    return step.use.startswith("drop.")


def writes_of(plan: Plan) -> dict[int, frozenset[str]]:
    """The columns that each stage adds or replaces, by the number of its step; told by a run on no rows."""
    found = {}
    batch = drop.set_column(read.empty(plan.source), drop.REASON, pa.array([], pa.string()))
    for one in plan.passes:
        for step in one.stages:
            marked = pa.schema([f if f.metadata else f.with_metadata(MADE) for f in batch.schema])
            after = find(step, plan.recipe.folder)(
                pa.RecordBatch.from_arrays(batch.columns, schema=marked),
                **with_copies(step, plan.recipe.folder).settings,
            )
            touched = [f.name for f in after.schema if f.metadata not in (MADE, buffers.OF_INPUT)]
            found[step.number] = frozenset(n for n in touched if n[:1] != "_") - {read.TEXT, drop.REASON}
            batch = after
        batch = buffers.without_transient(batch)
    return found


def _same_source(before: Plan, now: Plan) -> bool:
    old, new = before.source, now.source
    same = all(new.more[name] == kind for name, kind in old.more.items() if name in new.more)
    return (old.text, old.id, before.recipe.measure_all) == (new.text, new.id, now.recipe.measure_all) and same


def _columns_after(plan: Plan, number: int) -> dict[str, pa.DataType]:
    """Measures that rows have after a pass; a column of the input is not kept, whoever replaces it."""
    written = writes_of(plan)
    made = {n for one in plan.passes[: number + 1] for step in one.stages for n in written[step.number]}
    return {name: kind for name, kind in plan.measures if name in made}


def _places(
    stages: Sequence[Step], old: Sequence[Step], writes: Sequence[frozenset[str]], inputs: set[str]
) -> tuple[int | None, ...] | None:
    """Of each stage, the place of the same one before: of a rule, among those between the same two other stages.

    None where one that is no rule was not there, or one has gone that is more than a measure.
    """
    makers: dict[int, int] = {}  # of stages that are no rules, by their places now
    begin = 0
    for n, step in enumerate(stages):
        if not is_rule(step):
            at = next((at for at in range(begin, len(old)) if not is_rule(old[at]) and _same(old[at], step)), None)
            if at is None:
                return None
            makers[n], begin = at, at + 1
    if _misses(old, set(makers.values()), writes, inputs):
        return None
    places: list[int | None] = []
    for n, step in enumerate(stages):
        low = max((at for m, at in makers.items() if m < n), default=-1) + 1
        high = min((at for m, at in makers.items() if m > n), default=len(old))
        same = [at for at in range(low, high) if is_rule(step) and _same(old[at], step) and at not in places]
        places.append(makers[n] if n in makers else same[0] if same else None)
    return tuple(places)


def _misses(old: Sequence[Step], kept: set[int], writes: Sequence[frozenset[str]], inputs: set[str]) -> bool:
    """Whether a stage has gone that something else depends on."""
    for at, step in enumerate(old):
        others = {name for n, names in enumerate(writes) if n != at for name in names}
        if not is_rule(step) and at not in kept and (changes_text(step) or writes[at] & (others | inputs)):
            return True
    return False


def _same(one: Step, other: Step) -> bool:
    return one.use == other.use and one.settings == other.settings


def _is_evaluable(
    at: int,
    stages: Sequence[Step],
    old: Sequence[Step],
    places: Sequence[int | None],
    writes: Sequence[frozenset[str]],
    columns: Mapping[str, pa.DataType],
    plan: Plan,
) -> bool:
    """Whether a rule can be looked at with the columns that rows end with: nothing writes these after it."""
    read_columns = columns_read(stages[at])
    if read_columns is None:
        return False
    if plan.source.id is not None:
        columns = {**columns, read.ID: pa.large_string()}
    ran = {places[n] for n in range(at) if not is_rule(stages[n])}
    later = [n for n, step in enumerate(old) if not is_rule(step) and n not in ran]
    if any(":" in old[n].use for n in later):
        return False
    return all(name in columns and not any(name in writes[n] for n in later) for name in read_columns)


def columns_read(step: Step) -> set[str] | None:
    """The columns that a rule looks at; None for what is no rule."""
    if step.use == "drop.sample":
        return {read.ID}
    if step.use != "drop.when":
        return None
    languages = step.settings.get("per_language") or {}
    names = {name for name in step.settings if name != "per_language"}
    return names | {name for table in languages.values() for name in table} | ({drop.LANGUAGE} if languages else set())


def _orders(
    barriers: Sequence[Step], old: Sequence[Step], columns: Mapping[str, pa.DataType]
) -> tuple[int | None, ...] | None:
    found: list[int | None] = []
    for step in barriers:
        keep = step.settings["keep"]
        same = [n for n, other in enumerate(old) if other.settings["keep"] == keep]
        _, _, column = keep.partition(":")
        if not same and keep not in ("first", "last") and column not in columns:
            return None
        found.append(same[0] if same else None)
    return tuple(found)


def _exacts(barriers: Sequence[Step], old: Sequence[Step]) -> dict[int, int] | None:
    found = {}
    for n, step in enumerate(barriers):
        if step.settings.get("on"):
            same = [m for m, other in enumerate(old) if other.settings.get("on") == step.settings["on"]]
            if not same:
                return None
            found[n] = same[0]
    return found


def _signatures(barriers: Sequence[Step], old: Sequence[Step]) -> tuple[dict[int, int] | None, dict[int, int]]:
    """Files of signatures and of band keys now, and those before that hold the same."""
    sketches: dict[int, int] = {}
    bands: dict[int, int] = {}
    made = [(*bands_of(old[n]), files) for n, files in near_files(old).items()]
    for n, files in near_files(barriers).items():
        settings, cut = bands_of(barriers[n])
        same = [(bands, theirs) for sketch, bands, theirs in made if sketch == settings]
        if not same:
            return None, {}
        sketches[files.sketches] = same[0][1].sketches
        for other, theirs in same:
            if (other.bands, other.rows) == (cut.bands, cut.rows):
                bands[files.bands] = theirs.bands
    return sketches, bands
