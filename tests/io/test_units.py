"""Cutting shards into units: pieces together are the whole, and packs hold what they may."""

from __future__ import annotations

import dataclasses
import itertools
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup.io import decode, read, units
from dedup.io.jsonl import Lines
from dedup.io.shards import Shard, discover
from dedup.io.units import Piece

LINES = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"a\n", b"bc\r\n", "\N{SNOWMAN}\n".encode(), b"\xff\n", b"x" * 40 + b"\n"])
)


def lines_of(pieces: list[Piece], block_bytes: int) -> list[tuple[int, int, bytes]]:
    """(row, byte offset, line) of every line, the rows of earlier pieces added."""
    found = []
    before = 0
    for piece in pieces:
        rows = 0
        for block in read.read_lines(piece, block_bytes):
            assert isinstance(block, Lines)
            bounds = block.bounds.tolist()
            for n, (begin, end) in enumerate(itertools.pairwise(bounds)):
                found.append((before + block.first_row + n, block.offset + begin, block.data[begin:end]))
            rows = block.first_row + len(bounds) - 1
        before += rows
    return found


@settings(max_examples=300, deadline=None)
@given(bom=st.booleans(), lines=LINES, last=st.sampled_from([b"", b"end"]), block=st.integers(1, 50), data=st.data())
@example(True, [b"a\n", b"bc\r\n"], b"end", 1, None)
def test_the_pieces_of_a_plain_file_hold_each_line_once_with_its_row_and_offset(
    tmp_path_factory: pytest.TempPathFactory,
    bom: bool,
    lines: list[bytes],
    last: bytes,
    block: int,
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.jsonl"
    content = b"\xef\xbb\xbf" * bom + b"".join(lines) + last
    path.write_bytes(content)
    shard = Shard(0, str(path), "lines.jsonl", len(content), 0, "jsonl")
    whole = lines_of([Piece(shard)], 1 << 20)
    expected = []
    at = 3 * bom
    for row, line in enumerate(content[at:].split(b"\n")):
        ended = line + b"\n" if at + len(line) < len(content) else line
        if ended:
            expected.append((row, at, ended))
        at += len(ended)
    assert whole == expected
    if data is None:
        cuts = list(range(1, len(content)))
    else:
        cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(content) - 1)), max_size=8)))
    bounds = [0, *cuts, None]
    assert lines_of([Piece(shard, a or 0, b) for a, b in itertools.pairwise(bounds)], block) == expected


SKIPPABLE = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"


@settings(max_examples=100, deadline=None)
@given(
    bom=st.booleans(),
    lines=LINES,
    last=st.sampled_from([b"", b"end"]),
    between=st.lists(st.sampled_from([b"", SKIPPABLE, b"\0" * 5]), min_size=8, max_size=8),
    checked=st.booleans(),
    block=st.integers(1, 50),
    data=st.data(),
)
def test_the_pieces_of_a_zstd_file_hold_each_line_once_wherever_its_frames_begin(
    tmp_path_factory: pytest.TempPathFactory, bom: bool, lines: list[bytes], last: bytes, between: list[bytes],
    checked: bool, block: int, data: st.DataObject,
) -> None:  # fmt: skip
    content = b"\xef\xbb\xbf" * bom + b"".join(lines) + last
    cuts = sorted(data.draw(st.sets(st.integers(0, len(content)), max_size=7)))
    compress = zstandard.ZstdCompressor(write_checksum=checked, write_content_size=not checked).compress
    path = tmp_path_factory.mktemp("zstd") / "a.jsonl.zst"
    starts, file = [], b""
    for (begin, end), more in zip(itertools.pairwise([0, *cuts, len(content)]), between, strict=False):
        file += more
        starts.append(len(file))
        file += compress(content[begin:end])
    path.write_bytes(file + between[-1])
    assert decode.frame_starts(path) == starts
    (shard,) = discover([str(path)])
    assert shard.codec == "zstd" or file[:1] == b"\0"
    shard = dataclasses.replace(shard, format="jsonl", codec="zstd")
    chosen = sorted(data.draw(st.sets(st.sampled_from(starts)))) if starts else []
    bounds = [0, *(at for at in chosen if at), None]
    pieces = [Piece(shard, a or 0, b) for a, b in itertools.pairwise(bounds)]
    found = [(row, line) for row, _, line in lines_of(pieces, block)]
    assert found == [(row, line) for row, _, line in lines_of([Piece(shard)], block)]
    assert b"".join(line for _, line in found) == b"".join(lines) + last


def test_frames_are_found_up_to_the_first_that_is_broken(tmp_path: Path) -> None:
    frame = zstandard.ZstdCompressor().compress(b"a\n" * 100)
    path = tmp_path / "a.zst"
    for tail, count in ((frame[:-1], 2), (b"junk", 2), (frame[:5], 2), (b"", 2), (SKIPPABLE[:-1], 2), (frame, 3)):
        path.write_bytes(frame + SKIPPABLE + frame + tail)
        assert len(decode.frame_starts(path)) == count


def test_a_big_zstd_file_is_cut_where_frames_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = zstandard.ZstdCompressor().compress(random.Random(1).randbytes(75) + b"\n")
    assert len(frame) > 75
    (tmp_path / "a.jsonl.zst").write_bytes(frame * 10)
    (tmp_path / "b.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(random.Random(1).randbytes(900)))
    monkeypatch.setattr(units, "UNIT_BYTES", 5 * len(frame))
    assert cuts(tmp_path) == [
        [("a.jsonl.zst", 0, 5 * len(frame))], [("a.jsonl.zst", 5 * len(frame), None)], [("b.jsonl.zst", 0, None)]
    ]  # fmt: skip
    assert cuts(tmp_path, whole=True) == [[("a.jsonl.zst", 0, None)], [("b.jsonl.zst", 0, None)]]


def write(folder: Path, name: str, size: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x" * (size - 1) + b"\n")


def cuts(folder: Path, *, whole: bool = False) -> list[list[tuple[str, int, int | None]]]:
    return [
        [(p.shard.name, p.begin, p.end) for p in unit.pieces]
        for unit in units.cut(discover([str(folder)]), whole=whole)
    ]


def test_a_big_plain_file_is_cut_evenly_and_a_compressed_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 100)
    write(tmp_path, "a.jsonl", 250)
    write(tmp_path, "b.jsonl", 100)
    (tmp_path / "c.jsonl.gz").write_bytes(b"\x1f\x8b" + b"x" * 500)
    one = [("b.jsonl", 0, None)], [("c.jsonl.gz", 0, None)]
    assert cuts(tmp_path) == [[("a.jsonl", 0, 83)], [("a.jsonl", 83, 166)], [("a.jsonl", 166, None)], *one]
    assert cuts(tmp_path, whole=True) == [[("a.jsonl", 0, None)], *one]


def test_a_big_parquet_file_is_cut_at_row_groups_into_pieces_of_like_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"text": [f"{n} " * 30 for n in range(100)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    monkeypatch.setattr(units, "UNIT_BYTES", -(-(tmp_path / "a.parquet").stat().st_size // 3))
    assert cuts(tmp_path) == [[("a.parquet", 0, 3)], [("a.parquet", 3, 6)], [("a.parquet", 6, None)]]
    monkeypatch.setattr(units, "UNIT_BYTES", 1)
    assert cuts(tmp_path) == [[("a.parquet", n, n + 1 if n < 9 else None)] for n in range(10)]


def test_small_shards_are_packed_by_number_and_bytes_but_not_where_they_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(9):
        write(tmp_path, f"{n}.jsonl", 50 if n == 4 else 10)
    assert len(cuts(tmp_path)) == 9
    monkeypatch.setattr(units, "LEAST_UNITS", 3)
    assert [[name for name, *_ in unit] for unit in cuts(tmp_path)] == [
        [f"{n}.jsonl" for n in some] for some in ((0, 1, 2), (3, 4, 5), (6, 7, 8))
    ]
    monkeypatch.setattr(units, "PACK_BYTES", 25)
    assert [[name for name, *_ in unit] for unit in cuts(tmp_path)] == [
        [f"{n}.jsonl" for n in some] for some in ((0, 1), (2, 3), (4,), (5, 6), (7, 8))
    ]


def test_a_corpus_of_many_big_files_is_cut_less_finely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 10)
    monkeypatch.setattr(units, "MOST_UNITS", 4)
    write(tmp_path, "a.jsonl", 400)
    assert len(cuts(tmp_path)) == 4
