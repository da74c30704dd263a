"""JSONL shards: every byte a decoder can give, every line once, and documents as they were written."""

from __future__ import annotations

import gzip
import json
import os
import random
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup.io import decode, jsonl, shards
from dedup.io.decode import BrokenShard
from dedup.io.jsonl import Lines, LineWriter, Reject, Tail

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
shared = [pytest.mark.shared, pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")]

CODECS = ["none", "gzip", "zstd"]
DOCUMENTS = b"".join(b'{"id":%d,"text":"document %d"}\n' % (i, i * i) for i in range(200))


def encode(data: bytes, codec: str) -> bytes:
    if codec == "gzip":
        return gzip.compress(data, mtime=0)
    return zstandard.ZstdCompressor(write_checksum=True).compress(data) if codec == "zstd" else data


@pytest.fixture
def shard(tmp_path):
    def write(data: bytes) -> Path:
        path = tmp_path / "shard"
        path.write_bytes(data)
        return path

    return write


def decoded(path, codec, size=1 << 20) -> tuple[bytes, str | None]:
    """(all bytes given, the fault that ended them)"""
    given = []
    try:
        for block in decode.blocks(path, codec, size):
            given.append(block)  # noqa: PERF402 - extend would lose what came before the fault
    except BrokenShard as fault:
        return b"".join(given), fault.reason
    return b"".join(given), None


def lines_of(path, codec="none", block_bytes=1 << 20) -> tuple[list[tuple[int, int, bytes]], Tail | None]:
    """([(row, offset, line)], tail)"""
    found, tail = [], None
    for lines in jsonl.read_lines(path, codec, block_bytes):
        if isinstance(lines, Tail):
            assert tail is None
            tail = lines
            continue
        for i, (start, end) in enumerate(zip(lines.bounds[:-1], lines.bounds[1:], strict=True)):
            found.append((lines.first_row + i, lines.offset + int(start), lines.data[start:end]))
    return found, tail


def one_block(data: bytes) -> Lines:
    ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
    if data and not data.endswith(b"\n"):
        ends.append(len(data))
    return Lines(0, 0, data, np.array([0, *ends], np.int64))


def parsed(data: bytes, text="text", id=None, columns=None, keep=None) -> jsonl.Parsed:
    return jsonl.parse(one_block(data), text=text, id=id, columns=columns or {}, keep=keep)


def texts(data: bytes, **settings) -> list[str | None]:
    return parsed(data, **settings).columns["text"].to_pylist()


def reasons(data: bytes) -> list[str]:
    return [reject.reason for reject in parsed(data).rejects]


# ---- what a file is


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", ("jsonl", "none", "")),
        (b'{"text":"a"}\n', ("jsonl", "none", "")),
        (encode(b"a", "gzip"), ("jsonl", "gzip", "")),
        (encode(b"a", "zstd"), ("jsonl", "zstd", "")),
        (b"\x5a\x2a\x4d\x18\0\0\0\0" + encode(b"a", "zstd"), ("jsonl", "zstd", "")),
        (b"PAR1....", ("parquet", "none", "")),
        (b"\x89PNG\0", ("unknown", "none", "neither JSONL nor Parquet (it holds NUL bytes)")),
    ],
)
def test_content_tells_what_a_file_is(shard, content, kind):
    assert shards.sniff(shard(content)) == kind


# ---- bytes


@pytest.mark.parametrize("codec", CODECS)
def test_an_empty_file_has_no_blocks_and_no_fault(shard, codec):
    assert list(decode.blocks(shard(b""), codec)) == []


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [1, 17, 1 << 20])
def test_members_and_frames_are_one_stream(shard, codec, size):
    parts = [DOCUMENTS[:1000], b"", DOCUMENTS[1000:]]
    path = shard(b"".join(encode(part, codec) for part in parts))
    assert decoded(path, codec, size) == (DOCUMENTS, None)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_small_members_are_gathered_into_blocks(shard, codec):
    path = shard(encode(DOCUMENTS[:300], codec) * 40)
    sizes = [len(block) for block in decode.blocks(path, codec, 1000)]
    assert sizes == [900] * 13 + [300]
    assert decoded(path, codec, 1000) == (DOCUMENTS[:300] * 40, None)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("zeros", [1, 3, 4, 512, 1 << 18])
def test_zero_padding_is_nothing(shard, codec, zeros):
    part = encode(DOCUMENTS, codec)
    assert decoded(shard(part + bytes(zeros) + part + bytes(zeros)), codec) == (DOCUMENTS * 2, None)


def test_skippable_frames_are_nothing(shard):
    skip = b"\x5f\x2a\x4d\x18\x05\0\0\0" + b"(\xb5/\xfd!"
    frame = encode(DOCUMENTS, "zstd")
    assert decoded(shard(skip + frame + skip + frame + skip), "zstd") == (DOCUMENTS * 2, None)
    assert decoded(shard(frame + skip[:-1]), "zstd") == (DOCUMENTS, "truncated")


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_everything_decoded_is_given_before_a_fault(shard, size):
    gz, zst = encode(DOCUMENTS, "gzip"), encode(DOCUMENTS, "zstd")

    def flipped(data: bytes, at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 255]) + data[at:][1:]

    for codec, content, reason in [
        ("gzip", flipped(gz, len(gz) - 5), "bad gzip checksum"),
        ("gzip", flipped(gz, len(gz) - 1), "bad gzip checksum"),
        ("gzip", gz + b"tail", "garbage after the gzip data"),
        ("gzip", gz + b"\0\0\x1f", "garbage after the gzip data"),
        ("gzip", gz[:-1], "truncated"),
        ("gzip", gz + gz[:11], "truncated"),
        ("gzip", gz + gz[:5], "truncated"),
        ("gzip", gz + flipped(gz, 2), "corrupt gzip data"),
        ("zstd", flipped(zst, len(zst) - 1), "bad zstd checksum"),
        ("zstd", zst + b"tail", "garbage after the zstd data"),
        ("zstd", zst + b"\0(\xb5", "garbage after the zstd data"),
        ("zstd", zst[:-1], "truncated"),
        ("zstd", zst + zst[:4], "truncated"),
        ("zstd", zst + zst[:20], "truncated"),
    ]:
        assert (reason, *decoded(shard(content), codec, size)) == (reason, DOCUMENTS, reason)


def test_what_is_not_compressed_says_so(shard):
    path = shard(DOCUMENTS)
    assert [decoded(path, codec) for codec in ("gzip", "zstd")] == [
        (b"", "not gzip data"),
        (b"", "not zstd data"),
    ]


def test_a_fault_in_mid_file_costs_only_what_follows_it_for_any_block_size(shard):
    data = random.Random(1).randbytes(300_000).hex().encode()  # of some data the damage derails four bytes earlier
    content = bytearray(encode(data, "gzip"))
    content[200_000:200_400] = bytes(range(200)) * 2
    path = shard(bytes(content))
    given, reason = decoded(path, "gzip")
    # Where decoding derails depends on the damage; all that was before it is there.
    assert reason in {"corrupt gzip data", "bad gzip checksum"}
    assert given[:350_000] == data[:350_000]
    assert decoded(path, "gzip", 5000) == (given, reason)


def test_a_broken_zstd_frame_gives_its_blocks_before_the_fault(shard):
    data = os.urandom(300_000)  # three blocks, stored as they are
    content = bytearray(encode(data, "zstd"))
    at = content.index(data[131072 * 2 :][:16]) - 3
    content[at] |= 6  # the reserved block type
    given, reason = decoded(shard(bytes(content)), "zstd")
    assert given == data[: 131072 * 2]
    assert reason is not None
    assert reason.startswith("corrupt zstd data (")


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_truncated_shard_is_never_taken_for_a_whole_one(shard, codec):
    content = encode(b'{"text":"a"}\n', codec)
    for length in range(1, len(content)):
        given, reason = decoded(shard(content[:length]), codec)
        assert (b'{"text":"a"}\n'.startswith(given), reason is None) == (True, False)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_bomb_is_unpacked_a_block_at_a_time(shard, codec):
    zeros = 1 << 26
    path = shard(encode(bytes(zeros), codec))
    sizes = [len(block) for block in decode.blocks(path, codec, 1 << 16)]
    assert sum(sizes) == zeros
    assert max(sizes) <= 1 << 17  # a zstd block is not divided


def test_a_zstd_window_of_two_gigabytes_is_read(shard):
    parameters = zstandard.ZstdCompressionParameters(window_log=31, compression_level=1)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    assert decoded(shard(compressor.compress(DOCUMENTS) + compressor.flush()), "zstd") == (DOCUMENTS, None)


# ---- lines


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 5, 8, 1000])
def test_only_a_line_feed_ends_a_line(shard, block_bytes):
    path = shard("a\r\nb\rc\u2028d\x85\n\n e".encode())
    assert lines_of(path, "none", block_bytes) == (
        [(0, 0, b"a\r\n"), (1, 3, "b\rc\u2028d\x85\n".encode()), (2, 13, b"\n"), (3, 14, b" e")],
        None,
    )


@pytest.mark.parametrize("block_bytes", [1, 2, 4, 1000])
def test_a_leading_byte_order_mark_is_left_out_and_any_other_is_content(shard, block_bytes):
    bom = b"\xef\xbb\xbf"
    assert lines_of(shard(bom + b"a\n" + bom + b"b"), "none", block_bytes) == (
        [(0, 3, b"a\n"), (1, 5, bom + b"b")],
        None,
    )
    assert lines_of(shard(bom), "none", block_bytes) == ([], None)


def test_a_line_of_many_blocks_comes_whole(shard):
    long = b"x" * 3_000_000 + b"\n"
    assert lines_of(shard(b"a\n" + long + b"b\n"), "none", 1000) == (
        [(0, 0, b"a\n"), (1, 2, long), (2, 3_000_003, b"b\n")],
        None,
    )


def test_a_broken_shard_gives_its_whole_lines_and_then_its_tail(shard):
    path = shard(encode(b'{"text":"a"}\n\n{"text":"b', "gzip") + b"garbage")
    assert lines_of(path, "gzip") == (
        [(0, 0, b'{"text":"a"}\n'), (1, 13, b"\n")],
        Tail(2, 14, "garbage after the gzip data", b'{"text":"b'),
    )


def test_a_broken_shard_that_ends_with_a_line_has_an_empty_tail(shard):
    path = shard(encode(DOCUMENTS, "gzip")[:-4])
    found, tail = lines_of(path, "gzip")
    assert b"".join(line for _, _, line in found) == DOCUMENTS
    assert tail == Tail(200, len(DOCUMENTS), "truncated", b"")


def test_a_whole_object_before_a_fault_counts_without_its_line_feed(shard):
    path = shard(encode(b'{"text":"a"}\n{"text":"b"}', "zstd") + b"garbage")
    assert lines_of(path, "zstd") == (
        [(0, 0, b'{"text":"a"}\n'), (1, 13, b'{"text":"b"}')],
        Tail(2, 25, "garbage after the zstd data", b""),
    )


def test_the_tail_keeps_64_kib_of_the_lost_line(shard):
    path = shard(encode(b"x" * 100_000, "gzip") + b"garbage")
    assert lines_of(path, "gzip") == ([], Tail(0, 0, "garbage after the gzip data", b"x" * 65536))


# ---- documents


def test_every_line_is_a_document_a_reject_or_blank():
    data = b'{"text":"a","id":"x"}\n \t\r\n\n{"text":null,"id":7}\r\n[1]\n{"text":"b"}'
    result = parsed(data, id="id")
    assert result.rows.tolist() == [0, 3, 5]
    assert result.positions.tolist() == [0, 3, 5]
    assert {name: column.to_pylist() for name, column in result.columns.items()} == {
        "text": ["a", None, "b"],
        "id": ["x", "7", None],
    }
    assert result.rejects == [Reject(4, 49, "not an object", b"[1]\n")]


def test_rows_and_offsets_are_those_of_the_shard():
    data = b'{"text":"a"}\n{"x":1}\n'
    result = jsonl.parse(Lines(10, 500, data, np.array([0, 13, 21])), text="text", id=None, columns={})
    assert (result.rows.tolist(), result.positions.tolist()) == ([10], [0])
    assert result.rejects == [Reject(11, 513, "no text", b'{"x":1}\n')]


def test_lines_not_kept_are_neither_parsed_nor_rejected():
    result = parsed(b'{"text":"a"}\nnot JSON\n{"text":"c"}\n', keep=np.array([False, False, True]))
    assert (result.rows.tolist(), result.columns["text"].to_pylist(), result.rejects) == ([2], ["c"], [])


def test_no_lines_have_the_columns_of_many():
    columns = {"a": pa.large_string(), "b": pa.float64(), "c": pa.bool_()}
    types = [
        {name: column.type for name, column in parsed(data, id="id", columns=columns).columns.items()}
        for data in (b"", b'{"text":"x","id":1,"a":1,"b":2,"c":true}\n')
    ]
    assert types[0] == types[1] == {"text": pa.large_string(), "id": pa.large_string(), **columns}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nothing", "not JSON"),
        (b'{"text":"x",}', "not JSON"),
        (b'{"text":"x"', "not JSON"),
        (b'{"text":"\x01"}', "not JSON"),
        (b'{"text":"\\x"}', "not JSON"),
        (b'{"text":"x"} {}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"text":"caf\xe9"}', "not UTF-8"),
        (b'{"text":"a","t":"\xed\xa0\x80"}', "not UTF-8"),
        (b'"text"', "not an object"),
        (b"null", "not an object"),
        (b"{}", "no text"),
        (b'{"text":1e999}', "text is a number"),
        (b'{"text":1}', "text is a number"),
        (b'{"text":false}', "text is a boolean"),
        (b'{"text":[]}', "text is a list"),
        (b'{"text":{}}', "text is an object"),
        (b'{"text":"x","n":NaN}', "NaN"),
        (b'{"text":"x","n":-Infinity}', "NaN"),
        (b'{"text":"x","n":' + b"[" * 1000 + b"]" * 1000 + b"}", "nested too deep"),
        (b'{"text":"x","n":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
        (b'{"text":"x","n":' + b'{"n":' * 1000 + b"0" + b"}" * 1001, "nested too deep"),
    ],
)
def test_what_is_no_document_is_rejected_with_its_reason(line, reason):
    data = line + b"\n"
    assert parsed(data).rejects == [Reject(0, 0, reason, data)]
    assert parsed(data).rows.tolist() == []


@pytest.mark.parametrize(
    "field",
    [
        b"1e400",
        b"-1e400",
        b"9" * 400,
        b"9" * 5000,
        b"123456789012345678901234567890",
        b"[" * 999 + b"]" * 999,
        b'"\\ud83d"',
        b'"' + b"[" * 3000 + b'"',
        b"[" + b"[],{}," * 3000 + b"0]",
    ],
)
def test_an_odd_value_in_another_field_costs_no_document(field):
    assert texts(b'{"n":' + field + b',"text":"kept"}\n') == ["kept"]


def test_a_depth_of_a_thousand_is_the_limit_for_repaired_lines_too():
    lines = [b'{"s":"\\ud800","text":"x","n":' + b"[" * depth + b"]" * depth + b"}" for depth in (999, 1000)]
    assert (texts(b"\n".join(lines)), reasons(b"\n".join(lines))) == (["x"], ["nested too deep"])


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"\ud800", "\N{REPLACEMENT CHARACTER}"),
        (r"a\udc00b", "a\N{REPLACEMENT CHARACTER}b"),
        (r"\ude00\ud83d", "\N{REPLACEMENT CHARACTER}" * 2),
        (r"\ud83d\ud83d\ude00", "\N{REPLACEMENT CHARACTER}\N{GRINNING FACE}"),
        (r"\uD83D\uDE00\ud83d", "\N{GRINNING FACE}\N{REPLACEMENT CHARACTER}"),
        (r"\\ud83d\ud83d", "\\ud83d\N{REPLACEMENT CHARACTER}"),
        (r"\ud83d\\ude00", "\N{REPLACEMENT CHARACTER}\\ude00"),
        (r"\ud83d\n\ude00\u00e9", "\N{REPLACEMENT CHARACTER}\n\N{REPLACEMENT CHARACTER}é"),
    ],
)
def test_each_lone_surrogate_enters_as_one_replacement_character(written, read):
    line = f'{{"text":"{written}","id":"{written}"}}\n'.encode()
    columns = parsed(line, id="id").columns
    assert (columns["text"].to_pylist(), columns["id"].to_pylist()) == ([read], [read])


def test_the_last_of_two_equal_keys_counts():
    assert texts(b'{"text":"a","text":"b"}\n{"text":"a","te\\u0078t":"c"}') == ["b", "c"]


def test_a_dotted_path_reaches_in_unless_the_whole_name_is_a_key():
    lines = [b'{"a":{"b":"in"}}', b'{"a":{"b":"in"},"a.b":"out"}', b'{"a":["b"]}', b'{"a":{"a.b":"no"}}']
    result = parsed(b"\n".join(lines), text="a.b")
    assert result.columns["text"].to_pylist() == ["in", "out"]
    assert [(reject.row, reject.reason) for reject in result.rejects] == [(2, "no text"), (3, "no text")]


def test_a_column_takes_strings_as_they_are_and_the_json_text_of_the_rest():
    values = {
        '"a"': "a",
        "null": None,
        "true": "true",
        "12": "12",
        "1.50": "1.5",
        "18446744073709551615": "18446744073709551615",
        "-123456789012345678901234567890": "-123456789012345678901234567890",
        "9" * 5000: "9" * 5000,
        "1e400": "1e400",
        '[1, "é"]': '[1,"é"]',
        '{"n": 123456789012345678901234567890}': '{"n": 123456789012345678901234567890}',
        "[" * 500 + "]" * 500: "[" * 500 + "]" * 500,
    }
    data = "".join(f'{{"text":"","id":{value}}}\n' for value in values) + '{"text":""}'
    columns = parsed(data.encode(), id="id", columns={"other.id": pa.large_string()}).columns
    assert columns["id"].to_pylist() == [*values.values(), None]
    nested = "".join(f'{{"text":"","other":{{"id":{value}}}}}\n' for value in values)
    result = parsed(nested.encode(), columns={"other.id": pa.large_string()})
    assert result.columns["other.id"].to_pylist() == list(values.values())


def test_a_column_of_numbers_or_booleans_is_null_where_the_value_is_neither():
    values = ["1", "2.5", "true", '"3"', "null", "[1]", "18446744073709551616", "1e400"]
    data = "".join(f'{{"text":"","v":{value},"w":{value}}}\n' for value in values)
    columns = parsed(data.encode(), columns={"v": pa.float64(), "w": pa.bool_()}).columns
    assert columns["v"].to_pylist() == [1, 2.5, None, None, None, None, 2.0**64, float("inf")]
    assert columns["w"].to_pylist() == [None, None, True, None, None, None, None, None]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False)
    | st.text('aé\n"\\{}[]:, \u2028😀\ud800', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "id", 'x"']), inner),
    max_leaves=6,
)
LINE = (
    st.builds(
        lambda value, ascii: json.dumps(value, ensure_ascii=ascii).encode("utf-8", "surrogatepass"),
        st.dictionaries(st.sampled_from(["text", "id", "other"]), JSON, min_size=1) | JSON,
        st.booleans(),
    )
    | st.sampled_from([b"", b" \t", b"{", b'{"text":"x","n":1e999}', b'{"text":"a","text":"b"}'])
    | st.binary(max_size=4).map(lambda raw: raw.replace(b"\n", b""))
)


def naive_documents(data: bytes) -> list[tuple[int, str | None]]:
    """(row, text) of each document, read line by line with the json module."""
    documents = []
    for row, line in enumerate(data.split(b"\n")):
        try:
            record = json.loads(line.decode(), parse_constant=lambda name: 1 / 0)
        except (ValueError, ZeroDivisionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("text", 0), str | None):
            text = record["text"]
            documents.append((row, text and "".join("\ufffd" if "\ud800" <= c < "\ue000" else c for c in text)))
    return documents


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(LINE, max_size=8),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
    st.sampled_from(CODECS),
    st.integers(1, 60),
)
def test_any_file_reads_as_the_json_module_reads_it(shard, lines, ending, is_ended, codec, block_bytes):
    data = ending.join(lines) + (ending if is_ended else b"")
    documents: list[tuple[int, Any]] = []
    content = data.removeprefix(b"\xef\xbb\xbf")
    rejected, blank = [], sum(not line.strip() for line in content.split(b"\n"))
    for block in jsonl.read_lines(shard(encode(data, codec)), codec, block_bytes):
        assert isinstance(block, Lines)
        result = jsonl.parse(block, text="text", id="id", columns={})
        documents += zip(result.rows.tolist(), result.columns["text"].to_pylist(), strict=True)
        for reject in result.rejects:
            assert data[reject.offset :][: len(reject.raw)] == reject.raw
            rejected.append(reject.row)
    assert documents == naive_documents(content)
    assert len(documents) + len(rejected) + blank == data.count(b"\n") + 1


# ---- one value of a line


@pytest.mark.parametrize(
    ("line", "path", "expected"),
    [
        (b'{"text":"old"}\n', "text", b'{"text":"new"}\n'),
        (b'{ "n" : 1.50 , "text" :\t"old" , "x":[] }\r\n', "text",
         b'{ "n" : 1.50 , "text" :\t"new" , "x":[] }\r\n'),
        (b'{"text":"a","text":"b"}', "text", b'{"text":"a","text":"new"}'),
        (b'{"text":null,"n":123456789012345678901234567890}', "text",
         b'{"text":"new","n":123456789012345678901234567890}'),
        (rb'{"te\u0078t":"a\"\\","e":"\u00e9\ud800"}', "text", rb'{"te\u0078t":"new","e":"\u00e9\ud800"}'),
        (b'{"o":{"text":"x"},"s":"\\"text\\":","text":"a"}', "text",
         b'{"o":{"text":"x"},"s":"\\"text\\":","text":"new"}'),
        (b'{"text":"a","o":{"text":"}"}}', "text", b'{"text":"new","o":{"text":"}"}}'),
        (b'{"texts":"a","text":"b","tex":"c"}', "text", b'{"texts":"a","text":"new","tex":"c"}'),
        (b'{"a":{"b":"x","b":"y"},"n":true}', "a.b", b'{"a":{"b":"x","b":"new"},"n":true}'),
        (b'{"a":{"b":"x"},"a":{"b":"y"}}', "a.b", b'{"a":{"b":"x"},"a":{"b":"new"}}'),
        (b'{"a":{"b":"x"},"a.b":"y"}', "a.b", b'{"a":{"b":"x"},"a.b":"new"}'),
        (b'{"a":{"b":{"c":"x"}}}', "a.b.c", b'{"a":{"b":{"c":"new"}}}'),
        (rb'{"\ud83d\ude00\n\u00e9/\/":"x"}', "😀\né//", rb'{"\ud83d\ude00\n\u00e9/\/":"new"}'),
        (rb'{"\ud83d":"x"}', "\N{REPLACEMENT CHARACTER}", rb'{"\ud83d":"new"}'),
        ('{"正文":"x"}'.encode(), "正文", '{"正文":"new"}'.encode()),
    ],
)  # fmt: skip
def test_only_the_text_changes(line, path, expected):
    assert jsonl.replace_text(line, path, "new") == expected
    assert jsonl.replace_text(line, path, b"new") == expected
    assert texts(jsonl.replace_text(line, path, "new"), text=path) == ["new"]


def test_a_new_text_is_escaped_no_more_than_json_needs():
    assert jsonl.replace_text(b'{"text":"x"}', "text", 'é"\\/\n\0\x7f\u2028😀') == (
        '{"text":"é\\"\\\\/\\n\\u0000\x7f\u2028😀"}'.encode()
    )


def test_a_line_without_the_key_is_refused():
    for line, path in [(b"{}", "text"), (b'{"a":"{"}', "a.b"), (b'{"a":{}}', "a.b"), (b'{"texT":1}', "text")]:
        with pytest.raises(ValueError, match=rf"no value at '{path}' in the line"):
            jsonl.replace_text(line, path, "new")


SPACES = st.sampled_from(["", " ", "\t ", "\r"])
KEY = st.sampled_from(
    [
        '"text"',
        r'"te\u0078t"',
        r'"\u0074\u0065\u0078\u0074"',
        '"text "',
        '"t"',
        r'"text\\"',
        r'"\"text"',
        '"é"',
    ]
)
FIELD = st.tuples(SPACES, KEY, SPACES, SPACES, st.builds(json.dumps, JSON, ensure_ascii=st.booleans()), SPACES)


@settings(max_examples=300)
@given(st.lists(FIELD, min_size=1, max_size=6), SPACES, st.sampled_from(["", "\n", "\r\n"]), st.text('a"\\\né😀'))
def test_any_line_keeps_all_its_other_bytes(fields, space, ending, new):
    def line(fields: list[tuple[str, ...]]) -> bytes:
        inside = ",".join(f"{a}{key}{b}:{c}{value}{d}" for a, key, b, c, value, d in fields)
        return f"{space}{{{inside}}}{space}{ending}".encode("utf-8", "surrogatepass")

    matches = [i for i, field in enumerate(fields) if json.loads(field[1]) == "text"]
    if not matches:
        with pytest.raises(ValueError, match="no value"):
            jsonl.replace_text(line(fields), "text", new)
        return
    a, key, b, c, _, d = fields[matches[-1]]
    expected = list(fields)
    expected[matches[-1]] = (a, key, b, c, orjson.dumps(new).decode(), d)
    assert jsonl.replace_text(line(fields), "text", new) == line(expected)


# ---- the columns of a shard


def test_probe_names_the_keys_and_the_types_they_have(shard):
    path = shard(b'{"text":"a","n":1,"o":{"x":[1],"p":{"q":null}}}\nnot JSON\n[1]\n\n{"text":null,"n":true,"o":2.5}\n')
    assert jsonl.probe(path, "none") == {
        "text": {"string", "null"},
        "n": {"number", "boolean"},
        "o": {"object", "number"},
        "o.x": {"list"},
        "o.p": {"object"},
        "o.p.q": {"null"},
    }


def test_probe_reads_the_lines_that_begin_within_its_limit(shard):
    path = shard(b'{"a":1}\n{"b":"' + b"x" * 100 + b'"}\n{"c":1}\n')
    assert {limit: sorted(jsonl.probe(path, "none", limit)) for limit in (1, 8, 9, 60, 200)} == {
        1: ["a"],
        8: ["a"],
        9: ["a", "b"],
        60: ["a", "b"],
        200: ["a", "b", "c"],
    }


def test_probe_passes_over_what_is_broken(shard):
    assert jsonl.probe(shard(encode(DOCUMENTS, "gzip")[:-9]), "gzip") == {
        "id": {"number"},
        "text": {"string"},
    }
    assert jsonl.probe(shard(b"nothing"), "zstd") == {}


# ---- writing


def unpack(path: Path, codec: str) -> bytes:
    data = path.read_bytes()
    if codec == "gzip":
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().decompressobj().decompress(data) if codec == "zstd" else data


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_written_does_not_depend_on_how_it_is_split(tmp_path, codec):
    data = np.random.default_rng(1).integers(97, 105, 3_500_000, np.uint8).tobytes()
    written = []
    for step in (len(data), 1 << 20, 999_983, 70_001):
        writer = LineWriter(tmp_path / "out", codec)
        for start in range(0, len(data), step):
            writer.write(memoryview(data)[start : start + step])
        writer.close()
        written.append((tmp_path / "out").read_bytes())
        assert (unpack(tmp_path / "out", codec) == data, writer.bytes_in) == (True, len(data))
    assert len(set(written)) == 1


def test_a_compressor_is_given_a_mebibyte_a_call(tmp_path, monkeypatch):
    calls = []

    class Compressor:
        def compress(self, data):
            calls.append(len(data))
            return b""

        def flush(self):
            return b""

    monkeypatch.setattr(jsonl.zlib, "compressobj", lambda *_: Compressor())
    for sizes in ([3_000_000], [1_000_000] * 3, [1, 2_999_999], [1 << 20, 3_000_000 - (1 << 20)]):
        calls.clear()
        writer = LineWriter(tmp_path / "out", "gzip")
        for size in sizes:
            writer.write(bytes(size))
        writer.close()
        assert calls == [1 << 20, 1 << 20, 3_000_000 - (1 << 21)]


@pytest.mark.parametrize("codec", CODECS)
def test_an_output_without_bytes_is_a_valid_file(tmp_path, codec):
    writer = LineWriter(tmp_path / "out", codec)
    writer.close()
    writer.close()
    assert (unpack(tmp_path / "out", codec), decoded(tmp_path / "out", codec)) == (b"", (b"", None))
    assert ((tmp_path / "out").stat().st_size > 0) == (codec != "none")


def test_a_gzip_file_bears_no_time_and_no_name(tmp_path):
    writer = LineWriter(tmp_path / "out", "gzip")
    writer.write(DOCUMENTS)
    writer.close()
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    expected = compressor.compress(DOCUMENTS) + compressor.flush()
    assert (expected[3], expected[4:8]) == (0, bytes(4))  # no flags, time 0
    assert (tmp_path / "out").read_bytes() == expected


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_level_may_be_set(tmp_path, codec):
    sizes = []
    for level in (1, 9):
        writer = LineWriter(tmp_path / "out", codec, level)
        writer.write(DOCUMENTS * 20)
        writer.close()
        assert unpack(tmp_path / "out", codec) == DOCUMENTS * 20
        sizes.append((tmp_path / "out").stat().st_size)
    assert sizes[0] > sizes[1]


# ---- real files


def summary(path: Path) -> tuple[int, list[str], str | None]:
    """(documents, reasons of rejection, how it broke off), the codec told by content or else by name."""
    kind, codec, _ = shards.sniff(path)
    assert kind == "jsonl"
    documents, rejected, fault = 0, [], None
    for lines in jsonl.read_lines(path, codec):
        if isinstance(lines, Tail):
            fault = lines.reason
            continue
        result = jsonl.parse(lines, text="text", id="id", columns={})
        documents += len(result.rows)
        rejected += [reject.reason for reject in result.rejects]
    return documents, rejected, fault


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("valid/bom_crlf.jsonl", (3, [], None)),
        ("valid/edge.jsonl", (89, [], None)),
        ("valid/edge.jsonl.gz", (89, [], None)),
        ("valid/edge.jsonl.zst", (89, [], None)),
        ("valid/field_order_extra.jsonl", (6, [], None)),
        ("valid/multiframe.jsonl.zst", (2, [], None)),
        ("valid/multimember.jsonl.gz", (2, [], None)),
        ("valid/one_doc.jsonl", (1, [], None)),
        ("valid/surrogates.jsonl", (5, [], None)),
        ("invalid/bad_crc.jsonl.gz", (200, [], "bad gzip checksum")),
        ("invalid/bad_line_last.jsonl", (50, ["not JSON"], None)),
        ("invalid/bad_line_middle.jsonl", (200, ["not JSON"], None)),
        ("invalid/garbage_tail.jsonl.gz", (200, [], "garbage after the gzip data")),
        ("invalid/gbk_bytes.jsonl", (0, ["not UTF-8"], None)),
        ("invalid/gzip_named_jsonl.jsonl", (200, [], None)),
        ("invalid/invalid_utf8.jsonl", (2, ["not UTF-8"] * 2, None)),
        ("invalid/only_newlines.jsonl", (0, [], None)),
        ("invalid/other_name.jsonl", (0, ["no text"], None)),
        ("invalid/pretty_array.jsonl", (0, ["not JSON"] * 10, None)),
        ("invalid/text_list.jsonl", (0, ["text is a list"], None)),
        ("invalid/text_missing.jsonl", (2, ["no text"], None)),
        ("invalid/text_number.jsonl", (1, ["text is a number"], None)),
        ("invalid/text_object.jsonl", (0, ["text is an object"], None)),
        ("invalid/trailing_comma.jsonl", (0, ["not JSON"], None)),
        ("invalid/truncated.jsonl.gz", (98, [], "truncated")),
        ("invalid/truncated.jsonl.zst", (83, [], "truncated")),
        ("invalid/zero_byte.jsonl.gz", (0, [], None)),
    ],
)
class TestEdge:
    pytestmark = shared

    def test_each_edge_file_gives_its_documents_and_names_the_rest(self, name, expected):
        assert summary(SHARED / "edge" / name) == expected


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_real_lines_with_their_own_text_put_back_mean_the_same():
    for lines in jsonl.read_lines(SHARED / "edge/valid/edge.jsonl.gz", "gzip"):
        assert isinstance(lines, Lines)
        result = jsonl.parse(lines, text="text", id=None, columns={})
        for position, text in zip(result.positions, result.columns["text"].to_pylist(), strict=True):
            line = lines.data[lines.bounds[position] : lines.bounds[position + 1]]
            if text is not None:
                changed = jsonl.replace_text(line, "text", text)
                assert json.loads(changed) == {**json.loads(line), "text": text}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("block_bytes", [16, 100])
def test_an_object_of_more_bytes_than_may_be_held_is_told_with_its_length(codec, block_bytes, shard, monkeypatch):
    data = b'{"a": 1}\n{"text": "' + b"x" * 300 + b'"}\n{}\n'
    path = shard(b"".join(encode(data[at : at + 16], codec) for at in range(0, len(data), 16)))
    with pytest.raises(jsonl.LongLine) as caught:
        list(jsonl.read_lines(path, codec, block_bytes, longest=200))
    assert (caught.value.row, caught.value.size) == (1, 313)
    for name in ("MAX_LINE_BYTES", "MAX_STRANGE_BYTES"):
        monkeypatch.setattr(jsonl, name, 250)  # the shard breaks off there, whatever may be held
    tails = [list(jsonl.read_lines(path, codec, block_bytes, longest=longest))[-1] for longest in (200, None)]
    assert tails[0]._replace(raw=b"") == tails[1]._replace(raw=b"")
    assert tails[0].row == 1
