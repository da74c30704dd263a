"""JSON lines: compressed bytes to whole lines, lines to columns, and one value of a line replaced.

Lines are handed on as blocks of bytes with offsets, because the output is made of the original bytes:
a document that no stage changed is never parsed and dumped again. Decoders run member by member and
block by block, so that a broken file gives everything it holds before the fault, and a small file that
unpacks to terabytes is met one block at a time.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import zstandard

from dedup.buffers import Int64s, frozen
from dedup.io.decode import BLOCK_BYTES, BrokenShard, Codec, blocks, line_start

MAX_RAW_BYTES: Final = 1 << 16
MAX_LINE_BYTES: Final = 1 << 30  # a text of 500 MB passes, written as \uXXXX too
MAX_STRANGE_BYTES: Final = 1 << 26  # of a line that begins no object: an archive of zeros is one such line
MAX_DEPTH: Final = 1000
GZIP_LEVEL: Final = 6
ZSTD_LEVEL: Final = 3
BOM: Final = b"\xef\xbb\xbf"

_ABSENT: Final = object()


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


# ---- lines


class LongLine(Exception):
    """A line of a JSON object has more bytes than its reader may hold: the one at `row`, of `size` bytes."""

    def __init__(self, row: int, size: int) -> None:
        super().__init__(row, size)
        self.row, self.size = row, size


def read_lines(
    path: str | Path,
    codec: Codec,
    block_bytes: int = BLOCK_BYTES,
    begin: int = 0,
    end: int | None = None,
    longest: int | None = None,
) -> Iterator[Lines | Tail]:
    """Whole lines in blocks, and a Tail if the shard breaks off. A byte-order mark is left out.

    It breaks off at a line that is too long to be held, too: what unpacks to terabytes is not read to its end.
    A line that the fault left without its ending counts as whole if it is a JSON object: no proper
    prefix of one is one.

    begin, end   of a plain file, only the lines after the first newline at or beyond byte `begin`, up to those that
                 come so after `end`; rows count from 0 there. Of zstd, where frames begin: offsets count from `begin`
    longest      bytes of an object that may be held; LongLine for one of more, once it is known how long it is
    """
    # A line longer than the longest ends the piece that it begins in, and what lies behind it is not read.
    if codec == "none":
        begin = line_start(path, begin, MAX_LINE_BYTES)
        end = None if end is None else line_start(path, end, MAX_LINE_BYTES)
    row, offset = 0, begin
    pending: list[bytes] = []
    reason: str | None = None
    decoded = blocks(path, codec, block_bytes, begin, end)
    while True:
        try:
            block = next(decoded, None)
        except BrokenShard as fault:
            reason = fault.reason
            block = None
        if block is None:
            break
        cut = block.rfind(b"\n") + 1
        held = sum(map(len, pending)) + (block.find(b"\n") + 1 if cut else len(block))
        if (
            longest is not None
            and held > longest
            and _too_long(head := _head((*pending, block)), MAX_LINE_BYTES) is None
        ):
            pending.clear()
            held += 0 if cut else _bytes_to_newline(decoded, MAX_LINE_BYTES - held)
            if held <= MAX_LINE_BYTES:
                raise LongLine(row, held)
            yield Tail(row, offset, _too_long(head, held) or "", head)
            return
        if held > MAX_STRANGE_BYTES and (too_long := _too_long(_head((*pending, block)), held)):
            yield Tail(row, offset, too_long, _head((*pending, block)))
            return
        if not cut:
            pending.append(block)
            continue
        lines = [_lines(row, offset, b"".join((*pending, memoryview(block)[:cut])))]
        pending = [block[cut:]]
        row += len(lines[0].bounds) - 1
        offset = lines[0].offset + len(lines[0].data)
        yield lines.pop()  # not held here: one line may be most of the memory
    last = _lines(row, offset, b"".join(pending))
    pending.clear()
    if last.data and (reason is None or _is_object(last.data)):
        yield last
        last = _lines(row + 1, last.offset + len(last.data), b"")
    if reason is not None:
        yield Tail(last.first_row, last.offset, reason, last.data[:MAX_RAW_BYTES])


def _bytes_to_newline(decoded: Iterator[bytes], most: int) -> int:
    """How many bytes there are up to the next newline, or to the end; no more are looked at once it is over `most`."""
    size = 0
    with contextlib.suppress(BrokenShard):
        for block in decoded:
            found = block.find(b"\n") + 1
            size += found or len(block)
            if found or size > most:
                break
    return size


def _head(pieces: Sequence[bytes]) -> bytes:
    """The first 64 KiB of some pieces."""
    head = b""
    for piece in pieces:
        head += piece[: MAX_RAW_BYTES - len(head)]
        if len(head) == MAX_RAW_BYTES:
            break
    return head


def _too_long(head: bytes, size: int) -> str | None:
    """Why a line of so many bytes is not read, None if it is."""
    if not head.removeprefix(BOM).lstrip().startswith(b"{"):
        return f"a line of more than {MAX_STRANGE_BYTES >> 20} MiB that begins no object"
    return f"a line of more than {MAX_LINE_BYTES >> 20} MiB" if size > MAX_LINE_BYTES else None


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
    repaired = _ESCAPE.sub(_without_lone_surrogate, line) if b"\\" in line else line  # to look takes 40 ns a byte
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
    from dedup.kernels.jsonl import value_span  # here: whoever changes no line starts a third of a second sooner

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
