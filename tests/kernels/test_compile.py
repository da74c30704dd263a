"""The kernel cache: never stale, never in the way."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dedup
from dedup.kernels.compile import with_imports

HOME = Path(dedup.__file__).parent.parent
CALL = """
import numpy as np
from dedup.kernels.shingle import shingle_one
out = np.zeros(1, np.uint64)
shingle_one(np.arange(5, dtype=np.uint64), 0, 5, 5, False, out)
print(out[0])
"""


def call(home: Path, cache: Path) -> tuple[str, str]:
    environment = os.environ | {"PYTHONPATH": str(home), "DEDUP_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", CALL]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def copy_of_the_package(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    shutil.copytree(HOME / "dedup", home / "dedup", ignore=shutil.ignore_patterns("__pycache__"))
    return home


def test_a_changed_callee_in_another_module_is_noticed(tmp_path):
    home, cache = copy_of_the_package(tmp_path), tmp_path / "cache"
    before, _ = call(home, cache)
    assert call(home, cache)[0] == before
    callee = home / "dedup" / "kernels" / "token.py"
    callee.write_text(callee.read_text().replace("0xBF58476D1CE4E5B9", "0xBF58476D1CE4E5BB"))
    assert call(home, cache)[0] != before


def test_a_change_compiles_anew_only_what_depends_on_it() -> None:
    kernels = {path.stem for path in (HOME / "dedup" / "kernels").glob("*.py")}
    assert with_imports("shingle") == {"shingle", "compile", "token", "word"}
    assert with_imports("word") == {"word"}
    for name in kernels:  # every import of a neighbour is seen, however it is written
        source = (HOME / "dedup" / "kernels" / f"{name}.py").read_text()
        tree = ast.walk(ast.parse(source))
        imported = [node for node in tree if isinstance(node, ast.ImportFrom | ast.Import)]
        words = {
            word
            for node in imported
            for word in re.findall(r"\w+", ast.unparse(node))
            if "kernels" in ast.unparse(node)
        }
        assert words & kernels <= with_imports(name)


def test_without_a_writable_folder_kernels_work_and_one_line_says_so(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")  # a folder cannot be made below a file, for root either
    value, said = call(HOME, blocked)
    assert value == call(HOME, tmp_path / "cache")[0]
    assert said.count("\n") == 1
    assert "is not writable" in said
    assert "Set DEDUP_CACHE_DIR" in said


@pytest.mark.slow(always=True)
def test_warming_compiles_every_kernel_that_a_run_uses(tmp_path):
    code = f"""
import sys
from dedup import sample
from dedup import recipe, warm
import os
os.environ["_DEDUP_WARMING"] = "1"
loaded = recipe.load({str(HOME / "configs" / "quickstart.toml")!r})
warm.warm(warm.parts(loaded), loaded.folder)
def compiled():
    found = {{}}
    for name, module in list(sys.modules.items()):
        if name.startswith("dedup.kernels"):
            for key, value in vars(module).items():
                if hasattr(value, "signatures"):
                    found[name, key] = len(value.signatures)
    return found
before = compiled()
sample.write({str(tmp_path / "sample")!r})
import dedup
dedup.run({str(HOME / "configs" / "quickstart.toml")!r}, {str(tmp_path / "sample")!r}, {str(tmp_path / "out")!r},
          executor="serial")
print({{k: v for k, v in compiled().items() if before.get(k) != v}})
"""
    environment = os.environ | {"PYTHONPATH": str(HOME)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{}"
