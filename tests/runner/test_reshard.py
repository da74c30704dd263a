"""output_shard_bytes: the same rows in the same order, in files whose cut depends on the kept texts alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dedup
from dedup.errors import RecipeError
from dedup.io import decode, units
from tests.runner.test_cut import TWO_PASSES, mixed, records
from tests.runs import NEAR, decoded, tree_bytes, what, write_jsonl

SERIAL: dict[str, Any] = {"executor": "serial"}
SIZE = 2000


def run(recipe: dict[str, Any], input: Path, output: Path, size: int = SIZE, **how: Any) -> dedup.Result:
    return dedup.run(recipe | {"output_shard_bytes": size}, str(input), output, **(SERIAL | how))


def by_suffix(folder: Path) -> dict[str, Any]:
    """Lines by codec and rows of Parquet, in the order of names."""
    found: dict[str, Any] = {}
    for path in sorted((folder / "documents").iterdir()):
        rows = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else decoded(path).splitlines()
        found.setdefault(path.suffix, []).extend(rows)
    return found


def test_parts_hold_the_rows_of_the_files_that_there_were_without_them(tmp_path: Path) -> None:
    input = mixed(tmp_path / "in")
    recipe = TWO_PASSES | {"id": "id"}
    dedup.run(recipe, str(input), tmp_path / "plain", **SERIAL)
    result = run(recipe, input, tmp_path / "parts")
    plain, parts = tree_bytes(tmp_path / "plain"), tree_bytes(tmp_path / "parts")
    assert by_suffix(tmp_path / "parts") == by_suffix(tmp_path / "plain")
    names = [name for name in parts if name.startswith("documents/")]
    assert names == [f"documents/part-{n:05}{Path(name).name[10:]}" for n, name in enumerate(names)]
    assert len(names) > 12
    others = [name for name in plain if not name.startswith("documents/") and not name.endswith("summary.json")]
    assert [name for name in others if parts[name] != plain[name]] == []
    without = {"files_written": len(parts)}
    facts = [what(dedup.Result(tmp_path / name).summary) | without for name in ("plain", "parts")]
    assert facts[0] == facts[1]
    assert result.summary["documents_kept"] == sum(map(len, by_suffix(tmp_path / "parts").values()))
    assert not (tmp_path / "parts" / "work").exists()


def test_they_depend_neither_on_units_nor_on_the_executor(
    tmp_path: Path, executor: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    input = mixed(tmp_path / "in")
    run(TWO_PASSES, input, tmp_path / "whole")
    monkeypatch.setattr(units, "UNIT_BYTES", 1500)
    monkeypatch.setattr(decode, "BLOCK_BYTES", 700)
    run(TWO_PASSES, input, tmp_path / "cut", **executor)
    assert tree_bytes(tmp_path / "cut") == tree_bytes(tmp_path / "whole")


def test_small_shards_share_a_part_and_a_document_is_not_cut(tmp_path: Path) -> None:
    for n in range(5):
        rows = [{"id": f"{n}-{m}", "text": f"{n}-{m} " + "x" * 96} for m in range(3)]
        write_jsonl(tmp_path / "in" / f"{n}.jsonl", rows)
    run(NEAR, tmp_path / "in", tmp_path / "out", 400)
    parts = sorted((tmp_path / "out" / "documents").iterdir())
    ids = [[json.loads(line)["id"] for line in path.read_text().splitlines()] for path in parts]
    assert ids == [
        ["0-0", "0-1", "0-2", "1-0"], ["1-1", "1-2", "2-0", "2-1"], ["2-2", "3-0", "3-1", "3-2"], ["4-0", "4-1", "4-2"]
    ]  # fmt: skip


def test_parquet_of_other_schemas_has_parts_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, kind in (("a", pa.string()), ("b", pa.large_string()), ("c", pa.string())):
        table = pa.table({"text": pa.array([f"{name} {n}" for n in range(10)], kind)})
        pq.write_table(table, tmp_path / "in" / f"{name}.parquet", row_group_size=4)
    run({"step": []}, tmp_path / "in", tmp_path / "out", 1000)
    parts = sorted((tmp_path / "out" / "documents").iterdir())
    texts = [[row["text"] for row in pq.read_table(path).to_pylist()] for path in parts]
    assert texts == [[f"{name} {n}" for name in some for n in range(10)] for some in ("ac", "b")]
    assert [pq.read_schema(path).field("text").type for path in parts] == [pa.string(), pa.large_string()]


def test_a_part_that_somebody_removed_is_written_again_and_strangers_go(tmp_path: Path) -> None:
    input = write_jsonl(tmp_path / "in.jsonl", records(1, 200))
    run(NEAR, input, tmp_path / "out", keep_work=True)
    before = tree_bytes(tmp_path / "out")
    (tmp_path / "out" / "report" / "summary.json").unlink()
    (tmp_path / "out" / "documents" / "part-00001.jsonl").unlink()
    (tmp_path / "out" / "documents" / "part-99999.jsonl").write_text("from before")
    run(NEAR, input, tmp_path / "out")
    assert tree_bytes(tmp_path / "out") == before


def test_where_nothing_is_kept_there_is_no_part(tmp_path: Path) -> None:
    input = write_jsonl(tmp_path / "in.jsonl", [{"id": "a", "text": "few"}])
    rule = {"use": "drop.when", "word_count": {"below": 5}}
    recipe = {"max_drop": 1.0, "step": [{"use": "measure.gopher.quality"}, rule]}
    result = run(recipe, input, tmp_path / "out")
    assert (result.summary["documents_dropped"], sorted((tmp_path / "out").glob("documents/*"))) == (1, [])


def test_a_part_has_at_least_a_byte(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"output_shard_bytes is 0; leave it out for one output file an input"):
        run(NEAR, tmp_path, tmp_path / "out", 0)
