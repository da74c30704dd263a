"""A corpus of any size whose duplicates are known: copies, edited copies, and families that only share a template.

Word j of document i is a hash of both, so that a copy is made wherever it stands without the document that it is of,
and a shard needs no other. Lengths are lognormal, words of Zipf's frequencies. An edited copy has a Jaccard similarity
of 0.88 and more to its original; two members of a family have 0.6.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

SHARD = 50_000  # documents
GROUP_ROWS = 5_000
MEDIAN, SPREAD, LONGEST = 80, 1.0, 4_000  # words of a document
COPIES, EDITED, MEMBERS = 0.08, 0.08, 0.1  # shares of documents
FAMILY, TEMPLATE, OWN = 500, 124, 40  # members of a family, words that they share, words of each: J = 120 / 200
EDITED_FROM = 100  # words of an original
WORDS, WIDTH = 1 << 15, 12  # vocabulary, and the longest of it with its space
ORIGINAL, COPY, EDIT, MEMBER = range(4)


class Plan(NamedTuple):
    """What each document is: kind, the document that it is a copy of or its family (-1: none), and its length."""

    kind: npt.NDArray[np.int8]
    of: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]


def plan(documents: int, seed: int = 1) -> Plan:
    """Draw what each document is; the original of a copy comes before it."""
    random = np.random.default_rng(seed)
    words = random.lognormal(np.log(MEDIAN), SPREAD, documents).astype(np.int64).clip(10, LONGEST)
    kind = random.choice(4, documents, p=[1 - COPIES - EDITED - MEMBERS, COPIES, EDITED, MEMBERS]).astype(np.int8)
    of = np.full(documents, -1)
    long = words >= EDITED_FROM
    for which, fits in ((COPY, kind == ORIGINAL), (EDIT, (kind == ORIGINAL) & long)):
        originals, copies = np.flatnonzero(fits), np.flatnonzero(kind == which)
        before = np.searchsorted(originals, copies)
        kind[copies[before == 0]] = ORIGINAL
        copies, before = copies[before > 0], before[before > 0]
        of[copies] = originals[(random.random(len(copies)) * before).astype(np.int64)]
        words[copies] = words[of[copies]] + (which == EDIT)
    members = np.flatnonzero(kind == MEMBER)
    of[members] = random.permutation(len(members)) // FAMILY
    words[members] = TEMPLATE + OWN
    return Plan(kind, of, words)


def truth(what: Plan) -> dict[str, tuple[str, str]]:
    """(original, exact or near) of every duplicate, by id."""
    found = np.flatnonzero((what.kind == COPY) | (what.kind == EDIT))
    names = {COPY: "exact", EDIT: "near"}
    return {name(i): (name(what.of[i]), names[int(what.kind[i])]) for i in found.tolist()}


def name(document: int) -> str:
    """The id of a document."""
    return f"d{document:09}"


def family_pairs(what: Plan) -> int:
    """Pairs of documents that are of one family."""
    sizes = np.bincount(what.of[what.kind == MEMBER])
    return int((sizes * (sizes - 1) // 2).sum())


def write(folder: Path, documents: int, *, format: str = "jsonl", seed: int = 1) -> Plan:
    """Write shards and truth.parquet beside them; what each document is."""
    what = plan(documents, seed)
    shards = folder / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    words, sizes = _vocabulary(seed)
    for number, first in enumerate(range(0, documents, SHARD)):
        some = np.arange(first, min(first + SHARD, documents))
        offsets, data = _texts(what, some, words, sizes, seed)
        path = shards / f"{number:05}.{format}"
        if format == "parquet":
            texts = pa.LargeStringArray.from_buffers(len(some), pa.py_buffer(offsets), pa.py_buffer(data))
            table = pa.table({"id": [name(i) for i in some.tolist()], "text": texts})
            pq.write_table(table, path, compression="zstd", row_group_size=GROUP_ROWS)
        else:
            path.write_bytes(b"".join(_lines(some, offsets, data.tobytes())))
    found = truth(what)
    table = pa.table({"id": list(found), "duplicate_of": [o for o, _ in found.values()],
                      "kind": [kind for _, kind in found.values()]})  # fmt: skip
    pq.write_table(table, folder / "truth.parquet", compression="zstd")
    return what


def _lines(documents: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], data: bytes) -> Iterator[bytes]:
    bounds = offsets.tolist()
    for i, document in enumerate(documents.tolist()):
        yield b'{"id": "%s", "text": "%s"}\n' % (name(document).encode(), data[bounds[i] : bounds[i + 1]])


def _vocabulary(seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """uint8[WORDS, WIDTH] words, each with a space behind it, and their lengths with it."""
    random = np.random.default_rng([seed, WORDS])
    words = random.choice(np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz", np.uint8), (WORDS, WIDTH))
    sizes = random.integers(3, WIDTH + 1, WORDS)
    words[np.arange(WORDS), sizes - 1] = ord(" ")
    return words, sizes


def _texts(
    what: Plan,
    documents: npt.NDArray[np.int64],
    words: npt.NDArray[np.uint8],
    sizes: npt.NDArray[np.int64],
    seed: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """(offsets, bytes) of the texts of some documents."""
    counts = what.words[documents]
    ends = np.cumsum(counts)
    row = np.repeat(np.arange(len(documents)), counts)
    place = np.arange(ends[-1]) - (ends - counts)[row]
    kind, of = what.kind[documents], what.of[documents]
    # Whose words they are: those of the original; of a family for its template, under numbers that no document has.
    owner = np.where((kind == COPY) | (kind == EDIT), of, documents)
    owner = np.where((kind == MEMBER)[row] & (place < TEMPLATE), of[row] + (1 << 40), owner[row])
    # An edited copy has a word more at the end, and another word in its middle.
    edited = (kind == EDIT)[row] & ((place == counts[row] // 2) | (place == counts[row] - 1))
    owner = np.where(edited, documents[row], owner)
    drawn = _zipf(_mixed(owner.astype(np.uint64) << np.uint64(16) ^ place.astype(np.uint64), seed))
    flat = words[drawn]
    lengths = sizes[drawn]
    data = flat[np.arange(WIDTH) < lengths[:, None]]
    bounds = np.concatenate([[0], np.cumsum(lengths)])[np.concatenate([[0], ends])]
    return bounds.astype(np.int64), data


def _mixed(values: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea, Flood 2014)."""
    values = (values + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


def _zipf(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Words of which the k-th is drawn about as often as 1 / k."""
    share = (hashes >> np.uint64(40)).astype(np.float64) / (1 << 24)
    return np.minimum(np.exp(share * np.log(WORDS)).astype(np.int64) - 1, WORDS - 1)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), format=sys.argv[3] if len(sys.argv) > 3 else "jsonl")
