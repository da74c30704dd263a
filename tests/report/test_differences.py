"""What differs between two texts: nothing is lost, words stay whole, and no text takes for ever."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.report import differences as module
from dedup.report.differences import CUT, EQUAL, LEFT, RIGHT, Span, differences, windows

# Words that meet often, in scripts with and without spaces, with marks, and what is no word.
PIECES = ["the ", "The ", "harbour", "harbor", " ", "\n", ", ", "港", "口", "海", "e\u0301", "é", "\u200b", "😀", "42"]


def sides(spans: list[Span]) -> tuple[str, str]:
    left = "".join(span.text for span in spans if span.kind in (EQUAL, LEFT))
    right = "".join(span.text for span in spans if span.kind in (EQUAL, RIGHT))
    return left, right


def marked(left: str, right: str) -> str:
    """The spans as one text: [only left], {only right}."""
    signs = {EQUAL: "%s", LEFT: "[%s]", RIGHT: "{%s}", CUT: "%s"}
    return "".join(signs[kind] % text for kind, text in differences(left, right))


def common_tokens(a: list[int], b: list[int]) -> int:
    """The slow twin: how long a longest common subsequence is."""
    row = [0] * (len(b) + 1)
    for x in a:
        before = row
        row = [0]
        for j, y in enumerate(b):
            row.append(before[j] + 1 if x == y else max(before[j + 1], row[j]))
    return row[-1]


@pytest.mark.parametrize(
    ("left", "right", "shown"),
    [
        ("the old harbour hall", "the new harbour hall", "the [old]{new} harbour hall"),
        ("The harbour is open.", "The harbor is open!", "The [harbour]{harbor} is open[.]{!}"),
        ("the harbour", "the  harbour", "the { }harbour"),
        ("one, two", "one two", "one[,] two"),
        ("one two", "one two three", "one two{ three}"),
        ("zero one two", "one two", "[zero ]one two"),
        ("港口今天开放了", "港口昨天开放", "港口[今]{昨}天开放[了]"),
        ("ferry 12 of 港口", "ferry 13 of 港囗", "ferry [12]{13} of 港[口]{囗}"),
        ("", "new", "{new}"),
        ("same", "same", "same"),
        ("", "", ""),
        ("?!", "?.", "?[!]{.}"),
        ("Ａ b", "A b", "[Ａ]{A} b"),  # folded to the same token, and still not the same text
    ],
)
def test_words_change_as_a_whole_and_characters_of_unspaced_scripts_one_by_one(
    left: str, right: str, shown: str
) -> None:
    assert marked(left, right) == shown


def test_a_word_that_two_other_sentences_share_by_chance_is_no_common_ground() -> None:
    left = "it rains. Ships wait outside the quiet bay at night. it rains"
    right = "it rains. Nobody ever saw the mayor eat green apples. it rains"
    assert [span.kind for span in differences(left, right)] == [EQUAL, LEFT, RIGHT, EQUAL]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30), st.lists(st.sampled_from(PIECES), max_size=30))
def test_the_spans_make_up_both_texts_and_alternate(left: list[str], right: list[str]) -> None:
    spans = differences("".join(left), "".join(right))
    assert sides(spans) == ("".join(left), "".join(right))
    kinds = [span.kind for span in spans]
    assert all(one != other for one, other in pairwise(kinds))
    assert all(span.text for span in spans)
    assert (RIGHT, LEFT) not in pairwise(kinds)


def test_a_lone_surrogate_keeps_the_characters_in_their_places() -> None:
    assert marked("a \ud800 b c", "a \ud800 b d") == "a \ud800 b [c]{d}"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=40), st.lists(st.integers(0, 4), max_size=40))
def test_between_small_texts_as_many_tokens_are_aligned_as_can_be(a: list[int], b: list[int]) -> None:
    import numpy as np

    blocks = module._Aligner(np.array(a, np.uint64), np.array(b, np.uint64)).blocks()
    pairs = [(i + k, j + k) for i, j, n in blocks for k in range(n)]
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(i < x and j < y for (i, j), (x, y) in pairwise(pairs))
    assert len(pairs) == common_tokens(a, b)


def test_a_long_text_is_aligned_by_what_it_has_once() -> None:
    words = [f"w{n}" for n in range(30_000)]
    other = list(words)
    for at in range(5, 30_000, 300):
        other[at] = "changed"
    spans = differences(" ".join(words), " ".join(other))
    assert sides(spans) == (" ".join(words), " ".join(other))
    assert [span.text for span in spans if span.kind == LEFT] == [f"w{at}" for at in range(5, 30_000, 300)]


def test_hostile_texts_take_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two letters in disorder have no stretch once and the longest scripts: steps run out, and nothing is lost."""
    monkeypatch.setattr(module, "MOST_STEPS", 100_000)
    random.seed(3)
    left, right = (" ".join(random.choices("ab", k=50_000)) for _ in range(2))
    begun = time.process_time()
    assert sides(differences(left, right)) == (left, right)
    assert sides(differences("a " * 50_000, "b a " * 20_000)) == ("a " * 50_000, "b a " * 20_000)
    assert time.process_time() - begun < 10


def test_windows_show_differences_with_some_text_around() -> None:
    text = "".join(f"<{n}>" for n in range(100))
    spans = differences(f"{text} old {text}", f"{text} new {text}")
    shown = windows(spans, around=8)
    assert shown == [
        Span(CUT, "…"), Span(EQUAL, "98><99> "), Span(LEFT, "old"), Span(RIGHT, "new"), Span(EQUAL, " <0><1><"),
        Span(CUT, "…"),
    ]  # fmt: skip
    assert windows(spans, around=1_000) == spans
    assert windows(differences("x" * 99, "x" * 99), around=10) == [Span(EQUAL, "x" * 20), Span(CUT, "…")]


def test_windows_of_texts_that_differ_everywhere_end() -> None:
    left = " ".join(f"a{n} b" for n in range(150))
    shown = windows(differences(left, left.replace("a", "c")), most=300)
    assert sum(len(span.text) for span in shown) < 500
    assert shown[-1] == Span(CUT, "…")
    assert windows(differences("", "y" * 9_000), most=300) == [Span(RIGHT, "y" * 67 + "…" + "y" * 33)]
