"""Deduplication from Python, without files: what goes, on any kind of text column, and what signatures are good for."""

from __future__ import annotations

import unicodedata
from importlib.util import find_spec
from typing import Any

import datasketch
import numpy as np
import pandas
import polars
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import dedup
from dedup.arrays import as_texts, estimate
from dedup.errors import UserError
from dedup.near.params import Sketch
from dedup.segment import segment
from tests import naive
from tests.characters import ASSIGNED, UNASSIGNED

LONG = " ".join(f"word{i}" for i in range(40))
NEAR = LONG + " tail"  # 36 of 37 shingles
TEXTS = [LONG, None, "", NEAR, LONG, "", "cat"]
# "" twice: equal texts are exact duplicates, however short.
NEARS = [(3, 0, 36 / 37), (4, 0, 1.0), (5, 2, 1.0)]


def found(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*table.to_pydict().values(), strict=True))


def near(texts: Any, *settings: Any, **more: Any) -> list[tuple[Any, ...]]:
    return found(dedup.near_duplicates(texts, *settings, **more))


# Inputs


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS,
        tuple(TEXTS),
        iter(TEXTS),
        pa.array(TEXTS),
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.string_view()),
        pa.array(TEXTS).dictionary_encode(),
        pa.array(["before", *TEXTS])[1:],
        pa.chunked_array([TEXTS[:2], TEXTS[2:2], TEXTS[2:]], pa.string()),
        pa.chunked_array([pa.array(TEXTS[:3]).dictionary_encode(), pa.array(TEXTS[3:]).dictionary_encode()]),
        pandas.Series(TEXTS),
        pandas.Series(TEXTS, dtype=object),
        pandas.Series(TEXTS, dtype=pandas.ArrowDtype(pa.string())),
        pandas.Series(TEXTS, index=range(10, 17)),
        polars.Series(TEXTS),
        polars.Series(TEXTS, dtype=polars.Categorical),
    ],
    ids=["list", "tuple", "iterator", "string", "large_string", "string_view", "dictionary", "slice", "chunked",
         "chunked-dictionary", "pandas", "pandas-object", "pandas-arrow", "pandas-index", "polars",
         "polars-categorical"],
)  # fmt: skip
def test_any_kind_of_text_column_is_taken(texts: Any) -> None:
    assert near(texts) == NEARS


@pytest.mark.parametrize("texts", [[], pa.array([], pa.string()), pa.chunked_array([], pa.string()), [None, None]])
def test_nothing_comes_of_nothing(texts: Any) -> None:
    schema = pa.schema({"index": pa.int64(), "duplicate_of": pa.int64(), "similarity": pa.float64()})
    assert dedup.near_duplicates(texts).equals(schema.empty_table())
    assert dedup.exact_duplicates(texts).equals(schema.remove(2).empty_table())
    assert dedup.signatures(texts).shape == (len(texts), 256)


# Hugging Face data sets

needs_datasets = pytest.mark.skipif(find_spec("datasets") is None, reason="needs datasets, which the dev extra has")


@needs_datasets
@pytest.mark.parametrize("kind", [None, "numpy", "pandas", "arrow"])
def test_a_column_of_a_dataset_is_taken_as_it_is_selected(kind: str | None) -> None:
    import datasets

    whole = datasets.Dataset.from_dict({"n": list(range(len(TEXTS))), "text": TEXTS})
    assert near(whole.with_format(kind)["text"]) == NEARS
    order = [4, 2, 2, 0]
    some = whole.select(order).with_format(kind)
    assert some.data.num_rows == len(TEXTS)  # the table is whole, the order is beside it
    assert as_texts(some["text"]).to_pylist() == [TEXTS[i] for i in order]
    assert as_texts(whole.select([]).with_format(kind)["text"]).to_pylist() == []


@needs_datasets
def test_a_transform_of_a_dataset_is_applied() -> None:
    import datasets

    whole = datasets.Dataset.from_dict({"text": ["a", "b"]})
    upper = whole.with_transform(lambda rows: {"text": [text.upper() for text in rows["text"]]})
    assert as_texts(upper["text"]).to_pylist() == ["A", "B"]
    nested = datasets.Dataset.from_dict({"meta": [{"title": "a"}, {"title": None}]})
    assert as_texts(nested["meta"]["title"]).to_pylist() == ["a", None]


def test_rows_instead_of_texts_are_refused_with_advice() -> None:
    with pytest.raises(UserError) as told:
        dedup.near_duplicates([{"text": "a"}])
    assert str(told.value) == (
        "texts[0] is of type dict; a text is a str or None; of a table or data set give a column, such as "
        'dataset["text"]'
    )


def test_a_lone_surrogate_is_a_replacement_character() -> None:
    assert near([LONG + " \ud800", LONG + " \N{REPLACEMENT CHARACTER}", None]) == [(1, 0, 1.0)]
    assert near([LONG + " \ud83d\ude00", LONG + " 😀"]) == [(1, 0, 1.0)]  # a pair of them is its character


def test_exact_duplicates_are_of_equal_text_and_never_null() -> None:
    assert found(dedup.exact_duplicates(["a", None, "A", "a", "", None, "", "a"])) == [(3, 0), (6, 4), (7, 0)]


@given(texts=st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "b", "\x00"])), max_size=20))
@hypothesis_settings(max_examples=100, deadline=None, derandomize=True)
def test_exact_duplicates_equal_the_naive_twin(texts: list[str | None]) -> None:
    assert found(dedup.exact_duplicates(texts)) == naive.exact(texts)


# Near duplicates


@st.composite
def related_texts(draw: st.DrawFn) -> list[str | None]:
    """Edited copies of a few texts, so that many pairs lie near a threshold; and nulls and short texts."""
    documents: list[str | None] = []
    for base in range(draw(st.integers(1, 3))):
        size = draw(st.sampled_from([6, 20, 45, 120]))
        words = [f"w{base}x{i}" for i in range(size)]
        for _ in range(draw(st.integers(1, 6))):
            copy = list(words)
            for _ in range(draw(st.integers(0, 2))):
                copy[draw(st.integers(0, size - 1))] = draw(st.sampled_from(["new", "other", "中文"]))
            documents.append(" ".join(copy[draw(st.integers(0, 3)) :]))
    documents += draw(st.lists(st.sampled_from([None, "", "cat", "dog", "a b c d"]), max_size=4))
    return draw(st.permutations(documents))


@pytest.mark.parametrize("keep", ["first", "last", "longest", "shortest"])
@given(texts=related_texts(), threshold=st.sampled_from([0.7, 0.75, 0.8, 0.9, 0.95, 1.0]))
# The same examples on every run: signatures miss one pair in a thousand that lies exactly at the threshold.
@hypothesis_settings(max_examples=150, deadline=None, derandomize=True)
def test_near_duplicates_equal_the_naive_twin(keep: str, texts: list[str | None], threshold: float) -> None:
    expected = [row[:3] for row in naive.near(texts, threshold, keep=keep)]
    assert near(texts, threshold, keep=keep) == expected


@pytest.mark.parametrize("scheme", ["fast", "minhash"])
def test_every_drop_has_a_kept_twin_in_a_larger_set(scheme: str) -> None:
    rng = np.random.default_rng(3)
    texts = []
    for family in range(40):
        words = [f"f{family}w{i}" for i in range(300)]
        for _ in range(6):
            copy = list(words)
            for at in rng.integers(0, 300, rng.integers(0, 12)):
                copy[at] = f"e{rng.integers(1 << 30)}"
            texts.append(" ".join(copy))
    table = dedup.near_duplicates(texts, sketch=Sketch(scheme=scheme))
    expected = [row[:3] for row in naive.near(texts, 0.8)]
    assert found(table) == expected
    assert set(table["index"].to_pylist()) & set(table["duplicate_of"].to_pylist()) == set()


def letters(first: str, last: str) -> str:
    return " ".join(chr(code) for code in range(ord(first), ord(last) + 1))


CHAIN = [letters("c", "x"), letters("b", "y"), letters("a", "z")]  # 18, 20, 22 shingles, each in the next one
HAN = "今天我们在图书馆二楼看见一只猫它坐在窗台上望着外面的雨一动也不动谁也没有去打扰它"
HINDI = "हिन्दी भाषा में लिखा हुआ यह एक छोटा सा वाक्य है जो केवल परीक्षा के लिए बनाया गया है"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["cat", "dog", "cat"], [(2, 0, 1.0)]),
        ([f"Farm to Market Road {number}" for number in range(1501, 1511)], []),
        (["one two three four", "one two three four!", "One two three four"], []),  # shorter than a shingle
        (["", " ", "\n", "...", None, None], []),
        (CHAIN, [(1, 0, 0.9), (2, 0, 18 / 22)]),
        (["start", *CHAIN[::-1]], [(2, 1, 20 / 22), (3, 1, 18 / 22)]),
        ([HAN, HAN[:-1] + "她", HAN[::-1]], [(1, 0, (len(HAN) - 5) / (len(HAN) - 3))]),
        ([HINDI, HINDI.replace("ि", "ी"), HINDI + " ।"], [(2, 0, 1.0)]),  # a mark makes another word, a danda none
    ],
    ids=["short", "one-liners", "too short", "empty", "chain", "chain-up", "Han", "Hindi"],
)
def test_a_known_case(texts: list[str | None], expected: list[tuple[int, int, float]]) -> None:
    assert near(texts) == expected
    assert [row[:3] for row in naive.near(texts, 0.8)] == expected


def test_the_ends_of_a_chain_that_differ_are_both_kept() -> None:
    a, b, c = letters("e", "v"), letters("c", "x"), letters("a", "z")  # J(a, c) = 14 / 22
    assert (dedup.jaccard(a, b), dedup.jaccard(b, c), dedup.jaccard(a, c)) == (14 / 18, 18 / 22, 14 / 22)
    assert near([a, b, c], 0.75) == [(1, 0, 14 / 18)]
    assert near([b, a, c], 0.75) == [(1, 0, 14 / 18), (2, 0, 18 / 22)]


def test_a_hundred_thousand_copies_are_one_group() -> None:
    table = dedup.near_duplicates([LONG] * 100_000)
    assert (len(table), set(table["duplicate_of"].to_pylist())) == (99_999, {0})


# Tokens and Jaccard

scripts = st.one_of(
    st.text(ASSIGNED, max_size=60),
    st.text(st.one_of(st.sampled_from("ab 中ข้か한हि\u200d\u00ad\u0301."), ASSIGNED), max_size=60),
)


def spans(texts: list[str]) -> list[list[tuple[int, int]]]:
    batch = segment(pa.record_batch({"text": pa.array(texts, pa.large_string())}))
    starts, ends = batch["_token_starts"].to_pylist(), batch["_token_ends"].to_pylist()
    return [list(zip(*pair, strict=True)) for pair in zip(starts, ends, strict=True)]


@given(text=scripts)
@hypothesis_settings(max_examples=400, deadline=None, derandomize=True)
def test_token_spans_equal_the_naive_twin(text: str) -> None:
    assert spans([text]) == [naive.token_spans(text)]


def test_token_spans_equal_the_naive_twin_for_every_character() -> None:
    assigned = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in (*UNASSIGNED, "Co")]
    # Alone, after a letter, and between a letter and a Han character.
    texts = ["".join(f" {c} a{c} b{c}中" for c in assigned[at : at + 500]) for at in range(0, len(assigned), 500)]
    assert spans(texts) == [naive.token_spans(text) for text in texts]


@given(head=scripts, middle=scripts, tail=scripts, shingle=st.integers(1, 6))
@hypothesis_settings(max_examples=300, deadline=None, derandomize=True)
def test_jaccard_equals_the_naive_twin(head: str, middle: str, tail: str, shingle: int) -> None:
    a, b = f"{head} {middle}", f"{middle} {tail}"
    assert dedup.jaccard(a, b, shingle) == naive.jaccard(a, b, shingle)


def test_shingle_hashes_are_the_sorted_set_of_shingles() -> None:
    hashes = dedup.shingle_hashes("a b a b a b c", shingle=2)
    assert hashes.dtype == np.uint64
    assert (len(hashes), list(hashes)) == (3, sorted(set(hashes)))  # ab, ba, bc
    assert len(dedup.shingle_hashes("a b a b")) == 0


# Signatures


def test_signatures_are_one_row_a_text_and_masked_where_there_is_no_shingle() -> None:
    table = dedup.signatures([LONG, "cat", None, LONG.upper()], slots=128)
    assert (table.shape, table.dtype) == ((4, 128), np.uint16)
    assert table.mask.all(axis=1).tolist() == table.mask.any(axis=1).tolist() == [False, True, True, False]
    assert table[0].tolist() == table[3].tolist()
    assert dedup.signatures([LONG], seed=2)[0].tolist() != table[0].tolist()


def low_bits(text: str, shingle: int) -> list[int]:
    return (dedup.shingle_hashes(text, shingle) & np.uint64(0xFFFFFFFF)).tolist()


@pytest.mark.parametrize(("slots", "seed", "shingle"), [(256, 1, 5), (64, 7, 3), (1024, 0, 1)])
def test_minhash_signatures_are_those_of_datasketch(slots: int, seed: int, shingle: int) -> None:
    texts = [LONG, NEAR, HAN, HINDI, "one two three four five six", " ".join(f"x{i}" for i in range(3000))]
    table = dedup.signatures(texts, shingle=shingle, slots=slots, scheme="minhash", seed=seed)
    assert table.dtype == np.uint32
    for text, row in zip(texts, table, strict=True):
        twin = datasketch.MinHash(num_perm=slots, seed=seed, scheme="affine32", hashfunc=int)
        twin.update_batch(low_bits(text, shingle))
        assert row.tolist() == twin.hashvalues.tolist()


def test_minhash_signatures_load_into_the_index_of_datasketch() -> None:
    index = datasketch.MinHashLSH(threshold=0.8, num_perm=256)
    loaded = [
        datasketch.MinHash(num_perm=256, seed=1, scheme="affine32", hashfunc=int, hashvalues=row)
        for row in dedup.signatures([LONG, HAN, NEAR], scheme="minhash").data
    ]
    index.insert("long", loaded[0])
    index.insert("han", loaded[1])
    assert index.query(loaded[2]) == ["long"]
    assert loaded[0].jaccard(loaded[2]) == pytest.approx(36 / 37, abs=0.06)


@pytest.mark.parametrize("size", [10, 100, 1000])
@pytest.mark.parametrize("target", [0.2, 0.5, 0.8])
def test_the_fast_signature_is_unbiased(size: int, target: float) -> None:
    trials = 300
    shared = round(2 * size * target / (1 + target))
    exact = shared / (2 * size - shared)
    texts = []
    for trial in range(trials):
        words = [f"t{trial}w{i}" for i in range(2 * size - shared)]
        texts += [" ".join(words[:size]), " ".join(words[-size:])]
    assert dedup.jaccard(*texts[:2], shingle=1) == exact
    table = dedup.signatures(texts, shingle=1)
    errors = np.array([estimate(a, b) - exact for a, b in zip(table[::2], table[1::2], strict=True)])
    assert abs(errors.mean()) <= 3 * errors.std() / trials**0.5
    if target == 0.8:
        assert errors.std() <= 0.027


# Mistakes


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dedup.near_duplicates("one text"), "texts is one string; give a list of them"),
        (lambda: dedup.near_duplicates(["a", 3]), r"texts\[1\] is of type int; a text is a str or None"),
        (lambda: dedup.near_duplicates(["a", b"b"]), r"texts\[1\] is of type bytes; a text is a str or None"),
        (lambda: dedup.near_duplicates(7), "texts is of type int; give a list of str, an Arrow array or a series"),
        (lambda: dedup.near_duplicates(pa.array([1])), "texts is of type int64; texts are strings"),
        (lambda: dedup.exact_duplicates(polars.Series([1.5])), "texts is of type double; texts are strings"),
        (lambda: dedup.near_duplicates([LONG], threshold=1.2), r"threshold is 1.2; .* lies in \[0.7, 1.0\]"),
        (lambda: dedup.near_duplicates([LONG], threshold=0.5), "threshold is 0.5; with slots = 256 it takes 3 rows"),
        (lambda: dedup.near_duplicates([LONG], keep="best"), "keep is 'best'; it is one of first, last, longest"),
        (lambda: dedup.near_duplicates([LONG], shingle=0), "shingle is 0; a shingle has 1 to 100 tokens"),
        (lambda: dedup.signatures([LONG], slots=8), "slots is 8; a signature has 64 to 1,024"),
        (lambda: dedup.signatures([LONG], scheme="simhash"), "scheme is 'simhash'; it is one of fast, minhash"),
        (lambda: dedup.signatures([LONG], seed=-1), r"seed is -1; it lies in \[0, 2\^32\)"),
        (lambda: dedup.shingle_hashes(None), "text is of type NoneType; it is a str"),
        (lambda: dedup.jaccard(LONG, 3), "text is of type int; it is a str"),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(call: Any, message: str) -> None:
    with pytest.raises(dedup.DedupError, match=message):
        call()


def test_a_name_that_the_package_does_not_have() -> None:
    with pytest.raises(AttributeError, match="module 'dedup' has no attribute 'near_dupes'"):
        _ = dedup.near_dupes
    assert set(dedup.__all__) <= set(dir(dedup))
