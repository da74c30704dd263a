"""Corpora that make buckets large: families that share a template, and copies of one document.

The similarity of two members of a family is known by construction, so that what a run finds can be judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SHINGLE = 5  # tokens; what the similarities below are counted in
SHARD = 12_500  # documents
GROUP_ROWS = 2_000


def family(folder: Path, documents: int, similarity: float = 0.6, *, template: int = 240, seed: int = 1) -> list[Path]:
    """Parquet shards of documents of which any two have this Jaccard similarity of shingles of five words.

    Each holds the `template` shingles that all share and as many of its own as the similarity takes: S of the one and
    U of the other give S / (S + 2 U). The number of its own is rounded.
    """
    return _shards(folder, "family", family_texts(documents, similarity, template=template, seed=seed), documents)


def family_texts(documents: int, similarity: float, *, template: int = 240, seed: int = 1) -> Iterator[str]:
    """The texts of such a family: the words of the template, then words that no other text has."""
    own = own_shingles(similarity, template)
    random = np.random.default_rng(seed)
    shared = " ".join(_words(random.integers(0, 1 << 60, template + SHINGLE - 1)))
    for _ in range(documents):
        yield shared + " " + " ".join(_words(random.integers(0, 1 << 60, own)))


def own_shingles(similarity: float, template: int) -> int:
    """How many shingles of its own a member has, one a word that follows the template."""
    return round(template * (1 - similarity) / (2 * similarity))


def copies(folder: Path, documents: int, *, words: int = 300, seed: int = 1) -> list[Path]:
    """Parquet shards of one document many times."""
    text = " ".join(_words(np.random.default_rng(seed).integers(0, 1 << 60, words)))
    return _shards(folder, "copies", (text for _ in range(documents)), documents)


def _words(numbers: np.ndarray) -> list[str]:
    """A word of seven letters for each number; one in eight thousand millions is that of another."""
    letters = (numbers[:, None] // 26 ** np.arange(7)) % 26 + ord("a")
    return letters.astype(np.uint8).view("S7").ravel().astype(str).tolist()


def _shards(folder: Path, name: str, texts: Iterator[str], documents: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, first in enumerate(range(0, documents, SHARD)):
        count = min(SHARD, documents - first)
        ids = [f"{name}-{first + i}" for i in range(count)]
        table = pa.table({"id": ids, "text": [next(texts) for _ in range(count)]})
        paths.append(folder / f"{name}-{number:03}.parquet")
        pq.write_table(table, paths[-1], compression="zstd", row_group_size=GROUP_ROWS)
    return paths
