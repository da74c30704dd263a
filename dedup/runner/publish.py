"""The write of a run as tasks: whole shards by unit, big plain JSONL shards by piece and then put together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dedup.io import place
from dedup.io.place import Place
from dedup.runner.scanned import Scan, Scanned
from dedup.runner.task import Task, finished, forget, key_of
from dedup.runner.write import How, Outputs

RunTasks = Callable[..., list[dict[str, Any]]]


def write_all(
    run: RunTasks,
    folder: Place,
    key: str,
    scanned: Scanned,
    duplicates: Sequence[str],
    how: How,
    outputs: Mapping[int, Outputs],
    size: int,
) -> list[dict[str, Any]]:
    """Write every shard; counts of kept and dropped documents and bytes.

    outputs   by the number of the shard;  size   bytes of the input, for those who watch
    """
    groups = _groups(scanned.scans, duplicates)
    gone = place.missing(path for scan in scanned.scans for path in _wanted(scan, outputs))
    removed: list[Task] = []  # whose output somebody removed, or that was never there
    whole = [
        _whole(folder, key, scans, tables, how, outputs, gone, removed)
        for scans, tables in groups
        if not _is_cut(scans)
    ]
    joins = [
        (scans, tables, _joins(folder, key, scans, how, outputs, gone, removed))
        for scans, tables in groups
        if _is_cut(scans)
    ]
    forget(removed)
    pieces: list[list[Task]] = [
        [_piece(folder, key, scan, table, how) for scan, table in zip(scans, tables, strict=True)]
        if any(finished(task) is None for task in tasks)  # else the files of its pieces are gone
        else []
        for scans, tables, tasks in joins
    ]
    counts = run("write", [*whole, *itertools.chain(*pieces)], size)
    written, of_pieces = counts[: len(whole)], iter(counts[len(whole) :])
    for (_, _, (kept, dropped)), tasks in zip(joins, pieces, strict=True):
        parts = list(itertools.islice(of_pieces, len(tasks)))
        total = {name: sum(part[name] for part in parts) for name in ("kept", "dropped", "bytes_kept")}
        kept.arguments.update(pieces=tasks, counts=total)
        dropped.arguments.update(pieces=[task.folder for task in tasks])
    last = [task for _, _, tasks in joins for task in tasks]
    return written + (run("put together", last) if last else [])


def _groups(scans: Sequence[Scan], duplicates: Sequence[str]) -> list[tuple[list[Scan], list[str]]]:
    """Scans that are written together: the pieces of a shard, or the shards of a unit."""
    groups = []
    pairs = zip(scans, duplicates, strict=True)
    for _, group in itertools.groupby(pairs, lambda pair: pair[0].unit.pieces[0].shard.number):
        some, tables = zip(*group, strict=True)
        groups.append((list(some), list(tables)))
    return groups


def _is_cut(scans: Sequence[Scan]) -> bool:
    """Whether they are pieces of a shard that are written apart."""
    piece = scans[0].unit.pieces[0]
    return piece.shard.format == "jsonl" and piece.shard.codec == "none" and not piece.is_whole


def _whole(
    folder: Place,
    key: str,
    scans: list[Scan],
    tables: list[str],
    how: How,
    outputs: Mapping[int, Outputs],
    gone: set[str],
    removed: list[Task],
) -> Task:
    numbers = sorted({piece.shard.number for scan in scans for piece in scan.unit.pieces})
    place = scans[0].unit.number
    mine = {number: outputs[number] for number in numbers}
    task = Task(
        "dedup.runner.write:write_shards",
        str(folder / f"{place:05}"),
        key_of(key, "write", place),
        {"scans": scans, "duplicates": tables, "how": how, "outputs": mine},
    )
    if _is_any_gone(scans, mine, gone):
        removed.append(task)
    return task


def _piece(folder: Place, key: str, scan: Scan, table: str, how: How) -> Task:
    return Task(
        "dedup.runner.write:write_piece",
        str(folder / f"{scan.unit.number:05}"),
        key_of(key, "write", scan.unit.number),
        {"scan": scan, "duplicates": table, "how": how},
    )


def _joins(
    folder: Place,
    key: str,
    scans: list[Scan],
    how: How,
    outputs: Mapping[int, Outputs],
    gone: set[str],
    removed: list[Task],
) -> tuple[Task, Task]:
    """The tasks that put together what is kept and what is dropped of a shard: one copies, the other compresses."""
    number = scans[0].unit.pieces[0].shard.number
    kept = Task(
        "dedup.runner.write:join_kept",
        str(folder / f"kept-{number:05}"),
        key_of(key, "kept", number),
        {"outputs": outputs[number]},
    )
    dropped = Task(
        "dedup.runner.write:join_dropped",
        str(folder / f"dropped-{number:05}"),
        key_of(key, "dropped", number),
        {"scans": scans, "measures": how.measures, "outputs": outputs[number]},
    )
    if _is_any_gone(scans, outputs, gone):
        removed += [kept, dropped]
    return kept, dropped


def _wanted(scan: Scan, outputs: Mapping[int, Outputs]) -> Iterator[str]:
    """What a scan's shards give to an output."""
    for piece, rejected in zip(scan.unit.pieces, scan.rejected, strict=True):
        output = outputs[piece.shard.number]
        yield from (output.documents, output.dropped, *([output.rejected] if rejected else []))


def _is_any_gone(scans: Sequence[Scan], outputs: Mapping[int, Outputs], gone: set[str]) -> bool:
    """Whether something is not there of what some scans give to an output."""
    return any(path in gone for scan in scans for path in _wanted(scan, outputs))
