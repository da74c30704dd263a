"""The disk that a run takes at least, and whether it is there: asked before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path

from dedup import memory
from dedup.errors import UserError
from dedup.plan import Plan, bands_of, near_files

DOCUMENT = 100  # bytes of temporary tables a document, at least


def least(plan: Plan, documents: int) -> int:
    """Bytes of temporary files that a run makes at the very least."""
    bands = 0
    for one in plan.passes:
        files = near_files(one.barriers)
        bands += sum({found.bands: bands_of(one.barriers[n])[1].bands for n, found in files.items()}.values())
    return documents * (DOCUMENT + bands * 8)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check(work: Path, needed: int, *, counting_itself: bool = True) -> None:
    """UserError where the file system of temporary files has not so much room.

    counting_itself   what a run left there goes first, or is used
    """
    home = next(path for path in (work.absolute(), *work.absolute().parents) if path.exists())
    free = shutil.disk_usage(home).free + (size_of(work) if counting_itself and work.exists() else 0)
    if free < needed:
        raise UserError(
            f"{home}: {memory.text(free)} of disk are free, and the run needs about {memory.text(needed)} there; "
            "make room, or choose another output or work folder"
        )
