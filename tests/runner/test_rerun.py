"""A rerun gives the bytes of a run of the same recipe, and reads only the texts that it has to."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from click.testing import CliRunner

import dedup
from dedup.cli import cli
from dedup.errors import UserError
from tests.runs import tree_bytes, write_jsonl, write_parquet

SERIAL: dict[str, Any] = {"executor": "serial"}
SLOW = pytest.mark.slow
TALE = ["the", "old", "ferry", "left", "the", "grey", "harbour", "with", "coal", "and", "seven", "sleepy", "passengers"]


def text(number: int) -> str:
    """A text of 3 to 60 words; most have a near twin, some an equal one, some change when they are cleaned."""
    family, version = divmod(number, 4)
    words = [f"{word}{family}" for word in TALE * 5][: 3 + family * 7 % 58]
    if version and len(words) > 8:
        words[version * 2] = "other"
    if version == 3:
        words = [*words[:-1], "caf&eacute;", "\u200b "]
    return " ".join(words).capitalize() + ("." if family % 3 else " {")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of 200 documents, some without an id or a text, and a line that is not JSON."""
    folder = tmp_path_factory.mktemp("corpus")
    rows: list[dict[str, Any]] = [
        {"text": text(n), "id": f"d{n}" if n % 11 else None, "score": n % 7, "source": f"s{n % 67}"} for n in range(200)
    ]
    rows[17]["text"] = None
    write_jsonl(folder / "a.jsonl", rows[:90])
    with open(folder / "a.jsonl", "a") as file:
        file.write("{broken\n")
    write_jsonl(folder / "b.jsonl", rows[90:120])
    write_parquet(folder / "c.parquet", rows[120:])
    return folder


TOKENS = {"use": "measure.gopher.quality", "words": "tokens"}
LONG: dict[str, Any] = {"use": "drop.when", "word_count": {"below": 8}}
PLAIN: list[dict[str, Any]] = [TOKENS, LONG, {"dedup": "near", "keep": "longest"}]
# Texts change between rules, and after a barrier; the last rule looks at what the one before has measured.
MIXED: list[dict[str, Any]] = [
    {"use": "clean.fix_text"}, TOKENS, LONG, {"use": "clean.drop_lines", "terminal_marks": "."}, {"use": "measure.c4"},
    {"use": "drop.when", "curly_bracket_count": {"above": 0}}, {"use": "drop.when", "word_count": {"above": 55}},
    {"dedup": "exact", "on": "source", "keep": "lowest:word_count"}, {"dedup": "near", "threshold": 0.75},
    {"use": "clean.normalize"}, {"use": "measure.fineweb"}, {"use": "drop.when", "word_count": {"above": 45}},
]  # fmt: skip


def reread(output: Path) -> int:
    """Documents that the scans of a rerun have read, of units they had something of."""
    paths = sorted(output.glob("work/pass-*/scan-*/done.json"))
    return sum(json.loads(path.read_text())["counts"].get("anew", 1000) for path in paths)


def both(home: Path, corpus: Path, old: Any, new: Any, changes: Sequence[str] = ()) -> int:
    """Rerun an old recipe as a new one, and run that: the same bytes; how many documents were read again."""
    kept = home / "old"
    dedup.run(old, str(corpus), kept, keep_work=True, **SERIAL)
    dedup.rerun(kept, new, home / "again", changes=changes, keep_work=True, **SERIAL)
    dedup.run(new, str(corpus), home / "full", changes=changes, **SERIAL)
    again, full = tree_bytes(home / "again"), tree_bytes(home / "full")
    assert sorted(again) == sorted(full)
    assert [name for name in full if again[name] != full[name]] == []
    return reread(home / "again")


def of(steps: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"id": "id", "step": steps, **more}


@pytest.mark.parametrize(
    ("steps", "changes", "most"),
    [
        pytest.param(PLAIN, [], 0, marks=SLOW),
        pytest.param(PLAIN, ["word_count.below=20"], 0, marks=SLOW),
        pytest.param(PLAIN, ["word_count.below=4"], 40, marks=SLOW),
        pytest.param(PLAIN, ["threshold=0.9"], 0, marks=SLOW),
        pytest.param(PLAIN, ["threshold=0.7", "keep=first"], 0, marks=SLOW),
        (MIXED, ["step.2.word_count.below=12"], 40),
        (MIXED, ["step.2.word_count.below=5", "curly_bracket_count.above=1"], 80),
        pytest.param(MIXED, ["step.6.word_count.above=30"], 10, marks=SLOW),
        (MIXED, ["threshold=0.95", "step.11.word_count.above=35"], 60),
    ],
)
def test_a_changed_bound_gives_the_bytes_of_a_run(
    steps: list[dict[str, Any]], changes: list[str], most: int, corpus: Path, tmp_path: Path
) -> None:
    assert both(tmp_path, corpus, of(steps), of(steps), changes) <= most


def shingled(output: Path) -> int:
    """Documents whose texts were read for their shingles."""
    paths = sorted(output.glob("work/pass-*/barrier-*/fetched-*/done.json"))
    return sum(json.loads(path.read_text())["counts"]["texts"] for path in paths)


def test_shingles_that_the_run_has_fetched_are_taken_from_it(tmp_path: Path) -> None:
    corpus = tmp_path / "in"  # of texts whose signatures do not hold all their shingles
    for shard in range(3):
        rows = [{"id": f"{shard}-{n}", "text": " ".join(text(n + 4 * k) for k in range(12))} for n in range(60)]
        write_jsonl(corpus / f"{shard}.jsonl", rows)
    steps = [TOKENS, {"use": "drop.when", "word_count": {"below": 390}}, PLAIN[2]]
    for name, changes, anew in (
        ("1", ["threshold=0.9"], range(1)),
        ("2", ["word_count.below=360", "threshold=0.7"], range(1, 13)),  # those that go on now, at most
    ):
        both(tmp_path / name, corpus, of(steps), of(steps), changes)
        assert shingled(tmp_path / name / "again") in anew
        assert shingled(tmp_path / name / "old") > 20
    cleaned = of([{"use": "clean.fix_text"}, *steps])
    both(tmp_path / "3", corpus, of(steps), cleaned)
    for path in (tmp_path / "1" / "old" / "work").glob("pass-0/barrier-0/fetched-*/shingles.bin"):
        path.write_bytes(path.read_bytes()[:-8] + b"damaged!")
    dedup.rerun(tmp_path / "1" / "old", of(steps), tmp_path / "whole", changes=["threshold=0.9"], **SERIAL)
    assert tree_bytes(tmp_path / "whole") == tree_bytes(tmp_path / "1" / "full")


@pytest.mark.slow
def test_rules_may_come_go_and_change_places(corpus: Path, tmp_path: Path) -> None:
    new = [TOKENS, {"use": "drop.when", "mean_word_length": {"above": 7}}, *PLAIN[1:]]
    assert both(tmp_path, corpus, of(PLAIN), of(new)) == 0
    assert both(tmp_path / "2", corpus, of(new), of([TOKENS, PLAIN[2]])) <= 60
    assert both(tmp_path / "3", corpus, of(new), of([TOKENS, new[2], new[1], PLAIN[2]])) == 0


def test_with_every_document_measured_and_signed_nothing_is_read_again(corpus: Path, tmp_path: Path) -> None:
    steps = [*MIXED[:7], *MIXED[8:]]  # a rule over columns of the input has to read them
    changes = ["step.2.word_count.below=4", "curly_bracket_count.above=1", "step.6.word_count.above=50"]
    assert both(tmp_path, corpus, of(steps, measure_all=True), of(steps, measure_all=True), changes) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "new",
    [
        of([TOKENS, LONG, {"dedup": "near", "shingle": 3}]),
        of([{"use": "clean.normalize"}, *PLAIN]),
        of([{**TOKENS, "words": "whitespace"}, *PLAIN[1:]]),
        of([TOKENS, {"use": "drop.when", "score": {"below": 3}}, PLAIN[2]]),
        of([TOKENS, LONG, {"dedup": "near", "keep": "shortest"}]),
        of(PLAIN, measure_all=True),
        of([TOKENS, LONG, {"use": "drop.sample", "share": 0.5}, PLAIN[2]]),
        {"step": PLAIN},
    ],
    ids=["shingle", "text", "measure", "input column", "order", "measure_all", "sample", "id"],
)
def test_what_was_not_kept_is_scanned_as_if_there_had_been_no_run(
    new: dict[str, Any], corpus: Path, tmp_path: Path
) -> None:
    both(tmp_path, corpus, of(PLAIN), new)


MAKERS: list[dict[str, Any]] = [
    {"use": "clean.fix_text"}, {"use": "clean.drop_lines", "terminal_marks": "."}, {"use": "clean.normalize"}, TOKENS,
    {"use": "measure.c4"}, {"use": "measure.fineweb"}, {**TOKENS, "words": "whitespace"},
]  # fmt: skip
BOUNDS = [("word_count", "below", (4, 50)), ("word_count", "above", (10, 60)), ("mean_word_length", "above", (5, 8)),
          ("score", "below", (0, 3)), ("alphabetic_word_ratio", "below", (0, 1))]  # fmt: skip


def rule(chance: random.Random) -> dict[str, Any]:
    column, bound, span = chance.choice(BOUNDS)
    return {"use": "drop.when", column: {bound: chance.randint(*span)}}


def steps_by_chance(chance: random.Random) -> list[dict[str, Any]]:
    """One or two passes of a few stages, each followed by a rule or none, and barriers."""
    steps: list[dict[str, Any]] = [TOKENS]
    for _ in range(chance.randint(1, 2)):
        for maker in chance.sample(MAKERS, chance.randint(0, 3)):
            steps += [maker] + [rule(chance) for _ in range(chance.randint(0, 2))]
        steps += chance.choice([
            [{"dedup": "near", "keep": chance.choice(["first", "longest", "lowest:word_count"])}],
            [{"dedup": "exact", "on": "source"}, {"dedup": "near", "threshold": 0.7}], [{"dedup": "exact"}],
        ])  # fmt: skip
    return steps + [rule(chance) for _ in range(chance.randint(0, 1))]


def changed_by_chance(steps: list[dict[str, Any]], chance: random.Random) -> list[dict[str, Any]]:
    """With some rules and thresholds changed, gone or new."""
    found: list[dict[str, Any]] = []
    for step in steps:
        way = chance.random()
        if step.get("use") == "drop.when" and way < 0.6:
            ((column, bounds),) = ((name, value) for name, value in step.items() if name != "use")
            ((bound, value),) = bounds.items()
            found += [] if way < 0.15 else [{**step, column: {bound: value + chance.choice([-3, -1, 1, 5])}}]
            continue
        found.append({**step, "threshold": chance.choice([0.7, 0.8, 0.9])} if step.get("dedup") == "near" else step)
        if way > 0.9:
            found.append(rule(chance))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_recipes_by_chance_are_rerun_as_they_run(seed: int, corpus: Path, tmp_path: Path) -> None:
    chance = random.Random(seed)
    old = steps_by_chance(chance)
    more = {"measure_all": chance.random() < 0.3, "max_drop": 1.0}
    both(tmp_path, corpus, of(old, **more), of(changed_by_chance(old, chance), **more))


def test_a_rerun_can_be_rerun(corpus: Path, tmp_path: Path) -> None:
    both(tmp_path, corpus, of(MIXED), of(MIXED), ["step.2.word_count.below=12"])
    dedup.rerun(tmp_path / "again", of(MIXED), tmp_path / "back", **SERIAL)
    assert tree_bytes(tmp_path / "back") == tree_bytes(tmp_path / "old")


SHOUTS = """
import pyarrow.compute as pc
def shout(batch):
    louder = pc.utf8_upper(batch["text"]) if LOUD else batch["text"]
    return batch.set_column(batch.schema.get_field_index("text"), "text", louder)
"""


def test_a_stage_of_ones_own_is_known_by_its_source(corpus: Path, tmp_path: Path) -> None:
    steps = [{"use": "shouts:shout"}, *PLAIN]
    for name, loud in (("one", True), ("two", False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shouts.py").write_text(SHOUTS.replace("LOUD", str(loud)))
        written = tomli_w.dumps({"input": str(corpus), "output": str(tmp_path / name / "out"), **of(steps)})
        (tmp_path / name / "recipe.toml").write_text(written)
    one, two = tmp_path / "one" / "recipe.toml", tmp_path / "two" / "recipe.toml"
    assert both(tmp_path / "same", corpus, one, one, ["word_count.below=20"]) == 0
    assert dedup.sweep(tmp_path / "same" / "old", threshold=[0.8])["documents_kept"].to_pylist() == [
        dedup.Result(str(tmp_path / "same" / "old")).summary["documents_kept"]
    ]
    assert both(tmp_path / "other", corpus, one, two) >= 2000


@pytest.mark.slow
def test_added_columns_and_output_of_another_size_are_those_of_a_run(corpus: Path, tmp_path: Path) -> None:
    new = of(MIXED, annotate=["duplicate_count", "word_count"], output_shard_bytes=4000)
    assert both(tmp_path, corpus, of(MIXED), new, ["step.2.word_count.below=12"]) <= 40


def test_references_are_not_scanned_again(corpus: Path, tmp_path: Path) -> None:
    against = tmp_path / "against"
    write_jsonl(against / "r.jsonl", [{"text": text(n)} for n in range(0, 40, 4)])
    run = {**of(PLAIN), "against": [str(against)]}
    assert both(tmp_path, corpus, run, run, ["word_count.below=20", "threshold=0.9"]) == 0


@pytest.mark.slow
def test_damaged_work_is_done_again(corpus: Path, tmp_path: Path) -> None:
    dedup.run(of(PLAIN), str(corpus), tmp_path / "old", keep_work=True, **SERIAL)
    for path in (tmp_path / "old" / "work").glob("pass-0/scan-*/sketches-0.bin"):
        path.write_bytes(path.read_bytes()[:-8])
    dedup.rerun(tmp_path / "old", of(PLAIN), tmp_path / "again", **SERIAL)
    assert tree_bytes(tmp_path / "again") == tree_bytes(tmp_path / "old")


@pytest.mark.slow
def test_a_run_with_a_limit_is_rerun_with_it(corpus: Path, tmp_path: Path) -> None:
    dedup.run(of(PLAIN), str(corpus), tmp_path / "old", limit=25, keep_work=True, **SERIAL)
    dedup.rerun(tmp_path / "old", of(PLAIN), tmp_path / "again", **SERIAL)
    assert tree_bytes(tmp_path / "again") == tree_bytes(tmp_path / "old")


@pytest.mark.slow
def test_workers_rerun_as_one_process_does(corpus: Path, tmp_path: Path) -> None:
    both(tmp_path, corpus, of(MIXED), of(MIXED), ["step.2.word_count.below=12"])
    how: dict[str, Any] = {"executor": "local", "workers": 2}
    changes = ["step.2.word_count.below=12"]
    dedup.rerun(tmp_path / "old", of(MIXED), tmp_path / "two", changes=changes, **how)
    assert tree_bytes(tmp_path / "two") == tree_bytes(tmp_path / "full")


def test_the_command_needs_an_output(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["rerun", str(tmp_path), "quickstart"])
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, "Error: Missing option '-o' / '--output'.")


def refusal(*arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        dedup.rerun(*arguments, **SERIAL)
    return str(caught.value)


def test_a_run_that_left_nothing_or_something_else_is_refused_by_name(corpus: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    assert refusal(old, of(PLAIN), tmp_path / "new") == (
        f"{old}: no finished run there (report/summary.json is missing)"
    )
    input = write_jsonl(tmp_path / "in" / "a.jsonl", [{"text": text(8), "id": "a"}])
    dedup.run(of(PLAIN), str(input.parent), old, **SERIAL)
    assert refusal(old, of(PLAIN), tmp_path / "new") == (
        f"{old}: made without --keep-work ({old}/work/kept.json is missing); run its recipe again with --keep-work"
    )
    dedup.run(of(PLAIN), str(input.parent), old, keep_work=True, **SERIAL)
    assert refusal(old, of(PLAIN), old) == f"{old} is the output that is reused; choose another with -o"
    write_jsonl(input, [{"text": text(8) + " more", "id": "a"}])
    assert refusal(old, of(PLAIN), tmp_path / "new") == (
        f"{input}: changed, new or gone since the run of {old}; run its recipe again with --keep-work"
    )
    assert not (tmp_path / "new").exists()


def test_another_version_of_dedup_is_refused(corpus: Path, tmp_path: Path) -> None:
    dedup.run(of(PLAIN), str(corpus), tmp_path / "old", keep_work=True, **SERIAL)
    for path in (tmp_path / "old" / "report" / "summary.json", tmp_path / "old" / "work" / "kept.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"key": "of another"}))
    assert refusal(tmp_path / "old", of(PLAIN), tmp_path / "new") == (
        f"{tmp_path / 'old'}: made by another version of dedup, of its libraries, or of a file that its recipe names; "
        "run its recipe again with --keep-work"
    )


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("change", ["step.6.word_count.below=60", "threshold=0.9"])
def test_a_changed_bound_costs_at_most_two_fifths_of_a_run(change: str, shared: Path, tmp_path: Path) -> None:
    input = [shared / "en" / f"en_docs-0000{n}.parquet" for n in (0, 1)]
    dedup.run("web_en", input, tmp_path / "old", keep_work=True, **SERIAL)
    ratios = []
    for n in range(2):  # the machine may be crowded: the better of two
        full = dedup.run("web_en", input, tmp_path / f"full-{n}", changes=[change], **SERIAL)
        again = dedup.rerun(tmp_path / "old", "web_en", tmp_path / f"again-{n}", changes=[change], **SERIAL)
        ratios.append(again.summary["cpu_seconds"] / full.summary["cpu_seconds"])
    assert tree_bytes(tmp_path / "again-0") == tree_bytes(tmp_path / "full-0")
    assert min(ratios) <= 0.4
