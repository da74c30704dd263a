"""Band keys to edges: which documents of a bucket are worth an exact comparison (design 6.5).

Most buckets are small, and their pairs are compared one by one. In a large one all pairs first pass a lower bound of
what they differ in, by bit planes, which costs a tenth. What is found is the same: documents that share a band
and whose estimate passes. Members of a bucket that are like very many others of it, by a sample, are a crowd: the pairs
of a crowd are left to those who decide, as crowds.py tells. Only a bucket beyond what is affordable is compared with a
few leaders instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.buffers import Int64s, UInt64s
from dedup.near.crowds import Load
from dedup.near.params import Bands
from dedup.near.planes import PART, differ_in_sets, differ_in_signatures, find_crowd, no_planes
from dedup.near.signature import SMALL, Sketches

DOCUMENT_BITS = 20  # of an exchange row; a segment has at most 2^20 documents
SLICED_FROM = 128  # members: a smaller bucket is done before planes are made
BUCKET_CAP = 200_000  # members; all pairs of so many take a minute or two
LEADERS = 64  # of a bucket that is not compared as a whole
CHUNK_MEMBERS = 1 << 15  # bucket members whose signatures are in memory at once: 32 MiB at 256 slots
SLAB = CHUNK_MEMBERS // 2  # members compared with as many before what passes is loaded
EDGE_BUFFER = 1 << 20


class Edges(NamedTuple):
    """Pairs worth an exact comparison: uint32[m, 2] documents, smaller first, and their similarity so far."""

    pairs: npt.NDArray[np.uint32]
    similarity: npt.NDArray[np.float64]


@dataclass
class Tally:
    """What was done in buckets: pairs compared, pairs left out, buckets compared with leaders only.

    Of a small bucket a pair counts that meets there first; of a large one every pair but those of its crowd.
    """

    compared: int = 0
    skipped: int = 0
    capped_buckets: int = 0


@dataclass(frozen=True)
class _Rule:
    """What makes a pair of one bucket an edge, unless both are below `references`."""

    bands: Bands
    threshold: float
    references: int

    def pairs(self, members: Int64s) -> int:
        """How many pairs of some members are compared."""
        return _pairs(len(members)) - _pairs(int(np.count_nonzero(members < self.references)))

    @property
    def numbers(self) -> tuple[int, int, float, int]:
        """As kernels take them."""
        return self.bands.bands, self.bands.rows, self.threshold, self.bands.least_equal


Crowd = npt.NDArray[np.uint32]  # documents


def find_edges(
    rows: UInt64s,
    load: Load,
    bands: Bands,
    threshold: float,
    tally: Tally,
    references: int = 0,
    crowds: list[Crowd] | None = None,
) -> Edges:
    """Edges among the documents of one partition, each once, all in memory; the rest as in `stream_edges`."""
    return distinct_edges(list(stream_edges(rows, load, bands, threshold, tally, references, crowds)))


def stream_edges(
    rows: UInt64s,
    load: Load,
    bands: Bands,
    threshold: float,
    tally: Tally,
    references: int = 0,
    crowds: list[Crowd] | None = None,
    chunk: int = 0,
) -> Iterator[Edges]:
    """Edges among the documents of one partition, but for those between two references; EDGE_BUFFER at a time.

    A pair comes twice only if a bucket was compared with leaders.

    rows         uint64[n]   key << 32 | document, in any order
    references   documents below it are such, and a bucket of them alone is not looked at
    crowds       takes the members of crowds, whose pairs are left out; None: there are none
    chunk        bucket members whose signatures may be in memory at once, if more than CHUNK_MEMBERS
    """
    from dedup.kernels import bucket as kernels

    rule = _Rule(bands, threshold, references)
    rows = _distinct(np.sort(rows))
    bounds = np.empty((len(rows) // 2 + 1, 2), np.int64)
    bounds = bounds[: kernels.bucket_bounds(rows, bounds)]
    if references:
        bounds = bounds[_documents(rows[bounds[:, 1] - 1]) >= references]
    rows = kernels.only_buckets(rows, bounds)  # nine of ten rows share their key with no other
    most = max(chunk, CHUNK_MEMBERS)
    for some_bounds in _chunks(bounds, most):
        members = _documents(rows[some_bounds[0, 0] : some_bounds[-1, 1]])
        if len(members) > most:
            yield from _compare_large(_key(rows, some_bounds[0]), members, load, rule, tally, crowds)
            continue
        documents, local = np.unique(members, return_inverse=True)
        sketches = load(documents)
        large = some_bounds[:, 1] - some_bounds[:, 0] >= SLICED_FROM
        yield from _compare_small(rows, some_bounds[~large], some_bounds[0, 0], local, sketches, rule, tally)
        for bound in some_bounds[large]:
            some = _documents(rows[bound[0] : bound[1]])
            yield from _compare_large(_key(rows, bound), some, _within(documents, sketches), rule, tally, crowds)


def _distinct(rows: UInt64s) -> UInt64s:
    """Sorted rows, each once: two bands of a document may have keys whose 32 bits are the same."""
    is_new = np.ones(len(rows), np.bool_)
    is_new[1:] = rows[1:] != rows[:-1]
    return rows if is_new.all() else rows[is_new]


def distinct_edges(parts: list[Edges]) -> Edges:
    """All edges once, by smaller then larger document."""
    pairs = np.concatenate([np.empty((0, 2), np.uint32), *(part.pairs for part in parts)])
    similarity = np.concatenate([np.empty(0), *(part.similarity for part in parts)])
    packed = pairs[:, 0].astype(np.uint64) << np.uint64(32) | pairs[:, 1]
    _, first = np.unique(packed, return_index=True)
    return Edges(pairs[first], similarity[first])


def _chunks(bounds: Int64s, most: int) -> Iterator[Int64s]:
    """Buckets of at most so many members together, or one of more."""
    ends = np.cumsum(bounds[:, 1] - bounds[:, 0])
    at = 0
    while at < len(bounds):
        until = int(np.searchsorted(ends, (ends[at - 1] if at else 0) + most, "right"))
        yield bounds[at : max(until, at + 1)]
        at = max(until, at + 1)


def _documents(rows: UInt64s) -> Int64s:
    return (rows & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _key(rows: UInt64s, bound: Int64s) -> np.uint64:
    return np.uint64(rows[bound[0]] >> np.uint64(32))


def _within(documents: Int64s, sketches: Sketches) -> Load:
    """Sketches in memory as something that loads them."""

    def load(some: Int64s) -> Sketches:
        at = np.searchsorted(documents, some)
        return Sketches(sketches.signatures[at], sketches.small[at], sketches.counts[at])

    return load


def _compare_small(
    rows: UInt64s, bounds: Int64s, first: int, local: Int64s, sketches: Sketches, rule: _Rule, tally: Tally
) -> Iterator[Edges]:
    """Edges of some buckets, pair by pair; local is the row of sketches of rows[first], rows[first + 1], ..."""
    from dedup.kernels import bucket as kernels

    pairs, similarity = np.empty((EDGE_BUFFER, 2), np.uint32), np.empty(EDGE_BUFFER)
    state, compared = np.zeros(2, np.int64), np.zeros(1, np.int64)
    while state[0] < len(bounds):
        n = kernels.compare_buckets(
            rows, bounds, first, local, *sketches, np.uint64(DOCUMENT_BITS), *rule.numbers, rule.references, state,
            pairs, similarity, compared,
        )  # fmt: skip
        yield Edges(pairs[:n].copy(), similarity[:n].copy())
    tally.compared += int(compared[0])


def _compare_large(
    key: np.uint64, members: Int64s, load: Load, rule: _Rule, tally: Tally, crowds: list[Crowd] | None
) -> Iterator[Edges]:
    """Edges of the buckets of one key: among all members of each, or with its leaders where these are too many."""
    for some in _apart(key, members, load, rule):
        n = len(some)
        if n < SLICED_FROM:
            rows = np.uint64(key) << np.uint64(32) | some.astype(np.uint64)
            yield from _compare_small(rows, np.array([[0, n]]), 0, np.arange(n), load(some), rule, tally)
            continue
        in_crowd = np.zeros(n, np.bool_) if crowds is None else find_crowd(some, load, rule.threshold, rule.references)
        if crowds is not None and in_crowd.any():
            crowds.append(some[in_crowd].astype(np.uint32))
        total = rule.pairs(some) - rule.pairs(some[in_crowd])
        if n <= BUCKET_CAP:
            yield from _compare_all(key, some, load, rule, in_crowd) if total else ()
            tally.compared += total
        elif total:
            held, compared = _compare_with_leaders(some, load, rule)
            yield from held
            tally.compared += compared
            tally.skipped += max(0, total - compared)  # references are compared with leaders too
            tally.capped_buckets += 1


def _apart(key: np.uint64, members: Int64s, load: Load, rule: _Rule) -> Iterator[Int64s]:
    """Members by their whole keys: which 32 bits two buckets share depends on the number of partitions."""
    from dedup.kernels import bucket as kernels

    keys = np.empty(len(members), np.uint64)
    for begin in range(0, len(members), PART):
        signatures = load(members[begin : begin + PART]).signatures
        kernels.whole_keys(signatures, key, np.uint64(DOCUMENT_BITS), *rule.numbers[:2], keys[begin : begin + PART])
    for one in np.unique(keys):
        yield members[keys == one]


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def _compare_all(
    key: np.uint64, members: Int64s, load: Load, rule: _Rule, in_crowd: npt.NDArray[np.bool_]
) -> Iterator[Edges]:
    """Edges among all members of one bucket but those of two of its crowd.

    Holds 128 bytes a member at 256 slots, twice for those of few shingles.
    """
    from dedup.kernels.planes import TILE, alike

    found, scratch = np.empty((EDGE_BUFFER, 2), np.uint32), np.empty(TILE, np.int64)
    members, *planes = _planes(members, load, rule, in_crowd)
    for one in planes:
        for a, a_end, b, b_end in one.slabs():
            state = np.array([b, a])
            while state[0] < b_end:
                size = alike(one.planes, one.allowed, a, a_end, b_end, state, scratch, found)
                if size:
                    yield _compare_pairs(key, members, found[:size], load, rule)


class _Planes(NamedTuple):
    """Planes in which pairs of members may differ so much together, of the members from `first` on with all before."""

    planes: UInt64s
    allowed: Int64s
    first: int
    kinds: (
        Int64s  # of members, in stretches: 1 a reference, 2 of the crowd, 3 both; no two that share a bit are compared
    )

    def slabs(self) -> Iterator[tuple[int, int, int, int]]:
        """(begin, end, begin, end) of two stretches, the one of all members up to the other."""
        size = len(self.allowed)
        changes = np.flatnonzero(np.diff(self.kinds)) + 1
        cuts = sorted({*range(0, size, SLAB), self.first, *changes.tolist()} - {size})
        ends = [*cuts[1:], size]
        for j in (j for j, b in enumerate(cuts) if b >= self.first):
            for i in range(j + 1):
                if not self.kinds[cuts[i]] & self.kinds[cuts[j]]:
                    yield cuts[i], ends[i], cuts[j], ends[j]


def _planes(
    members: Int64s, load: Load, rule: _Rule, in_crowd: npt.NDArray[np.bool_]
) -> tuple[Int64s, _Planes, _Planes]:
    """Members, those of few shingles first, which are compared exactly; the planes of these, and those of all."""
    from dedup.kernels.planes import slice_sets, slice_signatures

    n = len(members)
    counts = np.empty(n, np.int32)
    for begin in range(0, n, PART):
        some = load(members[begin : begin + PART])
        if begin == 0:
            # Memory that is never written is never there: where no document has few shingles, the sets cost nothing.
            signs, sets = (no_planes(some, n) for _ in range(2))
        slice_signatures(some.signatures, begin, signs)
        slice_sets(some.small, some.counts, begin, sets)
        counts[begin : begin + PART] = some.counts
    kinds = (members < rule.references) + 2 * in_crowd
    order = np.lexsort((kinds, counts >= SMALL))
    few = int(np.count_nonzero(counts < SMALL))
    if (order[1:] < order[:-1]).any():
        for plane in signs:
            plane[:] = plane[order]
    by_sets = differ_in_sets(counts[order[:few]], rule.threshold)
    by_signs = differ_in_signatures(some.signatures.shape[1] - rule.bands.least_equal, n)
    return (
        members[order],
        _Planes(np.take(sets, order[:few], axis=1), by_sets, 0, kinds[order[:few]]),
        _Planes(signs, by_signs, few, kinds[order]),
    )


def _compare_pairs(key: np.uint64, members: Int64s, found: npt.NDArray[np.uint32], load: Load, rule: _Rule) -> Edges:
    """Those of some pairs, places among members, that are edges."""
    from dedup.kernels import bucket as kernels

    is_met = np.zeros(len(members), np.bool_)
    kernels.mark(found, is_met)
    met = np.flatnonzero(is_met)
    met = met[np.argsort(members[met])]
    row = np.empty(len(members), np.int64)
    row[met] = np.arange(len(met))
    sketches = load(members[met])
    keys, own = np.empty((len(met), rule.bands.bands), np.uint64), np.empty(len(met), np.int64)
    shift, (bands, rows, threshold, least_equal) = np.uint64(DOCUMENT_BITS), rule.numbers
    kernels.own_bands(sketches.signatures, key, shift, bands, rows, keys, own)
    pairs, similarity = np.empty((len(found), 2), np.uint32), np.empty(len(found))
    n = kernels.compare_pairs(found, row, members, *sketches, keys, own, threshold, least_equal, pairs, similarity)
    return Edges(pairs[:n].copy(), similarity[:n].copy())


def _compare_with_leaders(members: Int64s, load: Load, rule: _Rule) -> tuple[list[Edges], int]:
    """Edges of members with the first of them that are unlike each other, and how many pairs were compared."""
    from dedup.kernels import bucket as kernels

    edges: list[Edges] = []
    leaders = np.empty(LEADERS, np.int64)  # documents
    found, similarity = np.empty((EDGE_BUFFER, 2), np.int64), np.empty(EDGE_BUFFER)
    count = compared = 0
    head = load(members[:0])
    for begin in range(0, len(members), PART):
        part = members[begin : begin + PART]
        state, new = np.array([LEADERS, count, 0]), np.empty(LEADERS, np.int64)
        both = _behind_leaders(head, load(part))
        while state[0] < LEADERS + len(part):
            n = kernels.compare_with_leaders(
                both.signatures, both.small, both.counts, rule.threshold, rule.bands.least_equal, state, new, found,
                similarity,
            )  # fmt: skip
            leaders[count : state[1]] = part[new[count : state[1]] - LEADERS]
            count = int(state[1])
            pairs = np.stack([leaders[found[:n, 1]], part[found[:n, 0] - LEADERS]], axis=1)
            fresh = pairs[:, 1] >= rule.references
            edges.append(Edges(pairs[fresh].astype(np.uint32), similarity[:n][fresh]))
        compared += int(state[2])
        head = Sketches(both.signatures[:LEADERS], both.small[:LEADERS], both.counts[:LEADERS])
    return edges, compared


def _behind_leaders(head: Sketches, members: Sketches) -> Sketches:
    """Rows of leaders, LEADERS of them whether taken or not, then rows of members."""
    taken = len(head.counts)
    columns = []
    for first, more in (
        (head.signatures, members.signatures),
        (head.small, members.small),
        (head.counts, members.counts),
    ):
        both = np.zeros((LEADERS + len(more), *more.shape[1:]), more.dtype)
        both[:taken], both[LEADERS:] = first, more
        columns.append(both)
    return Sketches(*columns)
