"""What RefinedWeb's rules for lines would take is what drop_lines takes with its settings."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import clean
from dedup.measure.refinedweb import refinedweb

REFINEDWEB = {
    "terminal_marks": "", "words_below": 2, "word_length_above": 0, "javascript": False, "policy": False,
    "citations": False, "blank_lines": False, "uppercase_above": 0.5, "numeric_above": 0.999999, "counters": True,
    "buttons": True,
}  # fmt: skip


def shares(*texts: str | None) -> list[float | None]:
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    return refinedweb(batch)["refinedweb_words_removed_share"].to_pylist()


def test_the_share_is_of_words_that_lines_and_buttons_have() -> None:
    assert shares("This stays here\n3 likes\nGo on read more...\nSHOUT LOUD") == [(2 + 2 + 2) / 11]


def test_a_text_keeps_its_lines_and_nothing_is_removed_of_none() -> None:
    batch = pa.record_batch({"text": pa.array(["3 likes", "All is well", "", " \n", None], pa.large_string())})
    result = refinedweb(batch)
    assert result["text"].equals(batch["text"])
    assert result["refinedweb_words_removed_share"].to_pylist() == [1.0, 0.0, None, None, None]


pieces = st.sampled_from(
    ["a word", "two", "ABC", " 3 likes", "12", "items in cart", "Sign-in", "read more...", "…", " ", "\n", "\r\n", "É"]
)
texts = st.lists(pieces, max_size=20).map("".join) | st.none()


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, max_size=5))
def test_the_share_is_that_of_drop_lines(texts: list[str | None]) -> None:
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    assert shares(*texts) == clean.drop_lines(batch, **REFINEDWEB)["words_removed_share"].to_pylist()
