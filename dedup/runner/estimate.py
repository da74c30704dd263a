"""What a run will take: documents, peak memory, disk and time, from a run of the real stages over a sample.

The sample is the first documents of some shards, a few MiB in all. What it takes is scaled by bytes of text, which is
what scanning, comparing and writing are proportional to. References are not written; of an index what shares a key
with the sample is counted. What it cannot show is how duplication grows with the corpus.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dedup import memory
from dedup.io import place, units
from dedup.io.shards import Input
from dedup.plan import Plan, bands_of
from dedup.runner import budget, disk, driver, index_lookup, indexing

SAMPLED = 4  # shards
SAMPLE_BYTES = 4 << 20  # of text in all
WRITING = ("write", "put together")
COMPARING = ("match equal", "match near", "join", "fetch", "verify")
KEY_SECONDS = 5e-7  # of CPU to look up a key in an index, and to sort and write one: 3.2 s for 3.1 million
KEY_BYTES = 12
ROW_BYTES = 60  # of a document in an index, beside its sketch, keys and text


class Estimate(NamedTuple):
    """What a run over all shards takes, about.

    against_documents, against_bytes   that it is compared with
    old_documents                      of an index, that share a key with one of the input
    index_bytes                        that the index grows by
    disk_bytes   at the output: temporary files and what is written, before the temporary files go
    """

    documents: int
    text_bytes: int
    against_documents: int
    against_bytes: int
    old_documents: int
    index_bytes: int
    workers: int
    memory_bytes: int
    batch_bytes: int
    peak_bytes: int
    temporary_bytes: int
    disk_bytes: int
    seconds: float
    sample_documents: int


class _Sample(NamedTuple):
    """What a run over a sample took.

    old_documents   of the index, that share a key with one of the sample
    """

    summary: dict[str, Any]
    temporary_bytes: int
    written_bytes: int
    old_documents: int

    def share_of(self, parts: tuple[str, ...]) -> float:
        """Of the CPU time of all tasks."""
        spent = self.summary["cpu_seconds_by_part"]
        return float(sum(spent.get(part, 0.0) for part in parts) / max(sum(spent.values()), 1e-9))


def estimate(plan: Plan, limit: int | None = None) -> Estimate:
    """Run the recipe over a sample; UserError where the run cannot fit the memory."""
    recipe = plan.recipe
    stages = budget.has_stages(recipe)
    corpus, theirs = (budget.look_at(some, limit, with_stages=stages) for some in (plan.shards, plan.against))
    with tempfile.TemporaryDirectory(prefix="dedup-plan-") as folder:
        # Two, since the first pays for what a process does once; time is what the larger takes beyond the smaller.
        few = _sampled(plan, corpus, Path(folder, "few"), SAMPLE_BYTES // 8).summary
        many = _sampled(plan, corpus, Path(folder, "many"), SAMPLE_BYTES)
    sampled = max(many.summary["bytes_in"], 1)
    keys, new_bytes, old_bytes = _index_sizes(plan, corpus, many)
    old = _old_documents(plan, many, corpus.documents / max(many.summary["documents_in"], 1))
    every = corpus.with_others(theirs)
    every = dataclasses.replace(every, documents=every.documents + old)
    memory_bytes = budget.memory_of(recipe)
    asked = budget.workers_of(recipe, plan.every_shard, len(units.cut(plan.every_shard)))
    workers = budget.fitting_workers(every, memory_bytes, asked)
    batch = budget.derive(memory_bytes, workers, every.held_bytes, batch_bytes=recipe.batch_bytes).batch_bytes
    temporary = many.temporary_bytes * (every.text_bytes / sampled) + new_bytes + old * old_bytes
    seconds = _seconds(few, many, corpus, theirs, old) + keys * KEY_SECONDS
    return Estimate(
        documents=corpus.documents,
        text_bytes=corpus.text_bytes,
        against_documents=theirs.documents,
        against_bytes=theirs.text_bytes,
        old_documents=old,
        index_bytes=new_bytes,
        workers=workers,
        memory_bytes=memory_bytes,
        batch_bytes=batch,
        peak_bytes=min(memory_bytes, every.peak(workers, min(batch, corpus.text_bytes))),
        temporary_bytes=int(temporary),
        disk_bytes=int(temporary + many.written_bytes * (corpus.text_bytes / sampled)),
        seconds=seconds / workers,
        sample_documents=many.summary["documents_in"],
    )


def _seconds(
    few: dict[str, Any], many: _Sample, corpus: budget.Corpus, theirs: budget.Corpus, old_documents: int
) -> float:
    """CPU seconds of a run, without those that go into the keys of an index."""
    summary = many.summary
    more = summary["bytes_in"] - few["bytes_in"]
    each = (summary["cpu_seconds"] - few["cpu_seconds"]) / more if more > 0 else 0.0
    size = corpus.text_bytes + theirs.text_bytes * (1 - many.share_of(WRITING))
    size += corpus.text_bytes * old_documents / max(corpus.documents, 1) * many.share_of(COMPARING)
    return max(float(summary["cpu_seconds"]), each * size)


def _index_sizes(plan: Plan, corpus: budget.Corpus, many: _Sample) -> tuple[int, int, int]:
    """Of an index: the keys that are looked up or added, the bytes it grows by, and those that are taken of a document.

    As if what survives of the sample survived of all.
    """
    if plan.recipe.index is None:
        return 0, 0, 0
    near = next((step for step in indexing.last_barriers(plan) if step.kind == "near"), None)
    sketch, bands = bands_of(near) if near else (None, None)
    keys = 1 + (bands.bands if bands else 0)
    each = ROW_BYTES + keys * KEY_BYTES + (2 * sketch.slots if sketch else 0)
    kept = many.summary["documents_kept"] / max(many.summary["documents_in"], 1)
    texts = corpus.text_bytes if plan.recipe.index_texts else 0
    return corpus.documents * keys * 2, int((corpus.documents * each + texts) * kept), each


def _old_documents(plan: Plan, many: _Sample, share: float) -> int:
    """Documents of the index that share a key with one of the input; at most all."""
    if plan.recipe.index is None:
        return 0
    _, catalogue = indexing.usable(plan)
    return min(int(many.old_documents * share), sum(one.documents for one in catalogue.generations))


def _sampled(plan: Plan, corpus: budget.Corpus, output: Path, size: int) -> _Sample:
    """A run over the first documents of some shards."""
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
        report=False,
    )
    known = dataclasses.replace(corpus, documents=min(corpus.documents, limit * len(places)))
    result = driver.run_recipe(sample, limit=limit, keep_work=True, quiet=True, corpus=known)
    temporary, old = disk.size_of(output / "work"), 0
    if plan.recipe.index is not None:
        index, catalogue = indexing.usable(plan)
        barriers = indexing.last_barriers(plan)
        number = max(n for n, one in enumerate(plan.passes) if one.barriers)
        scans = sorted(map(str, (output / "work" / f"pass-{number}").glob("scan-*")))
        old = index_lookup.count(index, catalogue, scans, is_near=any(step.kind == "near" for step in barriers))
    return _Sample(result.summary, temporary, disk.size_of(output) - temporary, old)


def check_fits(plan: Plan, found: Estimate) -> None:
    """UserError where the output or the index has not the disk for a run."""
    work = place.work_folder(plan.recipe.output, plan.recipe.work)
    if not place.is_url(plan.recipe.output) and isinstance(work, Path):
        disk.check(work, found.disk_bytes)
    if plan.recipe.index is not None:
        index = place.at(place.absolute(plan.recipe.index))
        # On its way to a store what is added lies in the work folder, or where a run keeps copies.
        held = index if isinstance(index, Path) else work if isinstance(work, Path) else place.cache_folder()
        disk.check(held, found.index_bytes, counting_itself=False)


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
    compared = []
    if found.against_documents:
        compared.append(
            f"about {found.against_documents:,} documents of references, {found.against_bytes / 1e6:,.1f} MB"
        )
    if found.index_bytes:
        compared.append(f"about {found.old_documents:,} of the index, which grows by {memory.text(found.index_bytes)}")
    if compared:
        lines = {"compared": "with " + " and with ".join(compared)} | lines
    return "\n".join(f"{name:<8} {line}" for name, line in lines.items())
