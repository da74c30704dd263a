"""Where personal data stands in a text: e-mail addresses, public IP addresses, and numbers of phones, cards and people.

Two looks at the bytes, eight at a time: one for "@", one for digits. What stands around is read only there, by
hand-written steps of bounded length instead of regular expressions, so that the whole is linear and costs about
as much as counting line breaks. An e-mail address is found first; numbers are looked for between addresses.
"""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import kernel
from dedup.kernels.word import HIGH, LOW, load8, trailing_zeros

EMAIL, IPV4, IPV6, PHONE, CREDIT_CARD, IDENTITY_NUMBER = range(6)
KINDS = 6

_AT_SIGNS = np.uint64(0x4040404040404040)
_ZEROS = np.uint64(0x3030303030303030)
_OVER_NINE = np.uint64(0x7676767676767676)

LOCAL_BYTES = 64  # of an e-mail address before "@"
_LABEL_BYTES = 63
_LABELS = 8
_RUN = 20  # digits; a longer run is none of these numbers

_DIGIT, _LETTER, _LOCAL, _HEX, _WORD = 1, 2, 4, 8, 16
_CLASS = np.zeros(256, np.uint8)
for _c in range(128):
    _s = chr(_c)
    _CLASS[_c] = (
        _DIGIT * _s.isdigit() + _LETTER * _s.isalpha() + _LOCAL * (_s.isalnum() or _s in "._%+-")
        + _HEX * (_s in "0123456789abcdefABCDEF") + _WORD * (_s.isalnum() or _s == "_")
    )  # fmt: skip

# Last and first address of what is not public (IANA's special-purpose registry, multicast, reserved).
_SPECIAL_IPV4 = np.array(
    [
        (0x00000000, 0x00FFFFFF), (0x0A000000, 0x0AFFFFFF), (0x64400000, 0x647FFFFF), (0x7F000000, 0x7FFFFFFF),
        (0xA9FE0000, 0xA9FEFFFF), (0xAC100000, 0xAC1FFFFF), (0xC0000000, 0xC00000FF), (0xC0000200, 0xC00002FF),
        (0xC0A80000, 0xC0A8FFFF), (0xC6120000, 0xC613FFFF), (0xC6336400, 0xC63364FF), (0xCB007100, 0xCB0071FF),
        (0xE0000000, 0xFFFFFFFF),
    ],
    np.int64,
)  # fmt: skip

# Whether a telephone number may begin with three digits: country codes of ITU-T E.164 (+2147483647 is none).
_COUNTRIES = np.zeros(1000, np.bool_)
_COUNTRIES[100:200] = _COUNTRIES[700:800] = True
for _c in (20, 27, *range(30, 35), 36, 39, 40, 41, *range(43, 50), *range(51, 59), *range(60, 67), 81, 82, 84, 86):
    _COUNTRIES[_c * 10 : _c * 10 + 10] = True
for _c in (22, 23, 24, 25, 26, 29, 35, 37, 38, 42, 50, 59, 67, 68, 80, 85, 87, 88, *range(90, 100)):
    _COUNTRIES[_c * 10 : _c * 10 + 10] = True
_COUNTRIES[[211, 212, 213, 216, 218]] = True

_PROVINCES = np.zeros(100, np.bool_)
_PROVINCES[[11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46]] = True
_PROVINCES[[50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83, 91]] = True
_MONTH_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], np.int64)
_CHECKS = np.frombuffer(b"10X98765432", np.uint8)


@kernel
def _is(data, p, end, classes):
    """Whether there is a byte at p and it is of one of the classes."""
    return p < end and _CLASS[data[p]] & classes != 0


@kernel
def _at(data, p, end):
    """The byte at p as an int64, 0 past the end."""
    return np.int64(data[p]) if p < end else np.int64(0)


@kernel
def _run(data, p, end):
    """Digits from p on, at most _RUN."""
    n = 0
    while n < _RUN and _is(data, p + n, end, _DIGIT):
        n += 1
    return n


@kernel
def _number(data, p, n):
    """The value of n digits."""
    value = np.int64(0)
    for k in range(n):
        value = value * 10 + np.int64(data[p + k]) - 0x30
    return value


@kernel
def _begins(data, p, begin):
    """Whether a number may begin at p: not in a word, a longer number, a path, an assignment or a handle."""
    if p == begin:
        return True
    c = data[p - 1]
    if _CLASS[c] & _WORD or c == 0x3D or c == 0x40 or c == 0x2B or c == 0x24:  # = @ + $
        return False
    two = data[p - 2] if p - 2 >= begin else np.uint8(0)
    if c == 0x2F:  # after "/" only another number or another script
        return two >= 0x80 or _CLASS[two] & _DIGIT != 0
    if c == 0x2D:
        return _CLASS[two] & _WORD == 0
    return c != 0x2E or _CLASS[two] & _DIGIT == 0


@kernel
def _ends(data, p, end):
    """Whether a number may end before p: a word, a longer number, a file name or an address does not go on."""
    if p >= end:
        return True
    c = data[p]
    if _CLASS[c] & _WORD or c == 0x40:
        return False
    following = _at(data, p + 1, end)
    if c == 0x2E:
        return not (0x30 <= following <= 0x39 or 0x61 <= following <= 0x7A)
    if c == 0x2D:
        return _CLASS[following] & _WORD == 0
    return c != 0x2F or not 0x61 <= following <= 0x7A


@kernel
def _local_start(data, low, at):
    """Where the local part before the "@" at `at` begins; `at` if there is none."""
    low = max(low, at - LOCAL_BYTES)
    start = p = at
    while p > low:
        c = data[p - 1]
        if _CLASS[c] & _LOCAL == 0 or (c == 0x2E and (p == at or data[p] == 0x2E)):
            break
        p -= 1
        if _CLASS[c] & _WORD:
            start = p
    return start


@kernel
def _is_picture(data, p, end):
    """Whether the label is the ending of a picture's file name, as in icon@2x.png."""
    x = np.int64(0)
    for k in range(p, end):
        x = x << 8 | np.int64(data[k] | 0x20)
    three = end - p == 3 and (x == 0x706E67 or x == 0x6A7067 or x == 0x676966 or x == 0x737667)  # png jpg gif svg
    return three or (end - p == 4 and (x == 0x6A706567 or x == 0x77656270))  # jpeg webp


@kernel
def _domain_end(data, p, end):
    """Where the longest domain name from p on ends; 0 if there is none."""
    found = np.int64(0)
    for labels in range(_LABELS + 1):
        start = p
        while p - start <= _LABEL_BYTES and (_is(data, p, end, _DIGIT | _LETTER) or _at(data, p, end) == 0x2D):
            p += 1
        if labels > 0:
            q = start
            while q < p and _CLASS[data[q]] & _LETTER:
                q += 1
            last = q == p or data[q] == 0x2D
            if last and 2 <= q - start <= _LABEL_BYTES and not _is_picture(data, start, q):
                found = q
        size = p - start
        if size == 0 or size > _LABEL_BYTES or data[start] == 0x2D or data[p - 1] == 0x2D or _at(data, p, end) != 0x2E:
            break
        p += 1
    return found


@kernel
def _ipv4_end(data, p, begin, end):
    """Where the public IPv4 address at p ends; 0 if it is none, or a version."""
    if p > begin:
        c, two = data[p - 1], data[p - 2] if p - 2 >= begin else np.uint8(0)
        if (
            _CLASS[c] & _WORD
            or c == 0x2E
            or (c == 0x2F and _CLASS[two] & _WORD)
            or (c == 0x2D and _CLASS[two] & _LETTER)
        ):
            return 0
    address = np.int64(0)
    largest = np.int64(0)
    for k in range(4):
        n = _run(data, p, end)
        value = _number(data, p, min(n, 4))
        if n == 0 or n > 3 or value > 255 or (n > 1 and data[p] == 0x30):
            return 0
        address = address << 8 | value
        largest = max(largest, value)
        p += n
        if k < 3:
            if _at(data, p, end) != 0x2E:
                return 0
            p += 1
    following = _at(data, p + 1, end)
    if _is(data, p, end, _WORD) or (_at(data, p, end) == 0x2D and _CLASS[following] & _LETTER):
        return 0
    if _at(data, p, end) == 0x2E and (0x30 <= following <= 0x39 or 0x61 <= following <= 0x7A):
        return 0
    if largest < 10 and address < 8 << 24:  # 5.2.1.3 is a section or a version, 8.8.8.8 an address
        return 0
    for k in range(_SPECIAL_IPV4.shape[0]):
        if _SPECIAL_IPV4[k, 0] <= address <= _SPECIAL_IPV4[k, 1]:
            return 0
    return p


@kernel
def _hex(data, p, end):
    """(value of the hexadecimal digits at p, how many: at most 5)."""
    value = np.int64(0)
    n = 0
    while n < 5 and _is(data, p + n, end, _HEX):
        c = np.int64(data[p + n])
        value = value << 4 | (c - 0x30 if c <= 0x39 else (c | 0x20) - 0x57)
        n += 1
    return value, n


@kernel
def _ipv6_end(data, p, begin, end):
    """Where the public IPv6 address at p (2000::/3, nothing special) ends; 0 if it is none."""
    if p > begin and (_CLASS[data[p - 1]] & _WORD or data[p - 1] == 0x3A or data[p - 1] == 0x2E):
        return 0
    first, n = _hex(data, p, end)
    if n != 4 or _at(data, p + 4, end) != 0x3A:
        return 0
    second, _ = _hex(data, p + 5, end)
    groups = 0
    gap = False
    while True:
        _, n = _hex(data, p, end)
        if n == 0 or n > 4:
            return 0
        groups += 1
        p += n
        if _at(data, p, end) != 0x3A:
            break
        if _at(data, p + 1, end) == 0x3A:
            if gap:
                return 0
            gap = True
            p += 2
            if not _is(data, p, end, _HEX):
                break
        elif _is(data, p + 1, end, _HEX):
            p += 1
        else:
            break
    following = _at(data, p + 1, end)
    if _is(data, p, end, _WORD) or (_at(data, p, end) == 0x2E and 0x30 <= following <= 0x39):
        return 0
    if _at(data, p, end) == 0x3A and (_CLASS[following] & _WORD or following == 0x3A):
        return 0
    if not (2 <= groups <= 7 if gap else groups == 8):
        return 0
    special = first == 0x2002 or (first == 0x2001 and (second < 0x200 or second == 0xDB8))
    return 0 if special or (first == 0x3FFF and second < 0x1000) or not 0x2000 <= first <= 0x3FFF else p


@kernel
def _identity_end(data, p, n, begin, end):
    """Where the identity number of a citizen of China (GB 11643) at p ends; 0 if it is none."""
    last = _at(data, p + 17, end)
    if not (n == 18 or (n == 17 and (last == 0x58 or last == 0x78))):
        return 0
    year, month, day = _number(data, p + 6, 4), _number(data, p + 10, 2), _number(data, p + 12, 2)
    if not _PROVINCES[_number(data, p, 2)] or not 1900 <= year <= 2099 or not 1 <= month <= 12:
        return 0
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= _MONTH_DAYS[month] or (month == 2 and day == 29 and not leap):
        return 0
    total = np.int64(0)
    for k in range(17):
        total += _WEIGHTS[k] * (np.int64(data[p + k]) - 0x30)
    check = np.int64(_CHECKS[total % 11])
    if check != (last & 0xDF if last >= 0x58 else last):
        return 0
    return p + 18 if _begins(data, p, begin) and _ends(data, p + 18, end) else 0


@kernel
def _is_card(digits, n):
    """Whether n digits are a card's: an issuer's prefix and length, and Luhn's checksum (ISO/IEC 7812)."""
    four = _number(digits, 0, 4)
    two, three = four // 100, four // 10
    issued = (
        (four // 1000 == 4 and (n == 16 or n == 19))
        or (n == 16 and (51 <= two <= 55 or 2221 <= four <= 2720 or 2200 <= four <= 2204 or 3528 <= four <= 3589))
        or (n == 16 and (four == 6011 or two == 65 or 644 <= three <= 649))
        or (n == 15 and (two == 34 or two == 37))
        or (n == 14 and (two == 36 or two == 38 or two == 39 or 300 <= three <= 305))
        or (16 <= n <= 19 and two == 62)
    )
    if not issued:
        return False
    total = np.int64(0)
    for k in range(n):
        d = np.int64(digits[n - 1 - k]) - 0x30
        if k & 1:
            d = d * 2 - 9 if d > 4 else d * 2
        total += d
    return total % 10 == 0


@kernel
def _card_end(data, p, n, begin, end, digits):
    """Where the card number at p, in one piece or in groups apart by " " or "-", ends; 0 if it is none.

    digits   uint8[19]   overwritten
    """
    if 14 <= n <= 19:
        return p + n if _is_card(data[p : p + n], n) and _begins(data, p, begin) and _ends(data, p + n, end) else 0
    apart = _at(data, p + 4, end)
    if n != 4 or not (apart == 0x20 or apart == 0x2D) or not _begins(data, p, begin):
        return 0
    if p - 2 >= begin and data[p - 1] == apart and _CLASS[data[p - 2]] & _DIGIT:
        return 0
    size = 0
    for groups in range(1, 6):
        for k in range(n):
            digits[size + k] = data[p + k]
        size += n
        p += n
        following = _run(data, p + 1, end) if _at(data, p, end) == apart else 0
        if size >= 14 and following < 4 and _ends(data, p, end) and _is_card(digits, size):
            return p
        n, p = following, p + 1
        six = groups == 1 and n == 6
        last = (size == 10 and (n == 4 or n == 5)) or (size == 16 and n == 3)
        if not (six or last or (n == 4 and size < 16 and size % 4 == 0)):
            return 0
    return 0


@kernel
def _mobile_digits_end(data, p, end):
    """Where the eleven digits of a mobile number of mainland China at p, whole or as 3-4-4, end; 0 if they are none."""
    n = _run(data, p, end)
    if not (n == 11 or n == 3) or data[p] != 0x31 or data[p + 1] < 0x33:
        return 0
    if n == 11:
        return p + 11
    apart = _at(data, p + 3, end)
    if not (apart == 0x20 or apart == 0x2D) or _run(data, p + 4, end) != 4 or _at(data, p + 8, end) != apart:
        return 0
    if _run(data, p + 9, end) != 4 or (_at(data, p + 13, end) == apart and _is(data, p + 14, end, _DIGIT)):
        return 0
    return p + 13


@kernel
def _mobile_end(data, p, n, begin, end):
    """Where a mobile number of mainland China, with 86 or 0086 before it or without, ends; 0 if it is none."""
    if not _begins(data, p, begin):
        return 0
    prefix = 0
    if data[p] == 0x38 and _at(data, p + 1, end) == 0x36:
        prefix = 2
    elif data[p] == 0x30 and n >= 4 and data[p + 1] == 0x30 and data[p + 2] == 0x38 and data[p + 3] == 0x36:
        prefix = 4
    q = p + prefix
    if prefix == n and (_at(data, q, end) == 0x20 or _at(data, q, end) == 0x2D):
        q += 1
    elif n == 3 and p - 2 >= begin and data[p - 1] == _at(data, p + 3, end) and _CLASS[data[p - 2]] & _DIGIT:
        return 0  # 3-4-4 within more groups of digits
    stop = _mobile_digits_end(data, q, end)
    return stop if stop > 0 and _ends(data, stop, end) else 0


@kernel
def _international_end(data, p, begin, end):
    """Where the number after the "+" at p ends: 9 to 15 digits, in groups apart by " " or "-"; 0 if it is none."""
    if p > begin:
        c = data[p - 1]
        if _CLASS[c] & _WORD or c == 0x2B or c == 0x2D or c == 0x29 or c == 0x2E:
            return 0
    p += 1
    size = _run(data, p, end)
    code = _number(data, p, min(size, 3))
    known = (code == 1 or code == 7) if size == 1 else _COUNTRIES[code * 10 if size == 2 else code]
    if not known or size > 15:
        return 0
    p += size
    if size <= 4:  # an area code may stand in brackets
        q = p + 1 if _at(data, p, end) == 0x20 or _at(data, p, end) == 0x2D else p
        area = _run(data, q + 1, end)
        if _at(data, q, end) == 0x28 and 1 <= area <= 5 and _at(data, q + 1 + area, end) == 0x29:
            q += area + 2
            q = q + 1 if _at(data, q, end) == 0x20 or _at(data, q, end) == 0x2D else q
            n = _run(data, q, end)
            if n == 0 or size + area + n > 15:
                return 0
            size += area + n
            p = q + n
    while size < 11 and (_at(data, p, end) == 0x20 or _at(data, p, end) == 0x2D):
        n = _run(data, p + 1, end)
        if n == 0 or size + n > 13:
            break
        size += n
        p += 1 + n
    return p if size >= 9 and _ends(data, p, end) else 0


@kernel
def _is_apart(c):
    return c == 0x20 or c == 0x2D or c == 0x2E


@kernel
def _american_end(data, p, end):
    """Where the ten digits at p, as (212) 555-0123, 212-555-0123 or 212.555.0123, end; 0 if they are none."""
    bracket = _at(data, p, end) == 0x28
    p += bracket
    if _run(data, p, end) != 3 or data[p] < 0x32 or data[p + 1] == 0x39:
        return 0
    first = _at(data, p + 3, end)
    p += 4
    if bracket:
        if first != 0x29:
            return 0
        p += _is_apart(_at(data, p, end))
    elif not (first == 0x2D or first == 0x2E):
        return 0
    if _run(data, p, end) != 3 or data[p] < 0x32 or (data[p + 1] == 0x31 and data[p + 2] == 0x31):
        return 0
    apart = _at(data, p + 3, end)
    if _run(data, p + 4, end) != 4 or not (_is_apart(apart) if bracket else apart == first):
        return 0
    return p + 8 if _ends(data, p + 8, end) else 0


@kernel
def _phone(data, p, n, low, begin, end):
    """(start, end) of the phone number whose first digit is at p; end 0 if it is none."""
    before = data[p - 1] if p > low else np.uint8(0)
    if before == 0x2B:
        stop = _international_end(data, p - 1, begin, end)
        if stop > 0:
            return p - 1, stop
    if (data[p] == 0x31 and (n == 3 or n == 11)) or data[p] == 0x38 or (data[p] == 0x30 and n >= 4):
        stop = _mobile_end(data, p, n, begin, end)
        if stop > 0:
            return p, stop
    if n == 1 and data[p] == 0x31:
        start = p - 1 if before == 0x2B else p
        q = p + 2 if _is_apart(_at(data, p + 1, end)) else p + 1
        return start, _american_end(data, q, end) if _begins(data, start, begin) else 0
    if n == 3:
        if before == 0x28 and _begins(data, p - 1, begin):
            stop = _american_end(data, p - 1, end)
            if stop > 0:
                return p - 1, stop
        return p, _american_end(data, p, end) if _begins(data, p, begin) else 0
    return p, 0


@kernel
def _next_digit(data, p, end):
    """Where the next digit stands from p on; `end` if there is none."""
    while p + 8 <= data.size and p < end:
        x = load8(data, p)
        skipped = np.int64(trailing_zeros(~((((x ^ _ZEROS) & LOW) + _OVER_NINE) | x) & HIGH) >> np.uint64(3))
        p += skipped
        if skipped < 8:
            return min(p, end)
    while p < end and _CLASS[data[p]] & _DIGIT == 0:
        p += 1
    return min(p, end)


@kernel
def _not_at(x):
    """The high bit of every byte that is not "@"; the other bits mean nothing."""
    return (((x ^ _AT_SIGNS) & LOW) + LOW) | x


@kernel
def _next_at_sign(data, p, end):
    """Where the next "@" stands from p on; `end` if there is none."""
    while p + 32 <= end:  # seldom one in 32 bytes: 0.6 -> 0.3 ns a byte
        others = _not_at(load8(data, p)) & _not_at(load8(data, p + 8))
        if others & _not_at(load8(data, p + 16)) & _not_at(load8(data, p + 24)) & HIGH != HIGH:
            break
        p += 32
    while p + 8 <= data.size and p < end:
        skipped = np.int64(trailing_zeros(~_not_at(load8(data, p)) & HIGH) >> np.uint64(3))
        p += skipped
        if skipped < 8:
            return min(p, end)
    while p < end and data[p] != 0x40:
        p += 1
    return min(p, end)


@kernel
def _put(out, count, row, start, end, kind):
    """One more place, counted also where `out` is full."""
    if count < out.shape[0]:
        out[count, 0], out[count, 1], out[count, 2], out[count, 3] = row, start, end, kind
    return count + 1


@kernel
def find(offsets, data, wanted, out):
    """Finds personal data; how many places there are, of which `out` has those that fit.

    offsets, data   int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    wanted          bool[KINDS]                what to look for
    out             int64[m, 4]                overwritten: row, start and end in data, kind; rows in order, in a row
                                               first the e-mail addresses, in order, then the numbers, in order

    Twin: tests/clean/test_pii.py.
    """
    digits = np.empty(19, np.uint8)
    count = 0
    for i in range(offsets.size - 1):
        begin, end = offsets[i], offsets[i + 1]
        mail = count
        low = p = begin
        while wanted[EMAIL]:
            p = _next_at_sign(data, p, end)
            if p >= end:
                break
            start = _local_start(data, low, p)
            stop = _domain_end(data, p + 1, end) if start < p else np.int64(0)
            if stop > 0:
                count = _put(out, count, i, start, stop, EMAIL)
                low = stop
            p = max(p + 1, stop)
        mails = count if count <= out.shape[0] else mail  # what did not fit is looked for once more
        low = p = begin
        while True:
            p = _next_digit(data, p, end)
            if p >= end:
                break
            while mail < mails and out[mail, 2] <= p:
                low = out[mail, 2]
                mail += 1
            if mail < mails and out[mail, 1] <= p:
                p = out[mail, 2]
                continue
            limit = out[mail, 1] if mail < mails else end
            n = _run(data, p, end)
            start, stop, kind = p, np.int64(0), 0
            if wanted[IPV6] and n <= 4 and _at(data, p + 4, end) == 0x3A:
                stop, kind = _ipv6_end(data, p, begin, end), IPV6
            if stop == 0 and wanted[IPV4] and n <= 3 and _at(data, p + n, end) == 0x2E:
                stop, kind = _ipv4_end(data, p, begin, end), IPV4
            if stop == 0 and wanted[IDENTITY_NUMBER] and n >= 17:
                stop, kind = _identity_end(data, p, n, begin, end), IDENTITY_NUMBER
            if stop == 0 and wanted[CREDIT_CARD] and (n == 4 or n >= 14):
                stop, kind = _card_end(data, p, n, begin, end, digits), CREDIT_CARD
            if stop == 0 and wanted[PHONE]:
                start, stop = _phone(data, p, n, low, begin, end)
                kind = PHONE
            if stop > 0 and stop <= limit:
                count = _put(out, count, i, start, stop, kind)
                low = stop
            p = stop if 0 < stop <= limit else p + n
    return count
