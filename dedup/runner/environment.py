"""What a machine needs to take part in a run: the code that makes the bytes, and its kernels compiled."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import threading
from collections.abc import Callable
from pathlib import Path

import dedup
from dedup.recipe import Recipe
from dedup.stages import user_module

WARMING = "_DEDUP_WARMING"


def environment_key(recipe: Recipe) -> str:
    """Names the code that makes the bytes: our sources, the user's modules, and the libraries that matter."""
    digest = hashlib.blake2b(digest_size=16)
    home = Path(dedup.__file__).parent
    for source in sorted([*home.rglob("*.py"), *home.rglob("*.npz")]):
        digest.update(str(source.relative_to(home)).encode() + b"\0" + source.read_bytes() + b"\0")
    for step in recipe.step:
        if ":" in step.use:
            module = user_module(step.use.partition(":")[0], recipe.folder)
            digest.update(Path(module.__file__ or "").read_bytes())
    for name in ("ftfy", "langdetect", "pyarrow", "xxhash", "orjson", "zstandard", "numpy"):
        digest.update(f"{name} {importlib.metadata.version(name)}".encode())
    return digest.hexdigest()


def warm_kernels(recipe: Recipe, say: Callable[[str], None]) -> None:
    """Compile the recipe's kernels into the cache before workers would each do it."""
    from dedup import warm
    from dedup.kernels import compile as compiling

    if compiling.cache_folder() is None or os.environ.get(WARMING):
        return
    cold = {name: part for name, part in warm.parts(recipe).items() if not compiling.is_warm(name)}
    if not cold:
        return
    names = sorted({name.partition("-")[0] for name in cold})
    text = f"compiling kernels for this machine, once (up to a minute): {', '.join(names)}"
    telling = threading.Timer(2.0, say, [text])  # with another setting they are mostly there, and nobody waits
    telling.start()
    os.environ[WARMING] = "1"  # warming runs recipes, which would warm again
    try:
        warm.warm(cold, recipe.folder)
    finally:
        telling.cancel()
        del os.environ[WARMING]
    for name in cold:
        compiling.mark_warm(name)
