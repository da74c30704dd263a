"""Tokens of a model's tokenizer, counted."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pyarrow as pa
import pytest

from dedup.errors import RecipeError
from dedup.measure import tokens as module
from dedup.measure.tokens import tokens

# Words apart by white space, three of them known; the model's own marks before and after a text, at most 2 tokens.
TOKENIZER = {
    "version": "1.0", "truncation": {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
    "padding": None, "normalizer": None, "decoder": None,
    "added_tokens": [
        {"id": 0, "content": "[UNK]", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True}
    ],
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": {
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[UNK]", "type_id": 0}},
                                                 {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[UNK]": {"id": "[UNK]", "ids": [0], "tokens": ["[UNK]"]}},
    },
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "one": 1, "two": 2}, "unk_token": "[UNK]"},
}  # fmt: skip


def batch_of(*texts: str | None) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.large_string())})


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    return str(tmp_path / "tokenizer.json")


def test_tokens_are_counted_without_the_models_own_and_without_a_limit(path: str) -> None:
    pytest.importorskip("tokenizers")
    batch = batch_of("one two three, one", None, "", "中文 one", *["two two"] * 1000)
    assert tokens(batch, tokenizer=path)["token_count"].to_pylist() == [5, None, 0, 2, *[2] * 1000]


def test_no_rows_have_the_schema_of_many_and_nothing_is_loaded(path: str) -> None:
    pytest.importorskip("tokenizers")
    many = tokens(batch_of("one"), tokenizer=path)
    assert tokens(batch_of(), tokenizer=path).schema == many.schema
    module._file.cache_clear()
    tokens(batch_of(), tokenizer=path)
    assert module._file.cache_info().currsize == 0


def test_a_file_that_is_none_or_no_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"tokenizer is 'no/tokenizer.json', and there is no such file"):
        tokens(batch_of(), tokenizer="no/tokenizer.json")
    with pytest.raises(RecipeError, match=r"tokenizer is 1; it is the path of a tokenizer.json or a tiktoken name"):
        tokens(batch_of(), tokenizer=1)
    pytest.importorskip("tokenizers")
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(RecipeError, match=r"broken.json: not a tokenizer.json \("):
        tokens(batch_of("a"), tokenizer=str(broken))


def test_a_name_that_tiktoken_does_not_have_is_refused() -> None:
    pytest.importorskip("tiktoken")
    with pytest.raises(RecipeError, match="neither a file nor an encoding of tiktoken; did you mean 'cl100k_base'"):
        tokens(batch_of(), tokenizer="cl100k_bas")


def test_an_encoding_that_cannot_be_fetched_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tiktoken = pytest.importorskip("tiktoken")

    def fails(name: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr(tiktoken, "get_encoding", fails)
    module._encoding.cache_clear()
    with pytest.raises(RecipeError, match=r"tiktoken cannot fetch the encoding 'gpt2' \(OSError\); set TIKTOKEN_CACHE"):
        tokens(batch_of("a"), tokenizer="gpt2")


def test_an_encoding_of_tiktoken_counts_special_tokens_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    letters = {bytes([byte]): byte for byte in range(256)}
    made = tiktoken.Encoding("bytes", pat_str=r"\S+|\s+", mergeable_ranks=letters, special_tokens={"<|end|>": 256})
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: made)
    module._encoding.cache_clear()
    assert tokens(batch_of("ab", None, "<|end|>"), tokenizer="gpt2")["token_count"].to_pylist() == [2, None, 7]
    module._encoding.cache_clear()


def test_without_the_package_the_extra_is_named(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"needs one more package, tokenizers: pip install 'dedup\[tokens\]'$"):
        tokens(batch_of(), tokenizer=path)
    with pytest.raises(RecipeError, match=r"one more package, tiktoken: pip install 'dedup\[tokens\]'; a name without"):
        tokens(batch_of(), tokenizer="gpt2")
