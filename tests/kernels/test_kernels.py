"""Kernels beside their slow, obvious twins."""

from __future__ import annotations

import random
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.kernels import bucket, graph, record, shingle, sketch, unicode
from tests import naive

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=200)


def runs(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """(values, offsets) of some lists."""
    offsets = np.cumsum([0, *(len(item) for item in lists)])
    return np.array([x for item in lists for x in item], np.uint64), offsets


def random_set(seed: int, size: int) -> np.ndarray:
    return np.unique(np.random.default_rng(seed).integers(0, 2**63, size, np.uint64) * np.uint64(2))


@given(st.lists(HASHES, max_size=5), st.sampled_from([0, 40, 63]))
@settings(max_examples=60, deadline=None)
def test_runs_are_sorted_as_numpy_sorts_them(lists, shared_bits):
    """Also where hashes share the bits that the counting passes look at."""
    lists = [[x >> shared_bits for x in item] for item in lists]
    values, offsets = runs(lists)
    shingle.sort_runs(values, offsets, np.empty(max(map(len, lists), default=0), np.uint64))
    assert values.tolist() == [x for item in lists for x in sorted(item)]


def test_long_runs_are_sorted_too():
    values = np.random.default_rng(7).integers(0, 2**64 - 1, 5000, np.uint64)
    expected = np.sort(values)
    shingle.sort_runs(values, np.array([0, 5000]), np.empty(5000, np.uint64))
    assert np.array_equal(values, expected)


def test_sorted_runs_lose_their_repeats_within_each_run_only():
    values, offsets = runs([[1, 1, 2], [], [2, 2, 2, 3]])
    out = np.empty(4, np.int64)
    shingle.compact_sorted(values, offsets, out)
    assert out.tolist() == [0, 2, 2, 4]
    assert values[:4].tolist() == [1, 2, 2, 3]


@given(HASHES, HASHES)
@settings(max_examples=60, deadline=None)
def test_jaccard_of_runs_is_that_of_sets(a, b):
    a, b = a[:50] + b[:30], b
    values, offsets = runs([sorted(set(a)), sorted(set(b))])
    got = shingle.jaccard_runs(values, offsets[0], offsets[1], offsets[1], offsets[2], 0.0)
    union = set(a) | set(b)
    assert got == (len(set(a) & set(b)) / len(union) if a and b else 0.0)


def test_sizes_alone_reject_a_pair_below_the_threshold():
    values, _ = runs([[1, 2, 3, 4], [1, 2, 3, 4, 5]])
    assert shingle.jaccard_runs(values, 0, 4, 4, 9, 0.8) == 0.8
    assert shingle.jaccard_runs(values, 0, 4, 4, 9, 0.81) == 0.0


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("n", range(8))
def test_a_document_has_one_shingle_for_every_five_tokens_in_a_row(n, whole):
    tokens = np.arange(100, 100 + n, dtype=np.uint64)
    out = np.zeros(10, np.uint64)
    count = shingle.shingle_one(tokens, 0, n, 5, whole, out)
    assert count == (max(n - 4, 1 if whole and n else 0))
    assert len(set(out[:count].tolist())) == count


def test_equal_windows_have_equal_hashes_wherever_they_stand():
    tokens = np.array([9, 1, 2, 3, 4, 5, 7, 8, 1, 2, 3, 4, 5], np.uint64)
    out = np.zeros(20, np.uint64)
    count = shingle.shingle_one(tokens, 0, len(tokens), 5, False, out)
    assert out[1] == out[8]
    assert len(set(out[:count].tolist())) == count - 1


def test_few_distinct_shingles_are_listed_and_many_are_not():
    few = np.array([5, 3, 5, 0, 3, 0, 9], np.uint64)
    out, probe = np.zeros(64, np.uint64), np.empty(256, np.uint64)
    assert sketch.distinct_below(few, 7, 64, probe, out) == 4
    assert out[:4].tolist() == [0, 3, 5, 9]
    many = np.arange(1, 65, dtype=np.uint64)
    assert sketch.distinct_below(many, 64, 64, probe, out) == 64
    assert sketch.distinct_below(many, 63, 64, probe, out) == 63


@pytest.mark.parametrize("size", [1, 2, 5, 63, 64, 300, 5000])
def test_a_sketch_depends_on_the_set_alone(size):
    values = random_set(3, size)
    shuffled = np.concatenate([values, values[: size // 2]])
    np.random.default_rng(0).shuffle(shuffled)
    slots, a, b = np.empty(256, np.uint64), np.empty(256, np.uint16), np.empty(256, np.uint16)
    sketch.sketch_fast(values, len(values), np.uint64(1), slots, a)
    sketch.sketch_fast(shuffled, len(shuffled), np.uint64(1), slots, b)
    assert np.array_equal(a, b)


def test_records_come_back_as_they_went():
    rng = np.random.default_rng(5)
    signatures = rng.integers(0, 255, (4, 512), np.uint8)
    small = rng.integers(0, 255, (4, 512), np.uint8)
    counts = np.array([0, 3, 64, 63], np.int32)
    begins = np.cumsum([0, 0, 24, 512, 504])
    packed = np.empty(begins[-1], np.uint8)
    record.pack_records(signatures, small, counts, begins, packed)
    a, b = np.zeros_like(signatures), np.zeros_like(small)
    record.unpack_records(packed, begins, counts, a, b)
    assert np.array_equal(a[2], signatures[2])
    assert np.array_equal(b[1, :24], small[1, :24])
    assert np.array_equal(b[3, :504], small[3, :504])
    assert not a[[0, 1, 3]].any()


def test_records_of_some_documents_are_found_without_those_between():
    counts = np.array([0, 3, 64, 63, 64, 0, 1], np.uint8)
    sizes = [0, 24, 512, 504, 512, 0, 8]
    for some in ([0], [6], [1, 3], [0, 2, 4, 6], list(range(7)), []):
        begins = np.full(len(some) + 1, -1)
        record.find_records(counts, 512, np.array(some, np.int64), begins)
        assert begins[:-1].tolist() == [sum(sizes[:i]) for i in some]
        assert begins[-1] == (sum(sizes[: some[-1] + 1]) if some else 0)


def test_rows_of_documents_that_are_gone_are_left_out():
    keys, documents = [0, 5, 5, (1 << 44) - 1], [3, 0, 7, (1 << 20) - 1]
    rows = np.array([key << 20 | document for key, document in zip(keys, documents, strict=True)], np.uint64)
    gone = np.zeros((1 << 20) + 100, np.bool_)
    gone[100 + 7] = gone[3] = True
    size = bucket.number_rows(rows, np.uint64(20), 100, gone, rows)  # in place
    assert rows[:size].tolist() == [103, 5 << 32 | 100, 0xFFFFFFFF << 32 | (1 << 20) + 99]


def test_buckets_are_the_runs_of_two_and_more_equal_keys():
    keys = [1, 2, 2, 3, 5, 5, 5, 9]
    rows = np.array([key << 32 | document for document, key in enumerate(keys)], np.uint64)
    bounds = np.empty((4, 2), np.int64)
    bounds = bounds[: bucket.bucket_bounds(rows, bounds)]
    assert bounds.tolist() == [[1, 3], [4, 7]]
    kept = bucket.only_buckets(rows, bounds)
    assert (kept & np.uint64(0xFFFFFFFF)).tolist() == [1, 2, 4, 5, 6]
    assert bounds.tolist() == [[0, 2], [2, 5]]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_components_are_named_by_their_first_document(pairs):
    parent = np.arange(31, dtype=np.uint32)
    graph.union_edges(parent, np.array(pairs, np.uint32).reshape(-1, 2))
    graph.flatten(parent)
    expected = list(range(31))
    for _ in range(31):
        for a, b in pairs:
            expected[a] = expected[b] = min(expected[a], expected[b])
    assert parent.tolist() == expected


def test_representatives_of_two_thousand_random_graphs_are_a_maximal_independent_set_in_order():
    rng = random.Random(11)
    for _ in range(2000):
        n = rng.randint(1, 12)
        weight = {
            (j, i): rng.choice([0.5, 0.79, 0.8, 0.9, 1.0]) for i in range(n) for j in range(i) if rng.random() < 0.4
        }
        neighbours = [[j for j in range(i) if (j, i) in weight] for i in range(n)]
        begins = np.cumsum([0, *(len(item) for item in neighbours)])
        flat = np.array([j for item in neighbours for j in item], np.int64)
        estimates = np.array([weight[j, i] for i in range(n) for j in neighbours[i]])
        twin, similarity = np.full(n, -1), np.zeros(n)
        nothing, nobody = np.zeros(n + 1, np.int64), np.zeros(0, np.int64)
        sketches = (np.zeros((0, 256), np.uint16), np.zeros((0, 64), np.uint64), np.zeros(0, np.int32))
        graph.represent(
            0, n, begins, flat, estimates, nothing, np.zeros(0, np.uint64), 0.8, 0, nothing, nobody, nobody, nobody,
            sketches, 0, True, np.zeros(2, np.int64), twin, similarity,
        )  # fmt: skip
        kept: list[int] = []
        for i in range(n):
            near = [(-weight[j, i], j) for j in kept if weight.get((j, i), 0) >= 0.8]
            if near:
                assert (twin[i], similarity[i]) == (min(near)[1], -min(near)[0])
            else:
                assert twin[i] == -1
                kept.append(i)


def test_the_shipped_table_is_the_definition_for_every_code_point_this_python_knows():
    entries = unicode.table()
    for code_point in range(unicode.CODE_POINTS):
        character = chr(code_point)
        if unicodedata.category(character) != "Cn":
            assert entries[code_point] == unicode._entry(code_point), hex(code_point)


def test_traditional_characters_fold_to_simplified_ones_only_where_asked():
    plain, folded = unicode.table(), unicode.table(True)
    mask = (1 << unicode.KIND_SHIFT) - 1
    for traditional, simplified in zip("歷與發離", "历与发离", strict=True):
        assert chr(plain[ord(traditional)] & mask) == traditional
        assert chr(folded[ord(traditional)] & mask) == simplified
    assert (plain >> unicode.KIND_SHIFT == folded >> unicode.KIND_SHIFT).all()


def test_tokens_of_every_script_are_cut_as_the_definition_says():
    import pyarrow as pa

    from dedup.near.params import Sketch
    from dedup.near.signature import token_hashes

    texts = [
        "Hello, WORLD 3.14",
        "歷史与文化",
        "नमस्ते दुनिया",
        "co\u00adoperate cooperate",
        "ＡＢＣ abc",
        "İstanbul",
        "",
        None,
    ]
    offsets, hashes = token_hashes(pa.array(texts, pa.large_string()), Sketch())
    names: dict[int, str] = {}
    for i, text in enumerate(texts):
        tokens = naive.tokens(text or "")
        got = hashes[offsets[i] : offsets[i + 1]].tolist()
        assert len(got) == len(tokens)
        for value, token in zip(got, tokens, strict=True):
            assert names.setdefault(value, token) == token
    assert len(set(names.values())) == len(names)
