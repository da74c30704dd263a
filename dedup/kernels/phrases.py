"""The phrases that C4's rules look for, found by their rarest letters in blocks of text.

A block of 64 bytes is asked at once where three letters begin in it that hardly occur but in a phrase; only there
is the text compared. Case is ignored for ASCII letters.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.block import BLOCK, begins, below, block_at
from dedup.kernels.compile import lean_kernel
from dedup.kernels.word import trailing_zeros

JAVASCRIPT, POLICY = 1, 2


def _phrase(text: str):
    return np.frombuffer(text.encode(), np.uint8)


_JAVASCRIPT = _phrase("javascript")
_COOKIE = _phrase("cookie")
_POLICY = _phrase(" policy")
_PRIVACY_POLICY = _phrase("privacy policy")
_TERMS_OF_USE = _phrase("terms of use")
_USE, _USES, _USE_OF = _phrase("use "), _phrase("uses "), _phrase("use of ")
_LOREM_IPSUM = _phrase("lorem ipsum")
_RARE = begins("jav", "kie", "rms", "cy ", fold=True)
_RARE_IN_LOREM_IPSUM = begins("m i", fold=True)
_BEFORE_RARE = 4  # bytes of "lorem ipsum" before "m i"
_ONE = np.uint64(1)


@lean_kernel
def lower(c):
    """An ASCII letter as a small one, any other byte as it is."""
    return c | 0x20 if 0x41 <= c <= 0x5A else c


@lean_kernel
def matches(data, p, end, phrase):
    """Whether a phrase of small letters stands at p, before `end`."""
    if p < 0 or p + phrase.size > end:
        return False
    k = 0
    while k < phrase.size and lower(data[p + k]) == phrase[k]:
        k += 1
    return k == phrase.size


@lean_kernel
def _phrase_around(data, p, start, end):
    """JAVASCRIPT or POLICY where the rare letters at p belong to such a phrase within start to end, else 0."""
    c = data[p] | 0x20
    if c == 0x6A:  # jav
        return JAVASCRIPT if matches(data, p, end, _JAVASCRIPT) else 0
    if c == 0x6B:  # kie
        p -= 3
        if p < start or not matches(data, p, end, _COOKIE):
            return 0
        if matches(data, p + 6, end, _POLICY):
            return POLICY
        if p + 6 >= end or data[p + 6] | 0x20 != 0x73:
            return 0
        if p - 4 >= start and matches(data, p - 4, end, _USE):
            return POLICY
        if p - 5 >= start and matches(data, p - 5, end, _USES):
            return POLICY
        return POLICY if p - 7 >= start and matches(data, p - 7, end, _USE_OF) else 0
    if c == 0x72:  # rms
        return POLICY if p - 2 >= start and matches(data, p - 2, end, _TERMS_OF_USE) else 0
    return POLICY if p - 5 >= start and matches(data, p - 5, end, _PRIVACY_POLICY) else 0  # cy


@lean_kernel
def find_phrases(data, start, end, wanted):
    """Which of the `wanted` kinds of phrase (JAVASCRIPT | POLICY) stand in data[start:end]; it stops at the first."""
    for p in range(start, end - 2, BLOCK):
        rare = _RARE(block_at(data, p)) & below(end - 2 - p)
        while rare:
            found = _phrase_around(data, p + np.int64(trailing_zeros(rare)), start, end) & wanted
            if found:
                return found
            rare &= rare - _ONE
    return 0


@lean_kernel
def lorem_ipsums(data, block, p, start, end):
    """How many "lorem ipsum" of data[start:end] have their last "m i" in the block at p."""
    count = 0
    rare = _RARE_IN_LOREM_IPSUM(block) & below(end - p)
    while rare:
        at = p + np.int64(trailing_zeros(rare)) - _BEFORE_RARE
        count += at >= start and matches(data, at, end, _LOREM_IPSUM)
        rare &= rare - _ONE
    return count


@lean_kernel
def count_lorem_ipsum(data, start, end):
    """How often "lorem ipsum" stands in data[start:end]."""
    count = 0
    for p in range(start, end, BLOCK):
        count += lorem_ipsums(data, block_at(data, p), p, start, end)
    return count
