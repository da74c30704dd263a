"""Row-local steps over a batch: against every row going through them alone until a rule drops it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import clean, drop, segment
from dedup.errors import RunError
from dedup.measure import c4, gopher
from dedup.recipe import Step
from dedup.runner.steps import Steps

RECIPE: list[tuple[str, Any, dict[str, Any]]] = [
    ("segment", segment.segment, {}),
    ("measure.gopher.quality", gopher.quality, {"words": "tokens"}),
    ("drop.when", drop.when, {"word_count": {"below": 3}}),
    ("clean.normalize", clean.normalize, {}),
    ("measure.c4", c4.c4, {}),
    ("drop.when", drop.when, {"c4_sentence_count": {"above": 1}}),
    ("segment", segment.segment, {}),
    ("drop.when", drop.when, {"word_count": {"above": 5}}),
]
TEXTS = [
    "One.",
    "One two three four.",
    "One  two\tthree. Four words more.",
    "a b c d e f g",
    "一二三四。",
    "",
    None,
    "x y z\u200b",
]


def rows_of(*texts: str | None, reasons: list[str | None] | None = None) -> pa.RecordBatch:
    return pa.record_batch({
        "text": pa.array(texts, pa.large_string()),
        "row": pa.array(range(len(texts)), pa.int64()),
        "drop_reason": pa.array(reasons or [None] * len(texts), pa.string()),
    })  # fmt: skip


def steps(recipe: list[tuple[str, Any, dict[str, Any]]] = RECIPE, measure_all: bool = False) -> Steps:
    return Steps([Step(i, "stage", use, given) for i, (use, _, given) in enumerate(recipe)], ".", measure_all)


def alone(row: pa.RecordBatch) -> dict[str, Any]:
    """What becomes of one row."""
    for _, function, chosen in RECIPE:
        if row["drop_reason"].null_count:
            row = function(row, **chosen)
    return row.to_pylist()[0]


@given(st.lists(st.tuples(st.sampled_from(TEXTS), st.sampled_from([None, None, "before"])), max_size=12))
@settings(max_examples=60, deadline=None)
def test_a_row_goes_through_the_steps_until_a_rule_drops_it_and_keeps_its_place(rows: list[Any]) -> None:
    batch = rows_of(*(text for text, _ in rows), reasons=[reason for _, reason in rows])
    done = steps().apply(batch)
    names = set(done.batch.schema.names)
    wanted = [alone(batch.slice(i, 1)) for i in range(len(rows))]
    assert done.batch.to_pylist() == [{name: row.get(name) for name in done.batch.schema.names} for row in wanted]
    assert {"text", "row", "word_count", "c4_sentence_count"} <= names
    assert not {"_tokens", "_token_starts"} & names
    stays = [i for i, row in enumerate(wanted) if row["drop_reason"] is None]
    assert done.places.tolist() == stays
    assert done.alive["text"].to_pylist() == [wanted[i]["text"] for i in stays]
    assert done.alive["_tokens"].to_pylist() == [
        segment.segment(batch.slice(i, 1).select(["text"]))["_tokens"].to_pylist()[0] for i in stays
    ]


def test_with_measure_all_every_step_sees_every_row() -> None:
    counted = steps(measure_all=True)
    done = counted.apply(rows_of("One.", "One two three four."))
    assert done.batch["c4_sentence_count"].null_count == 0
    assert done.places.tolist() == [1]
    assert [count["rows"] for count in counted.counts] == [2] * len(RECIPE)


def test_what_steps_see_and_cost_is_counted() -> None:
    counted = steps()
    for _ in range(2):
        counted.apply(rows_of("One.", "One two three four.", None))
    assert [count["rows"] for count in counted.counts] == [6, 6, 6, 4, 4, 4, 4, 4]
    assert [count["bytes"] for count in counted.counts][2:4] == [46, 38]
    assert all(count["cpu_seconds"] > 0 for count in counted.counts)


def test_a_stage_that_loses_rows_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.runner.steps.find", lambda step, folder: lambda batch: batch.slice(1))
    with pytest.raises(RunError, match=r"step\[0\] \(own:stage\) returned 1 rows for 2"):
        steps([("own:stage", None, {})]).apply(rows_of("a", "b"))
