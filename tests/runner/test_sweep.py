"""A sweep tells what a run with each value keeps, and what is missing where it cannot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import dedup
from dedup.cli import cli
from dedup.errors import UserError
from tests.runner.test_rerun import LONG, MIXED, PLAIN, SERIAL, TOKENS, of, text
from tests.runs import write_jsonl

SCORE: dict[str, Any] = {"use": "drop.when", "score": {"below": 1}}
AGAIN = "run its recipe again with measure_all = true"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    rows = [{"text": text(n), "id": f"d{n}", "score": n % 7, "source": f"s{n % 67}"} for n in range(160)]
    write_jsonl(folder / "a.jsonl", rows[:90])
    write_jsonl(folder / "b.jsonl", rows[90:])
    return folder


def agrees(home: Path, corpus: Path, recipe: dict[str, Any], name: str, values: Sequence[float]) -> None:
    """Each value of a sweep over the run in home/old against a run with it; work/ is left as it was."""
    old = home / "old"
    if not old.exists():
        dedup.run(recipe, str(corpus), old, keep_work=True, **SERIAL)
    before = sorted(old.rglob("*"))
    asked: dict[str, Any] = {"threshold": values} if name == "threshold" else {"rule": {name: values}}
    found = [row["documents_kept"] for row in dedup.sweep(old, **asked).to_pylist()]
    full = []
    for value in values:
        run = dedup.run(recipe, str(corpus), home / "full", changes=[f"{name}={value}", "max_drop=1.0"], **SERIAL)
        full.append(run.summary["documents_kept"])
        shutil.rmtree(home / "full")
    assert found == full
    assert len(set(full)) > 1
    assert sorted(old.rglob("*")) == before


def test_what_drops_more_and_other_thresholds_are_told_as_a_run_decides_them(corpus: Path, tmp_path: Path) -> None:
    agrees(tmp_path, corpus, of(PLAIN), "word_count.below", [20, 8, 45])
    agrees(tmp_path, corpus, of(PLAIN), "threshold", [0.7, 0.95])


@pytest.mark.slow
def test_a_rule_between_stages_and_one_after_a_barrier(corpus: Path, tmp_path: Path) -> None:
    agrees(tmp_path, corpus, of(MIXED), "step.2.word_count.below", [9, 14, 40])
    agrees(tmp_path, corpus, of(MIXED), "step.11.word_count.above", [40, 20, 10])


def test_with_everything_measured_any_value_is_told(corpus: Path, tmp_path: Path) -> None:
    steps = [*MIXED[:7], *MIXED[8:]]
    agrees(tmp_path, corpus, of(steps, measure_all=True), "step.2.word_count.below", [4, 20])


@pytest.mark.slow
def test_with_everything_measured_any_threshold_is_told(corpus: Path, tmp_path: Path) -> None:
    steps = [*MIXED[:7], *MIXED[8:]]
    agrees(tmp_path, corpus, of(steps, measure_all=True), "threshold", [0.7, 0.95])
    agrees(tmp_path, corpus, of(steps, measure_all=True), "step.6.word_count.above", [60, 30])


def without_work(home: Path, corpus: Path, recipe: dict[str, Any]) -> Path:
    dedup.run(recipe, str(corpus), home / "old", **SERIAL)
    return home / "old"


def test_a_rule_that_no_barrier_follows_needs_no_work(corpus: Path, tmp_path: Path) -> None:
    late = [TOKENS, {"dedup": "near"}, LONG, {"use": "drop.when", "mean_word_length": {"above": 7}}]
    without_work(tmp_path, corpus, of(late))
    agrees(tmp_path, corpus, of(late), "word_count.below", [4, 8, 20])


@pytest.mark.slow
def test_without_work_measures_are_enough_where_all_were_made(corpus: Path, tmp_path: Path) -> None:
    steps = [{"use": "clean.fix_text"}, TOKENS, LONG, {"use": "measure.c4"}, MIXED[5]]
    without_work(tmp_path, corpus, of(steps, measure_all=True))
    agrees(tmp_path, corpus, of(steps, measure_all=True), "word_count.below", [2, 4, 20])


def refusal(output: Path, **asked: Any) -> str:
    with pytest.raises(UserError) as caught:
        dedup.sweep(output, **asked)
    return str(caught.value)


def test_what_is_missing_is_said(corpus: Path, tmp_path: Path) -> None:
    old = without_work(tmp_path, corpus, of([TOKENS, LONG, {"use": "measure.c4"}, MIXED[5]]))
    assert refusal(old, rule={"word_count.below": [4]}) == (
        "word_count.below = 4: documents that the run dropped go on, and step[2] (measure.c4) has not measured them; "
        f"{AGAIN}"
    )
    old = without_work(tmp_path / "near", corpus, of(PLAIN))
    assert refusal(old, threshold=[0.9]) == (
        f"{old}: made without --keep-work ({old}/work/kept.json is missing); run its recipe again with --keep-work"
    )
    dedup.run(of(PLAIN), str(corpus), old, keep_work=True, **SERIAL)
    assert refusal(old, rule={"word_count.below": [4]}) == (
        "word_count.below = 4: 5 or more documents that the run dropped go on, and what comes next was not measured "
        f"or signed of them; {AGAIN} and --keep-work"
    )
    assert sorted(path.name for path in (old / "work").iterdir()) == ["duplicates", "kept.json", "pass-0", "write"]


def test_a_rule_over_columns_that_are_not_kept_is_left_to_a_rerun(corpus: Path, tmp_path: Path) -> None:
    dedup.run(of([SCORE, {"dedup": "exact"}]), str(corpus), tmp_path / "old", keep_work=True, **SERIAL)
    assert refusal(tmp_path / "old", rule={"score.below": [2]}) == (
        "score.below = 2: a rule looks at columns that are not kept, of the input or made anew later; `dedup rerun` "
        "reads them"
    )


def test_a_rule_that_is_not_there_is_named(corpus: Path, tmp_path: Path) -> None:
    twice = [TOKENS, LONG, {"use": "drop.when", "word_count": {"below": 9, "above": 50}}]
    old = without_work(tmp_path, corpus, of(twice))
    assert refusal(old, rule={"word_cuont.above": [4]}) == (
        "the recipe has no rule 'word_cuont.above' over numbers; did you mean 'word_count.above'?"
    )
    assert refusal(old, rule={"word_count.below": [4]}) == (
        "several steps have 'word_count.below'; write step.1.word_count.below or step.2.word_count.below"
    )
    assert refusal(old, threshold=[0.9]) == "the recipe has no near step, whose threshold could be another"
    assert refusal(old) == "nothing to try; give --rule COLUMN.BOUND=20,50 or --threshold 0.7,0.9"
    old = without_work(tmp_path / "near", corpus, of([{"dedup": "near"}, {"dedup": "near", "threshold": 0.9}]))
    assert refusal(old, threshold=[0.8]) == (
        "several steps have a threshold; write --rule step.0.threshold=... or --rule step.1.threshold=..."
    )


def test_the_command_prints_lines_or_a_table_with_examples(corpus: Path, tmp_path: Path) -> None:
    old = without_work(tmp_path, corpus, of([TOKENS, LONG]))
    rule = ["sweep", str(old), "--rule", "word_count.below=8,9"]
    lines = CliRunner().invoke(cli, [*rule, "--json"]).stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"rule": "word_count.below", "value": 8, "documents_kept": 148, "documents_dropped": 12},
        {"rule": "word_count.below", "value": 9, "documents_kept": 145, "documents_dropped": 15},
    ]
    told = CliRunner().invoke(cli, rule).stdout.splitlines()
    assert [line.split() for line in told[:4]] == [
        ["word_count.below", "kept", "share", "dropped"],
        ["8", "(the", "run)", "148", "92.5%", "12", "█" * 37],
        ["9", "145", "90.6%", "15", "█" * 36],
        [],
    ]
    assert told[4:6] == ["kept at 8, dropped at 9:", "  d36  The9 old9 ferry9 left9 the9 grey9 harbour9 with9 {"]


def test_what_the_command_cannot_read_is_named() -> None:
    asked = {"--rule": "word_count.below", "--threshold": "0.7;0.8"}
    said = [CliRunner().invoke(cli, ["sweep", "out", *words]).exception for words in asked.items()]
    assert [str(error) for error in said] == [
        "--rule word_count.below: write COLUMN.BOUND=values, such as word_count.below=20,50,100",
        "--threshold: '0.7;0.8' is not numbers with commas between, such as 20,50,100",
    ]


@pytest.mark.slow
def test_what_is_missing_is_said_by_workers_too(corpus: Path, tmp_path: Path) -> None:
    dedup.run(of(PLAIN), str(corpus), tmp_path / "old", keep_work=True, executor="local", workers=2)
    assert "and what comes next was not measured" in refusal(tmp_path / "old", rule={"word_count.below": [4]})


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("files", "recipe", "asked"),
    [
        ("en/en_docs-00000.parquet", "web_en", {"word_count.below": [60, 120], "threshold": [0.7, 0.9]}),
        ("zh/zh_docs-00000.parquet", "web_zh", {"character_count.below": [250, 400], "threshold": [0.75, 0.95]}),
        ("mixed/mixed_web-00001.jsonl.gz", "dedup_only", {"threshold": [0.7, 0.85]}),
    ],
    ids=["en", "zh", "mixed"],
)
def test_real_corpora_are_told_as_runs_decide_them(
    files: str, recipe: str, asked: dict[str, list[float]], shared: Path, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"limit": 6000, **SERIAL}
    input, old = shared / files, tmp_path / "old"
    dedup.run(recipe, input, old, keep_work=True, changes=["max_drop=1.0"], **more)
    for name, values in asked.items():
        wanted: dict[str, Any] = {"threshold": values} if name == "threshold" else {"rule": {name: values}}
        for row in dedup.sweep(old, **wanted).to_pylist():
            changes = [f"{name}={row['value']:g}", "max_drop=1.0"]
            run = dedup.run(recipe, input, tmp_path / "full", changes=changes, **more)
            assert row["documents_kept"] == run.summary["documents_kept"]
            shutil.rmtree(tmp_path / "full")
