"""The tables of a report say what counting by hand says: over documents, duplicates and dropped texts."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dedup
from dedup.report import bins
from tests.runs import WORDS, write_jsonl, write_parquet

RECIPE: dict[str, Any] = {
    "id": "id",
    "measure_all": False,
    "step": [
        {"use": "clean.normalize"},
        {"use": "measure.gopher.quality", "words": "tokens"},
        {"use": "measure.language.identify"},
        {"use": "drop.when", "word_count": {"below": 30, "above": 5_000}, "hash_word_ratio": {"above": 0.4},
         "per_language": {"zh": {"word_count": {"below": 10}}}},
        {"dedup": "exact"},
        {"dedup": "near", "threshold": 0.7},
        {"use": "drop.when", "mean_word_length": {"above": 3.0}},
    ],
}  # fmt: skip


def write_input(folder: Path) -> list[dict[str, Any]]:
    rng = random.Random(7)
    rows: list[dict[str, Any]] = []
    for n in range(60):
        words = [rng.choice(WORDS) for _ in range(rng.choice([12, 45, 90]))]
        rows.append({"id": f"a{n}", "text": " ".join(words)})
        if n % 3 == 0:
            rows.append({"id": f"b{n}", "text": " ".join(words)})
        if n % 4 == 0:
            rows.append({"id": f"c{n}", "text": " ".join([*words[:-2], "changed", "at the end"])})
        if n % 5 == 0 and len(words) == 90:  # 18 of 86 shingles are others: 0.65
            rows.append({"id": f"d{n}", "text": " ".join([*words[:30], *(f"o{i:02}" for i in range(14)), *words[44:]])})
    rows.append({"id": "zh", "text": "河水从山里流出来，绕过村子，再向东流去，孩子们每天在岸边玩水。"})
    rows.append({"id": "signs", "text": "# " * 60 + "ash bay cod " * 20})
    rows.append({"id": None, "text": None})
    rng.shuffle(rows)
    write_jsonl(folder / "one" / "x" / "0.jsonl", rows[:50])
    write_parquet(folder / "one" / "y" / "0.parquet", rows[50:70])
    write_jsonl(folder / "two" / "1.jsonl", rows[70:])
    return rows


class Output:
    """A finished run with its tables as lists of rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.documents = self.rows("documents")
        self.duplicates = pq.read_table(folder / "duplicates.parquet").to_pylist()
        self.summary = json.loads((folder / "report" / "summary.json").read_text())
        self.dropped = {
            row["id"]: row
            for path in (folder / "dropped").rglob("*.parquet")
            for row in pq.read_table(path).to_pylist()
        }

    def rows(self, name: str) -> list[dict[str, Any]]:
        return pq.read_table(self.folder / "report" / f"{name}.parquet").to_pylist()

    def source(self, doc_id: int) -> str:
        return ["one", "one", "two"][doc_id >> 40]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Output:
    folder = tmp_path_factory.mktemp("tables")
    write_input(folder / "in")
    tables = [{"path": str(folder / "in" / name), "name": name} for name in ("one", "two")]
    dedup.run(RECIPE | {"input": tables}, output=folder / "out", executor="serial")
    return Output(folder / "out")


def test_the_funnel_tells_what_every_step_left(output: Output) -> None:
    gone = Counter(row["drop_reason"] for row in output.documents)
    sizes: Counter[str | None] = Counter()
    for row in output.documents:
        sizes[row["drop_reason"]] += row["text_bytes"]
    total = len(output.documents)
    first = [reason for reason in gone if reason and reason.startswith(("word_count", "hash"))]
    left = total - sum(gone[reason] for reason in first)
    exact, near = left - gone["exact duplicate"], left - gone["exact duplicate"] - gone["near duplicate"]
    found = [(row["step"], row["name"], row["documents"]) for row in output.rows("funnel")]
    assert found == [
        (None, "input", total), (0, "clean.normalize", total), (1, "measure.gopher.quality", total),
        (2, "measure.language.identify", total), (3, "drop.when", left), (4, "dedup exact", exact),
        (5, "dedup near", near), (6, "drop.when", gone[None]),
    ]  # fmt: skip
    assert len(first) >= 2
    assert total > left > exact > near > gone[None] > 0
    bytes_ = [row["bytes"] for row in output.rows("funnel")]
    whole = sum(sizes.values())
    after_rules = whole - sum(sizes[reason] for reason in first)
    after_exact = after_rules - sizes["exact duplicate"]
    assert bytes_[1:] == [
        whole, whole, whole, after_rules, after_exact, after_exact - sizes["near duplicate"], sizes[None],
    ]  # fmt: skip
    assert bytes_[0] == output.summary["bytes_in"]
    assert sizes[None] == output.summary["bytes_kept"]


def test_drops_are_counted_by_reason_source_shard_and_language(output: Output) -> None:
    names = ["one/x/0.jsonl", "one/y/0.parquet", "two/1.jsonl"]
    expected: dict[tuple[Any, ...], list[int]] = {}
    for row in output.documents:
        shard = row["doc_id"] >> 40
        key = (row["drop_reason"], output.source(row["doc_id"]), names[shard], row["language"])
        entry = expected.setdefault(key, [0, 0])
        entry[0] += 1
        entry[1] += row["text_bytes"]
    found = {
        (row["drop_reason"], row["source"], row["shard"], row["language"]): [row["documents"], row["bytes"]]
        for row in output.rows("drops")
    }
    assert found == expected
    assert {key[0] for key in found} == {*output.summary["dropped_by_reason"], None}


def test_every_document_is_in_one_bin_of_every_measure(output: Output) -> None:
    rows = output.rows("measures")
    measures = [name for name in output.documents[0] if name not in ("id", "doc_id", "drop_reason", "text_bytes")]
    assert {row["measure"] for row in rows} == {*measures}
    for row in rows:
        values = [(one[row["measure"]], one["drop_reason"] is None) for one in output.documents]
        if row["label"] is not None:
            inside = [kept for value, kept in values if value == row["label"]]
        elif row["low"] is None and row["high"] is None:
            inside = [kept for value, kept in values if value is None]
        else:
            low, high = (
                (-np.inf if row["low"] is None else row["low"]),
                (np.inf if row["high"] is None else row["high"]),
            )
            inside = [kept for value, kept in values if value is not None and low <= value < high]
        assert (row["documents_kept"], row["documents_dropped"]) == (sum(inside), len(inside) - sum(inside)), row
    for name in measures:
        own = [row["documents_kept"] + row["documents_dropped"] for row in rows if row["measure"] == name]
        assert sum(own) == len(output.documents)


def test_rules_tell_what_they_cut_alone_and_together(output: Output) -> None:
    def broken(row: dict[str, Any]) -> list[str]:
        is_chinese = row["language"] == "zh"
        bounds = [
            ("word_count < 30", not is_chinese and row["word_count"] is not None and row["word_count"] < 30),
            ("word_count < 10 (zh)", is_chinese and row["word_count"] < 10),
            ("word_count > 5000", not is_chinese and (row["word_count"] or 0) > 5000),
            ("hash_word_ratio > 0.4", (row.get("hash_word_ratio") or 0) > 0.4),
            ("mean_word_length > 3.0", (row["mean_word_length"] or 0) > 3.0),
        ]
        return [name for name, holds in bounds if holds]

    cut, alone = Counter(), Counter()
    for row in output.documents:
        names = broken(row)
        cut.update(names)
        alone.update(names if len(names) == 1 else [])
    gone = Counter(row["drop_reason"] for row in output.documents)
    found = output.rows("rules")
    measured = {*output.documents[0]}
    for row in found:
        name = row["drop_reason"]
        known = row["column"] in measured
        expected = (cut[name], alone[name]) if known else (None, None)
        assert (row["documents_cut"], row["documents_cut_alone"]) == expected, name
        assert row["documents_dropped"] == gone[name]
    assert [(row["drop_reason"], row["step"], row["bound"], row["value"], row["language"]) for row in found] == [
        ("word_count < 10 (zh)", 3, "below", "10", "zh"), ("word_count < 30", 3, "below", "30", None),
        ("word_count > 5000", 3, "above", "5000", None), ("hash_word_ratio > 0.4", 3, "above", "0.4", None),
        ("mean_word_length > 3.0", 6, "above", "3.0", None),
    ]  # fmt: skip
    never = [row["drop_reason"] for row in found if not row["documents_dropped"]]
    assert never == output.summary["rules_that_never_fired"] != []


def test_duplicates_are_counted_by_similarity_cluster_and_source(output: Output) -> None:
    similarities = Counter((row["kind"], min(int(row["similarity"] * 100 + 1e-9), 99)) for row in output.duplicates)
    found = {(row["kind"], round(row["low"] * 100)): row["duplicates"] for row in output.rows("similarities")}
    assert found == similarities
    families = Counter(row["duplicate_of"] for row in output.duplicates)
    sizes = Counter(count + 1 for count in families.values())
    assert {row["size"]: row["clusters"] for row in output.rows("clusters")} == sizes
    largest = output.rows("largest_clusters")
    assert [row["size"] for row in largest] == sorted((n + 1 for n in families.values()), reverse=True)[: len(largest)]
    bytes_ = {row["doc_id"]: row["text_bytes"] for row in output.documents}
    for row in largest:
        own = [one for one in output.duplicates if one["duplicate_of"] == row["id"]]
        assert row["size"] == len(own) + 1 == row["exact"] + row["near"] + 1
        assert row["least_similarity"] == min(one["similarity"] for one in own)
        assert row["bytes_dropped"] == sum(bytes_[one["doc_id"]] for one in own)
    matrix: dict[tuple[str, str], list[int]] = {}
    for row in output.duplicates:
        entry = matrix.setdefault((output.source(row["doc_id"]), output.source(row["duplicate_of_doc_id"])), [0, 0])
        entry[0] += 1
        entry[1] += bytes_[row["doc_id"]]
    sources = output.rows("sources")
    assert {(r["source"], r["duplicate_of_source"]): [r["duplicates"], r["bytes"]] for r in sources} == matrix
    assert len(matrix) >= 3


def test_the_least_similar_pairs_are_shown_with_both_texts(output: Output) -> None:
    near = sorted(
        (row for row in output.duplicates if row["kind"] == "near"), key=lambda row: (row["similarity"], row["doc_id"])
    )
    best: dict[str, dict[str, Any]] = {}
    for row in near:
        best.setdefault(row["duplicate_of"], row)
    pairs = [row for row in output.rows("pairs") if row["which"] == "least similar removed"]
    expected = [(row["id"], row["duplicate_of"], row["similarity"]) for row in best.values()][: len(pairs)]
    assert [(row["id"], row["other_id"], row["similarity"]) for row in pairs] == expected
    assert len(pairs) == min(10, len(best)) >= 5
    kept = {}
    for path in (output.folder / "documents").rglob("*.*"):
        rows = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else map(json.loads, path.open())
        kept |= {row["id"]: row["text"] for row in rows}
    texts = {name: row["text"] for name, row in output.dropped.items()} | kept
    assert [(row["text"], row["other_text"]) for row in pairs] == [
        (texts[row["id"]], texts[row["other_id"]]) for row in pairs
    ]


def test_the_most_similar_pairs_that_stay_are_those_that_came_nearest_to_the_threshold(output: Output) -> None:
    kept = {}
    for path in (output.folder / "documents").rglob("*.*"):
        rows = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else map(json.loads, path.open())
        kept |= {row["id"]: row["text"] for row in rows if row["id"] and row["text"]}
    names = sorted(kept)
    pairs = {}
    for n, one in enumerate(names):
        for other in names[:n]:
            similarity = dedup.jaccard(kept[one], kept[other])
            if similarity > 0.64:
                pairs[frozenset((one, other))] = similarity
    rows = output.rows("near_misses")
    found = {frozenset((row["id"], row["other_id"])): row["similarity"] for row in rows}
    assert {pair: similarity for pair, similarity in found.items() if similarity > 0.64} == pytest.approx(pairs)
    assert [row["similarity"] for row in rows] == sorted(found.values(), reverse=True)
    assert len(pairs) >= 3
    assert max(pairs.values()) < 0.7
    shown = [row for row in output.rows("pairs") if row["which"] == "most similar kept"]
    assert [row["similarity"] for row in shown] == [row["similarity"] for row in rows][: len(shown)]
    assert [(row["text"], row["other_text"]) for row in shown] == [(kept[r["id"]], kept[r["other_id"]]) for r in shown]
    assert len(shown) >= 3


def test_some_dropped_documents_of_every_reason_are_shown(output: Output) -> None:
    rows = output.rows("dropped_examples")
    counts = Counter(row["drop_reason"] for row in rows)
    gone = Counter(row["drop_reason"] for row in output.documents if row["drop_reason"])
    assert counts == {reason: min(count, 5) for reason, count in gone.items()}
    for row in rows:
        dropped = output.dropped[row["id"]]
        assert (row["drop_reason"], row["shard"], row["row"]) == (
            dropped["drop_reason"], dropped["shard"], dropped["row"],
        )  # fmt: skip
        assert row["excerpt"].rstrip("…") == dropped["text"][: len(row["excerpt"].rstrip("…"))]
        assert row["characters"] == len(dropped["text"])


@pytest.mark.parametrize(
    ("values", "bounds", "whole", "expected"),
    [
        ([0.0, 0.2, 0.9], [], False, [0.0, 0.05, 0.1, 0.95]),
        ([1.0, 2.0, 3.0], [], True, [1.0, 2.0, 3.0, 4.0]),
        ([], [], False, [0.0, 0.05, 0.1, 1.05]),
        ([5.0, 5.0], [], True, [5.0, 6.0]),
        ([3.0] * 99 + [1e6], [50.0], True, [1.0, 2.0, 3.0, 1_258_925.0]),
        ([0.001] * 99 + [0.002], [0.1], False, [0.0, 0.005, 0.01, 0.105]),
    ],
)
def test_bins_are_round_and_reach_over_values_and_bounds(
    values: list[float], bounds: list[float], whole: bool, expected: list[float]
) -> None:
    edges, grows = bins.edges(np.array(values), bounds, whole=whole)
    shown = edges.tolist() if len(edges) <= 4 else [*edges[:3].tolist(), float(edges[-1])]
    assert shown == expected
    assert (np.diff(edges) > 0).all()
    assert grows == (max(values, default=0) > 100)


def test_a_run_without_documents_has_its_tables(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.jsonl").write_text("")
    dedup.run(RECIPE, str(tmp_path / "in"), tmp_path / "out", executor="serial")
    output = Output(tmp_path / "out")
    assert [row["documents"] for row in output.rows("funnel")] == [0] * 8
    assert output.rows("pairs") == output.rows("dropped_examples") == output.rows("largest_clusters") == []
    assert isinstance(pq.read_schema(tmp_path / "out" / "report" / "drops.parquet"), pa.Schema)
