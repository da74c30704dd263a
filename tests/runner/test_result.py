"""What a run hands back: its tables in three libraries, and how a notebook shows it."""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser

import pandas
import polars
import pytest
import tomli_w

import dedup
from dedup.errors import UserError


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dedup.Result:
    folder = tmp_path_factory.mktemp("result") / "<b>&"
    folder.mkdir()
    texts = ["one two three four five", "one two three four five", "six", "seven eight nine ten"]
    lines = [json.dumps({"id": f"d{i}", "text": text}) for i, text in enumerate(texts)]
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    rule = {"use": "drop.when", "characters": {"below": 4}}
    measure = {"use": "own:characters"}
    (folder / "own.py").write_text(
        "import pyarrow.compute as pc\n"
        "def characters(batch):\n    return batch.append_column('characters', pc.utf8_length(batch['text']))\n"
    )
    recipe = {"id": "id", "executor": "serial", "report": False, "step": [measure, rule, {"dedup": "exact"}]}
    (folder / "recipe.toml").write_text(tomli_w.dumps(recipe))
    return dedup.run(folder / "recipe.toml", folder / "in.jsonl", folder / "out")


class Cells(HTMLParser):
    """The texts of the cells of a table, and every tag that was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.caption = ""
        self._where = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self._where = tag
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self._where == "caption":
            self.caption += data
        elif self._where in ("td", "th"):
            self.rows[-1][-1] += data


def test_a_notebook_shows_what_came_in_went_and_stayed(result: dedup.Result) -> None:
    cells = Cells(result._repr_html_())
    assert [row[:3] for row in cells.rows] == [
        ["", "documents", "share"],
        ["in", "4", ""],
        ["dropped: characters < 4", "1", "25.0%"],
        ["dropped: exact duplicate", "1", "25.0%"],
        ["kept", "2", "50.0%"],
    ]
    assert cells.tags == {"table", "caption", "thead", "tbody", "tr", "th", "td"}  # the path has <b> and &
    assert cells.caption == f"dedup: {result.output}"


@pytest.mark.parametrize("name", ["duplicates", "documents", "dropped"])
def test_tables_are_those_of_arrow_pandas_and_polars(result: dedup.Result, name: str) -> None:
    table = result.table(name)
    assert table.num_rows == {"duplicates": 1, "documents": 4, "dropped": 2}[name]
    assert table is getattr(result, name)
    frame = result.to_pandas(name)
    assert isinstance(frame, pandas.DataFrame)
    assert frame["id"].tolist() == table["id"].to_pylist()
    other = result.to_polars(name)
    assert isinstance(other, polars.DataFrame)
    assert other["id"].to_list() == table["id"].to_pylist()
    assert other.columns == list(frame.columns) == table.column_names


def test_tables_of_the_report_have_names_too(result: dedup.Result) -> None:
    assert result.table("performance").num_rows >= 1


def test_an_unknown_table_is_named_with_the_nearest(result: dedup.Result) -> None:
    with pytest.raises(UserError) as told:
        result.to_pandas("duplicate")
    assert str(told.value) == f"{result.output}: there is no table 'duplicate'; did you mean 'duplicates'?"


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_package_that_is_missing_is_named(
    result: dedup.Result, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError) as told:
        getattr(result, f"to_{package}")("duplicates")
    assert str(told.value) == f"to_{package} needs one more package: pip install {package}"
