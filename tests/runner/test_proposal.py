"""dedup init: what is seen of an input, and that the recipe for it is one that runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import dedup
from dedup import recipe
from dedup.errors import UserError
from dedup.runner.proposal import look, propose, suited

ENGLISH = "The committee met in the old harbour hall on Monday evening to discuss the new timetable of the ferry."
CHINESE = "委員會星期一晚上在舊港口大廳開會,討論渡輪的新時間表和煤炭的價格。"


def write(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows(text: str, *, column: str = "text") -> list[dict[str, object]]:
    return [{"n": i, "id": f"d{i}", "lang": "x", column: f"{text} {i}"} for i in range(20)]


def test_columns_languages_and_lengths_are_seen(tmp_path: Path) -> None:
    seen = look([write(tmp_path / "a.jsonl", rows(ENGLISH))])
    assert (seen.shards, set(seen.columns), seen.text, seen.id) == (1, {"n", "id", "lang", "text"}, "text", "id")
    assert (seen.documents, seen.languages, seen.median_characters) == (20, (("en", 20),), len(ENGLISH) + 2)


def test_without_a_known_name_the_longest_text_is_taken(tmp_path: Path) -> None:
    seen = look([write(tmp_path / "a.jsonl", rows(ENGLISH, column="words\nof it"))])
    assert seen.text == "words\nof it"


def test_an_id_that_repeats_is_none(tmp_path: Path) -> None:
    twice = [*rows(ENGLISH), *rows(ENGLISH)]
    assert look([write(tmp_path / "a.jsonl", twice)]).id is None


def test_the_recipe_is_of_the_languages(tmp_path: Path) -> None:
    english, chinese = rows(ENGLISH), rows(CHINESE)
    found = {}
    for name, some in {"en": english, "zh": chinese, "both": [*english, *chinese]}.items():
        found[name] = suited(look([write(tmp_path / f"{name}.jsonl", some)]))
    assert found == {"en": "web_en", "zh": "web_zh", "both": "multilingual"}


@pytest.mark.parametrize("name", sorted(recipe.shipped()))
def test_every_recipe_can_be_begun_with(tmp_path: Path, name: str) -> None:
    given = write(tmp_path / "a.jsonl", rows(ENGLISH, column="words\nof it"))
    propose([given], tmp_path / "my.toml", name)
    loaded = recipe.load(tmp_path / "my.toml")
    assert ([one.path for one in loaded.input], loaded.output) == ([(given,)], "out/my")
    assert (loaded.text, loaded.id) == ("words\nof it", "id")
    assert loaded.step == recipe.load(recipe.shipped()[name], input="in", output="out").step


def test_what_is_proposed_runs(tmp_path: Path) -> None:
    propose([write(tmp_path / "a.jsonl", rows(ENGLISH))], tmp_path / "my.toml", "dedup_only")
    result = dedup.run(tmp_path / "my.toml", output=tmp_path / "out", executor="serial")
    assert result.summary["documents_in"] == 20


def test_what_was_seen_stands_above_the_recipe(tmp_path: Path) -> None:
    propose([write(tmp_path / "a.jsonl", rows(ENGLISH, column="words\nof it"))], tmp_path / "my.toml", "dedup_only")
    lines = (tmp_path / "my.toml").read_text().splitlines()
    assert lines[:3] == [
        "# Written by `dedup init`: 1 shards, 0.0 MB.",
        r"# Columns: id, lang, n, 'words\nof it'.",
        "# Of 20 documents that were looked at: en 100%; half have at most 104 characters.",
    ]


def test_mistakes_are_named_and_nothing_is_overwritten(tmp_path: Path) -> None:
    given = write(tmp_path / "a.jsonl", rows(ENGLISH))
    (tmp_path / "my.toml").write_text("mine")
    with pytest.raises(UserError) as told:
        propose([given], tmp_path / "my.toml")
    assert str(told.value) == f"{tmp_path / 'my.toml'}: is there already; choose another with -o"
    assert (tmp_path / "my.toml").read_text() == "mine"
    with pytest.raises(UserError, match=r"there is no recipe .web_eng.; did you mean .web_en.\?"):
        propose([given], tmp_path / "new.toml", "web_eng")
    with pytest.raises(UserError, match="no column of text was seen"):
        propose([write(tmp_path / "b.jsonl", [{"n": 1}])], tmp_path / "new.toml")
    assert not (tmp_path / "new.toml").exists()
