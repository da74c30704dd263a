"""The score that a user's fastText classifier gives a text: how web corpora are sorted by quality at scale.

The library has no way in for Arrow: each text is one call with a string. Measured on one core, for a model of word
pairs in 100 dimensions (DCLM's kind): 58 ns a byte of English, 117 of Chinese cut to tokens; 330 of English for one
of the parts of words (lid.176). Each worker holds the model, in as much memory as its file has bytes.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dedup import buffers, segment
from dedup.errors import RecipeError, nearest
from dedup.io.named import FilePath
from dedup.measure import _fasttext_model

_TAKEN = ("text", "id", "drop_reason")


def fasttext(
    batch: pa.RecordBatch,
    *,
    model: FilePath,
    label: str,
    column: str = "fasttext_score",
    words: str | None = None,
    lowercase: bool = False,
    characters: int | None = None,
) -> pa.RecordBatch:
    """Add the probability that a fastText classifier gives one of its labels.

    column          type     what
    fasttext_score  float64  probability of `label`, in [0, 1]

    model       the path of a classifier, .bin or .ftz
    label       whose probability it is, with or without the prefix "__label__"
    column      the name of the column: another for a second classifier
    words       without it the model sees the text; else the words of `segment.words`, a space between them: "tokens"
                or another unit, or a column that lists them. A model sees what its training saw: one for Chinese
                that was cut by jieba needs a column with jieba's words, one trained on single characters "tokens"
    lowercase   whether capitals are made small (str.lower) first
    characters  only so many at the text's beginning

    Null for a null or blank text, one without words, and one of which the model knows nothing.

    The score belongs to its model, and so does a threshold: DCLM keeps the tenth of its documents that its model gives
    the most for "hq", which is from 0.018112; ChineseWebText, whose model saw jieba's words, from 0.9. Line breaks are
    read as spaces, as DCLM and datatrove do, since a line is all that fastText reads of a text. The number is the
    library's: 0.00001 more than the softmax, at most 1. For fastText the word "</s>" ends a text, and words that begin
    with "__label__" are none.

    Sources: Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification"; DCLM (Li et al. 2024), section 4.4;
    ChineseWebText (Chen et al. 2023).
    """
    name = _check(model, label, column, lowercase, characters)
    lines = batch["text"]
    if words is not None:
        batch, found = segment.words(batch, words)
        lines = _joined(found, batch["text"]) if batch.num_rows else lines
    scores: list[float | None] = []
    if batch.num_rows:
        many, predict = len(_fasttext_model.check(model)), _fasttext_model.load(model)
        for text in lines.to_pylist():
            line = _fasttext_model.line(text, characters)
            # Less than no probability: of a hierarchical softmax, zero would leave the least likely labels out.
            guesses = (
                predict((line.lower() if lowercase else line) + "\n", many, -1.0, "strict") if line.strip() else []
            )
            scores.append(next((min(score, 1.0) for score, guess in guesses if guess == name), None))
    return buffers.with_columns(batch, {pa.field(column, pa.float64()): pa.array(scores, pa.float64())})


def _check(model: str, label: str, column: str, lowercase: bool, characters: int | None) -> str:
    """The label as the model spells it; refuses settings that cannot work before any data is read."""
    if not isinstance(column, str) or not column or column.startswith("_") or column in _TAKEN:
        raise RecipeError(
            f"column is {column!r}; it is a name for the scores, not beginning with _, and none of {', '.join(_TAKEN)}"
        )
    if not isinstance(lowercase, bool):
        raise RecipeError(f"lowercase is {lowercase!r}; it is true or false")
    if characters is not None and (isinstance(characters, bool) or not isinstance(characters, int) or characters < 1):
        raise RecipeError(f"characters is {characters!r}; it is a whole number from 1")
    labels = _fasttext_model.check(model)
    for known in labels:
        if label in (known, known.removeprefix(_fasttext_model.PREFIX)):
            return known
    plain = [known.removeprefix(_fasttext_model.PREFIX) for known in labels]
    hint = nearest(str(label), plain) if len(plain) > 20 else f"known: {', '.join(plain)}"
    raise RecipeError(f"label is {label!r}; the model {model!r} has no such label; {hint}")


def _joined(found: segment.Words, texts: pa.Array) -> pa.Array:
    """The words of each row, a space after every one."""
    from dedup.kernels.joined import join_words

    offsets = np.empty(len(found.offsets), np.int64)
    size = int((found.ends - found.starts).sum(dtype=np.int64)) + len(found.starts)
    out = np.empty(size, np.uint8)
    join_words(found.offsets, found.base, found.starts, found.ends, found.data, offsets, out)
    return buffers.large_strings_from(offsets, out, buffers.validity(texts))
