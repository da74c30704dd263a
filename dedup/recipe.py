"""A recipe: TOML or a dict, checked strictly and frozen.

Every key is known or refused with the nearest right name; nothing of the data is looked at here. The recipe as
run, with all defaults filled in, is written beside the output, so that a run can be read and repeated.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dedup import memory
from dedup.errors import RecipeError, UserError, nearest
from dedup.io import place
from dedup.io.shards import Input

KEEP = ("first", "last", "longest", "shortest", "highest:<column>", "lowest:<column>")
EXECUTORS = ("serial", "local", "ray")
EXACT_SETTINGS: dict[str, Any] = {"on": None, "keep": None}
NEAR_SETTINGS: dict[str, Any] = {
    "threshold": 0.8, "shingle": 5, "keep": None, "slots": 256, "scheme": "fast", "seed": 1, "short": "skip",
    "verify": "exact", "fold_traditional": False,
}  # fmt: skip
INPUT = ("path", "name", "priority")
COUNT, BYTES, WEIGHT = OF_FAMILIES = ("duplicate_count", "cluster_bytes", "weight")  # that `annotate` knows
# How often a document is taken, from so many documents of its family on: FineWeb-2, README and the configurations of
# cmn_Hani for weights up to 3, 5 and 10.
WEIGHTS: dict[str, dict[int, int]] = {
    "fineweb2": {1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1},
    "fineweb2_zh_3": {1: 1, 2: 2, 7: 3, 19: 2, 46: 1},
    "fineweb2_zh_5": {1: 1, 2: 2, 3: 3, 6: 4, 9: 5, 14: 4, 26: 3, 37: 2, 55: 1},
    "fineweb2_zh_10": {
        1: 1, 2: 4, 4: 6, 6: 7, 7: 8, 9: 9, 16: 8, 20: 7, 26: 6, 31: 5, 36: 4, 44: 3, 52: 2, 60: 1,
    },
}  # fmt: skip
PRESETS = ", ".join(WEIGHTS)
# How a run is carried out, not what comes out: these may change between two attempts.
HOW = ("memory", "workers", "executor", "address", "work", "batch_bytes", "report", "max_drop", "max_rejected")


@dataclass(frozen=True)
class Step:
    """One step: a stage (`use`) or a barrier (`dedup`), with its settings.

    number   its place in the recipe, from 0, as in `--set step.4.threshold=0.9` and in messages
    """

    number: int
    kind: str  # "stage", "exact" or "near"
    use: str
    settings: dict[str, Any]

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"step[{self.number}] ({self.use})"


@dataclass(frozen=True)
class Recipe:
    """What to do with which documents."""

    input: tuple[Input, ...]
    output: str
    text: str = "text"
    id: str | None = None
    step: tuple[Step, ...] = ()
    memory: int | None = None  # bytes; None: 70 % of what the machine or its cgroup gives
    workers: int = 0  # 0: one a core
    executor: str = "local"
    address: str | None = None  # of a Ray cluster
    work: str | None = None  # folder or URL for temporary work
    output_shard_bytes: int | None = None  # text an output file, about; None: one file a shard
    batch_bytes: int = 16 << 20  # text a batch, about
    report: bool = True  # draw report/report.html too
    max_rejected: float = 0.01  # share of rows
    max_drop: float = 0.95  # share of documents
    measure_all: bool = False
    seed: int = 1
    against: tuple[str, ...] = ()  # compared with, neither changed nor written
    index: str | None = None  # folder of what runs before this one kept; this one adds to it
    index_texts: bool = False  # keep texts there, instead of where they lie
    annotate: tuple[str, ...] = ()  # columns that kept rows get
    weight: tuple[tuple[int, int], ...] | None = None  # (documents of a family from here on, weight of the kept one)
    folder: str = field(default=".", compare=False)  # where the recipe lies: user modules are looked for there

    def as_dict(self) -> dict[str, Any]:
        """The recipe as TOML data, every default filled in."""
        data: dict[str, Any] = {"input": _written(self.input)}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if item.name == "weight" and value is not None:
                data["weight"] = {str(size): weight for size, weight in value}
            elif item.name not in ("step", "folder", "input") and value not in (None, ()):
                data[item.name] = list(value) if isinstance(value, tuple) else value
        data["step"] = []
        for step in self.step:
            key = "use" if step.kind == "stage" else "dedup"
            data["step"].append({key: step.use} | {k: v for k, v in step.settings.items() if v is not None})
        return data

    def identity(self) -> dict[str, Any]:
        """What decides the bytes that come out: the recipe without how it is carried out and where to."""
        return {k: v for k, v in self.as_dict().items() if k not in (*HOW, "output")}


def load(
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    input: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    output: str | os.PathLike[str] | None = None,
    against: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    changes: Sequence[str] = (),
    fill_output: bool = False,
    **overrides: Any,
) -> Recipe:
    """A checked recipe from a path or a dict; the arguments win over what it says.

    changes       "key=value" as given to --set; the value is TOML, or else a plain string
    fill_output   a recipe without an output is fine: nothing will be written
    """
    data, folder = _read(source)
    for key, given in (("input", input), ("against", against)):
        if given is not None:
            data[key] = [os.fspath(item) for item in ([given] if isinstance(given, str | os.PathLike) else given)]
    if output is not None:
        data["output"] = os.fspath(output)
    data |= {key: value for key, value in overrides.items() if value is not None}
    for change in changes:
        _apply(data, change)
    if fill_output:
        data.setdefault("output", "out")
    return parse(data, folder)


def _read(source: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    if isinstance(source, Mapping):
        steps = [dict(step) for step in source.get("step", [])]
        return {**source, "step": steps}, "."
    if place.is_url(os.fspath(source)):
        return _read_url(os.fspath(source)), "."
    path = Path(place.plain(os.fspath(source)))
    if not path.exists():
        path = shipped().get(os.fspath(source), path)
    try:
        return tomllib.loads(path.read_text("utf-8")), str(path.parent)
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; name a .toml file or a shipped recipe; {nearest(str(path), shipped())}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not TOML ({error})") from None


def _read_url(url: str) -> dict[str, Any]:
    try:
        return tomllib.loads(place.Remote(url).read_text())
    except FileNotFoundError:
        raise UserError(f"{url}: no such object; name a .toml file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{url}: not TOML ({error})") from None


def shipped() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    home = Path(__file__).parent
    folder = home / "configs" if (home / "configs").is_dir() else home.parent / "configs"  # installed, or a checkout
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def purpose(path: Path) -> str:
    """What a recipe is for: the beginning of its comment, up to a colon or full stop."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text("utf-8").splitlines())
    words = " ".join(line.lstrip("# ") for line in lines).removeprefix("For: ")
    return re.split(r"[.:] ", words, maxsplit=1)[0]


def parse(data: Mapping[str, Any], folder: str = ".") -> Recipe:
    """A recipe from TOML data; RecipeError for anything it should not have."""
    known = [item.name for item in dataclasses.fields(Recipe) if item.name != "folder"]
    _refuse_unknown("recipe", data, known)
    if "input" not in data:
        raise RecipeError('the recipe names no input; write input = "data/*.jsonl" or give -i')
    if "output" not in data:
        raise RecipeError('the recipe names no output; write output = "out" or give -o')
    values = dict(data)
    values["input"] = _inputs(values["input"])
    values["against"] = _paths("against", values["against"]) if values.get("against") else ()
    steps = values.get("step", [])
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        raise RecipeError("step is not a list of tables; begin each step with [[step]]")
    for item in dataclasses.fields(Recipe):
        if item.name in values:
            _check_type(item.name, values[item.name])
    if values.get("memory") is not None:
        values["memory"] = memory.parse(values["memory"])
    values["annotate"] = _names("annotate", values["annotate"]) if values.get("annotate") else ()
    values["weight"] = _weights(values.get("weight"), values["annotate"])
    values["step"] = _with_shared_keep(tuple(_step(number, step) for number, step in enumerate(steps)))
    for step in values["step"]:
        if step.use == "drop.sample":
            step.settings.setdefault("seed", values.get("seed", Recipe.seed))
    return Recipe(**values, folder=folder)


def _paths(name: str, given: Any) -> tuple[str, ...]:
    paths = [given] if isinstance(given, str) else given
    if not isinstance(paths, list | tuple) or not paths or not all(isinstance(item, str) for item in paths):
        raise RecipeError(f"{name} is {given!r}; it is a glob, a file, a folder or a list of them")
    return tuple(paths)


def _names(name: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(item, str) for item in given):
        raise RecipeError(f"{name} is {given!r}; it is a list of columns")
    twice = [item for item in given if given.count(item) > 1]
    if twice:
        raise RecipeError(f"{name} names {twice[0]!r} twice")
    return tuple(given)


def _weights(given: Any, annotate: tuple[str, ...]) -> tuple[tuple[int, int], ...] | None:
    """The weight by the size of a family, ascending, from a table or the name of a preset."""
    if given is None:
        if WEIGHT in annotate:
            raise RecipeError(f'annotate has "weight"; say weight = {{ 1 = 1, 2 = 2, 100 = 1 }}, or one of {PRESETS}')
        return None
    if WEIGHT not in annotate:
        raise RecipeError('weight is given, and annotate has no "weight"; write annotate = ["weight"]')
    if isinstance(given, str):
        if given not in WEIGHTS:
            raise RecipeError(f"weight is {given!r}; {nearest(given, WEIGHTS)}")
        given = WEIGHTS[given]
    if not isinstance(given, Mapping) or not all(
        isinstance(weight, int) and not isinstance(weight, bool) and weight >= 0 and str(size).isdecimal()
        for size, weight in given.items()
    ):
        raise RecipeError(f"weight is {given!r}; it is a table such as {{ 1 = 1, 2 = 2, 100 = 1 }} of whole numbers")
    table = tuple(sorted((int(size), weight) for size, weight in given.items()))
    if not table or table[0][0] != 1:
        raise RecipeError("weight has to say that of a family of 1, which is a document without duplicates")
    return table


def _inputs(given: Any) -> tuple[Input, ...]:
    """All of `input`: paths, or tables of path, name and priority."""
    if not isinstance(given, list) or not any(isinstance(item, Mapping) for item in given):
        return (Input(_paths("input", given)),)
    found: list[Input] = []
    for number, table in enumerate(given):
        where = f"input[{number}]"
        if not isinstance(table, Mapping):
            raise RecipeError(f"{where} is {table!r}; where one input is a table, all are")
        _refuse_unknown(where, table, INPUT)
        for key in ("path", "name"):
            if key not in table:
                raise RecipeError(f"{where} has no {key}; each [[input]] says path and name, and may say priority")
        name, priority = table["name"], table.get("priority", 0)
        if not isinstance(name, str) or not name:
            raise RecipeError(f"{where}: name is {name!r}; it is text")
        if not isinstance(priority, int) or isinstance(priority, bool):
            raise RecipeError(f"{where} ({name}): priority is {priority!r}; it is a whole number, the higher stays")
        if name in (one.name for one in found):
            raise RecipeError(f"two inputs are named {name!r}; give each a name of its own")
        found.append(Input(_paths(f"{where} ({name}): path", table["path"]), name, priority))
    return tuple(found)


def _written(inputs: tuple[Input, ...]) -> list[Any]:
    """Inputs as TOML data."""
    if all(one.name is None for one in inputs):
        return [path for one in inputs for path in one.path]
    return [{"path": list(one.path), "name": one.name, "priority": one.priority} for one in inputs]


_TYPES: dict[str, tuple[type, str]] = {
    "output": (str, "a folder"), "text": (str, "a column"), "id": (str, "a column"), "workers": (int, "0 or more"),
    "index": (str, "a folder or a URL"), "index_texts": (bool, "true or false"),
    "executor": (str, "serial, local or ray"), "address": (str, "host:port of a Ray cluster"),
    "work": (str, "a folder or a URL"),
    "output_shard_bytes": (int, "bytes"), "batch_bytes": (int, "bytes"), "max_rejected": (float, "a share in [0, 1]"),
    "max_drop": (float, "a share in [0, 1]"), "measure_all": (bool, "true or false"),
    "report": (bool, "true or false"), "seed": (int, "a whole number"),
}  # fmt: skip


def _check_type(name: str, value: Any) -> None:
    if name not in _TYPES:
        return
    kind, meaning = _TYPES[name]
    fits = isinstance(value, bool) if kind is bool else isinstance(value, kind) and not isinstance(value, bool)
    if kind is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    if not fits or (kind is int and value < 0):
        raise RecipeError(f"{name} is {value!r}; it is {meaning}")
    if name == "executor" and value not in EXECUTORS:
        raise RecipeError(f"executor is {value!r}; {nearest(value, EXECUTORS)}")
    if name == "output_shard_bytes" and value < 1:
        raise RecipeError("output_shard_bytes is 0; leave it out for one output file an input")
    if name == "batch_bytes" and value < 1:
        raise RecipeError("batch_bytes is 0; a batch has at least one byte of text")


def _step(number: int, data: Mapping[str, Any]) -> Step:
    settings = dict(data)
    if ("use" in settings) == ("dedup" in settings):
        raise RecipeError(f'step[{number}] has to say either use = "..." or dedup = "exact" or "near"')
    if "use" in settings:
        use = settings.pop("use")
        if not isinstance(use, str):
            raise RecipeError(f"step[{number}]: use is {use!r}; it is the name of a stage, such as clean.fix_text")
        return Step(number, "stage", use, settings)
    kind = settings.pop("dedup")
    known = {"exact": EXACT_SETTINGS, "near": NEAR_SETTINGS}
    if kind not in known:
        raise RecipeError(f"step[{number}]: dedup is {kind!r}; it is one of exact, near")
    _refuse_unknown(f"step[{number}] ({kind})", settings, known[kind])
    step = Step(number, kind, kind, known[kind] | settings)
    _check_barrier(step)
    return step


def _check_barrier(step: Step) -> None:
    keep = step.settings["keep"]
    if keep is not None:
        name, _, column = str(keep).partition(":")
        fits = column if name in ("highest", "lowest") else keep in KEEP
        if not fits:
            raise RecipeError(f"{step.label}: keep is {keep!r}; it is one of {', '.join(KEEP)}")
    if step.kind == "exact":
        on = step.settings["on"]
        if isinstance(on, str):
            step.settings["on"] = [on]
        elif on is not None and not (isinstance(on, list) and on and all(isinstance(c, str) for c in on)):
            raise RecipeError(f"{step.label}: on is {on!r}; it is a column or a list of columns")
        return
    from dedup.near.params import Sketch, bands_for

    threshold = step.settings["threshold"]
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise RecipeError(f"{step.label}: threshold is {threshold!r}; a Jaccard threshold lies in [0.7, 1.0]")
    for name, kind in (("shingle", int), ("slots", int), ("seed", int), ("scheme", str), ("short", str)):
        value = step.settings[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise RecipeError(f"{step.label}: {name} is {value!r}; it is {'a whole number' if kind is int else 'text'}")
    if step.settings["verify"] not in ("exact", "signature"):
        raise RecipeError(f"{step.label}: verify is {step.settings['verify']!r}; it is one of exact, signature")
    if not isinstance(step.settings["fold_traditional"], bool):
        raise RecipeError(
            f"{step.label}: fold_traditional is {step.settings['fold_traditional']!r}; it is true or false"
        )
    try:
        bands_for(threshold, sketch_of(step, Sketch).slots)
    except RecipeError as error:
        raise RecipeError(f"{step.label}: {error}") from None


def sketch_of(step: Step, sketch: Any) -> Any:
    """The settings of a near step that two signature tables must share."""
    return sketch(**{item.name: step.settings[item.name] for item in dataclasses.fields(sketch)})


def _with_shared_keep(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Adjacent barriers that do not say otherwise take the last one's keep."""
    keep = "first"
    for at in reversed(range(len(steps))):
        step = steps[at]
        if step.kind == "stage":
            keep = "first"
            continue
        if at + 1 == len(steps) or steps[at + 1].kind == "stage":
            keep = step.settings["keep"] or "first"
        if step.settings["keep"] is None:
            step.settings["keep"] = keep
    return steps


def _refuse_unknown(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for key in given:
        if key not in known:
            raise RecipeError(f"{where} has no key {key!r}; {nearest(key, known)}")


def _apply(data: dict[str, Any], change: str) -> None:
    """Apply one --set: a top-level key, a key that one step has, or step.N.key."""
    key, equals, written = change.partition("=")
    if not equals:
        raise RecipeError(f"--set {change}: write key=value, such as threshold=0.9")
    try:
        value = tomllib.loads(f"v = {written}")["v"]
    except tomllib.TOMLDecodeError:
        value = written
    steps = data.get("step", [])
    parts = key.split(".")
    if parts[0] == "step" and len(parts) >= 3:
        if not parts[1].isdigit() or int(parts[1]) >= len(steps):
            raise RecipeError(
                f"--set {key}: there is no step {parts[1]}; steps are numbered from 0 to {len(steps) - 1}"
            )
        _set_path(steps[int(parts[1])], parts[2:], value)
        return
    top = [item.name for item in dataclasses.fields(Recipe) if item.name not in ("step", "folder")]
    if key in top:
        data[key] = value
        return
    settable = [{**{"exact": EXACT_SETTINGS, "near": NEAR_SETTINGS}.get(str(s.get("dedup")), {}), **s} for s in steps]
    holders = [number for number, step in enumerate(settable) if parts[0] in step]
    if not holders:
        known = {*top, *(k for step in settable for k in step)} - {"use", "dedup"}
        raise RecipeError(f"--set {key}: no step has it; {nearest(key, known)}")
    if len(holders) > 1:
        choices = " or ".join(f"step.{number}.{key}" for number in holders)
        raise RecipeError(f"--set {key}: several steps have it; write {choices}")
    _set_path(steps[holders[0]], parts, value)


def _set_path(table: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        inner = table.get(name)
        table[name] = dict(inner) if isinstance(inner, dict) else {}
        table = table[name]
    table[path[-1]] = value
