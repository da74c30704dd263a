"""A run that is killed at, or has no disk for, any write of any kind of file goes on with the same command.

The kills are made by a process of its own (this file is its script too): it forks a run, counts what the run asks of
the file system, and kills it just before one of these, or in the middle of the first write after it: by the signal of a
limit on the size of files, which stops libraries in C as well.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dedup
from dedup.io import index as indexes
from dedup.io import units
from dedup.io.files import replacing, save_array
from dedup.near import edgestore
from dedup.runner import barrier, fetch, index_add, index_lookup, match, reshard, scan, tables, write
from tests.runner.test_cut import frames
from tests.runs import files, tree_bytes, write_jsonl, write_parquet

SEED = 20_240_501
# Most kinds of files: changed texts, rejected rows, two passes, exact and near duplicates, a drop rule.
RECIPE: dict[str, Any] = {
    "id": "id",
    "step": [
        {"use": "clean.normalize"},
        {"dedup": "exact"},
        {"dedup": "near"},
        {"use": "measure.gopher.quality"},
        {"use": "drop.when", "word_count": {"below": 20}},
    ],
}
# The others: parts, shards in pieces, a generation of an index, references, edges that wait and have a similarity.
MORE: dict[str, Any] = RECIPE | {"output_shard_bytes": 6_000, "index_texts": True}
MORE["step"] = [step | {"verify": "signature"} if step.get("dedup") == "near" else step for step in RECIPE["step"]]
# A rerun of RECIPE with other bounds: links, documents that are scanned from their texts, those that fall earlier.
AGAIN: dict[str, Any] = RECIPE | {
    "step": [*RECIPE["step"][:2], {"dedup": "near", "threshold": 0.9}, RECIPE["step"][3],
             {"use": "drop.when", "word_count": {"below": 15, "above": 155}}],
}  # fmt: skip
SMALL = ((units, "UNIT_BYTES", 4_000), (edgestore, "HELD_EDGES", 8))
WORDS = [f"{start}{end}" for start in "bcdfghlmnprst" for end in ("ag", "en", "ip")]


def make_input(folder: Path) -> Path:
    """Three shards, one of each format, with duplicates of each kind and a line that is no document."""
    rng = random.Random(SEED)
    originals = [[rng.choice(WORDS) for _ in range(rng.choice([10, 70, 160]))] for _ in range(30)]
    shards = []
    for shard in range(3):
        rows = []
        for n in range(30):
            words = list(rng.choice(originals))
            if n % 3:
                words[rng.randrange(len(words))] = rng.choice(WORDS)
            rows.append({"id": f"{shard}-{n}", "text": " ".join(words) + " \r\n" * (n % 5 == 0)})
        shards.append(rows)
    path = write_jsonl(folder / "0.jsonl", shards[0])
    path.write_bytes(path.read_bytes() + b"no document\n")
    packed = write_jsonl(folder / "1.jsonl", shards[1])
    packed.with_suffix(".jsonl.gz").write_bytes(gzip.compress(packed.read_bytes(), mtime=0))
    packed.unlink()
    write_parquet(folder / "2.parquet", shards[2])
    return folder


def make_more(folder: Path) -> Path:
    """Beside such an input in folder/in: an index of one generation, and a shard that others are compared with."""
    input = make_input(folder / "in")
    plain = (input / "0.jsonl").read_bytes()
    (input / "3.jsonl.zst").write_bytes(frames(plain, 6))
    lines = plain.splitlines(keepends=True)
    (folder / "old.jsonl").write_bytes(b"".join(lines[:9]))
    (folder / "against.jsonl").write_bytes(b"".join(lines[9:12]))
    dedup.run(MORE, folder / "old.jsonl", folder / "old", index=folder / "index", executor="serial")
    return input


def make_again(folder: Path) -> Path:
    """Beside such an input in folder/in: a run of it that left its work."""
    input = make_input(folder / "in")
    dedup.run(RECIPE, str(input), folder / "kept", executor="serial", keep_work=True)
    return input


def index_of(output: Path) -> Path:
    """The index that a run of MORE into an output uses."""
    return output.with_name(f"{output.name}-index")


def prepare(input: Path, output: Path) -> None:
    """Give a run of MORE its index, if there is one beside the input."""
    if (input.parent / "index").exists() and not index_of(output).exists():
        shutil.copytree(input.parent / "index", index_of(output))


def run(input: Path, output: Path) -> Any:
    """Run RECIPE, or MORE where an index lies beside the input, or rerun it as AGAIN where a run does."""
    if (input.parent / "kept").exists():
        return dedup.rerun(input.parent / "kept", AGAIN, output, executor="serial")
    if not index_of(output).exists():
        return dedup.run(RECIPE, str(input), output, executor="serial")
    against, index = input.parent / "against.jsonl", index_of(output)
    return dedup.run(MORE, str(input), output, against=against, index=index, executor="serial")


def state(output: Path) -> tuple[dict[str, bytes], list[str]]:
    """(bytes of all files that count, every file) of an output and its index."""
    index = index_of(output)
    held = {f"index/{name}": (index / name).read_bytes() for name in files(index)}
    return tree_bytes(output) | held, files(output)


# Kills


def main(input: str, output: str, seed: str, most: str) -> None:
    """Kill runs at writes of every kind, `most` of them, and continue each; a line on stdout for what is wrong."""
    if Path(input).with_name("index").exists():
        for module, name, value in SMALL:
            setattr(module, name, value)
    whole, counted, listing = (Path(output, name) for name in ("whole", "counted", "events.json"))
    for one in (whole, counted):
        prepare(Path(input), one)
    run(Path(input), whole)  # here: kernels are loaded, and forks are fast
    tree, layout = state(whole)
    forked(lambda: count(Path(input), counted, listing))
    events = json.loads(listing.read_text())
    rng = random.Random(int(seed))
    for number, at in enumerate(moments(events, rng, int(most))):
        here = Path(output, f"killed-{number}")
        prepare(Path(input), here)
        size = rng.choice([None, 0, 100, 1_000])
        code = forked(functools.partial(die, Path(input), here, at, size))
        again = forked(functools.partial(run, Path(input), here))
        found = state(here) if again == 0 else ({}, [])
        facts = {
            "it was killed": code == -(signal.SIGKILL if size is None else signal.SIGXFSZ)
            or (size is not None and code == 0),
            "the same command went on": again == 0,
            "the bytes are the same": found[0] == tree,
            "nothing is left behind": found[1] == layout and not (here / "work").exists(),
        }
        wrong = [fact for fact, holds in facts.items() if not holds]
        print("fault" if wrong else "killed", json.dumps([at, events[at], size, code, again, wrong]), flush=True)
        for one in (here, index_of(here)):
            shutil.rmtree(one, ignore_errors=True)


def forked(action: Callable[[], object]) -> int:
    """The exit code of a process that does this; minus the signal that ended it."""
    child = os.fork()
    if not child:
        try:
            action()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")


def changes(output: Path, then: Callable[[str], object]) -> None:
    """Call `then` with what this process is about to do to a file of the output, from now on."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
            if path.startswith(str(output)) or event in ("os.remove", "os.rmdir"):  # rmtree names them within a folder
                then(f"{event} {path.removeprefix(str(output))}")

    sys.addaudithook(hook)


def count(input: Path, output: Path, listing: Path) -> None:
    seen: list[str] = []
    changes(output, seen.append)
    run(input, output)
    listing.write_text(json.dumps(seen))


def die(input: Path, output: Path, at: int, size: int | None) -> None:
    """Be killed before a change; with a size, at the first write after it to a file that has so many bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    left = iter(range(at, -1, -1))

    def end(event: str) -> None:
        if next(left, 1) == 0:
            if size is None:
                os.kill(os.getpid(), signal.SIGKILL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size or 0, resource.RLIM_INFINITY))

    changes(output, end)
    run(input, output)


def moments(events: list[str], rng: random.Random, most: int) -> list[int]:
    """Places among the events: one of each kind before a second of any."""
    kinds: dict[str, list[int]] = {}
    for at, event in enumerate(events):
        kind = re.sub(r"\d+", "0", event) if "/" in event else event.partition(" ")[0]
        kinds.setdefault(kind, []).append(at)
    for places in kinds.values():
        rng.shuffle(places)
    rounds = [[places[n] for places in kinds.values() if n < len(places)] for n in range(len(events))]
    for some in rounds:
        rng.shuffle(some)
    return [at for some in rounds for at in some][:most]


def check_kills(input: Path, tmp_path: Path, seed: int, most: int) -> None:
    (tmp_path / "out").mkdir()
    command = [
        sys.executable,
        "-m",
        "tests.runner.test_every_write",
        str(input),
        str(tmp_path / "out"),
        str(seed),
        str(most),
    ]
    child = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert [line for line in child.stdout.splitlines() if not line.startswith("killed ")] == []
    assert child.returncode == 0, child.stderr[-2000:]
    assert 0 < child.stdout.count("\n") <= most


MAKE = pytest.mark.parametrize(
    "make", [lambda folder: make_input(folder / "in"), make_more, make_again], ids=["most", "others", "rerun"]
)


@MAKE
@pytest.mark.slow(always=True)
def test_a_run_killed_at_writes_of_several_kinds_goes_on_with_the_same_command(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    check_kills(make(tmp_path), tmp_path, SEED, 4)


@MAKE
@pytest.mark.slow
def test_a_run_killed_at_any_of_its_writes_goes_on_with_the_same_command(
    make: Callable[[Path], Path], tmp_path: Path, seeded: bool
) -> None:
    check_kills(make(tmp_path), tmp_path, SEED + 1, 30 if seeded else 300)  # of each kind one, at least


# Full disks

WRITES: dict[str, tuple[Any, str]] = {
    "the recipe": (tables, "write_recipe"),
    "the manifest": (tables, "write_manifest"),
    "a scan": (scan, "scan_unit"),
    "equal texts": (match, "group_exact"),
    "edges": (match, "find_edges"),
    "components": (match, "join_components"),
    "shingles": (fetch, "fetch_shingles"),
    "representatives": (match, "represent"),
    "what is gone": (barrier, "put_array"),
    "duplicates": (tables, "write_duplicates"),
    "a shard": (write, "write_shards"),
    "the documents' table": (tables, "write_documents"),
    "the summary": (tables, "write_json"),
}
WRITES_MORE: dict[str, tuple[Any, str]] = {
    "keys looked up": (index_lookup, "find_keys"),
    "old documents": (index_lookup, "take_candidates"),
    "edges that wait": (match, "represent"),
    "a piece of a shard": (write, "write_piece"),
    "pieces together": (write, "join_kept"),
    "what is dropped of pieces": (write, "join_dropped"),
    "parts": (reshard, "write_parts"),
    "new documents": (index_add, "collect_documents"),
    "their keys": (index_add, "collect_keys"),
    "a generation": (index_add, "write_files"),
    "a catalogue": (indexes, "commit"),
}


@contextlib.contextmanager
def file_bytes(limit: int) -> Iterator[None]:
    """No file grows beyond so many bytes: for all who write, in Python or not, as a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], list[str]]:
    """An input, and what an undisturbed run makes of it."""
    folder = tmp_path_factory.mktemp("whole")
    input = make_input(folder / "in")
    run(input, folder / "out")
    return input, *state(folder / "out")


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, bytes], list[str]]]:
    """The same of the other kinds of files; small constants until the last of its tests."""
    folder = tmp_path_factory.mktemp("more")
    with pytest.MonkeyPatch.context() as patched:
        for one in SMALL:
            patched.setattr(*one)
        input = make_more(folder)
        prepare(input, folder / "out")
        run(input, folder / "out")
        yield input, *state(folder / "out")


def scarce(function: Callable[..., Any], size: int, passed: int) -> Callable[..., Any]:
    """The function, whose files may have so many bytes after it was called so many times."""
    calls = iter(range(1_000))

    def limited(*arguments: Any, **settings: Any) -> Any:
        with file_bytes(size) if next(calls) >= passed else contextlib.nullcontext():
            return function(*arguments, **settings)

    return limited


@pytest.mark.parametrize("what", WRITES)
def test_a_file_that_cannot_grow_is_named_in_one_line_whatever_was_being_written(
    what: str, whole: tuple[Path, dict[str, bytes], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_scarce(*WRITES[what], whole, tmp_path / "out", monkeypatch)


@pytest.mark.parametrize("what", WRITES_MORE)
def test_nor_is_a_file_of_the_other_kinds_and_an_index_stays_what_it_was(
    what: str, more: tuple[Path, dict[str, bytes], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(more[0], tmp_path / "out")
    check_scarce(*WRITES_MORE[what], more, tmp_path / "out", monkeypatch)


def check_scarce(
    module: Any, name: str, whole: tuple[Path, dict[str, bytes], list[str]], output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Runs whose files cannot grow in one function, each named in one line, and then one with room."""
    input, tree, layout = whole
    function, index = getattr(module, name), index_of(output)
    before = {path: path.read_bytes() for path in index.rglob("*") if path.is_file()}
    failures = []
    for size, passed in ((0, 0), (40, 1), (600, 2)):
        monkeypatch.setattr(module, name, scarce(function, size, passed))
        try:
            run(input, output)
        except dedup.DedupError as error:
            failures.append(str(error))
            assert {path: path.read_bytes() for path in index.rglob("*") if path.is_file()} == before
    where = index if name in ("write_files", "commit") else output
    pattern = rf"{where}(/[^\n]*)?: [^\n]*File too large[^\n]*; the same command goes on from here"
    assert [text for text in failures if not re.fullmatch(pattern, text)] == []
    assert failures != []
    monkeypatch.setattr(module, name, function)
    run(input, output)
    assert state(output) == (tree, layout)


@pytest.mark.parametrize("size", [100, 500, 4_000])  # np.save loses the last 4 KiB of such without a word
def test_an_array_that_the_disk_does_not_take_is_an_error_whatever_its_size(size: int, tmp_path: Path) -> None:
    with file_bytes(128 + 8 * size - 1), pytest.raises(OSError, match="File too large"):
        save_array(tmp_path / "short.npy", np.arange(size))
    save_array(tmp_path / "whole.npy", np.arange(size).reshape(2, -1))
    np.save(tmp_path / "numpy.npy", np.arange(size).reshape(2, -1))
    assert (tmp_path / "whole.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


@contextlib.contextmanager
def disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes, where this process may mount one."""
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    ).returncode:
        pytest.skip("may not mount a tmpfs here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_on_a_disk_that_grows_the_same_command_ends_in_the_end(
    whole: tuple[Path, dict[str, bytes], list[str]], tmp_path: Path
) -> None:
    """Each time it goes on where there was no room, until all the bytes are there."""
    input, tree, layout = whole
    failures = []
    with disk(tmp_path / "disk", 16 << 10) as small:
        for size in range(16, 1 << 20, 16):
            subprocess.run(["mount", "-o", f"remount,size={size << 10}", small], check=True)
            try:
                run(input, small / "out")
                break
            except dedup.DedupError as error:
                failures.append(str(error))
        assert (tree_bytes(small / "out"), files(small / "out")) == (tree, layout)
    pattern = rf"{small}[^\n]*: [^\n]*No space left on device[^\n]*; the same command goes on from here"
    too_small = rf"{small}: .* of disk are free, and the run needs about .*; make room, or [^\n]*"
    assert [text for text in failures if not re.fullmatch(f"{pattern}|{too_small}", text)] == []
    parts = ("scan-", "barrier-", "write")
    assert [part for part in parts if not any(part in text for text in failures)] == [], failures


def test_an_output_that_may_not_be_written_is_named(
    whole: tuple[Path, dict[str, bytes], list[str]], tmp_path: Path
) -> None:
    input, tree, _ = whole
    with disk(tmp_path / "disk", 1 << 20) as place:
        run(input, place / "finished")
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        assert [refusal(input, place / name) for name in ("new", "finished")] == [
            f"{place}/new: Read-only file system; the same command goes on from here",
            f"{place}/finished/.lock: Read-only file system; the same command goes on from here",
        ]
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)
        run(input, place / "new")
        assert tree_bytes(place / "new") == tree_bytes(place / "finished") == tree


def refusal(input: Path, output: Path) -> str:
    with pytest.raises(dedup.DedupError) as caught:
        run(input, output)
    return str(caught.value)


if __name__ == "__main__":
    main(*sys.argv[1:])


def test_files_whose_long_names_end_alike_are_written_at_once(tmp_path: Path) -> None:
    first, second = (tmp_path / f"{letter}{'x' * 230}" for letter in "ab")
    with replacing(first) as one, replacing(second) as other:
        one.write_text("one")
        other.write_text("other")
    assert (first.read_text(), second.read_text()) == ("one", "other")
