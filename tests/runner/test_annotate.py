"""Columns that kept rows get: they are what a plain count over the tables of the run gives."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dedup
from dedup.errors import RecipeError, RunError
from dedup.io import units
from dedup.io.place import at, files_below
from dedup.recipe import WEIGHTS
from dedup.runner import annotate
from tests.runner.test_cut import mixed, records
from tests.runs import EVERYTHING, NEAR, read_documents, tree_bytes, write_jsonl, write_parquet

ALL = ["duplicate_count", "word_count", "cluster_bytes", "weight"]
# A document that others went for may itself go for one later.
STEPS = {"id": "id", "step": [*EVERYTHING["step"], {"dedup": "near", "threshold": 0.7}]}
TABLE = {"1": 1, "2": 3, "4": 0}


def counted(output: Path, weights: dict[int, int]) -> dict[int, dict[str, Any]]:
    """What each kept document is to get, by doc_id: one document after the other."""
    result = dedup.Result(output)
    twin = dict(result.duplicates.select(["doc_id", "duplicate_of_doc_id"]).to_pandas().itertuples(index=False))
    texts = {(row["shard"], row["row"]): row["text"] for row in result.dropped.to_pylist()}
    names = {shard["number"]: shard["name"] for shard in pq.read_table(output / "manifest.parquet").to_pylist()}
    family: dict[int, list[int]] = defaultdict(list)
    for one in twin:
        kept = one
        while kept in twin:
            kept = int(twin[kept])
        text = texts[names[one >> 40], one & ((1 << 40) - 1)]
        family[kept].append(len((text or "").encode()))
    found = {}
    for row in result.documents.to_pylist():
        if row["drop_reason"] is None:
            count = 1 + len(family[row["doc_id"]])
            weight = [value for size, value in weights.items() if count >= size][-1]
            found[row["doc_id"]] = {
                "duplicate_count": count, "word_count": row["word_count"],
                "cluster_bytes": sum(family[row["doc_id"]]), "weight": weight,
            }  # fmt: skip
    return found


@pytest.mark.parametrize("parts", [None, pytest.param(1500, marks=pytest.mark.slow(always=True))])
def test_rows_get_what_counting_gives_whatever_the_cut_and_the_format(
    parts: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = mixed(tmp_path / "in")
    recipe = STEPS | {"annotate": ALL, "weight": TABLE} | ({"output_shard_bytes": parts} if parts else {})
    dedup.run({**STEPS, **({"output_shard_bytes": parts} if parts else {})}, source, tmp_path / "plain",
              executor="serial")  # fmt: skip
    dedup.run(recipe, source, tmp_path / "whole", executor="serial")
    expected = list(counted(tmp_path / "whole", {1: 1, 2: 3, 4: 0}).values())
    rows = read_documents(tmp_path / "whole")
    plain = read_documents(tmp_path / "plain")
    assert [{k: v for k, v in row.items() if k not in ALL} for row in rows] == plain
    if parts is None:  # parts are in another order
        for row, wanted in zip(rows, expected, strict=True):
            wanted["cluster_bytes"] += len(row["text"].encode()) if row["text"] is not None else 0
        assert [{name: row[name] for name in ALL} for row in rows] == expected
    assert max(row["duplicate_count"] for row in rows) > 3
    monkeypatch.setattr(units, "UNIT_BYTES", 900)
    dedup.run(recipe, source, tmp_path / "cut", workers=2)
    whole, cut = tree_bytes(tmp_path / "whole"), tree_bytes(tmp_path / "cut")
    assert [name for name in whole if "summary" not in name and whole[name] != cut.get(name)] == []


def test_lines_keep_their_bytes_and_get_members_at_their_end(tmp_path: Path) -> None:
    lines = ['{"text":"one two three four five six"}', '  {"a": {"b": {}} ,"text":"\\u00e9 } \\" {" , "c":1e400 } \t\r']
    (tmp_path / "a.jsonl").write_text("\n".join(lines), newline="")
    dedup.run({"step": NEAR["step"], "annotate": ["duplicate_count"]}, tmp_path / "a.jsonl", tmp_path / "out")
    first, second = (tmp_path / "out" / "documents" / "a.jsonl").read_bytes().decode().split("\n")[:2]
    assert first == lines[0][:-1] + ', "duplicate_count": 1}'
    assert second == lines[1][: lines[1].index(" } \t")] + ', "duplicate_count": 1 } \t\r'


def test_members_of_every_type_are_json() -> None:
    table = pa.table(
        {
            'a "name"': pa.array([1, None, -3], pa.int32()),
            "ratio": [0.1, float("nan"), 1e300],
            "infinite": [float("inf"), None, -0.0],
            "language": pa.array(['z"h', None, "é\n"], pa.large_string()),
            "flag": [True, False, None],
        }
    )
    rows = [json.loads("{" + text + "}") for text in annotate.members(table).to_pylist()]
    expected = table.to_pylist()
    expected[1]["ratio"] = expected[0]["infinite"] = None
    assert rows == expected


def test_an_object_without_members_gets_them_without_a_comma() -> None:
    line = b'{}\n{ }\r\n{"a":1}'
    bounds = np.array([0, 3, 8, 15])
    added = pa.array(['"n": 1', "", '"n": 3'], pa.large_string())
    found = annotate.with_members(np.frombuffer(line, np.uint8), bounds, added).tobytes()
    assert found == b'{"n": 1}\n{ }\r\n{"a":1, "n": 3}'


def test_documents_of_references_have_no_rows_and_chains_end_at_the_last(tmp_path: Path) -> None:
    rows = records(7, 30)
    write_jsonl(tmp_path / "old.jsonl", rows[:10])
    write_parquet(tmp_path / "in" / "a.parquet", rows)
    recipe = NEAR | {"annotate": ["duplicate_count"]}
    result = dedup.run(recipe, tmp_path / "in", tmp_path / "out", against=tmp_path / "old.jsonl", executor="serial")
    kept = read_documents(tmp_path / "out")
    own = result.duplicates.filter(pa.compute.field("duplicate_of_doc_id") < (1 << 40))
    assert sum(row["duplicate_count"] - 1 for row in kept) == own.num_rows < result.duplicates.num_rows
    assert {path.rpartition(".")[2] for path in files_below(at(tmp_path / "out" / "documents"))} == {"parquet"}


def test_presets_are_what_was_published() -> None:
    sizes = np.array([1, 2, 4, 5, 99, 100, 999, 1000, 10**9])
    table = tuple(WEIGHTS["fineweb2"].items())
    assert annotate._weights(table, sizes).tolist() == [1, 2, 3, 5, 5, 8, 8, 1, 1]
    assert all(next(iter(weights)) == 1 and max(weights.values()) <= 10 for weights in WEIGHTS.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"annotate": ["duplicate_cont"]}, "annotate: no step makes a column 'duplicate_cont'; did you mean "),
        ({"annotate": ["score"]}, "annotate: no step makes a column 'score'; known: cluster_bytes, "),
        ({"annotate": ["weight"]}, 'annotate has "weight"; say weight = { 1 = 1, 2 = 2, 100 = 1 }, or one of '),
        ({"annotate": "weight"}, "annotate is 'weight'; it is a list of columns"),
        ({"annotate": ["weight", "weight"]}, "annotate names 'weight' twice"),
        ({"weight": "fineweb2"}, 'weight is given, and annotate has no "weight"; write annotate = ["weight"]'),
        ({"annotate": ["weight"], "weight": "fineweb"}, "weight is 'fineweb'; did you mean 'fineweb2'?"),
        ({"annotate": ["weight"], "weight": {"2": 1}}, "weight has to say that of a family of 1, which is"),
        ({"annotate": ["weight"], "weight": {"one": 1}}, "weight is {'one': 1}; it is a table such as"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_is_read(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"id": "x", "text": "some words"}])
    with pytest.raises(RecipeError) as told:
        dedup.run(NEAR | settings, tmp_path / "a.jsonl", tmp_path / "out")
    assert str(told.value).startswith(message)
    assert not (tmp_path / "out").exists()


def test_a_column_that_the_input_has_already_is_refused_also_where_only_a_late_line_has_it(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": str(n), "text": f"some {n} words"} for n in range(3)]
    recipe = NEAR | {"annotate": ["cluster_bytes"]}
    write_parquet(tmp_path / "a.parquet", [row | {"cluster_bytes": 1} for row in rows])
    with pytest.raises(RecipeError, match="annotate: the input has a column 'cluster_bytes' of its own"):
        dedup.run(recipe, tmp_path / "a.parquet", tmp_path / "out")
    many = [{"id": str(n), "text": f"{n} words {n}"} for n in range(40_000)]
    many[-1]["cluster_bytes"] = "mine"
    many[3]["text"] = 'it says "cluster_bytes" only'
    write_jsonl(tmp_path / "b.jsonl", many)
    with pytest.raises(RunError, match=r"b\.jsonl: line 40000 has a key 'cluster_bytes' of its own; rename it"):
        dedup.run(recipe, tmp_path / "b.jsonl", tmp_path / "out", executor="serial")
    assert list((tmp_path / "out" / "documents").glob("*")) == []
