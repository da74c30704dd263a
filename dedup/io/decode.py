"""Compressed files to blocks of bytes: gzip by member, zstd by frame, plain as it is.

Each fault is raised only after every byte decoded before it was given, so that a broken file gives everything it
holds, and a small file that unpacks to terabytes is met one block at a time.
"""

from __future__ import annotations

import contextlib
import io
import os
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import zstandard
from isal import isal_zlib

from dedup.errors import DedupError
from dedup.io.place import open_file

Codec = Literal["none", "gzip", "zstd"]

BLOCK_BYTES: Final = 1 << 20
READ_BYTES: Final = 1 << 17  # small, because each gzip member copies what is left of the piece it ends in
MAX_SKIPPED_BYTES: Final = 1 << 30  # of a line whose begin lies in the frames before
MAX_WINDOW_BYTES: Final = 1 << 31  # `zstd --long=31`, in which large public corpora are published
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC: Final = b"\x1f\x8b"

_IsalError: Any = isal_zlib.error


class BrokenShard(DedupError):
    """A file cannot be decoded past this point; what came before is good."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def blocks(
    path: str | Path, codec: Codec, size: int = BLOCK_BYTES, begin: int = 0, end: int | None = None
) -> Iterator[bytes]:
    """The decoded bytes, about `size` at a time; raises BrokenShard after the last byte before a fault.

    begin, end   of a plain file, only the bytes from `begin` up to `end`; of zstd, where two frames begin: only what
                 follows the first newline that is decoded from `begin` on, up to the first from `end` on
    """
    with open_file(path, READ_BYTES, until=end) as file:
        if codec == "none":
            file.seek(begin)
            left = size if end is None else end - begin
            while block := file.read(min(size, left)):
                yield block
                left -= len(block) if end is not None else 0
        else:
            file.seek(begin)
            yield from _gathered(_gzip(file, size) if codec == "gzip" else _zstd_lines(file, begin, end), size)


def beginning(data: bytes, codec: Codec, most: int) -> tuple[bytes, int]:
    """What the first bytes of a file decode to, up to about `most` bytes, and how many of them that took."""
    if codec == "none":
        return data, len(data)
    pieces: list[bytes] = []
    size = 0
    file = io.BytesIO(data)
    pairs = ((0, piece) for piece in _gzip(file, BLOCK_BYTES)) if codec == "gzip" else _zstd(file)
    with contextlib.suppress(BrokenShard):  # of which the data may be the first part
        for _, piece in pairs:
            pieces.append(piece)
            size += len(piece)
            if size >= most:
                break
    return b"".join(pieces), file.tell()


def line_start(path: str | Path, at: int, most: int) -> int:
    """Where the line begins that follows the first newline at or beyond byte `at` of a plain file; from 0, at 0.

    The end of the file where there is none, or none within `most` bytes.
    """
    if at == 0:
        return 0
    with open_file(path, buffering=0) as file:
        file.seek(at)
        size = 1 << 14  # most lines end soon; one that does not is read by the block
        left = most
        while left > 0 and (block := file.read(size)):
            found = block.find(b"\n")
            if found >= 0:
                return at + found + 1
            at += len(block)
            left -= len(block)
            size = BLOCK_BYTES
        return file.seek(0, os.SEEK_END)


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


def frame_starts(path: str | Path) -> list[int]:
    """Where the frames of a zstd file begin, skippable ones apart, up to the first that is broken.

    Told by the headers of frames and blocks, 3 bytes in each 128 KiB that are decoded; nothing is decompressed.
    """
    starts: list[int] = []
    with open(path, "rb", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        at = file.seek(0)
        try:
            while magic := _magic(file):
                at = file.tell() - len(magic)
                if _is_skippable(magic):
                    file.seek(int.from_bytes(_exactly(file, 4), "little"), os.SEEK_CUR)
                    continue
                if magic != ZSTD_MAGIC:
                    break
                for _, count in _blocks_of_frame(file, _frame_header(file)):
                    file.seek(count, os.SEEK_CUR)
                if file.tell() > size:
                    break
                starts.append(at)
        except BrokenShard:
            pass  # the scan says what is wrong with it
    return starts


def _zstd_lines(file: BinaryIO, begin: int, end: int | None) -> Iterator[bytes]:
    """What follows the first newline from `begin` on (from 0: all), up to the first from `end` on."""
    skipped = 0
    is_skipping = begin > 0
    for at, piece in _zstd(file, begin):
        found = piece.find(b"\n") + 1
        if end is not None and at >= end and found:
            if not is_skipping:
                yield piece[:found]
            return
        if is_skipping and not found:
            skipped += len(piece)
            if skipped > MAX_SKIPPED_BYTES:
                return  # the piece before ends its shard with this line
            continue
        yield piece[found:] if is_skipping else piece
        is_skipping = False


def _zstd(file: BinaryIO, begin: int = 0) -> Iterator[tuple[int, bytes]]:
    """Decode frame by frame: (where its frame begins, bytes); from `begin`, where one does.

    Skippable frames are nothing, nor are zeros between and after frames. The decoder is fed one
    block of a frame at a time. It cannot be told how much to give at most, and a block is at most 128 KiB; and only so
    is an end without end of frame seen.
    """
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    is_first = begin == 0
    while magic := _magic(file):
        at = file.tell() - len(magic)
        if _is_skippable(magic):
            _skip(file, int.from_bytes(_exactly(file, 4), "little"))
        elif magic == ZSTD_MAGIC:
            try:
                for piece in _zstd_frame(file, decoder.decompressobj()):
                    yield at, piece
            except zstandard.ZstdError as error:
                is_checksum = "checksum" in str(error)
                reason = "bad zstd checksum" if is_checksum else f"corrupt zstd data ({error})"
                raise BrokenShard(reason) from None
        else:
            raise BrokenShard("not zstd data" if is_first else "garbage after the zstd data")
        is_first = False


def _zstd_frame(file: BinaryIO, decoder: Any) -> Iterator[bytes]:
    """Give the blocks of the frame whose magic number has been read (RFC 8878, 3.1.1)."""
    header = _frame_header(file)
    yield decoder.decompress(ZSTD_MAGIC + header)
    for block_header, size in _blocks_of_frame(file, header):
        yield decoder.decompress(block_header + _exactly(file, size))


def _magic(file: BinaryIO) -> bytes:
    """The next 4 bytes that do not begin with zeros; fewer at the end of the file."""
    magic = b""
    while len(magic) < 4:
        more = file.read(4 - len(magic))
        if not more:
            break
        magic = (magic + more).lstrip(b"\0")
    return magic


def _frame_header(file: BinaryIO) -> bytes:
    """The header of a frame without its magic number, which has been read."""
    descriptor = _exactly(file, 1)
    flags = descriptor[0]
    is_single_segment = bool(flags & 0x20)
    size_bytes = (int(is_single_segment), 2, 4, 8)[flags >> 6]
    return descriptor + _exactly(file, int(not is_single_segment) + (0, 1, 2, 4)[flags & 3] + size_bytes)


def _blocks_of_frame(file: BinaryIO, header: bytes) -> Iterator[tuple[bytes, int]]:
    """(header, bytes behind it) of each block, then of the checksum; whoever takes them moves behind those."""
    is_last = False
    while not is_last:
        block_header = _exactly(file, 3)
        number = int.from_bytes(block_header, "little")
        is_last = bool(number & 1)
        is_run = (number >> 1) & 3 == 1
        yield block_header, 1 if is_run else number >> 3
    if header[0] & 4:
        yield b"", 4


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
