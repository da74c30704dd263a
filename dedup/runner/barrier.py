"""Adjacent barriers after one scan: exact groups and near duplicates, resolved to documents that stay.

The driver's part holds arrays over documents (one byte each for "gone") and over duplicates; everything wide is in
the tasks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.buffers import Int64s
from dedup.io import read
from dedup.io.copies import fetch, on_disk
from dedup.io.exchange import partition_bits
from dedup.io.files import put_array
from dedup.io.place import Place
from dedup.near.match import Misses, together
from dedup.plan import NearFiles, bands_of, near_files
from dedup.recipe import Step
from dedup.runner.budget import Budget
from dedup.runner.scanned import Scanned, Standing
from dedup.runner.task import Task, key_of

EXACT, NEAR = 0, 1
LEAST_ROWS = 1 << 18  # of a partition of band keys: one of fewer is opened for next to nothing
ROWS_OF_MEMBER = 32  # of band keys to one whose signature is held beside them: 8 bytes, and 1 KiB at 256 slots
MISSED = "missed"  # of a note: Misses, the input's documents counted from 0


class Drops(NamedTuple):
    """Dropped documents, ascending, and the documents that stay for them.

    similarity   NaN where the two were joined through a third (an `on` group whose first fell later)
    kind         0 exact, 1 near;  verified False where similarity is an estimate or missing
    """

    documents: Int64s
    twins: Int64s
    similarity: npt.NDArray[np.float64]
    kind: npt.NDArray[np.int8]
    verified: npt.NDArray[np.bool_]

    def counted_from(self, first: int) -> Drops:
        """With documents and twins numbered from `first`, so that those before it are negative."""
        return self._replace(documents=self.documents - first, twins=self.twins - first)

    def between(self, low: int, high: int) -> Drops:
        """Rows low to high - 1."""
        columns: list[Any] = [column[low:high] for column in self]
        return Drops(*columns)


def joined(parts: Sequence[Drops]) -> Drops:
    """All drops of some parts by document; of one part, which is in order, the same arrays."""
    if len(parts) == 1:
        return parts[0]
    documents = np.concatenate([part.documents for part in parts])
    places = np.empty(len(documents), np.int64)
    places[np.argsort(documents)] = np.arange(len(documents))
    del documents
    columns: list[Any] = []
    for column in zip(*parts, strict=True):
        columns.append(np.empty(len(places), column[0].dtype))
        at = 0
        for values in column:  # one after the other: both lie there already, a third copy would not fit the budget
            columns[-1][places[at : at + len(values)]] = values
            at += len(values)
    return Drops(*columns)


RunTasks = Callable[[str, Sequence[Task]], list[dict[str, Any]]]
Refetch = Callable[[Sequence[Task]], Sequence[Task]]


@dataclass(frozen=True)
class Over:
    """What adjacent barriers look at, and what carries them out.

    scanned   references, if any, and then the input
    refetch   tells tasks that fetch shingles what an earlier run has fetched
    """

    run: RunTasks
    scanned: Scanned
    standing: Standing
    source: read.Source
    budget: Budget
    warn: Callable[[str], None]
    refetch: Refetch | None

    @property
    def where(self) -> dict[str, Any]:
        """What tasks are told of all scans."""
        return {"scans": self.scanned.folders, "bases": self.scanned.bases}


def run_barriers(over: Over, folder: Place, barriers: Sequence[Step]) -> tuple[Drops, list[dict[str, Any]]]:
    """Every duplicate that some adjacent barriers find, and what each near barrier counted."""
    gone = np.zeros(over.scanned.bases[-1], np.bool_)
    found: list[tuple[Drops, bool]] = []  # and whether its groups are of equal texts
    notes: list[dict[str, Any]] = []
    key = key_of(over.scanned.keys, asdict(over.standing))
    grouped = False  # whether equal texts are: then no two are left
    files = near_files(barriers)
    for n, step in enumerate(barriers):
        key = key_of(key, step.kind, step.settings)
        here = folder / f"barrier-{n}"
        by_text = not step.settings.get("on")
        if not (by_text and grouped):
            drops = _group(over, here, key, n, step, gone)
            found.append((drops, by_text))
            gone[drops.documents] = True
            grouped = grouped or by_text
        if step.kind == "near":
            drops, note = _near(over, here, key, n, step, files[n], gone)
            if note["skipped"]:
                over.warn(
                    f"{step.label}: {note['skipped']:,} pairs of {note['capped_buckets']} large buckets "
                    "were not compared"
                )
            found.append((drops, False))
            notes.append(note)
            gone[drops.documents] = True
    return resolve(found), notes


def _group(over: Over, folder: Place, key: str, n: int, step: Step, gone: npt.NDArray[np.bool_]) -> Drops:
    """Exact groups: the members that are not the first of theirs."""
    path = put_array(folder / "gone-exact.npy", gone) if gone.any() else None
    bits = partition_bits(len(gone), over.budget.exact_rows)
    same = {**over.where, "barrier": n, "keep": step.settings["keep"], "gone": path, "standing": over.standing}
    tasks = [
        Task(
            "dedup.runner.match:group_exact",
            str(folder / f"exact-{p:05}"),
            key_of(key, "exact", p, bits),
            {**same, "partition": p, "bits": bits},
        )
        for p in range(1 << bits)
    ]
    over.run("match equal", tasks)
    pairs = np.concatenate(_loaded(tasks, "members.npy"))
    pairs = pairs[np.argsort(pairs[:, 0])]
    size = len(pairs)
    return Drops(pairs[:, 0], pairs[:, 1], np.ones(size), np.full(size, EXACT, np.int8), np.ones(size, np.bool_))


def _near(
    over: Over, folder: Place, key: str, n: int, step: Step, files: NearFiles, gone: npt.NDArray[np.bool_]
) -> tuple[Drops, dict[str, Any]]:
    joined, counts, note = _join(over, folder, key, step, files, gone)
    is_verified = step.settings["verify"] == "exact"
    fetched = _fetch(over, folder, key, step, files, joined) if is_verified else []
    same = {**over.where, "files": files, "joined": joined, "fetched": fetched}
    same |= {"barrier": n, "step": step, "standing": over.standing}
    decide = [
        Task(
            "dedup.runner.match:represent",
            str(folder / f"represent-{g:05}"),
            key_of(key, "represent", g, over.budget.group_shingles),
            {**same, "group": g},
        )
        for g in range(counts["groups"])
    ]
    decided = over.run("verify", decide)
    edge_count = sum(one["edges"] for one in decided)
    note["compared"] += sum(one["compared"] for one in decided)
    note |= {"edges": edge_count, "documents_with_edges": counts["documents"], "step": step.number}
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *_loaded(decide, "dropped.npy")])
    similarity = np.concatenate([np.zeros(0), *_loaded(decide, "similarity.npy")])
    missed = map(Misses, _loaded(decide, "missed.npy"), _loaded(decide, "missed-similarity.npy"))
    misses = together(missed)
    note[MISSED] = misses._replace(pairs=misses.pairs - over.standing.references)
    order = np.argsort(pairs[:, 0])
    kind, verified = np.full(len(pairs), NEAR, np.int8), np.full(len(pairs), is_verified)
    return Drops(pairs[order, 0], pairs[order, 1], similarity[order], kind, verified), note


def _join(
    over: Over, folder: Place, key: str, step: Step, files: NearFiles, gone: npt.NDArray[np.bool_]
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """(where edges lie by groups of whole components, how many of each there are, what was compared for them)."""
    path = put_array(folder / "gone-near.npy", gone)
    _, bands = bands_of(step)
    rows = len(gone) * bands.bands
    bits = partition_bits(rows, min(over.budget.band_rows, max(rows // over.budget.parts, LEAST_ROWS)))
    where = {**over.where, "files": files}
    same = {**where, "step": step, "gone": path, "bits": bits, "references": over.standing.references}
    same["chunk"] = over.budget.band_rows // ROWS_OF_MEMBER
    edges = [
        Task(
            "dedup.runner.match:find_edges",
            str(folder / f"edges-{p:05}"),
            key_of(key, "edges", p, bits),
            {**same, "partition": p},
        )
        for p in range(1 << bits)
    ]
    note: dict[str, Any] = {"compared": 0, "skipped": 0, "capped_buckets": 0}
    for counts in over.run("match near", edges):
        note = {name: note[name] + counts[name] for name in note}
    most = over.budget.group_shingles
    join = Task(
        "dedup.runner.match:join_components",
        str(folder / "joined"),
        key_of(key, "joined", bits, most),
        {**where, "edges": [task.folder for task in edges], "group_shingles": most},
    )
    (counts,) = over.run("join", [join])
    return join.folder, counts, note


def _loaded(tasks: Sequence[Task], name: str) -> list[Any]:
    """An array of each task."""
    fetch(os.path.join(task.folder, name) for task in tasks)
    return [np.load(on_disk(task.folder, name)) for task in tasks]


def _fetch(over: Over, folder: Place, key: str, step: Step, files: NearFiles, joined: str) -> list[str]:
    same = {"joined": joined, "step": step, "files": files, "source": over.source}
    same["batch_bytes"] = over.budget.batch_bytes
    tasks = [
        Task(
            "dedup.runner.fetch:fetch_shingles",
            str(folder / f"fetched-{scan.unit.number:05}"),
            key_of(key, "fetch", scan.unit.number, over.budget.group_shingles),
            {**same, "scan": scan, "base": base, "until": until},
        )
        for scan, base, until in over.scanned.spans()
        if until > base
    ]
    over.run("fetch", tasks if over.refetch is None else over.refetch(tasks))
    return [task.folder for task in tasks]


def resolve(found: Sequence[tuple[Drops, bool]]) -> Drops:
    """All drops of some barriers in order, each pointing at a document that stays.

    A document whose kept twin fell in a later barrier takes that one's twin: with its similarity if the two have equal
    texts, without one if they are near duplicates or only some columns are equal. `found` is changed in place, since it
    may be most of what the driver holds.
    """
    for n, (drops, by_text) in enumerate(found):
        documents, twins, similarity, kind, verified = drops
        equal = np.full(len(documents), by_text)  # whether the text is that of its twin
        for later, _ in found[n + 1 :]:
            if not len(later.documents) or not len(documents):
                continue
            at = np.minimum(np.searchsorted(later.documents, twins), len(later.documents) - 1)
            fell = np.flatnonzero(later.documents[at] == twins)
            at = at[fell]
            twins[fell] = later.twins[at]
            same = equal[fell] & _is_near(later)
            similarity[fell] = np.where(same, later.similarity[at], np.nan)
            verified[fell] = later.verified[at] & same
            kind[fell] = np.where(same, later.kind[at], kind[fell])
            equal[fell] = False
    found = [(drops, by_text) for drops, by_text in found if len(drops.documents)] or found[:1]
    return joined([drops for drops, _ in found])


def _is_near(drops: Drops) -> bool:
    return bool(len(drops.kind)) and bool(drops.kind[0] == NEAR)
