from __future__ import annotations

import os
from pathlib import Path

import pytest

from dedup import memory
from dedup.errors import RecipeError


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("8G", 8 << 30), ("512MiB", 512 << 20), ("512m", 512 << 20), ("1.5 GiB", 3 << 29), ("2GB", 2_000_000_000),
        ("1048576", 1 << 20), (1 << 20, 1 << 20), ("4096B", 4096), ("1T", 1 << 40),
    ],
)  # fmt: skip
def test_amounts_are_written_as_people_write_them(written: int | str, size: int) -> None:
    assert memory.parse(written) == size


@pytest.mark.parametrize(
    "written", ["", "G", "8 apples", "-1G", "0", 0, -1, True, 1.5, "8G ", "8Gi", "1e9", "٨G", "9" * 400 + "G"]
)
def test_anything_else_is_refused_with_what_would_be_right(written: object) -> None:
    with pytest.raises(RecipeError) as error:
        memory.parse(written)
    assert str(error.value) == (f'memory is {written!r}; it is an amount such as "8G", "512MiB" or a number of bytes')


def test_amounts_are_shown_rounded_up() -> None:
    assert [memory.text(size) for size in (734 << 20, (734 << 20) + 1, 1 << 30, 3 << 29, 11 << 30)] == [
        "734M", "735M", "1.0G", "1.5G", "11G",
    ]  # fmt: skip


def _write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_the_least_limit_of_nested_cgroups_counts(tmp_path: Path) -> None:
    _write(tmp_path, "proc/self/cgroup", "0::/jobs/ours\n")
    _write(tmp_path, "sys/fs/cgroup/jobs/ours/memory.max", "max\n")
    _write(tmp_path, "sys/fs/cgroup/jobs/memory.max", "300000000\n")
    _write(tmp_path, "sys/fs/cgroup/memory.max", "500000000\n")
    assert memory.given(tmp_path) == 300_000_000


def test_a_limit_of_the_first_version_counts_also_where_its_path_is_the_hosts(tmp_path: Path) -> None:
    _write(tmp_path, "proc/self/cgroup", "12:cpu,cpuacct:/x\n4:memory:/docker/abc\n")
    _write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "200000000\n")
    assert memory.given(tmp_path) == 200_000_000


@pytest.mark.parametrize("limit", ["max\n", "9223372036854771712\n", None])
def test_without_a_limit_it_is_what_the_machine_has(tmp_path: Path, limit: str | None) -> None:
    if limit is not None:
        _write(tmp_path, "proc/self/cgroup", "0::/\n4:memory:/\n")
        _write(tmp_path, "sys/fs/cgroup/memory.max", limit)
        _write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", limit)
    assert memory.given(tmp_path) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
