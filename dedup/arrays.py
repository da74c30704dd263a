"""Deduplication of texts in memory, without files: the same functions that a run is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import buffers, exact
from dedup.buffers import Int64s, UInt64s
from dedup.errors import UserError
from dedup.near import edges, match
from dedup.near import signature as signing
from dedup.near.crowds import Crowds
from dedup.near.params import Sketch, bands_for

KEEPS = ("first", "last", "longest", "shortest")


def as_texts(texts: Any) -> pa.LargeStringArray:
    """Texts as Arrow: a list of str, an Arrow array, a column of a datasets.Dataset, or what has the Arrow interface.

    Series of pandas and polars have it.
    """
    texts = _of_dataset(texts)
    if isinstance(texts, str | bytes):
        raise UserError("texts is one string; give a list of them")
    if isinstance(texts, pa.Array | pa.ChunkedArray):
        array = texts
    elif hasattr(texts, "__arrow_c_stream__"):
        array = pa.chunked_array(texts)
    elif hasattr(texts, "__arrow_array__") or hasattr(texts, "__arrow_c_array__"):
        array = pa.array(texts)
    else:
        try:
            items = list(texts)
        except TypeError:
            kind = type(texts).__name__
            raise UserError(f"texts is of type {kind}; give a list of str, an Arrow array or a series") from None
        wrong = next((i for i, item in enumerate(items) if not (item is None or isinstance(item, str))), None)
        if wrong is not None:
            kind = type(items[wrong]).__name__
            column = '; of a table or data set give a column, such as dataset["text"]' if kind == "dict" else ""
            raise UserError(f"texts[{wrong}] is of type {kind}; a text is a str or None{column}")
        try:
            array = pa.array(items, pa.large_string())
        except UnicodeEncodeError:  # a lone surrogate enters Arrow as U+FFFD, as from a file
            cleaned = [
                t if t is None else t.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for t in items
            ]
            array = pa.array(cleaned, pa.large_string())
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
            or pa.types.is_null(kind)):  # fmt: skip
        raise UserError(f"texts is of type {array.type}; texts are strings")
    if kind != array.type:
        array = _decoded(array)
    return buffers.large_strings(array)


def _of_dataset(texts: Any) -> Any:
    """The Arrow array of a lazy column of a Hugging Face data set, rows as selected; anything else as it is.

    Its own iterator takes 82 us a text of 27 characters, this 3. A transform of the user's is left to that iterator.
    """
    source: Any = getattr(texts, "source", None)
    if not type(texts).__module__.startswith("datasets.") or not hasattr(source, "with_format"):
        return texts
    if source.format["type"] == "custom":
        return texts
    return source.select_columns([texts.column_name]).with_format("arrow")[:].column(texts.column_name)


def _decoded(array: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """The texts of a dictionary; Arrow has no cast for one of string_view, which is what polars gives."""
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return pa.chunked_array(
        [chunk.dictionary.cast(pa.large_string()).take(chunk.indices) for chunk in chunks], pa.large_string()
    )


def exact_duplicates(texts: Any) -> pa.Table:
    """Texts equal to an earlier one: Table(index int64, duplicate_of int64), by index; a null is never one."""
    array = as_texts(texts)
    members, firsts = _equal(array, np.arange(len(array)), [])
    order = np.argsort(members)
    return pa.table({"index": members[order], "duplicate_of": firsts[order]})


def near_duplicates(
    texts: Any, threshold: float = 0.8, shingle: int = 5, keep: str = "first", *, sketch: Sketch | None = None
) -> pa.Table:
    """Texts that have a kept twin: Table(index int64, duplicate_of int64, similarity float64), by index.

    threshold   exact Jaccard similarity of shingle sets from which a text goes, in [0.7, 1.0]
    shingle     tokens a shingle; a text of fewer takes part in exact matching only
    keep        "first", "last", "longest" or "shortest" (by characters)
    sketch      settings of the signature; `shingle` is then taken from it

    `duplicate_of` is never itself in `index`, and `similarity` is exact: 1.0 for equal texts.
    """
    array = as_texts(texts)
    settings = sketch or Sketch(shingle=shingle)
    bands = bands_for(threshold, settings.slots)
    if keep not in KEEPS:
        raise UserError(f"keep is {keep!r}; it is one of {', '.join(KEEPS)}")
    ranks = _ranks(array, keep)
    members, firsts = _equal(array, np.arange(len(array)), ranks)
    alive = np.ones(len(array), np.bool_)
    alive[members] = False
    alive &= array.is_valid().to_numpy(zero_copy_only=False)
    near = _near(array, np.flatnonzero(alive), ranks, settings, bands, threshold)
    twin = np.full(len(array), -1, np.int64)
    similarity = np.ones(len(array))
    twin[near.documents], similarity[near.documents] = near.twins, near.similarity
    fell = twin[firsts] >= 0  # the group's first went: its members go with it
    twin[members] = np.where(fell, twin[firsts], firsts)
    similarity[members] = np.where(fell, similarity[firsts], 1.0)
    index = np.flatnonzero(twin >= 0)
    return pa.table({"index": index, "duplicate_of": twin[index], "similarity": similarity[index]})


def _equal(array: pa.LargeStringArray, documents: Int64s, ranks: list[UInt64s]) -> tuple[Int64s, Int64s]:
    keys = exact.text_keys(array)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    return exact.group_firsts(keys[valid, 0], keys[valid, 1], [rank[valid] for rank in ranks], documents[valid])


def _ranks(array: pa.LargeStringArray, keep: str) -> list[UInt64s]:
    """What orders documents before their number does."""
    if keep == "first":
        return []
    if keep == "last":
        return [np.arange(len(array), dtype=np.uint64)[::-1]]
    order = exact.order_keys(keep, array, pa.record_batch({}))
    keys = exact.text_keys(array)
    return [item for item in (order, keys[:, 0], keys[:, 1]) if item is not None]


def _near(
    array: pa.LargeStringArray,
    documents: Int64s,
    ranks: list[UInt64s],
    settings: Sketch,
    bands: Any,
    threshold: float,
) -> match.Decisions:
    offsets, tokens = signing.token_hashes(array.take(pa.array(documents)), settings)
    sketches = signing.sketch(offsets, tokens, settings)
    rows = [
        match.with_documents(match.band_rows(part, 0, bands), at)
        for at, part in _segments(sketches, match.SEGMENT_DOCUMENTS)
    ]

    def load(some: Int64s) -> signing.Sketches:
        return _rows(sketches, some)

    dense: list[edges.Crowd] = []
    found = edges.find_edges(
        np.concatenate([np.empty(0, np.uint64), *rows]), load, bands, threshold, edges.Tally(), crowds=dense
    )
    members = np.unique(np.concatenate([found.pairs.ravel(), *dense])).astype(np.int64)

    def shingles(some: Int64s) -> match.Runs:
        part = np.concatenate([tokens[offsets[i] : offsets[i + 1]] for i in some])
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.diff(offsets)[some])])
        return match.Runs(*signing.shingle_sets(bounds, part, settings))

    order = [rank[documents[members]] for rank in ranks]
    crowds = Crowds(dense, load, bands.least_equal)
    sizes = np.diff(offsets)[members]
    gone = match.decide(members, order, [found], sizes, shingles, threshold=threshold, crowds=crowds)
    return match.Decisions(documents[gone.documents], documents[gone.twins], gone.similarity)


def _rows(sketches: signing.Sketches, rows: Int64s) -> signing.Sketches:
    return signing.Sketches(sketches.signatures[rows], sketches.small[rows], sketches.counts[rows])


def _segments(sketches: signing.Sketches, size: int) -> list[tuple[int, signing.Sketches]]:
    starts = range(0, len(sketches.counts), size)
    return [(at, _rows(sketches, np.arange(at, min(at + size, len(sketches.counts))))) for at in starts]


def signatures(
    texts: Any, shingle: int = 5, slots: int = 256, scheme: str = "fast", *, seed: int = 1
) -> np.ma.MaskedArray[Any, Any]:
    """Signatures, uint16[n, slots] ("minhash": uint32); the row of a text without shingles is masked."""
    settings = Sketch(shingle=shingle, slots=slots, scheme=scheme, seed=seed)
    sketches = signing.sketch(*signing.token_hashes(as_texts(texts), settings), settings)
    empty = sketches.counts == 0
    sketches.signatures[empty] = 0
    return np.ma.MaskedArray(sketches.signatures, np.broadcast_to(empty[:, None], sketches.signatures.shape).copy())


def shingle_hashes(text: str, shingle: int = 5) -> UInt64s:
    """The sorted distinct 64-bit hashes of a text's shingles; empty for fewer than `shingle` tokens."""
    if not isinstance(text, str):
        raise UserError(f"text is of type {type(text).__name__}; it is a str")
    settings = Sketch(shingle=shingle)
    return signing.shingle_sets(*signing.token_hashes(as_texts([text]), settings), settings)[1]


def jaccard(a: str, b: str, shingle: int = 5) -> float:
    """Exact Jaccard similarity of two texts' shingle sets, in [0, 1]; 0.0 where either has none."""
    x, y = shingle_hashes(a, shingle), shingle_hashes(b, shingle)
    shared = len(np.intersect1d(x, y, assume_unique=True))
    return shared / (len(x) + len(y) - shared) if len(x) and len(y) else 0.0


def estimate(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Estimated Jaccard similarity from two signatures of the same settings: the share of equal slots."""
    return float(np.mean(np.asarray(a) == np.asarray(b)))
