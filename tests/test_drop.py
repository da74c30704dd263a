"""Rules that drop, by language where they say so, and samples: which rows go, and what the reason says."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import drop
from dedup.errors import RecipeError
from dedup.plan import make_plan
from dedup.recipe import load

SCHEMA = pa.schema(
    {"text": pa.large_string(), "words": pa.int64(), "ratio": pa.float64(), "kind": pa.string(),
     "language": pa.large_string(), "drop_reason": pa.string()}
)  # fmt: skip


def batch_of(*rows: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict.fromkeys(SCHEMA.names) | row for row in rows], schema=SCHEMA)


def reasons_of(batch: pa.RecordBatch, **rules: Any) -> list[str | None]:
    return drop.when(batch, **rules)["drop_reason"].to_pylist()


def naive_reason(row: dict[str, Any], per_language: dict[str, Any] | None = None, **rules: Any) -> str | None:
    """The reason of one row, rule after rule as the docstring says."""
    own = (per_language or {}).get(row["language"], {})
    columns = dict.fromkeys([*rules, *itertools.chain(*(per_language or {}).values())])
    for column in columns:
        bounds, suffix = (own[column], f" ({row['language']})") if column in own else (rules.get(column, {}), "")
        every = [rules.get(column, {}), *(table.get(column, {}) for table in (per_language or {}).values())]
        for bound in dict.fromkeys(itertools.chain(*every)):
            value, limit = row[column], bounds.get(bound)
            if row["drop_reason"] is not None or value is None or limit is None:
                continue
            fires = {
                "below": lambda v, x: v < x, "above": lambda v, x: v > x, "equals": lambda v, x: v == x,
                "in": lambda v, x: v in x, "not_in": lambda v, x: v not in x,
            }[bound]  # fmt: skip
            sign = {"below": "<", "above": ">", "equals": "=", "in": "in", "not_in": "not in"}[bound]
            if fires(value, limit):
                return f"{column} {sign} {limit}{suffix}"
    return row["drop_reason"]


def test_the_first_rule_that_fires_names_the_reason() -> None:
    batch = batch_of({"words": 10, "ratio": 0.9}, {"words": 99, "ratio": 0.9}, {"words": 99, "ratio": 0.1}, {})
    found = reasons_of(batch, words={"below": 50, "above": 90}, ratio={"above": 0.5})
    assert found == ["words < 50", "words > 90", "words > 90", None]


def test_a_bound_itself_is_not_beyond_the_bound_and_a_null_never_drops() -> None:
    batch = batch_of({"words": 50}, {"words": 49}, {"words": None})
    assert reasons_of(batch, words={"below": 50, "above": 50}) == [None, "words < 50", None]
    assert reasons_of(batch, kind={"not_in": ["a"]}) == [None, None, None]


def test_a_row_marked_before_keeps_its_reason() -> None:
    assert reasons_of(batch_of({"words": 1, "drop_reason": "sample"}), words={"below": 50}) == ["sample"]


ZH = {"zh": {"words": {"below": 20}}}


def test_a_language_has_bounds_of_its_own_and_the_reason_says_so() -> None:
    batch = batch_of(*({"words": 30, "language": code} for code in ("zh", "en", None)), {"words": 9, "language": "zh"})
    found = reasons_of(batch, words={"below": 50}, per_language=ZH)
    assert found == [None, "words < 50", "words < 50", "words < 20 (zh)"]


def test_what_a_language_says_of_a_column_replaces_all_general_bounds_of_that_column_only() -> None:
    batch = batch_of({"words": 1000, "ratio": 0.9, "language": "zh"}, {"words": 1000, "ratio": 0.9, "language": "en"})
    found = reasons_of(batch, words={"below": 50, "above": 500}, ratio={"above": 0.5}, per_language=ZH)
    assert found == ["ratio > 0.5", "words > 500"]


def test_an_empty_table_switches_a_column_off_in_a_language() -> None:
    batch = batch_of({"words": 1, "language": "ja"}, {"words": 1, "language": "en"})
    assert reasons_of(batch, words={"below": 50}, per_language={"ja": {"words": {}}}) == [None, "words < 50"]


def test_a_column_may_have_rules_in_some_languages_only() -> None:
    batch = batch_of({"kind": "spam", "language": "zh"}, {"kind": "spam", "language": "en"})
    rules = {"zh": {"kind": {"in": ["spam", "ad"]}}}
    assert reasons_of(batch, per_language=rules) == ["kind in ['spam', 'ad'] (zh)", None]


bounds_of_words = st.dictionaries(st.sampled_from(["below", "above", "equals"]), st.integers(0, 4), min_size=1)
bounds_of_ratio = st.dictionaries(st.sampled_from(["below", "above"]), st.sampled_from([0, 0.25, 0.5]), min_size=1)
bounds_of_kind = st.dictionaries(
    st.sampled_from(["in", "not_in"]), st.lists(st.sampled_from("ab"), min_size=1), min_size=1
)
general_rules = st.fixed_dictionaries(
    {}, optional={"words": bounds_of_words, "ratio": bounds_of_ratio, "kind": bounds_of_kind}
)
own_rules = st.fixed_dictionaries(
    {},
    optional={
        "words": bounds_of_words | st.just({}),
        "ratio": bounds_of_ratio | st.just({}),
        "kind": bounds_of_kind | st.just({}),
    },
)
some_rows = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.just("x"),
            "words": st.none() | st.integers(0, 4),
            "ratio": st.sampled_from([None, 0.0, 0.25, 0.3, 1.0]),
            "kind": st.sampled_from([None, "a", "b", "c"]),
            "language": st.sampled_from([None, "zh", "ja", "en"]),
            "drop_reason": st.sampled_from([None, None, "before"]),
        }
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(some_rows, general_rules, st.dictionaries(st.sampled_from(["zh", "ja"]), own_rules))
def test_every_reason_equals_its_twin_and_is_listed_before(
    rows: list[dict[str, Any]], general: dict[str, Any], own: dict[str, Any]
) -> None:
    found = reasons_of(batch_of(*rows), **general, per_language=own)
    assert found == [naive_reason(row, own, **general) for row in rows]
    listed = drop.reasons("drop.when", {**general, "per_language": own})
    assert set(found) <= {None, "before", *listed}


def test_the_plan_knows_every_reason_that_a_recipe_can_give() -> None:
    steps = [
        {"use": "measure.gopher.quality"},
        {"use": "drop.when", "word_count": {"below": 5, "above": 9}},
        {"use": "drop.sample", "share": 0.5},
    ]
    plan = make_plan(load({"step": steps, "input": "a", "output": "b"}), [])
    assert plan.rules == ((1, "word_count < 5"), (1, "word_count > 9"), (2, "sample"))
    by_language = {"word_count": {"below": 5, "above": 9}, "per_language": {"zh": {"word_count": {"below": 2}}}}
    assert drop.reasons("drop.when", by_language) == ["word_count < 2 (zh)", "word_count < 5", "word_count > 9"]
    assert drop.reasons("segment", {}) == []


def test_a_sample_without_a_seed_takes_the_recipes() -> None:
    steps = [{"use": "drop.sample", "share": 0.5}, {"use": "drop.sample", "share": 0.5, "seed": 7}]
    for seed, wanted in (({}, [1, 7]), ({"seed": 3}, [3, 7])):
        recipe = load({"step": steps, "input": "a", "output": "b", **seed})
        assert [step.settings["seed"] for step in recipe.step] == wanted


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"word": {"below": 1}}, "there is no column 'word'; did you mean 'words'?"),
        ({"words": {"bellow": 1}}, "words has no bound 'bellow'; did you mean 'below'?"),
        ({"words": {}}, "words is {}; a rule is a table such as { below = 50 }"),
        ({"kind": {"below": 1}}, "kind is of type string; below needs a column of numbers"),
        ({"words": {"below": "1"}}, "words.below is '1'; it is a number"),
        ({"words": {"equals": "one"}}, "words.equals is 'one'; the column is of type int64"),
        ({"words": {"in": 1}}, "words.in is 1; it is a list"),
        ({"per_language": {"zh": {"word": {"below": 1}}}}, "there is no column 'word'; did you mean 'words'?"),
        ({"per_language": {"zh": {"words": {"bellow": 1}}}}, "words has no bound 'bellow'; did you mean 'below'?"),
        ({"per_language": ["zh"]}, "per_language is ['zh']; it is a table such as { zh = { ... } }"),
        (
            {"per_language": {"zh": 20}},
            "per_language.zh is 20; it is a table of rules such as { word_count = { below = 20 } }",
        ),
    ],
)
def test_a_rule_that_cannot_work_is_refused_before_any_data(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        drop.when(batch_of(), **rules)
    assert str(error.value) == message


def test_rules_by_language_need_a_column_of_languages() -> None:
    with pytest.raises(RecipeError) as error:
        drop.when(batch_of().drop_columns(["language"]), per_language=ZH)
    assert str(error.value) == (
        "there is no column 'language'; per_language needs it, measure.language.identify adds it"
    )
    numbers = pa.record_batch({"words": [1], "language": pa.array([[1]])})
    with pytest.raises(RecipeError, match=r"language is of type list<.*>; per_language needs a column of text"):
        drop.when(numbers, per_language=ZH)


def test_languages_may_be_dictionary_encoded() -> None:
    batch = pa.record_batch({"words": [9, 9], "language": pa.array(["zh", "en"]).dictionary_encode()})
    assert reasons_of(batch, words={"below": 5}, per_language=ZH) == ["words < 20 (zh)", None]


# Samples


def sampled(ids: list[Any] | None, texts: list[str | None], **options: Any) -> list[bool]:
    """Which rows a sample keeps."""
    columns = {"text": pa.array(texts, pa.large_string())}
    columns |= {} if ids is None else {"id": pa.array(ids)}
    return [reason is None for reason in drop.sample(pa.record_batch(columns), **options)["drop_reason"].to_pylist()]


MANY = [f"document {number}" for number in range(4000)]


def test_a_sample_keeps_about_its_share_and_the_others_are_marked() -> None:
    assert 900 < sum(sampled(None, MANY, share=0.25)) < 1100  # 3.6 standard deviations
    batch = pa.record_batch({"text": pa.array(["a", "b", "c"], pa.large_string())})
    assert drop.sample(batch, share=0)["drop_reason"].to_pylist() == ["sample"] * 3
    assert drop.sample(batch, share=1)["drop_reason"].to_pylist() == [None] * 3


def test_a_smaller_share_keeps_some_of_what_a_larger_one_keeps_and_another_seed_others() -> None:
    few, more, other = (sampled(None, MANY, share=s, seed=seed) for s, seed in ((0.1, 1), (0.3, 1), (0.1, 2)))
    assert all(more[i] for i in range(len(MANY)) if few[i])
    assert 10 < sum(a and b for a, b in zip(few, other, strict=True)) < 80  # 40 by chance


def test_the_id_decides_whatever_the_text_and_the_text_where_there_is_none() -> None:
    by_id = sampled(MANY, ["same text"] * len(MANY), share=0.5)
    assert by_id == sampled(None, MANY, share=0.5)  # a text that reads like the id has its fate
    assert sampled([None] * len(MANY), MANY, share=0.5) == by_id
    assert sampled(list(range(4000)), MANY, share=0.5) == sampled([str(n) for n in range(4000)], MANY, share=0.5)


def test_a_row_without_id_and_text_stays_and_a_marked_one_keeps_its_reason() -> None:
    batch = batch_of({"text": None}, {"text": "a", "drop_reason": "words < 5"})
    assert drop.sample(batch, share=0)["drop_reason"].to_pylist() == [None, "words < 5"]


def test_which_documents_are_kept_is_the_same_in_every_version() -> None:
    assert [i for i, kept in enumerate(sampled(None, MANY[:40], share=0.2)) if kept] == [2, 9, 10, 14, 18, 22, 27]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.5}, "share is 1.5; the share of documents that is kept lies in [0, 1]"),
        ({"share": True}, "share is True; the share of documents that is kept lies in [0, 1]"),
        ({"share": 0.5, "seed": -1}, "seed is -1; it is a whole number from 0 to 2**64 - 1"),
    ],
)
def test_a_share_or_seed_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        drop.sample(pa.record_batch({"text": pa.array([], pa.large_string())}), **options)
    assert str(error.value) == message
