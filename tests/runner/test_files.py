"""Settings that name files: where they are looked for, and that a changed file is a changed recipe's work."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import dedup
from dedup import cli, stages
from dedup.plan import make_plan
from dedup.recipe import load
from tests.runs import files, tree_bytes, write_jsonl

SERIAL: dict[str, Any] = {"executor": "serial"}
RECIPE = """
id = "id"

[[step]]
use = "measure.words"
lists = { flagged = "lists/flagged.txt", named = ["dog"] }

[[step]]
use = "drop.when"
flagged_count = { above = 0 }
"""
OWN = """
from pathlib import Path

import pyarrow as pa

from dedup import FilePath


def with_note(batch, *, note: FilePath, others: list[FilePath] | None = None, plain: "str | Missing" = ""):
    text = Path(note).read_text() if batch.num_rows else ""
    return batch.append_column("note", pa.array([text] * batch.num_rows, pa.string()))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a recipe, its list beside it, and an input."""
    (tmp_path / "home" / "lists").mkdir(parents=True)
    (tmp_path / "home" / "recipe.toml").write_text(RECIPE)
    (tmp_path / "home" / "lists" / "flagged.txt").write_text("cat\n")
    rows = [{"id": text, "text": f"a {text} here"} for text in ("cat", "cow", "dog")]
    write_jsonl(tmp_path / "in" / "0.jsonl", rows[:2])
    write_jsonl(tmp_path / "in" / "1.jsonl", rows[2:])
    return tmp_path


def run(home: Path, output: str = "out", **how: Any) -> dedup.Result:
    return dedup.run(home / "home" / "recipe.toml", str(home / "in"), home / output, **(SERIAL | how))


def dropped(result: dedup.Result) -> list[str]:
    table = result.documents
    found = zip(table["id"].to_pylist(), table["drop_reason"].to_pylist(), strict=True)
    return [name for name, reason in found if reason]


# Where a file is looked for


def test_a_file_lies_beside_the_recipe_wherever_the_command_is_given(
    home: Path, monkeypatch: pytest.MonkeyPatch, executor: dict[str, Any]
) -> None:
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    assert dropped(run(home, **executor)) == ["cat"]


def test_beside_the_recipe_comes_before_the_current_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(home / "home" / "lists", home / "lists")
    (home / "lists" / "flagged.txt").write_text("cow")
    monkeypatch.chdir(home)
    assert dropped(run(home)) == ["cat"]
    (home / "home" / "lists" / "flagged.txt").unlink()
    assert dropped(run(home, "other")) == ["cow"]


def test_the_recipe_as_run_names_the_file_wherever_it_is_repeated(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home / "home")
    dedup.run("recipe.toml", "../in", "../out", **SERIAL)
    monkeypatch.chdir("/")
    dedup.run(home / "out" / "recipe.toml", str(home / "in"), home / "again", **SERIAL)
    assert tree_bytes(home / "again") == tree_bytes(home / "out")


def test_the_same_recipe_called_from_another_folder_is_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(home)
    monkeypatch.chdir(home / "home")
    assert dedup.run("recipe.toml", str(home / "in"), home / "out", **SERIAL).summary == first.summary


# Its content counts


def test_one_other_byte_in_a_list_is_another_run(home: Path, executor: dict[str, Any]) -> None:
    assert dropped(run(home, keep_work=True, **executor)) == ["cat"]
    before = (home / "home" / "lists" / "flagged.txt").stat()
    (home / "home" / "lists" / "flagged.txt").write_text("cow\n")
    os.utime(home / "home" / "lists" / "flagged.txt", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert dropped(run(home, keep_work=True, **executor)) == ["cow"]
    assert tree_bytes(home / "out") == tree_bytes((run(home, "fresh"), home / "fresh")[1])


def test_the_same_content_at_another_time_is_no_other_run(home: Path) -> None:
    first = run(home)
    times = {name: (home / "out" / name).stat().st_mtime_ns for name in files(home / "out")}
    (home / "home" / "lists" / "flagged.txt").write_text("cat\n")
    os.utime(home / "home" / "lists" / "flagged.txt", ns=(0, 0))
    assert run(home).summary == first.summary
    assert {name: (home / "out" / name).stat().st_mtime_ns for name in files(home / "out")} == times


def test_work_that_a_broken_off_run_left_is_not_used_with_another_list(home: Path) -> None:
    run(home, keep_work=True)
    for name in ("documents", "dropped", "report"):
        shutil.rmtree(home / "out" / name)
    (home / "home" / "lists" / "flagged.txt").write_text("dog\n")
    assert dropped(run(home)) == ["dog"]


def test_another_file_is_another_recipe(home: Path) -> None:
    run(home)
    (home / "home" / "lists" / "other.txt").write_text("cat\n")
    with pytest.raises(dedup.DedupError, match="out holds the output of another recipe"):
        run(home, changes=["step.0.lists.flagged=lists/other.txt"])


def test_a_list_that_changes_while_a_run_goes_on_stops_it_by_name(home: Path) -> None:
    (home / "home" / "hostile.py").write_text(
        "from pathlib import Path\n\n\ndef change(batch, *, path=''):\n"
        "    if batch.num_rows:\n        Path(path).write_text('cow')\n    return batch\n"
    )
    path = home / "home" / "lists" / "flagged.txt"
    (home / "home" / "recipe.toml").write_text(f'{RECIPE}\n[[step]]\nuse = "hostile:change"\npath = "{path}"\n')
    with pytest.raises(dedup.DedupError, match=r"flagged.txt changed while the run went on; start the same command"):
        run(home)
    assert not (home / "out" / "documents").exists()
    assert dropped(run(home)) == ["cow"]


# What is refused, before data is read


def test_a_missing_file_is_refused_by_plan_with_step_parameter_and_path(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(home / "home" / "lists")
    with pytest.raises(SystemExit) as stop:
        cli.main(["plan", str(home / "home" / "recipe.toml"), "-i", str(home / "in")])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "dedup: step[0] (measure.words): lists.flagged is 'lists/flagged.txt'; there is no such file beside the "
        f"recipe ({home / 'home'}) nor in the current folder\n"
    )
    with pytest.raises(dedup.DedupError, match=r"lists.flagged is 'lists/flagged.txt'; there is no such file"):
        run(home)
    assert not (home / "out").exists()


def test_an_absolute_path_that_is_missing_is_no_matter_of_folders(home: Path) -> None:
    step = {"use": "measure.url", "block_domains": "/no/such.txt"}
    with pytest.raises(dedup.DedupError) as e:
        dedup.run({"step": [step]}, str(home / "in"), home / "out")
    text = "step[0] (measure.url): block_domains is '/no/such.txt'; there is no such file"
    assert (str(e.value), e.value.exit_code) == (text, 2)


def test_a_folder_is_no_file(home: Path) -> None:
    step = {"use": "measure.roots", "stop_words": str(home)}
    with pytest.raises(dedup.DedupError, match=r"stop_words is .*; it is a folder, and a file is needed$"):
        dedup.run({"step": [step]}, str(home / "in"), home / "out")


# Stages of the user's own, and what is a name


def test_a_stage_of_ones_own_says_which_settings_are_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "home" / "mine.py").write_text(OWN)
    (home / "home" / "note.txt").write_text("one")
    (home / "home" / "recipe.toml").write_text('[[step]]\nuse = "mine:with_note"\nnote = "note.txt"\n')
    monkeypatch.chdir("/")
    assert set(run(home).documents["note"].to_pylist()) == {"one"}
    (home / "home" / "note.txt").write_text("two")
    assert set(run(home).documents["note"].to_pylist()) == {"two"}
    with pytest.raises(
        dedup.DedupError, match=r"step\[0\] \(mine:with_note\): others\[1\] is 'gone'; there is no such"
    ):
        run(home, "more", changes=['step.0.others=["note.txt", "gone"]'])


def planned(home: Path, step: dict[str, Any]) -> dict[str, Any]:
    recipe = load({"step": [step], "input": "a", "output": "b"})
    return make_plan(recipe, []).recipe.step[0].settings


def test_a_tokenizer_may_be_a_file_or_a_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tokenizers")
    pytest.importorskip("tiktoken")
    shutil.copy(Path(__file__).parents[1] / "measure" / "tokenizer.json", home / "tokenizer.json")
    monkeypatch.chdir(home)
    found = planned(home, {"use": "measure.tokens", "tokenizer": "tokenizer.json"})
    assert found == {"tokenizer": str(home / "tokenizer.json")}
    assert planned(home, {"use": "measure.tokens", "tokenizer": "gpt2"}) == {"tokenizer": "gpt2"}
    with pytest.raises(dedup.DedupError, match=r"step\[0\] .*tokenizer is 'gone.json', and there is no such file"):
        planned(home, {"use": "measure.tokens", "tokenizer": "gone.json"})


def test_lists_in_the_recipe_are_no_files(home: Path) -> None:
    step = {"use": "measure.roots", "stop_words": ["the", "lists/flagged.txt"], "words": "tokens"}
    assert planned(home, dict(step)) == {key: value for key, value in step.items() if key != "use"}


def test_every_shipped_setting_that_names_a_file_is_known_to() -> None:
    named = {(name, parameter) for name, stage in stages.shipped().items() for parameter in stages.file_settings(stage)}
    assert named == {
        ("measure.fasttext", "model"), ("measure.language.identify", "model"), ("measure.roots", "flagged_words"),
        ("measure.roots", "stop_words"), ("measure.tokens", "tokenizer"), ("measure.url", "block_domains"),
        ("measure.url", "block_parts"), ("measure.url", "block_words"), ("measure.words", "lists"),
    }  # fmt: skip


def test_a_setting_that_names_a_file_is_told_as_a_path() -> None:
    assert stages.tell("measure.fasttext").splitlines()[1] == "model = ...  # needed; a path"
    assert "# block_domains  (not set; may be a path)" in stages.tell("measure.url").splitlines()
    assert "lists = ...  # needed; may be a path" in stages.tell("measure.words").splitlines()
