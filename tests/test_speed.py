"""The promised bars of speed and memory, by the same measurements that `make bench` prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import corpus, memory, ratio, resume, start
from benchmarks.process import ROOT
from benchmarks.table import Row, render

real = pytest.mark.skipif(not corpus.is_real(), reason="needs ../shared/data")


def over(rows: list[Row]) -> list[str]:
    return [f"{row.what}: {row.value:.2f} {row.unit}, bar {row.bar}" for row in rows if not row.is_met]


def test_the_version_is_told_at_once() -> None:
    # CPU seconds, and twice the bar: on a busy machine wall-clock time is the neighbours'.
    assert start.version().cpu_seconds < 2 * start.VERSION_BAR


@pytest.mark.slow
def test_ten_documents_take_seconds_with_a_warm_cache(tmp_path: Path) -> None:
    assert start.ten_documents(tmp_path).cpu_seconds < 2 * start.TEN_BAR


@pytest.mark.slow
@pytest.mark.shared
@real
def test_nothing_of_start_up_is_over_its_bar(tmp_path: Path) -> None:
    assert over(start.rows(tmp_path)) == []


@pytest.mark.slow
@pytest.mark.shared
@real
def test_runs_cost_no_more_copies_than_promised(tmp_path: Path) -> None:
    assert over(ratio.rows(tmp_path)) == []


@pytest.mark.slow
@pytest.mark.shared
@real
def test_memory_stays_under_its_bar(tmp_path: Path) -> None:
    peak = memory.peak_pss("near", corpus.everything(tmp_path), tmp_path / "out") / 2**30
    assert peak < memory.PEAK_BAR


@pytest.mark.slow
@pytest.mark.shared
@real
def test_memory_does_not_grow_with_shards(tmp_path: Path) -> None:
    assert over([memory.growth(tmp_path)]) == []


@pytest.mark.slow
@pytest.mark.shared
@real
def test_a_run_killed_at_four_fifths_costs_at_most_half_again(tmp_path: Path) -> None:
    assert over(resume.rows(tmp_path)) == []


def test_a_table_shows_what_is_over_its_bar() -> None:
    rows = [Row("a run", 4.0, "copies", 4.5), Row("another", 5.0, "copies", 4.5, "lost"), Row("third", 1000.0, "ns")]
    assert render("ratio", rows) == (
        "ratio    measured  unit    bar        beside\n"
        "--------------------------------------------\n"
        "a run        4.00  copies  4.5  met\n"
        "another      5.00  copies  4.5  OVER  lost\n"
        "third    1,000.00  ns\n"
    )
    assert over(rows) == ["another: 5.00 copies, bar 4.5"]


def test_a_worker_of_own_stages_imports_neither_pandas_nor_scipy(tmp_path: Path) -> None:
    code = (
        "import sys; from dedup.runner.worker import skip_optional_imports as skip; skip(); "
        "from dedup import recipe, warm; loaded = recipe.load('configs/quickstart.toml'); "
        "warm.warm(warm.parts(loaded), loaded.folder); "
        "print([n for n in ('pandas', 'scipy', 'numba') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "['numba']\n"
