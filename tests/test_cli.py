"""The command: every subcommand once for real, what it prints where, how it exits, and what it says of mistakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest

from dedup import cli, recipe, sample, stages

ROOT = Path(__file__).parent.parent
QUICKSTART = ROOT / "configs" / "quickstart.toml"


class Done(NamedTuple):
    code: int
    out: str
    err: str


Dedup = Callable[..., Done]


@pytest.fixture
def dedup(capsys: pytest.CaptureFixture[str]) -> Dedup:
    """The command in this process: its exit code, stdout and stderr."""

    def call(*arguments: object) -> Done:
        capsys.readouterr()
        code = 0
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Done(code, *capsys.readouterr())

    return call


def process(*arguments: object, folder: Path = ROOT) -> Done:
    """The command as a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "dedup", *map(str, arguments)],
        capture_output=True, text=True, cwd=folder, env=environment, check=False,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "sample"
    sample.write(folder)
    return folder


@pytest.fixture(scope="module")
def finished(corpus: Path) -> Path:
    """The output of configs/quickstart.toml on the sample corpus, made by the command."""
    output = corpus.parent / "finished"
    done = process("run", QUICKSTART, "-i", corpus, "-o", output, "--workers", 2)
    assert (done.code, done.err.count("Traceback")) == (0, 0)
    assert "dropped: near duplicate" in done.out
    return output


@pytest.fixture(scope="module", autouse=True)
def _kernels_are_compiled(finished: Path) -> None:
    """A first run says on stderr that it compiles; here that one came first."""


def write_recipe(folder: Path, *steps: str, head: str = "") -> Path:
    path = folder / "recipe.toml"
    path.write_text(head + "".join(f"\n[[step]]\n{step}\n" for step in steps), "utf-8")
    return path


# Every command


def test_run_prints_what_came_in_stayed_went_and_why(dedup: Dedup, corpus: Path, finished: Path) -> None:
    done = dedup("run", QUICKSTART, "-i", corpus, "-o", finished)  # finished already: nothing is done again
    assert (done.code, done.err) == (0, "")
    table = [[cell.strip() for cell in line.split("│")] for line in done.out.splitlines() if "│" in line]
    assert table == [
        ["in", "462", "", "0.41"],
        ["dropped: near duplicate", "55", "11.9%", ""],
        ["dropped: exact duplicate", "29", "6.3%", ""],
        ["dropped: word_count < 3", "8", "1.7%", ""],
        ["dropped: alphabetic_word_ratio < 0.8", "2", "0.4%", ""],
        ["dropped: bullet_line_ratio > 0.9", "2", "0.4%", ""],
        ["dropped: ellipsis_line_ratio > 0.3", "2", "0.4%", ""],
        ["dropped: ellipsis_word_ratio > 0.1", "2", "0.4%", ""],
        ["dropped: hash_word_ratio > 0.1", "2", "0.4%", ""],
        ["kept", "360", "77.9%", "0.33"],
    ]
    assert "rejected: 1 rows, 0 shards: not JSON (1); kept in rejected/" in done.out
    assert "null texts: 1, empty texts: 1" in done.out


def test_near_drops_near_and_exact_duplicates(dedup: Dedup, corpus: Path, tmp_path: Path) -> None:
    answers = sample.write(tmp_path / "again")
    options = ["--threshold", 0.8, "--shingle", 5, "--keep", "first", "--text", "text", "--id", "id"]
    done = dedup("near", corpus, "-o", tmp_path / "out", "--executor", "serial", "--quiet", *options)
    assert done == (0, "", "")
    table = pq.read_table(tmp_path / "out" / "duplicates.parquet").to_pylist()
    of = {row["id"]: row["duplicate_of"] for row in table}
    assert len(of) == len(table)
    # What is equal or similar only once its encoding is repaired is not found without clean.fix_text.
    expected = {**answers["exact"], **answers["near"]}
    assert {key: twin for key, twin in expected.items() if of.get(key) != twin and "mojibake" not in key} == {}


def test_exact_drops_equal_columns(dedup: Dedup, corpus: Path, tmp_path: Path) -> None:
    shard = corpus / "zh-0.parquet"
    rows = pq.read_table(shard, columns=["source"])["source"].to_pylist()
    done = dedup("exact", shard, "-o", tmp_path / "out", "--on", "source", "--id", "id", "--executor", "serial")
    assert (done.code, done.err) == (0, "")
    assert len(pq.read_table(tmp_path / "out" / "duplicates.parquet")) == len(rows) - len(set(rows))


def test_exact_on_a_column_called_id(dedup: Dedup, corpus: Path, tmp_path: Path) -> None:
    shard = corpus / "zh-0.parquet"
    done = dedup("exact", shard, "-o", tmp_path / "out", "--on", "id", "--executor", "serial", "--quiet")
    assert done == (0, "", "")


def test_exact_without_columns_compares_texts(dedup: Dedup, corpus: Path, tmp_path: Path) -> None:
    done = dedup("exact", corpus, "-o", tmp_path / "out", "--executor", "serial", "--limit", 60, "--keep-work")
    assert (done.code, (tmp_path / "out" / "work").is_dir()) == (0, True)
    summary = json.loads((tmp_path / "out" / "report" / "summary.json").read_text())
    assert (summary["documents_in"], list(summary["dropped_by_reason"])) == (5 * 60, ["exact duplicate"])


def test_plan_shows_steps_bands_and_the_curve_and_reads_no_data(dedup: Dedup, corpus: Path) -> None:
    done = dedup("plan", QUICKSTART, "-i", corpus, "--no-sample")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("input    5 shards")
    assert "    30 bands of 7 rows; compared exactly from an estimate of 0.723" in lines
    assert "    J         0.50   0.60   0.70   0.75   0.80   0.85   0.90   0.95 " in lines
    assert "    detected  0.210  0.573  0.924  0.986  0.999  1.000  1.000  1.000" in lines
    assert lines[-1].startswith("adds     word_count (int64), mean_word_length (double)")


def test_plan_tells_what_a_run_takes_by_a_sample(dedup: Dedup, corpus: Path, tmp_path: Path) -> None:
    done = dedup("plan", QUICKSTART, "-i", corpus, "--memory", "2G", "--workers", 1)
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()[-4:]] == ["corpus", "memory", "disk", "time"]
    assert " of 2.0G, 1 worker, batches of 16M" in done.out
    data = json.loads(dedup("plan", QUICKSTART, "-i", corpus, "--memory", "2G", "--json").out)
    finished = dedup("run", QUICKSTART, "-i", corpus, "-o", tmp_path / "out", "--executor", "serial", "--quiet")
    summary = json.loads((tmp_path / "out" / "report" / "summary.json").read_text())
    assert finished.code == 0
    assert data["documents"] == pytest.approx(summary["documents_in"], rel=0.3)
    assert data["memory_bytes"] == 2 << 30
    assert data["temporary_bytes"] < data["disk_bytes"]


def test_plan_refuses_a_run_that_cannot_fit(dedup: Dedup, corpus: Path) -> None:
    done = dedup("plan", QUICKSTART, "-i", corpus, "--memory", "100M")
    assert done.code == 2
    assert done.err.startswith("dedup: memory is 100M; about ")
    assert " need at least " in done.err


def test_plan_takes_settings_and_needs_no_input(dedup: Dedup, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, 'dedup = "near"', head='input = "elsewhere/*.jsonl"\n')
    done = dedup("plan", recipe, "--set", "threshold=0.9")
    assert done.code == 0
    assert "threshold=0.9" in done.out


def test_plan_warns_of_a_rule_after_a_barrier(dedup: Dedup, tmp_path: Path) -> None:
    steps = ['use = "measure.gopher.quality"', 'dedup = "exact"', 'use = "drop.when"\nword_count = { below = 5 }']
    done = dedup("plan", write_recipe(tmp_path, *steps, head='input = "x.jsonl"\n'))
    assert "warning  step[2] (drop.when) drops documents after a barrier" in done.out


def life(done: Done) -> list[str]:
    assert (done.code, done.err) == (0, "")
    return done.out.splitlines()


def test_why_tells_a_dropped_duplicate_its_twin_and_how_similar(dedup: Dedup, finished: Path) -> None:
    lines = life(dedup("why", finished, "edited-copy-19-of-en-30"))
    assert lines[0] == "edited-copy-19-of-en-30   (en-0.jsonl, line 58)"
    assert lines[1] == "  dropped: near duplicate of en-30 (similarity 0.9733)"
    assert lines[2] == "  measured by step[2] (measure.gopher.quality)"
    assert lines[3].split() == ["word_count", "=", "192", "not", "<", "3"]
    assert "  stays: en-30                                     went: edited-copy-19-of-en-30" in lines
    assert any("{+Reposted from the reading room. +}The school" in line for line in lines)


def test_why_tells_a_kept_document_what_it_stands_for(dedup: Dedup, finished: Path) -> None:
    assert life(dedup("why", finished, "en-30"))[1:3] == [
        "  kept",
        "  stands for edited-copy-19-of-en-30 (near, similarity 0.9733)",
    ]
    assert "  stands for exact-copy-14-of-en-7 (exact, similarity 1.0000)" in life(dedup("why", finished, "en-7"))


def test_why_tells_the_rule_and_the_measure(dedup: Dedup, finished: Path) -> None:
    junk = next(
        row["id"]
        for row in pq.read_table(finished / "report" / "documents.parquet").to_pylist()
        if row["drop_reason"] == "hash_word_ratio > 0.1"
    )
    lines = life(dedup("why", finished, junk))
    assert lines[1] == "  dropped: hash_word_ratio > 0.1"
    ratio = next(line for line in lines if line.startswith("    hash_word_ratio "))
    assert float(ratio.split()[2]) > 0.1
    assert ratio.endswith("   > 0.1: dropped")


def test_why_tells_of_a_document_without_duplicates(dedup: Dedup, finished: Path) -> None:
    table = pq.read_table(finished / "duplicates.parquet").to_pydict()
    alone = next(f"en-{i}" for i in range(80) if f"en-{i}" not in table["duplicate_of"])
    assert life(dedup("why", finished, alone))[1] == "  kept; no document was dropped for it"


def test_why_as_json_and_by_path_and_row(dedup: Dedup, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n\n{"text": "one"}\n')
    assert dedup("exact", tmp_path / "a.jsonl", "-o", tmp_path / "out", "--executor", "serial").code == 0
    lines = life(dedup("why", tmp_path / "out", "a.jsonl#2", "--json"))
    assert [json.loads(line) for line in lines] == [
        {
            "id": "a.jsonl#2",
            "source": "a.jsonl",
            "shard": "a.jsonl",
            "row": 2,
            "drop_reason": "exact duplicate",
            "duplicate_of": "a.jsonl#0",
            "similarity": 1.0,
            "kind": "exact",
            "verified": True,
            "stands_for": [],
            "measures": {},
            "measured_by": {},
            "rules": [],
            "text": "one",
            "duplicate_of_text": "one",
            "differences": [["equal", "one"]],
            "duplicate_of_drop_reason": None,
            "stands_for_count": 0,
        }
    ]


def test_why_calls_an_estimate_an_estimate(dedup: Dedup, corpus: Path, tmp_path: Path) -> None:
    shard = corpus / "en-0.jsonl"
    more = ["--id", "id", "--executor", "serial", "--set", "verify=signature"]
    assert dedup("near", shard, "-o", tmp_path / "out", *more).code == 0
    lines = life(dedup("why", tmp_path / "out", "edited-copy-19-of-en-30"))
    assert lines[1].startswith("  dropped: near duplicate of en-30 (estimated similarity 0.9")


# --set


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("threshold=0.9", "threshold=0.9"),
        ("step.1.threshold=0.9", "threshold=0.9"),
        ("step.0.word_count.below=7", "word_count={'below': 7}"),
        ("word_count.above=9", "word_count={'below': 5, 'above': 9}"),
        ("keep=longest", "keep=longest"),
        ('step.1.keep="last"', "keep=last"),
    ],
)
def test_set_changes_a_setting(dedup: Dedup, tmp_path: Path, change: str, expected: str) -> None:
    steps = ['use = "drop.when"\nword_count = { below = 5 }', 'dedup = "near"']
    recipe = write_recipe(tmp_path, 'use = "measure.gopher.quality"', *steps, head='input = "x.jsonl"\n')
    shifted = change.replace("step.1", "step.2").replace("step.0", "step.1")
    done = dedup("plan", recipe, "--set", shifted)
    assert (done.code, done.err) == (0, "")
    assert expected in done.out


# Mistakes: (arguments, message). CORPUS, OUT, FINISHED and RECIPE are replaced.

NEAR_TWICE = ('dedup = "near"', 'use = "segment"', 'dedup = "near"')
MISTAKES = {
    "missing recipe": (
        ["run", "nope.toml"],
        "nope.toml: No such file or directory; name a .toml file or a shipped recipe; known: NAMES",
    ),
    "misspelt recipe": (
        ["run", "web-en"],
        "web-en: No such file or directory; name a .toml file or a shipped recipe; did you mean 'web_en'?",
    ),
    "no such input": (["near", "nope.jsonl", "-o", "OUT"], "nope.jsonl: no such file or folder"),
    "no match": (["near", "nope/*.jsonl", "-o", "OUT"], "nope/*.jsonl: matches no file"),
    "no output": (["near", "CORPUS"], 'the recipe names no output; write output = "out" or give -o'),
    "threshold": (
        ["near", "CORPUS", "-o", "OUT", "--threshold", "1.2"],
        "step[0] (near): threshold is 1.2; a Jaccard threshold lies in [0.7, 1.0]",
    ),
    "low threshold": (
        ["near", "CORPUS", "-o", "OUT", "--threshold", "0.5"],
        "step[0] (near): threshold is 0.5; with slots = 256 it takes 3 rows a band, and 90% of all pairs of Jaccard "
        "similarity 0.3 would become candidates. Take a threshold in [0.7, 1.0] or more slots",
    ),
    "no number": (
        ["near", "CORPUS", "-o", "OUT", "--threshold", "high"],
        "Invalid value for '--threshold': 'high' is not a valid float (see dedup near --help)",
    ),
    "shingle": (
        ["near", "CORPUS", "-o", "OUT", "--shingle", "0"],
        "step[0] (near): shingle is 0; a shingle has 1 to 100 tokens",
    ),
    "text column": (
        ["near", "CORPUS", "-o", "OUT", "--text", "txt"],
        "no shard has the text column 'txt'; did you mean 'text'?",
    ),
    "id column": (
        ["near", "CORPUS", "-o", "OUT", "--id", "ids"],
        "no shard has the id column 'ids'; did you mean 'id'?",
    ),
    "on column": (
        ["exact", "CORPUS", "-o", "OUT", "--on", "sauce"],
        "step[0] (exact): no step makes a column 'sauce' and no shard has it; did you mean 'source'?",
    ),
    "keep column": (
        ["near", "CORPUS", "-o", "OUT", "--keep", "highest:qualty"],
        "step[0] (near): no step makes a column 'qualty' and no shard has it; did you mean 'quality'?",
    ),
    "keep": (
        ["near", "CORPUS", "-o", "OUT", "--keep", "best"],
        "step[0] (near): keep is 'best'; it is one of first, last, longest, shortest, highest:<column>, "
        "lowest:<column>",
    ),
    "other recipe": (
        ["near", "CORPUS", "-o", "FINISHED"],
        "FINISHED holds the output of another recipe (FINISHED/recipe.toml); choose another output",
    ),
    "not ours": (
        ["near", "CORPUS/en-0.jsonl", "-o", "STRANGE"],
        "STRANGE is not empty and not the output of a run; choose another output",
    ),
    "a file": (["near", "CORPUS", "-o", "STRANGE/notes.txt"], "STRANGE/notes.txt is a file; the output is a folder"),
    "input in output": (
        ["near", "CORPUS", "-o", "CORPUS"],
        "CORPUS/en-0.jsonl lies in the output folder CORPUS; write somewhere else",
    ),
    "unknown command": (["compress"], "No such command 'compress' (see dedup --help)"),
    "no argument": (["exact", "-o", "OUT"], "Missing argument 'INPUT...' (see dedup exact --help)"),
    "limit": (
        ["run", "RECIPE", "--limit", "0"],
        "Invalid value for '--limit': 0 is not in the range x>=1 (see dedup run --help)",
    ),
    "set without value": (
        ["near", "CORPUS", "-o", "OUT", "--set", "threshold"],
        "--set threshold: write key=value, such as threshold=0.9",
    ),
    "set unknown": (
        ["near", "CORPUS", "-o", "OUT", "--set", "treshold=0.9"],
        "--set treshold: no step has it; did you mean 'threshold'?",
    ),
    "set unknown of step": (
        ["near", "CORPUS", "-o", "OUT", "--set", "step.0.treshold=0.9"],
        "step[0] (near) has no key 'treshold'; did you mean 'threshold'?",
    ),
    "set no step": (
        ["near", "CORPUS", "-o", "OUT", "--set", "step.4.threshold=0.9"],
        "--set step.4.threshold: there is no step 4; steps are numbered from 0 to 0",
    ),
    "why no document": (
        ["why", "FINISHED", "en-1000"],
        "FINISHED: no document has the id 'en-1000'; ids are in report/documents.parquet",
    ),
    "why no run": (["why", "STRANGE", "x"], "STRANGE: no finished run there (report/summary.json is missing)"),
    "show no run": (["show", "STRANGE"], "STRANGE: no finished run there (report/summary.json is missing)"),
    "show no such reason": (
        ["show", "FINISHED", "--reason", "word_count < 4"],
        "FINISHED: no document was dropped for 'word_count < 4'; did you mean 'word_count < 3'?",
    ),
    "show no such source": (
        ["show", "FINISHED", "--source", "en-0.json"],
        "FINISHED: there is no source 'en-0.json'; did you mean 'en-0.jsonl'?",
    ),
    "show none": (
        ["show", "FINISHED", "-n", "0"],
        "Invalid value for '-n' / '--number': 0 is not in the range x>=1 (see dedup show --help)",
    ),
    "pairs no run": (["pairs", "STRANGE"], "STRANGE: no finished run there (report/summary.json is missing)"),
    "pairs no similarity": (
        ["pairs", "FINISHED", "--below", "high"],
        "Invalid value for '--below': 'high' is not a valid float range (see dedup pairs --help)",
    ),
    "clusters no run": (["clusters", "STRANGE"], "STRANGE: no finished run there (report/summary.json is missing)"),
}
RECIPE_MISTAKES = {
    "key": (['dedup = "near"'], 'outputs = "x"\n', [], "recipe has no key 'outputs'; did you mean 'output'?"),
    "stage": (
        ['use = "clean.fix_txt"'], "", [],
        "step[0]: there is no stage 'clean.fix_txt'; did you mean 'clean.fix_text'?",
    ),
    "parameter": (
        ['use = "clean.normalize"\nfrom = "NFC"'], "", [],
        "step[0] (clean.normalize) has no parameter 'from'; did you mean 'form'?",
    ),
    "value": (
        ['use = "clean.normalize"\nform = "NFX"'], "", [],
        "step[0] (clean.normalize): normalize: form is 'NFX'; it is one of NFC, NFD, NFKC, NFKD, none",
    ),
    "column": (
        ['use = "drop.when"\nqualty = { below = 5 }'], "", [],
        "step[0] (drop.when): no step makes a column 'qualty' and no shard has it; did you mean 'quality'?",
    ),
    "bound": (
        ['use = "measure.gopher.quality"', 'use = "drop.when"\nword_count = { bellow = 5 }'], "", [],
        "step[1] (drop.when): word_count has no bound 'bellow'; did you mean 'below'?",
    ),
    "barrier": (['dedup = "fuzzy"'], "", [], "step[0]: dedup is 'fuzzy'; it is one of exact, near"),
    "ambiguous set": (
        [*NEAR_TWICE], "", ["--set", "threshold=0.9"],
        "--set threshold: several steps have it; write step.0.threshold or step.2.threshold",
    ),
    "not TOML": ([], "= 2", [], "RECIPE: not TOML (Invalid statement (at line 1, column 1))"),
    "module": (
        ['use = "my_rules:ratio"'], "", [],
        "my_rules: no such module beside the recipe (FOLDER/my_rules.py) nor elsewhere (No module named 'my_rules')",
    ),
}  # fmt: skip


def check_mistake(done: Done, message: str, output: Path) -> None:
    assert done == (2, "", f"dedup: {message}\n")
    assert not output.exists()


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_on_the_command_line_is_one_line(
    dedup: Dedup, corpus: Path, finished: Path, tmp_path: Path, name: str
) -> None:
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "notes.txt").write_text("mine")
    places: dict[str, object] = {
        "NAMES": ", ".join(sorted(recipe.shipped())),
        "CORPUS": corpus,
        "FINISHED": finished,
        "STRANGE": strange,
        "OUT": tmp_path / "out",
        "RECIPE": QUICKSTART,
    }

    def put(text: str) -> str:
        for word, place in places.items():
            text = text.replace(word, str(place))
        return text

    arguments, message = MISTAKES[name]
    check_mistake(dedup(*map(put, arguments)), put(message), tmp_path / "out")
    assert [path.name for path in strange.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", RECIPE_MISTAKES)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_mistake_in_a_recipe_is_one_line(dedup: Dedup, corpus: Path, tmp_path: Path, command: str, name: str) -> None:
    steps, head, options, message = RECIPE_MISTAKES[name]
    recipe = write_recipe(tmp_path, *steps, head=head)
    output = ["-o", tmp_path / "out"] if command == "run" else []
    done = dedup(command, recipe, "-i", corpus, *output, *options)
    expected = message.replace("RECIPE", str(recipe)).replace("FOLDER", str(tmp_path))
    check_mistake(done, expected, tmp_path / "out")


def test_a_misspelt_measure_is_told_the_right_name(dedup: Dedup, corpus: Path, tmp_path: Path) -> None:
    steps = ['use = "measure.gopher.quality"', 'use = "drop.when"\nword_cont = { below = 5 }']
    done = dedup("plan", write_recipe(tmp_path, *steps), "-i", corpus)
    message = "step[1] (drop.when): no step makes a column 'word_cont' and no shard has it; did you mean 'word_count'?"
    check_mistake(done, message, tmp_path / "out")


@pytest.mark.parametrize("stage", ["c4", "fineweb", "gopher.quality", "gopher.repetition", "roots"])
def test_a_misspelt_unit_of_words_is_refused_before_any_data_is_read(
    dedup: Dedup, corpus: Path, tmp_path: Path, stage: str
) -> None:
    done = dedup("plan", write_recipe(tmp_path, f'use = "measure.{stage}"\nwords = "punctated"'), "-i", corpus)
    assert (done.code, done.out) == (2, "")
    assert f"step[0] (measure.{stage}): no step makes a column 'punctated' and no shard has it" in done.err


def test_a_mistake_has_no_traceback_in_a_process_either(tmp_path: Path) -> None:
    done = process("near", "nope.jsonl", "-o", "out", folder=tmp_path)
    assert done == (2, "", "dedup: nope.jsonl: no such file or folder\n")


# Exit codes


def test_a_rejected_shard_is_exit_code_1(dedup: Dedup, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.jsonl").write_text('{"text": "one"}\n')
    (tmp_path / "in" / "bad.parquet").write_bytes(b"")
    done = dedup("exact", tmp_path / "in", "-o", tmp_path / "out", "--executor", "serial")
    assert (done.code, done.err) == (1, "")
    assert "rejected: 0 rows, 1 shards: not Parquet (it is empty) (1); kept in rejected/" in done.out
    assert (tmp_path / "out" / "documents" / "good.jsonl").read_text() == '{"text": "one"}\n'


def test_a_rule_that_drops_nearly_everything_is_exit_code_3(dedup: Dedup, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    steps = ['use = "measure.gopher.quality"', 'use = "drop.when"\nword_count = { below = 50 }']
    recipe = write_recipe(tmp_path, *steps)
    more = ["-i", tmp_path / "a.jsonl", "-o", tmp_path / "out", "--executor", "serial"]
    done = dedup("run", recipe, *more)
    assert done == (
        3,
        "",
        "dedup: rules dropped 2 of 2 documents (100.0%), most by 'word_count < 50' (2); nothing was published. "
        "Look at the rule, or set max_drop = 1.0\n",
    )
    assert not (tmp_path / "out" / "documents").exists()
    assert dedup("run", recipe, *more, "--set", "max_drop=1.0").code == 0


# Start-up


def test_recipes_are_listed_and_found_by_name(dedup: Dedup, corpus: Path, tmp_path: Path) -> None:
    done = dedup("recipes")
    names = [line.split()[0] for line in done.out.partition("\n\n")[0].splitlines()]
    assert (done.code, names) == (0, sorted(path.stem for path in (ROOT / "configs").glob("*.toml")))
    assert "quickstart a first run, on the corpus that" in " ".join(done.out.split())
    shown = [dedup("plan", recipe, "-i", corpus, "--no-sample") for recipe in ("quickstart", QUICKSTART)]
    assert shown[0] == shown[1]
    assert shown[0].code == 0


def test_stages_are_listed_and_told_with_their_settings(dedup: Dedup) -> None:
    listed = dedup("stages").out.splitlines()
    assert [line.split()[0] for line in listed] == sorted(stages.shipped())
    assert "  Make the Unicode form and the white space of `text` uniform." in "\n".join(listed)
    told = dedup("stages", "clean.normalize").out
    assert told.startswith('use = "clean.normalize"\nform = "NFC"\nunix_line_ends = true\n')
    assert "Damages: tables aligned by spaces" in told
    assert "rules = ...  # any number" in dedup("stages", "drop.when").out
    assert dedup("stages", "drop.whn") == (2, "", "dedup: there is no stage 'drop.whn'; did you mean 'drop.when'?\n")


def test_help_without_a_command(dedup: Dedup) -> None:
    done = dedup()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: dedup [OPTIONS] COMMAND [ARGS]...")


def test_the_version_is_told_without_loading_anything_heavy() -> None:
    code = """
import sys, dedup, dedup.cli
try:
    dedup.cli.main(["--version"])
except SystemExit:
    pass
assert sorted({"numba", "pyarrow", "numpy"} & set(sys.modules)) == []
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "dedup, version 0.1.0\n"


def test_the_version_takes_less_than_a_third_of_a_second() -> None:
    def seconds() -> float:
        started = subprocess.Popen([sys.executable, "-m", "dedup", "--version"], cwd=ROOT, stdout=subprocess.DEVNULL)
        _, _, usage = os.wait4(started.pid, 0)
        return usage.ru_utime + usage.ru_stime

    assert min(seconds() for _ in range(3)) < 0.3  # CPU; the least of three, others may be busy


def test_a_glob_that_the_shell_wrote_out_may_follow_i(dedup: Dedup, corpus: Path) -> None:
    shards = sorted(corpus.iterdir())
    assert len(shards) > 1
    many = dedup("plan", "quickstart", "--no-sample", "-i", *shards)
    each = [word for shard in shards for word in ("-i", shard)]
    assert many == dedup("plan", "quickstart", "--no-sample", *each)
    assert f"{len(shards)} shards" in many.out
