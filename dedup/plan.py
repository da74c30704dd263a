"""A recipe and its shards become a plan: passes of stages that end at barriers, and the columns they need.

Nothing of the data is read but footers and the first MiB of some JSONL shards. The stages are run once on a batch of
no rows, so that a misspelt stage, parameter, column or setting fails here, naming the step and what would be right.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from dedup import buffers, drop, exact
from dedup.errors import DedupError, RecipeError, UserError, nearest
from dedup.io import read
from dedup.io.shards import Shard
from dedup.near.params import Bands, Sketch, bands_for, detection
from dedup.recipe import OF_FAMILIES, Recipe, Step, sketch_of
from dedup.stages import Stage, find, with_copies, with_files

PROBED_JSONL_SHARDS = 16
# Names that a run's tables use.
OWN_COLUMNS = ("id", "row", "doc_id", "shard", "duplicate_of", "similarity", "text_bytes")


@dataclass(frozen=True)
class Pass:
    """Stages that scan every document, and the adjacent barriers that end the scan (none at the end)."""

    stages: tuple[Step, ...]
    barriers: tuple[Step, ...]


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    against    shards that those of the input are compared with
    source     the columns read of every shard
    measures   columns that the stages add, with types, in order
    rules      drop reasons that the recipe can give, with the step of each
    files      the fingerprint of each file that a setting names, by its absolute path
    """

    recipe: Recipe
    shards: tuple[Shard, ...]
    passes: tuple[Pass, ...]
    source: read.Source
    measures: tuple[tuple[str, pa.DataType], ...]
    rules: tuple[tuple[int, str], ...]
    warnings: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    against: tuple[Shard, ...] = ()

    @property
    def every_shard(self) -> tuple[Shard, ...]:
        """All that is read."""
        return self.shards + self.against


def make_plan(recipe: Recipe, shards: Sequence[Shard], against: Sequence[Shard] = ()) -> Plan:
    """The plan of a recipe over some shards; RecipeError or UserError for anything that cannot work."""
    recipe, files = _with_files(recipe)
    passes = _passes(recipe.step)
    columns = _known_columns(shards)
    _require_text(recipe, columns)
    theirs = _known_columns(against)
    if theirs is not None and recipe.text not in theirs:
        raise UserError(f"against: no shard has the text column {recipe.text!r}; {nearest(recipe.text, theirs)}")
    compared = _named_columns(recipe)
    wanted = {name: columns.get(name) for name in compared} if columns is not None else {}
    while True:
        more = {
            name: _run_type(kinds, exact=name in compared)
            for name, kinds in wanted.items()
            if name != recipe.id and kinds is not None
        }
        source = read.Source(recipe.text, recipe.id, more)
        try:
            measures = _dry_run(recipe, passes, source)
            break
        except _NeedsColumnError as missing:
            if columns is None:
                raise RecipeError(
                    f"{missing.label}: no step makes a column {missing.column!r}, and no shard is known that could "
                    "have it; give the input with -i"
                ) from None
            if missing.column not in columns or missing.column in wanted:
                known = {name for name in (*columns, *missing.known) if not name.startswith("_")}
                raise RecipeError(
                    f"{missing.label}: no step makes a column {missing.column!r} and no shard has it; "
                    f"{nearest(missing.column, known)}"
                ) from None
            wanted[missing.column] = columns[missing.column]
    _check_annotate(recipe, dict(measures), columns or {})
    return Plan(
        recipe,
        tuple(shards),
        passes,
        source,
        tuple(measures),
        tuple(_rules(recipe)),
        tuple(_warnings(passes)),
        files,
        tuple(against),
    )


def _check_annotate(recipe: Recipe, measures: Mapping[str, pa.DataType], columns: Mapping[str, Any]) -> None:
    """RecipeError for a column that cannot be added to kept rows."""
    for name in recipe.annotate:
        if name not in measures and name not in OF_FAMILIES:
            raise RecipeError(f"annotate: no step makes a column {name!r}; {nearest(name, [*OF_FAMILIES, *measures])}")
        kind = measures.get(name, pa.int64())
        if pa.types.is_nested(kind) or pa.types.is_binary(kind):
            raise RecipeError(f"annotate: {name!r} is of type {kind}; numbers, text and booleans can be added to rows")
        if name in columns:
            raise RecipeError(f"annotate: the input has a column {name!r} of its own")


def reference_stages(plan: Plan, stages: Sequence[Step]) -> tuple[Step, ...]:
    """The stages that a document takes which is compared with: those that change its text, but no rule.

    What they measure is of no use, unless a stage of the user's or a column that documents are compared by needs it.
    """
    needed = {name for step in plan.recipe.step for name in step.settings.get("on") or [] if step.kind == "exact"}
    whole = bool(needed & {name for name, _ in plan.measures}) or any(":" in step.use for step in plan.recipe.step)
    return tuple(step for step in stages if step.use.startswith("clean.") or (whole and step.use[:5] != "drop."))


def _with_files(recipe: Recipe) -> tuple[Recipe, dict[str, str]]:
    """The recipe with absolute paths of the files that its settings name, and their fingerprints."""
    steps: list[Step] = []
    files: dict[str, str] = {}
    for step in recipe.step:
        if step.kind == "stage":
            step, found = with_files(step, recipe.folder)
            files |= found
        steps.append(step)
    return dataclasses.replace(recipe, step=tuple(steps)), files


def _passes(steps: Sequence[Step]) -> tuple[Pass, ...]:
    passes: list[Pass] = []
    stages: list[Step] = []
    barriers: list[Step] = []
    for step in steps:
        if step.kind == "stage" and barriers:
            passes.append(Pass(tuple(stages), tuple(barriers)))
            stages, barriers = [], []
        (stages if step.kind == "stage" else barriers).append(step)
    return (*passes, Pass(tuple(stages), tuple(barriers)))


def _known_columns(shards: Sequence[Shard]) -> dict[str, set[Any]] | None:
    """Columns that any shard shows, with their Arrow types and JSON type names; None where no shard shows any."""
    columns: dict[str, set[Any]] = {}
    jsonl_left = PROBED_JSONL_SHARDS
    for shard in shards:
        if shard.format == "jsonl":
            jsonl_left -= 1
            if jsonl_left < 0:
                continue
        for name, kind in (read.source_columns(shard) or {}).items():
            columns.setdefault(name, set()).update(kind if isinstance(kind, set) else {kind})
    return columns or None


def _require_text(recipe: Recipe, columns: dict[str, set[Any]] | None) -> None:
    if columns is None:
        return
    for role, name in (("text", recipe.text), ("id", recipe.id)):
        if name is not None and name not in columns:
            raise UserError(f"no shard has the {role} column {name!r}; {nearest(name, columns)}")
    for kind in columns[recipe.id] if recipe.id is not None else ():
        if not isinstance(kind, str) and pa.types.is_nested(kind):
            raise UserError(f"the id column {recipe.id!r} is of type {kind}; ids are text or numbers")


def _named_columns(recipe: Recipe) -> list[str]:
    """Source columns that barriers name; those that stages name are found by running them on no rows."""
    names: list[str] = []
    for step in recipe.step:
        names += step.settings.get("on") or [] if step.kind == "exact" else []
    return [name for name in names if name not in (recipe.text, read.TEXT)]


def _run_type(kinds: set[Any], *, exact: bool) -> pa.DataType:
    """The type that a source column has in a run, from the Arrow types and JSON type names seen of it.

    exact   it is compared for equality: numbers that JSON may write with any number of digits stay text
    """
    names = {kind for kind in kinds if isinstance(kind, str)} - {"null"}
    types = {_plain(kind) for kind in kinds if not isinstance(kind, str)} - {pa.null()}
    if not names and len(types) == 1:
        return types.pop()
    if not exact and names <= {"number"} and all(pa.types.is_integer(t) or pa.types.is_floating(t) for t in types):
        return pa.float64()
    if names <= {"boolean"} and types <= {pa.bool_()}:
        return pa.bool_()
    return pa.large_string()


def _plain(kind: pa.DataType) -> pa.DataType:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.large_string() if pa.types.is_string(kind) or pa.types.is_string_view(kind) else kind


class _NeedsColumnError(Exception):
    """A step names a column that the batch does not have; `known` are those it has."""

    def __init__(self, label: str, column: str, known: Sequence[str]) -> None:
        super().__init__(label, column)
        self.label, self.column, self.known = label, column, known


def _dry_run(recipe: Recipe, passes: Sequence[Pass], source: read.Source) -> list[tuple[str, pa.DataType]]:
    """Run every stage on no rows; the columns that they add."""
    batch = drop.set_column(read.empty(source), drop.REASON, pa.array([], pa.string()))
    given = set(batch.schema.names)
    for one in passes:
        for step in one.stages:
            batch = _dry_stage(with_copies(step, recipe.folder), find(step, recipe.folder), batch)
        for step in one.barriers:
            _check_barrier(step, batch, recipe)
        batch = buffers.without_transient(batch)
    added = [(field.name, field.type) for field in batch.schema if field.name not in given]
    for name, _ in added:
        if name in OWN_COLUMNS:
            raise RecipeError(f"a stage adds a column {name!r}, a name that the run's own tables use; rename it")
    return added


def _dry_stage(step: Step, stage: Stage, batch: pa.RecordBatch) -> pa.RecordBatch:
    try:
        result = stage(batch, **step.settings)
    except KeyError as error:
        quoted = re.search(r'"([^"]+)"|\'([^\']+)\'', str(error))
        name = quoted[1] or quoted[2] if quoted else str(error)
        raise _NeedsColumnError(step.label, name, batch.schema.names) from None
    except RecipeError as error:
        missing = re.match(r"there is no column '([^']+)'", str(error))
        if missing:
            raise _NeedsColumnError(step.label, missing[1], batch.schema.names) from None
        raise RecipeError(f"{step.label}: {error}") from None
    except DedupError:
        raise
    except Exception as error:
        raise RecipeError(f"{step.label} fails on a batch of no rows: {type(error).__name__}: {error}") from error
    if not isinstance(result, pa.RecordBatch) or result.num_rows != 0:
        raise RecipeError(
            f"{step.label} returned {type(result).__name__}; a stage returns a RecordBatch of the same rows"
        )
    return result


def _check_barrier(step: Step, batch: pa.RecordBatch, recipe: Recipe) -> None:
    _, _, column = step.settings["keep"].partition(":")
    for name in [*([column] if column else []), *(step.settings.get("on") or [])]:
        inside = read.TEXT if name == recipe.text else read.ID if name == recipe.id else name
        for role, used in ((read.TEXT, recipe.text), (read.ID, recipe.id)):
            if name == role and used not in (None, name):
                raise RecipeError(f"{step.label}: inside a run the column {used!r} is called {role!r}; name {used!r}")
        if inside not in batch.schema.names:
            raise _NeedsColumnError(step.label, name, batch.schema.names)
        kind = batch.schema.field(inside).type
        if pa.types.is_nested(kind):
            raise RecipeError(f"{step.label}: {name!r} is of type {kind}; only plain values can be compared")
    try:
        exact.check_order(step.settings["keep"], batch.schema)
    except RecipeError as error:
        raise RecipeError(f"{step.label}: {error}") from None


def _rules(recipe: Recipe) -> list[tuple[int, str]]:
    """Drop reasons that the recipe's rules can give."""
    return [(step.number, name) for step in recipe.step for name in drop.reasons(step.use, step.settings)]


def _warnings(passes: Sequence[Pass]) -> list[str]:
    return [
        f"{step.label} drops documents after a barrier: it may drop a document that duplicates were dropped for; "
        "the report names them"
        for one in passes[1:]
        for step in one.stages
        if step.use.startswith("drop.")
    ]


def bands_of(step: Step) -> tuple[Sketch, Bands]:
    """Signature settings and bands of a near step."""
    sketch: Sketch = sketch_of(step, Sketch)
    return sketch, bands_for(step.settings["threshold"], sketch.slots)


class NearFiles(NamedTuple):
    """Which files of a scan a near step reads: sketches-S.bin and shingles-S.npy, bands-B.bin."""

    sketches: int
    bands: int


def near_files(barriers: Sequence[Step]) -> dict[int, NearFiles]:
    """Of the near steps among adjacent barriers, by their places; those of equal settings share a file."""
    sketches: list[Sketch] = []
    banded: list[tuple[Sketch, int, int]] = []
    found = {}
    for n, step in enumerate(barriers):
        if step.kind == "near":
            sketch, bands = bands_of(step)
            cut = (sketch, bands.bands, bands.rows)
            sketches += [] if sketch in sketches else [sketch]
            banded += [] if cut in banded else [cut]
            found[n] = NearFiles(sketches.index(sketch), banded.index(cut))
    return found


def describe(plan: Plan) -> str:
    """The plan for people: steps, columns, barriers, bands and the detection curve."""
    lines = []
    if plan.shards:
        size = sum(shard.bytes for shard in plan.shards)
        lines.append(f"input    {len(plan.shards):,} shards, {size / 1e6:,.1f} MB")
    lines += [f"  {one.name}  priority {one.priority}" for one in plan.recipe.input if one.name is not None]
    if plan.recipe.against:
        size = sum(shard.bytes for shard in plan.against)
        lines.append(
            f"against  {len(plan.against):,} shards, {size / 1e6:,.1f} MB: compared with, never changed or written"
        )
    if plan.recipe.output_shard_bytes:
        lines.append(f"output   parts of about {plan.recipe.output_shard_bytes / 1e6:,.1f} MB of text")
    lines.append(f"text     {plan.recipe.text}" + (f", id {plan.recipe.id}" if plan.recipe.id else ""))
    if plan.source.more:
        lines.append("reads    " + ", ".join(f"{name} ({kind})" for name, kind in plan.source.more.items()))
    for number, one in enumerate(plan.passes):
        lines.append(f"pass {number}")
        lines += [f"  step {step.number}  {step.use}{_settings(step)}" for step in one.stages]
        for step in one.barriers:
            lines.append(
                f"  step {step.number}  dedup {step.kind}{_settings(step)}   <- barrier: every shard reaches it first"
            )
            if step.kind == "near":
                lines += _curve(step)
    if plan.measures:
        lines.append("adds     " + ", ".join(f"{name} ({kind})" for name, kind in plan.measures))
    lines += [f"warning  {warning}" for warning in plan.warnings]
    return "\n".join(lines)


def _settings(step: Step) -> str:
    shown = {key: value for key, value in step.settings.items() if value is not None}
    return "".join(f"  {key}={value}" for key, value in shown.items())


def _curve(step: Step) -> list[str]:
    sketch, bands = bands_of(step)
    points = [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    return [
        f"    {bands.bands} bands of {bands.rows} rows; compared exactly from an estimate of "
        f"{bands.least_equal / sketch.slots:.3f}",
        "    J         " + "  ".join(f"{point:.2f} " for point in points),
        "    detected  " + "  ".join(f"{detection(point, bands.bands, bands.rows):.3f}" for point in points),
    ]
