"""The language of a text: langdetect's model evaluated on every n-gram of the text's beginning, instead of at random.

Scripts decide first: ideographs, kana and Hangul outweigh a page's markup, and most scripts have one language among
those known. Everything else is scored. Reading a text, removing addresses and cutting n-grams repeat langdetect's
code character by character, its quirks included; only drawing n-grams by lot is left out.
"""

from __future__ import annotations

import math

import numpy as np

from dedup.kernels.compile import kernel
from dedup.kernels.profiles import (
    CODE_BITS,
    CODE_POINTS,
    LANES,
    MULTIPLIER,
    NEAR,
    NO_SYMBOL,
    SLOT_BITS,
    SYMBOL_BITS,
)
from dedup.kernels.script import CODE_POINTS as SCRIPT_CODE_POINTS
from dedup.kernels.script import HAN, HAN_SIMPLIFIED, HAN_TRADITIONAL, HANGUL, KANA, LATIN
from dedup.kernels.utf8 import char_bytes, code_point

SPARE = 64  # characters read beyond the limit: an address may take back as many
URL_LONGEST, NAME_LONGEST, HOST_LONGEST = 2_076, 64, 255

# An ideograph or syllable says as much as some letters, so that Chinese with much markup is Chinese.
IDEOGRAPH = 3
KANA_SHARE, HANGUL_SHARE = 20, 4  # ideographs for one kana in Japanese, for one Hangul in Korean, at most

SEVERAL, NO_LANGUAGE = -1, -2  # a script for which the profiles must tell; one that none of them is written in

# A long text's evidence is brought down to that of so many n-grams: a score is then of use, not always 1.
SAMPLE = 50

_URL, _NAME, _HOST = 1, 2, 4
_KINDS = np.zeros(128, np.uint8)
_ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
for _kind, _others in ((_URL, "-_.?&~;+=/#"), (_NAME, "-_."), (_HOST, "-_")):
    for _character in _ALPHANUMERIC + _others:
        _KINDS[ord(_character)] |= _kind

_MULTIPLIER = np.uint64(MULTIPLIER)
_SLOT_SHIFT = np.uint64(64 - SLOT_BITS)
_SLOT_MASK = np.uint64((1 << SLOT_BITS) - 1)
_CODE_BITS = np.uint64(CODE_BITS)
_CODE_MASK = np.uint64((1 << CODE_BITS) - 1)
_SECOND, _FIRST = np.uint64(SYMBOL_BITS), np.uint64(2 * SYMBOL_BITS)
FOLD = 1_024  # n-grams whose sum float32 holds to five digits
ROWS = 8


@kernel
def _url_end(data, p, end):
    """Past the web address that begins at p; p if none does."""
    if end - p < 8 or data[p] != 0x68 or data[p + 1] != 0x74 or data[p + 2] != 0x74 or data[p + 3] != 0x70:
        return p
    q = p + 5 if data[p + 4] == 0x73 else p + 4
    if data[q] != 0x3A or data[q + 1] != 0x2F or data[q + 2] != 0x2F:
        return p
    first = q + 3
    q = first
    last = min(end, first + URL_LONGEST)
    while q < last and data[q] < 0x80 and _KINDS[data[q]] & _URL:
        q += 1
    return q if q > first else p


@kernel
def _run_end(data, p, end, kind):
    """Past the run of characters of a kind from p, which a web address ends."""
    last = min(end, p + HOST_LONGEST)
    while p < last and data[p] < 0x80 and _KINDS[data[p]] & kind:
        if data[p] == 0x68 and _url_end(data, p, end) > p:
            break
        p += 1
    return p


@kernel
def _mail_end(data, p, end):
    """Past the mail address whose @ is at p; p if none is there."""
    host = _run_end(data, p + 1, end, _HOST)
    if host == p + 1:
        return p
    q = _run_end(data, host, end, _NAME)
    return q if q > host or host > p + 2 else p


@kernel
def read(data, p, end, limit, vietnamese, out):
    """The first `limit` characters of data[p:end] as langdetect reads them; gives their number.

    Web and mail addresses are a space, Vietnamese letters and their marks are one.

    out   uint32[>= limit + SPARE + 1]   code points
    """
    n = 0
    name = 0  # how many of the last characters may be the name of a mail address
    may_compose = False
    while p < end and n < limit + SPARE:
        c = data[p]
        if c < 0x80:
            q = p
            if c == 0x68:
                q = _url_end(data, p, end)
            elif c == 0x40 and name > 0:
                q = _mail_end(data, p, end)
                if q > p:
                    n -= min(name, NAME_LONGEST)
            if q > p:
                out[n] = 0x20
                name = 0
                p = q
            else:
                out[n] = c
                name = name + 1 if _KINDS[c] & _NAME else 0
                p += 1
            n += 1
            may_compose = True
            continue
        w = code_point(data, p)
        p += np.int64(char_bytes(c))
        name = 0
        if may_compose and 0x300 <= w <= 0x323 and out[n - 1] < vietnamese.shape[0]:
            mark = -1
            if w == 0x300 or w == 0x301:
                mark = np.int64(w) - 0x300
            elif w == 0x303:
                mark = 2
            elif w == 0x309:
                mark = 3
            elif w == 0x323:
                mark = 4
            if mark >= 0 and vietnamese[out[n - 1], mark] != 0:
                out[n - 1] = vietnamese[out[n - 1], mark]
                may_compose = False
                continue
        out[n] = w
        n += 1
        may_compose = True
    return min(n, limit)


@kernel
def count_kinds(characters, n, kinds, out):
    """How many letters of each kind the characters hold: int64[KINDS], overwritten. Gives their sum."""
    out[:] = 0
    for i in range(n):
        c = characters[i]
        if c < SCRIPT_CODE_POINTS:
            out[kinds[c]] += 1
    out[0] = 0
    return out.sum()


@kernel
def drop_latin(characters, n):
    """Take out what langdetect calls Latin where the rest is more than twice as much; gives the number left.

    'A' to 'z' with the six signs between is Latin, and all from U+0300 on is not, Vietnamese letters included.
    """
    latin = others = 0
    for i in range(n):
        c = characters[i]
        latin += 0x41 <= c <= 0x7A
        others += c >= 0x300
    if latin * 2 >= others:
        return n
    left = 0
    for i in range(n):
        c = characters[i]
        if c < 0x41 or c > 0x7A:
            characters[left] = c
            left += 1
    return left


@kernel
def _far_code(slots, first, second, third):
    key = np.uint64(first) << _FIRST | np.uint64(second) << _SECOND | np.uint64(third)
    at = key * _MULTIPLIER >> _SLOT_SHIFT
    while True:
        entry = slots[at]
        if entry >> _CODE_BITS == key:
            return np.int32(entry & _CODE_MASK)
        if entry == 0:
            return np.int32(0)
        at = (at + np.uint64(1)) & _SLOT_MASK


@kernel
def cut(characters, n, symbols, upper, one, two, three, slots, out):
    """Codes of the n-grams that a profile knows, in langdetect's order; gives their number.

    A space stands for all that is no letter, one for many; from the second of two adjacent upper-case letters to
    the next that is none there are no n-grams.

    out   int32[>= 3 * n]
    """
    m = 0
    before, last = np.int64(0), np.int64(0)  # symbols
    known = np.int64(one.size - 2)  # symbols from here on are in no profile
    capitals = False
    for i in range(n):
        c = characters[i]
        s = np.int64(symbols[c]) if c < CODE_POINTS else known
        if last == 0:
            if s == 0:
                continue
            capitals = False
        if upper[s]:
            capitals = capitals or upper[last]
        else:
            capitals = False
        if not capitals and s < known:
            out[m] = one[s]
            m += out[m] != 0  # the space has no code
            near = s < NEAR and last < NEAR
            if near:
                out[m] = two[last * NEAR + s]
                m += out[m] != 0
            elif last < known:
                out[m] = _far_code(slots, NO_SYMBOL, last, s)
                m += out[m] != 0
            if last != 0 and last < known and before < known:
                if near and before < NEAR:
                    out[m] = three[(before * NEAR + last) * NEAR + s]
                else:
                    out[m] = _far_code(slots, before, last, s)
                m += out[m] != 0
        before, last = last, s
    return m


@kernel
def _add_rows(dense, codes, first, out):
    """Add ROWS rows of `dense`: a sum is loaded and stored once for all of them."""
    a, b, c, d = dense[codes[first]], dense[codes[first + 1]], dense[codes[first + 2]], dense[codes[first + 3]]
    e, f, g, h = dense[codes[first + 4]], dense[codes[first + 5]], dense[codes[first + 6]], dense[codes[first + 7]]
    for j in range(LANES):
        out[j] += ((a[j] + b[j]) + (c[j] + d[j])) + ((e[j] + f[j]) + (g[j] + h[j]))


@kernel
def weigh(codes, m, dense, sparse, lanes, values, scratch, out):
    """What the n-grams say together for each lane: float64[LANES], overwritten.

    codes     int32[m]             overwritten
    scratch   float32[2, LANES]    rows of `dense` and entries of `sparse` are summed apart: mixing eight languages
                                   at a time with one at a time stalls the processor
    """
    out[:] = 0.0
    own, few = scratch[0], scratch[1]
    most = dense.shape[0]
    for first in range(0, m, FOLD):
        own[:] = np.float32(0)
        few[:] = np.float32(0)
        n = first
        for k in range(first, min(m, first + FOLD)):
            code = np.int64(codes[k])
            if code < most:
                codes[n] = code
                n += 1
            else:
                for e in range(sparse[code - most], sparse[code - most + 1]):
                    few[lanes[e]] += values[e]
        whole = n - (n - first) % ROWS
        for k in range(first, whole, ROWS):
            _add_rows(dense, codes, k, own)
        for k in range(whole, n):
            row = dense[codes[k]]
            for j in range(LANES):
                own[j] += row[j]
        for j in range(LANES):
            out[j] += np.float64(own[j]) + np.float64(few[j])


@kernel
def by_script(counts, letters, lane_of_kind, score):
    """The lane that the scripts of the letters name, SEVERAL or NO_LANGUAGE; its score goes to score[0].

    counts         int64[KINDS]   letters of each kind; `letters` is their sum, > 0
    lane_of_kind   int64[KINDS]   language of a script, SEVERAL or NO_LANGUAGE

    The score is the share of the letters that are of the language's script, an ideograph counted as IDEOGRAPH.
    """
    han = counts[HAN] + counts[HAN_TRADITIONAL] + counts[HAN_SIMPLIFIED]
    kana, hangul = counts[KANA], counts[HANGUL]
    east = han + kana + hangul
    others = letters - east
    total = np.float64(others + IDEOGRAPH * east)
    if IDEOGRAPH * east >= others:
        if hangul > kana and hangul * HANGUL_SHARE >= han:
            kind, own = HANGUL, hangul + han
        elif kana > 0 and kana * KANA_SHARE >= han:
            kind, own = KANA, kana + han
        else:
            kind, own = HAN, han
        score[0] = IDEOGRAPH * own / total
        return lane_of_kind[kind]
    kind = LATIN
    for k in range(LATIN + 1, counts.size):
        if counts[k] > counts[kind]:
            kind = k
    score[0] = counts[kind] / total
    return lane_of_kind[kind] if 2 * counts[kind] >= letters else np.int64(SEVERAL)


@kernel
def rank(sums, m, allowed, lanes, scores):
    """The likeliest lanes and their probabilities, best first, into lanes int32[k] and scores float64[k]; -1: none.

    Of m n-grams more than SAMPLE count as SAMPLE of the same kind.
    """
    scale = min(1.0, SAMPLE / m)
    best = -np.inf
    for j in range(allowed.size):
        if allowed[j]:
            best = max(best, sums[j])
    total = 0.0
    for j in range(allowed.size):
        if allowed[j]:
            sums[j] = math.exp((sums[j] - best) * scale)
            total += sums[j]
        else:
            sums[j] = -1.0
    for r in range(lanes.size):
        found = 0
        for j in range(1, allowed.size):
            if sums[j] > sums[found]:
                found = j
        if sums[found] <= 0.0:
            break
        lanes[r] = found
        scores[r] = sums[found] / total
        sums[found] = -1.0


@kernel
def identify(offsets, data, limit, kinds, lane_of_kind, allowed, profiles, characters, codes, lanes, scores, counts):
    """The likeliest languages of every text, from its first `limit` characters.

    offsets, data  int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    kinds          uint8[...]      script.table()
    lane_of_kind   int64[KINDS]    language of a script, SEVERAL or NO_LANGUAGE
    allowed        bool[<= LANES]  lanes that profiles may name; others only a script names
    profiles       Profiles
    characters     uint32[limit + SPARE + 1], codes int32[3 * limit]   scratch
    lanes, scores  int32[n, k], float64[n, k]    overwritten; the likeliest first, -1 and NaN for none
    counts         int64[n, KINDS]               overwritten; letters of each script
    """
    lanes[:] = -1
    scores[:] = np.nan
    scratch = np.empty((2, LANES), np.float32)
    sums = np.empty(LANES, np.float64)
    for i in range(offsets.size - 1):
        n = read(data, offsets[i], offsets[i + 1], limit, profiles.vietnamese, characters)
        letters = count_kinds(characters, n, kinds, counts[i])
        if letters == 0:
            continue
        lane = by_script(counts[i], letters, lane_of_kind, scores[i])
        if lane >= 0:
            lanes[i, 0] = lane
            continue
        scores[i, 0] = np.nan
        if lane == NO_LANGUAGE:
            continue
        n = drop_latin(characters, n)
        m = cut(
            characters, n, profiles.symbols, profiles.upper, profiles.one, profiles.two, profiles.three,
            profiles.slots, codes,
        )  # fmt: skip
        if m > 0:
            weigh(codes, m, profiles.dense, profiles.sparse, profiles.lanes, profiles.values, scratch, sums)
            rank(sums, m, allowed, lanes[i], scores[i])


@kernel
def count_letters(offsets, data, limit, kinds, vietnamese, characters, counts):
    """Letters of each script in the first `limit` characters of every text, as `identify` counts them."""
    for i in range(offsets.size - 1):
        n = read(data, offsets[i], offsets[i + 1], limit, vietnamese, characters)
        count_kinds(characters, n, kinds, counts[i])
