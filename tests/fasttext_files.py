"""fastText models written by hand, and what they answer: a twin in NumPy of `predict` for small classifiers.

The file (fastText 0.9, version 12): a magic number and a version; twelve settings (int32) and a double; the dictionary,
words before labels; then the two matrices, each after a byte that says whether it is quantized.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

MAGIC, VERSION = 793712314, 12
SUPERVISED, SKIPGRAM = 3, 2
SOFTMAX, HIERARCHICAL = 3, 1


@dataclass
class Classifier:
    """A classifier of bags of words and word pairs.

    words, labels   the dictionary; "</s>" is the end of a line, and a word like any other
    buckets         rows that pairs of words are hashed to; 0: no pairs
    """

    words: Sequence[str] = ("</s>", "good", "text", "buy", "now", "好", "文", "Good")
    labels: Sequence[str] = ("__label__hq", "__label__cc")
    buckets: int = 0
    dimension: int = 4
    model: int = SUPERVISED
    loss: int = SOFTMAX
    seed: int = 1
    inputs: npt.NDArray[np.float32] = field(init=False)
    outputs: npt.NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        rows = len(self.words) + self.buckets
        self.inputs = random.normal(size=(rows, self.dimension)).astype(np.float32)
        self.outputs = random.normal(size=(len(self.labels), self.dimension)).astype(np.float32)

    def file(self) -> bytes:
        """The bytes of its .bin file."""
        pairs = 2 if self.buckets else 1
        settings = (self.dimension, 5, 5, 1, 5, pairs, self.loss, self.model, self.buckets, 0, 0, 100)
        size = len(self.words) + len(self.labels)
        head = struct.pack("<2i12id", MAGIC, VERSION, *settings, 1e-4)
        head += struct.pack("<3iqq", size, len(self.words), len(self.labels), 1000, -1)
        entries = [(word, 0) for word in self.words] + [(label, 1) for label in self.labels]
        head += b"".join(word.encode() + b"\0" + struct.pack("<qb", 10, kind) for word, kind in entries)
        return head + b"".join(
            b"\0" + struct.pack("<qq", *matrix.shape) + matrix.tobytes() for matrix in (self.inputs, self.outputs)
        )

    def scores(self, words: Sequence[str]) -> dict[str, float]:
        """Each label's probability of a line of words, 0.00001 too much as the library has it; {}: no word is known."""
        line = [*words, "</s>"]
        known = {word: number for number, word in enumerate(self.words)}
        rows = [known[word] for word in line if word in known]
        if self.buckets:
            hashes = [_hash(word) for word in line]
            mixed = [(a * 116049371 + b) % 2**64 % self.buckets for a, b in itertools.pairwise(hashes)]
            rows += [len(self.words) + row for row in mixed]
        if not rows:
            return {}
        hidden = self.inputs[rows].mean(axis=0)
        weights = np.exp(self.outputs @ hidden - (self.outputs @ hidden).max())
        return dict(zip(self.labels, (weights / weights.sum() + 1e-5).tolist(), strict=True))


def _hash(word: str) -> int:
    """FNV-1a over signed bytes, as a signed number of 32 bits."""
    value = 2166136261
    for byte in word.encode():
        signed = byte - 256 if byte > 127 else byte
        value = ((value ^ (signed & 0xFFFFFFFF)) * 16777619) & 0xFFFFFFFF
    return value - 2**32 if value >= 2**31 else value
