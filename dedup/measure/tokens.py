"""Length in a model's tokens: what a corpus is budgeted in.

The tokenizer is the user's: a tokenizer.json (package tokenizers) or an encoding of tiktoken by name. Both are
optional packages and run a call a batch; they cost far more than everything else here.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from dedup import buffers
from dedup.errors import RecipeError, nearest
from dedup.io.named import FileOrName, version

COUNT = pa.field("token_count", pa.int64())
_AT_ONCE = 512  # texts: bounds what the tokenizer's own objects take


def tokens(batch: pa.RecordBatch, *, tokenizer: FileOrName) -> pa.RecordBatch:
    """Add how many tokens a text has for a model.

    tokenizer   the path of a tokenizer.json, or the name of a tiktoken encoding such as "cl100k_base"

    token_count   int64   tokens, >= 0, without those that a model wants before and after a text; null for a null text

    A text that spells a special token ("<|endoftext|>") counts as its tokenizer.json says; for tiktoken it is plain
    text. tiktoken fetches an encoding from the network once and keeps it (TIKTOKEN_CACHE_DIR); where there is no
    network, name a tokenizer.json. Needs the package tokenizers or tiktoken: pip install 'dedup[tokens]'.
    """
    count = _check(tokenizer)
    texts = buffers.large_strings(batch["text"])
    counts: list[int | None] = []
    for first in range(0, len(texts), _AT_ONCE):
        part = texts.slice(first, _AT_ONCE).to_pylist()
        known = iter(count([text for text in part if text is not None]))
        counts += [None if text is None else next(known) for text in part]
    return buffers.with_columns(batch, {COUNT: pa.array(counts, pa.int64())})


def _check(tokenizer: str) -> Callable[[list[str]], list[int]]:
    """What counts the tokens of texts; refuses a setting that cannot work before anything is loaded."""
    if not isinstance(tokenizer, str) or not tokenizer:
        raise RecipeError(f"tokenizer is {tokenizer!r}; it is the path of a tokenizer.json or a tiktoken name")
    is_file = tokenizer.endswith(".json") or Path(tokenizer).exists()
    if is_file and not Path(tokenizer).is_file():
        raise RecipeError(f"tokenizer is {tokenizer!r}, and there is no such file")
    package = "tokenizers" if is_file else "tiktoken"
    if importlib.util.find_spec(package) is None:
        raise RecipeError(
            f"tokenizer {tokenizer!r} needs one more package, {package}: pip install 'dedup[tokens]'"
            + ("" if is_file else "; a name without .json is one of tiktoken's")
        )
    if is_file:
        return lambda texts: _by_file(tokenizer, texts)
    import tiktoken  # type: ignore[import-not-found, unused-ignore]

    names = tiktoken.list_encoding_names()
    if tokenizer not in names:
        raise RecipeError(
            f"tokenizer is {tokenizer!r}: neither a file nor an encoding of tiktoken; {nearest(tokenizer, names)}"
        )
    return lambda texts: _by_name(tokenizer, texts)


def _by_file(path: str, texts: list[str]) -> list[int]:
    tokenizer = _file(path, version(path))
    return [len(encoded.ids) for encoded in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def _by_name(name: str, texts: list[str]) -> list[int]:
    return [len(ids) for ids in _encoding(name).encode_ordinary_batch(texts, num_threads=1)]


@functools.cache
def _file(path: str, seen: tuple[int, int]) -> Any:
    from tokenizers import Tokenizer  # type: ignore[import-not-found, unused-ignore]

    try:
        loaded = Tokenizer.from_file(path)
    except Exception as error:  # the package raises Exception itself
        raise RecipeError(f"{path}: not a tokenizer.json ({error})") from None
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


@functools.cache
def _encoding(name: str) -> Any:
    import tiktoken

    try:
        return tiktoken.get_encoding(name)
    except Exception as error:  # of whatever network layer
        raise RecipeError(
            f"tiktoken cannot fetch the encoding {name!r} ({type(error).__name__}); set TIKTOKEN_CACHE_DIR to a folder "
            "that has it, or name a tokenizer.json"
        ) from None
