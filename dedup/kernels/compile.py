"""The one place that compiles kernels and decides where their machine code is kept.

Numba's own cache does not notice a changed callee in another module and fails at import where no
folder is writable. Here the cache folder's name is a hash of every source of this package folder,
of Numba's version and of the CPU, so that stale code cannot be found; without a writable folder the
kernels are compiled anew in every process, and one line says so.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def _sources_key() -> str:
    """Names the cache: sources of the kernels, Numba, Python and CPU."""
    digest = hashlib.blake2b(digest_size=10)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    import llvmlite.binding  # not Numba: the driver asks whether kernels are warm and starts half a second sooner

    cpu = llvmlite.binding.get_host_cpu_name() + llvmlite.binding.get_host_cpu_features().flatten()
    digest.update(f"{importlib.metadata.version('numba')} {sys.version_info[:2]} {cpu}".encode())
    return digest.hexdigest()


@functools.cache
def cache_folder() -> Path | None:
    """The folder of compiled kernels, created; None where it cannot be written."""
    base = os.environ.get("DEDUP_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "dedup"
    )
    folder = Path(base) / f"kernels-{_sources_key()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        print(
            f"dedup: {base} is not writable ({error.strerror}); kernels are compiled anew in every process. "
            "Set DEDUP_CACHE_DIR to a folder that is.",
            file=sys.stderr,
        )
        return None
    return folder


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
    import numba
    from numba.core import config

    folder = cache_folder()
    saved = config.CACHE_DIR
    if folder is not None:
        config.CACHE_DIR = str(folder)
    try:
        compiled = numba.njit(nogil=True, error_model="numpy", cache=folder is not None)(function)
    finally:
        config.CACHE_DIR = saved
    return compiled
