"""Dense buckets, whose pairs are never written, beside all pairs of documents in keep order."""

from __future__ import annotations

import itertools
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest

import dedup
from benchmarks import families
from dedup.near import edges, edgestore, match, planes
from dedup.near import signature as signing
from dedup.near.crowds import Crowds
from dedup.near.params import Sketch, bands_for
from dedup.runner import driver
from dedup.runner import match as tasks
from tests.near.test_edges import naive_edges, rows_of
from tests.near.test_match import SMALL_TASKS, Decided, naive_decisions
from tests.runs import tree_bytes, write_jsonl

BANDS = bands_for(0.8, 256)
Sets = dict[int, set[int]]


def corpus(seed: int, similarity: float, template: int, documents: int = 45) -> list[str]:
    """A family of about a similarity, a smaller one in disorder with it, and texts like none."""
    random = np.random.default_rng(seed)
    sizes = (documents * 3 // 5, documents // 5, documents // 5)
    spread = np.clip(random.normal(similarity, 0.03, documents), 0.4, 0.99)
    texts = []
    for number, (size, at) in enumerate(zip(sizes, (spread, spread + 0.005, [0.05] * documents), strict=True)):
        for one in range(size):
            whole = next(families.family_texts(1, float(at[one]), template=template, seed=seed + number)).split()
            own = [f"own{number}x{one}x{n}" for n in range(max(1, len(whole) - template - families.SHINGLE + 1))]
            texts.append(" ".join(whole[: template + families.SHINGLE - 1] + own))
    random.shuffle(texts)
    return texts


def known(texts: list[str]) -> tuple[signing.Sketches, Sets]:
    """Sketches and shingle sets."""
    settings = Sketch()
    offsets, tokens = signing.token_hashes(pa.array(texts, pa.large_string()), settings)
    bounds, values = signing.shingle_sets(offsets, tokens, settings)
    sets = {i: set(values[bounds[i] : bounds[i + 1]].tolist()) for i in range(len(texts))}
    sketches = signing.sketch(offsets, tokens, settings)
    signing.complete(sketches, settings)
    return sketches, sets


def found(
    sketches: signing.Sketches, sets: Sets, rank: np.ndarray, references: int, *, verify: bool, room: int
) -> tuple[Decided, int, match.Decisions]:
    """What is decided with dense buckets, the joins to these, and all that is told."""
    dense: list[edges.Crowd] = []

    def load(some: np.ndarray) -> signing.Sketches:
        return rows_of(sketches, some)

    def shingles(some: np.ndarray) -> match.Runs:
        runs = [sorted(sets[i]) for i in some.tolist()]
        return match.Runs(np.cumsum([0, *map(len, runs)]), np.array(list(itertools.chain(*runs)), np.uint64))

    rows = match.with_documents(match.band_rows(sketches, 0, BANDS), 0)
    with (
        mock.patch.multiple(edges, SLICED_FROM=4, SLAB=9, EDGE_BUFFER=600),
        mock.patch.multiple(planes, CROWD_FROM=5, SAMPLE=12, LONERS=1),
        mock.patch.multiple(match, ROUND_SHINGLES=room * 100, ROUND_EDGES=room * 20, ROUND_MEMBERS=room),
        mock.patch.object(edgestore, "HELD_EDGES", room * 10),
    ):
        explicit = edges.find_edges(rows, load, BANDS, 0.8, edges.Tally(), references, dense)
        documents = np.unique(np.concatenate([explicit.pairs.ravel(), *dense])).astype(np.int64)
        sizes = np.array([len(sets[i]) for i in documents.tolist()], np.int64)
        told = match.decide(
            documents, [rank[documents]], [explicit], sizes, shingles if verify else None, threshold=0.8,
            crowds=Crowds(dense, load, BANDS.least_equal, references),
        )  # fmt: skip
    columns = (told.documents.tolist(), told.twins.tolist(), told.similarity.tolist())
    return {i: (twin, s) for i, twin, s in zip(*columns, strict=True)}, sum(map(len, dense)), told


@pytest.mark.parametrize("similarity", [0.55, 0.7, 0.77, 0.8, 0.83, 0.9, 0.98])
@pytest.mark.parametrize("template", [40, 150])
def test_dense_buckets_decide_as_all_pairs_do(similarity: float, template: int) -> None:
    joins = 0
    for seed in range(2):
        sketches, sets = known(corpus(seed, similarity, template))
        references = 12 * (seed % 2)
        count = len(sets)
        rank = np.random.default_rng(seed).integers(0, 6, count).astype(np.uint64)
        rank[:references] = 0
        pairs = naive_edges(sketches, BANDS, 0.8)
        joined = {frozenset(pair) for pair in pairs if max(pair) >= references}
        order = sorted(range(count), key=lambda i: (i >= references, rank[i] if i >= references else 0, i))
        full = np.where(np.arange(count) < references, 0, rank + 1).astype(np.uint64)
        expected = naive_decisions(order, sets, joined, 0.8)
        results = [found(sketches, sets, full, references, verify=True, room=room) for room in (3, 8, 1000)]
        assert [result[0] for result in results] == [expected] * 3
        assert len({(result[2].edges, result[2].compared) for result in results}) == 1
        joins += results[0][1]
    assert (joins > 100) == (similarity > 0.75)


def test_without_verification_dense_buckets_decide_by_the_estimate_as_all_pairs_do() -> None:
    for seed, template in ((0, 40), (1, 150)):
        sketches, sets = known(corpus(seed, 0.85, template))
        estimates = naive_edges(sketches, BANDS, 0.8)
        expected: Decided = {}
        for i in range(len(sets)):
            kept = [(-s, j) for (j, k), s in estimates.items() if k == i and j not in expected and s >= 0.8]
            if kept:
                expected[i] = (min(kept)[1], -min(kept)[0])
        rank = np.zeros(len(sets), np.uint64)
        result, joins, _ = found(sketches, sets, rank, 0, verify=False, room=8)
        assert result == expected
        assert joins > 100


def test_two_buckets_that_share_the_bits_of_a_key_are_one_to_nobody() -> None:
    """Which bits a key has in common with others depends on how many partitions there are."""
    sketches, _ = known([text for seed in (1, 2) for text in families.family_texts(9, 0.9, seed=seed)])
    whole = edges.stream_edges
    rows = match.with_documents(match.band_rows(sketches, 0, BANDS), 0)
    with mock.patch.multiple(edges, SLICED_FROM=4), mock.patch.multiple(planes, CROWD_FROM=6):
        tally, dense = edges.Tally(), []
        list(whole(rows, lambda some: rows_of(sketches, some), BANDS, 0.8, tally, 0, dense))
        rule = edges._Rule(BANDS, 0.8, 0)
        parts = list(edges._apart(np.uint64(0), np.arange(18), lambda some: rows_of(sketches, some), rule))
    assert sorted(np.concatenate(parts).tolist()) == list(range(18))
    assert not [part for part in parts if part.min() < 9 <= part.max()]
    assert dense
    assert all(part.max() < 9 or part.min() >= 9 for part in dense)


def test_a_document_that_has_a_key_twice_is_no_duplicate_of_itself() -> None:
    sketches, _ = known([next(families.family_texts(1, 0.9))] * 2)
    rows = match.with_documents(match.band_rows(sketches, 0, BANDS), 0)
    load = lambda some: rows_of(sketches, some)  # noqa: E731
    twice = edges.find_edges(np.concatenate([rows, rows]), load, BANDS, 0.8, edges.Tally())
    assert twice.pairs.tolist() == [[0, 1]]


@pytest.mark.parametrize("keep", ["first", "longest"])
def test_a_run_with_dense_buckets_gives_the_bytes_of_one_that_writes_all_pairs(tmp_path: Path, keep: str) -> None:
    texts = [text for at, template in ((0.9, 150), (0.79, 150), (0.82, 40)) for text in corpus(5, at, template, 40)]
    for number in range(3):
        rows = [{"id": f"{number}-{i}", "text": text} for i, text in enumerate(texts[number::3])]
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", rows)
    recipe = {"text": "text", "id": "id", "step": [{"dedup": "near", "keep": keep}]}

    def run(name: str) -> dict[str, bytes]:
        result = dedup.run(recipe, str(tmp_path / "in"), tmp_path / name, executor="serial")
        assert result.summary["documents_dropped"] > 40
        return tree_bytes(tmp_path / name)

    def without_counts(tree: dict[str, bytes]) -> dict[str, bytes]:
        counted = ("summary.json", "near_misses.parquet", "pairs.parquet")  # pairs of dense buckets are not told
        return {name: data for name, data in tree.items() if name not in [f"report/{one}" for one in counted]}

    plain = run("plain")
    with mock.patch.multiple(edges, SLICED_FROM=4), mock.patch.multiple(planes, CROWD_FROM=5, SAMPLE=12, LONERS=2):
        whole = run("whole")
        with (
            mock.patch.multiple(match, ROUND_SHINGLES=900, ROUND_EDGES=50, ROUND_MEMBERS=7),
            mock.patch.object(driver.budget, "derive", return_value=SMALL_TASKS),
            mock.patch.object(tasks, "EDGE_BLOCK", 100),
        ):
            cut = run("cut")
    assert without_counts(whole) == without_counts(plain)
    assert cut == whole
    assert whole["report/summary.json"] != plain["report/summary.json"]
