"""What is written for people holds: README commands and snippets run, help texts run, docstrings name what exists.

The blocks of the README are executed in order in a copy of the layout. bash and python blocks are run, blocks that
begin with `# a file's name` are written to that file, and every line of a text block must have been printed before.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import click
import pyarrow as pa
import pytest

import dedup
from dedup import cli, stages
from dedup.recipe import EXACT_SETTINGS, NEAR_SETTINGS, Recipe
from tests.test_laws import SETTINGS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
MAKE_TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))

RUN_BY_CI = pytest.mark.slow(always=True)  # thirty commands and more, a second of CPU each


class Block(NamedTuple):
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that its first line names."""
        found = re.match(r"# ([\w.]+\.(?:py|toml))\n", self.text)
        return found[1] if found else None


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)]


class Layout(NamedTuple):
    """A folder like a clone in which `dedup`, `make` and `.venv/bin/...` can be called."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, env=self.environment, check=False
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copy(ROOT / "pyproject.toml", folder)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    python = f'exec "{sys.executable}"'
    scripts = {
        "dedup": f'{python} -m dedup "$@"',
        "python": f'{python} "$@"',
        "python3": 'test "$*" = "-m venv .venv"',
        "pip": 'test "$*" = "install -e .[report]"',
        "make": 'case "$1" in ' + "|".join(MAKE_TARGETS) + ") exit 0;; *) exit 1;; esac",
    }
    for name, script in scripts.items():
        (binaries / name).write_text(f"#!/bin/sh\n{script}\n")
        (binaries / name).chmod(0o755)
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    return Layout(folder, os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)})


@pytest.fixture(scope="module")
def printed(layout: Layout) -> list[str]:
    """All that the blocks of the README print, in order; an entry a block."""
    found = []
    for block in BLOCKS:
        if block.file:
            (layout.folder / block.file).write_text(block.text, "utf-8")
        elif block.language == "bash":
            found.append(layout.run("bash", "-euc", block.text))
        elif block.language == "python" and "import datasets" in block.text and not find_spec("datasets"):
            shown = next(after for before, after in itertools.pairwise(BLOCKS) if before is block)
            found.append(shown.text)  # pip install -e '.[dev]' has it; tests/test_library.py skips with the reason
        elif block.language == "python":
            found.append(layout.run(sys.executable, "-c", block.text))
    return found


@RUN_BY_CI
def test_every_command_and_snippet_of_the_readme_runs(printed: list[str]) -> None:
    languages = [block.language for block in BLOCKS if not block.file]
    assert len(printed) == languages.count("bash") + languages.count("python") >= 6
    assert {block.language for block in BLOCKS} == {"bash", "python", "toml", "text", ""}
    assert {block.file for block in BLOCKS} == {None, "recipe.toml", "my_rules.py", "inputs.toml", "weighted.toml"}


@RUN_BY_CI
def test_what_the_readme_shows_is_what_is_printed(printed: list[str]) -> None:
    lines = {line.rstrip() for text in printed for line in text.splitlines()}
    shown = [line for block in BLOCKS if block.language == "text" for line in block.text.splitlines()]
    assert [line for line in shown if line.rstrip() not in lines] == []


@RUN_BY_CI
def test_the_output_is_as_the_readme_lists_it(layout: Layout, printed: list[str]) -> None:
    listed = next(block.text for block in BLOCKS if block.language == "")
    names = {line.split()[0].rstrip("/") for line in listed.splitlines()}
    written = {path.name for path in (layout.folder / "out" / "quickstart").iterdir()}
    assert written - {".lock"} == names


def test_a_filter_of_ones_own_takes_five_lines() -> None:
    rules = next(block.text for block in BLOCKS if block.file == "my_rules.py")
    assert len([line for line in rules.splitlines() if line and not line.startswith("#")]) <= 5


def test_the_make_targets_of_the_readme_exist() -> None:
    assert set(re.findall(r"\bmake ([a-z]+)\b", " ".join(b.text for b in BLOCKS))) == {"run", "test"} <= MAKE_TARGETS


def test_every_file_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"\b(?:tests|configs)/[\w/]+\.\w+", README))
    assert {name for name in named if not (ROOT / name).exists()} == set()
    assert len(named) >= 7


def table_names(heading: str) -> set[str]:
    """The names in code style in the first column of the table below some words."""
    rows = re.search(re.escape(heading) + r".*?\n\n((?:\|[^\n]*\n)+)", README, flags=re.DOTALL)
    assert rows
    return {name for row in rows[1].splitlines()[2:] for name in re.findall(r"`([\w.]+)`", row.split("|")[1])}


def test_the_settings_of_the_readme_are_those_of_recipes() -> None:
    assert table_names("Of a recipe") == {item.name for item in dataclasses.fields(Recipe)} - {"step", "folder"}
    assert table_names('Of `dedup = "near"`') == set(NEAR_SETTINGS)
    assert set(EXACT_SETTINGS) == {"on", "keep"}


def test_the_readme_names_every_stage() -> None:
    assert table_names("Stages clean, measure or drop.") == set(stages.shipped())


# Help texts

COMMANDS: dict[str, click.Command] = {"": cli.cli, **cli.cli.commands}


def help_of(name: str) -> str:
    return COMMANDS[name].get_help(click.Context(COMMANDS[name], info_name=f"dedup {name}".strip()))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_is_printed_and_explains_every_option(name: str, layout: Layout) -> None:
    printed = layout.run("dedup", *([name] if name else []), "--help")
    assert printed.startswith("Usage: ")
    options = [item for item in COMMANDS[name].params if isinstance(item, click.Option)]
    assert [item.name for item in options if not item.help] == []
    assert {item.opts[-1] for item in options} <= set(re.findall(r"--[\w-]+", printed))


@pytest.mark.parametrize("name", ["", "index"])
def test_commands_are_listed_with_a_whole_sentence_each(name: str) -> None:
    context = click.Context(COMMANDS[name], terminal_width=80)
    listed = COMMANDS[name].get_help(context).partition("\nCommands:\n")[2].splitlines()
    assert len(listed) == len(COMMANDS[name].commands)
    assert [line for line in listed if line.endswith("...") or not line.endswith(".")] == []


@RUN_BY_CI
@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_every_help_run(name: str, layout: Layout, printed: list[str]) -> None:
    examples = re.findall(r"^ +(?:Example: )?(dedup .*?)(?: {2,}.*)?$", help_of(name), flags=re.MULTILINE)
    assert len(examples) >= 1
    for example in examples:
        assert layout.run("bash", "-euc", example) != ""


# Docstrings

PUBLIC: dict[str, Callable[..., Any]] = {
    **{f"dedup.{n}": getattr(dedup, n) for n in dedup.__all__ if inspect.isfunction(getattr(dedup, n))},
    **stages.shipped(),
}
# What else a docstring lists: values of a setting, columns that come with one.
CHOICES = {
    "segment": ("tokens", "whitespace", "punctuated"),
    "measure.language.identify": ("profiles", "langdetect", "fasttext", "language_runners_up"),
    "measure.roots": ("flagged_word_ratio",),
    "measure.url": ("url_is_blocked", "url_blocked_word_count", "url_blocked_part_count"),
}
LISTED = re.compile(r"^(\w+(?:, \w+)*) {2,}\S", re.MULTILINE)


def listed_names(function: Callable[..., Any]) -> list[str]:
    """Names that a docstring explains in a list, as in `threshold   the similarity ...`."""
    assert function.__doc__
    return [name for names in LISTED.findall(inspect.cleandoc(function.__doc__)) for name in names.split(", ")]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_docstring_explains_only_parameters_and_columns_that_exist(name: str) -> None:
    function = PUBLIC[name]
    known = set(inspect.signature(function).parameters)
    if name in stages.shipped() and name != "drop.when":
        nothing = pa.record_batch({name: pa.array([], pa.large_string()) for name in ("text", "id", "source")})
        known |= {
            "column",
            "setting",
            *function(nothing, **SETTINGS.get(name, {})).schema.names,
            *CHOICES.get(name, ()),
        }
    assert [item for item in listed_names(function) if item not in known] == []


def test_docstrings_that_list_parameters_are_read() -> None:
    assert listed_names(dedup.near_duplicates) == ["threshold", "shingle", "keep", "sketch"]
    assert {"input", "output", "changes", "workers"} <= set(listed_names(dedup.run))
    assert {"word_count", "stop_word_count"} <= set(listed_names(stages.shipped()["measure.gopher.quality"]))


# Recipes, and what is nowhere


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.name)
def test_a_recipe_begins_with_what_it_is_for_and_what_it_costs(path: Path) -> None:
    head = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    assert head[0].startswith("# For: ")
    assert any(line.startswith("# Costs: ") for line in head)


EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f]")


def test_there_is_no_emoji() -> None:
    files = [ROOT / "README.md", ROOT / "Makefile", *(ROOT / "dedup").rglob("*.py"), *(ROOT / "configs").glob("*")]
    assert [str(path) for path in files if EMOJI.search(path.read_text("utf-8"))] == []
