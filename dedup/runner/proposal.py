"""A recipe for an input that was looked at: the nearest one that comes with the package, with what was seen above it.

Only the beginnings of some shards are read. What is proposed is a file to be read and changed, not a decision.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tomli_w

from dedup.errors import UserError, nearest
from dedup.io import read, shards
from dedup.io.shards import Shard
from dedup.io.units import Piece
from dedup.measure import language
from dedup.recipe import shipped

TEXT_NAMES = ("text", "content", "raw_content", "body", "document", "page_content", "code")
ID_NAMES = ("id", "doc_id", "document_id", "uuid", "warc_record_id", "url", "path")
LOOKED_AT = 8  # shards
DOCUMENTS = 100  # of each
BATCH_BYTES = 1 << 20
MOST = 0.9  # share of documents that makes a corpus one of a language


class Seen(NamedTuple):
    """What some documents tell; half of the texts have at most median_characters."""

    shards: int
    bytes: int
    columns: tuple[str, ...]
    text: str
    id: str | None
    documents: int
    languages: tuple[tuple[str, int], ...]
    median_characters: int


def propose(inputs: Sequence[str], path: str | os.PathLike[str], name: str | None = None) -> Seen:
    """Write a commented recipe for some inputs to a path where nothing is yet.

    name   of the recipe that comes with the package; by default what suits the languages that were seen
    """
    known = shipped()
    if name is not None and name not in known:
        raise UserError(f"there is no recipe {name!r}; {nearest(name, known)}")
    seen = look(inputs)
    name = name or suited(seen)
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(_written(seen, list(inputs), Path(path), name, known[name].read_text("utf-8")))
    except FileExistsError:
        raise UserError(f"{path}: is there already; choose another with -o") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    return seen


def look(inputs: Sequence[str]) -> Seen:
    """What the beginnings of some shards tell."""
    found = shards.discover(list(inputs))
    good = [shard for shard in found if shard.bytes and shard.format != "unknown"]
    some = [good[at] for at in np.unique(np.linspace(0, len(good) - 1, min(LOOKED_AT, len(good))).astype(int))]
    columns: dict[str, bool] = {}  # whether any shard has text there
    for shard in some:
        for column, kind in (read.source_columns(shard) or {}).items():
            columns[column] = columns.get(column, False) or _is_text(kind)
    texts = {column: _values(some, column) for column, is_text in columns.items() if is_text}
    if not texts:
        raise UserError(f"{inputs[0]}: no column of text was seen; shards are JSONL or Parquet with such a column")
    named = [column for column in TEXT_NAMES if column in texts]
    text = named[0] if named else max(texts, key=lambda column: pc.sum(pc.utf8_length(texts[column])).as_py() or 0)
    values = texts[text].drop_null()
    labels = language.identify(pa.record_batch({"text": values}))["language"].to_pylist()
    lengths = np.asarray(pc.utf8_length(values))
    return Seen(
        len(found), sum(shard.bytes for shard in found), tuple(sorted(columns)), text, _id(texts, text), len(values),
        tuple(Counter(label or "unknown" for label in labels).most_common()),
        int(np.median(lengths)) if len(lengths) else 0,
    )  # fmt: skip


def suited(seen: Seen) -> str:
    """The recipe for what was seen."""
    shares = {label: count / max(seen.documents, 1) for label, count in seen.languages}
    ones = [name for label, name in (("en", "web_en"), ("zh", "web_zh")) if shares.get(label, 0) >= MOST]
    return ones[0] if ones else "multilingual"


def _is_text(kind: Any) -> bool:
    if isinstance(kind, set):
        return "string" in kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _values(some: Sequence[Shard], column: str) -> pa.LargeStringArray:
    """The first values of a column of text in some shards."""
    return pa.concat_arrays([pa.array([], pa.large_string()), *_batches(some, column)])


def _batches(some: Sequence[Shard], column: str) -> Iterator[pa.Array]:
    for shard in some:
        for chunk in read.read(Piece(shard), read.Source(column), BATCH_BYTES, DOCUMENTS):
            yield chunk.batch[read.TEXT]


def _id(texts: dict[str, pa.LargeStringArray], text: str) -> str | None:
    """A column with the name of an id, of different values and no nulls."""
    for column in ID_NAMES:
        values = texts.get(column)
        if values is not None and column != text and not values.null_count and len(values.unique()) == len(values):
            return column
    return None


def _written(seen: Seen, inputs: list[str], path: Path, name: str, text: str) -> str:
    """The recipe of a name with what was seen above it and the keys of this input in it."""
    large = [(label, count / seen.documents) for label, count in seen.languages[:6] if count >= seen.documents / 100]
    shares = ", ".join(f"{label} {share:.0%}" for label, share in large) or "no languages"
    head = [
        f"Written by `dedup init`: {seen.shards:,} shards, {seen.bytes / 1e6:,.1f} MB.",
        f"Columns: {', '.join(map(_shown, seen.columns))}.",
        f"Of {seen.documents:,} documents that were looked at: {shares}; half have at most {seen.median_characters:,}"
        " characters.",
        f"Below is the recipe {name}; `dedup recipes` lists others, `dedup init --recipe NAME` begins with one.",
        f"Next: `dedup plan {_shown(str(path))}` tells what it would do and take, `dedup run` does it.",
        "",
    ]
    keys: dict[str, Any] = {"input": inputs[0] if len(inputs) == 1 else inputs, "output": f"out/{path.stem}"}
    keys |= {"text": seen.text} | ({} if seen.id is None else {"id": seen.id})
    lines = [line for line in text.splitlines() if not line.startswith(("input = ", "output = ", "text = ", "id = "))]
    at = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    steps = "\n".join(lines[at:]).strip("\n")
    above = "\n".join([*(f"# {line}".rstrip() for line in head), *lines[:at]])
    return f"{above}\n\n{tomli_w.dumps(keys)}\n{steps}\n"


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)
