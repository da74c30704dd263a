"""An object of a store as a file: ranges of megabytes, read ahead where reading goes on."""

from __future__ import annotations

import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dedup.io.store import of


class Reader(io.RawIOBase):
    """An object as a file to read from, by ranges of megabytes.

    What is read on from where the last request ended is asked for in ever longer ranges, up to `ahead` bytes, and from
    EARLY on the next of them while the one before is worked with. The last `held` bytes that came are kept, because
    Parquet's reader comes back to the same column chunks; it says itself what comes next, so nothing is asked early.
    """

    LEAST = 1 << 18
    EARLY = 2 << 20

    def __init__(self, url: str, *, ahead: int = 8 << 20, held: int = 0, until: int | None = None) -> None:
        super().__init__()
        self._store, self._url = of(url), url
        self._ahead, self._most_held, self._until = ahead, held, until
        self._size: int | None = None
        self._at = self._end = 0
        self._window = self.LEAST // 2
        self._held: list[tuple[int, bytes]] = []
        self._thread: ThreadPoolExecutor | None = None
        self._coming: tuple[int, Future[tuple[bytes, int]]] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        self._at = (self.size() if base is None else base) + offset
        return self._at

    def size(self) -> int:
        """Bytes of the object; what is asked for to know it is its end, where Parquet's footer is."""
        if self._size is None:
            data, self._size = self._store.read(self._url, -self.LEAST, None)
            self._held.append((self._size - len(data), data))
        return self._size

    def read(self, count: int = -1) -> bytes:
        """So many bytes, fewer at the end only."""
        count = max(self.size() - self._at, 0) if count < 0 else count
        parts: list[bytes] = []
        while count and (part := self._some(count)):
            parts.append(part)
            self._at += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        part = self._some(len(buffer))
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _some(self, count: int) -> bytes:
        """Up to `count` bytes from where we are; none at the end only."""
        for begin, data in reversed(self._held):
            if begin <= self._at < begin + len(data):
                return data[self._at - begin : self._at - begin + count]
        if self._size is not None and self._at >= self._size:
            return b""
        self._window = min(2 * self._window, self._ahead) if self._at == self._end else self.LEAST
        end = self._at + max(count, self._window)
        if self._until is not None and self._at < self._until:
            end = max(min(end, self._until), self._at + count)
        data, self._size = self._fetch(self._at, end)
        self._end = self._at + len(data)
        self._ask_early()
        self._held.append((self._at, data))
        while len(self._held) > 1 and sum(len(held) for _, held in self._held) > self._most_held:
            del self._held[0]
        return data[:count]

    def _fetch(self, begin: int, end: int) -> tuple[bytes, int]:
        if self._coming is not None:
            (where, answer), self._coming = self._coming, None
            if where == begin:
                return answer.result()
        return self._store.read(self._url, begin, end)

    def _ask_early(self) -> None:
        """Have the next range come while this one is worked with."""
        assert self._size is not None
        until = self._size if self._until is None else min(self._until, self._size)
        if self._most_held or self._window < self.EARLY or self._end >= until:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "range")
        end = min(self._end + min(2 * self._window, self._ahead), until)
        self._coming = self._end, self._thread.submit(self._store.read, self._url, self._end, end)

    def close(self) -> None:
        """Let go of what is on its way."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None
        super().close()
