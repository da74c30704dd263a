"""Training-data deduplication and cleaning: every removal verified, explained and reproducible.

Public names are resolved when first used: `import dedup` imports neither numba nor pyarrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "run": "dedup.runner.driver",
    "rerun": "dedup.runner.whatif",
    "sweep": "dedup.runner.sweep",
    "Result": "dedup.runner.result",
    "show": "dedup.report.examples",
    "pairs": "dedup.report.examples",
    "clusters": "dedup.report.examples",
    "why": "dedup.report.life",
    "near_duplicates": "dedup.arrays",
    "exact_duplicates": "dedup.arrays",
    "signatures": "dedup.arrays",
    "shingle_hashes": "dedup.arrays",
    "jaccard": "dedup.arrays",
    "DedupError": "dedup.errors",
    "FilePath": "dedup.io.named",
}
__all__ = ["DedupError", "FilePath", "Result", "__version__", "clusters", "exact_duplicates", "jaccard",
           "near_duplicates", "pairs", "rerun", "run", "shingle_hashes", "show", "signatures",
           "sweep", "why"]  # fmt: skip

if TYPE_CHECKING:
    from dedup.arrays import exact_duplicates, jaccard, near_duplicates, shingle_hashes, signatures
    from dedup.errors import DedupError
    from dedup.io.named import FilePath
    from dedup.report.examples import clusters, pairs, show
    from dedup.report.life import why
    from dedup.runner.driver import run
    from dedup.runner.result import Result
    from dedup.runner.sweep import sweep
    from dedup.runner.whatif import rerun


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dedup' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
