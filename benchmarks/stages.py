"""What recipes cost in copies, and each step of web_en and web_zh: MB/s of the text it sees, its share of the run.

From a run's own account (report/summary.json), less that of a run on one row group: what starting costs does not
count. Copies and runs as in `ratio`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import corpus, ratio
from benchmarks.process import cost
from benchmarks.table import Row

BARS = {"web_en": 9, "web_zh": 10}  # recipes whose parts are shown
OTHERS = ("c4", "refinedweb", "multilingual", "annotate_only", "dedup_only", "code")


def rows(folder: Path) -> list[Row]:
    """The ratio of each recipe, and its parts; other than English recipes only on the real corpora."""
    english = _after_one_group(corpus.english(folder), folder)
    shards = dict.fromkeys((*BARS, *OTHERS), english)
    if corpus.is_real():
        chinese = corpus.chinese(folder)
        shards |= {"web_zh": _after_one_group(chinese, folder), "multilingual": [*english[:3], chinese[0]]}
        shards["code"] = _after_one_group(corpus.code(), folder)
    return [row for recipe, some in shards.items() for row in _rows(recipe, some, folder)]


def _after_one_group(shards: Sequence[Path], folder: Path) -> list[Path]:
    """The shards after a small one: a row group of the first."""
    group = folder / f"group-{shards[0].name}"
    pq.write_table(pq.ParquetFile(shards[0]).read_row_group(0), group, compression="zstd")
    return [group, *shards]


def _rows(recipe: str, shards: Sequence[Path], folder: Path) -> list[Row]:
    accounts: dict[int, list[dict[str, Any]]] = {}
    copies = folder / "copies"
    copies.mkdir(exist_ok=True)

    def run(some: Sequence[Path]) -> float:
        output = folder / "out"
        shutil.rmtree(output, ignore_errors=True)
        options = ("--workers", "1", "--set", "max_drop=1.0", "--quiet")
        given = [word for path in some for word in ("-i", path)]
        spent = cost(["-m", "dedup", "run", recipe, *given, "-o", output, *options]).cpu_seconds
        accounts.setdefault(len(some), []).append(json.loads((output / "report" / "summary.json").read_text()))
        return spent

    run(shards[:1])  # compiles
    accounts.clear()
    copy = ratio.copy_of("parquet", copies)
    seconds = ratio.marginal({"copy": copy, "run": run}, shards)
    less, more = (min(accounts[n], key=lambda account: float(account["cpu_seconds"])) for n in (1, len(shards)))
    size = more["bytes_in"] - less["bytes_in"]
    beside = f"{seconds['run'] / size * 1e9:.1f} ns/byte of text; a copy takes {seconds['copy'] / size * 1e9:.1f}"
    kept = more["documents_kept"] / more["documents_in"]
    beside += f"; {kept:.1%} of {more['documents_in']:,} documents kept"
    whole = Row(f"dedup run {recipe}", seconds["run"] / seconds["copy"], "copies", BARS.get(recipe), beside)
    return [whole, *_parts(recipe, less, more, seconds["run"])] if recipe in BARS else [whole]


def _parts(recipe: str, less: dict[str, Any], more: dict[str, Any], whole: float) -> list[Row]:
    spent = {part: value - less["cpu_seconds_by_part"][part] for part, value in more["cpu_seconds_by_part"].items()}
    before = {seen["step"]: seen["bytes"] for seen in less["seen_by_steps"]}
    sizes = {f"step[{seen['step']}] ": seen["bytes"] - before[seen["step"]] for seen in more["seen_by_steps"]}
    found = []
    for part, seconds in spent.items():
        size = next(
            (size for label, size in sizes.items() if part.startswith(label)), more["bytes_in"] - less["bytes_in"]
        )
        speed = size / max(seconds, 1e-6) / 1e6
        found.append(Row(f"  {recipe}: {part}", speed, "MB/s", beside=f"{seconds / whole:6.1%} of the run"))
    rest = whole - sum(spent.values())
    return [*found, Row(f"  {recipe}: driver", rest / whole * 100, "% of run", beside="all that is in no task")]
