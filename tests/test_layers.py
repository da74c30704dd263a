"""The rows of the house (design section 2): a module imports from lower rows, its own package, and little else.

What is imported inside functions counts too: it is where a dependency that points upwards would hide.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent / "dedup"
ROWS = (
    ("errors", "buffers"),  # buffers knows Arrow and NumPy, nothing of this package
    ("kernels",),
    ("drop", "io", "memory"),
    ("segment", "clean", "measure", "exact", "near"),
    ("recipe", "stages", "plan", "arrays"),
    ("runner", "warm"),
    ("report",),
    ("cli", "__init__", "__main__", "sample"),
)
ROW_OF = {unit: number for number, row in enumerate(ROWS) for unit in row}
# Neighbours of one row: (who imports, whom). Warming runs a recipe, and a run warms.
NEIGHBOURS = {
    ("measure", "segment"), ("stages", "recipe"), ("plan", "recipe"), ("plan", "stages"),
    ("runner", "warm"), ("warm", "runner"), ("__main__", "cli"), ("cli", "__init__"),
}  # fmt: skip
# What every module may ask the package itself for, as in `import dedup`.
FACTS = {"__version__", "__file__"}


def modules() -> list[Path]:
    return sorted(HOME.rglob("*.py"))


def imports(source: str) -> Iterator[str]:
    """The units of this package that some source imports; "__init__" for a name of the package itself."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "dedup":
                yield from (_unit(alias.name) for alias in node.names if alias.name not in FACTS)
            elif node.module and node.module.startswith("dedup."):
                yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dedup."))
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "dedup" and node.attr not in FACTS:
            yield _unit(node.attr)


def _unit(name: str) -> str:
    return name if name in ROW_OF else "__init__"


def breaches(unit: str, source: str) -> list[str]:
    """The imports of one module that the rows do not allow."""
    return [
        f"{unit} (row {ROW_OF[unit]}) imports {other} (row {ROW_OF[other]})"
        for other in imports(source)
        if other != unit and ROW_OF[other] >= ROW_OF[unit] and (unit, other) not in NEIGHBOURS
    ]


def unit_of(path: Path) -> str:
    first = path.relative_to(HOME).parts[0]
    return first.removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HOME)))
def test_a_module_imports_from_lower_rows_only(path: Path) -> None:
    unit = unit_of(path)
    assert unit in ROW_OF, f"{unit} has no row: give it one in ROWS"
    assert breaches(unit, path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("unit", "source", "expected"),
    [
        ("clean", "from dedup.runner.driver import run", ["clean (row 3) imports runner (row 5)"]),
        ("clean", "def f():\n    from dedup import segment", ["clean (row 3) imports segment (row 3)"]),
        ("kernels", "import dedup.io.read", ["kernels (row 1) imports io (row 2)"]),
        ("runner", "import dedup\ndedup.near_duplicates([])", ["runner (row 5) imports __init__ (row 7)"]),
        ("runner", "import dedup\nprint(dedup.__version__)", []),
        ("io", "from dedup.kernels.jsonl import value_span", []),
    ],
)
def test_this_test_finds_imports_that_point_upwards(unit: str, source: str, expected: list[str]) -> None:
    assert breaches(unit, source) == expected


def test_every_exception_is_still_needed() -> None:
    used = {(unit_of(path), other) for path in modules() for other in imports(path.read_text("utf-8"))}
    assert used >= NEIGHBOURS


def test_every_unit_of_the_rows_exists() -> None:
    assert {unit_of(path) for path in modules()} == set(ROW_OF)
