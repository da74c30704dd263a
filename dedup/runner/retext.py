"""Texts of documents that fall earlier than they did: what the cleaning stages before that made of them.

Everything else of such a document was kept. Only these stages are run again, and nothing is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers, exact
from dedup.buffers import Int64s, UInt64s
from dedup.io import read
from dedup.recipe import Step
from dedup.runner.scan import CHANGED
from dedup.runner.scanned import Changes
from dedup.runner.steps import changes_text, differ
from dedup.stages import find, with_copies


class Restored(NamedTuple):
    """Some documents of a unit, ascending: their keys, uint64[n, 2], and the bytes of their texts."""

    documents: Int64s
    keys: UInt64s
    sizes: Int64s


def restore(
    folder: Path,
    stages: Sequence[Step],
    home: str,
    dropped_at: npt.NDArray[np.int16],
    batches: Iterable[tuple[pa.RecordBatch, Int64s]],
    earlier: Changes | None,
) -> Restored:
    """Make texts as they are when their documents fall; those that differ from the input go to folder/changed.arrow.

    home         folder of the recipe
    dropped_at   of all documents of the unit, the place of the stage where each falls
    batches      texts as they lie in the input, and the numbers of their documents
    earlier      what the passes before have changed
    """
    cleaners = [
        (at, find(step, home), with_copies(step, home).settings) for at, step in enumerate(stages) if changes_text(step)
    ]
    found: list[Restored] = [Restored(np.zeros(0, np.int64), np.zeros((0, 2), np.uint64), np.zeros(0, np.int64))]
    with pa.ipc.new_file(str(folder / "changed.arrow"), CHANGED) as writer:
        for batch, documents in batches:
            original = buffers.large_strings(batch[read.TEXT])
            texts = original if earlier is None else buffers.with_replaced(original, *earlier.at(documents))
            for at, function, settings in cleaners:
                some = np.flatnonzero(dropped_at[documents] > at)
                texts = _cleaned(texts, some, function, settings)
            apart = np.flatnonzero(differ(texts, original))
            changed = [pa.array(documents[apart]), texts.take(pa.array(apart))]
            writer.write_batch(pa.RecordBatch.from_arrays(changed, schema=CHANGED))
            sizes = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False).astype(np.int64)
            found.append(Restored(documents, exact.text_keys(texts), sizes))
    columns: list[Any] = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return Restored(*columns)


def _cleaned(texts: Any, some: Int64s, function: Any, settings: dict[str, Any]) -> Any:
    """The texts, some of them as a stage leaves them."""
    if not len(some):
        return texts
    batch = pa.record_batch({read.TEXT: texts.take(pa.array(some))})
    return buffers.with_replaced(texts, some, buffers.large_strings(function(batch, **settings)[read.TEXT]))
