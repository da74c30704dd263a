"""Runs from end to end: what comes out, that nothing is lost, and that how it is carried out does not show."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dedup
from dedup import sample
from tests import naive
from tests.runs import (
    NEAR,
    REPORT_FILES,
    WORDS,
    files,
    pairs,
    read_documents,
    tree_bytes,
    what,
    write_jsonl,
    write_parquet,
)

SERIAL: dict[str, Any] = {"executor": "serial"}
FULL = {"id": "id", "step": [{"use": "clean.fix_text"}, {"dedup": "exact"}, {"dedup": "near"}]}


def prose(seed: int, count: int = 30) -> str:
    """So many words, the same for the same seed."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(count))


def reasons(result: dedup.Result) -> dict[str, str | None]:
    """{id: drop reason} of every document."""
    table = result.documents
    return dict(zip(table["id"].to_pylist(), table["drop_reason"].to_pylist(), strict=True))


# What a run finds


def test_the_sample_corpus_gives_its_known_answers(tmp_path: Path, executor: dict[str, Any]) -> None:
    answers = sample.write(tmp_path / "in")
    result = dedup.run(FULL, str(tmp_path / "in"), tmp_path / "out", **executor)
    found = result.duplicates.to_pylist()
    assert {row["id"]: row["duplicate_of"] for row in found if row["kind"] == "exact"} == answers["exact"]
    assert {row["id"]: row["duplicate_of"] for row in found if row["kind"] == "near"} == answers["near"]
    gone = len(answers["exact"]) + len(answers["near"])
    summary = result.summary
    assert {name: summary[name] for name in ("rows_in", "documents_in", "documents_kept", "rows_rejected", "null_text", "exit_code")} == {  # noqa: E501
        "rows_in": answers["documents"] + answers["rejected"], "documents_in": answers["documents"],
        "documents_kept": answers["documents"] - gone, "rows_rejected": answers["rejected"],
        "null_text": answers["null_text"], "exit_code": 0,
    }  # fmt: skip
    assert summary["duplicates"] == {"exact": len(answers["exact"]), "near": len(answers["near"])}


def test_the_bytes_depend_neither_on_workers_nor_executor_nor_batches(tmp_path: Path) -> None:
    sample.write(tmp_path / "in")
    recipe = {"id": "id", "step": [{"use": "clean.fix_text"}, {"use": "measure.gopher.quality", "words": "tokens"},
                                   {"use": "drop.when", "word_count": {"below": 3}}, {"dedup": "near"}]}  # fmt: skip
    ways: list[dict[str, Any]] = [
        {"executor": "serial"},
        {"executor": "serial", "changes": ["batch_bytes=65536"]},
        {"executor": "serial", "changes": ["batch_bytes=100"]},
        {"executor": "local", "workers": 1, "changes": ["batch_bytes=33554432"]},
        {"executor": "local", "workers": 2, "changes": ["batch_bytes=65536"]},
        {"executor": "local", "workers": 4},
    ]
    trees = []
    for number, way in enumerate(ways):
        dedup.run(recipe, str(tmp_path / "in"), tmp_path / f"out-{number}", **way)
        trees.append(tree_bytes(tmp_path / f"out-{number}"))
    assert len(trees[0]) == 2 * 5 + 2 + len(REPORT_FILES) - 1
    for way, tree in zip(ways, trees, strict=True):
        assert tree.keys() == trees[0].keys()
        assert [name for name in tree if tree[name] != trees[0][name]] == [], way


Corpus = list[tuple[str | None, float | None]]


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    """Texts of which many are equal, similar or short, each with a number or none."""
    rng = random.Random(draw(st.integers(0, 10_000)))
    size = draw(st.integers(2, 24))
    originals = [[rng.choice(WORDS) for _ in range(rng.randint(6, 50))] for _ in range(draw(st.integers(1, 4)))]
    corpus: Corpus = []
    for _ in range(size):
        words = list(rng.choice(originals))
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        text: str | None = " ".join(words[: rng.choice([len(words), len(words), len(words) - 1, 4])])
        text = None if rng.random() < 0.05 else "" if rng.random() < 0.05 else text
        number = None if rng.random() < 0.2 else float(rng.randint(-2, 2))
        corpus.append((text, number))
    return corpus


def check_against_naive(corpus: Corpus, keep: str, formats: Sequence[str], how: dict[str, Any]) -> None:
    """Run near over the corpus in two shards and compare with all pairs compared."""
    rows = [{"id": f"{i:02}", "text": text, "score": score} for i, (text, score) in enumerate(corpus)]
    schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("score", pa.float64())])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        half = len(rows) // 2
        for number, (part, form) in enumerate(zip((rows[:half], rows[half:]), formats, strict=True)):
            path = folder / "in" / f"{number}.{form}"
            write_parquet(path, part, schema) if form == "parquet" else write_jsonl(path, part)
        recipe = {"id": "id", "step": [{"dedup": "near", "keep": keep}]}
        result = dedup.run(recipe, str(folder / "in"), folder / "out", **how)
        policy, _, column = keep.partition(":")
        texts = [text for text, _ in corpus]
        order = [score for _, score in corpus] if column else None
        expected = naive.near(texts, 0.8, 5, policy, order, sign=-1 if policy == "lowest" else 1)
        assert pairs(result) == [
            (f"{i:02}", f"{twin:02}", pytest.approx(j, abs=1e-12), kind) for i, twin, j, kind in expected
        ]
        gone = {i for i, *_ in expected}
        assert read_documents(folder / "out") == [row for i, row in enumerate(rows) if i not in gone]
        assert result.summary["null_text"] == texts.count(None)
        assert result.summary["empty_text"] == texts.count("")


POLICIES = ["first", "last", "longest", "shortest", "highest:score", "lowest:score"]


@pytest.mark.parametrize("keep", POLICIES)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(corpus=corpora(), formats=st.permutations(["jsonl", "parquet"]))
def test_every_keep_policy_drops_what_comparing_all_pairs_drops(keep: str, corpus: Corpus, formats: list[str]) -> None:
    check_against_naive(corpus, keep, formats, SERIAL)


@pytest.mark.parametrize("first", [None, 2, 1.5])
def test_the_type_of_a_column_is_what_holds_the_values_of_all_shards(first: float | None, tmp_path: Path) -> None:
    """Null alone or whole numbers in one shard, fractions in the next, in either format."""
    for number, (form, score) in enumerate([("jsonl", first), ("parquet", first), ("parquet", 1.75), ("jsonl", 1.25)]):
        write = write_jsonl if form == "jsonl" else write_parquet
        write(tmp_path / "in" / f"{number}.{form}", [{"id": f"{number}", "text": "same", "score": score}])
    recipe = {"id": "id", "step": [{"dedup": "exact", "keep": "lowest:score"}]}
    result = dedup.run(recipe, str(tmp_path / "in"), tmp_path / "out", **SERIAL)
    assert {row["duplicate_of"] for row in result.duplicates.to_pylist()} == {"3"}
    assert result.summary["shards_rejected"] == 0


@pytest.mark.parametrize("keep", ["last", "highest:score"])
def test_keep_policies_hold_under_every_executor(keep: str, executor: dict[str, Any]) -> None:
    rng = random.Random(7)
    texts = [prose(rng.randrange(8), 40) + rng.choice(["", " ash", " zoo bay"]) for _ in range(60)]
    check_against_naive([(text, rng.choice([None, 1.0, 2.0])) for text in texts], keep, ["jsonl", "jsonl"], executor)


def test_exact_on_columns_compares_these_alone_and_keeps_the_first(tmp_path: Path, executor: dict[str, Any]) -> None:
    rows = [
        {"id": "a", "url": "u1", "n": 1, "text": "one"},
        {"id": "b", "url": "u1", "n": 1, "text": "two"},
        {"id": "c", "url": "u1", "n": 2, "text": "three"},
        {"id": "d", "url": None, "n": 1, "text": "four"},
        {"id": "e", "url": None, "n": 1, "text": "four"},
        {"id": "f", "url": "u1", "n": 1, "text": "five"},
        {"id": "g", "url": "u1", "n": 1, "text": "six"},
    ]
    write_jsonl(tmp_path / "in" / "0.jsonl", rows[:3])
    write_jsonl(tmp_path / "in" / "1.jsonl", rows[3:])
    on = {"id": "id", "step": [{"dedup": "exact", "on": ["url", "n"]}]}
    result = dedup.run(on, str(tmp_path / "in"), tmp_path / "out", **executor)
    assert pairs(result) == [(name, "a", 1.0, "exact") for name in "bfg"]
    last = {"id": "id", "step": [{"dedup": "exact", "on": "url", "keep": "last"}]}
    result = dedup.run(last, str(tmp_path / "in"), tmp_path / "last", **executor)
    assert pairs(result) == [(name, "g", 1.0, "exact") for name in "abcf"]


def test_on_columns_holds_for_ties_whatever_the_texts_are(tmp_path: Path) -> None:
    """keep = "first" is by place, never by a hash of the text."""
    rows = [{"id": f"{n:02}", "url": f"u{n % 10}", "text": prose(n)} for n in range(100)]
    write_jsonl(tmp_path / "in.jsonl", rows)
    on = {"id": "id", "step": [{"dedup": "exact", "on": "url"}]}
    result = dedup.run(on, str(tmp_path / "in.jsonl"), tmp_path / "out", **SERIAL)
    assert [row["id"] for row in read_documents(tmp_path / "out")] == [f"{n:02}" for n in range(10)]
    assert result.summary["duplicates"] == {"exact": 90, "near": 0}


def test_after_adjacent_barriers_every_twin_is_a_document_that_stays(tmp_path: Path, executor: dict[str, Any]) -> None:
    base = prose(1)
    rows = [
        {"id": "a", "url": "u1", "text": base},
        {"id": "b", "url": "u2", "text": base + " ash"},
        {"id": "c", "url": "u2", "text": prose(2)},  # on: falls for b, which falls for a; its text is another
        {"id": "d", "url": "u3", "text": base + " ash"},
        {"id": "e", "url": "u4", "text": prose(3)},
    ]
    write_jsonl(tmp_path / "in" / "0.jsonl", rows[:2])
    write_jsonl(tmp_path / "in" / "1.jsonl", rows[2:])
    recipe = {"id": "id", "step": [{"dedup": "exact", "on": "url"}, {"dedup": "exact"}, {"dedup": "near"}]}
    result = dedup.run(recipe, str(tmp_path / "in"), tmp_path / "out", **executor)
    near = 26 / 27
    assert pairs(result) == [("b", "a", near, "near"), ("c", "a", None, "exact"), ("d", "a", near, "near")]
    assert [row["verified"] for row in result.duplicates.to_pylist()] == [True, False, True]
    assert [row["id"] for row in read_documents(tmp_path / "out")] == ["a", "e"]


def varied(documents: int, seed: int = 3) -> list[dict[str, Any]]:
    """Texts of some families, in each of which some words are others."""
    rng = random.Random(seed)
    texts = []
    for n in range(documents):
        words = prose(n % 6, 50 if n % 3 else 120).split()
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        texts.append(" ".join(words))
    return [{"id": f"{n:03}", "text": text} for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"threshold": 0.9}, {"threshold": 0.7}),
        ({"threshold": 0.7, "shingle": 8}, {"threshold": 0.7, "shingle": 3}),
        ({"threshold": 0.9, "scheme": "minhash"}, {"threshold": 0.75, "slots": 128}),
        ({"threshold": 0.9, "seed": 2}, {"threshold": 0.8, "verify": "signature"}),
    ],
)
def test_adjacent_near_steps_of_other_settings_find_what_runs_of_each_in_a_row_find(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    write_jsonl(tmp_path / "in.jsonl", varied(120))
    one, two = ({"dedup": "near", "keep": "longest", **settings} for settings in (first, second))
    both = dedup.run({"id": "id", "step": [one, two]}, str(tmp_path / "in.jsonl"), tmp_path / "both", **SERIAL)
    source, found = str(tmp_path / "in.jsonl"), []
    for name, step in (("one", one), ("two", two)):
        found.append(dedup.run({"id": "id", "step": [step]}, source, tmp_path / name, **SERIAL))
        source = str(tmp_path / name / "documents")
    assert read_documents(tmp_path / "both") == read_documents(tmp_path / "two")
    assert min(run.summary["duplicates"]["near"] for run in found) > 5
    twins = {row["id"]: row for run in found for row in run.duplicates.to_pylist()}
    for row in both.duplicates.to_pylist():
        its = twins[row["id"]]
        later = twins.get(its["duplicate_of"])
        if later is None:
            expected = its
        elif its["kind"] == "exact":  # the texts are equal: what its twin is like, it is like
            expected = its | {name: later[name] for name in ("duplicate_of", "similarity", "kind", "verified")}
        else:
            expected = its | {"duplicate_of": later["duplicate_of"], "similarity": None, "verified": False}
        names = ("id", "duplicate_of", "similarity", "kind", "verified")
        assert [row[name] for name in names] == [expected[name] for name in names]


# Several passes, measures, stages of one's own

SECOND = {"id": "id", "step": [
    {"use": "drop.when", "score": {"below": 0}},
    {"dedup": "near"},
    {"use": "measure.gopher.quality", "words": "tokens"},
    {"use": "drop.when", "word_count": {"above": 35}},
    {"dedup": "near", "threshold": 0.75, "keep": "last"},
]}  # fmt: skip
SECOND_ROWS = [
    {"id": "negative", "score": -1, "text": prose(1)},
    {"id": "a", "score": 1, "text": prose(1)},
    {"id": "a-near", "score": 1, "text": prose(1) + " ash"},
    {"id": "long", "score": 1, "text": prose(2, 40)},
    {"id": "a-less-near", "score": 1, "text": prose(1) + " elm fox gum hay"},  # 26 of 30 shingles: near to a
    {"id": "b", "score": 1, "text": prose(3)},
    {"id": "b-at-three-quarters", "score": 1, "text": " ".join(prose(3).split()[:-3] + ["yak", "yak", "wax"])},  # noqa: RUF005
]


def test_steps_after_a_barrier_see_what_it_left_and_later_barriers_too(
    tmp_path: Path, executor: dict[str, Any]
) -> None:
    write_jsonl(tmp_path / "in" / "0.jsonl", SECOND_ROWS[:3])
    write_jsonl(tmp_path / "in" / "1.jsonl", SECOND_ROWS[3:])
    result = dedup.run(SECOND, str(tmp_path / "in"), tmp_path / "out", **executor)
    assert reasons(result) == {
        "negative": "score < 0", "a": None, "a-near": "near duplicate", "long": "word_count > 35",
        "a-less-near": "near duplicate", "b": "near duplicate", "b-at-three-quarters": None,
    }  # fmt: skip
    assert pairs(result) == [
        ("a-less-near", "a", 26 / 30, "near"), ("a-near", "a", 26 / 27, "near"),
        ("b", "b-at-three-quarters", 23 / 29, "near"),
    ]  # fmt: skip
    counts = dict(zip(result.documents["id"].to_pylist(), result.documents["word_count"].to_pylist(), strict=True))
    # Not paid for where the document was gone before the measure.
    assert counts == {"negative": None, "a": 30, "a-near": None, "long": 40, "a-less-near": None, "b": 30,
                      "b-at-three-quarters": 30}  # fmt: skip
    assert result.summary["documents_kept"] == 2
    assert [row["id"] for row in read_documents(tmp_path / "out")] == ["a", "b-at-three-quarters"]


def test_measure_all_measures_dropped_documents_too(tmp_path: Path, executor: dict[str, Any]) -> None:
    write_jsonl(tmp_path / "in" / "0.jsonl", SECOND_ROWS[:3])
    write_jsonl(tmp_path / "in" / "1.jsonl", SECOND_ROWS[3:])
    result = dedup.run(SECOND | {"measure_all": True}, str(tmp_path / "in"), tmp_path / "out", **executor)
    assert result.documents["word_count"].to_pylist() == [30, 30, 31, 40, 34, 30, 30]
    assert list(reasons(result).values()) == [
        "score < 0", None, "near duplicate", "word_count > 35", "near duplicate", "near duplicate", None,
    ]  # fmt: skip


def test_a_text_changed_before_a_barrier_is_compared_and_written_as_changed_after_it(
    tmp_path: Path, executor: dict[str, Any]
) -> None:
    garbled = (prose(1) + " caf\N{LATIN SMALL LETTER E WITH ACUTE}").encode().decode("latin-1")
    write_jsonl(tmp_path / "in" / "0.jsonl", [{"id": "a", "text": garbled}])
    write_jsonl(
        tmp_path / "in" / "1.jsonl", [{"id": "b", "text": prose(1) + " café"}, {"id": "c", "text": "ﬁne & dandy  x"}]
    )
    recipe = {"id": "id", "step": [{"use": "clean.fix_text"}, {"dedup": "near"}, {"use": "clean.normalize"},
                                   {"use": "drop.when", "text": {"equals": "no such text"}}]}  # fmt: skip
    result = dedup.run(recipe, str(tmp_path / "in"), tmp_path / "out", **executor)
    assert pairs(result) == [("b", "a", 1.0, "exact")]
    assert read_documents(tmp_path / "out")[0] == {"id": "a", "text": prose(1) + " café"}


RULES = """
import pyarrow as pa
import pyarrow.compute as pc


def digit_ratio(batch, *, scale=1.0):
    digits = pc.count_substring_regex(batch["text"], "[0-9]")
    ratio = pc.multiply(pc.divide(pc.cast(digits, pa.float64()), pc.cast(pc.utf8_length(batch["text"]), pa.float64())), scale)
    return batch.append_column("digit_ratio", ratio)
"""  # noqa: E501


def test_a_stage_of_ones_own_beside_the_recipe_runs_in_workers_too(tmp_path: Path, executor: dict[str, Any]) -> None:
    (tmp_path / "my_rules.py").write_text(RULES)
    (tmp_path / "recipe.toml").write_text(
        'id = "id"\n[[step]]\nuse = "my_rules:digit_ratio"\nscale = 2.0\n'
        '[[step]]\nuse = "drop.when"\ndigit_ratio = { above = 1.0 }\n'
    )
    write_jsonl(tmp_path / "in" / "0.jsonl", [{"id": "a", "text": "1234"}])
    write_jsonl(tmp_path / "in" / "1.jsonl", [{"id": "b", "text": "12ab"}, {"id": "c", "text": None}])
    result = dedup.run(tmp_path / "recipe.toml", str(tmp_path / "in"), tmp_path / "out", **executor)
    assert result.documents["digit_ratio"].to_pylist() == [2.0, 1.0, None]
    assert reasons(result) == {"a": "digit_ratio > 1.0", "b": None, "c": None}


# Rows survive untouched


def test_unchanged_lines_keep_their_bytes_and_changed_ones_differ_in_the_text_alone(
    tmp_path: Path, executor: dict[str, Any]
) -> None:
    same = [
        b'{"id": "a",  "n": 123456789012345678901234567890, "text": "\\u0061b\\/c", "f": 1.50e3}\n',
        b'  {"text":"\xe4\xbd\xa0\xe5\xa5\xbd","id":"b"}\t\r\n',
    ]
    before = b'{"text": "first", "id": "c", "x": 1e400, "text" : "caf\xc3\x83\xc2\xa9 \\u00e9", "z": "\\u00e9"}'
    after = b'{"text": "first", "id": "c", "x": 1e400, "text" : "caf\xc3\xa9 \xc3\xa9", "z": "\\u00e9"}\n'
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.jsonl").write_bytes(b"\xef\xbb\xbf" + same[0] + b"\n" + same[1] + before)
    write_jsonl(tmp_path / "in" / "1.jsonl", [{"text": "x"}])
    dedup.run({"step": [{"use": "clean.fix_text"}]}, str(tmp_path / "in"), tmp_path / "out", **executor)
    assert (tmp_path / "out" / "documents" / "0.jsonl").read_bytes() == b"".join(same) + after


def test_parquet_keeps_schema_metadata_codecs_columns_and_row_groups(tmp_path: Path, executor: dict[str, Any]) -> None:
    fields = [
        pa.field("meta", pa.struct([("k", pa.int8()), ("tags", pa.list_(pa.string()))])),
        pa.field("text", pa.string(), metadata={"role": "body"}),
        pa.field("when", pa.timestamp("us", tz="UTC"), nullable=True),
        pa.field("id", pa.dictionary(pa.int32(), pa.string())),
        pa.field("price", pa.decimal128(10, 2)),
    ]
    schema = pa.schema(fields, metadata={"origin": "test"})
    texts = [prose(n % 6) for n in range(12)]
    table = pa.table(
        [
            [{"k": n, "tags": [str(n)] if n % 2 else None} for n in range(12)], texts, [n * 1_000 for n in range(12)],
            pa.array([f"id-{n}" for n in range(12)]).dictionary_encode(), [n for n in range(12)],  # noqa: C416
        ], schema=schema,
    )  # fmt: skip
    codecs = {
        "text": "ZSTD",
        "when": "GZIP",
        "price": "NONE",
        "id": "SNAPPY",
        "meta.k": "LZ4",
        "meta.tags.list.element": "ZSTD",
    }
    for number in range(2):
        path = tmp_path / "in" / f"{number}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path, compression=codecs, row_group_size=4)
    dedup.run({"id": "id", "step": [{"dedup": "exact"}]}, str(tmp_path / "in"), tmp_path / "out", **executor)

    source, first = pq.ParquetFile(tmp_path / "in/0.parquet"), pq.ParquetFile(tmp_path / "out/documents/0.parquet")
    assert first.schema_arrow.equals(source.schema_arrow, check_metadata=True)
    assert first.read().to_pylist() == table.slice(0, 6).to_pylist()
    assert [first.metadata.row_group(g).num_rows for g in range(first.num_row_groups)] == [4, 2]
    names = [_codecs(file) for file in (source, first)]
    assert names[0] == names[1]
    empty = pq.ParquetFile(tmp_path / "out/documents/1.parquet")
    assert (empty.num_row_groups, empty.schema_arrow.equals(source.schema_arrow, check_metadata=True)) == (0, True)


def _codecs(file: pq.ParquetFile) -> dict[str, str]:
    group = file.metadata.row_group(0)
    return {group.column(i).path_in_schema: group.column(i).compression for i in range(group.num_columns)}


def test_changed_texts_of_parquet_keep_their_column_type(tmp_path: Path, executor: dict[str, Any]) -> None:
    wrong = "cafÃ©"
    for number, kind in enumerate(
        [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()]
    ):
        column = pa.array([wrong, "fine", None])
        column = column.dictionary_encode() if pa.types.is_dictionary(kind) else column.cast(kind)
        write = tmp_path / "in" / f"{number}.parquet"
        write.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"text": column, "n": [1, 2, 3]}), write)
    dedup.run({"step": [{"use": "clean.fix_text"}]}, str(tmp_path / "in"), tmp_path / "out", **executor)
    for number in range(5):
        source, written = (pq.read_table(tmp_path / side / f"{number}.parquet") for side in ("in", "out/documents"))
        assert written.schema == source.schema
        text = "café".encode() if number == 2 else "café"
        assert written["text"].to_pylist() == [text, source["text"][1].as_py(), None]


# Nothing unaccounted for


def test_rows_and_documents_add_up_and_null_and_empty_are_counted_apart(
    tmp_path: Path, executor: dict[str, Any]
) -> None:
    (tmp_path / "in").mkdir()
    lines = ['{"text": null}', '{"text": null}', '{"text": ""}', '{"text": ""}', "", "not json", '{"text": 3}', "[1]",
             '{"other": 1}', '{"text": "a"}', '{"text": "a"}']  # fmt: skip
    (tmp_path / "in" / "0.jsonl").write_text("\n".join(lines) + "\n")
    write_jsonl(tmp_path / "in" / "1.jsonl", [{"text": "b"}])
    summary = dedup.run({"step": [{"dedup": "exact"}]}, str(tmp_path / "in"), tmp_path / "out", **executor).summary
    assert {name: summary[name] for name in ("rows_in", "documents_in", "rows_rejected", "null_text", "empty_text",
                                             "documents_kept", "documents_dropped", "bytes_in", "bytes_kept")} == {
        "rows_in": 11, "documents_in": 7, "rows_rejected": 4, "null_text": 2, "empty_text": 2,
        "documents_kept": 5, "documents_dropped": 2, "bytes_in": 3, "bytes_kept": 2,
    }  # fmt: skip
    assert summary["rejected_by_reason"] == {"no text": 1, "not JSON": 1, "not an object": 1, "text is a number": 1}
    assert summary["exit_code"] == 0


@pytest.mark.parametrize(("lines", "code"), [(10, 0), (11, 1)])
def test_more_than_ten_rejected_rows_and_more_than_their_share_are_told(lines: int, code: int, tmp_path: Path) -> None:
    (tmp_path / "0.jsonl").write_text("broken\n" * lines + '{"text": "a"}\n')
    result = dedup.run({"step": [{"dedup": "exact"}]}, str(tmp_path / "0.jsonl"), tmp_path / "out", **SERIAL)
    assert (result.exit_code, result.summary["rows_rejected"]) == (code, lines)
    allowed = dedup.run(
        {"max_rejected": 1.0, "step": [{"dedup": "exact"}]}, str(tmp_path / "0.jsonl"), tmp_path / "all", **SERIAL
    )
    assert allowed.exit_code == 0


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        ([], 0),
        ([[]], 0),
        ([["a"]], 1),
        ([["a"], [], ["b"]], 2),
        ([["same"] * 3, ["same"] * 2], 1),
        ([[None], [None]], 2),
    ],
)
def test_small_and_lopsided_corpora_come_through(
    texts: list[list[str | None]], kept: int, tmp_path: Path, executor: dict[str, Any]
) -> None:
    """An empty folder, zero rows, one document, an empty shard, all duplicates, only nulls."""
    (tmp_path / "in").mkdir()
    for number, rows in enumerate(texts):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", [{"text": text} for text in rows])
    result = dedup.run({"step": [{"dedup": "near"}]}, str(tmp_path / "in"), tmp_path / "out", **executor)
    total = sum(map(len, texts))
    assert [result.summary[name] for name in ("rows_in", "documents_in", "documents_kept", "exit_code")] == [
        total,
        total,
        kept,
        0,
    ]
    assert result.duplicates.num_rows == total - kept
    assert len(read_documents(tmp_path / "out")) == kept


# Settings of near, `limit`


def test_settings_of_near_do_what_they_say(tmp_path: Path) -> None:
    traditional, simplified = "漢語國際學習經驗長時間", "汉语国际学习经验长时间"
    rows = [
        {"id": "a", "text": prose(1, 200)}, {"id": "b", "text": prose(1, 200) + " zoo"},
        {"id": "short", "text": "Sold out"}, {"id": "short-too", "text": "sold OUT!"},
        {"id": "traditional", "text": traditional}, {"id": "simplified", "text": simplified},
    ]  # fmt: skip
    write_jsonl(tmp_path / "in.jsonl", rows)

    def found(**settings: Any) -> dict[str, str]:
        name = "-".join(f"{key}-{value}" for key, value in settings.items())
        result = dedup.run(
            {"id": "id", "step": [{"dedup": "near"} | settings]},
            str(tmp_path / "in.jsonl"),
            tmp_path / f"out-{name}",
            **SERIAL,
        )
        return {row["id"]: row["duplicate_of"] for row in result.duplicates.to_pylist()}

    assert found() == {"b": "a"}
    assert found(scheme="minhash") == {"b": "a"}
    assert found(short="whole") == {"b": "a", "short-too": "short"}
    assert found(fold_traditional=True) == {"b": "a", "simplified": "traditional"}
    assert found(verify="signature") == {"b": "a"}
    assert found(threshold=1.0) == {}
    assert found(slots=128, threshold=0.9, shingle=3) == {"b": "a"}


def test_signature_verification_says_so(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "in.jsonl", [{"id": "a", "text": prose(1, 400)}, {"id": "b", "text": prose(1, 400) + " zoo zoo"}]
    )
    recipe = {"id": "id", "step": [{"dedup": "near", "verify": "signature"}]}
    (row,) = dedup.run(recipe, str(tmp_path / "in.jsonl"), tmp_path / "out", **SERIAL).duplicates.to_pylist()
    assert (row["id"], row["duplicate_of"], row["kind"], row["verified"]) == ("b", "a", "near", False)
    assert row["similarity"] == pytest.approx(396 / 398, abs=0.05)


def test_limit_takes_the_first_documents_of_every_shard(tmp_path: Path, executor: dict[str, Any]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.jsonl").write_text('{"text": "a"}\nbroken\n{"text": "b"}\nbroken too\n{"text": "a"}\n')
    write_parquet(tmp_path / "in" / "1.parquet", [{"text": text} for text in ("a", "c", "d")])
    result = dedup.run({"step": [{"dedup": "exact"}]}, str(tmp_path / "in"), tmp_path / "out", limit=2, **executor)
    assert [result.summary[n] for n in ("rows_in", "documents_in", "documents_kept", "rows_rejected")] == [5, 4, 3, 1]
    assert [row["text"] for row in read_documents(tmp_path / "out")] == ["a", "b", "c"]
    with pytest.raises(dedup.DedupError, match="limit is 0; it is at least 1 document a shard"):
        dedup.run({"step": []}, str(tmp_path / "in"), tmp_path / "none", limit=0)


# Ids and names


def test_documents_without_an_id_are_named_by_path_and_row(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "en" / "0.jsonl", [{"text": "a"}, {"text": "a", "id": None}, {"text": "a", "id": 7}])
    write_jsonl(tmp_path / "in" / "zh" / "0.jsonl", [{"text": "a", "id": "z"}])
    result = dedup.run({"id": "id", "step": [{"dedup": "exact"}]}, str(tmp_path / "in"), tmp_path / "out", **SERIAL)
    assert pairs(result) == [(name, "en/0.jsonl#0", 1.0, "exact") for name in ("7", "en/0.jsonl#1", "z")]
    assert result.duplicates["doc_id"].to_pylist() == [1, 2, 1 << 40]
    assert [name for name in files(tmp_path / "out") if name.startswith("d")] == [
        "documents/en/0.jsonl", "documents/zh/0.jsonl", "dropped/en/0.jsonl.parquet", "dropped/zh/0.jsonl.parquet",
        "duplicates.parquet",
    ]  # fmt: skip


def test_files_of_one_name_keep_their_folders(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_jsonl(tmp_path / name / "0.jsonl", [{"text": name}])
    both = [str(tmp_path / "x" / "0.jsonl"), str(tmp_path / "y" / "0.jsonl")]
    dedup.run({"step": []}, both, tmp_path / "out", **SERIAL)
    assert [row["text"] for row in read_documents(tmp_path / "out")] == ["x", "y"]
    assert (tmp_path / "out" / "documents" / "x" / "0.jsonl").exists()


# Reruns


@pytest.fixture
def small(tmp_path: Path) -> Path:
    for number in range(2):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", [{"id": f"{number}-{n}", "text": prose(n)} for n in range(4)])
    return tmp_path


def test_running_a_finished_run_again_changes_nothing(small: Path, executor: dict[str, Any]) -> None:
    first = dedup.run(NEAR, str(small / "in"), small / "out", **executor)
    times = {name: (small / "out" / name).stat().st_mtime_ns for name in files(small / "out")}
    again = dedup.run(NEAR, str(small / "in"), small / "out", **executor)
    assert again.summary == first.summary
    assert {name: (small / "out" / name).stat().st_mtime_ns for name in files(small / "out")} == times


def test_a_finished_run_leaves_its_layout_and_no_more(small: Path, executor: dict[str, Any]) -> None:
    dedup.run(NEAR, str(small / "in"), small / "out", **executor)
    assert files(small / "out") == [
        "documents/0.jsonl", "documents/1.jsonl", "dropped/0.jsonl.parquet", "dropped/1.jsonl.parquet",
        "duplicates.parquet", "manifest.parquet", "recipe.toml", *REPORT_FILES,
    ]  # fmt: skip
    assert not (small / "out" / "work").exists()


def test_a_changed_input_gives_what_a_fresh_run_gives(small: Path, executor: dict[str, Any]) -> None:
    dedup.run(NEAR, str(small / "in"), small / "out", keep_work=True, **executor)
    write_jsonl(small / "in" / "1.jsonl", [{"id": "new", "text": prose(9)}])
    (small / "in" / "0.jsonl").rename(small / "in" / "2.jsonl")
    dedup.run(NEAR, str(small / "in"), small / "out", **executor)
    dedup.run(NEAR, str(small / "in"), small / "fresh", **executor)
    assert tree_bytes(small / "out") == tree_bytes(small / "fresh")


def test_a_changed_recipe_is_refused_and_what_is_there_stays(small: Path) -> None:
    dedup.run(NEAR, str(small / "in"), small / "out", keep_work=True, **SERIAL)
    before = tree_bytes(small / "out")
    with pytest.raises(
        dedup.DedupError, match=r"out holds the output of another recipe \(.*recipe.toml\); choose another"
    ) as e:
        dedup.run(NEAR, str(small / "in"), small / "out", changes=["threshold=0.9"], **SERIAL)
    assert e.value.exit_code == 2
    assert tree_bytes(small / "out") == before


def test_work_left_by_another_recipe_is_never_used(small: Path) -> None:
    """An unfinished run's folder may be taken over; its tasks may not."""
    dedup.run(NEAR, str(small / "in"), small / "out", keep_work=True, **SERIAL)
    for name in ("documents", "dropped", "report"):
        shutil.rmtree(small / "out" / name)
    (small / "out" / "duplicates.parquet").unlink()
    other = {"id": "id", "step": [{"dedup": "exact", "keep": "last"}]}
    dedup.run(other, str(small / "in"), small / "out", **SERIAL)
    dedup.run(other, str(small / "in"), small / "fresh", **SERIAL)
    assert tree_bytes(small / "out") == tree_bytes(small / "fresh")


def test_a_changed_module_of_ones_own_is_not_taken_for_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "my_rules.py").write_text(RULES)
    (tmp_path / "recipe.toml").write_text('[[step]]\nuse = "my_rules:digit_ratio"\n')
    write_jsonl(tmp_path / "in" / "0.jsonl", [{"text": "1a"}])
    first = dedup.run(tmp_path / "recipe.toml", str(tmp_path / "in"), tmp_path / "out", keep_work=True, **SERIAL)
    assert first.documents["digit_ratio"].to_pylist() == [0.5]
    before = (tmp_path / "my_rules.py").stat()
    (tmp_path / "my_rules.py").write_text(RULES.replace("scale=1.0", "scale=4.0"))
    os.utime(tmp_path / "my_rules.py", ns=(before.st_atime_ns, before.st_mtime_ns))  # within the clock's tick
    script = (
        "import dedup, sys; print(dedup.run(*sys.argv[1:], executor='serial').documents['digit_ratio'].to_pylist())"
    )
    arguments = [str(tmp_path / name) for name in ("recipe.toml", "in", "out")]
    again = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert again.stdout == "[2.0]\n"


# What is refused


def test_a_rule_that_drops_nearly_everything_stops_the_run_and_publishes_nothing(
    small: Path, executor: dict[str, Any]
) -> None:
    recipe = {
        "step": [
            {"use": "measure.gopher.quality", "words": "tokens"},
            {"use": "drop.when", "word_count": {"below": 50}},
            {"dedup": "near"},
        ]
    }
    with pytest.raises(
        dedup.DedupError,
        match=r"rules dropped 8 of 8 documents \(100.0%\), most by 'word_count < 50' \(8\); nothing was published",
    ) as e:
        dedup.run(recipe, str(small / "in"), small / "out", **executor)
    assert (type(e.value).__name__, e.value.exit_code) == ("DropLimitError", 3)
    assert [n for n in files(small / "out") if not n.startswith("work/")] == ["manifest.parquet", "recipe.toml"]
    result = dedup.run(recipe, str(small / "in"), small / "out", changes=["max_drop=1.0"], **executor)
    assert result.summary["documents_kept"] == 0


def test_an_output_that_is_something_else_is_refused(small: Path) -> None:
    (small / "other").mkdir()
    (small / "other" / "precious.txt").write_text("mine")
    with pytest.raises(dedup.DedupError, match="other is not empty and not the output of a run; choose another output"):
        dedup.run(NEAR, str(small / "in"), small / "other", **SERIAL)
    with pytest.raises(dedup.DedupError, match="is a file; the output is a folder"):
        dedup.run(NEAR, str(small / "in"), small / "other" / "precious.txt", **SERIAL)
    assert files(small / "other") == ["precious.txt"]


def test_an_output_around_the_input_is_refused(small: Path) -> None:
    with pytest.raises(dedup.DedupError, match="lies in the output folder"):
        dedup.run(NEAR, str(small / "in"), small, **SERIAL)


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ({"txet": "text"}, "recipe has no key 'txet'; did you mean 'text'?"),
        ({"text": "txt"}, "no shard has the text column 'txt'; did you mean 'text'?"),
        ({"id": "urlx"}, "no shard has the id column 'urlx'; did you mean 'url'?"),
        ({"step": [{"use": "clean.fix_txt"}]}, "step[0]: there is no stage 'clean.fix_txt'; did you mean 'clean.fix_text'?"),  # noqa: E501
        ({"step": [{"use": "clean.normalize", "from": "NFC"}]}, "step[0] (clean.normalize) has no parameter 'from'; did you mean 'form'?"),  # noqa: E501
        ({"step": [{"dedup": "nearly"}]}, "step[0]: dedup is 'nearly'; it is one of exact, near"),
        ({"step": [{"dedup": "near", "treshold": 0.9}]}, "step[0] (near) has no key 'treshold'; did you mean 'threshold'?"),  # noqa: E501
        ({"step": [{"dedup": "near", "threshold": 1.2}]}, "step[0] (near): threshold is 1.2; a Jaccard threshold lies in [0.7, 1.0]"),  # noqa: E501
        ({"step": [{"dedup": "near", "keep": "best"}]}, "step[0] (near): keep is 'best'; it is one of first, last, longest, shortest, highest:<column>, lowest:<column>"),  # noqa: E501
        ({"step": [{"dedup": "near", "keep": "highest:scroe"}]}, "step[0] (near): no step makes a column 'scroe' and no shard has it; did you mean 'score'?"),  # noqa: E501
        ({"step": [{"dedup": "exact", "on": "urll"}]}, "step[0] (exact): no step makes a column 'urll' and no shard has it; did you mean 'url'?"),  # noqa: E501
        ({"step": [{"use": "drop.when", "word_count": {"below": 5}}]}, "step[0] (drop.when): no step makes a column 'word_count' and no shard has it; "),  # noqa: E501
        ({"step": [{"use": "measure.gopher.quality", "words": "tokens"}, {"use": "drop.when", "word_cont": {"below": 5}}]}, "step[1] (drop.when): no step makes a column 'word_cont' and no shard has it; did you mean 'word_count'?"),  # noqa: E501
        ({"step": [{"use": "drop.when", "zzzzz": {"below": 5}}]}, "step[0] (drop.when): no step makes a column 'zzzzz' and no shard has it; known: drop_reason, id, score, text, url"),  # noqa: E501
        ({"step": [{"use": "drop.when", "score": {"bellow": 5}}]}, "step[0] (drop.when): score has no bound 'bellow'; did you mean 'below'?"),  # noqa: E501
        ({"step": [{"use": "drop.when", "url": {"below": 5}}]}, "step[0] (drop.when): url is of type large_string; below needs a column of numbers"),  # noqa: E501
        ({"step": [{"use": "drop.when", "dedup": "near"}]}, 'step[0] has to say either use = "..." or dedup = "exact" or "near"'),  # noqa: E501
        ({"step": [{"use": "no_such_module:f"}]}, "no_such_module: no such module beside the recipe"),
        ({"executor": "rai"}, "executor is 'rai'; did you mean 'ray'?"),
        ({"max_drop": 2}, "max_drop is 2; it is a share in [0, 1]"),
        ({"input": "nothing/*.jsonl"}, "nothing/*.jsonl: matches no file"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_any_data_is_read_with_what_would_be_right(
    recipe: dict[str, Any], text: str, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [{"id": "a", "url": "u", "score": 1.5, "text": "x"}])
    given_input = None if "input" in recipe else str(path)
    with pytest.raises(dedup.DedupError) as e:
        dedup.run(recipe, given_input, tmp_path / "out")
    assert (e.value.exit_code, str(e.value)[: len(text)]) == (2, text)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "out").exists()


def test_the_recipe_as_run_has_every_default_and_gives_the_same(small: Path) -> None:
    dedup.run(NEAR, str(small / "in"), small / "out", **SERIAL)
    dedup.run(small / "out" / "recipe.toml", None, small / "again", **SERIAL)
    assert tree_bytes(small / "again") == tree_bytes(small / "out")
    text = (small / "out" / "recipe.toml").read_text()
    assert [key in text for key in ("threshold = 0.8", "shingle = 5", 'keep = "first"', "max_drop = 0.95")] == [
        True
    ] * 4
    assert what(json.loads((small / "out/report/summary.json").read_text()))["documents_in"] == 8


def test_large_numbers_in_json_are_compared_by_all_their_digits(tmp_path, executor):
    """As doubles 9007199254740993 and ...992 are one number; as keys they are two."""
    lines = [
        f'{{"text": "text number {i}", "n": {n}}}' for i, n in enumerate([2**53, 2**53 + 1, 2**53, 10**30, 10**30 + 1])
    ]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(lines))
    result = dedup.run({"step": [{"dedup": "exact", "on": "n"}]}, tmp_path / "in", tmp_path / "out", **executor)
    assert result.duplicates["id"].to_pylist() == ["a.jsonl#2"]


def test_a_column_compared_across_formats_has_one_type(tmp_path, executor):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.jsonl").write_text('{"text": "one", "n": 7}\n{"text": "two", "n": "8"}\n')
    pq.write_table(pa.table({"text": ["three", "four"], "n": [7, 9]}), tmp_path / "in" / "a.parquet")
    result = dedup.run({"step": [{"dedup": "exact", "on": "n"}]}, tmp_path / "in", tmp_path / "out", **executor)
    assert result.duplicates.select(["id", "duplicate_of"]).to_pylist() == [
        {"id": "b.jsonl#0", "duplicate_of": "a.parquet#0"}
    ]


def test_a_finished_run_whose_files_were_removed_is_done_again(tmp_path, executor):
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"text": "one"}, {"text": "two"}])
    arguments = ({"step": [{"dedup": "near"}]}, tmp_path / "in", tmp_path / "out")
    dedup.run(*arguments, **executor)
    written = (tmp_path / "out" / "documents" / "a.jsonl").read_bytes()
    (tmp_path / "out" / "documents" / "a.jsonl").unlink()
    dedup.run(*arguments, **executor)
    assert (tmp_path / "out" / "documents" / "a.jsonl").read_bytes() == written


def test_words_are_cut_anew_from_a_text_that_a_stage_changed(tmp_path: Path, executor: dict[str, Any]) -> None:
    """Of rows that are dropped already and of others: a stage of one's own and one of ours change the text."""
    (tmp_path / "my_rules.py").write_text(
        "import pyarrow.compute as pc\n"
        "def shout(batch):\n"
        "    at = batch.schema.get_field_index('text')\n"
        "    return batch.set_column(at, batch.schema.field(at), pc.replace_substring(batch['text'], 'x', ' y y '))\n"
    )
    quality = '[[step]]\nuse = "measure.gopher.quality"\nwords = "tokens"\n'
    rule = '[[step]]\nuse = "drop.when"\nword_count = { below = 2 }\n'
    lines = '[[step]]\nuse = "clean.drop_lines"\nterminal_marks = ""\nwords_below = 3\n'
    write_jsonl(tmp_path / "in.jsonl", [{"text": "axb axb one"}, {"text": "a"}, {"text": "a b c\nd"}])
    for number, change in enumerate((lines, '[[step]]\nuse = "my_rules:shout"\n')):
        (tmp_path / "recipe.toml").write_text(quality + rule + change + quality)
        result = dedup.run(tmp_path / "recipe.toml", str(tmp_path / "in.jsonl"), tmp_path / str(number), **executor)
        assert result.documents["word_count"].to_pylist() == ([3, 1, 3], [9, 1, 4])[number]


# Parquet shards of which a part cannot be decoded


def spoil(path: Path, group: int, share: float) -> None:
    """Overwrite the end of the text column of a row group, `share` of it, with zeros."""
    place = pq.read_metadata(path).row_group(group).column(1)
    end = place.data_page_offset + place.total_compressed_size
    size = int(place.total_compressed_size * share)
    whole = bytearray(path.read_bytes())
    whole[end - size : end] = bytes(size)
    path.write_bytes(whole)


def test_of_a_shard_with_a_broken_row_group_near_duplicates_before_it_are_found(
    tmp_path: Path, executor: dict[str, Any]
) -> None:
    """Their texts are fetched from the shard again, and reading on would meet the group that cannot be decoded."""
    long = " ".join(f"word{n}" for n in range(200))
    rows = [{"id": str(n), "text": f"{long} {n}" if n < 4 else f"{n} of the third group"} for n in range(6)]
    path = tmp_path / "in" / "0.parquet"
    path.parent.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2, use_dictionary=False)
    spoil(path, 2, 1.0)
    write_jsonl(tmp_path / "in" / "1.jsonl", [{"id": "6", "text": "another shard"}])
    result = dedup.run(NEAR, str(tmp_path / "in"), tmp_path / "out", **executor)
    assert [(gone, twin) for gone, twin, *_ in pairs(result)] == [("1", "0"), ("2", "0"), ("3", "0")]
    assert [row["id"] for row in read_documents(tmp_path / "out")] == ["0", "6"]
    assert (result.summary["shards_rejected"], result.exit_code) == (1, 1)


def test_of_a_row_group_that_breaks_after_some_batches_nothing_is_left(
    tmp_path: Path, executor: dict[str, Any]
) -> None:
    rows = [{"id": str(n), "text": f"{n} " * 300} for n in range(1_000)]
    path = tmp_path / "in" / "0.parquet"
    path.parent.mkdir()
    small_pages: dict[str, Any] = {"use_dictionary": False, "data_page_size": 4096, "write_batch_size": 16}
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd", **small_pages)
    spoil(path, 0, 0.5)
    write_jsonl(tmp_path / "in" / "1.jsonl", [{"id": "6", "text": "another shard"}])
    result = dedup.run(NEAR | {"batch_bytes": 65536}, str(tmp_path / "in"), tmp_path / "out", **executor)
    assert [row["id"] for row in read_documents(tmp_path / "out")] == ["6"]
    assert (result.summary["documents_in"], result.summary["shards_rejected"]) == (1, 1)


def test_the_summary_says_what_each_step_saw_and_each_part_cost(tmp_path: Path, executor: dict[str, Any]) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [{"text": f"text number {i // 2} " * (i % 3)} for i in range(40)])
    recipe = {
        "step": [
            {"use": "measure.gopher.quality"},
            {"use": "drop.when", "word_count": {"below": 1}},
            {"dedup": "exact"},
            {"use": "clean.normalize"},
        ]
    }
    summary = dedup.run(recipe, path, tmp_path / "out", **executor).summary
    seen = {count["step"]: count["rows"] for count in summary["seen_by_steps"]}
    assert seen == {0: 40, 1: 40, 3: summary["documents_kept"]}
    spent = summary["cpu_seconds_by_part"]
    assert list(spent)[:3] == ["scan 0", "step[0] (measure.gopher.quality)", "step[1] (drop.when)"]
    assert {"match equal", "scan 1", "step[3] (clean.normalize)", "write"} < set(spent)
    assert all(seconds >= 0 for seconds in spent.values())


def test_columns_of_the_input_that_begin_with_a_low_line_outlive_a_changed_text(
    tmp_path: Path, executor: dict[str, Any]
) -> None:
    rows = [{"_id": f"x{i // 2}", "_n": i, "text": f"number {i // 2} &amp; more"} for i in range(10)]
    path = write_jsonl(tmp_path / "in.jsonl", rows)
    steps = [{"use": "clean.fix_text"}, {"use": "drop.when", "_n": {"below": 3}}]
    steps += [{"dedup": "exact", "on": "_id", "keep": "highest:_n"}]
    dedup.run({"id": "_id", "step": steps}, path, tmp_path / "out", **executor)
    assert [row["_n"] for row in read_documents(tmp_path / "out")] == [3, 5, 7, 9]
