"""The phrases that C4's line rules look for, found by their rarest letters in blocks of text.

A block of 32 bytes is asked at once, in vector instructions, whether three letters begin in it that hardly
occur but in a phrase; only then are its bytes looked at one by one. Case is ignored for ASCII letters.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import kernel

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
_BLOCK = 32
# Of a byte, so that vectors hold bytes: with plain numbers the look costs several times as much.
_SMALL = np.uint8(0x20)
_A, _C, _E, _I, _J, _K, _M, _R, _S, _V, _Y = (np.uint8(ord(letter)) for letter in "aceijkmrsvy")


@kernel
def lower(c):
    """An ASCII letter as a small one, any other byte as it is."""
    return c | 0x20 if 0x41 <= c <= 0x5A else c


@kernel
def matches(data, p, end, phrase):
    """Whether a phrase of small letters stands at p, before `end`."""
    if p < 0 or p + phrase.size > end:
        return False
    k = 0
    while k < phrase.size and lower(data[p + k]) == phrase[k]:
        k += 1
    return k == phrase.size


@kernel
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


@kernel
def _is_rare(a, b, c):
    """Whether three bytes are jav, kie, rms, or cy and a space, whatever their case; now and then others are too."""
    a, b, c = a | _SMALL, b | _SMALL, c | _SMALL
    return (
        ((a == _J) & (b == _A) & (c == _V))
        | ((a == _K) & (b == _I) & (c == _E))
        | ((a == _R) & (b == _M) & (c == _S))
        | ((a == _C) & (b == _Y) & (c == _SMALL))
    )


@kernel
def find_phrases(data, start, end, wanted):
    """Which of the `wanted` kinds of phrase (JAVASCRIPT | POLICY) stand in data[start:end]; it stops at the first."""
    p = start
    while p < end:
        if p + _BLOCK + 2 <= data.size:
            hits = np.uint8(0)
            for k in range(_BLOCK):
                hits = np.uint8(hits + np.uint8(_is_rare(data[p + k], data[p + k + 1], data[p + k + 2])))
            if hits == 0:
                p += _BLOCK
                continue
        for q in range(p, min(p + _BLOCK, end - 2)):
            if _is_rare(data[q], data[q + 1], data[q + 2]):
                found = _phrase_around(data, q, start, end) & wanted
                if found:
                    return found
        p += _BLOCK
    return 0


@kernel
def count_lorem_ipsum(data, start, end):
    """How often "lorem ipsum" stands in data[start:end]."""
    count = 0
    p = start
    while p + _LOREM_IPSUM.size <= end:
        if data[p] | 0x20 == 0x6C and matches(data, p, end, _LOREM_IPSUM):
            count += 1
            p += _LOREM_IPSUM.size
        else:
            p += 1
    return count


@kernel
def has_byte(data, start, end, byte):
    """Whether a byte occurs in data[start:end]."""
    p = start
    while p + _BLOCK <= end:
        hits = np.uint8(0)
        for k in range(_BLOCK):
            hits = np.uint8(hits + np.uint8(data[p + k] == byte))
        if hits:
            return True
        p += _BLOCK
    while p < end and data[p] != byte:
        p += 1
    return p < end
