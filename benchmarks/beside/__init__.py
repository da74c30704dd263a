"""Packages that we are compared with and whose dependencies stay out of our environment: each has a Python of its own.

A module here is run by that Python, reads one Parquet file and writes another.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class AbsentError(Exception):
    """There is no Python that has the package; the text says how to make one."""


def run(package: str, variable: str, source: Path, target: Path) -> None:
    """Run the module of a package by the Python that an environment variable names."""
    # Isolated (-I), since else the module would find itself in place of the package whose name it has.
    subprocess.run(
        [_python(package, variable), "-I", Path(__file__).with_name(f"{package}.py"), source, target], check=True
    )


def _python(package: str, variable: str) -> str:
    python = os.environ.get(variable)
    if not python:
        needs = {"datatrove": "datatrove==0.10.1 spacy pyarrow", "jieba": "jieba==0.42.1 pyarrow"}[package]
        raise AbsentError(
            f"needs {package} beside: python3 -m venv ~/{package}; ~/{package}/bin/pip install {needs}; "
            f"export {variable}=~/{package}/bin/python"
        )
    return python
