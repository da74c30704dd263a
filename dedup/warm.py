"""Runs the kernels of a recipe once, so that workers find all of them compiled.

Only what the recipe needs and the cache does not have: compiling every kernel of the package takes minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xxhash

from dedup.errors import DedupError
from dedup.recipe import Recipe, Step

_WORDS = " ".join(f"word{i}" for i in range(400))
_TEXTS = [
    _WORDS,
    _WORDS + " tail",
    "one two three four five six. One two three.\n\none two three four five six seven!\n- a [1] line...\n" * 3,
    "one two three four five six seven",
    "caf\u00e9 \u4e2d\u6587\u3002 Ã©tÃ© &amp; â€œquotedâ€\x9d <b>bold</b> \u0438\u0437 \u05d0\u05b8\u0301",
    "",
]


def parts(recipe: Recipe) -> dict[str, Step | str]:
    """What a recipe's kernels belong to: a name for each part, and its step or its scheme."""
    schemes = {step.settings["scheme"] for step in recipe.step if step.kind == "near"} or {"fast"}
    found: dict[str, Step | str] = {f"near-{scheme}": scheme for scheme in sorted(schemes)}
    for step in recipe.step:
        if step.kind == "stage" and ":" not in step.use and not step.use.startswith("drop."):
            digest = xxhash.xxh3_64_hexdigest(repr(sorted(step.settings.items())).encode())
            found[f"{step.use}-{digest}"] = step
    return found


def warm(wanted: Mapping[str, Step | str], folder: str) -> None:
    """Compile the kernels of some parts for the argument types of a run; half a minute for near without a cache.

    folder   of the recipe
    """
    from dedup.stages import find, with_copies

    for part in wanted.values():
        if isinstance(part, str):
            _run_near(part)
            continue
        try:
            find(part, folder)(_batch(), **with_copies(part, folder).settings)
        except (DedupError, KeyError):  # it needs a column of the user's: a worker compiles what is missing
            continue


def _batch() -> Any:
    import pyarrow as pa

    texts = pa.array([*_TEXTS, None], pa.large_string())
    ids = pa.array([str(i) for i in range(len(texts))], pa.large_string())
    return pa.record_batch({"text": texts, "id": ids, "url": pa.array(["https://example.org/a"] * len(texts))})


def _run_near(scheme: str) -> None:
    import json
    import tempfile
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

    from dedup.near.edges import SLICED_FROM
    from dedup.near.planes import CROWD_FROM
    from dedup.runner.driver import run

    with tempfile.TemporaryDirectory() as folder:
        # Changed lines of JSONL and documents with many shingles take kernels that others do not.
        Path(folder, "a.jsonl").write_text("".join(json.dumps({"text": text + " \r\n"}) + "\n" for text in _TEXTS))
        # So many near copies are a large bucket, and so many a crowd, which have kernels of their own.
        alike = [f"{_WORDS} tail{i}" for i in range(SLICED_FROM + 8)]
        alike += [f"{_WORDS[::-1]} crowd{i}" for i in range(CROWD_FROM + 24)]
        pq.write_table(pa.table({"text": alike}), Path(folder, "c.parquet"))
        pq.write_table(pa.table({"text": [*_TEXTS, None]}), Path(folder, "b.parquet"))
        steps = [{"use": "clean.normalize"}, {"dedup": "near", "scheme": scheme}]
        run({"step": steps, "report": False}, folder, Path(folder, "_out"), executor="serial")
