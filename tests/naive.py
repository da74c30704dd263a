"""Slow, obvious twins of what the package does fast: tokens, shingles, Jaccard, exact and near duplicates.

Written from design section 6 and sharing nothing with the package, so that a mistake has to be made
twice to go unseen. All pairs are compared; nothing here is meant for more than a thousand texts.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence

import xxhash

Shingles = frozenset[tuple[str, ...]]

UNSPACED = {
    "Han": [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF), (0x3005, 0x3007)],
    "kana": [(0x3040, 0x30FF), (0x31F0, 0x31FF)],
    "Thai": [(0x0E00, 0x0E7F)],
    "Lao": [(0x0E80, 0x0EFF)],
    "Myanmar": [(0x1000, 0x109F), (0xAA60, 0xAA7F), (0xA9E0, 0xA9FF)],
    "Khmer": [(0x1780, 0x17FF), (0x19E0, 0x19FF)],
}


def tokens(text: str) -> list[str]:
    """The tokens of a text, as folded for comparison (design 6.1)."""
    return [token for token, _, _ in _tokens_with_spans(text)]


def token_spans(text: str) -> list[tuple[int, int]]:
    """The UTF-8 bytes of every token: from its first character to past its last letter, digit or mark."""
    return [(start, end) for _, start, end in _tokens_with_spans(text)]


def shingles(text: str, k: int = 5, short: str = "skip") -> Shingles:
    """The set of k consecutive tokens; of a shorter text nothing, or under short="whole" all it has."""
    words = tokens(text)
    if short == "whole" and 0 < len(words) < k:
        return frozenset([tuple(words)])
    return frozenset(tuple(words[i : i + k]) for i in range(len(words) - k + 1))


def jaccard(a: str, b: str, k: int = 5) -> float:
    """Exact Jaccard similarity of two texts; 0 where either has no shingle."""
    return _jaccard(shingles(a, k), shingles(b, k))


def exact(texts: Sequence[str | None]) -> list[tuple[int, int]]:
    """(index, duplicate_of) of every text that an earlier one equals; null is never a duplicate."""
    seen: dict[str, int] = {}
    found = []
    for i, text in enumerate(texts):
        if text is None:
            continue
        if text in seen:
            found.append((i, seen[text]))
        else:
            seen[text] = i
    return found


def near(
    texts: Sequence[str | None],
    threshold: float,
    k: int = 5,
    keep: str = "first",
    order: Sequence[float | None] | None = None,
    sign: int = 1,
    short: str = "skip",
    *,
    references: int = 0,
    priority: Sequence[int] | None = None,
) -> list[tuple[int, int, float, str]]:
    """(index, duplicate_of, similarity, kind) of every duplicate, by index (design 6.6 and 6.8).

    references   so many texts come first and stay, whatever they are like
    priority     of each text; higher ones come before lower ones, whatever `keep` says
    keep   first | last | longest | shortest; ignored where `order` is given
    order  a number a text, as in keep = "highest:quality" (sign = 1) or "lowest:quality" (sign = -1);
           texts without one come last
    """
    precedence = [i for i in keep_order(texts, keep, order, sign) if i >= references]
    if priority is not None:
        precedence.sort(key=lambda i: -priority[i])
    groups: dict[str, list[int]] = defaultdict(list)
    for i in precedence:
        text = texts[i]
        if text is not None:
            groups[text].append(i)

    kept = [(i, shingles(text, k, short)) for i, text in enumerate(texts[:references]) if text is not None]
    known = {text: i for i, text in reversed(list(enumerate(texts[:references])))}
    found = [(i, known[text], 1.0, "exact") for text in known if text is not None for i in groups.pop(text, [])]
    for text, (first, *others) in groups.items():  # a dict remembers the keep order of the first members
        own = shingles(text, k, short)
        twin, similarity = None, 0.0
        for other, its_shingles in kept:
            value = _jaccard(own, its_shingles)
            if value >= threshold and value > similarity:  # of equals the first in keep order remains
                twin, similarity = other, value
        if twin is None:
            kept.append((first, own))
            found += [(i, first, 1.0, "exact") for i in others]
        else:
            found += [(i, twin, similarity, "near") for i in (first, *others)]
    return sorted(found)


def keep_order(
    texts: Sequence[str | None],
    keep: str = "first",
    order: Sequence[float | None] | None = None,
    sign: int = 1,
) -> list[int]:
    """All indices, the one to be kept before all others first; null texts and numbers come last."""
    indices = range(len(texts))
    if order is None and keep == "first":
        return sorted(indices, key=lambda i: (texts[i] is None, i))
    if order is None and keep == "last":
        return sorted(indices, key=lambda i: (texts[i] is None, -i))

    def value(i: int) -> float | None:
        text = texts[i]
        if order is not None:
            number = order[i]
            return None if number is None else -sign * number
        if text is None:
            return None
        return {"longest": -len(text), "shortest": len(text)}[keep]

    def position(i: int) -> tuple[bool, float, int, int]:
        number = value(i)
        return (number is None, 0 if number is None else number, content_hash(texts[i] or ""), i)

    return sorted(indices, key=position)


def content_hash(text: str) -> int:
    """The 128 bits by which equal texts are told and ties are broken."""
    return xxhash.xxh3_128_intdigest(text.encode("utf-8"))


def _jaccard(a: Shingles, b: Shingles) -> float:
    if not a or not b:
        return 0.0
    both = len(a & b)
    return both / (len(a) + len(b) - both)


def _tokens_with_spans(text: str) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    token, start, end = "", 0, 0  # the open token; "" is none
    is_word = False  # whether further letters may join it
    position = 0
    for character in text:
        before, position = position, position + len(character.encode("utf-8"))
        folded = _folded(character)
        kind = _kind(folded)
        if kind == "skipped" or (kind == "mark" and not token):
            continue
        if kind == "mark" or (kind == "letter" and token and is_word):
            token, end = token + folded, position
            continue
        if token:
            found.append((token, start, end))
            token = ""
        if kind != "separator":
            token, start, end = folded, before, position
            is_word = kind == "letter"
    if token:
        found.append((token, start, end))
    return found


def _folded(character: str) -> str:
    compatible = unicodedata.normalize("NFKC", character).lower()
    lower = character.lower()
    if len(compatible) == 1:
        return compatible
    if len(lower) == 1:
        return lower
    return character


def _kind(character: str) -> str:
    """separator | skipped | mark | letter | alone, of a folded character."""
    code_point = ord(character)
    variation_selector = 0xFE00 <= code_point <= 0xFE0F or 0xE0100 <= code_point <= 0xE01EF
    zero_width = 0x200B <= code_point <= 0x200D or code_point in (0x2060, 0xFEFF)
    if variation_selector or zero_width or character == "\N{SOFT HYPHEN}":
        return "skipped"
    category = unicodedata.category(character)
    if category.startswith("M"):
        return "mark"
    if not category.startswith(("L", "N")):
        return "separator"
    for ranges in UNSPACED.values():
        for low, high in ranges:
            if low <= code_point <= high:
                return "alone"
    return "letter"
