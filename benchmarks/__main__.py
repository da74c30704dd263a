"""Prints one table a benchmark. Rows that we lose, and figures over their bar, stay in the table.

A benchmark that needs a package beside ours is passed over in a run of all, with a line that says how to get it.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

from benchmarks.beside import AbsentError
from benchmarks.table import render

NAMES = (
    "start",
    "ratio",
    "stages",
    "kernels",
    "fix",
    "language",
    "memory",
    "budget",
    "resume",
    "workers",
    "skew",
    "report",
    "datatrove",
    "refit",
)


def main() -> None:
    """Run the named benchmarks, all without a name."""
    names = sys.argv[1:] or list(NAMES)
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        sys.exit(f"benchmarks: there is no {unknown[0]!r}; there are {', '.join(NAMES)}")
    for name in names:
        module = importlib.import_module(f"benchmarks.{name}")
        with tempfile.TemporaryDirectory(prefix="dedup-bench-") as folder:
            try:
                print(render(name, module.rows(Path(folder))), flush=True)
            except AbsentError as reason:
                if sys.argv[1:]:
                    sys.exit(f"{name} {reason}")
                print(f"{name}: left out, since it {reason}\n", flush=True)


if __name__ == "__main__":
    main()
