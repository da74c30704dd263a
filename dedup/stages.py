"""Finds the function that a step names: a stage of this package, or one of the user's own.

There is no registry: `measure.gopher.quality` is dedup/measure/gopher.py, def quality, and `measure.c4` def c4;
`clean.fix_text` is the public function fix_text of the package dedup/clean; `my_rules:digit_ratio` is a function of
my_rules.py beside the recipe. Settings are its keyword arguments and are checked against its signature.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, UnionType
from typing import Any, Union, get_args, get_origin

import pyarrow as pa
import tomli_w

from dedup.errors import RecipeError, UserError, nearest
from dedup.io.named import FileOrName, FilePath, fingerprint
from dedup.io.place import is_url, local_copy, plain
from dedup.recipe import Step

Stage = Callable[..., pa.RecordBatch]
_MODULES = ("clean", "drop", "segment")


def find(step: Step, folder: str) -> Stage:
    """The function of a step, its settings checked against its parameters."""
    function = _user_stage(step, folder) if ":" in step.use else _own_stage(step)
    _check_settings(step, function)
    return function


@functools.cache  # to look takes 10 ms, and a scan asks for each step of each shard
def shipped() -> dict[str, Stage]:
    """Every stage of this package by the name that recipes use."""
    import dedup.measure

    names = [
        *_MODULES,
        *(f"measure.{module.name}" for module in pkgutil.iter_modules(dedup.measure.__path__)),
    ]
    found: dict[str, Stage] = {}
    for name in names:
        module = importlib.import_module(f"dedup.{name}")
        for attribute, value in vars(module).items():
            inside = inspect.isfunction(value) and f"{value.__module__}.".startswith(f"{module.__name__}.")
            if inside and _is_stage(value):
                found[name if name.rpartition(".")[2] == attribute else f"{name}.{attribute}"] = value
    return found


def first_line(function: Stage) -> str:
    """What a stage does, in one line."""
    return inspect.cleandoc(function.__doc__ or "").partition("\n")[0]


def tell(name: str) -> str:
    """A stage for people: its name, parameters with their defaults, and its documentation."""
    stages = shipped()
    if name not in stages:
        raise UserError(f"there is no stage {name!r}; {nearest(name, stages)}")
    function = stages[name]
    settings = list(inspect.signature(function).parameters.values())[1:]
    paths = file_settings(function)
    notes = {name: "a path" if hint == FilePath else "may be a path" for name, hint in paths.items()}
    lines = [f'use = "{name}"', *(_setting(parameter, notes.get(parameter.name, "")) for parameter in settings)]
    return "\n".join([*lines, "", inspect.cleandoc(function.__doc__ or "")])


def _setting(parameter: inspect.Parameter, note: str) -> str:
    note = note and f"; {note}"
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return f"{parameter.name} = ...  # any number"
    if parameter.default is inspect.Parameter.empty:
        return f"{parameter.name} = ...  # needed{note}"
    if parameter.default is None:
        return f"# {parameter.name}  (not set{note})"
    return f"{parameter.name} = {tomli_w.dumps({'v': parameter.default})[4:].strip()}"


def _is_stage(function: Any) -> bool:
    if function.__name__.startswith("_") or function.__name__ == "set_column":
        return False
    parameters = list(inspect.signature(function).parameters.values())
    others = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}
    return bool(parameters) and parameters[0].name == "batch" and all(p.kind in others for p in parameters[1:])


def _own_stage(step: Step) -> Stage:
    stages = shipped()
    if step.use not in stages:
        raise RecipeError(f"step[{step.number}]: there is no stage {step.use!r}; {nearest(step.use, stages)}")
    return stages[step.use]


def _user_stage(step: Step, folder: str) -> Stage:
    name, _, attribute = step.use.partition(":")
    module = user_module(name, folder)
    function = getattr(module, attribute, None)
    if not callable(function):
        names = [n for n, value in vars(module).items() if inspect.isfunction(value)]
        raise RecipeError(f"step[{step.number}]: {name} has no function {attribute!r}; {nearest(attribute, names)}")
    return function  # type: ignore[no-any-return]


class _Source(SourceFileLoader):
    """Compiles the source at hand: Python's cache takes a file of the same second and size for the old one."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def user_module(name: str, folder: str) -> ModuleType:
    """A module beside the recipe, else one that Python finds."""
    path = Path(folder, *name.split(".")).with_suffix(".py").resolve()
    if not path.exists():
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise RecipeError(f"{name}: no such module beside the recipe ({path}) nor elsewhere ({error})") from None
    full_name = f"_dedup_user_{abs(hash(str(path)))}_{path.stem}"
    if full_name in sys.modules:
        return sys.modules[full_name]
    specification = importlib.util.spec_from_file_location(full_name, path, loader=_Source(full_name, str(path)))
    if specification is None or specification.loader is None:
        raise RecipeError(f"{path}: cannot be loaded as Python")
    module = importlib.util.module_from_spec(specification)
    sys.modules[full_name] = module
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[full_name]
        raise RecipeError(f"{path}: {type(error).__name__}: {error}") from error
    return module


def _check_settings(step: Step, function: Stage) -> None:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters]
    for key in step.settings:
        if key not in known:
            raise RecipeError(f"{step.label} has no parameter {key!r}; {nearest(key, known)}")
    missing = [p.name for p in parameters if p.default is inspect.Parameter.empty and p.name not in step.settings]
    if missing:
        raise RecipeError(f"{step.label} needs a value for {missing[0]!r}")


# Settings that name files


def file_settings(function: Stage) -> dict[str, Any]:
    """The settings of a stage that may name files, with their types."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    hints = {parameter.name: _type_of(parameter, function) for parameter in parameters}
    return {name: hint for name, hint in hints.items() if _names_files(hint)}


def _type_of(parameter: inspect.Parameter, function: Stage) -> Any:
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    try:
        return eval(parameter.annotation, getattr(function, "__globals__", {}))
    except Exception:  # a name that only type checkers know
        return None


def _names_files(hint: Any) -> bool:
    return hint in (FilePath, FileOrName) or any(map(_names_files, get_args(hint)))


def with_files(step: Step, folder: str) -> tuple[Step, dict[str, str]]:
    """The step with absolute paths of the files that its settings name, and the fingerprint of each file.

    A file is looked for beside the recipe, else in the current folder; RecipeError where it is missing.
    """
    files: dict[str, str] = {}

    def found(setting: str, value: str, kind: Any) -> str:
        if is_url(value):
            try:
                files[value] = fingerprint(value)
            except FileNotFoundError:
                raise RecipeError(f"{step.label}: {setting} is {value!r}; there is no such object") from None
            return value
        value = plain(value)
        places = [os.path.abspath(os.path.join(place, value)) for place in (folder, ".")]
        path = next((place for place in places if os.path.exists(place)), None)
        if path is None or not os.path.isfile(path):
            if kind == FileOrName:
                return value
            raise RecipeError(f"{step.label}: {setting} is {value!r}; {_missing(value, folder, path)}")
        try:
            files[path] = fingerprint(path)
        except OSError as error:
            raise RecipeError(f"{step.label}: {setting} is {value!r}, which cannot be read: {error.strerror}") from None
        return path

    hints = file_settings(find(step, folder))
    settings = {
        name: _with_paths(value, hints[name], name, found) if name in hints else value
        for name, value in step.settings.items()
    }
    return dataclasses.replace(step, settings=settings), files


def with_copies(step: Step, folder: str) -> Step:
    """The step with paths of this machine for the files of its settings that lie on a store."""
    if not any("://" in repr(value) for value in step.settings.values()):
        return step
    hints = file_settings(find(step, folder))
    settings = {
        name: _with_paths(value, hints[name], name, lambda setting, path, kind: local_copy(path))
        if name in hints
        else value
        for name, value in step.settings.items()
    }
    return dataclasses.replace(step, settings=settings)


def _missing(value: str, folder: str, path: str | None) -> str:
    if path is not None:
        return "it is a folder, and a file is needed"
    if os.path.isabs(value):
        return "there is no such file"
    beside = f"beside the recipe ({folder}) nor " if os.path.abspath(folder) != os.getcwd() else ""
    return f"there is no such file {beside}in the current folder"


def _with_paths(value: Any, hint: Any, name: str, found: Callable[[str, str, Any], str]) -> Any:
    """A value of a type, its files replaced by where they were found."""
    for kind in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        if isinstance(value, str) and kind in (FilePath, FileOrName):
            return found(name, value, kind)
        if isinstance(value, list) and get_origin(kind) is list:
            (inner,) = get_args(kind)
            return [_with_paths(item, inner, f"{name}[{i}]", found) for i, item in enumerate(value)]
        if isinstance(value, dict) and get_origin(kind) is dict:
            return {key: _with_paths(item, get_args(kind)[1], f"{name}.{key}", found) for key, item in value.items()}
    return value
