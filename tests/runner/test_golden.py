"""A golden run of twenty-odd rows, of which every output file is compared whole.

The expected files stand readable in golden/: JSONL as it is written, tables as JSON with schema and rows. After a
change that is meant to alter them: `python -m tests.runner.test_golden`, then read the difference.
"""

from __future__ import annotations

import json
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dedup
from tests.runs import files, what, write_parquet

GOLDEN = Path(__file__).parent / "golden"
RECIPE = {
    "id": "id",
    "step": [
        {"use": "clean.fix_text"},
        {"use": "measure.gopher.quality", "words": "tokens"},
        {"use": "drop.when", "word_count": {"below": 3}},
        {"dedup": "exact", "on": "url"},
        {"dedup": "near", "keep": "highest:score"},
        {"use": "drop.when", "hash_word_ratio": {"above": 0.5}, "score": {"above": 9}},
    ],
}
ROSE = "The rose by the old gate opened late this year and the bees came to it all the same"
RIVER = "河水从山里流出来，绕过村子，再向东流去，孩子们每天在岸边玩水，老人坐在树下看着他们。"
SCHEMA = pa.schema(
    [pa.field("id", pa.int64()), pa.field("text", pa.string(), metadata={"role": "body"}), ("url", pa.string()),
     ("score", pa.float64()), ("tags", pa.list_(pa.string()))], metadata={"origin": "golden"},
)  # fmt: skip
LINES = [
    '{"id": "rose", "text": "' + ROSE + '", "url": "u1", "score": 1}',
    '{"id": "rose-copy", "score": 2,  "text": "' + ROSE + '", "url": "u2", "n": 12345678901234567890123}',
    '{"id": "rose-edited", "text": "' + ROSE + ' again", "url": "u3", "score": 3.5}',
    '{"id": "same-url", "text": "Another text at the address of the first one.", "url": "u1", "score": 0}',
    "",
    "this is not JSON",
    '{"id": "no-text", "url": "u4"}',
    '{"id": "number", "text": 5}',
    '{"id": "null", "text": null, "url": "u5", "score": null}',
    '{"id": "empty", "text": "", "url": "u6"}',
    '{"id": "short", "text": "Sold out", "url": "u7"}',
    '{"id": "mojibake", "text": "The cafÃ© in the town is \\u0022open\\u0022", "url": "u8", "x": [1.50, "\\u00e9"]}',
    '{"id": "dropped-later", "text": "This one is liked far too much to be true", "url": "u9", "score": 10}',
    '{"text": "A document that has no id of its own", "url": "u10"}',
    '["not", "an", "object"]',
]
ROWS = [
    {"id": 1, "text": RIVER, "url": "v1", "score": 1.0, "tags": ["a", "b"]},
    {"id": 2, "text": RIVER.replace("，", " "), "url": "v2", "score": None, "tags": None},
    {"id": 3, "text": RIVER[:-1] + "！", "url": "v3", "score": 2.0, "tags": []},
    {"id": 4, "text": ROSE.upper(), "url": "v4", "score": 3.5, "tags": ["c"]},
    {"id": None, "text": "A row whose id is null here", "url": "v5", "score": 0.5, "tags": [None]},
    {"id": 6, "text": None, "url": "v6", "score": 1.0, "tags": ["d"]},
    {"id": 7, "text": "Farm to Market Road 1501", "url": "v7", "score": 1.0, "tags": ["e"]},
    {"id": 8, "text": "Farm to Market Road 1502", "url": "v8", "score": 1.0, "tags": ["e"]},
    {"id": 9, "text": "# # # a b", "url": "v9", "score": 1.0, "tags": ["f"]},
]


def write_input(folder: Path) -> None:
    """Two shards, one of each format."""
    write_parquet(folder / "b.parquet", ROWS, SCHEMA)
    (folder / "a.jsonl").write_text("\n".join(LINES), "utf-8")  # the last line ends without a newline


def readable(output: Path) -> dict[str, str]:
    """{file: text} of everything a run wrote; tables as JSON, times and paths left out."""
    return {name: _readable(output / name, name) for name in files(output) if name != "report/performance.parquet"}


def _readable(path: Path, name: str) -> str:
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        if name == "manifest.parquet":
            # The size of a Parquet file depends on the version of pyarrow.
            table = table.drop_columns(["path", "mtime_ns", "bytes"])
        return _json({"schema": _schema(table.schema), "rows": table.to_pylist()})
    text = path.read_text("utf-8")
    if name == "recipe.toml":
        return _json(tomllib.loads(text) | {"input": ["in"], "output": "out", "executor": "serial", "workers": 0})
    if name == "report/summary.json":
        return _json({key: value for key, value in what(json.loads(text)).items() if key != "version"})
    return text


def _schema(schema: pa.Schema) -> list[str]:
    fields = [f"{field.name}: {field.type}{'' if field.nullable else ' not null'}" for field in schema]
    metadata = schema.metadata or {}
    return fields + [f"{key.decode()} = {value.decode()}" for key, value in sorted(metadata.items())]


def _json(data: Any) -> str:
    """Rows one a line, so that a difference is one line."""
    if isinstance(data, dict) and set(data) == {"schema", "rows"}:
        parts = [f'"{key}": [\n' + ",\n".join(f"  {_line(item)}" for item in data[key]) + "\n]" for key in data]
        return "{\n" + ",\n".join(parts) + "\n}\n"
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _line(item: Any) -> str:
    return json.dumps(item, ensure_ascii=False, default=lambda value: value.decode())


def test_every_file_of_the_golden_run_is_as_it_was(tmp_path: Path, executor: dict[str, Any]) -> None:
    write_input(tmp_path / "in")
    dedup.run(RECIPE, str(tmp_path / "in"), tmp_path / "out", **executor)
    found = readable(tmp_path / "out")
    assert sorted(found) == sorted(
        name.removesuffix(".json") if name != "report/summary.json" else name for name in files(GOLDEN)
    )
    for name, text in found.items():
        assert text == _golden(name).read_text("utf-8"), name


@pytest.mark.parametrize("name", ["documents/a.jsonl"])
def test_the_golden_lines_are_lines_of_the_input_but_for_one_text(name: str) -> None:
    lines = _golden(name).read_text("utf-8").split("\n")[:-1]
    assert [line for line in lines if line not in LINES] == [
        '{"id": "mojibake", "text": "The café in the town is \\"open\\"", "url": "u8", "x": [1.50, "\\u00e9"]}'
    ]


def _golden(name: str) -> Path:
    return GOLDEN / (name if name.endswith((".json", ".jsonl")) else f"{name}.json")


def main() -> None:
    """Write the expected files anew."""
    with tempfile.TemporaryDirectory() as folder:
        write_input(Path(folder, "in"))
        dedup.run(RECIPE, str(Path(folder, "in")), Path(folder, "out"), executor="serial")
        for name, text in readable(Path(folder, "out")).items():
            path = _golden(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
