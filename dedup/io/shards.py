"""The manifest: which files a run reads, in which order, and what each of them is.

Shards are sorted by path and named relative to the input root, so that a document's number and its output
file depend on the files alone. Format and codec are told by content, never by name.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dedup.errors import InputChangedError, UserError
from dedup.io.decode import GZIP_MAGIC, ZSTD_MAGIC, Codec

SUFFIXES = (
    ".parquet",
    *(f".{name}{codec}" for name in ("jsonl", "json", "ndjson") for codec in ("", ".gz", ".zst")),
)
ABSENT = -1  # the mtime_ns of a link that leads nowhere


@dataclass(frozen=True)
class Shard:
    """One input file.

    number   its place in the order of paths; a document's doc_id is number << 40 | row
    name     path relative to the input root, with forward slashes: the name of its outputs
    format   "jsonl", "parquet", or "unknown" with the reason in `fault`
    codec    of a JSONL file: "none", "gzip" or "zstd"
    """

    number: int
    path: str
    name: str
    bytes: int
    mtime_ns: int
    format: str
    codec: Codec = "none"
    fault: str = ""

    @property
    def fingerprint(self) -> str:
        """Changes when the file does."""
        return f"{self.path}\n{self.bytes}\n{self.mtime_ns}"

    def check_unchanged(self) -> None:
        """InputChangedError where the file is no longer the one that was planned."""
        if self.mtime_ns == ABSENT:
            return
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            raise InputChangedError(f"{self.path}: vanished during the run; put it back and run again") from None
        if (now.st_size, now.st_mtime_ns) != (self.bytes, self.mtime_ns):
            raise InputChangedError(f"{self.path}: changed during the run; run again, nothing of it was published")


def discover(inputs: Sequence[str]) -> list[Shard]:
    """The shards of files, folders (recursive) and globs, by path; UserError where one gives none."""
    found: dict[str, None] = {}
    roots = []
    for given in inputs:
        paths, root = _expand(given)
        roots.append(root)
        found.update(dict.fromkeys(paths))
    root = os.path.commonpath(roots) if roots else ""
    shards: list[Shard] = []
    names: dict[str, str] = {}
    for path in sorted(found):
        name = os.path.relpath(path, root).replace(os.sep, "/")
        if name in names:
            raise UserError(f"{path} and {names[name]} would both be written as {name}")
        names[name] = path
        shards.append(_describe(len(shards), path, name))
    return shards


def _expand(given: str) -> tuple[list[str], str]:
    """(absolute paths, root) of one input."""
    path = os.path.abspath(given)
    if os.path.isdir(path):
        return [p for p in _walk(path) if p.endswith(SUFFIXES)], path
    if os.path.isfile(path):
        return [path], os.path.dirname(path)
    if not glob.has_magic(given):
        raise UserError(f"{given}: no such file or folder")
    matches = [os.path.abspath(p) for p in glob.glob(given, recursive=True)]
    files = [p for p in matches if os.path.isfile(p) and not _is_hidden(os.path.basename(p))]
    for folder in (p for p in matches if os.path.isdir(p)):
        files += [p for p in _walk(folder) if p.endswith(SUFFIXES)]
    if not files:
        raise UserError(f"{given}: matches no file")
    head = os.path.abspath(given.split("*")[0].split("?")[0].split("[")[0] + "x")
    return files, os.path.dirname(head)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _walk(folder: str) -> list[str]:
    paths = []
    for where, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(f for f in folders if not _is_hidden(f))
        paths += [os.path.join(where, name) for name in sorted(names) if not _is_hidden(name)]
    return paths


def _refuse(error: OSError) -> None:
    """A folder that cannot be listed may hold any number of shards."""
    raise UserError(f"{error.filename}: cannot be listed ({error.strerror})") from error


def _describe(number: int, path: str, name: str) -> Shard:
    try:
        found = os.stat(path)
    except OSError as error:
        return Shard(number, path, name, 0, ABSENT, "unknown", fault=f"cannot be read ({error.strerror})")
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, and cannot be read twice
        return Shard(number, path, name, 0, found.st_mtime_ns, "unknown", fault="not a regular file")
    kind, codec, fault = sniff(path)
    if kind == "jsonl" and found.st_size == 0 and path.endswith(".parquet"):
        kind, fault = "unknown", "not Parquet (it is empty)"
    return Shard(number, path, name, found.st_size, found.st_mtime_ns, kind, codec, fault)


def sniff(path: str | Path) -> tuple[str, Codec, str]:
    """(format, codec, fault) by content."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as error:
        return "unknown", "none", f"cannot be read ({error.strerror})"
    if head.startswith(b"PAR1"):
        return "parquet", "none", ""
    if head.startswith(GZIP_MAGIC):
        return "jsonl", "gzip", ""
    if head.startswith(ZSTD_MAGIC) or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return "jsonl", "zstd", ""
    if b"\0" in head:
        return "unknown", "none", "neither JSONL nor Parquet (it holds NUL bytes)"
    return "jsonl", "none", ""
