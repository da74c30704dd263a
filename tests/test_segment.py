"""The units of words: white space as str.split has it, words and signs apart as spaCy's blank English has them."""

from __future__ import annotations

import re
from itertools import chain

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import segment
from dedup.kernels import english
from tests.real import SHARDS, documents


def cut(*texts: str | None, unit: str) -> list[list[str]]:
    """The words of every text, as strings."""
    _, words = segment.words(pa.record_batch({"text": pa.array(texts, pa.large_string())}), unit)
    data = bytes(words.data)
    rows = []
    for i, base in enumerate(words.base):
        places = range(words.offsets[i], words.offsets[i + 1])
        rows.append([data[base + words.starts[j] : base + words.ends[j]].decode() for j in places])
    return rows


PIECES = st.sampled_from(
    ["a", "word", "é", "中文", " ", "\t", "\n", "\r\n", "\u3000", "\u00a0", "\u2028", "\x1c", "\x85", "."]
)
texts = st.one_of(st.none(), st.lists(PIECES, max_size=30).map("".join), st.text(max_size=30))


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, max_size=5))
def test_words_between_white_space_are_those_of_str_split(batch: list[str | None]) -> None:
    batch = [text and text.encode("utf-8", "replace").decode() for text in batch]
    assert cut(*batch, unit="whitespace") == [(text or "").split() for text in batch]


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, max_size=5))
def test_words_apart_from_signs_lose_nothing_but_white_space(batch: list[str | None]) -> None:
    batch = [text and text.encode("utf-8", "replace").decode() for text in batch]
    for text, words in zip(batch, cut(*batch, unit="punctuated"), strict=True):
        assert "".join("".join(words).split()) == "".join((text or "").split())


RUN_PIECES = st.sampled_from(
    [
        *("a", "We", "word", "longerthaneight", "U.S", "12", "10km", "cannot", "e.g.", "http://", "example.org"),
        *(*"'./,:)(_<>*$+%=@^-", "n't", "'ll", "...", "--", ":-)", "o_O"),
        *("é", "\u0430", "…", "—", "©", "²", "\N{RIGHT SINGLE QUOTATION MARK}", "\u200b", "\u0301", "\x01"),
    ]
)
runs = st.lists(RUN_PIECES, min_size=1, max_size=7).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.lists(runs, min_size=1, max_size=12), st.sampled_from([" ", "\n", "\t\t", "\u3000"]))
def test_a_run_is_cut_alike_wherever_it_stands_and_however_often(parts: list[str], space: str) -> None:
    # Alone at the end of the data a run takes none of the fast ways, which read eight bytes.
    alone = [cut(part, unit="punctuated")[0] for part in parts]
    text = space.join(parts + parts)
    assert cut(text, text + space * 9, unit="punctuated") == [list(chain(*alone, *alone))] * 2


@settings(max_examples=200, deadline=None)
@given(
    st.lists(runs, min_size=1, max_size=5), st.lists(st.sampled_from("中のก、。（\u0301\u200b"), min_size=1, max_size=5)
)
def test_unspaced_characters_part_runs(parts: list[str], between: list[str]) -> None:
    wide = "中" + "".join(between) + "中"
    words = cut(wide.join(parts), unit="punctuated")[0]
    expected = cut(parts[0], unit="punctuated")[0]
    for part in parts[1:]:
        first, *rest = cut(part, unit="punctuated")[0]
        # A mark or an invisible character after an unspaced one belongs to it or to nothing, not to the run.
        lead = re.match("[\u0301\u200b]*", part)
        assert lead is not None
        if lead.group():
            return
        expected += [*cut(wide, unit="punctuated")[0], first, *rest]
    assert words == expected


def test_of_letters_and_one_sign_only_those_with_a_full_stop_or_an_apostrophe_are_special() -> None:
    # What the kernel goes by when it cuts a sign off a word without looking for the two together.
    endings = {word[-1] for word in english.special_words() if re.fullmatch(r"[A-Za-z]{2,}[!-/:-@[-`{-~]", word)}
    assert endings == {".", "'"}


@pytest.mark.shared
@pytest.mark.parametrize("shard", SHARDS)
def test_real_runs_are_cut_as_they_are_alone(shard: str) -> None:
    for text in documents(shard, 30, 20_000):
        parts = (text or "").split()
        assert cut(text, unit="punctuated")[0] == list(chain(*cut(*parts, unit="punctuated")))


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, max_size=5))
def test_equal_words_and_only_they_have_equal_hashes(batch: list[str | None]) -> None:
    batch = [text and text.encode("utf-8", "replace").decode() for text in batch]
    for unit in ("whitespace", "punctuated"):
        _, words = segment.words(pa.record_batch({"text": pa.array(batch, pa.large_string())}), unit)
        strings = [word for row in cut(*batch, unit=unit) for word in row]
        hashes = words.hashes.tolist()
        assert len(set(zip(strings, hashes, strict=True))) == len(set(strings)) == len(set(hashes))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, world!", "Hello | , | world | !"),
        ("I don't think it's John's.", "I | do | n't | think | it | 's | John | 's | ."),
        ("We can't go; they'll stay.", "We | ca | n't | go | ; | they | 'll | stay | ."),
        ("a well-known fact", "a | well | - | known | fact"),
        ("e.g. the U.S. economy", "e.g. | the | U.S. | economy"),
        ("(see https://example.org/a?b=1)", "( | see | https://example.org/a?b=1 | )"),
        ("write to me@example.com.", "write | to | me@example.com | ."),
        ("10km at 3.14 for $5,000", "10 | km | at | 3.14 | for | $ | 5,000"),
        ("wait... what", "wait | ... | what"),
        ("今天 good", "今 | 天 | good"),
        ("他说：“好。”", "他 | 说 | ： | “ | 好 | 。 | ”"),
        ("**[Note](c-top.md)**:", "* | * | [ | Note](c | - | top.md | ) | * | * | :"),
        ("<td>cell</td><br/>", "< | td | > | cell</td><br/ | >"),
        ("cannot cannot, cannot", "can | not | can | not | , | can | not"),
        ("ma'am, doin' fine :-) and =D!!", "ma'am | , | doin' | fine | :-) | and | =D | ! | !"),
        (
            "well--or not...yet, as in a+b, 2*3 and 5-6",
            "well | -- | or | not | ... | yet | , | as | in | a+b | , | 2 | * | 3 | and | 5 | - | 6",
        ),
        ("Mr. and Mrs. Doe, Inc. left.", "Mr. | and | Mrs. | Doe | , | Inc. | left | ."),
        ("か\u3099\u200bな", "か\u3099 | な"),
        (":')):", ":') | ):"),
        ("Yes,no either/or x=y J.R. e.g.", "Yes | , | no | either | / | or | x | = | y | J.R. | e.g."),
        ("www.a-b.org:80/x http://a.b", "www.a-b.org:80/x | http://a.b"),
    ],
)
def test_words_and_signs_are_cut_as_spacy_cuts_them(text: str, words: str) -> None:
    assert cut(text, unit="punctuated") == [words.split(" | ")]
