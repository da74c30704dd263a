"""Personal data masked: what is found and what is not, by eye, and everything against a slow twin."""

from __future__ import annotations

import calendar
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup import stages
from dedup.clean.pii import mask_pii
from dedup.errors import RecipeError

SHARED = Path(__file__).parents[3] / "shared" / "data"


def batch_of(*texts: str | None) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.large_string())})


def masked(text: str, **options: Any) -> str:
    return mask_pii(batch_of(text), **options)["text"][0].as_py()


# The twin: each kind as an expression with a check, tried at every place.

BEGIN = r"(?<![A-Za-z0-9_=@+$])(?<![A-Za-z0-9_]-)(?<![0-9]\.)(?<!(?<![0-9\x80-\U0010ffff])/)"
END = r"(?![A-Za-z0-9_@])(?!\.[0-9a-z])(?!-[A-Za-z0-9_])(?!/[a-z])"
OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
PICTURE = r"(?!(?:png|jpe?g|gif|svg|webp)(?![A-Za-z0-9]))"
LOCAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_%+-]*(?:\.[A-Za-z0-9_%+-]+)*\Z")
DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}"
    rf"(?i:{PICTURE})[A-Za-z]{{2,63}}(?![A-Za-z0-9])"
)  # fmt: skip
SPECIAL = [
    *map(ipaddress.ip_network, ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
                                "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15",
                                "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"]),
    *map(ipaddress.ip_network, ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"]),
]  # fmt: skip
NUMBERING = re.compile(
    r"(?:\b(?:version|release|build|firmware|section|chapter|clause|ver|rev|v)[.:]? ?"
    r"|[§版本节章](?:号|為|为)?[:： ]*)\Z",
    re.IGNORECASE,
)


def is_public(found: re.Match[str]) -> bool:
    try:
        address = ipaddress.ip_address(found[0])
    except ValueError:
        return False
    if any(address in network for network in SPECIAL):
        return False
    if address.version == 6:
        groups = len([group for group in found[0].split(":") if group])
        return address in ipaddress.ip_network("2000::/3") and groups >= 2
    numbers = [int(part) for part in found[0].split(".")]
    return not (max(numbers) < 10 and numbers[0] < 8) and not NUMBERING.search(found.string[: found.start()])


def is_identity_number(found: re.Match[str]) -> bool:
    number = found[0].upper()
    province, year, month, day = number[:2], int(number[6:10]), int(number[10:12]), int(number[12:14])
    provinces = (
        "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83 91"
    )
    if province not in provinces.split() or not 1900 <= year <= 2099 or not 1 <= month <= 12:
        return False
    value = sum(int(digit, 11) * 2**place for place, digit in enumerate(reversed(number[:17]), 1))
    value += 10 if number[17] == "X" else int(number[17])
    return 1 <= day <= calendar.monthrange(year, month)[1] and value % 11 == 1


ISSUERS = re.compile(
    r"4.{15}(...)?|(5[1-5]|222[1-9]|22[3-9].|2[3-6]..|27[01].|2720|220[0-4]|352[89]|35[3-8].|6011|65|64[4-9]).*(?<=^.{16})"
    r"|3[47].{13}|(36|38|39|30[0-5]).*(?<=^.{14})|62.{14,17}"
)


def is_card(found: re.Match[str]) -> bool:
    number = re.sub("[ -]", "", found[0])
    if len(found[0]) > len(number):
        apart = found[0][4]
        before = found.string[: found.start()]
        if re.search(rf"[0-9]{apart}\Z", before) or re.match(rf"{apart}[0-9]{{4}}", found.string[found.end() :]):
            return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number))]
    return bool(ISSUERS.fullmatch(number)) and sum(value // 10 + value % 10 for value in doubled) % 10 == 0


def is_no_row_of_groups(found: re.Match[str]) -> bool:
    groups = re.fullmatch(r"[0-9]{3}([ -])[0-9]{4}[ -][0-9]{4}", found[0])
    before, after = found.string[: found.start()], found.string[found.end() :]
    own = groups or re.search(r"[0-9]{3}([ -])[0-9]{4}[ -][0-9]{4}\Z", found[0])
    if groups and re.search(rf"[0-9]{groups[1]}\Z", before):
        return False
    return not (own and re.match(rf"{own[1]}[0-9]", after))


def is_of_telephone_length(found: re.Match[str]) -> bool:
    return 9 <= len(re.sub("[^0-9]", "", found[0])) <= 15


def always(found: re.Match[str]) -> bool:
    return True


MOBILE = r"1[3-9](?:[0-9]{9}|[0-9]([ -])[0-9]{4}\1[0-9]{4})(?![0-9])"
AMERICAN = r"(?:\({a}\)[-. ]?{e}[-. ]|{a}(?P<s>[-.]){e}(?P=s))[0-9]{{4}}".format(
    a="[2-9][0-8][0-9]", e="[2-9](?!11)[0-9][0-9]"
)

COUNTRY = r"[17]|2[02-79]|21[12368]|[3459][0-9]|6[0-8]|8[0124-8]"


class Kind(NamedTuple):
    name: str
    expression: re.Pattern[str]
    check: Callable[[re.Match[str]], bool]


def international(text: str, start: int) -> re.Match[str] | None:
    """The longest beginning of the groups that reaches 11 digits, or that another group would bring past 13."""
    found = re.compile(
        rf"(?<![A-Za-z0-9_+\-).])\+(?={COUNTRY})(?P<first>[1-9][0-9]{{0,14}})(?![0-9])"
    ).match(text, start)  # fmt: skip
    if not found:
        return None
    end, size = found.end(), len(found["first"])
    area = re.compile(r"[ -]?\(([0-9]{1,5})\)[ -]?([0-9]+)").match(text, end)
    if size <= 4 and area:
        if size + len(area[1]) + len(area[2]) > 15:
            return None
        end, size = area.end(), size + len(area[1]) + len(area[2])
    while size < 11:
        group = re.compile(r"[ -]([0-9]+)").match(text, end)
        if not group or size + len(group[1]) > 13:
            break
        end, size = group.end(), size + len(group[1])
    whole = re.compile(rf".{{{end - start}}}{END}", re.DOTALL).match(text, start)
    return whole


KINDS = [
    Kind("ipv6", re.compile(r"(?<![A-Za-z0-9_:.])(?=[23][0-9A-Fa-f]{3}:)(?>[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})*"
                            r"(?:::(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})*)?)?)"
                            r"(?![A-Za-z0-9_])(?!\.[0-9])(?!:[A-Za-z0-9_:])"), is_public),
    Kind("ipv4", re.compile(rf"(?<![A-Za-z0-9_.])(?<![A-Za-z0-9_]/)(?<![A-Za-z]-){OCTET}(?:\.{OCTET}){{3}}"
                            r"(?![A-Za-z0-9_])(?!-[A-Za-z])(?!\.[0-9a-z])"), is_public),
    Kind("identity_number", re.compile(rf"{BEGIN}[0-9]{{17}}[0-9Xx]{END}"), is_identity_number),
    Kind("credit_card", re.compile(rf"{BEGIN}[0-9]{{14,19}}{END}"), is_card),
    Kind("credit_card", re.compile(rf"{BEGIN}[0-9]{{4}}([ -])(?:[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{4}}"
                                   rf"|[0-9]{{6}}\1[0-9]{{4,5}})(?![0-9]){END}"), is_card),
    Kind("credit_card", re.compile(rf"{BEGIN}[0-9]{{4}}(?:([ -])[0-9]{{4}})(?:\1[0-9]{{4}}){{2}}"
                                   rf"\1[0-9]{{3}}{END}"), is_card),
    Kind("phone", re.compile(rf"{BEGIN}(?:(?:00)?86[ -]?)?{MOBILE}{END}"), is_no_row_of_groups),
    Kind("phone", re.compile(rf"{BEGIN}\+?1(?:[-. ]|(?=\()){AMERICAN}{END}"), always),
    Kind("phone", re.compile(rf"{BEGIN}{AMERICAN}{END}"), always),
]  # fmt: skip


def naive_addresses(text: str) -> list[tuple[int, int]]:
    spans, low = [], 0
    for at in (found.start() for found in re.finditer("@", text)):
        if at < low:
            continue
        first = max(low, at - 64)
        local, domain = LOCAL.search(text[first:at]), DOMAIN.match(text, at + 1)
        if local and domain:
            low = domain.end()
            spans.append((first + local.start(), low))
    return spans


def naive_number(text: str, start: int, end: int, kinds: set[str]) -> tuple[int, str] | None:
    """(end, kind) of the number that begins at `start` and ends at `end` or before."""
    if not re.compile(r"[+(]?[0-9]").match(text, start):
        return None
    for kind in KINDS:
        found = kind.expression.match(text, start) if kind.name in kinds else None
        if found and kind.check(found):
            return (found.end(), kind.name) if found.end() <= end else None
    found = international(text, start) if "phone" in kinds else None
    if found and is_of_telephone_length(found) and found.end() <= end:
        return found.end(), "phone"
    return None


USUAL = {
    "email": "email@example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "phone": "<PHONE>",
    "credit_card": "<CREDIT_CARD>", "identity_number": "<IDENTITY_NUMBER>",
}  # fmt: skip


def naive_mask(text: str | None, kinds: set[str] = set(USUAL)) -> tuple[str | None, int | None]:  # noqa: B006
    if text is None:
        return None, None
    addresses = naive_addresses(text) if "email" in kinds else []
    spans = [(start, end, "email") for start, end in addresses]
    at = 0
    while at < len(text):
        inside = [end for start, end in addresses if start <= at < end]
        limit = min([start for start, _ in addresses if start > at], default=len(text))
        number = None if inside else naive_number(text, at, limit, kinds)
        if number:
            spans.append((at, *number))
        at = inside[0] if inside else number[0] if number else at + 1
    result, count = text, 0
    for start, end, kind in sorted(spans, reverse=True):
        if text[start:end] != USUAL[kind]:
            result = result[:start] + USUAL[kind] + result[end:]
            count += 1
    return result, count


# By eye


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to joe.doe+x@mail.example.co.uk.", "Write to email@example.com."),
        ("<a_b@c.de>; mailto:A@B.ORG?subject=x", "<email@example.com>; mailto:email@example.com?subject=x"),
        ("邮箱：abc@qq.com联系我", "邮箱：email@example.com联系我"),
        ("see...foo@bar.com", "see...email@example.com"),
        ("13812345678@qq.com", "email@example.com"),
        ("http://93.184.216.34:80/x and 8.8.8.8", "http://192.0.2.1:80/x and 192.0.2.1"),
        ("from [2a00:1450:4009:81f:0:0:0:200e]:80 to 2607:f8b0::200e.", "from [2001:db8::1]:80 to 2001:db8::1."),
        ("电话13812345678，138 1234 5678/139-1234-5678", "电话<PHONE>，<PHONE>/<PHONE>"),
        ("+86 13812345678 8613812345678 0086-138-1234-5678", "<PHONE> <PHONE> <PHONE>"),
        ("(212) 555-0123 (212-555-0199) 212.555.0123", "<PHONE> (<PHONE>) <PHONE>"),
        ("1-800-555-0199 +1 (212) 555-0123 +1.212.555.0123", "<PHONE> <PHONE> <PHONE>"),
        ("+44 (0)20 7946 0958, +33 1 23 45 67 89", "<PHONE>, <PHONE>"),
        ("+44 20 7946 0958 10:30, +49 30 123456 2024-05-05", "<PHONE> 10:30, <PHONE> 2024-05-05"),
        ("4111111111111111, 3782 822463 10005.", "<CREDIT_CARD>, <CREDIT_CARD>."),
        ("4111-1111-1111-1111 12/26", "<CREDIT_CARD> 12/26"),
        ("4111 1111 1111 1111 123", "<CREDIT_CARD> 123"),
        ("身份证号110101199003074514。", "身份证号<IDENTITY_NUMBER>。"),
        ("44052418800101001x 11010519491231002X", "44052418800101001x <IDENTITY_NUMBER>"),
    ],
)  # fmt: skip
def test_personal_data_becomes_a_fixed_text(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "icon@2x.png, user@localhost, @handle, a@b.c, foo @ bar.com, name@1.2.3",
        "10.0.0.1 127.0.0.1 172.16.5.4 192.168.1.77 169.254.0.9 224.0.0.251 192.0.2.7 100.64.0.1",
        "1.2.3.4 5.2.1.3 93.184.216 93.184.216.34.5 93.184.216.034 293.184.216.34",
        "version 93.184.216.34, v93.184.216.34, Chrome/91.0.124.12, openssl-1.0.20.3, 1.2.30.4-b 版本号：93.184.216.34",
        "12:30:45 2024-05-05 20240505123456 std::vector a::b 2001:db8::1 fe80::1 2001::1 2002:a::1 20:01:0d:b8:00:01",
        "x13812345678 138123456789 0.13812345678 item/13812345678.html ?id=13812345678 12813812345678 1381234567",
        "212 555 0123, 555-0123, 212-555-01234, 112-555-0123, 212-155-0123, 2+123456789, +1.234567890, C++11 123456789",
        "4111111111111112 1234567890123456 4111 1111 1111 1112, 9992 4111 1111 1111 1111, 4111 1111-1111 1111",
        "110101199003074515 110101199002304514 990101199003074514 11010119900307451",
        "ISBN 978-3-16-148410-0, $13812345678, 1,234,567,890, 3.14159265358979, 2024/05/05, 10.000.000",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert masked(text) == text


def test_places_are_counted_and_a_null_text_has_no_count() -> None:
    rows = mask_pii(batch_of("a@b.com a@c.com 13812345678", "nothing", None, "")).to_pylist()
    expected = [("email@example.com email@example.com <PHONE>", 3), ("nothing", 0), (None, None), ("", 0)]
    assert [(row["text"], row["pii_count"]) for row in rows] == expected


def test_masking_twice_masks_and_counts_nothing_more() -> None:
    once = mask_pii(batch_of("a@b.com, 8.8.8.8, 2607:f8b0::1, 13812345678 4111111111111111"))
    again = mask_pii(once)
    assert (again["text"].to_pylist(), again["pii_count"].to_pylist()) == (once["text"].to_pylist(), [0])


def test_a_kind_has_the_text_that_one_likes_or_is_left_alone() -> None:
    text = "a@b.com 13812345678 8.8.8.8"
    assert masked(text, email="<EMAIL>", phone=False, ipv4=True) == "<EMAIL> 13812345678 192.0.2.1"
    assert masked(text, email="", phone=True, ipv4=False) == " <PHONE> 8.8.8.8"


def test_a_replacement_that_is_no_text_is_refused() -> None:
    with pytest.raises(RecipeError) as error:
        mask_pii(batch_of(), phone=1)
    assert str(error.value) == "mask_pii: phone is 1; it is the text to put there, or true or false"


def test_the_usual_texts_are_those_of_the_settings() -> None:
    text = "a@b.com 8.8.8.8 2607:f8b0::1 13812345678 4111111111111111 110101199003074514"
    assert masked(text, **dict.fromkeys(USUAL, True)) == masked(text) == " ".join(USUAL.values())


def test_many_places_in_few_documents_are_all_found() -> None:
    assert masked("a@b.com 13812345678 " * 1000) == "email@example.com <PHONE> " * 1000


def test_a_slice_is_masked_as_the_rows_it_holds() -> None:
    batch = batch_of("a@b.com", "13812345678", None, "x@y.org z", "8.8.8.8")
    assert mask_pii(batch.slice(1, 3))["text"].to_pylist() == ["<PHONE>", None, "email@example.com z"]


def test_recipes_call_it_clean_mask_pii() -> None:
    assert stages.shipped()["clean.mask_pii"] is mask_pii


# Against the twin

PIECES = [
    *["a@b.com", "joe.x@mail.co.uk", "@", "@2x.png", "a.", "x", "_", "é", "中", "name@1.org", ".com", "%", "a" * 63],
    *["8.8.8.8", "93.184.216.34", "10.0.0.1", "1.2.3.4", "255.256.1.1", "v", "version ", "版本：", "192.0.2.1"],
    *["2607:f8b0:4005:805::200e", "2607:", "f8b0", "::", "2a00:1450:4009:81f:0:0:0:200e", "2001:db8::1", "3fff:fff::1"],
    *["13812345678", "138 1234 5678", "138-1234-5678", "86", "0086", "+86", "+1", "1", "(212)", "212", "555", "0123"],
    *["(212) 555-0123", "212.555.0123", "+44 20 7946 0958", "(0)", "+49", "123456", "12", "1234", "0"],
    *["4111111111111111", "4111 1111 1111 1111", "4111", "1111", "378282246310005", "3782 822463 10005", "999"],
    *["5555-5555-5555-4444", "30569309025904", "6222021234567890123", "3530111333300000", "6011111111111117"],
    *["110101199003074514", "11010519491231002X", "110101199002304514", "x", "X", "12345678901234567890"],
    *[" ", " ", "-", "-", ".", ".", "/", "//", ":", ",", "=", "(", ")", "+", "\n", "。", "$"],
]
joined = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
digits_and_marks = st.text("0123456789 -.:()+/@xab", max_size=40)
texts = joined | digits_and_marks | st.text(max_size=12)


@settings(max_examples=600, deadline=None)
@given(st.lists(texts | st.none(), max_size=3))
@example(["4111 1111 1111 1111 004"])
@example(["+2147483647 +21 1234567 +2 12345678 +3 12345678 +61-2-9468-6300 +7(495) 633-5-633"])
@example(["1.212.555.0123 +1212.555.0123 86138 1234 5678"])
def test_every_masked_text_and_count_equals_its_twin(batch: list[str | None]) -> None:
    batch = [text and text.encode("utf-8", "replace").decode() for text in batch]
    found = mask_pii(batch_of(*batch))
    assert list(zip(found["text"].to_pylist(), found["pii_count"].to_pylist(), strict=True)) == [
        naive_mask(text) for text in batch
    ]


@settings(max_examples=200, deadline=None)
@given(joined, st.sets(st.sampled_from(sorted(USUAL)), max_size=6))
def test_kinds_left_alone_equal_the_twin_without_them(text: str, kinds: set[str]) -> None:
    found = masked(text, **{kind: kind in kinds for kind in USUAL})
    assert found == naive_mask(text, kinds)[0]


@pytest.mark.shared
@pytest.mark.parametrize("shard", ["edge/valid/edge", "en/en_docs-00001", "zh/zh_docs-00000", "mixed/mixed_web-00000"])
def test_every_masked_text_of_real_documents_equals_its_twin(shard: str) -> None:
    column = pq.read_table(SHARED / f"{shard}.parquet", columns=["text"])["text"].to_pylist()
    sample = [text for text in column[:: max(1, len(column) // 300)] if text is None or len(text) < 20_000]
    found = mask_pii(batch_of(*sample))
    expected = [naive_mask(text) for text in sample]
    assert list(zip(found["text"].to_pylist(), found["pii_count"].to_pylist(), strict=True)) == expected
