"""The twins themselves, on cases that can be checked by eye: all other tests lean on them."""

from __future__ import annotations

import pytest

from tests import naive

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def letters(first: str, last: str) -> str:
    return " ".join(ALPHABET[ALPHABET.index(first) : ALPHABET.index(last) + 1])


# A chain: a-z without its ends. 18, 20 and 22 shingles, each in the next one.
A, B, C = letters("c", "x"), letters("b", "y"), letters("a", "z")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("... -- !", []),
        ("The cat's hat, 3.5 kg", ["the", "cat", "s", "hat", "3", "5", "kg"]),
        ("STRASSE straße", ["strasse", "straße"]),
        ("我喜欢 Python3。", ["我", "喜", "欢", "python3"]),
        ("ＡＢＣ１２３", ["abc123"]),
        ("ab中cd", ["ab", "中", "cd"]),
        ("カタカナ", ["カ", "タ", "カ", "ナ"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("cafe\N{COMBINING ACUTE ACCENT}s", ["cafe\N{COMBINING ACUTE ACCENT}s"]),
        ("\N{COMBINING ACUTE ACCENT}a", ["a"]),
        ("co\N{SOFT HYPHEN}op \N{ZERO WIDTH SPACE}x\N{ZERO WIDTH NO-BREAK SPACE}", ["coop", "x"]),
        ("中\N{VARIATION SELECTOR-1}\N{COMBINING ACUTE ACCENT}a", ["中\N{COMBINING ACUTE ACCENT}", "a"]),
        ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}x", ["\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}x"]),
        ("\N{LATIN SMALL LIGATURE FI}x", ["\N{LATIN SMALL LIGATURE FI}x"]),
        ("한국어 말", ["한국어", "말"]),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert naive.tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ab, c", [(1, 3), (5, 6)]),
        ("é中x", [(0, 2), (2, 5), (5, 6)]),
        # a soft hyphen inside is within the span, a zero-width space after the token is not
        ("a\N{SOFT HYPHEN}b\N{ZERO WIDTH SPACE} c", [(0, 4), (8, 9)]),
        ("\N{ZERO WIDTH SPACE}a", [(3, 4)]),
        ("中\N{COMBINING ACUTE ACCENT}a", [(0, 5), (5, 6)]),
    ],
)
def test_spans_are_utf8_bytes_and_leave_out_skipped_characters_at_the_end(
    text: str, expected: list[tuple[int, int]]
) -> None:
    assert naive.token_spans(text) == expected


def test_a_text_shorter_than_a_shingle_has_none_unless_taken_whole() -> None:
    assert naive.shingles("one two three four") == frozenset()
    assert naive.shingles("one two", short="whole") == {("one", "two")}
    assert naive.shingles("", short="whole") == frozenset()
    assert naive.shingles("one two three four five", short="whole") == {("one", "two", "three", "four", "five")}


def test_jaccard_counts_each_shingle_once() -> None:
    assert naive.jaccard("a b c", "b c d", k=2) == 1 / 3
    assert naive.jaccard("a b a b a b", "a b a", k=2) == 1.0
    assert naive.jaccard("a b", "", k=2) == 0.0


def test_a_similarity_equal_to_the_threshold_is_a_duplicate() -> None:
    four, five = letters("a", "h"), letters("a", "i")
    assert naive.near([four, five], threshold=0.8) == [(1, 0, 0.8, "near")]
    assert naive.near([four, five], threshold=0.81) == []


def test_cat_dog_cat_keeps_cat_and_dog() -> None:
    assert naive.near(["cat", "dog", "cat"], threshold=0.8) == [(2, 0, 1.0, "exact")]
    assert naive.exact(["cat", "dog", "cat"]) == [(2, 0)]


def test_short_texts_that_differ_are_no_duplicates_unless_taken_whole() -> None:
    assert naive.near(["Good night!", "good night"], threshold=0.8) == []
    assert naive.near(["Good night!", "good night"], threshold=0.8, short="whole") == [(1, 0, 1.0, "near")]


def test_null_is_never_a_duplicate() -> None:
    assert naive.near([None, "cat", None, "cat"], threshold=0.8) == [(3, 1, 1.0, "exact")]
    assert naive.exact([None, None]) == []


def test_a_chain_loses_only_what_a_kept_document_stands_for() -> None:
    assert [naive.jaccard(A, B), naive.jaccard(B, C), naive.jaccard(A, C)] == [18 / 20, 20 / 22, 18 / 22]
    assert naive.near([A, B, C], threshold=0.85) == [(1, 0, 0.9, "near")]
    assert naive.near([B, A, C], threshold=0.85) == [(1, 0, 0.9, "near"), (2, 0, 20 / 22, "near")]
    assert naive.near([A, B, C], threshold=0.85, keep="last") == [(1, 2, 20 / 22, "near")]


def test_the_kept_twin_of_highest_similarity_is_named_and_of_equals_the_first() -> None:
    assert naive.near([A, C, B], threshold=0.85) == [(2, 1, 20 / 22, "near")]
    left, right, whole = letters("a", "t"), letters("c", "v"), letters("a", "v")
    assert naive.near([left, right, whole], threshold=0.85) == [(2, 0, 16 / 18, "near")]
    assert naive.near([left, right, whole], threshold=0.85, keep="last") == [
        (0, 2, 16 / 18, "near"),
        (1, 2, 16 / 18, "near"),
    ]


def test_a_group_follows_its_first_member() -> None:
    assert naive.near([A, B, B, C, C], threshold=0.85) == [
        (1, 0, 0.9, "near"),
        (2, 0, 0.9, "near"),
        (4, 3, 1.0, "exact"),
    ]
    assert naive.near([A, B, A], threshold=0.85, keep="last") == [(0, 2, 1.0, "exact"), (1, 2, 0.9, "near")]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("first", [0, 1, 2, 4, 3]),
        ("last", [4, 2, 1, 0, 3]),
        ("longest", [2, 0, 1, 4, 3]),
        ("shortest", [0, 1, 4, 2, 3]),
    ],
)
def test_keep_order_puts_nulls_last(keep: str, expected: list[int]) -> None:
    # 中文 is two characters and six bytes; equal texts tie by index
    assert naive.keep_order(["ab", "ab", "中文字", None, "ab"], keep) == expected


def test_ties_go_to_the_smaller_content_hash() -> None:
    small, large = sorted(["cat", "dog"], key=naive.content_hash)
    assert naive.content_hash("") == 0x99AA06D3014798D86001C324468D497F
    assert naive.keep_order([large, small], "longest") == [1, 0]
    assert naive.keep_order([small, large], "shortest") == [0, 1]


def test_a_column_decides_whom_to_keep() -> None:
    assert naive.near([A, B], threshold=0.85, order=[1.0, 2.0]) == [(0, 1, 0.9, "near")]
    assert naive.near([A, B], threshold=0.85, order=[1.0, 2.0], sign=-1) == [(1, 0, 0.9, "near")]
    assert naive.near([A, B], threshold=0.85, order=[None, -5.0]) == [(0, 1, 0.9, "near")]
    assert naive.near([A, B], threshold=0.85, order=[None, -5.0], sign=-1) == [(0, 1, 0.9, "near")]
