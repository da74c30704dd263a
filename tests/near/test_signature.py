"""Signatures of documents anywhere in the files of a scan are those that were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dedup.near import signature as signing
from dedup.near.params import Sketch


def sketches(n: int, settings: Sketch, seed: int) -> signing.Sketches:
    """Of documents of no, few and many shingles."""
    random = np.random.default_rng(seed)
    sizes = random.choice([0, 1, 30, 63, 64, 200], n)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    tokens = random.integers(1, 1 << 60, int(offsets[-1])).astype(np.uint64)
    return signing.sketch(offsets, tokens, settings)


@pytest.mark.parametrize("window", [1, 4096, 16 << 20])
@pytest.mark.parametrize("scheme", ["fast", "minhash"])
def test_any_documents_are_read_as_they_were_written(
    window: int, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "WINDOW", window)
    settings = Sketch(shingle=1, slots=128, scheme=scheme)
    parts = [sketches(n, settings, n) for n in (40, 1, 300)]
    paths = [tmp_path / f"sketches-{n}.bin" for n in range(3)]
    for path, part in zip(paths, parts, strict=True):
        writer = signing.SketchWriter(path)
        for low in range(0, len(part.counts), 37):
            writer.add(signing.Sketches(*(column[low : low + 37] for column in part)))
        writer.close()
    bases = np.array([0, 40, 41, 341])
    whole = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    for wanted in ([0], [340], [39, 40, 41], [5, 7, 100, 339], [], range(341)):
        documents = np.array(wanted, np.int64)
        found = signing.read_sketches(paths, bases, documents, settings)
        assert (found.counts == whole[2][documents]).all()
        some = whole[2][documents] > 0
        assert (found.signatures == whole[0][documents])[some].all()
        few = (whole[2][documents] < signing.SMALL)[:, None] & (np.arange(signing.SMALL) < found.counts[:, None])
        assert (found.small == whole[1][documents])[few].all()


def test_a_file_of_documents_without_shingles_is_empty_and_read(tmp_path: Path) -> None:
    settings = Sketch()
    writer = signing.SketchWriter(tmp_path / "sketches-0.bin")
    writer.add(signing.sketch(np.zeros(4, np.int64), np.zeros(0, np.uint64), settings))
    writer.close()
    assert (tmp_path / "sketches-0.bin").stat().st_size == 0
    found = signing.read_sketches([tmp_path / "sketches-0.bin"], np.array([0, 3]), np.arange(3), settings)
    assert found.counts.tolist() == [0, 0, 0]
