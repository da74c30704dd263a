"""Runs with an index: what was kept before is compared with, added to, merged and forgotten."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
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
from dedup.io import index as store
from dedup.io import index_change
from tests.runner.test_run import Corpus, corpora, prose
from tests.runs import NEAR, pairs, read_documents, tree_bytes, write_jsonl, write_parquet

SERIAL: dict[str, Any] = {"executor": "serial"}
BOTH = {"id": "id", "step": [{"use": "clean.normalize"}, {"dedup": "exact"}, {"dedup": "near"}]}
LONG = {name: prose(number, 120) for number, name in enumerate("abcdefgh")}


def grow(folder: Path, recipe: dict[str, Any], parts: list[str], **how: Any) -> list[dedup.Result]:
    """Run in-A, in-B, ... one after the other against one index."""
    return [
        dedup.run(recipe, folder / f"in-{part}", folder / f"out-{part}", index=folder / "index", **how)
        for part in parts
    ]


def together(folder: Path, parts: list[str]) -> list[str]:
    """The inputs of all parts as one, in the order of the parts."""
    (folder / "all").mkdir()
    for number, part in enumerate(parts):
        shutil.copytree(folder / f"in-{part}", folder / "all" / f"{number}")
    return [str(folder / "all")]


# Incremental equals from scratch


@pytest.mark.parametrize("index_texts", [False, pytest.param(True, marks=pytest.mark.slow(always=True))])
@settings(max_examples=10, deadline=None, derandomize=True)
@given(corpus=corpora(), cuts=st.tuples(*[st.integers(0, 24)] * 2), merges=st.booleans())
def test_three_generations_keep_what_one_run_over_all_of_them_keeps(
    index_texts: bool, corpus: Corpus, cuts: tuple[int, int], merges: bool
) -> None:
    low, high = sorted(min(cut, len(corpus)) for cut in cuts)
    rows = [{"id": f"{i:02}", "text": text and f" {text}  \r\n"} for i, (text, _) in enumerate(corpus)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {"a": rows[:low], "b": rows[low:high], "c": rows[high:]}
        for part, some in parts.items():
            write_jsonl(folder / f"in-{part}" / "0.jsonl", [*some, {"id": f"-{part}", "text": None}])
        recipe = BOTH | {"index_texts": index_texts}
        results = grow(folder, recipe, ["a", "b"], **SERIAL)
        if merges:
            index_change.merge(folder / "index")
        if index_texts:
            shutil.rmtree(folder / "in-a")
        results += grow(folder, recipe, ["c"], **SERIAL)
        write_jsonl(folder / "in-a" / "0.jsonl", [*parts["a"], {"id": "-a", "text": None}])
        whole = dedup.run(BOTH, together(folder, list(parts)), folder / "out", **SERIAL)
        kept = [row["id"] for part in parts for row in read_documents(folder / f"out-{part}")]
        assert kept == [row["id"] for row in read_documents(folder / "out")]
        gone = {row["id"] for row in whole.duplicates.to_pylist()}
        for result in results:
            twins = {row["duplicate_of"] for row in result.duplicates.to_pylist()}
            assert not twins & gone
        assert results[2].summary["index"]["generations"] == 2
        numbers = [one.documents for one in store.load(folder / "index").generations]
        assert sum(numbers) == len(kept)


@pytest.mark.shared
@pytest.mark.slow
def test_three_generations_of_real_documents_keep_what_one_run_keeps(shared: Path, tmp_path: Path) -> None:
    table = pq.read_table(shared / "truth" / "en_documents.parquet")
    third = table.num_rows // 3
    for number, part in enumerate("abc"):
        (tmp_path / f"in-{part}").mkdir()
        some = table.slice(number * third, third if number < 2 else None)
        pq.write_table(some, tmp_path / f"in-{part}" / "0.parquet")
    grow(tmp_path, BOTH, ["a", "b", "c"], executor="local", workers=2)
    dedup.run(BOTH, together(tmp_path, ["a", "b", "c"]), tmp_path / "out", executor="local", workers=2)
    kept = [row["id"] for part in "abc" for row in read_documents(tmp_path / f"out-{part}")]
    assert kept == [row["id"] for row in read_documents(tmp_path / "out")]
    assert len(kept) < table.num_rows - 500


# What a run with an index does


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """in-a, in-b and in-c, which share documents."""
    a, b, c, d = (LONG[name] for name in "abcd")
    write_jsonl(tmp_path / "in-a" / "x.jsonl", [{"id": "a1", "text": a}, {"id": "a2", "text": b + "  end"}])
    write_parquet(tmp_path / "in-b" / "x.parquet", [{"id": "b1", "text": b + " pea"}, {"id": None, "text": c}])
    write_jsonl(
        tmp_path / "in-c" / "x.jsonl",
        [{"id": "c1", "text": c + " pea"}, {"id": "c2", "text": a}, {"id": "c3", "text": d}],
    )
    return tmp_path


def test_a_dropped_document_names_its_twin_in_the_index(parts: Path, executor: dict[str, Any]) -> None:
    first, second, third = grow(parts, BOTH, ["a", "b", "c"], **executor)
    assert pairs(first) == []
    assert pairs(second) == [("b1", "a2", pytest.approx(116 / 118), "near")]
    path = f"{parts}/in-b/x.parquet#1"
    assert pairs(third) == [("c1", path, pytest.approx(116 / 117), "near"), ("c2", "a1", 1.0, "exact")]
    assert third.duplicates["duplicate_of_doc_id"].to_pylist() == [None, None]
    assert third.summary["index"] == {"generations": 2, "candidates": 2, "documents_added": 1}
    assert [(one.number, one.documents) for one in store.load(parts / "index").generations] == [(0, 2), (1, 1), (2, 1)]


def test_the_same_command_again_adds_no_second_generation(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(parts, BOTH, ["a", "b", "c"], **SERIAL)
    catalogue = (parts / "index" / "index.json").read_bytes()
    tree = tree_bytes(parts / "out-b")
    grow(parts, BOTH, ["b"], **SERIAL)
    shutil.rmtree(parts / "out-b")
    monkeypatch.chdir(parts)
    dedup.run(
        BOTH, "in-b", "out-b", index="./index", **SERIAL
    )  # compared with what there was before it, not with itself
    assert tree_bytes(parts / "out-b") == tree
    assert (parts / "index" / "index.json").read_bytes() == catalogue


def test_an_index_that_is_gone_is_filled_again(parts: Path) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    shutil.rmtree(parts / "index")
    grow(parts, BOTH, ["a"], **SERIAL)
    assert [one.documents for one in store.load(parts / "index").generations] == [2]


def test_documents_that_a_later_rule_drops_are_in_the_index_and_those_of_an_earlier_are_not(tmp_path: Path) -> None:
    texts = [LONG["a"], LONG["b"], "short one"]
    write_jsonl(tmp_path / "in-a" / "x.jsonl", [{"id": str(i), "text": text} for i, text in enumerate(texts)])
    write_jsonl(tmp_path / "in-b" / "x.jsonl", [{"id": f"b{i}", "text": text} for i, text in enumerate(texts)])
    (tmp_path / "rules.py").write_text(
        "import pyarrow.compute as pc\n"
        "def begin(batch):\n"
        "    return batch.append_column('is_second', pc.starts_with(batch['text'], " + repr(LONG["b"][:30]) + "))\n"
    )
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'id = "id"\nmax_drop = 1.0\n[[step]]\nuse = "measure.gopher.quality"\n[[step]]\nuse = "drop.when"\n'
        'word_count = { below = 5 }\n[[step]]\ndedup = "near"\n[[step]]\nuse = "rules:begin"\n[[step]]\n'
        'use = "drop.when"\nis_second = { equals = true }\n'
    )
    try:
        results = [
            dedup.run(recipe, tmp_path / f"in-{part}", tmp_path / f"out-{part}", index=tmp_path / "index", **SERIAL)
            for part in "ab"
        ]
    except RecipeError as error:  # pragma: no cover
        pytest.fail(str(error))
    assert results[0].summary["documents_kept"] == 1
    assert [one.documents for one in store.load(tmp_path / "index").generations] == [2, 0]
    assert [(a, b) for a, b, *_ in pairs(results[1])] == [("b0", "0"), ("b1", "1")]


def test_a_run_with_a_limit_adds_nothing(parts: Path) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    result = dedup.run(BOTH, parts / "in-c", parts / "out", index=parts / "index", limit=2, **SERIAL)
    assert [(a, b) for a, b, *_ in pairs(result)] == [("c2", "a1")]
    assert len(store.load(parts / "index").generations) == 1


def test_references_and_an_index_go_together(parts: Path) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    write_jsonl(parts / "ref" / "r.jsonl", [{"id": "r1", "text": LONG["d"]}, {"id": "r2", "text": LONG["a"]}])
    result = dedup.run(BOTH, parts / "in-c", parts / "out", index=parts / "index", against=parts / "ref", **SERIAL)
    assert [(a, b) for a, b, *_ in pairs(result)] == [("c2", "a1"), ("c3", "r1")]
    assert [one.documents for one in store.load(parts / "index").generations] == [2, 1]


def test_the_summary_tells_of_references_and_of_the_index(parts: Path) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    command = ["near", str(parts / "in-b"), "-o", str(parts / "out"), "--against", str(parts / "in-c"), "--executor"]
    shown = CliRunner().invoke(cli.cli, [*command, "serial", "--id", "id", "--index", str(parts / "index")]).output
    assert "compared with 3 documents of 1 shards that stay as they are\n" in shown
    assert "index: compared with 1 generations, 1 of their documents looked at; 0 documents added\n" in shown


# Places, and what is refused


def test_a_file_that_is_gone_or_changed_is_named_when_its_text_is_needed(parts: Path) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    path = parts / "in-a" / "x.jsonl"
    held = path.read_bytes()
    os.unlink(path)
    with pytest.raises(UserError, match=r"in-a/x\.jsonl is gone or not what it was when .*index took its documents"):
        grow(parts, NEAR, ["b"], **SERIAL)
    path.write_bytes(held)
    os.utime(path, ns=(1, 1))
    with pytest.raises(UserError, match=r"forget them with `dedup index remove-source`"):
        grow(parts, NEAR, ["b"], **SERIAL)
    os.unlink(path)
    # Equal texts need none, nor does one that the cleaning changed.
    assert grow(parts, BOTH, ["c"], **SERIAL)[0].summary["duplicates"]["exact"] == 1


@pytest.mark.parametrize("index_texts", [False, True])
def test_texts_are_compared_as_the_steps_left_them(tmp_path: Path, index_texts: bool) -> None:
    marked = f"<div class='one two three four'>{LONG['a']}</div>"
    write_jsonl(tmp_path / "in-a" / "x.jsonl", [{"id": "a1", "text": marked}, {"id": "a2", "text": LONG["b"]}])
    alike = [{"id": "b1", "text": LONG["a"] + " pea"}, {"id": "b2", "text": LONG["b"] + " rye"}]
    write_jsonl(tmp_path / "in-b" / "x.jsonl", alike)
    recipe = {"id": "id", "index_texts": index_texts, "step": [{"use": "clean.strip_html"}, {"dedup": "near"}]}
    grow(tmp_path, recipe, ["a"], **SERIAL)
    if index_texts:
        shutil.rmtree(tmp_path / "in-a")
    (result,) = grow(tmp_path, recipe, ["b"], **SERIAL)
    similarity = pytest.approx(116 / 117)
    assert pairs(result) == [("b1", "a1", similarity, "near"), ("b2", "a2", similarity, "near")]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            {"dedup": "near", "threshold": 0.9},
            r"index was made with threshold = 0\.8; this recipe has threshold = 0\.9",
        ),
        ({"dedup": "near", "shingle": 8}, r"index was made with shingle = 5; this recipe has shingle = 8"),
        ({"dedup": "near", "seed": 2}, r"index was made with seed = 1"),
        ({"dedup": "exact"}, r"the index has signatures of near, and the recipe has not"),
    ],
)
def test_signatures_of_other_settings_are_refused_by_name(parts: Path, step: dict[str, Any], message: str) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    with pytest.raises(UserError, match=message):
        grow(parts, {"id": "id", "step": [step]}, ["b"], **SERIAL)
    assert not (parts / "out-b").exists()


def test_an_index_of_other_code_or_format_is_refused(parts: Path) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    path = parts / "index" / "index.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"settings": data["settings"] | {"signatures": "0"}}))
    with pytest.raises(UserError, match=r"was made by dedup .*, whose signatures \(Unicode .*\) are not those of"):
        grow(parts, BOTH, ["b"], **SERIAL)
    path.write_text(json.dumps(data | {"format": 3}))
    with pytest.raises(UserError, match=r"is of format 3, and this version of dedup reads 2"):
        grow(parts, BOTH, ["b"], **SERIAL)
    path.write_text("[]")
    with pytest.raises(UserError, match=r"not the catalogue of an index"):
        grow(parts, BOTH, ["b"], **SERIAL)
    with pytest.raises(UserError, match=r"in-b is not empty and no index"):
        dedup.run(BOTH, parts / "in-a", parts / "out", index=parts / "in-b")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"use": "clean.normalize"}], r"index is given, but no step removes duplicates"),
        ([{"dedup": "exact", "on": "id"}], r"step\[0\] \(exact\): an index holds keys of texts, not of columns"),
        (
            [{"dedup": "near"}, {"dedup": "near", "verify": "signature"}],
            r"step\[1\] \(near\): an index holds signatures of one",
        ),
    ],
)
def test_a_recipe_that_cannot_use_an_index_is_refused(parts: Path, steps: list[Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        grow(parts, {"id": "id", "step": steps}, ["a"], **SERIAL)


def test_the_plan_says_what_it_does_not_promise(parts: Path) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    recipe = parts / "recipe.toml"
    recipe.write_text('[[step]]\ndedup = "near"\nkeep = "longest"\n')
    command = ["plan", str(recipe), "-i", str(parts / "in-b"), "--index", str(parts / "index")]
    shown = CliRunner().invoke(cli.cli, command).output
    assert "index: 1 generations, 2 documents\n" in shown
    assert "one run over everything: keep = 'longest', what the index holds was cleaned by other steps\n" in shown
    recipe.write_text('[[step]]\nuse = "clean.normalize"\n[[step]]\ndedup = "near"\n')
    assert "one run over everything" not in CliRunner().invoke(cli.cli, command).output


# Merging, forgetting, being killed


def test_a_merged_index_is_one_folder_and_finds_the_same(parts: Path) -> None:
    grow(parts, BOTH, ["a", "b"], **SERIAL)
    shutil.copytree(parts / "index", parts / "copy")
    assert CliRunner().invoke(cli.cli, ["index", "merge", str(parts / "index")]).exit_code == 0
    assert len([path for path in (parts / "index").iterdir() if path.is_dir()]) == 1
    told = [
        CliRunner().invoke(cli.cli, ["index", "info", str(parts / name), "--json"]).output for name in ("index", "copy")
    ]
    merged, apart = (json.loads(one) for one in told)
    assert (merged["sources"], merged["generations"]) == (apart["sources"], apart["generations"])
    one = dedup.run(BOTH, parts / "in-c", parts / "out-1", index=parts / "index", **SERIAL)
    other = dedup.run(BOTH, parts / "in-c", parts / "out-2", index=parts / "copy", **SERIAL)
    assert pairs(one) == pairs(other)
    assert len(pairs(one)) == 2


def test_documents_of_a_removed_source_are_kept_again(parts: Path) -> None:
    grow(parts, BOTH, ["a", "b"], **SERIAL)
    command = ["index", "remove-source", str(parts / "index"), str(parts / "in-a")]
    assert CliRunner().invoke(cli.cli, command).output == "2 documents are forgotten\n"
    assert [one.number for one in store.load(parts / "index").generations] == [1]
    (result,) = grow(parts, BOTH, ["c"], **SERIAL)
    assert [(a, b) for a, b, *_ in pairs(result)] == [("c1", f"{parts}/in-b/x.parquet#1")]
    with pytest.raises(UserError, match=r"no document is of .*in-a"):
        index_change.remove_source(parts / "index", [str(parts / "in-a")])
    shown = CliRunner().invoke(cli.cli, ["index", "info", str(parts / "index")]).output
    assert f"  {parts}/in-b/x.parquet  1\n" in shown
    nothing = CliRunner().invoke(cli.cli, ["index", "info", str(parts / "nowhere")])
    assert str(nothing.exception) == f"{parts}/nowhere: no index; a run with --index {parts}/nowhere makes one"


def test_what_a_killed_run_left_in_an_index_is_no_generation_and_goes(parts: Path) -> None:
    grow(parts, BOTH, ["a"], **SERIAL)
    for name in (".tmp-1-generation", "generation-00001"):
        shutil.copytree(parts / "index" / "generation-00000", parts / "index" / name)
    results = grow(parts, BOTH, ["b"], **SERIAL)
    assert results[0].summary["index"]["generations"] == 1
    assert sorted(path.name for path in (parts / "index").iterdir()) == [
        "generation-00000", "generation-00001", "index.json",
    ]  # fmt: skip


@pytest.mark.slow
def test_runs_killed_at_any_moment_and_started_again_leave_the_same_index(parts: Path) -> None:
    program = (
        f"import dedup, sys\ndedup.run({BOTH!r}, sys.argv[1], sys.argv[2], index=sys.argv[3], executor='serial')\n"
    )

    def start(output: str, index: str, part: str = "c") -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", program, str(parts / f"in-{part}"), str(parts / output), str(parts / index)]
        )

    for part in "ab":
        assert start(f"out-{part}", "index", part).wait() == 0
    shutil.copytree(parts / "index", parts / "start")
    begun = time.monotonic()
    assert start("out", "index").wait() == 0
    seconds = time.monotonic() - begun
    expected = [one.documents for one in store.load(parts / "index").generations]
    tree = tree_bytes(parts / "out")
    for number in range(12):
        shutil.rmtree(parts / "again", ignore_errors=True)
        shutil.rmtree(parts / "out-k", ignore_errors=True)
        shutil.copytree(parts / "start", parts / "again")
        run = start("out-k", "again")
        time.sleep(seconds * (0.5 + number / 24))
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert start("out-k", "again").wait() == 0
        assert [one.documents for one in store.load(parts / "again").generations] == expected
        ours, theirs = tree_bytes(parts / "out-k"), dict(tree)
        assert {k: v for k, v in ours.items() if "summary" not in k} == {
            k: v for k, v in theirs.items() if "summary" not in k
        }


@pytest.mark.slow
def test_the_second_run_costs_what_is_new(tmp_path: Path) -> None:
    """An index of 40 times more documents costs a run against it little more."""
    small, large, new = 4_000, 160_000, 2_000

    def rows(begin: int, count: int) -> list[dict[str, Any]]:
        return [{"id": str(i), "text": prose(i % 150_000, 60)} for i in range(begin, begin + count)]

    write_jsonl(tmp_path / "in-new" / "0.jsonl", rows(10**6, new))
    seconds = {}
    for name, count in (("small", small), ("large", large)):
        write_jsonl(tmp_path / name / "0.jsonl", rows(0, count))
        first = dedup.run(NEAR, tmp_path / name, tmp_path / f"out-{name}", index=tmp_path / f"ix-{name}", **SERIAL)
        times = []
        for again in range(3):
            shutil.copytree(tmp_path / f"ix-{name}", tmp_path / f"copy-{name}-{again}")
            second = dedup.run(
                NEAR, tmp_path / "in-new", tmp_path / f"out-{name}-{again}", index=tmp_path / f"copy-{name}-{again}",
                **SERIAL,
            )  # fmt: skip
            times.append(second.summary["cpu_seconds"])
        seconds[name] = (first.summary["cpu_seconds"], min(times))
    assert seconds["large"][1] < 2 * seconds["small"][1], seconds
    assert seconds["large"][1] < 0.1 * seconds["large"][0], seconds
