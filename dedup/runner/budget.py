"""What tasks may hold: sizes derived from the memory of a run, its workers and its documents.

A run is measured as PSS of its process tree: what processes share counts once, what each has for itself counts each
time, and what is held for every document counts in the driver. What is left is the room of a task, which partitions,
batches and groups are cut to fit. No size changes a byte of what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
SHARED = 110 * MIB  # Python, pyarrow, NumPy and Numba, as far as processes share their pages
PROCESS = 75 * MIB  # of each process for itself
LEAST_ROOM = 64 * MIB  # of a task, below which partitions would only become many
DOCUMENT = 40  # bytes that the driver holds


@dataclass(frozen=True)
class Budget:
    """What the tasks of a run may hold.

    room             bytes of one task beyond what its process has without it
    batch_bytes      of text a batch
    exact_rows       of one partition of exact keys
    band_rows        of one partition of band keys
    edge_bytes       that a task of edges, components or representatives may hold
    group_shingles   of the components that one task decides
    """

    room: int
    batch_bytes: int
    exact_rows: int
    band_rows: int
    edge_bytes: int
    group_shingles: int


def derive(memory: int, workers: int, documents: int, *, batch_bytes: int) -> Budget:
    """The sizes that fit `memory` bytes.

    workers       processes beside the driver; 0: the driver does the tasks
    batch_bytes   the most that a batch may have
    """
    room = max(LEAST_ROOM, (memory - fixed(workers) - documents * DOCUMENT) // max(workers, 1))
    return Budget(
        room,
        batch_bytes=min(batch_bytes, max(MIB, room // 12)),
        exact_rows=_power(room // 160, 1 << 16, 1 << 19),
        band_rows=_power(room // 160, 1 << 16, 1 << 19),
        edge_bytes=room // 2,
        group_shingles=_power(room // 64, 1 << 19, 1 << 21),
    )


def fixed(workers: int) -> int:
    """Bytes of a run's processes before they do anything."""
    return SHARED + PROCESS * (1 + workers)


def _power(size: int, least: int, most: int) -> int:
    """The power of two at or below a size, within two others."""
    return int(min(max(1 << (max(size, 1).bit_length() - 1), least), most))
