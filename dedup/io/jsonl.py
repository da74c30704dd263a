"""JSON lines: compressed bytes to whole lines, lines to columns, and one value of a line replaced.

Lines are handed on as blocks of bytes with offsets, because the output is made of the original bytes:
a document that no stage changed is never parsed and dumped again. Decoders run member by member and
block by block, so that a broken file gives everything it holds before the fault, and a small file that
unpacks to terabytes is met one block at a time.
"""

from __future__ import annotations

import functools
import json
import re
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import zstandard
from isal import isal_zlib

from dedup.buffers import Int64s, frozen
from dedup.errors import DedupError
from dedup.kernels.jsonl import value_span

Codec = Literal["none", "gzip", "zstd"]

BLOCK_BYTES: Final = 1 << 20
READ_BYTES: Final = 1 << 17  # small, because each gzip member copies what is left of the piece it ends in
MAX_RAW_BYTES: Final = 1 << 16
MAX_DEPTH: Final = 1000
MAX_WINDOW_BYTES: Final = 1 << 31  # `zstd --long=31`, in which large public corpora are published
GZIP_LEVEL: Final = 6
ZSTD_LEVEL: Final = 3
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC: Final = b"\x1f\x8b"
BOM: Final = b"\xef\xbb\xbf"

_ABSENT: Final = object()
_IsalError: Any = isal_zlib.error


class BrokenShard(DedupError):
    """A file cannot be decoded past this point; what came before is good."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Lines(NamedTuple):
    """Whole lines: line i is data[bounds[i]:bounds[i + 1]], its ending included.

    first_row  physical row of the first; blank lines count
    offset     of data[0] in the decoded file
    bounds     n + 1 offsets; only the last line of a file may lack its ending
    """

    first_row: int
    offset: int
    data: bytes
    bounds: Int64s


class Tail(NamedTuple):
    """How a shard broke off: where, why, and the first 64 KiB of the line that was lost (b"" if none)."""

    row: int
    offset: int
    reason: str
    raw: bytes


class Reject(NamedTuple):
    """A line that is not a document."""

    row: int
    offset: int
    reason: str
    raw: bytes


class Parsed(NamedTuple):
    """The documents of a block of lines: rows in the shard, positions in the block, and columns."""

    rows: Int64s
    positions: Int64s
    columns: dict[str, pa.Array]
    rejects: list[Reject]


# ---- bytes


def sniff(path: str | Path) -> tuple[str, str]:
    """("parquet", ""), ("jsonl", codec) or ("unknown", why), by content; names are often wrong."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if head.startswith(b"PAR1"):
        return "parquet", ""
    if head.startswith(GZIP_MAGIC):
        return "jsonl", "gzip"
    if head.startswith(ZSTD_MAGIC) or _is_skippable(head[:4]):
        return "jsonl", "zstd"
    if b"\0" in head:
        return "unknown", "neither JSONL nor Parquet (it holds NUL bytes)"
    return "jsonl", "none"


def blocks(path: str | Path, codec: Codec, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The decoded bytes, about `size` at a time; raises BrokenShard after the last byte before a fault."""
    with open(path, "rb", buffering=READ_BYTES) as file:
        if codec == "none":
            yield from iter(lambda: file.read(size), b"")
        else:
            yield from _gathered(_gzip(file, size) if codec == "gzip" else _zstd(file), size)


def _gathered(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of at most `size`, unless one piece alone is more."""
    held: list[bytes] = []
    held_bytes = 0
    fault: BrokenShard | None = None
    try:
        for piece in pieces:
            if held and held_bytes + len(piece) > size:
                yield b"".join(held)
                held, held_bytes = [], 0
            if piece:
                held.append(piece)
                held_bytes += len(piece)
    except BrokenShard as error:
        fault = error
    if held:
        yield b"".join(held)
    if fault is not None:
        raise fault


def _gzip(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Decode member by member; zeros between and after members are padding."""
    member = 0
    rest = file.read(READ_BYTES)
    while rest:
        if len(rest) < len(GZIP_MAGIC):
            rest += file.read(READ_BYTES)
        if not rest.startswith(GZIP_MAGIC):
            raise BrokenShard("garbage after the gzip data" if member else "not gzip data")
        rest = yield from _gzip_member(file, member, rest, size)
        while True:
            rest = rest.lstrip(b"\0")
            if rest:
                break
            rest = file.read(READ_BYTES)
            if not rest:
                return
        member = file.tell() - len(rest)


def _gzip_member(file: BinaryIO, member: int, rest: bytes, size: int) -> Generator[bytes, None, bytes]:
    """Give one member's bytes; returns the input that follows it."""
    decoder = isal_zlib.decompressobj(wbits=31)
    given = 0
    while not decoder.eof:
        if not rest:
            rest = file.read(READ_BYTES)
        try:
            piece = decoder.decompress(rest, size)
        except _IsalError:
            return (yield from _gzip_member_to_its_fault(file, member, given, size))
        if not rest and not piece and not decoder.eof:
            raise BrokenShard("truncated")
        rest = decoder.unconsumed_tail
        given += len(piece)
        yield piece
    return bytes(decoder.unused_data)


def _gzip_member_to_its_fault(file: BinaryIO, member: int, given: int, size: int) -> Generator[bytes, None, bytes]:
    """Give what a faulty member holds beyond its first `given` bytes, then raise.

    isal drops the output of the call that fails. zlib's decoder can be copied: a call that fails is
    repeated with half the input, so that all but the faulty byte itself is decoded. Twice the work,
    for broken files only.
    """
    file.seek(member)
    decoder = zlib.decompressobj(wbits=31)
    rest = b""
    step = READ_BYTES
    while not decoder.eof:
        if not rest:
            rest = file.read(READ_BYTES)
        before = decoder.copy()
        try:
            piece = decoder.decompress(rest[:step], size)
        except zlib.error as error:
            step = min(step, len(rest)) // 2
            if step == 0:
                is_checksum = "check" in str(error) and "header" not in str(error)
                raise BrokenShard("bad gzip checksum" if is_checksum else "corrupt gzip data") from None
            decoder = before
            continue
        if not rest and not piece and not decoder.eof:
            raise BrokenShard("truncated")
        rest = (decoder.unused_data or decoder.unconsumed_tail) + rest[step:]
        new = piece[given:]
        given -= len(piece) - len(new)
        yield new
    return rest


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    """Decode frame by frame; skippable frames are nothing, nor are zeros between and after frames.

    The decoder is fed one block of a frame at a time. It cannot be told how much to give at most, and
    a block is at most 128 KiB; and only so is an end without end of frame seen.
    """
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    is_first = True
    while True:
        magic = b""
        while len(magic) < 4:
            more = file.read(4 - len(magic))
            if not more:
                break
            magic = (magic + more).lstrip(b"\0")
        if not magic:
            return
        if _is_skippable(magic):
            _skip(file, int.from_bytes(_exactly(file, 4), "little"))
        elif magic == ZSTD_MAGIC:
            try:
                yield from _zstd_frame(file, decoder.decompressobj())
            except zstandard.ZstdError as error:
                is_checksum = "checksum" in str(error)
                reason = "bad zstd checksum" if is_checksum else f"corrupt zstd data ({error})"
                raise BrokenShard(reason) from None
        else:
            raise BrokenShard("not zstd data" if is_first else "garbage after the zstd data")
        is_first = False


def _zstd_frame(file: BinaryIO, decoder: Any) -> Iterator[bytes]:
    """Give the blocks of the frame whose magic number has been read (RFC 8878, 3.1.1)."""
    descriptor = _exactly(file, 1)
    flags = descriptor[0]
    is_single_segment = bool(flags & 0x20)
    size_bytes = (int(is_single_segment), 2, 4, 8)[flags >> 6]
    header = _exactly(file, int(not is_single_segment) + (0, 1, 2, 4)[flags & 3] + size_bytes)
    yield decoder.decompress(ZSTD_MAGIC + descriptor + header)
    is_last = False
    while not is_last:
        block_header = _exactly(file, 3)
        number = int.from_bytes(block_header, "little")
        is_last = bool(number & 1)
        is_run = (number >> 1) & 3 == 1
        yield decoder.decompress(block_header + _exactly(file, 1 if is_run else number >> 3))
    if flags & 4:
        decoder.decompress(_exactly(file, 4))


def _is_skippable(magic: bytes) -> bool:
    return len(magic) == 4 and magic[1:] == b"\x2a\x4d\x18" and magic[0] & 0xF0 == 0x50


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise BrokenShard("truncated")
    return data


def _skip(file: BinaryIO, count: int) -> None:
    while count:
        count -= len(_exactly(file, min(count, READ_BYTES)))


# ---- lines


def read_lines(path: str | Path, codec: Codec, block_bytes: int = BLOCK_BYTES) -> Iterator[Lines | Tail]:
    """Whole lines in blocks, and a Tail if the shard breaks off. A byte-order mark is left out.

    A line that the fault left without its ending counts as whole if it is a JSON object: no proper
    prefix of one is one.
    """
    row = offset = 0
    pending: list[bytes] = []
    reason: str | None = None
    decoded = blocks(path, codec, block_bytes)
    while True:
        try:
            block = next(decoded, None)
        except BrokenShard as fault:
            reason = fault.reason
            block = None
        if block is None:
            break
        cut = block.rfind(b"\n") + 1
        if not cut:
            pending.append(block)
            continue
        lines = _lines(row, offset, b"".join((*pending, memoryview(block)[:cut])))
        pending = [block[cut:]]
        row += len(lines.bounds) - 1
        offset = lines.offset + len(lines.data)
        yield lines
    last = _lines(row, offset, b"".join(pending))
    if last.data and (reason is None or _is_object(last.data)):
        yield last
        last = _lines(row + 1, last.offset + len(last.data), b"")
    if reason is not None:
        yield Tail(last.first_row, last.offset, reason, last.data[:MAX_RAW_BYTES])


def _lines(row: int, offset: int, data: bytes) -> Lines:
    if offset == 0 and data.startswith(BOM):
        offset, data = len(BOM), data[len(BOM) :]
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    unended = [len(data)] if data and not data.endswith(b"\n") else []
    return Lines(row, offset, data, frozen(np.concatenate(([0], ends, unended)).astype(np.int64, copy=False)))


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(_value(line), dict)
    except _Refused:
        return False


# ---- documents


class _Refused(ValueError):
    """Why a line is not a document."""


def parse(
    lines: Lines,
    *,
    text: str,
    id: str | None,
    columns: Mapping[str, pa.DataType],
    keep: npt.NDArray[np.bool_] | None = None,
) -> Parsed:
    """The documents among the lines, with columns "text", "id" (if asked for) and those of `columns`.

    A path a.b.c reaches into nested objects, unless the object itself has a key of that whole name.
    Types are large_string (what is no string becomes its JSON text), float64 and bool (what is
    neither becomes null). Lines where `keep` is False are passed over. Blank lines are nothing.
    """
    find_text = _finder(text)
    texts: list[str | None] = []
    others = {} if id is None else {"id": _column(id, pa.large_string())}
    others |= {name: _column(name, type) for name, type in columns.items() if name not in {"text", *others}}
    values: dict[str, list[Any]] = {name: [] for name in others}
    fields = [(values[name].append, convert) for name, convert in others.items()]
    positions: list[int] = []
    rejects: list[Reject] = []
    loads, data, bounds = orjson.loads, lines.data, lines.bounds.tolist()
    for i in range(len(bounds) - 1) if keep is None else np.flatnonzero(keep).tolist():
        line = data[bounds[i] : bounds[i + 1]]
        try:
            try:
                record = loads(line)
            except orjson.JSONDecodeError:
                if not line.strip():
                    continue
                record = _value_after_repair(line)
            if type(record) is not dict:
                raise _Refused("not an object")
            value = find_text(record)
            if type(value) is not str and value is not None:
                raise _Refused("no text" if value is _ABSENT else _NOT_TEXT[type(value)])
            # Two brackets a level, and a character of text is a byte or more: few lines have room.
            if len(line) - len(value or "") > 2 * MAX_DEPTH:
                _check_depth(record)
        except _Refused as refused:
            rejects.append(Reject(lines.first_row + i, lines.offset + bounds[i], str(refused), line))
            continue
        positions.append(i)
        texts.append(value)
        for append, convert in fields:
            append(convert(record, line))
    at = np.asarray(positions, np.int64)
    arrays = {name: pa.array(values[name], columns.get(name, pa.large_string())) for name in others}
    return Parsed(
        frozen(at + lines.first_row),
        frozen(at),
        {"text": pa.array(texts, pa.large_string()), **arrays},
        rejects,
    )


def _value_after_repair(line: bytes) -> Any:
    """The value of a line that orjson refused, if it is JSON all the same; raises _Refused.

    Lone surrogates become U+FFFD; numbers beyond a double, which orjson also refuses, become infinite.
    """
    try:
        line.decode()
    except UnicodeDecodeError:
        raise _Refused("not UTF-8") from None
    repaired = _ESCAPE.sub(_without_lone_surrogate, line)
    try:
        return orjson.loads(repaired)
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(repaired.decode(), parse_constant=_refuse_constant, parse_int=_integer)
        _check_depth(value)
    except RecursionError:
        raise _Refused("nested too deep") from None
    except _Refused:
        raise
    except ValueError:
        raise _Refused("not JSON") from None
    return value


def _value(line: bytes) -> Any:
    """The value of a line; raises _Refused."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return _value_after_repair(line)


_EXPONENT: Final = re.compile(rb"[0-9]e\+?[0-9]")

# A valid pair, a half alone, or any other escape: the order keeps a pair, or a backslash, from being cut.
_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def _without_lone_surrogate(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[1] else escape[0]


def _refuse_constant(_: str) -> Any:
    raise _Refused("NaN")


def _integer(digits: str) -> int | float:
    # Python refuses to read integers of more than 4,300 digits.
    return int(digits) if len(digits) <= 4000 else float(digits)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if type(item) is dict:
                inner += item.values()
            elif type(item) is list:
                inner += item
        level = [item for item in inner if type(item) is dict or type(item) is list]
        if not level:
            return
    raise _Refused("nested too deep")


_TYPE_NAMES: Final = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    list: "list",
    dict: "object",
}


_NOT_TEXT: Final = {
    int: "text is a number",
    float: "text is a number",
    bool: "text is a boolean",
    list: "text is a list",
    dict: "text is an object",
}


def _finder(path: str) -> Callable[[dict[str, Any]], Any]:
    """Finds the value at a path in an object; _ABSENT where it leads nowhere."""
    parts = path.split(".")

    def find(record: dict[str, Any]) -> Any:
        value: Any = record.get(path, _ABSENT)
        if value is not _ABSENT or len(parts) == 1:
            return value
        value = record
        for part in parts:
            if type(value) is not dict:
                return _ABSENT
            value = value.get(part, _ABSENT)
        return value

    return find


def _column(path: str, type: pa.DataType) -> Callable[[dict[str, Any], bytes], Any]:
    """Makes the value of a column of this type from an object and its line."""
    find = _finder(path)
    if type == pa.bool_():

        def convert(record: dict[str, Any], line: bytes) -> Any:
            value = find(record)
            return value if value is True or value is False else None

    elif type == pa.float64():

        def convert(record: dict[str, Any], line: bytes) -> Any:
            value = find(record)
            return _double(value) if value.__class__ in {int, float} else None

    else:

        def convert(record: dict[str, Any], line: bytes) -> Any:
            value = find(record)
            if value.__class__ is str or value is None:
                return value
            return None if value is _ABSENT else _json_text(value, line, path)

    return convert


def _double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _json_text(value: Any, line: bytes, path: str) -> str:
    """The JSON text of a value that is no string.

    As orjson writes it; as it stands in the line where a number may have lost digits on the way (a big
    integer comes as a double of 16 digits and an exponent) or where orjson cannot write it.
    """
    try:
        written = orjson.dumps(value)
        if written != b"null" and not _EXPONENT.search(written):
            return str(written, "utf-8")
    except TypeError:
        pass  # nested deeper than 254, or an integer of more than 64 bits
    start, end = _span(line, path)
    return line[start:end].decode()


# ---- one value of a line


def replace_text(line: bytes, text_path: str, new: str | bytes) -> bytes:
    """The line with `new` as the value of its last key `text_path`, every other byte as it was.

    The line is a valid JSON object that has the key; the path leads where it leads in `parse`. `new` is
    the text itself, as str or UTF-8.
    """
    start, end = _span(line, text_path)
    if start < 0:
        raise ValueError(f"no value at {text_path!r} in the line")
    value = orjson.dumps(new.decode() if isinstance(new, bytes) else new)
    return b"".join((line[:start], value, line[end:]))


def _span(line: bytes, path: str) -> tuple[int, int]:
    """Where the value at a path stands in a line; (-1, -1) where it leads nowhere."""
    view = np.frombuffer(line, np.uint8)
    start, end = value_span(view, 0, _key(path))
    parts = path.split(".")
    if start >= 0 or len(parts) == 1:
        return start, end
    start = 0
    for depth, part in enumerate(parts):
        if depth and line[start] != ord("{"):
            return -1, -1
        start, end = value_span(view, start, _key(part))
        if start < 0:
            break
    return start, end


@functools.cache
def _key(name: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(name.encode(), np.uint8)


def probe(path: str | Path, codec: Codec, limit: int = BLOCK_BYTES) -> dict[str, set[str]]:
    """The keys of the lines that begin in the first `limit` bytes, each with the JSON types it has there.

    Keys of nested objects come as dotted paths too. What is broken is passed over.
    """
    types: dict[str, set[str]] = {}
    for lines in read_lines(path, codec, limit):
        if isinstance(lines, Tail) or lines.offset >= limit:
            break
        bounds = lines.bounds.tolist()
        for start, end in pairwise(bounds):
            if lines.offset + start >= limit:
                break
            try:
                record = _value(lines.data[start:end])
            except _Refused:
                continue
            if type(record) is dict:
                _add_types(record, types)
    return types


def _add_types(record: dict[str, Any], types: dict[str, set[str]]) -> None:
    waiting = [("", record)]
    while waiting:
        prefix, parent = waiting.pop()
        for key, value in parent.items():
            types.setdefault(prefix + key, set()).add(_TYPE_NAMES[type(value)])
            if type(value) is dict:
                waiting.append((f"{prefix}{key}.", value))


# ---- writing


class LineWriter:
    """Writes a file, plain or compressed, whose bytes do not depend on how they were split into writes.

    Compressors are given exactly 1 MiB a call: zlib 1.3 and zstd 1.5 made the same bytes of 7 bytes to
    6 MB a call, but neither promises it. gzip has time 0 and no name, zstd is one frame with a checksum.
    An output without bytes is a valid empty file.
    """

    def __init__(self, path: str | Path, codec: Codec, level: int | None = None) -> None:
        self.bytes_in = 0
        self._held = bytearray()
        self._compressor: Any = None
        if codec == "gzip":
            self._compressor = zlib.compressobj(GZIP_LEVEL if level is None else level, zlib.DEFLATED, 31)
        elif codec == "zstd":
            self._compressor = zstandard.ZstdCompressor(
                level=ZSTD_LEVEL if level is None else level, write_checksum=True
            ).compressobj()
        self._file = open(path, "wb", buffering=BLOCK_BYTES)  # noqa: SIM115 - closed by close()

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data).cast("B")
        self.bytes_in += len(view)
        if self._compressor is None:
            self._file.write(view)
            return
        while len(self._held) + len(view) >= BLOCK_BYTES:
            taken = BLOCK_BYTES - len(self._held)
            self._held += view[:taken]
            view = view[taken:]
            self._file.write(self._compressor.compress(self._held))
            self._held = bytearray()
        self._held += view

    def close(self) -> None:
        """Write what is held and close the file; does nothing the second time."""
        if self._file.closed:
            return
        try:
            if self._compressor is not None:
                self._file.write(self._compressor.compress(self._held))
                self._file.write(self._compressor.flush())
        finally:
            self._file.close()
