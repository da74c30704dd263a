"""dedup rehydrate: every row as often as its weight says, its bytes and types as they were."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dedup.errors import UserError
from dedup.runner import rehydrate as module
from dedup.runner.rehydrate import rehydrate

LINES = b'{"text": "a",  "weight": 2}\n{"weight":0,"text":"b"}\n\n{"big": NUMBER, "text": "c", "weight": 3}'


def test_lines_are_repeated_as_they_are(tmp_path: Path) -> None:
    lines = LINES.replace(b"NUMBER", b"12345678901234567890.10")
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.jsonl").write_bytes(lines)
    (tmp_path / "in" / "deep" / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    assert rehydrate([str(tmp_path / "in")], tmp_path / "out") == (6, 10)
    a, _, _, c = lines.split(b"\n")
    expected = a + b"\n" + a + b"\n" + 3 * (c + b"\n")
    assert (tmp_path / "out" / "a.jsonl").read_bytes() == expected
    assert gzip.decompress((tmp_path / "out" / "deep" / "b.jsonl.gz").read_bytes()) == expected


def test_rows_of_parquet_keep_schema_and_codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 4)
    monkeypatch.setattr(module, "GROUP_ROWS", 5)
    times = [3, 0, 1, 2] * 5
    names = pa.array([f"n{i % 3}" for i in range(20)]).dictionary_encode()
    lists = pa.array([[i] if i % 2 else None for i in range(20)])
    table = pa.table({"weight": pa.array(times, pa.int16()), "name": names, "list": lists})
    table = table.replace_schema_metadata({"of": "mine"})
    pq.write_table(table, tmp_path / "a.parquet", compression="gzip", row_group_size=7)
    assert rehydrate([str(tmp_path / "a.parquet")], tmp_path / "out") == (20, 30)
    found = pq.read_table(tmp_path / "out" / "a.parquet")
    assert found.schema.equals(pq.read_schema(tmp_path / "a.parquet"), check_metadata=True)
    assert found.to_pylist() == [row for row, n in zip(table.to_pylist(), times, strict=True) for _ in range(n)]
    assert pq.ParquetFile(tmp_path / "out" / "a.parquet").metadata.row_group(0).column(1).compression == "GZIP"


@pytest.mark.parametrize(("line", "said"), [
    (b'{"text": "a"}', "weight is None"), (b'{"weight": true}', "weight is True"), (b'{"weight": -1}', "weight is -1"),
    (b'{"weight": 1.5}', "weight is 1.5"), (b"{", "not JSON"),
])  # fmt: skip
def test_a_row_without_a_weight_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"weight": 1}\n' + line + b"\n")
    with pytest.raises(UserError, match=f"a.jsonl, line 2: {said}"):
        rehydrate([str(tmp_path / "a.jsonl")], tmp_path / "out")
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_mistakes_are_named(tmp_path: Path) -> None:
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"weight": 1}\n' * 9)[:-9])
    with pytest.raises(UserError, match=r"cut\.jsonl\.gz"):
        rehydrate([str(tmp_path / "cut.jsonl.gz")], tmp_path / "broken")
    pq.write_table(pa.table({"weights": [1], "text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"no column 'weight'; did you mean 'weights'\?"):
        rehydrate([str(tmp_path / "a.parquet")], tmp_path / "out")
    with pytest.raises(UserError, match="text is of type string; weights are whole numbers"):
        rehydrate([str(tmp_path / "a.parquet")], tmp_path / "other", "text")
    with pytest.raises(UserError, match="is there already; choose another with -o"):
        rehydrate([str(tmp_path / "a.parquet")], tmp_path)
