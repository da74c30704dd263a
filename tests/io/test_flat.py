"""Arrays and bytes of files as they lie there."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest

from dedup.io.files import load_flat, map_flat, mapped, save_array


@pytest.mark.parametrize("array", [
    np.arange(5), np.zeros(0, np.uint8), np.arange(12, dtype=np.uint32).reshape(3, 4), np.zeros((0, 4), np.int64),
    np.arange(100_000, dtype=np.uint64),
])  # fmt: skip
def test_an_array_is_read_as_numpy_reads_it(array: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    save_array(path, array)
    for read in (load_flat, map_flat):
        found = read(path, array.dtype).reshape(array.shape)
        assert found.dtype == array.dtype
        assert (found == np.load(path)).all()


def test_any_stretch_of_a_file_is_mapped(tmp_path: Path) -> None:
    page = mmap.ALLOCATIONGRANULARITY
    data = np.random.default_rng(1).bytes(3 * page + 5)
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    for begin, end in ((0, None), (0, 1), (page, 2 * page), (page - 1, page + 1), (3 * page + 4, 99 * page), (7, 7)):
        assert mapped(path, begin, end).tobytes() == data[begin:end]
    assert mapped(path, 9 * page).size == 0
    (tmp_path / "empty").touch()
    assert mapped(tmp_path / "empty").size == 0
