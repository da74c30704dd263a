"""What differs between two texts, for a person who looks at a pair: by words, in unspaced scripts by characters.

Words are dedup's own tokens, so that no language has to be told; what stands between them is compared once they are
aligned. The usual diff is quadratic, and documents are large and hostile: stretches that are found once in both texts
tie them together, the shortest edit script (Myers 1986) is looked for between those only, and steps are counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from dedup.buffers import Int64s, UInt64s

EQUAL, LEFT, RIGHT, CUT = "equal", "left", "right", "cut"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
GRAMS = (16, 4, 1)  # tokens of a stretch that ties texts together: long ones first, they say most
SMALL_TOKENS = 4_000  # of two stretches together, that an edit script is looked for between
MOST_EDITS = 400
MOST_STEPS = 2_000_000  # a second or two; what is left then counts as different
_PRIME = np.uint64(0x9E3779B97F4A7C15)


class Span(NamedTuple):
    """A stretch of two texts: in both ("equal"), in one ("left", "right"), or left out of what is shown ("cut")."""

    kind: str
    text: str


class _Tokens(NamedTuple):
    """A text and its tokens: their characters `starts` to `ends` - 1, and a hash of these."""

    text: str
    starts: Int64s
    ends: Int64s
    keys: UInt64s


Block = tuple[int, int, int]  # first token in the left and in the right text, and how many are the same


def differences(left: str, right: str) -> list[Span]:
    """The spans of two texts in order: the equal and left ones make the left text, the equal and right ones the right.

    Words change as a whole; between equal words white space and signs are compared by characters. Deterministic; time
    is linear in the texts, apart from a bounded number of steps: beyond these a stretch is told as changed as a whole.
    """
    if left == right:
        return [Span(EQUAL, left)] if left else []
    a, b = _tokens(left, right)
    blocks = _without_chaff(_Aligner(a.keys, b.keys).blocks(), len(a.keys), len(b.keys))
    return list(_merged(_spans(a, b, blocks)))


def windows(spans: Iterable[Span], *, around: int = 60, most: int = 1_200) -> list[Span]:
    """The spans cut to what a person reads: `around` characters before and after each difference.

    most   characters of everything that is shown; of one difference a third of it
    """
    shown: list[Span] = []
    spans = list(spans)
    left = most
    for number, span in enumerate(spans):
        if left <= 0:
            shown.append(Span(CUT, ELLIPSIS))
            break
        if span.kind == EQUAL:
            parts = _context(span.text, around, is_first=number == 0, is_last=number == len(spans) - 1)
        else:
            parts = [_shortened(span, min(left, max(most // 3, 1)))]
        left -= sum(len(part.text) for part in parts)
        shown += parts
    return shown


def _context(text: str, around: int, *, is_first: bool, is_last: bool) -> list[Span]:
    """Equal text beside differences: its end, its beginning or both."""
    head = 0 if is_first and not is_last else around * (2 if is_first else 1)
    tail = 0 if is_last else around
    if len(text) <= head + tail + around // 2:
        return [Span(EQUAL, text)]
    parts = [Span(EQUAL, text[:head]), Span(CUT, ELLIPSIS), Span(EQUAL, text[len(text) - tail :])]
    return [part for part in parts if part.text]


def _shortened(span: Span, most: int) -> Span:
    """A difference without its middle; the ellipsis is its own, as nothing is left out of the other text."""
    if len(span.text) <= most:
        return span
    tail = most // 3
    return Span(span.kind, span.text[: most - tail] + ELLIPSIS + span.text[len(span.text) - tail :])


# Tokens


def _tokens(left: str, right: str) -> tuple[_Tokens, _Tokens]:
    from dedup.kernels.utf8 import hash_spans
    from dedup.segment import words

    # A lone surrogate has no UTF-8; it becomes one sign, so that characters keep their places.
    encoded = [text.encode("utf-8", "replace") for text in (left, right)]
    texts = pa.array(encoded, pa.large_binary()).cast(pa.large_string())
    found = words(pa.record_batch({"text": texts}), "tokens")[1]
    keys = np.empty(len(found.starts), np.uint64)
    if len(keys):  # as they stand: tokens are folded, and a person wants to see what case and width changed
        hash_spans(found.data, found.offsets, found.base, found.starts, found.ends, keys)
    one, other = (
        _Tokens(
            text,
            _characters(data, found.starts[begin:end]),
            _characters(data, found.ends[begin:end]),
            keys[begin:end],
        )
        for text, data, (begin, end) in zip((left, right), encoded, pairwise(found.offsets.tolist()), strict=True)
    )
    return one, other


def _characters(data: bytes, places: np.ndarray) -> Int64s:
    """Places in UTF-8 as places among characters."""
    begins = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    before = np.concatenate([[0], np.cumsum(begins, dtype=np.int32)])
    found: Int64s = before[places].astype(np.int64)
    return found


# Alignment


class _Aligner:
    """Finds the tokens that two sequences have in common, in order, within a number of steps."""

    def __init__(self, a: UInt64s, b: UInt64s) -> None:
        self._a, self._b = a, b
        self._steps = MOST_STEPS

    def blocks(self) -> list[Block]:
        """The common stretches, ascending in both and as long as they can be."""
        found: list[Block] = []
        for i, j, n in self._align(0, len(self._a), 0, len(self._b), GRAMS):
            if found and found[-1][0] + found[-1][2] == i and found[-1][1] + found[-1][2] == j:
                first, second, count = found.pop()
                i, j, n = first, second, count + n
            found.append((i, j, n))
        return found

    def _align(self, i: int, i_end: int, j: int, j_end: int, grams: Sequence[int]) -> Iterator[Block]:
        same = _same(self._a[i:i_end], self._b[j:j_end])
        if same:
            yield i, j, same
        i, j = i + same, j + same
        same = _same(self._a[i:i_end][::-1], self._b[j:j_end][::-1])
        i_end, j_end = i_end - same, j_end - same
        if i < i_end and j < j_end:
            yield from self._between(i, i_end, j, j_end, grams)
        if same:
            yield i_end, j_end, same

    def _between(self, i: int, i_end: int, j: int, j_end: int, grams: Sequence[int]) -> Iterator[Block]:
        a, b = self._a[i:i_end], self._b[j:j_end]
        if len(a) + len(b) <= SMALL_TOKENS:
            script = self._shortest(a.tolist(), b.tolist())
            if script is not None:
                yield from ((i + x, j + y, 1) for x, y in script)
                return
        if not grams:
            return
        at_a, at_b = i, j
        for x, y, n in _anchors(a, b, grams[0]):
            yield from self._align(at_a, i + x, at_b, j + y, grams[1:])
            yield i + x, j + y, n
            at_a, at_b = i + x + n, j + y + n
        yield from self._align(at_a, i_end, at_b, j_end, grams[1:])

    def _shortest(self, a: list[int], b: list[int]) -> list[tuple[int, int]] | None:
        """Pairs of equal tokens of a shortest edit script; None where it has too many edits or takes too many steps."""
        reached = {1: 0}
        trace: list[dict[int, int]] = []
        for edits in range(min(len(a) + len(b), MOST_EDITS) + 1):
            trace.append(dict(reached))
            for k in range(-edits, edits + 1, 2):
                down = k == -edits or (k != edits and reached[k - 1] < reached[k + 1])
                x = begun = reached[k + 1] if down else reached[k - 1] + 1
                while x < len(a) and x - k < len(b) and a[x] == b[x - k]:
                    x += 1
                self._steps -= x - begun + 1
                reached[k] = x
                if x >= len(a) and x - k >= len(b):
                    return _walked_back(trace, len(a), len(b))
            if self._steps < 0:
                return None
        return None


def _walked_back(trace: Sequence[dict[int, int]], x: int, y: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for edits in range(len(trace) - 1, -1, -1):
        reached, k = trace[edits], x - y
        down = k == -edits or (k != edits and reached[k - 1] < reached[k + 1])
        before = k + 1 if down else k - 1
        from_x = reached[before] if edits else 0
        from_y = from_x - before if edits else 0
        while x > from_x and y > from_y:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        x, y = from_x, from_y
    return pairs[::-1]


def _same(a: UInt64s, b: UInt64s) -> int:
    """How many tokens are equal before the first that is not."""
    n = min(len(a), len(b))
    unequal = np.flatnonzero(a[:n] != b[:n])
    return int(unequal[0]) if len(unequal) else n


def _anchors(a: UInt64s, b: UInt64s, size: int) -> Iterator[Block]:
    """Stretches of `size` tokens that are once in each, as many as can stand in the same order, joined and disjoint."""
    if min(len(a), len(b)) < size:
        return
    found_a, found_b = _found_once(a, size), _found_once(b, size)
    _, in_a, in_b = np.intersect1d(found_a[0], found_b[0], assume_unique=True, return_indices=True)
    at_a, at_b = found_a[1][in_a], found_b[1][in_b]
    order = np.argsort(at_a)
    at_a, at_b = at_a[order], at_b[order]
    chosen = np.array(_longest_ascent(at_b.tolist()), np.int64)
    if not len(chosen):
        return
    at_a, at_b = at_a[chosen], at_b[chosen]
    step_a, step_b = np.diff(at_a), np.diff(at_b)
    breaks = np.flatnonzero((step_a != step_b) | (step_a > size)) + 1
    done_a = done_b = 0
    for some_a, some_b in zip(np.split(at_a, breaks), np.split(at_b, breaks), strict=True):
        skip = max(done_a - int(some_a[0]), done_b - int(some_b[0]), 0)
        first_a, first_b = int(some_a[0]) + skip, int(some_b[0]) + skip
        count = int(some_a[-1]) + size - first_a
        if count > 0:
            yield first_a, first_b, count
            done_a, done_b = first_a + count, first_b + count


def _found_once(keys: UInt64s, size: int) -> tuple[UInt64s, Int64s]:
    """(hash, place) of the stretches of `size` tokens that are there once."""
    count = len(keys) - size + 1
    hashes = np.zeros(count, np.uint64)
    for k in range(size):
        hashes = (hashes ^ keys[k : k + count]) * _PRIME
        hashes ^= hashes >> np.uint64(29)
    values, places, counts = np.unique(hashes, return_index=True, return_counts=True)
    return values[counts == 1], places[counts == 1]


def _longest_ascent(values: Sequence[int]) -> list[int]:
    """Places of a longest ascending subsequence of distinct numbers."""
    ends: list[int] = []  # the least last number of an ascent of each length
    places: list[int] = []
    before: list[int] = []
    for place, value in enumerate(values):
        at = bisect_left(ends, value)
        before.append(places[at - 1] if at else -1)
        ends[at : at + 1] = [value]
        places[at : at + 1] = [place]
    chosen = []
    place = places[-1] if places else -1
    while place >= 0:
        chosen.append(place)
        place = before[place]
    return chosen[::-1]


def _without_chaff(blocks: Sequence[Block], a_size: int, b_size: int) -> list[Block]:
    """The blocks without those that are shorter than what changes on either side: "the" in two other sentences."""
    kept: list[Block] = []
    for number, (i, j, n) in enumerate(blocks):
        last_i, last_j, last_n = kept[-1] if kept else (0, 0, 0)
        next_i, next_j, _ = blocks[number + 1] if number + 1 < len(blocks) else (a_size, b_size, 0)
        before = max(i - last_i - last_n, j - last_j - last_n)
        after = max(next_i - i - n, next_j - j - n)
        if n >= min(before, after):
            kept.append((i, j, n))
    return kept


# Spans


def _spans(a: _Tokens, b: _Tokens, blocks: Sequence[Block]) -> Iterator[Span]:
    at_a = at_b = token_a = token_b = 0
    for i, j, n in [*blocks, (len(a.starts), len(b.starts), 0)]:
        end_a, end_b = (a.starts[i], b.starts[j]) if n else (len(a.text), len(b.text))
        yield from _changed(_region(a, at_a, end_a, token_a, i), _region(b, at_b, end_b, token_b, j))
        if n:
            yield from _block(a, b, i, j, n)
            at_a, at_b = a.ends[i + n - 1], b.ends[j + n - 1]
            token_a, token_b = i + n, j + n


def _block(a: _Tokens, b: _Tokens, i: int, j: int, n: int) -> Iterator[Span]:
    """Equal tokens, and what stands between them."""
    whole = a.text[a.starts[i] : a.ends[i + n - 1]]
    if whole == b.text[b.starts[j] : b.ends[j + n - 1]]:
        yield Span(EQUAL, whole)
        return
    starts_a, ends_a = a.starts[i : i + n].tolist(), a.ends[i : i + n].tolist()
    starts_b, ends_b = b.starts[j : j + n].tolist(), b.ends[j : j + n].tolist()
    for k in range(n):
        if k:
            gap_a = a.text[ends_a[k - 1] : starts_a[k]]
            gap_b = b.text[ends_b[k - 1] : starts_b[k]]
            yield from _changed((gap_a, "", ""), (gap_b, "", ""))
        yield Span(EQUAL, a.text[starts_a[k] : ends_a[k]])


def _region(tokens: _Tokens, begin: int, end: int, first: int, until: int) -> tuple[str, str, str]:
    """What stands before, in and after the tokens `first` to `until` - 1, of the characters `begin` to `end` - 1."""
    if first == until:
        return tokens.text[begin:end], "", ""
    inner, after = tokens.starts[first], tokens.ends[until - 1]
    return tokens.text[begin:inner], tokens.text[inner:after], tokens.text[after:end]


def _changed(one: tuple[str, str, str], other: tuple[str, str, str]) -> Iterator[Span]:
    """Spans of what stands between equal tokens: its first and last characters may be equal, words are not cut."""
    head = _common(one[0], other[0])
    left, right = one[0][head:], other[0][head:]
    ends = [rest[-1] if any(rest[1:]) else gap for gap, rest in ((left, one), (right, other))]
    tail = _common(ends[0][::-1], ends[1][::-1])
    left, right = left + one[1] + one[2], right + other[1] + other[2]
    yield Span(EQUAL, one[0][:head])
    yield Span(LEFT, left[: len(left) - tail])
    yield Span(RIGHT, right[: len(right) - tail])
    yield Span(EQUAL, left[len(left) - tail :])


def _common(one: str, other: str) -> int:
    """How many characters are equal before the first that is not."""
    return next((n for n, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other)))


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    """The spans without empty ones; of those between two equal ones, one a side."""
    held: dict[str, list[str]] = {LEFT: [], RIGHT: []}
    equal: list[str] = []
    for span in spans:
        if not span.text:
            continue
        if span.kind == EQUAL:
            yield from _taken(held)
            equal.append(span.text)
        else:
            if equal:
                yield Span(EQUAL, "".join(equal))
                equal = []
            held[span.kind].append(span.text)
    yield from _taken(held)
    if equal:
        yield Span(EQUAL, "".join(equal))


def _taken(held: dict[str, list[str]]) -> Iterator[Span]:
    for kind, texts in held.items():
        if texts:
            yield Span(kind, "".join(texts))
            texts.clear()
