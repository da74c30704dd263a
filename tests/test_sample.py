"""The sample corpus holds what it says: its answers are known from construction, here they are compared."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import ftfy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from dedup import clean, drop, recipe, sample
from dedup.measure import gopher
from tests import naive

FIX_TEXT = ftfy.TextFixerConfig(fix_character_width=False, uncurl_quotes=False)

QUICKSTART = Path(__file__).parents[1] / "configs" / "quickstart.toml"


class Sample(NamedTuple):
    folder: Path
    answers: sample.Answers
    raw: dict[str, str | None]  # id -> text as read, in the order of a run
    texts: dict[str, str | None]  # id -> text after fix_text
    shards: dict[str, list[str]]  # shard -> ids
    bad_lines: list[str]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("sample")
    answers = sample.write(folder)
    raw: dict[str, str | None] = {}
    shards = {}
    bad_lines: list[str] = []
    for path in sorted(folder.iterdir()):
        rows = read(path, bad_lines)
        assert not raw.keys() & {row["id"] for row in rows}
        raw |= {row["id"]: row["text"] for row in rows}
        shards[path.name] = [row["id"] for row in rows]
    texts = {name: None if text is None else ftfy.fix_text(text, FIX_TEXT) for name, text in raw.items()}
    return Sample(folder, answers, raw, texts, shards, bad_lines)


def read(path: Path, bad_lines: list[str]) -> list[dict]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    rows = []
    for line in json_bytes(path).decode().split("\n"):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            bad_lines.append(line)
    return rows


def json_bytes(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(content)
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read()
    return content


@pytest.fixture(scope="module")
def similarity(corpus: Sample):
    """The Jaccard similarity of two documents by id, after fix_text."""

    @cache
    def shingles(name: str) -> naive.Shingles:
        return naive.shingles(corpus.texts[name] or "")

    def of(a: str, b: str) -> float:
        both, either = shingles(a) & shingles(b), shingles(a) | shingles(b)
        return len(both) / len(either) if both else 0.0

    return of


def test_every_duplicate_is_known_and_nothing_else_is_one(corpus: Sample) -> None:
    names = list(corpus.texts)
    found = naive.near(list(corpus.texts.values()), threshold=0.8)
    assert {names[i]: names[j] for i, j, _, kind in found if kind == "near"} == corpus.answers["near"]
    assert {names[i]: names[j] for i, j, _, kind in found if kind == "exact"} == corpus.answers["exact"]


def test_the_counts_are_those_of_the_files(corpus: Sample) -> None:
    assert {shard: len(names) for shard, names in corpus.shards.items()} == corpus.answers["shards"]
    assert list(corpus.answers["shards"]) == sorted(corpus.answers["shards"])
    assert len(corpus.raw) == corpus.answers["documents"] == 462
    assert [name for name, text in corpus.raw.items() if text is None] == ["null-text"]
    assert len(corpus.bad_lines) == corpus.answers["rejected"] == 1
    assert sum(path.stat().st_size for path in corpus.folder.iterdir()) < 1_500_000


def test_two_writes_give_the_same_bytes(corpus: Sample, tmp_path: Path) -> None:
    assert sample.write(tmp_path / "again") == corpus.answers
    for path in corpus.folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_no_pair_is_near_the_threshold_but_those_of_the_chains(corpus: Sample, similarity) -> None:
    by_name = {"chain": [], "notice": [], "half-rewritten": [], "other": []}
    for a, b in itertools.combinations(corpus.texts, 2):
        value = similarity(a, b)
        if value < 0.5:
            continue
        kind = next((kind for kind in by_name if a.startswith(kind) and b.startswith(kind)), "other")
        by_name[kind].append((value, a, b))
    assert {round(value, 2) for value, _, _ in by_name["chain"]} <= {
        0.7,
        0.71,
        0.72,
        0.76,
        0.83,
        0.84,
        0.85,
        0.9,
        0.91,
    }
    assert [(value, a, b) for value, a, b in by_name["notice"] if value > 0.7] == []
    duplicate_of = corpus.answers["near"] | corpus.answers["exact"]

    def root(name: str) -> str:
        return duplicate_of.get(name, name)

    assert [(value, a, b) for value, a, b in by_name["other"] if root(a) != root(b) or value < 0.85] == []


def test_a_template_family_of_thirty_stays(corpus: Sample, similarity) -> None:
    family = [name for name in corpus.texts if name.startswith("notice-")]
    values = [similarity(a, b) for a, b in itertools.combinations(family, 2)]
    assert len(family) == 30
    assert min(values) > 0.5
    assert max(values) < 0.7


def test_another_family_is_near_duplicate_to_its_first(corpus: Sample, similarity) -> None:
    family = [name for name in corpus.texts if name.startswith("reminder-")]
    assert len(family) == 12
    assert family[0] == "reminder-00"
    assert min(similarity(family[0], name) for name in family[1:]) >= 0.85


@pytest.mark.parametrize("name", ["chain-1", "chain-2", "chain-3-middle-first"])
def test_the_ends_of_a_chain_are_not_similar(name: str, similarity) -> None:
    a, b, c = f"{name}-a", f"{name}-b", f"{name}-c"
    assert similarity(a, b) > 0.82
    assert similarity(b, c) > 0.82
    assert similarity(a, c) < 0.73


def test_the_middle_of_a_chain_that_comes_last_goes_to_its_closer_twin(corpus: Sample, similarity) -> None:
    name = "chain-4-middle-last"
    assert similarity(f"{name}-b", f"{name}-c") - similarity(f"{name}-b", f"{name}-a") > 0.04
    assert corpus.answers["near"][f"{name}-b"] == f"{name}-c"


def test_half_rewritten_documents_are_well_below_the_threshold(corpus: Sample, similarity) -> None:
    rewritten = [name for name in corpus.texts if name.startswith("half-rewritten-")]
    values = [similarity(name, name.removeprefix("half-rewritten-").removesuffix("-stays")) for name in rewritten]
    assert len(values) == 5
    assert min(values) > 0.2
    assert max(values) < 0.6


def test_width_and_spaces_differ_as_text_and_not_for_the_comparison(corpus: Sample, similarity) -> None:
    variants = {a: b for a, b in corpus.answers["near"].items() if re.match("full-width|spaced|upper-case", a)}
    assert len(variants) == 13
    assert [(a, b) for a, b in variants.items() if corpus.texts[a] == corpus.texts[b]] == []
    assert {similarity(a, b) for a, b in variants.items()} == {1.0}


def test_mojibake_is_repaired_to_the_text_of_another_document(corpus: Sample) -> None:
    garbled = [name for name in corpus.raw if name.startswith("mojibake-")]
    pairs = {name: corpus.answers["exact"].get(name, f"clean-copy-of-{name}") for name in garbled}
    assert len(pairs) == 8
    assert [name for name, clean in pairs.items() if corpus.texts[name] != corpus.raw[clean]] == []
    assert [name for name, clean in pairs.items() if corpus.raw[name] == corpus.raw[clean]] == []


def test_fix_text_leaves_all_other_documents_alone(corpus: Sample) -> None:
    changed = [name for name, text in corpus.raw.items() if text != corpus.texts[name]]
    assert [name for name in changed if not name.startswith("mojibake-")] == []


def test_short_texts_have_no_shingle_and_only_equal_ones_are_duplicates(corpus: Sample) -> None:
    short = [name for name in corpus.texts if name.startswith("short-")]
    assert [name for name in short if naive.shingles(corpus.texts[name] or "")] == []
    assert {name for name in short if name in corpus.answers["exact"]} == {
        f"short-copy-{copy}-of-short-{number}" for copy in (1, 2) for number in (0, 2, 3)
    }


def test_duplicates_span_shards_and_formats(corpus: Sample) -> None:
    shard_of = {name: shard for shard, names in corpus.shards.items() for name in names}
    for kind in ("exact", "near"):
        pairs = {(shard_of[b], shard_of[a]) for a, b in corpus.answers[kind].items()}
        assert {("en-0.jsonl", "en-1.jsonl.gz"), ("en-0.jsonl", "mixed-0.parquet")} <= pairs
        assert {("zh-0.parquet", "zh-1.jsonl.zst"), ("mixed-0.parquet", "zh-0.parquet")} <= pairs


def test_json_lines_are_odd_in_the_ways_of_real_files(corpus: Sample) -> None:
    content = json_bytes(corpus.folder / "en-0.jsonl")
    assert content.count(b"\r\n") == 1
    assert content.split(b"\n").count(b"") == 2  # a blank line, and the end of the file
    assert b'"views": 123456789012345678901234567890' in content
    assert b'{"text": "an earlier draft", ' in content
    assert b"gazette\\/north" in content
    assert b"\\u" in json_bytes(corpus.folder / "zh-1.jsonl.zst")
    assert not json_bytes(corpus.folder / "en-1.jsonl.gz").endswith(b"\n")


def test_parquet_shards_have_row_groups_and_columns_to_carry_along(corpus: Sample) -> None:
    zh, mixed = (pq.ParquetFile(corpus.folder / name) for name in ("zh-0.parquet", "mixed-0.parquet"))
    assert [zh.metadata.num_row_groups, mixed.metadata.num_row_groups] == [3, 2]
    assert {zh.metadata.row_group(0).column(i).compression for i in range(8)} == {"ZSTD"}
    assert {mixed.metadata.row_group(0).column(i).compression for i in range(5)} == {"SNAPPY"}
    assert mixed.schema_arrow.names == ["id", "text", "source", "published", "quality"]
    assert zh.schema_arrow.field("views").type == pa.int64()
    assert zh.schema_arrow.field("tags").type == pa.list_(pa.string())
    assert zh.schema_arrow.field("crawled").type == pa.timestamp("us", tz="UTC")


def test_the_quickstart_rules_drop_the_junk_and_nothing_else(corpus: Sample) -> None:
    (rules,) = (step.settings for step in recipe.load(QUICKSTART).step if step.use == "drop.when")
    batch = pa.record_batch({"text": pa.array(corpus.texts.values(), pa.large_string())})
    reasons = drop.when(gopher.quality(clean.normalize(batch), words="tokens"), **rules)["drop_reason"].to_pylist()
    dropped = dict(zip(corpus.texts, reasons, strict=True))
    assert {name for name, reason in dropped.items() if reason} == set(corpus.answers["junk"])
    fired = {reason.split()[0] for reason in reasons if reason}
    assert fired == set(rules)  # every rule has something to show


def test_normalizing_changes_no_answer(corpus: Sample) -> None:
    batch = pa.record_batch({"text": pa.array(corpus.texts.values(), pa.large_string())})
    texts = clean.normalize(batch)["text"].to_pylist()
    kept = [name not in corpus.answers["junk"] for name in corpus.texts]
    names = list(itertools.compress(corpus.texts, kept))
    found = naive.near(list(itertools.compress(texts, kept)), threshold=0.8)
    assert {names[i]: names[j] for i, j, _, kind in found if kind == "near"} == corpus.answers["near"]
    assert {names[i]: names[j] for i, j, _, kind in found if kind == "exact"} == corpus.answers["exact"]


def test_the_command_says_in_one_line_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sample"
    assert sample.main([str(folder)]) == 0
    assert capsys.readouterr().out == (
        f"{folder}: 462 documents in 5 shards, 29 exact and 55 near duplicates, 1 line that is not JSON\n"
    )
    assert sample.main([]) == 2
    assert capsys.readouterr().err == "usage: python -m dedup.sample FOLDER\n"
