"""What tasks may hold: sizes derived from the memory of a run, its workers and its documents.

A run is measured as PSS of its process tree: what processes share counts once, what each has for itself counts each
time, and what is held for every document counts in the driver. What is left is the room of a task, which partitions,
batches and groups are cut to fit. No size changes a byte of what comes out.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dedup import memory
from dedup.errors import UserError
from dedup.io import decode, parquet, place
from dedup.io.shards import Shard
from dedup.recipe import Recipe

MIB = 1 << 20
SHARED = 215 * MIB  # Python, pyarrow, NumPy, Numba as far as processes share their pages, and what the driver has more
PROCESS = 65 * MIB  # of each process for itself
LEAST_ROOM = 96 * MIB  # of a task with the smallest batches and partitions
STAGES = 80 * MIB  # of a task with stages: tables of languages and characters, columns on the way
BATCHES = 8  # copies of a batch, with what stages make of it, that a task holds
GROUP_COPIES = 2.7  # of a row group that is written: as read, its kept rows, its encoded pages
DOCUMENT_COPIES = 8  # of one that is larger than a batch: as read, parsed, on its way through stages, written
DOCUMENT = 40  # bytes that the driver holds
SHARD = 1700  # likewise: names, fingerprint, work unit, outputs
WORKER_BYTES = 64 << 20  # of input files: starting a worker costs as much CPU as some 40 MB
LOOKED_AT = 16  # shards
HEAD_BYTES = 1 << 18  # of each JSONL shard


@dataclass(frozen=True)
class Budget:
    """What the tasks of a run may hold.

    room             bytes of one task beyond what its process has without it
    batch_bytes      of text a batch
    exact_rows       of one partition of exact keys
    band_rows        of one partition of band keys that are compared; the more, the fewer times all files are opened
    key_rows         of one partition of keys that go to an index or are looked up there
    group_shingles   of the components that one task decides
    old_documents    of an index, of which one task takes those that share a key with a new one
    """

    room: int
    batch_bytes: int
    exact_rows: int
    band_rows: int
    key_rows: int
    group_shingles: int
    old_documents: int
    parts: int = 8  # at least, of what is cut for all workers


def derive(memory: int, workers: int, held_bytes: int, *, batch_bytes: int, task_bytes: int = LEAST_ROOM) -> Budget:
    """The sizes that fit `memory` bytes.

    workers       processes that do tasks; with one the driver does them
    held_bytes    that the driver holds of documents and shards
    batch_bytes   the most that a batch may have
    task_bytes    that a task holds whatever its sizes
    """
    room = max(task_bytes, (memory - fixed(workers) - held_bytes) // workers)
    return Budget(
        room,
        batch_bytes=min(batch_bytes, max(MIB, (room - task_bytes) // BATCHES)),
        exact_rows=_power(room // 160, 1 << 16, 1 << 19),
        band_rows=_power(room // 80, 1 << 16, 1 << 21),
        key_rows=_power(room // 160, 1 << 16, 1 << 19),
        group_shingles=_power(room // 64, 1 << 19, 1 << 21),
        old_documents=_power(room // 1024, 1 << 16, 1 << 18),
        parts=8 * workers,
    )


def fixed(workers: int) -> int:
    """Bytes of a run's processes before they do anything."""
    return SHARED + PROCESS * (1 + (workers if workers > 1 else 0))


def _power(size: int, least: int, most: int) -> int:
    """The power of two at or below a size, within two others."""
    return int(min(max(1 << (max(size, 1).bit_length() - 1), least), most))


@dataclass(frozen=True)
class Corpus:
    """What is known of some shards without reading them: documents and bytes of text, about.

    group_bytes   of the largest Parquet row group of the input, decoded: it is read batch by batch and written as one
    task_bytes    that a task holds whatever its sizes
    """

    documents: int
    text_bytes: int
    group_bytes: int
    task_bytes: int = LEAST_ROOM
    shards: int = 0

    def with_others(self, other: Corpus) -> Corpus:
        """Both together."""
        group_bytes = max(self.group_bytes, other.group_bytes)
        task_bytes = max(self.task_bytes, other.task_bytes)
        return Corpus(
            self.documents + other.documents,
            self.text_bytes + other.text_bytes,
            group_bytes,
            task_bytes,
            self.shards + other.shards,
        )

    @property
    def held_bytes(self) -> int:
        """What the driver holds of every document and shard."""
        return self.documents * DOCUMENT + self.shards * SHARD

    def least(self, workers: int) -> int:
        """The least memory that so many workers do with."""
        return fixed(workers) + self.held_bytes + workers * self.least_room()

    def least_room(self) -> int:
        """The least room of one task."""
        return max(self.task_bytes, int(self.group_bytes * GROUP_COPIES))

    def peak(self, workers: int, batch_bytes: int) -> int:
        """The memory that is used with batches of this size, about."""
        room = max(self.task_bytes + BATCHES * batch_bytes, self.least_room())
        return fixed(workers) + self.held_bytes + workers * room


def memory_of(recipe: Recipe) -> int:
    """The bytes that a run may hold: its budget, or a share of what there is."""
    return recipe.memory or int(memory.given() * memory.SHARE)


def workers_of(recipe: Recipe, found: Sequence[Shard], tasks: int) -> int:
    """As many as asked for; else one a core, each with enough input to be worth its start-up."""
    if recipe.executor == "serial":
        return 1
    worth_it = sum(shard.bytes for shard in found) // WORKER_BYTES
    return recipe.workers or max(1, min(os.cpu_count() or 1, worth_it, tasks))


def has_stages(recipe: Recipe) -> bool:
    """Whether a recipe has stages beside barriers."""
    return any(step.kind == "stage" for step in recipe.step)


def look_at(shards: Sequence[Shard], limit: int | None = None, *, with_stages: bool = False) -> Corpus:
    """What footers of some Parquet shards and the first lines of some JSONL shards tell of all of them.

    limit   documents of each shard that are read
    """
    seen = documents = text_bytes = group_bytes = 0
    good = [shard for shard in shards if shard.bytes and shard.format != "unknown"]
    for at in np.unique(np.linspace(0, len(good) - 1, min(LOOKED_AT, len(good))).astype(int)) if good else ():
        rows, size, group = _look(good[at])
        seen += good[at].bytes
        documents += rows
        text_bytes += size
        group_bytes = max(group_bytes, group if good[at].role == "input" else 0)
    # A huge row group makes a huge file.
    parquets = [shard for shard in good if shard.format == "parquet" and shard.role == "input"]
    for shard in heapq.nlargest(LOOKED_AT, parquets, key=lambda shard: shard.bytes) if len(good) > LOOKED_AT else ():
        group_bytes = max(group_bytes, _look(shard)[2])
    share = sum(shard.bytes for shard in good) / max(seen, 1)
    count = int(documents * share)
    if limit is not None and count > limit * len(good):
        text_bytes, count = int(text_bytes * limit * len(good) / count), limit * len(good)
    return Corpus(count, int(text_bytes * share), group_bytes, LEAST_ROOM + with_stages * STAGES, len(shards))


def _look(shard: Shard) -> tuple[int, int, int]:
    """(documents, bytes decoded, bytes of the largest row group) of a shard, about; zeros where it cannot be read."""
    try:
        if shard.format == "parquet":
            with parquet.open_file(shard.path) as file:
                sizes = [file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups)]
                return file.metadata.num_rows, sum(sizes), max(sizes, default=0)
        head, used = decode.beginning(place.head(shard.path, HEAD_BYTES), shard.codec, 64 * HEAD_BYTES)
    except (OSError, pa.ArrowException):
        return 0, 0, 0
    share = shard.bytes / max(used, 1)
    return max(1 if head else 0, int(head.count(b"\n") * share)), int(len(head) * share), 0


def fitting_workers(corpus: Corpus, memory_bytes: int, workers: int) -> int:
    """The most workers up to `workers` that a budget suffices for; UserError, naming the least, where it is none."""
    for count in range(workers, 0, -1):
        if corpus.least(count) <= memory_bytes:
            return count
    group = ""
    if corpus.group_bytes * GROUP_COPIES > corpus.task_bytes:
        group = f" and a row group of {memory.text(corpus.group_bytes)}, which is written as one,"
    raise UserError(
        f"memory is {memory.text(memory_bytes)}; about {corpus.documents:,} documents{group} need at least "
        f"{memory.text(corpus.least(1))} with one worker, {memory.text(corpus.least(2))} with two"
    )
