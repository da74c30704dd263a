"""Texts of documents of a finished output: those that stay, that went, that it was compared with."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import dedup
from dedup import sample
from dedup.report.finished import Finished, source_of
from dedup.report.texts import Text, excerpt, texts
from tests.runs import EVERYTHING, write_jsonl, write_parquet

SERIAL: dict[str, Any] = {"executor": "serial"}


def plainly(output: Path) -> dict[str, str | None]:
    """{id: text} of everything in documents/ and dropped/."""
    found: dict[str, str | None] = {}
    for path in sorted((output / "documents").rglob("*.*")):
        if path.suffix == ".parquet":
            rows = pq.read_table(path).to_pylist()
        else:
            data = path.read_bytes()
            if path.suffix == ".gz":
                data = gzip.decompress(data)
            elif path.suffix == ".zst":
                data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
            rows = [json.loads(line) for line in data.splitlines() if line]
        found |= {row["id"]: row["text"] for row in rows}
    for path in (output / "dropped").rglob("*.parquet"):
        found |= {row["id"]: row["text"] for row in pq.read_table(path).to_pylist()}
    return found


@pytest.mark.parametrize("size", [None, 20_000])
def test_every_document_has_the_text_that_stands_in_documents_or_dropped(tmp_path: Path, size: int | None) -> None:
    """In every format; with output_shard_bytes Parquet of two schemas and JSONL of three codecs share no part."""
    sample.write(tmp_path / "in")
    write_parquet(tmp_path / "in" / "k.parquet", [{"id": f"k-{n}", "text": f"alone as {n} is {n}"} for n in range(9)])
    (tmp_path / "in" / "m.jsonl").write_text(
        '\n{"id": "m-1", "text": "one two three"}\n\nno\n{"id": "m-2", "text": null}'
    )
    dedup.run(
        EVERYTHING | {"output_shard_bytes": size} if size else EVERYTHING, tmp_path / "in", tmp_path / "out", **SERIAL
    )
    finished = Finished(tmp_path / "out")
    everyone = finished.documents.select(["id", "doc_id", "drop_reason"]).to_pylist()
    found = texts(finished, [row["doc_id"] for row in everyone])
    assert {row["id"]: found[row["doc_id"]].text for row in everyone} == plainly(tmp_path / "out")
    assert {text.note for text in found.values()} == {"", "its text is null"}
    some = everyone[7::40]
    assert texts(finished, [row["doc_id"] for row in some]) == {row["doc_id"]: found[row["doc_id"]] for row in some}


def test_only_the_row_groups_that_hold_a_document_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"text": [f"document {n} is about {n} and {n + 1}" for n in range(400)]})
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "a.parquet", row_group_size=10)
    dedup.run({"step": [{"dedup": "exact"}]}, tmp_path / "in", tmp_path / "out", **SERIAL)
    read: list[int] = []
    whole = pq.ParquetFile.iter_batches

    def counting(self: Any, *args: Any, **how: Any) -> Any:
        if "text" in how["columns"]:
            read.extend(how["row_groups"])
        return whole(self, *args, **how)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counting)
    assert texts(Finished(tmp_path / "out"), [395, 25]) == {
        395: Text("document 395 is about 395 and 396"),
        25: Text("document 25 is about 25 and 26"),
    }
    assert sorted(set(read)) == [2, 39]


def test_of_a_corpus_that_was_compared_with_the_text_lies_there_as_long_as_it_does(tmp_path: Path) -> None:
    there = write_jsonl(tmp_path / "eval.jsonl", [{"text": "no"}, {"text": "A test of the harbour &amp; more."}])
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"text": "A test of the harbour & more."}])
    recipe = {"step": [{"use": "clean.fix_text"}, {"dedup": "exact"}], "against": [str(there)]}
    dedup.run(recipe, tmp_path / "in", tmp_path / "out", **SERIAL)
    finished = Finished(tmp_path / "out")
    (twin,) = finished.duplicates["duplicate_of_doc_id"].to_pylist()
    assert twin >> 40 == 1
    assert texts(finished, [twin])[twin] == Text("A test of the harbour &amp; more.", f"as it lies in {there}")
    there.write_text("{}\n")
    assert texts(finished, [twin])[twin] == Text(None, f"{there} has changed")
    there.unlink()
    assert texts(finished, [twin])[twin] == Text(None, f"{there} is not there any more")


def test_of_an_index_there_is_no_text_but_a_word(tmp_path: Path) -> None:
    rows = [{"text": "A test of the harbour."}]
    recipe = {"step": [{"dedup": "exact"}], "index": str(tmp_path / "index")}
    dedup.run(recipe, write_jsonl(tmp_path / "a.jsonl", rows), tmp_path / "one", **SERIAL)
    dedup.run(recipe, write_jsonl(tmp_path / "b.jsonl", rows), tmp_path / "out", **SERIAL)
    finished = Finished(tmp_path / "out")
    assert finished.duplicates["duplicate_of_doc_id"].to_pylist() == [None]
    assert texts(finished, [None]) == {None: Text(None, f"it is in the index {tmp_path / 'index'}, not in this output")}


def test_what_is_gone_or_never_was_is_said(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"text": "one"}, {"text": "one"}, {"text": "x" * 30}])
    dedup.run({"step": [{"dedup": "exact"}]}, tmp_path / "in", tmp_path / "out", **SERIAL)
    finished = Finished(tmp_path / "out")
    none = Text(None, "there is no such document in this output")
    assert texts(finished, [0, 3, 1 << 40]) == {0: Text("one"), 3: none, 1 << 40: none}
    assert texts(finished, [2], most=9) == {2: Text("x" * 9, "the first 9 of 30 characters")}
    for path in ("documents/a.jsonl", "dropped/a.jsonl.parquet"):
        (tmp_path / "out" / path).unlink()
    assert {number: text.note for number, text in texts(finished, [0, 1]).items()} == {
        0: f"{tmp_path / 'out' / 'documents' / 'a.jsonl'} is not there any more",
        1: f"{tmp_path / 'out' / 'dropped' / 'a.jsonl.parquet'} is not there any more",
    }


def test_sources_are_inputs_else_folders_else_shards(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "web" / "a.jsonl", [{"text": "one"}])
    write_jsonl(tmp_path / "in" / "b.jsonl", [{"text": "two"}])
    dedup.run({"step": [{"dedup": "exact"}]}, tmp_path / "in", tmp_path / "out", **SERIAL)
    assert [source_of(one) for one in Finished(tmp_path / "out").shards.values()] == ["b.jsonl", "web"]
    named = {"input": [{"name": "wiki", "path": str(tmp_path / "in" / "web")}], "step": [{"dedup": "exact"}]}
    dedup.run(named, None, tmp_path / "named", **SERIAL)
    assert [source_of(one) for one in Finished(tmp_path / "named").shards.values()] == ["wiki"]


def test_an_excerpt_shows_the_beginning_or_what_lies_around_a_place() -> None:
    assert excerpt("abc", 5) == "abc"
    assert excerpt("abcdefghij", 6) == "abcdef…"
    assert excerpt("abcdefghij", 6, at=5) == "…defghi…"
    assert excerpt("abcdefghij", 6, at=9) == "…efghij"
