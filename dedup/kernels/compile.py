"""The one place that compiles kernels and decides where their machine code is kept.

Numba's own cache does not notice a changed callee in another module and fails at import where no
folder is writable. Here each module has a cache folder named by a hash of its source and of those it
imports, of Numba's version and of the CPU, so that stale code cannot be found, and a change compiles
anew only what depends on it; without a writable folder the kernels are compiled anew in every process,
and one line says so.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


_HOME = Path(__file__).parent
_IMPORTS = re.compile(rb"^\s*(?:from|import) dedup\.kernels(?:\.(\w+))?(?: import ([^\n(]+|\([^)]*\)))?", re.MULTILINE)


@functools.cache
def _machine() -> bytes:
    """Numba, Python and CPU."""
    import llvmlite.binding  # not Numba: the driver asks whether kernels are warm and starts half a second sooner

    cpu = llvmlite.binding.get_host_cpu_name() + llvmlite.binding.get_host_cpu_features().flatten()
    return f"{importlib.metadata.version('numba')} {sys.version_info[:2]} {cpu}".encode()


def _key(modules: Iterable[str]) -> str:
    """Names a cache: some modules of this folder and the machine."""
    digest = hashlib.blake2b(_machine(), digest_size=10)
    for name in sorted(modules):
        digest.update(name.encode() + b"\0" + _HOME.joinpath(f"{name}.py").read_bytes() + b"\0")
    return digest.hexdigest()


def with_imports(module: str) -> set[str]:
    """A module of this folder and all that it imports from here, directly or not."""
    found: set[str] = set()
    left = [module]
    while left:
        name = left.pop()
        path = _HOME / f"{name}.py"
        if name in found or not path.exists():  # a name that is imported may be a function
            continue
        found.add(name)
        for inside, names in _IMPORTS.findall(path.read_bytes()):
            left += [inside.decode()] if inside else re.findall(r"\w+", names.decode())
    return found


def cache_folder() -> Path | None:
    """A folder of this version of all kernels, created; None where it cannot be written."""
    return _folder("kernels", _key(path.stem for path in _HOME.glob("*.py")))


@functools.cache
def _folder(name: str, key: str) -> Path | None:
    base = os.environ.get("DEDUP_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "dedup"
    )
    folder = Path(base) / f"{name}-{key}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        _say_once(
            f"dedup: {base} is not writable ({error.strerror}); kernels are compiled anew in every process. "
            "Set DEDUP_CACHE_DIR to a folder that is."
        )
        return None
    return folder


@functools.cache
def _say_once(text: str) -> None:
    print(text, file=sys.stderr)


@functools.cache
def _module_key(module: str) -> str:
    return _key(with_imports(module))


def is_warm(part: str) -> bool:
    """Whether every kernel of some part of a recipe has been compiled into the cache before."""
    folder = cache_folder()
    return folder is not None and (folder / f"warm-{part}").exists()


def mark_warm(part: str) -> None:
    """Record that the kernels of a part are in the cache."""
    folder = cache_folder()
    if folder is not None:
        (folder / f"warm-{part}").touch()


def kernel(function: F) -> F:
    """Compile `function` lazily, without the GIL, into the cache; NumPy's rules for division by zero."""
    return _compiled(function)


def lean_kernel(function: F) -> F:
    """The same for a kernel that makes no array: references to those it is given are not counted.

    Each call of a function that is not inlined otherwise counts its arrays up and down, an atomic instruction each
    (words between white space: 13.3 -> 3.0 ns a byte on English; tokens: 4.1 -> 3.4).
    """
    return _compiled(function, _nrt=False)


def _compiled(function: F, **options: bool) -> F:
    import numba
    from numba.core import config

    module = function.__module__.rpartition(".")[2]
    folder = _folder(module, _module_key(module))
    saved = config.CACHE_DIR
    if folder is not None:
        config.CACHE_DIR = str(folder)
    try:
        compiled = numba.njit(nogil=True, error_model="numpy", cache=folder is not None, **options)(function)
    finally:
        config.CACHE_DIR = saved
    return compiled
