"""Edges of buckets, small and large, beside all pairs compared in full; families whose similarity is known."""

from __future__ import annotations

import itertools
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dedup
from benchmarks import families
from dedup.kernels import planes
from dedup.near import edges, match
from dedup.near import planes as planes_of_sketches
from dedup.near import signature as signing
from dedup.near.params import Bands, Sketch, bands_for
from tests import naive

ALL_LARGE = {"SLICED_FROM": 2}
# Every bucket is larger than a chunk, comes in parts, and is compared slab by slab.
IN_SLABS = {"SLICED_FROM": 2, "CHUNK_MEMBERS": 1, "PART": 3, "SLAB": 5, "EDGE_BUFFER": 512}
Pairs = dict[tuple[int, int], float]


def naive_edges(sketches: signing.Sketches, bands: Bands, threshold: float) -> Pairs:
    """All pairs that share a band and whose similarity passes: exact between sets of few shingles, else estimated."""
    found = {}
    sets = [set(small[:count].tolist()) for small, count in zip(sketches.small, sketches.counts, strict=True)]
    for i, signature in enumerate(sketches.signatures):
        equal = sketches.signatures == signature
        agree = equal.sum(axis=1).tolist()
        bandwise = equal[:, : bands.bands * bands.rows].reshape(-1, bands.bands, bands.rows)
        for j in i + 1 + np.flatnonzero(bandwise[i + 1 :].all(axis=2).any(axis=1)):
            if 0 < sketches.counts[i] < 64 and 0 < sketches.counts[j] < 64:
                similarity = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
                passes = similarity >= threshold
            else:
                similarity = agree[j] / sketches.signatures.shape[1]
                passes = agree[j] >= bands.least_equal
            if passes and sketches.counts[i] and sketches.counts[j]:
                found[i, int(j)] = similarity
    return found


def edges_of(
    sketches: signing.Sketches,
    bands: Bands,
    threshold: float,
    tally: edges.Tally | None = None,
    references: int = 0,
    **constants: int,
) -> Pairs:
    """What `find_edges` finds with some constants of its module changed."""
    rows = match.with_documents(match.band_rows(sketches, 0, bands), 0)
    with mock.patch.multiple(edges, **{"SLICED_FROM": edges.SLICED_FROM} | constants):
        found = edges.find_edges(
            rows, lambda some: rows_of(sketches, some), bands, threshold, tally or edges.Tally(), references
        )
    assert (found.pairs[:, 0] < found.pairs[:, 1]).all()
    pairs = dict(zip(map(tuple, found.pairs.tolist()), found.similarity.tolist(), strict=True))
    assert len(pairs) == len(found.pairs)
    return pairs


def rows_of(sketches: signing.Sketches, some: np.ndarray) -> signing.Sketches:
    assert (np.diff(some) > 0).all()  # the files are read forward
    return signing.Sketches(*(column[some] for column in sketches))


def made(
    seed: int, documents: int, slots: int, kind: Any, keeps: float, few_share: float, families: int
) -> signing.Sketches:
    """Sketches of some families: each slot and shingle is the family's with a probability of about `keeps`."""
    random = np.random.default_rng(seed)
    family = random.integers(0, families, documents)
    base = random.integers(0, np.iinfo(kind).max, (families, slots)).astype(kind)
    kept = random.random((documents, slots)) < keeps ** random.choice([0.2, 1, 3], slots)
    signatures = np.where(kept, base[family], random.integers(0, np.iinfo(kind).max, (documents, slots))).astype(kind)
    small, counts = np.zeros((documents, 64), np.uint64), np.full(documents, 64, np.int32)
    shingles = random.integers(0, 2**63, (families, 60)).astype(np.uint64)
    for i in np.flatnonzero(random.random(documents) < few_share):
        size = int(random.integers(1, 61))
        own = random.integers(0, 2**63, 60).astype(np.uint64)
        values = np.unique(np.where(random.random(60) < keeps, shingles[family[i]], own)[:size])
        counts[i], small[i, : len(values)] = len(values), values
    counts[random.random(documents) < 0.05] = 0
    return signing.Sketches(signatures, small, counts)


@given(
    seed=st.integers(0, 2**32 - 1),
    documents=st.integers(2, 40),
    slots=st.sampled_from([64, 100, 256, 300]),
    kind=st.sampled_from([np.uint16, np.uint32]),
    keeps=st.sampled_from([0.8, 0.9, 0.95, 1.0]),
    few_share=st.sampled_from([0.0, 0.3, 1.0]),
    count=st.integers(1, 3),
    threshold=st.sampled_from([0.7, 0.8, 0.9, 1.0]),
)
@settings(max_examples=30, deadline=None)
def test_large_and_small_buckets_have_the_edges_that_all_pairs_compared_have(
    seed, documents, slots, kind, keeps, few_share, count, threshold
):
    sketches = made(seed, documents, slots, kind, keeps, few_share, count)
    rows = 3
    bands = Bands(slots // rows, rows, int((threshold - 0.08) * slots))
    expected = naive_edges(sketches, bands, threshold)
    assert edges_of(sketches, bands, threshold) == expected
    assert edges_of(sketches, bands, threshold, **ALL_LARGE) == expected
    assert edges_of(sketches, bands, threshold, **IN_SLABS) == expected


@given(
    seed=st.integers(0, 2**32 - 1),
    documents=st.integers(2, 40),
    references=st.integers(0, 40),
    keeps=st.sampled_from([0.8, 0.95]),
    few_share=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(max_examples=15, deadline=None)
def test_references_have_edges_with_others_only(seed, documents, references, keeps, few_share):
    sketches = made(seed, documents, 64, np.uint16, keeps, few_share, 2)
    bands = Bands(21, 3, 46)
    every = naive_edges(sketches, bands, 0.8)
    expected = {pair: similarity for pair, similarity in every.items() if max(pair) >= references}
    for constants in ({}, ALL_LARGE, IN_SLABS):
        assert edges_of(sketches, bands, 0.8, None, references, **constants) == expected


def test_a_bucket_of_references_is_not_compared_and_one_with_a_new_member_with_that_alone():
    sketches = sketched(list(families.family_texts(40, 0.9)))
    sketches.signatures[:, 0] = 7
    bands = Bands(1, 1, 200)
    for constants in ({}, ALL_LARGE, IN_SLABS):
        assert edges_of(sketches, bands, 0.8, tally := edges.Tally(), 40, **constants) == {}
        assert tally == edges.Tally()
        found = edges_of(sketches, bands, 0.8, tally := edges.Tally(), 39, **constants)
        assert sorted(found) == [(i, 39) for i in range(39)]
        assert tally == edges.Tally(compared=39)
    found = edges_of(sketches, bands, 0.8, tally := edges.Tally(), 39, **IN_SLABS, BUCKET_CAP=5)
    assert sorted(found) == [(0, 39)]


@pytest.mark.parametrize(("scheme", "few_share"), [("fast", 0.0), ("minhash", 0.4), ("fast", 1.0)])
def test_buckets_of_more_than_a_tile_have_them_too(scheme, few_share):
    sketches = made(5, 560, 256, signing.signature_type(Sketch(scheme=scheme)), 0.87, few_share, 2)
    bands = bands_for(0.8, 256)
    sketches.signatures[:, : bands.rows] = 7  # one bucket of all of them
    expected = naive_edges(sketches, bands, 0.8)
    assert len(expected) > 100
    tally = edges.Tally()
    assert edges_of(sketches, bands, 0.8, tally) == expected
    with_shingles = int(np.count_nonzero(sketches.counts))
    assert with_shingles > planes.TILE
    assert tally.compared >= with_shingles * (with_shingles - 1) // 2
    assert (tally.skipped, tally.capped_buckets) == (0, 0)
    assert edges_of(sketches, bands, 0.8, **{**IN_SLABS, "SLAB": 520, "PART": 500, "EDGE_BUFFER": 10_000}) == expected
    assert edges_of(sketches, bands, 0.8, SLICED_FROM=10**9) == expected


def sketched(texts: list[str], scheme: str = "fast") -> signing.Sketches:
    settings = Sketch(scheme=scheme)
    return signing.sketch(*signing.token_hashes(pa.array(texts, pa.large_string()), settings), settings)


@pytest.mark.parametrize("scheme", ["fast", "minhash"])
@pytest.mark.parametrize(("template", "similarity"), [(30, 0.6), (30, 0.85), (240, 0.6), (240, 0.75), (240, 0.85)])
def test_a_family_has_the_edges_that_all_pairs_compared_have(template, similarity, scheme):
    sketches = sketched(list(families.family_texts(150, similarity, template=template)), scheme)
    bands = bands_for(0.8, 256)
    expected = naive_edges(sketches, bands, 0.8)
    assert (len(expected) > 1000) == (similarity > 0.7)  # 0.75 may be 0.8, as far as a signature can tell
    assert edges_of(sketches, bands, 0.8, **ALL_LARGE) == expected


@pytest.mark.parametrize("constants", [{"SLICED_FROM": 10**9}, ALL_LARGE, IN_SLABS])
@pytest.mark.parametrize("few_share", [0.0, 1.0])
def test_a_pair_is_an_edge_in_the_first_bucket_in_which_it_meets_only(constants, few_share):
    sketches = made(2, 60, 256, np.uint16, 0.95, few_share, 2)
    seen: list[edges.Edges] = []
    with mock.patch.object(edges, "distinct_edges", lambda parts: seen.extend(parts) or edges.Edges(*_together(parts))):
        found = edges_of(sketches, bands_for(0.8, 256), 0.8, **constants)
    assert sum(len(part.pairs) for part in seen) == len(found) > 20


def _together(parts: list[edges.Edges]) -> list[np.ndarray]:
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


@pytest.mark.parametrize(("template", "similarity"), [(240, 0.6), (30, 0.6), (100, 0.9)])
def test_a_family_is_as_similar_as_it_says(template, similarity):
    texts = list(families.family_texts(4, similarity, template=template))
    own = families.own_shingles(similarity, template)
    for a, b in itertools.combinations(texts, 2):
        assert naive.jaccard(a, b) == template / (template + 2 * own)
        assert abs(naive.jaccard(a, b) - similarity) < 0.01


def test_a_family_below_the_threshold_loses_no_document_and_one_above_keeps_the_first():
    below = list(families.family_texts(600, 0.6))
    above = list(families.family_texts(300, 0.85, seed=2))
    assert dedup.near_duplicates(below).num_rows == 0
    found = dedup.near_duplicates(above + below)
    assert found["index"].to_pylist() == list(range(1, 300))
    assert set(found["duplicate_of"].to_pylist()) == {0}


# Buckets that are not compared as a whole


def interleaved(documents: int, count: int) -> list[str]:
    """The first of each of some families, then the second of each, and so on."""
    texts = (families.family_texts(documents, 0.9, seed=seed) for seed in range(count))
    return list(itertools.chain.from_iterable(zip(*texts, strict=True)))


def test_a_bucket_over_the_cap_is_compared_with_leaders_and_what_is_left_out_is_counted():
    sketches = sketched(interleaved(20, 2))
    bands = Bands(1, 1, 200)
    sketches.signatures[:, 0] = 7  # the one bucket
    tally = edges.Tally()
    found = edges_of(sketches, bands, 0.8, tally, **IN_SLABS, BUCKET_CAP=39)
    # The first of either family leads; who comes later is compared with both.
    assert sorted(found) == [(i, j) for i in (0, 1) for j in range(i + 2, 40, 2)]
    assert tally == edges.Tally(compared=1 + 2 * 38, skipped=40 * 39 // 2 - 1 - 2 * 38, capped_buckets=1)
    every = edges_of(sketches, bands, 0.8, tally := edges.Tally(), **IN_SLABS, BUCKET_CAP=40)
    assert len(every) == 2 * (20 * 19 // 2)
    assert tally == edges.Tally(compared=40 * 39 // 2)


def crowded(sketches: signing.Sketches, tally: edges.Tally, references: int = 0, **constants: int) -> tuple[Any, Any]:
    """Edges and crowds of a bucket of all documents."""
    sketches.signatures[:, 0] = 7
    rows = match.with_documents(match.band_rows(sketches, 0, Bands(1, 1, 200)), 0)
    crowds: list[edges.Crowd] = []
    with (
        mock.patch.multiple(edges, **{"SLICED_FROM": 2} | constants),
        mock.patch.multiple(planes_of_sketches, CROWD_FROM=25, LONERS=2),
    ):
        found = edges.find_edges(
            rows, lambda some: rows_of(sketches, some), Bands(1, 1, 200), 0.8, tally, references, crowds
        )
    return sorted(map(tuple, found.pairs.tolist())), [crowd.tolist() for crowd in crowds]


def test_members_of_a_bucket_that_are_like_very_many_others_are_a_crowd_without_edges():
    alike = list(families.family_texts(60, 0.9))
    sketches = sketched(alike)
    assert crowded(sketches, tally := edges.Tally()) == ([], [list(range(60))])
    assert tally == edges.Tally()
    assert crowded(sketches, tally, BUCKET_CAP=10) == ([], [list(range(60))])  # however large
    assert tally == edges.Tally()
    assert crowded(sketched(alike[:25]), edges.Tally())[1] == []
    # So few others go with it; more are compared with all, and have the edges that they have.
    loners = [text for seed in range(3) for text in families.family_texts(2, 0.9, seed=10 + seed)]
    assert crowded(sketched([*alike, *loners[:2]]), edges.Tally()) == ([], [list(range(62))])
    found = crowded(sketched([*loners, *alike]), tally := edges.Tally())
    assert found == ([(0, 1), (2, 3), (4, 5)], [list(range(6, 66))])
    assert tally == edges.Tally(compared=66 * 65 // 2 - 60 * 59 // 2)


def test_references_of_a_crowd_are_like_those_only_that_they_are_compared_with():
    sketches = sketched(list(families.family_texts(60, 0.9)))
    assert crowded(sketches, edges.Tally(), 20)[1] == [list(range(60))]
    found, crowds = crowded(sketches, edges.Tally(), 40)  # 20 others for each reference, 59 for each of the rest
    assert crowds == []  # and of these there are too few
    assert len(found) == 60 * 59 // 2 - 40 * 39 // 2


def test_members_unlike_all_leaders_are_met_by_no_more_than_some():
    """With room for two leaders a third family has none, and its members no edge."""
    sketches = sketched(interleaved(5, 3))
    sketches.signatures[:, 0] = 7
    found = edges_of(sketches, Bands(1, 1, 200), 0.8, **IN_SLABS, BUCKET_CAP=2, LEADERS=2)
    assert sorted(found) == [(i, j) for i in (0, 1) for j in range(i + 3, 15, 3)]
