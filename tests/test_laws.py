"""The four laws of design section 1, for every public stage: row-local, empty-safe, row-preserving, pure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dedup import stages

STAGES = stages.shipped()
SETTINGS: dict[str, dict[str, Any]] = {
    "measure.fasttext": {"model": str(Path(__file__).parent / "measure" / "classifier.bin"), "label": "hq"},
    "measure.tokens": {"tokenizer": str(Path(__file__).parent / "measure" / "tokenizer.json")},
    "measure.url": {"column": "source", "block_domains": ["example.com"]},
    "measure.words": {"lists": {"listed": ["good", "中文"]}},
    "drop.sample": {"share": 0.5},
    "drop.when": {"quality": {"below": 0.5}, "source": {"in": ["web", "mail"]}, "text": {"equals": "good text"}},
}
SCHEMA = pa.schema(
    {
        "_row": pa.int64(),
        "text": pa.large_string(),
        "id": pa.large_string(),
        "drop_reason": pa.string(),
        "quality": pa.float64(),
        "source": pa.large_string(),
    }
)
DECIDED = {"text", "drop_reason"}  # what a stage may replace

pieces = st.sampled_from(
    ["the good text", " and more", "\n", "\r\n", "- a list", "...", "…", "# ", "中文，没有空格。", "สวัสดี", "हिन्दी",
     "Ã©tÃ©", "&amp;", "<p>", "\t ", "\n\n\n\n", "ﬁ", "e\N{COMBINING ACUTE ACCENT}", "\x07", "“quoted”", "😀"]
)  # fmt: skip
texts = st.one_of(st.none(), st.lists(pieces, max_size=8).map("".join), st.text(max_size=20))
rows = st.fixed_dictionaries(
    {
        "_row": st.integers(0, 1 << 30),
        "text": texts.map(lambda t: t and t.encode("utf-8", "replace").decode("utf-8")),
        "id": st.one_of(st.none(), st.text("abc", max_size=3)),
        "drop_reason": st.sampled_from([None, "word_count < 50"]),
        "quality": st.one_of(st.none(), st.floats(0, 1)),
        "source": st.sampled_from([None, "web", "book"]),
    }
)
batches = st.lists(rows, max_size=12).map(lambda found: pa.RecordBatch.from_pylist(found, schema=SCHEMA))
some_examples = hypothesis_settings(max_examples=60, deadline=None, derandomize=True)


def apply(name: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    return STAGES[name](batch, **SETTINGS.get(name, {}))


every_stage = pytest.mark.parametrize("name", sorted(STAGES))


def test_every_kind_of_stage_is_among_them() -> None:
    assert set(STAGES) >= {"clean.fix_text", "clean.normalize", "segment", "measure.gopher.quality", "drop.when"}


@every_stage
@some_examples
@given(batch=batches, cut=st.integers(0, 12))
def test_a_stage_does_not_see_how_rows_are_batched(name: str, batch: pa.RecordBatch, cut: int) -> None:
    parts = [apply(name, batch.slice(0, cut)), apply(name, batch.slice(cut))]
    assert pa.Table.from_batches(parts).to_pylist() == apply(name, batch).to_pylist()


@every_stage
@some_examples
@given(batch=batches)
def test_a_stage_keeps_rows_and_columns_in_order(name: str, batch: pa.RecordBatch) -> None:
    result = apply(name, batch)
    untouched = [column for column in SCHEMA.names if column not in DECIDED]
    assert result.select(untouched).to_pylist() == batch.select(untouched).to_pylist()
    assert result.schema.names[: len(SCHEMA)] == SCHEMA.names
    assert (result["text"].null_count, result.num_rows) == (batch["text"].null_count, batch.num_rows)


@every_stage
@some_examples
@given(batch=batches)
def test_a_stage_gives_the_same_for_the_same_and_leaves_its_batch_alone(name: str, batch: pa.RecordBatch) -> None:
    before = batch.to_pylist()
    first = apply(name, batch).to_pylist()
    assert batch.to_pylist() == before
    elsewhere = batch.set_column(0, "_row", pa.array(range(batch.num_rows), pa.int64()))  # another place in the shard
    again = apply(name, elsewhere).drop_columns(["_row"]).to_pylist()
    assert again == [{key: value for key, value in row.items() if key != "_row"} for row in first]


@every_stage
def test_a_stage_gives_no_rows_the_schema_of_many(name: str) -> None:
    batch = pa.RecordBatch.from_pylist(
        [{"_row": 0, "text": "Ã©tÃ©  the good text", "id": "a", "drop_reason": None, "quality": 0.1, "source": "web"}],
        schema=SCHEMA,
    )
    nothing = apply(name, batch.slice(1))
    assert (nothing.num_rows, nothing.schema) == (0, apply(name, batch).schema)
    assert apply(name, pa.RecordBatch.from_pylist([], schema=SCHEMA)).schema == nothing.schema


ON_NO_ROWS = """
import json, sys
import pyarrow as pa
from dedup import stages
import tests.test_laws as laws
compiled = {}
for name in laws.STAGES:
    laws.apply(name, pa.RecordBatch.from_pylist([], schema=laws.SCHEMA))
    compiled[name] = [
        f"{module}.{function}"
        for module in list(sys.modules) if module.startswith("dedup.kernels")
        for function, value in vars(sys.modules[module]).items() if getattr(value, "signatures", None)
    ]
print(json.dumps(compiled))
"""


@pytest.fixture(scope="module")
def compiled_on_no_rows() -> dict[str, list[str]]:
    """Kernels that a fresh process has compiled or loaded after running each stage on no rows."""
    done = subprocess.run([sys.executable, "-c", ON_NO_ROWS], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@every_stage
def test_a_stage_compiles_no_kernel_for_no_rows(name: str, compiled_on_no_rows: dict[str, list[str]]) -> None:
    assert compiled_on_no_rows[name] == []
