"""Looking at a finished run: what is shown is what its tables say, and no document reaches the terminal raw."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dedup
from dedup import cli, sample
from dedup.errors import UserError
from dedup.report import examples, life
from dedup.report.finished import Finished
from dedup.report.visible import json_line, visible
from tests.bucket import Bucket
from tests.runs import NEAR, write_jsonl

SERIAL: dict[str, Any] = {"executor": "serial"}
ROOT = Path(__file__).parents[2]
HOSTILE = "\x1b]0;owned\x07 \x9b31m \u202egnp.exe \u2066 \x00 \r back\x7f \u2028 \U000e0041 end"
Command = Callable[..., str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart recipe on the sample corpus."""
    folder = tmp_path_factory.mktemp("inspect")
    sample.write(folder / "sample")
    dedup.run(ROOT / "configs" / "quickstart.toml", folder / "sample", folder / "out", **SERIAL)
    return folder / "out"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """What a command prints; it ends well and says nothing else."""

    def call(*arguments: object) -> str:
        capsys.readouterr()
        cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return call


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# show


def test_show_tells_of_dropped_documents_what_dropped_says(finished: Path) -> None:
    dropped = dedup.Result(str(finished)).dropped.to_pylist()
    assert len({row["drop_reason"] for row in dropped}) == 8
    shown = dedup.show(finished, n=1_000)
    assert sorted(item["id"] for item in shown) == sorted(row["id"] for row in dropped)
    by_id = {item["id"]: item for item in shown}
    for row in dropped:
        item = by_id[row["id"]]
        assert row == {name: item[name] for name in row if name in item} | item["measures"]
        column, _, bound = row["drop_reason"].partition(" < ")
        if bound:
            assert item["broke"] == {column: row[column]}
            assert row[column] < float(bound)


def test_show_chooses_by_chance_and_the_same_for_the_same_seed(finished: Path) -> None:
    ids = [[item["id"] for item in dedup.show(finished, n=n, seed=seed)] for n, seed in ((8, 0), (5, 0), (8, 1))]
    assert ids[0][:5] == ids[1]
    assert len({*ids[0], *ids[2]}) > 12
    firsts = Counter(dedup.show(finished, n=1, seed=seed)[0]["shard"] for seed in range(40))
    assert len(firsts) >= 4


def test_show_of_a_reason_and_of_a_source(finished: Path, command: Command) -> None:
    shown = lines(
        command("show", finished, "--reason", "word_count < 3", "--source", "zh-0.parquet", "-n", 99, "--json")
    )
    expected = [
        row["id"]
        for row in dedup.Result(str(finished)).dropped.to_pylist()
        if (row["drop_reason"], row["shard"]) == ("word_count < 3", "zh-0.parquet")
    ]
    assert sorted(item["id"] for item in shown) == sorted(expected)
    assert {item["source"] for item in shown} <= {"zh-0.parquet"}
    text = command("show", finished, "--reason", "hash_word_ratio > 0.1", "-n", 1).splitlines()
    assert text[1:2] == ["  dropped: hash_word_ratio > 0.1"]
    assert text[2].startswith("  hash_word_ratio = 0.")


def test_show_of_a_folder(tmp_path: Path) -> None:
    for name in ("web/a", "web/b", "books/a"):
        write_jsonl(tmp_path / "in" / f"{name}.jsonl", [{"id": f"{name}-{n}", "text": "the same"} for n in range(2)])
    dedup.run(NEAR, tmp_path / "in", tmp_path / "out", **SERIAL)
    shown = {source: sorted(item["id"] for item in dedup.show(tmp_path / "out", source=source))
             for source in ("books", "web", "web/b.jsonl")}  # fmt: skip
    webs = ["web/a-0", "web/a-1", "web/b-0", "web/b-1"]
    assert shown == {"books": ["books/a-1"], "web": webs, "web/b.jsonl": webs[2:]}


def test_show_calls_an_estimate_an_estimate(finished: Path, command: Command, tmp_path: Path) -> None:
    recipe = {"id": "id", "step": [{"dedup": "near", "verify": "signature"}]}
    dedup.run(recipe, finished.parent / "sample" / "en-0.jsonl", tmp_path / "out", **SERIAL)
    text = command("show", tmp_path / "out", "--reason", "near duplicate", "-n", 1)
    assert "  dropped: near duplicate of " in text
    assert "(estimated similarity 0." in text


def test_files_that_are_gone_or_broken_are_named(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "out")
    path = tmp_path / "out" / "dropped" / "en-0.jsonl.parquet"
    path.unlink()
    with pytest.raises(UserError, match=f"^{path} is not there any more; it is needed to look at the run$"):
        dedup.show(tmp_path / "out", n=99)
    path = tmp_path / "out" / "duplicates.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(UserError, match=f"^{path} cannot be read .*; it is needed to look at the run$"):
        dedup.clusters(tmp_path / "out")
    path.unlink()
    for look in (dedup.pairs, dedup.clusters):
        with pytest.raises(UserError, match=f"^{path} is not there any more; "):
            look(tmp_path / "out")
    with pytest.raises(UserError, match=f"^{path} is not there any more; "):
        dedup.why(tmp_path / "out", "en-30")
    for name, of in (("recipe.toml", "recipe"), ("manifest.parquet", "shards")):
        (tmp_path / "out" / name).unlink()
        with pytest.raises(UserError, match=f"{name} is not there any more; "):
            getattr(Finished(tmp_path / "out"), of)


def test_show_where_nothing_went(command: Command, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"id": "1", "text": "one"}])
    dedup.run(NEAR, tmp_path / "a.jsonl", tmp_path / "out", **SERIAL)
    assert command("show", tmp_path / "out") == "no document was dropped\n"
    assert command("pairs", tmp_path / "out") == "no document was dropped as a duplicate\n"
    assert command("clusters", tmp_path / "out") == "no document was dropped as a duplicate\n"
    assert command("clusters", tmp_path / "out", "--json") == ""


# pairs


def test_pairs_are_the_least_similar_ones_with_their_texts(finished: Path) -> None:
    result = dedup.Result(str(finished))
    rows = sorted(result.duplicates.to_pylist(), key=lambda row: (row["similarity"], row["doc_id"]))
    shown = dedup.pairs(finished, n=20)
    assert [item["id"] for item in shown] == [row["id"] for row in rows[:20]]
    texts = {row["id"]: row["text"] for row in result.dropped.to_pylist()}
    for item, row in zip(shown, rows, strict=False):
        assert item["duplicate_of"] == row["duplicate_of"]
        assert item["text"] == texts[item["id"]]
        assert dedup.jaccard(item["text"], item["duplicate_of_text"]) == pytest.approx(item["similarity"])
    below = [row["id"] for row in rows if row["similarity"] < 0.85]
    assert [item["id"] for item in dedup.pairs(finished, below=0.85, n=999)] == below
    chosen = dedup.pairs(finished, n=20, seed=1)
    assert chosen == dedup.pairs(finished, n=20, seed=1) != shown


def test_pairs_stand_side_by_side_with_words_and_chinese_characters_marked(command: Command, tmp_path: Path) -> None:
    chinese = "今天早上港口的渡轮照常开航，码头上站满了等船的人，孩子们在灯塔下面看海鸥。"
    english = "the committee met in the old harbour hall on monday evening to discuss the new timetable of the ferry"
    rows = [chinese, chinese.replace("孩", "男"), english, english.replace("old", "new")]
    write_jsonl(tmp_path / "a.jsonl", [{"id": f"d{n}", "text": text} for n, text in enumerate(rows)])
    recipe = {"text": "text", "id": "id", "step": [{"dedup": "near", "threshold": 0.7, "shingle": 3}]}
    dedup.run(recipe, tmp_path / "a.jsonl", tmp_path / "out", **SERIAL)
    text = command("pairs", tmp_path / "out")
    assert "[-孩-]" in text
    assert "{+男+}" in text
    assert "the [-old-] harbour" in text
    assert "the {+new+} harbour" in text
    assert [line for line in text.splitlines() if "stays: " in line] == [
        f"  stays: d{n:<41}went: d{n + 1}" for n in (2, 0)
    ]
    (one, _) = lines(command("pairs", tmp_path / "out", "--json"))
    assert (one["id"], one["duplicate_of"], one["kind"], one["verified"]) == ("d3", "d2", "near", True)
    assert one["differences"][1:3] == [["left", "old"], ["right", "new"]]


def test_of_a_twin_that_lies_elsewhere_there_is_a_word_instead_of_a_text(command: Command, tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "A test of the harbour, of the lighthouse and of the ferry."}]
    recipe = NEAR | {"index": str(tmp_path / "index")}
    dedup.run(recipe, write_jsonl(tmp_path / "a.jsonl", rows), tmp_path / "one", **SERIAL)
    dedup.run(recipe, write_jsonl(tmp_path / "b.jsonl", rows), tmp_path / "two", **SERIAL)
    told = f"it is in the index {tmp_path / 'index'}, not in this output"
    (pair,) = lines(command("pairs", tmp_path / "two", "--json"))
    assert (pair["duplicate_of_text"], pair["duplicate_of_note"]) == (None, told)
    assert "it is in the index" in command("pairs", tmp_path / "two")
    (cluster,) = lines(command("clusters", tmp_path / "two", "--json"))
    assert (cluster["size"], cluster["kept"], cluster["kept_note"]) == (2, "a", told)
    assert "it is in the index" in command("why", tmp_path / "two", "a")


def test_of_a_twin_that_a_later_rule_dropped_nobody_says_that_it_stays(command: Command, tmp_path: Path) -> None:
    rows = [{"id": f"d{n}", "text": "one two three four five six"} for n in range(3)]
    steps = [
        {"dedup": "exact"},
        {"use": "measure.gopher.quality"},
        {"use": "drop.when", "word_count": {"above": 5}},
    ]
    recipe = {"id": "id", "max_drop": 1.0, "step": steps}
    dedup.run(recipe, write_jsonl(tmp_path / "a.jsonl", rows), tmp_path / "out", **SERIAL)
    told = "stayed: d0, until a later step dropped it: word_count > 5"
    for shown in (["pairs"], ["clusters"], ["why", "d1"]):
        text = command(shown[0], tmp_path / "out", *shown[1:])
        assert told in " ".join(line[:49].strip() if shown[0] != "clusters" else line for line in text.splitlines())
        assert "stays" not in text
    assert [item["duplicate_of_drop_reason"] for item in dedup.pairs(tmp_path / "out")] == ["word_count > 5"] * 2
    assert dedup.clusters(tmp_path / "out")[0]["kept_text"] == rows[0]["text"]


# clusters


def test_clusters_are_the_largest_with_their_bytes_and_members(finished: Path) -> None:
    result = dedup.Result(str(finished))
    sizes = Counter(row["duplicate_of"] for row in result.duplicates.to_pylist())
    shown = dedup.clusters(finished, n=7)
    assert [item["size"] for item in shown] == [count + 1 for _, count in sizes.most_common(7)]
    texts = {row["id"]: row["text"] for row in result.dropped.to_pylist()}
    for item in shown:
        rows = [row for row in result.duplicates.to_pylist() if row["duplicate_of"] == item["kept"]]
        assert [one["id"] for one in item["members"]] == [row["id"] for row in rows]
        (kept,) = (one for one in life.why(finished, item["kept"]))
        whole = [kept["text"], *(texts[row["id"]] for row in rows)]
        assert item["bytes"] == sum(len(text.encode()) for text in whole)
        assert kept["text"].startswith(item["kept_text"].removesuffix("…"))
        least = min(rows, key=lambda row: row["similarity"])
        assert item["least_similar"] == least["id"]


def test_a_cluster_of_many_names_some_of_them(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "MEMBERS", 20)
    write_jsonl(tmp_path / "a.jsonl", [{"id": f"d{n}", "text": "the same"} for n in range(40)])
    dedup.run(NEAR, tmp_path / "a.jsonl", tmp_path / "out", **SERIAL)
    assert [len(item["members"]) for item in dedup.clusters(tmp_path / "out")] == [20]
    text = command("clusters", tmp_path / "out")
    assert text.startswith("40 documents, 320 bytes of text\n  stays: d0\n    the same\n")
    assert "d10 and 29 more" in text


# why


def test_why_tells_every_bound_that_a_document_passes_or_breaks(command: Command, tmp_path: Path) -> None:
    rules = {"word_count": {"below": 3, "above": 9}, "per_language": {"zh": {"word_count": {"below": 30}}}}
    steps = [
        {"use": "measure.language.identify"},
        {"use": "measure.gopher.quality", "words": "tokens"},
        {"use": "drop.when", **rules},
        {"use": "drop.when", "mean_word_length": {"below": 2}},
    ]
    texts = ["we went down to the harbour to watch", "this is a test of " * 4, "今天早上港口的渡轮照常开航。", None]
    write_jsonl(tmp_path / "a.jsonl", [{"id": f"d{n}", "text": text} for n, text in enumerate(texts)])
    dedup.run({"id": "id", "step": steps}, tmp_path / "a.jsonl", tmp_path / "out", **SERIAL)

    def rules_of(name: str) -> list[tuple[str, bool | None]]:
        (one,) = dedup.why(tmp_path / "out", name)
        return [(rule["rule"], rule["breaks"]) for rule in one["rules"]]

    assert rules_of("d0") == [("word_count < 3", False), ("word_count > 9", False), ("mean_word_length < 2", False)]
    assert rules_of("d1") == [("word_count < 3", False), ("word_count > 9", True), ("mean_word_length < 2", False)]
    assert rules_of("d2") == [("word_count < 30 (zh)", True), ("mean_word_length < 2", True)]
    text = command("why", tmp_path / "out", "d1").splitlines()
    assert text[1] == "  dropped: word_count > 9"
    assert "  measured by step[1] (measure.gopher.quality)" in text
    (line,) = (line for line in text if line.startswith("    word_count "))
    assert line.split("   ")[-1] == "not < 3, > 9: dropped"
    assert "its text is null" in command("why", tmp_path / "out", "d3")


def test_why_of_a_document_that_stands_for_very_many_names_some(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "NAMED", 15)
    write_jsonl(tmp_path / "a.jsonl", [{"id": f"d{n}", "text": "the same"} for n in range(40)])
    dedup.run(NEAR, tmp_path / "a.jsonl", tmp_path / "out", **SERIAL)
    text = command("why", tmp_path / "out", "d0").splitlines()
    assert text[11:13] == ["  stands for d10 (exact, similarity 1.0000)", "  stands for 29 more"]
    (one,) = lines(command("why", tmp_path / "out", "d0", "--json"))
    assert [row["id"] for row in one["stands_for"]] == [f"d{n}" for n in range(1, 16)]
    assert one["stands_for_count"] == 39


# The terminal


def strange(text: str) -> set[str]:
    """Characters that a terminal acts on or nobody sees."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n"}


def test_nothing_of_a_document_reaches_the_terminal_raw(command: Command, tmp_path: Path) -> None:
    words = " ".join(f"word{n}" for n in range(30))
    texts = [f"{HOSTILE} {words}", f"{HOSTILE} {words} {HOSTILE}", f"{HOSTILE} short", f"{HOSTILE} short"]
    write_jsonl(
        tmp_path / "in" / "a\x1b[2J.jsonl", [{"id": f"{n}{HOSTILE}", "text": text} for n, text in enumerate(texts)]
    )
    dedup.run(NEAR | {"step": [{"dedup": "near", "threshold": 0.7}]}, tmp_path / "in", tmp_path / "out", **SERIAL)
    calls = [["show"], ["pairs"], ["clusters"], ["why", f"1{HOSTILE}"]]
    for name, *more in calls:
        text = command(name, tmp_path / "out", *more)
        assert strange(text) == set()
        assert "\N{SYMBOL FOR ESCAPE}" in text
        assert "<U+202E>gnp" in text
        found = command(name, tmp_path / "out", *more, "--json")
        assert strange(found) == set()
        for item in lines(found):  # and as data it is what it was
            assert HOSTILE in (item.get("text") or item["kept_text"])


def test_signs_stand_for_what_acts_and_scripts_are_left_alone() -> None:
    assert visible("a\x1b[0m\tb\r\nc") == "a␛[0m␉b␍⏎c"
    assert visible("\x9b\x7f\u202e\u2028\ud800\ufeff") == "<U+009B>␡<U+202E><U+2028><U+D800><U+FEFF>"
    for text in ("नमस्\u200dते", "می\u200cخواهم", "港口", "e\u0301", "\U0001f468\u200d\U0001f469"):
        assert visible(text) == text
    assert json_line({"a": "\x9b\u202e\U000e0041港", "b": float("nan"), "c": [1, None]}) == (
        '{"a": "\\u009b\\u202e\\udb40\\udc41港", "b": null, "c": [1, null]}'
    )


def test_on_a_terminal_there_are_colours_and_a_pager_and_when_piped_there_are_none(
    finished: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("PAGER", "sed s/^/paged:/")
    piped = command("pairs", finished, "-n", 2)
    assert "\x1b" not in piped
    assert "{+" in piped
    here, terminal = pty.openpty()
    arguments = [sys.executable, "-m", "dedup", "pairs", str(finished), "-n", "2"]
    with subprocess.Popen(arguments, stdin=terminal, stdout=terminal, cwd=ROOT) as child:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while part := os.read(here, 1 << 16):
                shown += part
        assert child.wait() == 0
    os.close(here)
    text = shown.decode()
    assert text.count("paged:") >= 6
    assert "\x1b[1;32m" in text
    assert "{+" not in text


def test_a_run_on_a_store_is_looked_at_as_one_on_disk(s3: Bucket, finished: Path, command: Command) -> None:
    there = s3.put(finished, "out")
    for name in (["show", "-n", 5], ["pairs", "-n", 5], ["clusters", "-n", 3], ["why", "en-30"]):
        arguments = [name[0], finished, *name[1:], "--json"]
        assert command(*arguments) == command(*[there if one is finished else one for one in arguments])
