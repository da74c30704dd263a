"""What a run will take: documents, peak memory, disk and time, from a run of the real stages over a sample.

The sample is the first documents of some shards, a few MiB in all. What it takes is scaled by bytes of text, which is
what scanning, comparing and writing are proportional to. What it cannot show is how duplication grows with the corpus.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dedup import memory
from dedup.errors import UserError
from dedup.io import place, units
from dedup.io.shards import Input
from dedup.plan import Plan, bands_of, near_files
from dedup.runner import budget

SAMPLED = 4  # shards
SAMPLE_BYTES = 4 << 20  # of text in all
DOCUMENT_DISK = 100  # bytes of temporary tables a document, at least


class Estimate(NamedTuple):
    """What a run over all shards takes, about.

    disk_bytes   at the output: temporary files and what is written, before the temporary files go
    """

    documents: int
    text_bytes: int
    workers: int
    memory_bytes: int
    batch_bytes: int
    peak_bytes: int
    temporary_bytes: int
    disk_bytes: int
    seconds: float
    sample_documents: int


def estimate(plan: Plan, limit: int | None = None) -> Estimate:
    """Run the recipe over a sample; UserError where the run cannot fit the memory."""
    from dedup.runner import driver  # which asks this module

    recipe = plan.recipe
    corpus = budget.look_at(plan.every_shard, limit, with_stages=budget.has_stages(recipe))
    budget_bytes = driver.memory_of(recipe)
    asked = driver.workers_of(recipe, plan.every_shard, len(units.cut(plan.every_shard)))
    workers = budget.fitting_workers(corpus, budget_bytes, asked)
    with tempfile.TemporaryDirectory(prefix="dedup-plan-") as folder:
        # Two, since the first pays for what a process does once; time is what the larger takes beyond the smaller.
        few, *_ = _sampled(plan, corpus, Path(folder, "few"), SAMPLE_BYTES // 8)
        summary, temporary, written = _sampled(plan, corpus, Path(folder, "many"), SAMPLE_BYTES)
    share = corpus.text_bytes / max(summary["bytes_in"], 1)
    more = summary["bytes_in"] - few["bytes_in"]
    each = (summary["cpu_seconds"] - few["cpu_seconds"]) / more if more > 0 else 0.0
    batch = budget.derive(budget_bytes, workers, corpus.documents, batch_bytes=recipe.batch_bytes).batch_bytes
    return Estimate(
        corpus.documents,
        corpus.text_bytes,
        workers,
        budget_bytes,
        batch,
        min(budget_bytes, corpus.peak(workers, min(batch, corpus.text_bytes))),
        int(temporary * share),
        int((temporary + written) * share),
        max(summary["cpu_seconds"], each * corpus.text_bytes) / workers,
        summary["documents_in"],
    )


def _sampled(plan: Plan, corpus: budget.Corpus, output: Path, size: int) -> tuple[dict[str, Any], int, int]:
    """(summary, bytes of temporary files, of written ones) of a run over the sample."""
    from dedup.runner import driver  # which asks this module

    good = [shard for shard in plan.shards if shard.bytes and shard.format != "unknown"]
    places = np.unique(np.linspace(0, len(good) - 1, min(SAMPLED, len(good))).astype(int)) if good else np.zeros(0, int)
    each = max(1, corpus.text_bytes // max(corpus.documents, 1))
    limit = max(1, size // max(len(places), 1) // each)
    sample = dataclasses.replace(
        plan.recipe,
        input=(Input(tuple(good[at].path for at in places)),),
        against=(),
        index=None,
        output=str(output),
        work=None,
        executor="serial",
        address=None,
        memory=None,
        max_drop=1.0,
    )
    result = driver.run_recipe(sample, limit=limit, keep_work=True, quiet=True)
    temporary = _size(output / "work")
    return result.summary, temporary, _size(output) - temporary


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check_fits(plan: Plan, found: Estimate) -> None:
    """UserError where the output has not the disk for a run."""
    work = place.work_folder(plan.recipe.output, plan.recipe.work)
    if not place.is_url(plan.recipe.output) and isinstance(work, Path):
        check_disk(work, found.disk_bytes)


def least_disk(plan: Plan, corpus: budget.Corpus) -> int:
    """Bytes of temporary files that a run makes at the very least."""
    bands = 0
    for one in plan.passes:
        files = near_files(one.barriers)
        bands += sum({found.bands: bands_of(one.barriers[n])[1].bands for n, found in files.items()}.values())
    return corpus.documents * (DOCUMENT_DISK + bands * 8)


def check_disk(work: Path, needed: int) -> None:
    """UserError where the file system of temporary files has not so much room, counting what a run left there."""
    home = next(path for path in (work.absolute(), *work.absolute().parents) if path.exists())
    free = shutil.disk_usage(home).free + (_size(work) if work.exists() else 0)
    if free < needed:
        raise UserError(
            f"{home}: {memory.text(free)} of disk are free, and the run needs about {memory.text(needed)} there; "
            "make room, or choose another output or work folder"
        )


def describe(found: Estimate) -> str:
    """The estimate for people, in the form of a plan."""
    hours, rest = divmod(int(found.seconds + 0.5), 3600)
    minutes, seconds = divmod(rest, 60)
    time = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    workers = f"{found.workers} worker{'s' if found.workers > 1 else ''}"
    lines = {
        "corpus": f"about {found.documents:,} documents, {found.text_bytes / 1e6:,.1f} MB of text",
        "memory": f"{memory.text(found.peak_bytes)} of {memory.text(found.memory_bytes)}, {workers}, "
        f"batches of {memory.text(found.batch_bytes)}",
        "disk": f"{memory.text(found.disk_bytes)}, {memory.text(found.temporary_bytes)} of it temporary",
        "time": f"{time}, by a sample of {found.sample_documents:,} documents",
    }
    return "\n".join(f"{name:<8} {line}" for name, line in lines.items())
