"""An index between runs: what it holds, for people; its folders put into one; the documents of some files forgotten."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Sequence

import numpy as np

from dedup.errors import UserError
from dedup.io import copies, index_change, index_files, place
from dedup.io import index as store
from dedup.io.place import Place


def tell(folder: str, *, as_json: bool = False) -> str:
    """An index for people: its generations, settings and source files."""
    index = place.at(folder)
    catalogue = _existing(index)
    sources: dict[str, int] = {}
    size = 0
    for name in catalogue.folders:
        counts = index_change.documents_of_files(index / name)
        numbers = np.array(sorted(counts), np.int64)
        for number, path in zip(numbers.tolist(), index_files.paths(index / name, numbers).to_pylist(), strict=True):
            sources[path] = sources.get(path, 0) + counts[number]
        size += store.bytes_of(index / name)
    if as_json:
        return json.dumps(catalogue.as_data() | {"bytes": size, "sources": sources}, indent=1)
    documents = sum(one.documents for one in catalogue.generations)
    lines = [f"{index}: {documents:,} documents in {len(catalogue.folders)} folders, {size / 1e6:,.1f} MB"]
    near = catalogue.settings["near"] or {}
    lines.append(
        "near     " + (", ".join(f"{name} = {value}" for name, value in near.items()) or "none: equal texts only")
    )
    for one in catalogue.generations:
        steps = ", ".join(str(use) for use, _ in one.cleaning) or "no step before"
        lines.append(f"  generation {one.number}  {one.documents:,} documents, dedup {one.version}, {steps}")
    return "\n".join([*lines, *(f"  {path}  {count:,}" for path, count in sources.items())])


def merge(folder: str) -> int:
    """Put the folders of an index into one; how many documents it has."""
    with _changing(folder) as index:
        index_change.merge(index)
        return sum(one.documents for one in store.load(index).generations)


def remove_source(folder: str, sources: Sequence[str]) -> int:
    """Forget the documents of some files or folders; how many."""
    with _changing(folder) as index:
        return index_change.remove_source(index, sources)


@contextlib.contextmanager
def _changing(folder: str) -> Iterator[Place]:
    """An index that nobody else uses; what is on its way to a store goes with the block."""
    index, attempt = place.at(folder), uuid.uuid4().hex
    _existing(index)
    copies.begin(attempt)
    try:
        with store.locked(index):
            yield index
    finally:
        copies.end(attempt)


def _existing(index: Place) -> store.Catalogue:
    catalogue = store.load(index)
    if not (index / store.CATALOGUE).is_file():
        raise UserError(f"{index}: no index; a run with --index {index} makes one")
    store.check_files(index, catalogue)
    return catalogue
