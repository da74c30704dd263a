"""Files that settings name: word lists, block lists, models.

A stage says so by the type of the setting; the plan then looks for the file beside the recipe and names its content
among what a run depends on, so that a changed list is never answered by what another list gave.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

import xxhash

from dedup.errors import InputChangedError
from dedup.io.place import open_file

FilePath = Annotated[str, "a path"]
FileOrName = Annotated[str, "a path, if there is such a file"]


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Names a file's content: xxh3-128 of its bytes."""
    digest = xxhash.xxh3_128()
    with open_file(path) as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return str(digest.hexdigest())


def check_unchanged(files: Mapping[str, str]) -> None:
    """InputChangedError where a file, by its path, has another fingerprint or is gone."""
    for path, before in files.items():
        try:
            now = fingerprint(path)
        except OSError:
            now = ""
        if now != before:
            raise InputChangedError(f"{path} changed while the run went on; start the same command again")


def version(path: str | os.PathLike[str]) -> tuple[int, int]:
    """What changes when a file does: a key for what a process has made of it."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size
