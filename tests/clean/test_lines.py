"""drop_lines drops and cuts what its rules name, as its naive twin does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import clean
from dedup.errors import RecipeError
from tests.real import SHARDS, documents

SHARED = Path(__file__).parents[3] / "shared" / "data"
OFF = {
    "terminal_marks": "", "words_below": 0, "word_length_above": 0, "javascript": False, "policy": False,
    "citations": False, "blank_lines": False, "uppercase_above": 1.0, "numeric_above": 1.0, "counters": False,
    "buttons": False,
}  # fmt: skip
C4 = {
    "terminal_marks": ".?!\"'", "words_below": 3, "word_length_above": 1000, "javascript": True, "policy": True,
    "citations": True, "blank_lines": True,
}  # fmt: skip
TFDS = {**C4, "terminal_marks": '.?!"', "words_below": 5}
FINEWEB = {**C4, "terminal_marks": ""}
REFINEDWEB = {
    **OFF, "words_below": 2, "uppercase_above": 0.5, "numeric_above": 0.999999, "counters": True, "buttons": True,
}  # fmt: skip


def dropped(*texts: str | None, **options: Any) -> list[dict[str, Any]]:
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    return clean.drop_lines(batch, **options).to_pylist()


def remaining(text: str, **options: Any) -> Any:
    return dropped(text, **{**OFF, **options})[0]["text"]


# The twin: lines as strings, expressions, and words by split.

CITATION = re.compile(r"\[[0-9]*\]|\[edit\]|\[citation needed\]")
POLICY = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]
COUNTED = "likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers"
COUNTER = re.compile(rf"^\W*\d[,.\d]*[kmb]?\s+(?:{COUNTED})\W*$")
SMALL = {ord(c): c.lower() for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def goes(line: str, rule: dict[str, Any]) -> bool:
    text, words = line.strip(), line.split()
    small = text.translate(SMALL)
    cut = CITATION.sub("", text) if rule["citations"] else text
    if not words:
        return rule["blank_lines"] or bool(rule["words_below"] and line)
    has_javascript = rule["javascript"] and "javascript" in small
    has_policy = rule["policy"] and any(phrase in small for phrase in POLICY)
    return bool(
        (rule["terminal_marks"] and (not cut.endswith(tuple(rule["terminal_marks"])) or cut.endswith("...")))
        or len(words) < rule["words_below"]
        or (rule["word_length_above"] and max(map(len, words)) > rule["word_length_above"])
        or (has_javascript and "lorem ipsum" not in small)
        or (has_policy and "lorem ipsum" not in small and "{" not in small)
        or sum(map(str.isupper, line)) / len(line) > rule["uppercase_above"]
        or sum(map(str.isdigit, line)) / len(line) > rule["numeric_above"]
        or (rule["counters"] and COUNTER.search(small))
    )


def cut(line: str, rule: dict[str, Any]) -> str:
    if rule["buttons"] and len(line.split()) <= 10:
        line = re.sub(r"(?ia:^(?u:\s*)sign-in)\s?", "", line)
        line = re.sub(r"\s?(?ia:read more)(?:\.\.\.|…)\s*$", "", line)
        line = re.sub(r"\s?(?ia:items in cart)", "", line)
    return CITATION.sub("", line) if rule["citations"] else line


def naive_drop_lines(text: str | None, rule: dict[str, Any]) -> dict[str, Any]:
    if text is None:
        return {"text": None, "words_removed_share": None, "lines_removed": None}
    kept, lines = [], text.splitlines(keepends=True)
    removed = 0
    for with_break in lines:
        line = with_break.splitlines()[0]
        left = cut(line, rule)
        gone = goes(line, rule) or (left != line and not left.split())
        if not gone:
            kept.append((left, with_break[len(line) :]))
        elif with_break == line and kept:
            kept[-1] = (kept[-1][0], "")
        removed += gone
    result = "".join(left + line_break for left, line_break in kept)
    words, words_left = len(text.split()), len(result.split())
    share = (words - words_left) / words if words else None
    return {"text": result, "words_removed_share": share, "lines_removed": removed}


def test_c4_keeps_lines_that_end_a_sentence() -> None:
    text = 'A headline\nThis line stays.\nSo does this!\nHe said "so it is"\nAnd this goes on...\nToo short.\n\nEnd?'
    assert dropped(text) == [
        {
            "text": 'This line stays.\nSo does this!\nHe said "so it is"',
            "words_removed_share": 9 / 20,  # A headline, And this goes on..., Too short., End?
            "lines_removed": 5,
        }
    ]


def test_c4_drops_notices_and_cuts_citations() -> None:
    text = (
        "Please enable JavaScript in it.\nRead our Privacy Policy.\nThis site uses cookies.\nWe use biscuits.\n"
        "He was born in Ulm.[1][citation needed]\nAnd [edit]she in Bonn.\n"
    )
    row = dropped(text)[0]
    assert row["text"] == "We use biscuits.\nHe was born in Ulm.\nAnd she in Bonn.\n"
    assert row["lines_removed"] == 3


def test_refinedweb_drops_counters_shouts_and_numbers_and_cuts_buttons() -> None:
    text = (
        "Sign-in to go on\n\nBUY IT NOW\n3 likes\n- 1.2K Views -\n2024\nAlone\n5 items in cart, sir\n"
        "Go on read more…\nread more...\nThe last one"
    )
    row = dropped(text, **REFINEDWEB)[0]
    assert row["text"] == "to go on\n\n5, sir\nGo on\nThe last one"
    assert row["lines_removed"] == 6


def test_a_text_that_no_rule_touches_keeps_its_bytes() -> None:
    texts = ["  Spaces stay here. \r\nAs do breaks here.\u2028 And this too.\n", None]
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    result = clean.drop_lines(batch)
    assert result["text"].buffers()[2].address == batch["text"].buffers()[2].address
    assert result.to_pylist() == [
        {"text": texts[0], "words_removed_share": 0.0, "lines_removed": 0},
        {"text": None, "words_removed_share": None, "lines_removed": None},
    ]


def test_lines_that_stay_keep_their_spaces_and_breaks() -> None:
    assert remaining("  a b \r\nx\r\n\tc d\x0by", words_below=2) == "  a b \r\n\tc d"
    assert remaining("a b\nx\n", words_below=2) == "a b\n"


def test_a_text_whose_every_line_goes_becomes_empty() -> None:
    assert dropped("a\nb\n", "\n \n") == [
        {"text": "", "words_removed_share": 1.0, "lines_removed": 2},
        {"text": "", "words_removed_share": None, "lines_removed": 2},
    ]


def test_marks_of_other_scripts_end_a_line() -> None:
    text = "今天天气很好。\n首页\nनमस्ते दुनिया।\n"
    assert remaining(text, terminal_marks="。？！।") == "今天天气很好。\nनमस्ते दुनिया।\n"


def test_a_word_may_have_as_many_characters_as_the_bound() -> None:
    text = "\n".join(["é" * 1000 + " b", "é" * 1001 + " b", "c"])
    assert remaining(text, word_length_above=1000) == "é" * 1000 + " b\nc"


def test_a_line_that_condemns_its_page_in_c4_stays_for_the_page_measure() -> None:
    text = "javascript lorem ipsum x.\nuse cookies { x.\nuse cookies { javascript x.\njavascript { is x."
    assert remaining(text, **C4) == "javascript lorem ipsum x.\nuse cookies { x."


def test_a_line_of_more_than_ten_words_has_no_buttons() -> None:
    assert remaining("1 2 3 4 5 6 7 8 9 read more...", buttons=True) == "1 2 3 4 5 6 7 8 9 read more..."
    assert remaining("1 2 3 4 5 6 7 8 read more...", buttons=True) == "1 2 3 4 5 6 7 8"


def test_settings_out_of_range_are_refused() -> None:
    batch = pa.record_batch({"text": ["a"]})
    with pytest.raises(RecipeError, match="words_below is -1; it is a number from 0"):
        clean.drop_lines(batch, words_below=-1)
    with pytest.raises(RecipeError, match=r"numeric_above is 1.5; a share lies in \[0, 1\]"):
        clean.drop_lines(batch, numeric_above=1.5)
    with pytest.raises(RecipeError, match=r"every rule is off; there are words_below, .*buttons"):
        clean.drop_lines(batch, **OFF)


PIECES = [
    *["javascript", "JavaScript", "java", "use cookies", "uses Cookies", "use of cookies", "cookie policy", "cookies"],
    *["Terms of Use", "privacy  policy", "Privacy Policy", "lorem ipsum", "Lorem", "{", "policy", "arms", "movie"],
    *["[1]", "[]", "[edit]", "[12", "]", "[", "[citation needed]", "[٣]", "3", "12", "٣", "²", "1,2.3K", "1.5m"],
    *["likes", "Views", "followers", "downloads ", "items in cart", "Items in Cart", "Sign-in", "sign-in", "read more"],
    *["Read more...", "Read more…", "…", "...", "..", ".", "?", "!", '"', "'", "。", "」", "-", "_", "(", "é", "中文"],
    *["A", "ABC", "É", "Ⅷ", "word", "don't", "\u0301", "x" * 30, "é" * 31, "K", "ſ", "😀", "𝟙", "𞤀"],
    *[" ", " ", " ", "  ", "\t", "\u3000", "\u00a0", "\u200b", "\u2003", "\u1680", "\n", "\n", "\n", "\r\n", "\r"],
    *["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028", "\u2029", "\0"],
]
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=40)
rules = st.fixed_dictionaries(
    {
        "terminal_marks": st.sampled_from(["", ".?!\"'", "。.é"]),
        "words_below": st.integers(0, 4),
        "word_length_above": st.sampled_from([0, 5, 29, 30, 64, 90]),
        "uppercase_above": st.sampled_from([0.0, 0.3, 0.5, 1.0]),
        "numeric_above": st.sampled_from([0.0, 0.3, 0.999999, 1.0]),
        **{name: st.booleans() for name, value in OFF.items() if isinstance(value, bool)},
    }
).filter(lambda rule: rule != OFF)
presets = st.sampled_from([C4, TFDS, FINEWEB, REFINEDWEB]).map(lambda rule: {**OFF, **rule})


@settings(max_examples=400, deadline=None)
@given(st.lists(texts | st.none(), max_size=4), presets | rules)
def test_drop_lines_equals_its_twin(batch: list[str | None], rule: dict[str, Any]) -> None:
    assert dropped(*batch, **rule) == [naive_drop_lines(text, rule) for text in batch]


SPACES = [chr(c) for c in range(0x3001) if chr(c).isspace()]


@pytest.mark.parametrize("space", SPACES)
def test_white_space_parts_words_and_lines_wherever_it_stands(space: str) -> None:
    """At each place about the edges of blocks of 64 bytes, at the end of the data and before it."""
    for before in range(58, 70):
        text = "x" * before + space + "y" + space * 2 + "é" * 30 + " z"
        rows = dropped(text, text, **{**OFF, "words_below": 2})
        assert rows == [naive_drop_lines(text, {**OFF, "words_below": 2})] * 2
        assert dropped(text + space, **{**OFF, "words_below": 9})[0]["words_removed_share"] == 1


@pytest.mark.parametrize("before", range(60, 66))
def test_a_word_of_two_blocks_is_measured_in_characters(before: int) -> None:
    text = "a " + "é" * before + " b"
    assert remaining(text, word_length_above=before) == text
    assert remaining(text, word_length_above=before - 1) == ""
    assert remaining("a " * 40 + text, word_length_above=before - 1) == ""


def test_the_range_that_is_not_looked_up_has_no_capital_and_no_digit() -> None:
    for first, last in ((0x3000, 0x9FFF), (0xB000, 0xDFFF)):
        assert [c for c in map(chr, range(first, last + 1)) if c.isupper() or c.isdigit()] == []


@pytest.mark.parametrize("phrase", ["javascript", *POLICY])
def test_a_phrase_is_found_wherever_it_stands_in_a_line(phrase: str) -> None:
    lines = ["x" * before + phrase.upper() + "y" * after for before in range(40) for after in (0, 1, 40)]
    broken = [line.replace(phrase.upper(), phrase[:-1] + "*") for line in lines]
    text = "\n".join(broken[k] + "\n" + lines[k] for k in range(len(lines)))
    assert remaining(text, javascript=True, policy=True) == "\n".join(broken)


@pytest.mark.shared
@pytest.mark.parametrize("shard", SHARDS)
def test_real_documents_lose_the_lines_that_the_twin_drops(shard: str) -> None:
    sample = documents(shard, 150, 100_000)
    for rule in ({**OFF, **C4}, {**OFF, **FINEWEB}, REFINEDWEB):
        assert dropped(*sample, **rule) == [naive_drop_lines(text, rule) for text in sample]
