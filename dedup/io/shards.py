"""The manifest: which files a run reads, in which order, and what each of them is.

Shards are sorted by path and named relative to the input root, so that a document's number and its output
file depend on the files alone. Format and codec are told by content, never by name.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedup.errors import InputChangedError, UserError
from dedup.io import place, store
from dedup.io.decode import GZIP_MAGIC, ZSTD_MAGIC, Codec

SUFFIXES = (
    ".parquet",
    *(f".{name}{codec}" for name in ("jsonl", "json", "ndjson") for codec in ("", ".gz", ".zst")),
)
EMPTY_PARQUET = "not Parquet (it is empty)"
ABSENT = -1  # the mtime_ns of a link that leads nowhere
HEADS = 32  # first bytes of objects that are asked for at once


@dataclass(frozen=True)
class Input:
    """Files, folders and globs that are read, as one of several tables with a name or all there is.

    priority   of equal or similar documents the one of the higher priority stays
    """

    path: tuple[str, ...]
    name: str | None = None
    priority: int = 0


@dataclass(frozen=True)
class Shard:
    """One input file.

    number   its place in the order of paths; a document's doc_id is number << 40 | row
    name     path relative to the input root, with forward slashes: the name of its outputs
    format   "jsonl", "parquet", or "unknown" with the reason in `fault`
    codec    of a JSONL file: "none", "gzip" or "zstd"
    tag      of an object on a store: changes when it does, as mtime_ns of a file
    role     "input", or "against": compared with, neither changed nor written
    input    the name of the input that it is of, where there are several;  priority of that
    """

    number: int
    path: str
    name: str
    bytes: int
    mtime_ns: int
    format: str
    codec: Codec = "none"
    fault: str = ""
    tag: str = ""
    role: str = "input"
    input: str | None = None
    priority: int = 0

    @property
    def fingerprint(self) -> str:
        """Changes when the file does."""
        return f"{self.path}\n{self.bytes}\n{self.version}"

    @property
    def version(self) -> str:
        """What tells this content from another of the same size."""
        return self.tag or str(self.mtime_ns)

    def check_unchanged(self) -> None:
        """InputChangedError where the file is no longer the one that was planned."""
        if self.mtime_ns == ABSENT:
            return
        try:
            now = _size_and_version(self.path)
        except FileNotFoundError:
            raise InputChangedError(f"{self.path}: vanished during the run; put it back and run again") from None
        if now != (self.bytes, self.version):
            raise InputChangedError(f"{self.path}: changed during the run; run again, nothing of it was published")


def _size_and_version(path: str) -> tuple[int, str]:
    if place.is_url(path):
        found = store.of(path).about(path)
        return found.bytes, found.tag
    now = os.stat(path)
    return now.st_size, str(now.st_mtime_ns)


def discover(inputs: Sequence[str | Input]) -> list[Shard]:
    """The shards of files, folders (recursive) and globs, by path; UserError where one gives none."""
    found: dict[str, store.Object | None] = {}
    origin: dict[str, Input] = {}
    roots = []
    for one in inputs:
        given = Input((one,)) if isinstance(one, str) else one
        for word in given.path:
            paths, root = _find(word)
            roots.append(root)
            found.update(paths)
            for path in paths:
                if origin.setdefault(path, given).name != given.name:
                    raise UserError(f"{path} is in two inputs, {origin[path].name!r} and {given.name!r}")
    root = os.path.commonpath([_as_path(root) for root in roots]) if roots else ""
    names: dict[str, str] = {}
    for path in sorted(found):
        name = os.path.relpath(_as_path(path), root).replace(os.sep, "/")
        if name in names:
            raise UserError(f"{path} and {names[name]} would both be written as {name}")
        names[name] = path
    return [
        dataclasses.replace(shard, input=origin[shard.path].name, priority=origin[shard.path].priority)
        for shard in _described(
            [(number, path, name, found[path]) for number, (name, path) in enumerate(names.items())]
        )
    ]


def discover_against(against: Sequence[str], inputs: Sequence[Shard]) -> list[Shard]:
    """The shards that some inputs are compared with, by path, numbered after these; UserError where one is among them.

    They are named as they were given, so that a person finds what a document is a duplicate of.
    """
    found: dict[str, store.Object | None] = {}
    absolute: set[str] = set()
    for given in against:
        paths, _ = _find(given)
        found.update(paths)
        absolute.update(paths if os.path.isabs(given) or place.is_url(given) else ())
    for shard in inputs:
        if shard.path in found:
            raise UserError(f"{shard.path} is in the input and in against; it would be a duplicate of itself")
    numbered = [
        (number, path, (path if path in absolute else os.path.relpath(path)).replace(os.sep, "/"), found[path])
        for number, path in enumerate(sorted(found), len(inputs))
    ]
    return [dataclasses.replace(shard, role="against") for shard in _described(numbered)]


def _find(given: str) -> tuple[dict[str, Any], str]:
    """(objects by URL, or nothing by absolute path; root) of one input."""
    return _expand_url(given) if place.is_url(given) else _expand(place.plain(given))


def _described(numbered: list[tuple[int, str, str, store.Object | None]]) -> list[Shard]:
    if any(one[3] for one in numbered):
        with ThreadPoolExecutor(HEADS) as pool:
            return list(pool.map(lambda one: _describe(*one), numbered))
    return [_describe(*one) for one in numbered]


def _as_path(path: str) -> str:
    """A path whose parts tell where a path or URL lies among others."""
    return "/" + path.replace("://", ":/", 1) if place.is_url(path) else path


def _expand_url(given: str) -> tuple[dict[str, store.Object | None], str]:
    """(objects by URL, root) of one input on a store, told by one listing."""
    given = given.rstrip("/")
    files = store.of(given)
    if not glob.has_magic(given):
        listed = list(files.find(given + "/"))
        if listed:
            return {one.url: one for one in listed if _is_shard(one.url, given)}, given
        try:
            return {given: files.about(given)}, given.rpartition("/")[0]
        except FileNotFoundError:
            raise UserError(f"{given}: no such object or folder") from None
    fixed = re.split(r"[*?[]", given, maxsplit=1)[0]
    pattern = re.compile(_glob_pattern(given))
    found: dict[str, store.Object | None] = {}
    for one in files.find(fixed):
        match = pattern.match(one.url)
        if match and (_is_shard(one.url, match[0]) if match.end() < len(one.url) else _is_file(one.url)):
            found[one.url] = one
    if not found:
        raise UserError(f"{given}: matches no object")
    return found, fixed.rpartition("/")[0]


def _is_file(url: str) -> bool:
    return not url.endswith("/") and not _is_hidden(url.rpartition("/")[2])


def _is_shard(url: str, folder: str) -> bool:
    """Whether a folder that is searched gives this object."""
    names = url[len(folder) :].strip("/").split("/")
    return url.endswith(SUFFIXES) and not any(map(_is_hidden, names))


_GLOB = re.compile(r"(?<=/)\*\*(?:/|$)|\*+|\?|\[!?\]?[^\]]*\]|[^*?[]+|\[")


def _glob_pattern(given: str) -> str:
    """A glob as a regular expression for the URLs that it matches, and for what lies below one that is a folder."""
    parts = []
    for match in _GLOB.finditer(given):
        part = match[0]
        parts.append(r"(?!\.)" if match.start() and given[match.start() - 1] == "/" and part[0] in "*?[" else "")
        if part == "**/":
            parts.append(r"(?:[^/.][^/]*/)*")
        elif part == "**" and match.end() == len(given):
            parts.append(r"(?:[^/.][^/]*/)*[^/]*")
        elif part[0] == "*":
            parts.append(r"[^/]*")
        elif part == "?":
            parts.append(r"[^/]")
        elif part[0] == "[" and len(part) > 2:
            inner = part[1:-1].replace("\\", r"\\")
            parts.append(f"[^{inner[1:]}]" if inner[0] == "!" else f"[{inner}]")
        else:
            parts.append(re.escape(part))
    return "".join(parts) + r"(?=/|$)"


def _expand(given: str) -> tuple[dict[str, None], str]:
    """(absolute paths, root) of one input."""
    path = os.path.abspath(given)
    if os.path.isdir(path):
        return dict.fromkeys(p for p in _walk(path) if p.endswith(SUFFIXES)), path
    if os.path.isfile(path):
        return {path: None}, os.path.dirname(path)
    if not glob.has_magic(given):
        raise UserError(f"{given}: no such file or folder")
    matches = [os.path.abspath(p) for p in glob.glob(given, recursive=True)]
    files = [p for p in matches if os.path.isfile(p) and not _is_hidden(os.path.basename(p))]
    for folder in (p for p in matches if os.path.isdir(p)):
        files += [p for p in _walk(folder) if p.endswith(SUFFIXES)]
    if not files:
        raise UserError(f"{given}: matches no file")
    head = os.path.abspath(given.split("*")[0].split("?")[0].split("[")[0] + "x")
    return dict.fromkeys(files), os.path.dirname(head)


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


def _describe(number: int, path: str, name: str, known: store.Object | None = None) -> Shard:
    if known is not None:
        kind, codec, fault = sniff(path) if known.bytes else ("jsonl", "none", "")
        if known.bytes == 0 and path.endswith(".parquet"):
            kind, fault = "unknown", EMPTY_PARQUET
        return Shard(number, path, name, known.bytes, known.mtime_ns, kind, codec, fault, known.tag)
    try:
        found = os.stat(path)
    except OSError as error:
        return Shard(number, path, name, 0, ABSENT, "unknown", fault=f"cannot be read ({error.strerror})")
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, and cannot be read twice
        return Shard(number, path, name, 0, found.st_mtime_ns, "unknown", fault="not a regular file")
    kind, codec, fault = sniff(path)
    if kind == "jsonl" and found.st_size == 0 and path.endswith(".parquet"):
        kind, fault = "unknown", EMPTY_PARQUET
    return Shard(number, path, name, found.st_size, found.st_mtime_ns, kind, codec, fault)


def sniff(path: str | Path) -> tuple[str, Codec, str]:
    """(format, codec, fault) by content."""
    try:
        head = place.head(str(path), 4096)
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
