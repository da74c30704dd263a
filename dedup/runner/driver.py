"""The driver: one function that names the passes of a run and maps tasks over work units.

plan -> scan -> barriers -> (scan -> barriers ...) -> check the drop limit -> write -> tables. Everything a task made
stays under work/ until the end, under a key, so that the same command continues where a run stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import os
import resource
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tomli_w

import dedup
from dedup import memory as memories
from dedup import recipe as recipes
from dedup.errors import DropLimitError, InputChangedError, RunError, UserError
from dedup.io import copies, files, named, place, shards, units
from dedup.io.place import Place, Remote
from dedup.plan import Plan, make_plan, reference_stages
from dedup.recipe import Recipe
from dedup.runner import (
    annotate,
    barrier,
    budget,
    claim,
    disk,
    indexing,
    progress,
    publish,
    reshard,
    scan,
    scanned,
    tables,
    write,
)
from dedup.runner.environment import environment_key, warm_kernels
from dedup.runner.local import Executor, Local, Serial, fault_line, own_peak_rss_bytes
from dedup.runner.references import exit_code, summarize_references, write_rejected
from dedup.runner.result import Result
from dedup.runner.reuse import KEPT, Reuse, key_of_run, write_kept
from dedup.runner.task import Task, key_of

REPORT = "dedup.report.write:after_run"  # named, as tasks name their functions: it reads what a run wrote


def run(
    recipe: str | os.PathLike[str] | Mapping[str, Any],
    input: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    against: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    index: str | os.PathLike[str] | None = None,
    changes: Sequence[str] = (),
    memory: int | str | None = None,
    workers: int | None = None,
    executor: str | None = None,
    address: str | None = None,
    work: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    keep_work: bool = False,
    quiet: bool = True,
) -> Result:
    """Run a recipe (a path or a dict) and return its result; the output is as design section 5 lists it.

    input, output   instead of the recipe's
    against         what to compare with, instead of the recipe's; neither changed nor written
    index           folder or URL of what earlier runs kept, which this one is compared with and adds to
    changes         "key=value" as for --set
    memory          bytes, or text such as "8G": what driver and workers may hold together
    workers         processes; 0: one a core
    executor        "serial", "local" or "ray"
    address         "host:port" of a Ray cluster, or "auto" for one that this machine belongs to
    work            folder for temporary work; by default in the output, or on this machine where that is a URL
    limit           only the first so many documents of every shard
    keep_work       leave work/ for inspection
    quiet           no progress on stderr
    """
    if limit is not None and limit < 1:
        raise UserError(f"limit is {limit}; it is at least 1 document a shard")
    how: dict[str, Any] = {"memory": memory, "workers": workers, "executor": executor, "address": address}
    how["work"] = None if work is None else os.fspath(work)
    how["index"] = None if index is None else os.fspath(index)
    loaded = recipes.load(recipe, input=input, output=output, against=against, changes=changes, **how)
    if address is not None and loaded.executor != "ray":
        raise UserError(f'address is {address!r}, and the executor is {loaded.executor}; an address is for "ray"')
    return run_recipe(loaded, limit=limit, keep_work=keep_work, quiet=quiet)


def run_recipe(
    loaded: Recipe,
    *,
    limit: int | None,
    keep_work: bool,
    quiet: bool,
    corpus: budget.Corpus | None = None,
    reuse: Callable[[Plan], Reuse] | None = None,
) -> Result:
    """Run a recipe that is checked.

    corpus   what is known of its shards, so that they are not looked at again
    reuse    gives what makes its scans from those of an earlier run
    """
    working = place.work_folder(loaded.output, loaded.work)
    folder = place.at(loaded.output, scratch=working if isinstance(working, Path) else None)
    found = shards.discover(loaded.input)
    plan = make_plan(loaded, found, shards.discover_against(loaded.against, found))
    claim.check_inputs_outside(plan, folder, working)
    claim.check_output(folder, plan.recipe)
    corpus = corpus or budget.look_at(plan.every_shard, limit, with_stages=budget.has_stages(plan.recipe))
    budget.fitting_workers(corpus, budget.memory_of(plan.recipe), 1)
    if isinstance(working, Path):
        disk.check(working, disk.least(plan, corpus.documents))
    try:
        with indexing.held(plan), claim.locked(folder, working) as (lock, check_lock):
            claim.check_output(folder, plan.recipe)  # again: a run that held the lock may have published since
            again = None if reuse is None else reuse(plan)
            return Attempt(plan, corpus, folder, working, limit, keep_work, quiet, lock, check_lock, again).run()
    except OSError as error:
        raise RunError(fault_line(error, str(folder))) from error


Found = TypeVar("Found")


class Decided(NamedTuple):
    """What the passes over all documents have told.

    left      the scans of the last pass
    compared  the references of the first barriers
    drops     of the barriers of each pass
    counts    of the scans of the first pass;  scans  of those of all passes
    told      of references, for the summary
    survived  what an index takes
    """

    left: scanned.Scanned
    compared: scanned.Scanned
    drops: list[barrier.Drops]
    counts: list[dict[str, Any]]
    scans: list[dict[str, Any]]
    told: dict[str, Any]
    survived: scanned.Scanned | None


class Attempt:
    """One attempt at a plan."""

    def __init__(
        self,
        plan: Plan,
        corpus: budget.Corpus,
        folder: Place,
        work: Place,
        limit: int | None,
        keep_work: bool,
        quiet: bool,
        lock: int,
        check_lock: Callable[[], None],
        reuse: Reuse | None = None,
    ) -> None:
        self.plan, self.folder, self.limit, self.keep_work, self.quiet = plan, folder, limit, keep_work, quiet
        self.lock, self.check_lock, self.reuse = lock, check_lock, reuse
        self.show = progress.make(quiet)
        self.work = work
        self.code = environment_key(plan.recipe)
        self.environment = key_of(self.code, plan.files)
        self.begun = time.monotonic()
        self.cpu_begun = _cpu_seconds()
        self.key = key_of_run(plan, limit, self.environment)
        self.index = indexing.Index(plan, limit) if plan.recipe.index is not None else None
        if self.index is not None:
            self.key = key_of(self.key, self.index.state)
        self.units = units.cut(plan.shards, whole=limit is not None)
        self.against = units.cut(plan.against, len(self.units), whole=limit is not None)
        self.memory, self.corpus = budget.memory_of(plan.recipe), corpus
        self.workers = self._fitting(
            budget.workers_of(plan.recipe, plan.every_shard, len(self.units) + len(self.against))
        )
        self.notes: list[dict[str, Any]] = []
        self.counts: dict[str, list[dict[str, Any]]] = {}  # of every finished task, by part of the run
        self.executor: Executor = Serial()

    def run(self) -> Result:
        if self._is_finished() and (self.index is None or self.index.is_done):
            self._remove_temporary()
            self._end()  # all but this was done when it was killed
            return Result(self.folder)
        if self.index is not None:
            self.index.check_past()
        with self._copying():
            return self._run()

    @contextlib.contextmanager
    def _copying(self) -> Iterator[None]:
        """Where work is on a store, copies of it are on this machine for as long as the attempt lasts."""
        if isinstance(self.work, Path) and (self.reuse is None or isinstance(self.reuse.work, Path)):
            yield
            return
        attempt = uuid.uuid4().hex
        copies.begin(attempt)
        try:
            self.work = place.at(str(self.work), copies.scratch())
            self.folder = place.at(str(self.folder), copies.scratch())
            yield
        finally:
            copies.end(attempt)

    def _run(self) -> Result:
        self.executor = self._make_executor()  # first: where no Ray answers, nothing is changed
        try:
            self._prepare()
            warm_kernels(self.plan.recipe, self.show.say)
            self.begun, self.cpu_begun = time.monotonic(), _cpu_seconds()  # compiling is done once, not by this run
            with self.show:
                summary = self._passes()
        except InputChangedError:
            (self.folder / "manifest.parquet").unlink(missing_ok=True)  # it was named: the next start takes it as it is
            raise
        finally:
            self.executor.close()
        self._remove_temporary()  # of workers that were killed, whose tasks others did again
        summary |= {
            "exit_code": max(summary["exit_code"], exit_code(self.plan, summary)),
            "seconds": time.monotonic() - self.begun,
            "cpu_seconds": _cpu_seconds() - self.cpu_begun + self._cpu_seconds_elsewhere(),
            "cpu_seconds_by_part": tables.cpu_by_part(self.plan.recipe, self.counts),
            "peak_rss_bytes": own_peak_rss_bytes() + self.executor.peak_rss_bytes(),
            "workers": self.workers,
            "version": dedup.__version__,
            "files_written": _published(self.folder),
            "key": self.key,
        }
        tables.write_json(self.folder / "report" / "summary.json", summary)
        if self.keep_work:
            write_kept(self.work, self.plan, self.key, self.limit)
        self._end()
        return Result(self.folder)

    def _end(self) -> None:
        """What is left to do when a run is finished: its report, of what it published, and its temporary work."""
        module, _, name = REPORT.partition(":")
        getattr(importlib.import_module(module), name)(
            self.folder, self.show.say, self.show.warn, page=self.plan.recipe.report
        )
        self._remove_work()

    @property
    def _works_elsewhere(self) -> bool:
        """Whether what it works with lies outside of its output."""
        return isinstance(self.work, Remote) or self.work.parent != self.folder

    def _remove_work(self) -> None:
        if not self.keep_work:
            place.remove_folder(self.work)

    def _make_executor(self) -> Executor:
        recipe = self.plan.recipe
        if recipe.executor == "ray":
            from dedup.runner.ray import Ray

            seen_by_all: list[Place] = [self.folder] if isinstance(self.folder, Path) else []
            seen_by_all += [self.work] if self._works_elsewhere else []
            index = None if recipe.index is None else place.at(recipe.index)
            seen_by_all += [index] if isinstance(index, Path) else []
            seen_by_all += [] if self.reuse is None else [self.reuse.work]
            ray = Ray(recipe, seen_by_all, self.code, quiet=self.quiet)
            self.workers = ray.at_most(self._fitting(ray.workers_of_a_node, "of a node"))
            return ray
        if recipe.executor == "local" and self.workers > 1:
            own_stages = not any(":" in step.use for step in recipe.step)
            return Local(self.workers, own_stages=own_stages, lock=self.lock)
        return Serial()

    def _fitting(self, workers: int, where: str = "") -> int:
        """As many of some workers as the budget suffices for."""
        fit = budget.fitting_workers(self.corpus, self.memory, workers)
        if fit < workers:
            enough = memories.text(self.corpus.least(workers))
            self.show.warn(
                f"memory = {memories.text(self.memory)} is enough for {fit} of {workers} workers"
                f"{where and ' ' + where}; {enough} is for all"
            )
        return fit

    def _cpu_seconds_elsewhere(self) -> float:
        """CPU time of tasks in processes that are not ours to wait for."""
        if self.plan.recipe.executor != "ray":
            return 0.0
        return float(sum(count["cpu_seconds"] for counts in self.counts.values() for count in counts))

    def _is_finished(self) -> bool:
        try:
            summary = Result(self.folder).summary
        except UserError:
            return False
        is_kept = not self.keep_work or (self.work / KEPT).exists()
        return is_kept and summary.get("key") == self.key and summary.get("files_written") == _published(self.folder)

    def _prepare(self) -> None:
        changed = self._changed_inputs()
        for name in ("summary.json", "performance.parquet"):  # what says that all is there
            (self.folder / "report" / name).unlink(missing_ok=True)
        self._remove_temporary()
        if isinstance(self.work, Remote):
            self.work.store.abort_uploads(self.work.url + "/")
        elif self._works_elsewhere:
            files.remove_temporary(self.work)
        if self._works_elsewhere:
            self.show.say(f"temporary work in {self.work}")
        # The recipe first: it tells the next attempt that what else lies here is a run's.
        tables.write_recipe(self.folder / "recipe.toml", tomli_w.dumps(self.plan.recipe.as_dict()))
        if isinstance(self.work, Path):
            self.work.mkdir(parents=True, exist_ok=True)
        (self.work / KEPT).unlink(missing_ok=True)
        tables.write_manifest(self.folder / "manifest.parquet", self.plan.every_shard)
        if changed:
            more = f" (and {len(changed) - 1:,} more)" if len(changed) > 1 else ""
            raise InputChangedError(
                f"{changed[0]}{more}: changed or vanished since the attempt that broke off; "
                "put it back, or run again to take the input as it is"
            )

    def _remove_temporary(self) -> None:
        """Remove what was half-written to the output by somebody who is no more."""
        if isinstance(self.folder, Remote):
            self.folder.store.abort_uploads(self.folder.url + "/")
        else:
            files.remove_temporary(self.folder)

    def _changed_inputs(self) -> list[str]:
        """Inputs of an attempt at the same recipe that broke off, if they are not what they were."""
        if not self.work.exists() or (self.folder / "report" / "summary.json").exists():
            return []
        try:
            before = recipes.load(str(self.folder / "recipe.toml")).identity()
        except UserError:
            return []
        if before != self.plan.recipe.identity():
            return []
        return tables.changed_files(self.folder / "manifest.parquet", self.plan.every_shard)

    def _tasks(self, name: str, tasks: Sequence[Task], size: int = 0) -> list[dict[str, Any]]:
        with self.show.part(name, len(tasks), size) as part:

            def note(documents: int, size: int) -> None:
                self.check_lock()
                part.advance(documents, size)

            self.check_lock()
            counts = self.executor.map(tasks, note, part.ended)
        self.check_lock()
        self.counts.setdefault(name, []).extend(counts)
        return counts

    def _decoded(self, role: str = "") -> int:
        """Decoded bytes of all shards or those of a role, about."""
        sizes = [(shard.role, shard.bytes) for shard in self.plan.every_shard]
        some = sum(size for its, size in sizes if role in ("", its))
        return self.corpus.text_bytes * some // max(sum(size for _, size in sizes), 1)

    def _budget(self, documents: int) -> budget.Budget:
        """What tasks may hold beside a driver that knows so many documents."""
        corpus = dataclasses.replace(self.corpus, documents=documents)
        least = corpus.least(self.workers)
        if least > self.memory:
            self.show.warn(
                f"memory = {memories.text(self.memory)} is less than {documents:,} documents take, which is about "
                f"{memories.text(least)}; the run goes on"
            )
        return budget.derive(
            self.memory,
            self.workers,
            corpus.held_bytes,
            batch_bytes=self.plan.recipe.batch_bytes,
            task_bytes=self.corpus.task_bytes,
        )

    def decide(self, look: Callable[[Decided], Found]) -> Found:
        """What `look` finds in what would become of every document; nothing is published, work/ stays as it is."""
        with self._copying():
            if isinstance(self.work, Path):
                self.work.mkdir(parents=True, exist_ok=True)  # Ray asks every node whether it sees it
            self.executor = self._make_executor()
            try:
                warm_kernels(self.plan.recipe, self.show.say)
                with self.show:
                    return look(self._decide())
            finally:
                self.executor.close()

    def _passes(self) -> dict[str, Any]:
        decided = self._decide()
        named.check_unchanged(self.plan.files)
        summary = self._publish(decided.left, decided.compared, decided.drops, decided.counts, decided.scans)
        summary |= decided.told
        survived = decided.survived
        if self.index is not None and survived is not None:
            within, sizes = self.work / "index", self._budget(survived.bases[-1])
            summary |= self.index.add(self._tasks, within, survived, decided.drops, sizes, self.show.warn)
        return summary

    def _decide(self) -> Decided:
        recipe, plan = self.plan.recipe, self.plan
        drops: list[barrier.Drops] = []
        parts, theirs = self.units, self.against
        earlier: list[scan.Earlier | None] = [None] * len(parts)
        before: list[scan.Earlier | None] = [None] * len(theirs)
        key = self.environment
        scans: list[dict[str, Any]] = []  # counts of all passes
        counts: list[dict[str, Any]] = []  # of the first
        told: dict[str, Any] = {}  # of references
        survived = None
        for number, one in enumerate(plan.passes):
            if number and not one.stages and not one.barriers:
                break  # nothing follows the last barrier: its scan is the last
            here = self.work / f"pass-{number}"
            sizes = self._budget(self.corpus.documents)
            done = scan.Work(
                one.stages,
                one.barriers,
                plan.source,
                plan.measures,
                sizes.batch_bytes,
                recipe.measure_all,
                self.limit,
                recipe.folder,
                room=sizes.room,
                keep=self.keep_work,
            )
            key = key_of(
                key,
                [(s.use, s.settings) for s in (*one.stages, *one.barriers)],
                recipe.measure_all,
                self.limit,
                self.keep_work,
                plan.source.text,
                plan.source.id,
                {k: str(v) for k, v in plan.source.more.items()},
            )
            reading = dataclasses.replace(done, stages=reference_stages(plan, one.stages), is_reference=True)
            tasks = _scan_tasks(here, key, theirs, before, reading) + _scan_tasks(here, key, parts, earlier, done)
            if self.reuse is not None:
                tasks = self.reuse.rescans(number, tasks)
            found_counts = self._tasks(f"scan {number}" if len(plan.passes) > 1 else "scan", tasks, self._decoded())
            references, their_counts = scanned.of_tasks(theirs, found_counts[: len(theirs)], tasks[: len(theirs)])
            left, found_counts = scanned.of_tasks(parts, found_counts[len(theirs) :], tasks[len(theirs) :])
            parts, theirs = ([one.unit for one in some.scans] for some in (left, references))
            scans += found_counts
            counts = counts or found_counts
            told = told or summarize_references(plan, their_counts)
            self._check_drop_limit(left)
            if not drops:
                compared = references
            if one.barriers:
                old = references
                if self.index is not None and self.index.takes_part(number):
                    within, sizes = here / "index", self._budget(left.bases[-1])
                    old = scanned.together(self.index.look_up(self._tasks, within, left, sizes), references)
                standing = scanned.standing(old, left)
                every = scanned.together(old, left)
                sizes = self._budget(every.bases[-1])
                refetch = None if self.reuse is None else functools.partial(self.reuse.refetches, number)
                over = barrier.Over(self._tasks, every, standing, plan.source, sizes, self.show.warn, refetch)
                found, notes = barrier.run_barriers(over, here, one.barriers)
                drops.append(found.counted_from(standing.references))
                compared = old
                if self.index is not None and self.index.takes_part(number):
                    survived = left
                self.notes += notes
                earlier = self._earlier(here, left, drops)
                before = self._earlier(here, references, [])
                # What barriers drop depends on every shard: so does whatever a later pass makes of it.
                key = key_of(key, every.keys, standing.places)
        return Decided(left, compared, drops, counts, scans, told, survived)

    def _earlier(self, here: Place, left: scanned.Scanned, drops: Sequence[barrier.Drops]) -> list[scan.Earlier | None]:
        gone = np.sort(np.concatenate([np.zeros(0, np.int64), *(d.documents for d in drops)]))
        given: list[scan.Earlier | None] = []
        with copies.Outbox() as outbox:
            for one, base, until in left.spans():
                low, high = np.searchsorted(gone, [base, until])
                path = here / f"gone-{one.unit.number:05}.npy"
                with outbox.writing(path) as local:
                    files.save_array(local, gone[low:high] - base)
                given.append(scan.Earlier(one.folder, str(path)))
        return given

    def _check_drop_limit(self, left: scanned.Scanned) -> None:
        total = left.bases[-1]
        reasons = tables.count_reasons(left.folders)
        reasons.pop(scan.DUPLICATE, None)
        dropped = sum(reasons.values())
        if total and dropped / total > self.plan.recipe.max_drop:
            worst = max(reasons, key=lambda reason: reasons[reason])
            raise DropLimitError(
                f"rules dropped {dropped:,} of {total:,} documents ({dropped / total:.1%}), most by {worst!r} "
                f"({reasons[worst]:,}); nothing was published. Look at the rule, or set max_drop = 1.0"
            )

    def _publish(
        self,
        left: scanned.Scanned,
        references: scanned.Scanned,
        drops: list[barrier.Drops],
        counts: list[dict[str, Any]],
        scans: list[dict[str, Any]],
    ) -> dict[str, Any]:
        plan = self.plan
        outputs = {shard.number: self._outputs(shard) for shard in plan.shards}
        _remove_strangers(self.folder, outputs.values(), keep_documents=bool(plan.recipe.output_shard_bytes))
        duplicates = tables.write_duplicates(
            self.folder, self.work / "duplicates", left, scanned.before_zero(references), drops
        )
        misses = [
            (note.pop(barrier.MISSED), plan.recipe.step[note["step"]].settings["verify"] == "exact")
            for note in self.notes
        ]
        tables.write_misses(self.folder / "report", left, scanned.before_zero(references), drops, misses)
        added = annotate.of_plan(plan)
        if added.has_families:
            annotate.write_families(duplicates, tables.merged(drops), left)
        how = write.How(plan.source, plan.measures, self.limit, added)
        key = key_of(self.key, left.keys)
        # While the last tasks leave cores idle; one worker alone does all in this process, one after the other.
        with ThreadPoolExecutor(1) if self.workers > 1 else contextlib.nullcontext() as thread:
            table = (self.folder / "report", left, duplicates, drops, plan.measures)
            waiting = thread.submit(tables.write_documents, *table) if thread is not None else None
            written = publish.write_all(
                self._tasks, self.work / "write", key, left, duplicates, how, outputs, self._decoded("input")
            )
            write_rejected(self.folder / "report", references)
            if plan.recipe.output_shard_bytes:
                kept = {number: output.documents for number, output in outputs.items()}
                reshard.publish_parts(
                    self._tasks, self.work / "parts", key, left, duplicates, kept, plan.shards,
                    self.folder / "documents", plan.recipe.output_shard_bytes,
                )  # fmt: skip
            reasons = waiting.result() if waiting is not None else tables.write_documents(*table)
        return tables.summarize(plan, counts, written, reasons, self.notes, tables.seen_by_steps(scans))

    def _outputs(self, shard: shards.Shard) -> write.Outputs:
        is_cut_anew = self.plan.recipe.output_shard_bytes is not None
        documents = self.work / "kept" if is_cut_anew else self.folder / "documents"
        return write.Outputs(
            str(documents / shard.name),
            str(self.folder / "dropped" / f"{shard.name}.parquet"),
            str(self.folder / "rejected" / f"{shard.name}.parquet"),
        )


def _remove_strangers(folder: Place, outputs: Iterable[write.Outputs], *, keep_documents: bool) -> None:
    """Remove what an earlier run of the same recipe published for shards that are gone."""
    wanted = {path for output in outputs for path in (output.documents, output.dropped, output.rejected)}
    for name in ("dropped", "rejected") if keep_documents else ("documents", "dropped", "rejected"):
        for path in place.files_below(folder / name):
            if path not in wanted:
                place.remove(path)


def _published(folder: Place) -> int:
    """How many files of rows an output holds; somebody may have removed some."""
    return sum(len(place.files_below(folder / name)) for name in ("documents", "dropped", "rejected"))


def _scan_tasks(
    folder: Place, key: str, parts: Sequence[units.Unit], earlier: Sequence[scan.Earlier | None], done: scan.Work
) -> list[Task]:
    return [
        Task(
            "dedup.runner.scan:scan_unit",
            str(folder / f"scan-{unit.number:05}"),
            key_of(key, unit.number, unit.fingerprint, done.is_reference, [(s.use, s.settings) for s in done.stages]),
            {"unit": unit, "work": done, "earlier": before},
        )
        for unit, before in zip(parts, earlier, strict=True)
    ]


def _cpu_seconds() -> float:
    """CPU time of this process and of the workers it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
