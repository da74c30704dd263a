"""Components decided in rounds, beside the plain definition: how much is in memory at once changes nothing."""

from __future__ import annotations

import itertools
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dedup
from benchmarks import families
from dedup.near import edgestore, match
from dedup.near.edges import Edges
from dedup.runner import driver, fetch
from dedup.runner import match as tasks
from dedup.runner.budget import Budget
from tests.runs import tree_bytes, write_jsonl

Decided = dict[int, tuple[int, float]]


def naive_decisions(
    order: list[int], sets: dict[int, set[int]], pairs: set[frozenset[int]], at_least: float
) -> Decided:
    """In keep order: a document goes for the kept one of highest similarity that an edge joins it to."""
    kept: list[int] = []
    found: Decided = {}
    for i in order:
        near = [(len(sets[i] & sets[j]) / len(sets[i] | sets[j]), j) for j in kept if frozenset((i, j)) in pairs]
        passing = [(-similarity, kept.index(j), j) for similarity, j in near if similarity >= at_least]
        if passing:
            similarity, _, twin = min(passing)
            found[i] = (twin, -similarity)
        else:
            kept.append(i)
    return found


def decided(
    documents: np.ndarray, ranks: list[np.ndarray], edges: Edges, sets: dict[int, set[int]], room: int
) -> tuple[Decided, list[int]]:
    """What `decide` says with so much room, and how many shingles it asked for at once."""
    asked = []

    def shingles(some: np.ndarray) -> match.Runs:
        runs = [sorted(sets[i]) for i in some.tolist()]
        asked.append(sum(map(len, runs)))
        offsets = np.cumsum([0, *map(len, runs)])
        return match.Runs(offsets, np.array(list(itertools.chain(*runs)), np.uint64))

    sizes = np.array([len(sets[i]) for i in documents.tolist()])
    parts = [Edges(edges.pairs[at : at + 7], edges.similarity[at : at + 7]) for at in range(0, len(edges.pairs), 7)]
    with (
        mock.patch.object(match, "ROUND_SHINGLES", room),
        mock.patch.object(match, "ROUND_EDGES", room),
        mock.patch.object(edgestore, "HELD_EDGES", room),
    ):
        found = match.decide(documents, ranks, [*parts, *parts[:1]], sizes, shingles, threshold=0.6)
    assert found.edges == len(edges.pairs)
    columns = (found.documents.tolist(), found.twins.tolist(), found.similarity.tolist())
    return {i: (twin, similarity) for i, twin, similarity in zip(*columns, strict=True)}, asked


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([0.1, 0.4, 1.0]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_rounds_of_any_size_decide_alike(seed, count, joined, ranked):
    random = np.random.default_rng(seed)
    documents = np.sort(random.choice(1000, count, replace=False))
    base = random.integers(0, 2**62, 12)
    sets = {int(i): {int(x) for x in base if random.random() < 0.9} | {int(random.integers(2**62))} for i in documents}
    pairs = [pair for pair in itertools.combinations(documents.tolist(), 2) if random.random() < joined]
    edges = Edges(np.array(pairs, np.uint32).reshape(-1, 2), np.zeros(len(pairs)))
    rank = random.integers(0, 5, count).astype(np.uint64)
    order = sorted(range(count), key=lambda at: (rank[at] if ranked else 0, at))
    expected = naive_decisions([int(documents[at]) for at in order], sets, set(map(frozenset, pairs)), 0.6)
    for room in (1, 30, 1 << 20):
        found, asked = decided(documents, [rank] if ranked else [], edges, sets, room)
        assert found == expected
        assert max(asked) <= room + 13  # no set is larger


@pytest.mark.parametrize("held", [1, 2, 100])
def test_without_verification_the_similarity_of_edges_is_taken(held):
    edges = [Edges(np.array([pair], np.uint32), np.array([s])) for pair, s in (([2, 3], 0.7), ([1, 2], 0.9))]
    documents = np.array([1, 2, 3])
    with mock.patch.object(edgestore, "HELD_EDGES", held):
        found = match.decide(documents, [], edges, np.zeros(3, np.int64), None, threshold=0.8)
    assert (found.documents.tolist(), found.twins.tolist(), found.similarity.tolist()) == ([2], [1], [0.9])


SMALL_TASKS = Budget(
    room=1 << 20, batch_bytes=1 << 12, exact_rows=16, band_rows=256, key_rows=256, group_shingles=300, old_documents=100
)


@pytest.mark.parametrize("keep", ["first", "last", "longest"])
def test_a_component_of_many_partitions_gives_the_same_bytes(tmp_path: Path, keep: str) -> None:
    alike = itertools.chain(families.family_texts(40, 0.85, template=80), families.family_texts(40, 0.9, template=30))
    chain = [" ".join(f"w{j}" for j in range(i, i + 90)) for i in range(0, 160, 4)]  # each near its neighbours only
    texts = [*alike, *chain]
    np.random.default_rng(3).shuffle(texts)
    for number in range(3):
        rows = [{"id": f"{number}-{i}", "text": text} for i, text in enumerate(texts[number::3])]
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", rows)
    recipe = {"text": "text", "id": "id", "step": [{"dedup": "near", "keep": keep}]}
    whole = dedup.run(recipe, str(tmp_path / "in"), tmp_path / "whole", executor="serial")
    with (
        mock.patch.object(match, "ROUND_SHINGLES", 300),
        mock.patch.object(driver.budget, "derive", return_value=SMALL_TASKS),
        mock.patch.object(fetch, "SEGMENT", 500),
        mock.patch.object(tasks, "EDGE_BLOCK", 100),
        mock.patch.object(match, "ROUND_EDGES", 50),
        mock.patch.object(edgestore, "HELD_EDGES", 200),
    ):
        cut = dedup.run(recipe, str(tmp_path / "in"), tmp_path / "cut", executor="serial")
    assert cut.summary["documents_dropped"] == whole.summary["documents_dropped"] > 78
    assert tree_bytes(tmp_path / "cut") == tree_bytes(tmp_path / "whole")
