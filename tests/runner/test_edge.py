"""Unusual input comes through untouched; of broken input the good part does, and the rest is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard

import dedup
from tests.runs import NEAR, read_documents, write_jsonl

pytestmark = pytest.mark.shared

NO_FOOTER = (
    "not readable as Parquet (Parquet magic bytes not found in footer. "
    "Either the file is corrupted or this is not a parquet file.)"
)
# name: rows in, rows rejected, shards rejected, null texts, exit code, reasons
INVALID: dict[str, tuple[int, int, int, int, int, dict[str, int]]] = {
    "bad_crc.jsonl.gz": (200, 0, 1, 0, 1, {"bad gzip checksum": 1}),
    "bad_line_last.jsonl": (51, 1, 0, 0, 0, {"not JSON": 1}),
    "bad_line_middle.jsonl": (201, 1, 0, 0, 0, {"not JSON": 1}),
    "garbage_tail.jsonl.gz": (200, 0, 1, 0, 1, {"garbage after the gzip data": 1}),
    "gbk_bytes.jsonl": (1, 1, 0, 0, 0, {"not UTF-8": 1}),
    "gzip_named_jsonl.jsonl": (200, 0, 0, 0, 0, {}),
    "id_duplicate.jsonl": (4, 0, 0, 0, 0, {}),
    "id_duplicate.parquet": (3, 0, 0, 0, 0, {}),
    "id_missing.jsonl": (2, 0, 0, 0, 0, {}),
    "invalid_utf8.jsonl": (4, 2, 0, 0, 0, {"not UTF-8": 2}),
    "jsonl_named_parquet.parquet": (4, 1, 0, 0, 0, {"not JSON": 1}),
    "jsonl_named_txt.txt": (4, 1, 0, 0, 0, {"not JSON": 1}),
    "mixed_schema_dir": (3, 0, 0, 0, 0, {}),
    "no_footer.parquet": (0, 0, 1, 0, 1, {NO_FOOTER: 1}),
    "not_gzip.jsonl.gz": (2, 1, 0, 0, 0, {"not JSON": 1}),  # told by content: JSONL cut at 5,000 bytes
    "not_zstd.jsonl.zst": (2, 1, 0, 0, 0, {"not JSON": 1}),
    "only_newlines.jsonl": (0, 0, 0, 0, 0, {}),
    "other_name.jsonl": (1, 1, 0, 0, 0, {"no text": 1}),
    "png_named_jsonl.jsonl": (0, 0, 1, 0, 1, {"neither JSONL nor Parquet (it holds NUL bytes)": 1}),
    "pretty_array.jsonl": (10, 10, 0, 0, 0, {"not JSON": 10}),
    "text_all_null.parquet": (1, 0, 0, 1, 0, {}),
    "text_binary_bad_utf8.parquet": (2, 1, 0, 0, 0, {"text is not UTF-8": 1}),
    "text_int.parquet": (0, 0, 1, 0, 1, {"column 'text' is of type int64": 1}),
    "text_list.jsonl": (1, 1, 0, 0, 0, {"text is a list": 1}),
    "text_list.parquet": (0, 0, 1, 0, 1, {"column 'text' is of type list<element: string>": 1}),
    "text_missing.jsonl": (3, 1, 0, 0, 0, {"no text": 1}),
    "text_missing.parquet": (0, 0, 1, 0, 1, {"no column 'text'": 1}),
    "text_null.parquet": (3, 0, 0, 1, 0, {}),
    "text_number.jsonl": (2, 1, 0, 0, 0, {"text is a number": 1}),
    "text_object.jsonl": (1, 1, 0, 0, 0, {"text is an object": 1}),
    "trailing_comma.jsonl": (1, 1, 0, 0, 0, {"not JSON": 1}),
    "truncated.jsonl.gz": (98, 0, 1, 0, 1, {"truncated": 1}),
    "truncated.jsonl.zst": (83, 0, 1, 0, 1, {"truncated": 1}),
    "zero_byte.jsonl": (0, 0, 0, 0, 0, {}),
    "zero_byte.jsonl.gz": (0, 0, 0, 0, 0, {}),
    "zero_byte.jsonl.zst": (0, 0, 0, 0, 0, {}),
    "zero_byte.parquet": (0, 0, 1, 0, 1, {"not Parquet (it is empty)": 1}),
}  # fmt: skip
VALID = {
    "bom_crlf.jsonl": 3, "dictionary_text.parquet": 3, "edge.jsonl": 89, "edge.jsonl.gz": 89, "edge.jsonl.zst": 89,
    "edge.parquet": 89, "field_order_extra.jsonl": 6, "int_ids.parquet": 2, "large_string.parquet": 2,
    "multiframe.jsonl.zst": 2, "multimember.jsonl.gz": 2, "one_doc.jsonl": 1, "surrogates.jsonl": 5,
    "zero_rows.parquet": 0,
}  # fmt: skip
KEEP_ALL = {"step": [{"use": "measure.gopher.quality"}]}
GOOD = [{"id": f"good-{n}", "text": f"the good document {n} beside the broken ones"} for n in range(3)]


def _counts(summary: dict[str, Any]) -> tuple[int, int, int, int, int, dict[str, int]]:
    names = ("rows_in", "rows_rejected", "shards_rejected", "null_text", "exit_code", "rejected_by_reason")
    return tuple(summary[name] for name in names)  # type: ignore[return-value]


def _rejected(output: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((output / "rejected").rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_the_tables_name_every_file_of_the_folders(shared: Path) -> None:
    assert sorted(path.name for path in (shared / "edge" / "invalid").iterdir()) == sorted(INVALID)
    assert sorted(path.name for path in (shared / "edge" / "valid").iterdir()) == sorted(VALID)


@pytest.mark.parametrize("name", INVALID)
def test_of_broken_input_the_good_part_comes_through_and_the_other_shard_does_not_notice(
    name: str, shared: Path, tmp_path: Path
) -> None:
    good = write_jsonl(tmp_path / "in" / "good.jsonl", GOOD)
    result = dedup.run(NEAR, [str(shared / "edge" / "invalid" / name), str(good)], tmp_path / "out", executor="serial")
    rows, rejected, shards, nulls, code, reasons = INVALID[name]
    assert _counts(result.summary) == (rows + 3, rejected, shards, nulls, code, reasons)
    assert result.summary["documents_in"] == rows + 3 - rejected
    (kept,) = (tmp_path / "out" / "documents").rglob("good.jsonl")
    assert kept.read_bytes() == good.read_bytes()
    named = _rejected(tmp_path / "out")
    assert len(named) == rejected + shards
    assert {row["path"].rpartition("/")[2] for row in named} <= {name}


def test_a_whole_folder_of_broken_input_is_named_shard_by_shard(
    shared: Path, tmp_path: Path, executor: dict[str, Any]
) -> None:
    """One run over all of them: the sums of the table (a .txt is not looked for in folders)."""
    result = dedup.run(NEAR, str(shared / "edge" / "invalid"), tmp_path / "out", **executor)
    inside = {name: row for name, row in INVALID.items() if not name.endswith(".txt")}
    sums = tuple(sum(row[i] for row in inside.values()) for i in range(4))
    assert (*_counts(result.summary)[:4], result.exit_code) == (*sums, 1)
    assert sorted({row["path"] for row in _rejected(tmp_path / "out")}) == sorted(
        name for name, row in inside.items() if row[1] or row[2]
    )


@pytest.mark.parametrize("name", ["text_missing.parquet", "other_name.jsonl"])
def test_a_text_column_that_no_shard_has_is_the_users_mistake(name: str, shared: Path, tmp_path: Path) -> None:
    with pytest.raises(dedup.DedupError, match="no shard has the text column 'text'; known: ") as caught:
        dedup.run(NEAR, str(shared / "edge" / "invalid" / name), tmp_path / "out", executor="serial")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_rejected_rows_are_named_by_row_and_byte_with_their_bytes(shared: Path, tmp_path: Path) -> None:
    path = shared / "edge" / "invalid" / "invalid_utf8.jsonl"
    dedup.run(NEAR, str(path), tmp_path / "out", executor="serial")
    lines = path.read_bytes().splitlines(keepends=True)
    assert _rejected(tmp_path / "out") == [
        {"path": path.name, "row": 1, "byte_offset": len(lines[0]), "reason": "not UTF-8", "raw": lines[1]},
        {"path": path.name, "row": 2, "byte_offset": sum(map(len, lines[:2])), "reason": "not UTF-8", "raw": lines[2]},
    ]  # fmt: skip


def test_unusual_input_comes_through_as_it_was(shared: Path, tmp_path: Path, executor: dict[str, Any]) -> None:
    valid = shared / "edge" / "valid"
    result = dedup.run(KEEP_ALL, str(valid), tmp_path / "out", **executor)
    assert _counts(result.summary) == (sum(VALID.values()), 0, 0, 0, 0, {})
    assert result.summary["documents_kept"] == sum(VALID.values())
    written = tmp_path / "out" / "documents"
    assert sorted(path.name for path in written.iterdir()) == sorted(VALID)
    for path in valid.iterdir():
        if path.suffix == ".parquet":
            assert pq.read_table(written / path.name).equals(pq.read_table(path), check_metadata=True), path.name
        else:
            assert _lines(written / path.name) == _expected_lines(path), path.name


def test_of_unusual_input_near_duplicates_are_dropped_only_for_what_stays(
    shared: Path, tmp_path: Path, executor: dict[str, Any]
) -> None:
    valid = shared / "edge" / "valid"
    inputs = [str(valid / "edge.jsonl"), str(valid / "edge.parquet")]
    result = dedup.run(NEAR, inputs, tmp_path / "out", **executor)
    assert result.summary["documents_in"] == 178
    kept = [row["text"] for row in read_documents(tmp_path / "out")]
    dropped = result.dropped.to_pylist()
    texts = [json.loads(line)["text"] for line in (valid / "edge.jsonl").read_bytes().splitlines()]
    assert sorted(kept + [row["text"] for row in dropped]) == sorted(2 * texts)
    assert {row["shard"] for row in dropped} == {"edge.jsonl", "edge.parquet"}


def _decoded(path: Path) -> bytes:
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return data


def _lines(path: Path) -> list[bytes]:
    return _decoded(path).splitlines(keepends=True)


def _expected_lines(path: Path) -> list[bytes]:
    """The lines of the input: no byte-order mark, no blank lines, a newline at the end."""
    lines = _decoded(path).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [line + b"\n" for line in lines if line.strip()]
