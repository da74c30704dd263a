"""Tables that take long to build, kept beside the compiled kernels."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.kernels.compile import cache_folder

Arrays = dict[str, npt.NDArray[Any]]


def kept(name: str, made_by: str, build: Callable[[], Arrays]) -> Arrays:
    """What `build()` returns, from the cache folder if it is there; built in memory where no folder is writable.

    name      says what the arrays depend on beyond their source: versions of libraries and of Unicode
    made_by   the source file (`__file__`) of the builder; another source, another file in the cache
    """
    folder = cache_folder()
    if folder is None:
        return build()
    path = folder / f"{name}-{hashlib.blake2b(Path(made_by).read_bytes(), digest_size=6).hexdigest()}.npz"
    try:
        with path.open("rb") as file, np.load(file) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # not there, or torn by a full disk
        arrays = build()
    _write(path, arrays)
    return arrays


def _write(path: Path, arrays: Arrays) -> None:
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with beside.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # NumPy's stub mixes up its flag
        beside.replace(path)
    except OSError:  # a full disk costs the time of building, nothing else
        beside.unlink(missing_ok=True)
