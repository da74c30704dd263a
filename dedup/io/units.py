"""Work units: what one task scans. A big file is cut into pieces, small files are packed together.

Cuts fall at row groups of Parquet and at byte positions of plain JSONL, where a piece begins with the line after the
first newline at or beyond it; of zstd these are where frames begin, which need not be where lines do. Planning reads
nothing but the footers of big Parquet files and the headers in big zstd files (of those on a store not even these, and
they stay whole). A unit numbers its rows from
0; the rows before it are added once every unit is counted, so nothing that a run writes shows where it was cut.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dedup.io import decode, parquet, place
from dedup.io.shards import Shard

UNIT_BYTES = 64 << 20  # of a file; a task costs some milliseconds, and 64 MB of JSONL half a second and more
PACK_BYTES = 16 << 20  # of small files together
MOST_UNITS = 1 << 12  # of one corpus, about: exchanges are read by every task of the next part
LEAST_UNITS = 1 << 6  # packing leaves so many, for as many cores


@dataclass(frozen=True)
class Piece:
    """A shard or a stretch of it.

    begin, end   of Parquet the row groups `begin` to `end` - 1; of plain JSONL the lines after the first newline at or
                 beyond byte `begin` (from 0: all) up to those of byte `end`; of zstd the same, in bytes of the file at
                 which frames begin; None is the end of the shard
    """

    shard: Shard
    begin: int = 0
    end: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its shard."""
        return self.begin == 0 and self.end is None


@dataclass(frozen=True)
class Unit:
    """What one task scans: one piece of a shard, or some whole shards that follow each other."""

    number: int
    pieces: tuple[Piece, ...]

    @property
    def fingerprint(self) -> list[list[str | int | None]]:
        """Names what it reads; changes when that does."""
        return [[p.shard.number, p.shard.name, p.shard.fingerprint, p.begin, p.end] for p in self.pieces]


def cut(shards: Sequence[Shard], first: int = 0, *, whole: bool = False) -> list[Unit]:
    """The units of some shards, in the order of documents.

    first   the number of the first
    whole   cut no shard, as where the first documents of each are wanted
    """
    size = max(UNIT_BYTES, sum(shard.bytes for shard in shards) // MOST_UNITS)
    pieces = [piece for shard in shards for piece in _pieces(shard, size, whole)]
    packs = _packed(pieces, len(shards) // LEAST_UNITS)
    return [Unit(number, tuple(pack)) for number, pack in enumerate(packs, first)]


def _pieces(shard: Shard, size: int, whole: bool) -> Iterator[Piece]:
    count = -(-shard.bytes // size)
    bounds: list[int | None] = [0, None]
    if count > 1 and not whole and shard.format == "parquet":
        bounds = _group_bounds(shard, count)
    elif count > 1 and not whole and shard.format == "jsonl" and shard.codec == "none":
        bounds = [*(shard.bytes * i // count for i in range(count)), None]
    elif count > 1 and not whole and shard.codec == "zstd" and not place.is_url(shard.path):
        bounds = _frame_bounds(shard, count)
    for begin, end in itertools.pairwise(bounds):
        yield Piece(shard, begin or 0, end)


def _frame_bounds(shard: Shard, count: int) -> list[int | None]:
    """Where to cut zstd frames into at most `count` pieces of about the same size."""
    try:
        starts = np.array(decode.frame_starts(shard.path), np.int64)
    except OSError:
        return [0, None]
    cuts = np.searchsorted(starts, shard.bytes * np.arange(1, count) / count)
    return [0, *(int(starts[at]) for at in np.unique(cuts) if 0 < at < len(starts)), None]


def _group_bounds(shard: Shard, count: int) -> list[int | None]:
    """Where to cut row groups into at most `count` pieces of about the same size."""
    try:
        with parquet.open_file(shard.path) as file:
            sizes = [file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups)]
    except (pa.ArrowException, OSError):
        return [0, None]  # the scan says what is wrong with it
    ends = np.cumsum(sizes)
    cuts = np.searchsorted(ends, ends[-1] * np.arange(1, count) / count) if sizes else np.zeros(0, np.int64)
    return [0, *(int(at) for at in np.unique(cuts) if 0 < at < len(sizes)), None]


def _packed(pieces: Sequence[Piece], most: int) -> Iterator[list[Piece]]:
    """Whole shards that follow each other, up to `most` of them and PACK_BYTES in all; other pieces alone."""
    held: list[Piece] = []
    size = 0
    for piece in pieces:
        if held and (not piece.is_whole or len(held) >= most or size + piece.shard.bytes > PACK_BYTES):
            yield held
            held, size = [], 0
        held.append(piece)
        size += piece.shard.bytes
        if not piece.is_whole:
            yield held
            held, size = [], 0
    if held:
        yield held
