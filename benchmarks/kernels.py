"""The kernels beside their naive twins, beside datasketch and beside what plain Python has, on the same values.

Accuracy stands beside speed: a fast sketch of a larger error would be no gain. The error is the standard deviation of
the estimate over pairs of sets whose Jaccard similarity is 0.8 exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from datasketch import MinHash

import dedup
from benchmarks import corpus
from benchmarks.process import seconds
from benchmarks.table import Row
from dedup.kernels import bucket, shingle
from dedup.kernels import sketch as sketch_kernels
from dedup.kernels.compile import kernel
from dedup.near import signature
from dedup.near.params import Sketch
from tests import naive

DOCUMENTS = 4_000
NAIVE = 100  # documents for the naive twins
SLOTS = 256
PAIRS = 400
SIZES = (100, 1_000)  # shingles of the sets of a pair, together
JACCARD = 0.8


def rows(folder: Path) -> list[Row]:
    """Speed in MB/s of text or ns an item; the contender that wins need not be ours."""
    texts = pq.ParquetFile(corpus.english(folder, 1)[0]).read(columns=["text"])["text"].slice(0, DOCUMENTS)
    array = texts.cast(pa.large_string()).combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    plain = array.to_pylist()
    return [*_tokenize(array, plain), *_sketch(array), *_compare(), *_jaccard(plain)]


def _tokenize(array: pa.LargeStringArray, plain: list[str]) -> list[Row]:
    settings = Sketch()
    offsets, hashes = signature.token_hashes(array, settings)
    agree = sum(
        _same_pattern(naive.tokens(text), hashes[offsets[i] : offsets[i + 1]].tolist())
        for i, text in enumerate(plain[:NAIVE])
    )
    size, few = _bytes(plain), _bytes(plain[:NAIVE])
    timed = {
        "tokenize": (size, lambda: signature.token_hashes(array, settings), f"{agree} of {NAIVE} texts as the twin"),
        "tokenize, naive": (few, lambda: [naive.tokens(text) for text in plain[:NAIVE]], "the definition"),
        "str.lower().split()": (size, lambda: [text.lower().split() for text in plain], "other tokens, no hashes"),
    }
    return [Row(name, n / seconds(run) / 1e6, "MB/s", beside=beside) for name, (n, run, beside) in timed.items()]


def _same_pattern(tokens: list[str], hashes: list[int]) -> bool:
    """Whether equal tokens have equal hashes, and others others."""
    pairs = set(zip(tokens, hashes, strict=False))
    return len(tokens) == len(hashes) and len(pairs) == len(set(tokens)) == len(set(hashes))


def _bytes(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _sketch(array: pa.LargeStringArray) -> list[Row]:
    found = []
    for size in SIZES:
        pairs = [_pair(size, seed) for seed in range(PAIRS)]
        total = sum(len(a) + len(b) for a, b in pairs)
        for name, sign in _schemes().items():
            spent = seconds(lambda sign=sign, pairs=pairs: [(sign(a), sign(b)) for a, b in pairs], rounds=2)
            estimates = np.array([np.mean(sign(a) == sign(b)) for a, b in pairs])
            beside = f"estimate of {JACCARD}: sd {estimates.std():.4f}, mean {estimates.mean():.4f}"
            found.append(Row(f"sketch of {size:,}, {name}", spent / total * 1e9, "ns/shingle", beside=beside))
    settings = Sketch(slots=SLOTS)
    offsets, hashes = signature.token_hashes(array, settings)
    spent = seconds(lambda: signature.sketch(offsets, hashes, settings))
    shingles = int(np.maximum(np.diff(offsets) - settings.shingle + 1, 0).sum())
    found.append(
        Row("sketch of English texts, fast", spent / shingles * 1e9, "ns/shingle", beside="shingling included")
    )
    return found


def _schemes() -> dict[str, Callable[[npt.NDArray[np.uint64]], npt.NDArray[Any]]]:
    """Each makes the signature of a set of shingles."""
    scratch = np.empty(SLOTS, np.uint64)
    a, b = signature.permutations(Sketch(slots=SLOTS, scheme="minhash"))

    def fast(shingles: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
        out = np.empty(SLOTS, np.uint16)
        sketch_kernels.sketch_fast(shingles, len(shingles), np.uint64(1), scratch, out)
        return out

    def classic(shingles: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
        out = np.empty(SLOTS, np.uint32)
        sketch_kernels.sketch_minhash(shingles, len(shingles), a, b, out)
        return out

    def by_datasketch(shingles: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
        sketch = MinHash(num_perm=SLOTS, seed=1, hashfunc=int, scheme="affine32")
        sketch.update_batch((shingles & np.uint64(0xFFFFFFFF)).tolist())
        return np.asarray(sketch.hashvalues)

    return {"fast": fast, "minhash": classic, "datasketch": by_datasketch}


def _pair(size: int, seed: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Two random sets of `size` values together, of Jaccard similarity JACCARD."""
    values = np.random.default_rng(seed).integers(0, 1 << 63, size, dtype=np.uint64)
    shared = int(JACCARD * size)
    half = (size - shared) // 2
    return values[: shared + half].copy(), np.concatenate([values[:shared], values[shared + half :]])


@kernel
def _compare_all(signatures, out):  # type: ignore[no-untyped-def]
    """Slots in which each row agrees with the next: out int64[n - 1]."""
    for i in range(out.size):
        out[i] = bucket.equal_slots(signatures[i], signatures[i + 1])


@kernel
def _jaccard_all(values, bounds, out):  # type: ignore[no-untyped-def]
    """Jaccard similarity of each run with the next: out float64[n - 1]."""
    for i in range(out.size):
        out[i] = shingle.jaccard_runs(values, bounds[i], bounds[i + 1], bounds[i + 1], bounds[i + 2], 0.0)


def _compare() -> list[Row]:
    random = np.random.default_rng(1)
    signatures = random.integers(0, 4, (20_000, SLOTS), dtype=np.uint16)
    n = len(signatures) - 1
    ours, numpys = np.empty(n, np.int64), np.empty(n, np.int64)

    def by_numpy() -> None:
        for i in range(n):
            numpys[i] = np.count_nonzero(signatures[i] == signatures[i + 1])

    kernel_seconds = seconds(lambda: _compare_all(signatures, ours))
    numpy_seconds = seconds(by_numpy)
    lists = signatures[:500].tolist()
    naive_seconds = seconds(lambda: [sum(map(int.__eq__, a, b)) for a, b in pairwise(lists)])
    agree = f"{np.count_nonzero(ours == numpys):,} of {n:,} counts as NumPy's"
    return [
        Row("compare", kernel_seconds / n * 1e9, "ns/pair", beside=agree),
        Row("compare, NumPy", numpy_seconds / n * 1e9, "ns/pair", beside="count_nonzero(a == b)"),
        Row("compare, naive", naive_seconds / (len(lists) - 1) * 1e9, "ns/pair"),
    ]


def _jaccard(plain: list[str]) -> list[Row]:
    some = plain[:NAIVE]
    hashes = [dedup.shingle_hashes(text) for text in some]
    sets = [naive.shingles(text) for text in some]
    bounds = np.concatenate([[0], np.cumsum([len(h) for h in hashes])])
    values = np.concatenate(hashes)
    out = np.empty(len(some) - 1)
    items = 2 * len(values) - len(hashes[0]) - len(hashes[-1])

    def by_sets() -> list[float]:
        return [len(a & b) / (len(a | b) or 1) for a, b in pairwise(sets)]

    def by_numpy() -> list[float]:
        shared = [len(np.intersect1d(a, b, assume_unique=True)) for a, b in pairwise(hashes)]
        return [s / ((len(a) + len(b) - s) or 1) for s, a, b in zip(shared, hashes, hashes[1:], strict=False)]

    spent = seconds(lambda: _jaccard_all(values, bounds, out), rounds=20)
    agree = f"{np.count_nonzero(np.abs(out - by_sets()) < 1e-12)} of {len(out)} as the twin"
    return [
        Row("jaccard", spent / items * 1e9, "ns/shingle", beside=agree),
        Row("jaccard, NumPy", seconds(by_numpy) / items * 1e9, "ns/shingle", beside="intersect1d"),
        Row("jaccard, naive", seconds(by_sets) / items * 1e9, "ns/shingle", beside="frozensets, made beforehand"),
    ]
