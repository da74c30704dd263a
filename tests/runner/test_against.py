"""Corpora that documents are compared with, and inputs of which one goes before another."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import dedup
from dedup import cli
from dedup.errors import RecipeError, UserError
from dedup.io import shards
from dedup.plan import describe, make_plan
from dedup.recipe import load
from tests import naive
from tests.runner.test_run import POLICIES, Corpus, corpora, prose
from tests.runs import NEAR, REPORT_FILES, files, pairs, read_documents, tree_bytes, write_jsonl, write_parquet

SERIAL: dict[str, Any] = {"executor": "serial"}


def summary_of(output: Path) -> dict[str, Any]:
    return json.loads((output / "report" / "summary.json").read_text())


# What is compared with


@pytest.mark.parametrize("keep", POLICIES)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(corpus=corpora(), cuts=st.tuples(*[st.integers(0, 24)] * 2), priority=st.integers(-1, 1))
def test_references_stay_then_priority_decides_then_keep(
    keep: str, corpus: Corpus, cuts: tuple[int, int], priority: int
) -> None:
    low, high = sorted(min(cut, len(corpus)) for cut in cuts)
    rows = [{"id": f"{i:02}", "text": text, "score": score} for i, (text, score) in enumerate(corpus)]
    policy, _, column = keep.partition(":")
    expected = naive.near(
        [text for text, _ in corpus], 0.8, 5, policy, [score for _, score in corpus] if column else None,
        -1 if policy == "lowest" else 1, references=low,
        priority=[0] * high + [priority] * (len(corpus) - high),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jsonl(folder / "against" / "0.jsonl", rows[:low])
        write_jsonl(folder / "in" / "0.jsonl", rows[low:high])
        write_jsonl(folder / "in" / "1.jsonl", [*rows[high:], {"id": "-", "text": None, "score": 1.0}])
        inputs = [
            {"name": "one", "path": str(folder / "in" / "0.jsonl")},
            {"name": "two", "path": str(folder / "in" / "1.jsonl"), "priority": priority},
        ]
        recipe = {**NEAR, "input": inputs, "step": [{"dedup": "near", "keep": keep}]}
        result = dedup.run(recipe, output=folder / "out", against=folder / "against", **SERIAL)
        assert pairs(result) == [
            (f"{i:02}", f"{twin:02}", pytest.approx(j, abs=1e-12), kind) for i, twin, j, kind in expected
        ]
        gone = {i for i, *_ in expected}
        kept = [row for i, row in enumerate(rows) if i not in gone and i >= low]
        assert [row for row in read_documents(folder / "out") if row["id"] != "-"] == kept
        assert result.summary["documents_in"] == len(corpus) - low + 1
        assert result.summary["against"]["documents"] == low


TEXTS = {name: prose(number) for number, name in enumerate("abcdefgh")}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """in/ with documents of which some are like those of ref/, in both formats."""
    write_jsonl(
        tmp_path / "in" / "a.jsonl",
        [{"id": "1", "text": TEXTS["a"]}, {"id": "2", "text": TEXTS["b"] + " pea"}, {"id": "3", "text": TEXTS["c"]}],
    )
    write_parquet(tmp_path / "in" / "b.parquet", [{"id": "4", "text": TEXTS["c"] + " pea"}, {"id": "5", "text": "x"}])
    write_jsonl(tmp_path / "ref" / "r.jsonl", [{"text": TEXTS["b"]}, {"text": TEXTS["b"] + " pea"}, {"text": "x"}])
    write_parquet(tmp_path / "ref" / "s.parquet", [{"key": 7, "text": TEXTS["a"]}, {"key": 8, "text": TEXTS["a"]}])
    return tmp_path


def test_a_dropped_document_names_its_twin_in_what_it_was_compared_with(
    corpus: Path, executor: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus)
    result = dedup.run(NEAR, "in", "out", against="ref", **executor)
    assert pairs(result) == [
        ("1", "ref/s.parquet#0", 1.0, "exact"), ("2", "ref/r.jsonl#1", 1.0, "exact"),
        ("4", "3", pytest.approx(26 / 27), "near"), ("5", "ref/r.jsonl#2", 1.0, "exact"),
    ]  # fmt: skip
    numbers = dict(zip(*result.duplicates.select(["id", "duplicate_of_doc_id"]).to_pydict().values(), strict=True))
    assert numbers == {"1": 3 << 40, "2": (2 << 40) + 1, "4": 2, "5": (2 << 40) + 2}
    manifest = pq.read_table("out/manifest.parquet").select(["number", "name", "role"]).to_pylist()
    assert [tuple(row.values()) for row in manifest] == [
        (0, "a.jsonl", "input"), (1, "b.parquet", "input"), (2, "ref/r.jsonl", "against"),
        (3, "ref/s.parquet", "against"),
    ]  # fmt: skip


def test_references_are_neither_written_nor_counted_as_documents(corpus: Path) -> None:
    before = {path: path.read_bytes() for path in (corpus / "ref").iterdir()}
    result = dedup.run(NEAR, corpus / "in", corpus / "out", against=corpus / "ref", **SERIAL)
    assert {path: path.read_bytes() for path in (corpus / "ref").iterdir()} == before
    summary = result.summary
    counts = ("documents_in", "documents_kept", "documents_dropped", "shards_in", "exit_code")
    assert [summary[name] for name in counts] == [5, 1, 4, 2, 0]
    assert summary["against"] == {
        "documents": 5, "shards": 2, "bytes": sum(len(TEXTS[name]) for name in "bbaa") + 4 + 1, "rows_rejected": 0,
        "shards_rejected": 0, "rejected_by_reason": {},
    }  # fmt: skip
    written = [name for name in files(corpus / "out") if "/" in name]
    assert written == [
        "documents/a.jsonl", "documents/b.parquet", "dropped/a.jsonl.parquet", "dropped/b.parquet.parquet",
        *REPORT_FILES,
    ]  # fmt: skip
    assert result.documents.num_rows == 5


def test_references_are_cleaned_like_documents_but_no_rule_drops_them(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"text": f"x  {TEXTS['a']}"}, {"text": TEXTS["b"]}])
    write_jsonl(tmp_path / "ref" / "a.jsonl", [{"text": f"x {TEXTS['a']} \r\n"}])
    (tmp_path / "rules.py").write_text(
        "import pyarrow as pa, pyarrow.compute as pc\n"
        "def loud(batch):\n"
        "    words = pc.greater(batch['word_count'], 2)\n"
        "    text = pc.if_else(words, pc.utf8_upper(batch['text']), batch['text'])\n"
        "    return batch.set_column(batch.schema.names.index('text'), 'text', text)\n"
    )
    steps = [
        {"use": "clean.normalize", "collapse_spaces": True}, {"use": "measure.gopher.quality"}, {"use": "rules:loud"},
        {"use": "drop.when", "word_count": {"below": 31}}, {"dedup": "exact"}, {"use": "clean.strip_html"},
        {"dedup": "near"},
    ]  # fmt: skip
    for chosen in ([steps[0], *steps[4:]], steps):
        recipe = tmp_path / "recipe.toml"
        recipe.write_text(json_to_toml({"step": chosen}))
        output = tmp_path / f"out-{len(chosen)}"
        result = dedup.run(recipe, tmp_path / "in", output, against=tmp_path / "ref", **SERIAL)
        assert [row["duplicate_of"] for row in result.duplicates.to_pylist()] == [f"{tmp_path}/ref/a.jsonl#0"]
        assert result.summary["against"]["documents"] == 1


def json_to_toml(data: dict[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps(data)


def test_columns_are_compared_with_those_of_references(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"id": str(i), "url": i, "text": "t"} for i in (1, 2, 2)])
    write_parquet(tmp_path / "ref" / "a.parquet", [{"url": "1", "text": "other"}, {"url": "3", "text": "t"}])
    recipe = {"id": "id", "step": [{"dedup": "exact", "on": "url"}]}
    result = dedup.run(recipe, tmp_path / "in", tmp_path / "out", against=[tmp_path / "ref"], **SERIAL)
    assert pairs(result) == [("1", f"{tmp_path}/ref/a.parquet#0", 1.0, "exact"), ("2", "2", 1.0, "exact")]


def test_references_of_equal_columns_all_stay_for_the_next_barrier(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"id": "1", "url": "new", "text": TEXTS["b"] + " pea"}])
    same = [{"id": name, "url": "same", "text": TEXTS[name]} for name in "ab"]
    write_jsonl(tmp_path / "ref" / "a.jsonl", same)
    recipe = {"id": "id", "step": [{"dedup": "exact", "on": "url"}, {"dedup": "near"}]}
    result = dedup.run(recipe, tmp_path / "in", tmp_path / "out", against=tmp_path / "ref", **SERIAL)
    assert pairs(result) == [("1", "b", pytest.approx(26 / 27), "near")]


def test_unreadable_references_are_told_and_counted_apart(corpus: Path) -> None:
    (corpus / "ref" / "t.parquet").write_bytes(b"PAR1 is not enough")
    with open(corpus / "ref" / "r.jsonl", "a") as file:
        file.write("not json\n")
    result = dedup.run(NEAR, corpus / "in", corpus / "out", against=corpus / "ref", **SERIAL)
    summary = result.summary
    assert (result.exit_code, summary["rows_rejected"], summary["shards_rejected"]) == (1, 0, 0)
    assert {name: summary["against"][name] for name in ("documents", "rows_rejected", "shards_rejected")} == {
        "documents": 5, "rows_rejected": 1, "shards_rejected": 1,
    }  # fmt: skip
    rejected = pq.read_table(corpus / "out" / "report" / "rejected_against.parquet").to_pylist()
    assert [(Path(row["path"]).name, row["row"]) for row in rejected] == [("r.jsonl", 3), ("t.parquet", None)]
    assert not (corpus / "out" / "rejected").exists()


def test_the_bytes_do_not_depend_on_how_a_run_with_references_is_carried_out(corpus: Path) -> None:
    ways: list[dict[str, Any]] = [SERIAL, {"executor": "serial", "changes": ["batch_bytes=30"]},
                                  {"executor": "local", "workers": 2}]  # fmt: skip
    trees = []
    for number, way in enumerate(ways):
        dedup.run(NEAR, corpus / "in", corpus / f"out-{number}", against=corpus / "ref", **way)
        trees.append(tree_bytes(corpus / f"out-{number}"))
    assert trees[1:] == [trees[0]] * 2


def test_other_references_are_another_run_and_changed_ones_are_noticed(corpus: Path) -> None:
    def run() -> dedup.Result:
        return dedup.run(NEAR, corpus / "in", corpus / "out", against=corpus / "ref", **SERIAL)

    assert run().summary["documents_kept"] == 1
    with pytest.raises(UserError, match=r"holds the output of another recipe"):
        dedup.run(NEAR, corpus / "in", corpus / "out", **SERIAL)
    write_jsonl(corpus / "ref" / "r.jsonl", [{"text": "nothing like it"}])
    os.utime(corpus / "ref" / "r.jsonl", ns=(1, 1))
    assert run().summary["documents_kept"] == 3


def test_a_file_is_not_compared_with_itself(corpus: Path) -> None:
    with pytest.raises(UserError, match=r"in/a\.jsonl is in the input and in against; it would be a duplicate of"):
        dedup.run(NEAR, corpus / "in", corpus / "out", against=[corpus / "ref", corpus / "in" / "a.*"])
    write_jsonl(corpus / "other" / "a.jsonl", [{"body": "x"}])
    with pytest.raises(UserError, match=r"against: no shard has the text column 'text'"):
        dedup.run(NEAR, corpus / "in", corpus / "out", against=corpus / "other")
    with pytest.raises(UserError, match=r"nowhere: no such file or folder"):
        dedup.run(NEAR, corpus / "in", corpus / "out", against=corpus / "nowhere")
    with pytest.raises(RecipeError, match=r"against is 3; it is a glob, a file, a folder or a list of them"):
        load({**NEAR, "input": "x", "output": "y", "against": 3})
    assert not (corpus / "out").exists()


def test_the_command_takes_all_words_after_against(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(corpus)
    command = ["near", "in", "-o", "out", "--against", "ref/r.jsonl", "ref/s.parquet", "--executor", "serial"]
    assert CliRunner().invoke(cli.cli, command).exit_code == 0
    assert (summary_of(corpus / "out")["against"]["shards"], summary_of(corpus / "out")["documents_kept"]) == (2, 1)
    missing = CliRunner().invoke(cli.cli, ["near", "in", "--against", "--quiet"])
    assert (missing.exit_code, "Option '--against' requires an argument" in missing.output) == (2, True)


def test_the_plan_shows_references_and_inputs(corpus: Path) -> None:
    recipe = load({**NEAR, "output": "out", "against": str(corpus / "ref"), "input": [
        {"name": "web", "path": str(corpus / "in" / "a.jsonl")},
        {"name": "books", "path": [str(corpus / "in" / "b.parquet")], "priority": 3},
    ]})  # fmt: skip
    found = shards.discover(recipe.input)
    shown = describe(make_plan(recipe, found, shards.discover_against(recipe.against, found)))
    assert "input    2 shards, 0.0 MB\n  web  priority 0\n  books  priority 3\n" in shown
    assert "against  2 shards, 0.0 MB: compared with, never changed or written\n" in shown


# Several inputs


def test_the_copy_of_the_higher_priority_stays_whatever_the_order_of_paths(
    tmp_path: Path, executor: dict[str, Any]
) -> None:
    write_jsonl(tmp_path / "web.jsonl", [{"id": "w1", "text": TEXTS["a"]}, {"id": "w2", "text": TEXTS["b"]}])
    write_jsonl(tmp_path / "wiki.jsonl", [{"id": "k1", "text": TEXTS["a"]}, {"id": "k2", "text": TEXTS["b"] + " pea"}])
    inputs = [{"name": "web", "path": str(tmp_path / "web.jsonl")},
              {"name": "wiki", "path": str(tmp_path / "wiki.jsonl"), "priority": 1}]  # fmt: skip
    result = dedup.run({**NEAR, "input": inputs}, output=tmp_path / "out", **executor)
    assert [(a, b) for a, b, *_ in pairs(result)] == [("w1", "k1"), ("w2", "k2")]
    manifest = pq.read_table(tmp_path / "out" / "manifest.parquet").select(["name", "input", "priority"]).to_pylist()
    assert [tuple(row.values()) for row in manifest] == [("web.jsonl", "web", 0), ("wiki.jsonl", "wiki", 1)]
    # What was written is a recipe that does the same.
    again = load(tmp_path / "out" / "recipe.toml")
    assert again.identity() == load({**NEAR, "input": inputs, "output": "x"}).identity()
    assert dataclasses.asdict(again.input[1]) == {"path": (inputs[1]["path"],), "name": "wiki", "priority": 1}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([{"path": "a"}], r"input\[0\] has no name; each \[\[input\]\] says path and name, and may say priority"),
        ([{"name": "a"}], r"input\[0\] has no path"),
        ([{"name": "a", "path": "a", "prio": 1}], r"input\[0\] has no key 'prio'; did you mean 'priority'"),
        ([{"name": "a", "path": "a", "priority": True}], r"input\[0\] \(a\): priority is True; it is a whole number"),
        ([{"name": "", "path": "a"}], r"input\[0\]: name is ''; it is text"),
        ([{"name": "a", "path": []}], r"input\[0\] \(a\): path is \[\]; it is a glob"),
        ([{"name": "a", "path": "a"}, {"name": "a", "path": "b"}], r"two inputs are named 'a'"),
        ([{"name": "a", "path": "a"}, "b"], r"input\[1\] is 'b'; where one input is a table, all are"),
    ],
)
def test_a_table_of_an_input_is_checked(tables: list[Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load({**NEAR, "input": tables, "output": "out"})


def test_a_file_of_two_inputs_is_refused(corpus: Path) -> None:
    inputs = [{"name": "all", "path": str(corpus / "in")}, {"name": "some", "path": str(corpus / "in" / "b.*")}]
    with pytest.raises(UserError, match=r"b\.parquet is in two inputs, 'all' and 'some'"):
        dedup.run({**NEAR, "input": inputs}, output=corpus / "out")


def test_many_small_shards_of_two_priorities_share_a_unit(tmp_path: Path) -> None:
    """Small shards are packed; a priority is the shard's, not the unit's."""
    rng = random.Random(3)
    for number in range(150):
        name = rng.choice(["low", "high"])
        row = {"id": f"{name}-{number}", "text": TEXTS[rng.choice("abcdefgh")]}
        write_jsonl(tmp_path / "in" / f"{number:03}-{name}.jsonl", [row])
    inputs = [{"name": "low", "path": str(tmp_path / "in" / "*-low.jsonl")},
              {"name": "high", "path": str(tmp_path / "in" / "*-high.jsonl"), "priority": 5}]  # fmt: skip
    dedup.run({**NEAR, "input": inputs}, output=tmp_path / "out", **SERIAL)
    assert [row["id"].partition("-")[0] for row in read_documents(tmp_path / "out")] == ["high"] * 8
