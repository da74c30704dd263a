"""The measures of the Gopher quality rule (Rae et al. 2021, "Scaling Language Models: Methods, Analysis &
Insights from Training Gopher", appendix A1.1), in datatrove's dialect on this package's tokens.

Implementations of the same name differ, so the dialect is spelt out. Tokens rather than white space are the
words, so that Chinese, Japanese and Thai have words at all; they are cut once and shared with other measures.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import buffers
from dedup.segment import ENDS, STARTS, segment

FIELDS = (
    pa.field("word_count", pa.int64()),
    pa.field("mean_word_length", pa.float64()),
    pa.field("hash_word_ratio", pa.float64()),
    pa.field("ellipsis_word_ratio", pa.float64()),
    pa.field("bullet_line_ratio", pa.float64()),
    pa.field("ellipsis_line_ratio", pa.float64()),
    pa.field("alphabetic_word_ratio", pa.float64()),
    pa.field("stop_word_count", pa.int64()),
)


def quality(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Add what the Gopher quality rule looks at; every bound is the paper's.

    column                 type     what                                               drop if
    word_count             int64    tokens                                             < 50, > 100,000
    mean_word_length       float64  code points a token, >= 1                          < 3, > 10
    hash_word_ratio        float64  "#" a token, >= 0                                  > 0.1
    ellipsis_word_ratio    float64  "..." and "…" a token, >= 0                        > 0.1
    bullet_line_ratio      float64  lines that begin with "•" or "-", in [0, 1]        > 0.9
    ellipsis_line_ratio    float64  lines that end in "..." or "…", in [0, 1]          > 0.3
    alphabetic_word_ratio  float64  tokens with a letter (str.isalpha), in [0, 1]      < 0.8
    stop_word_count        int64    distinct ones of the eight below, in [0, 8]        < 2

    Stop words: the, be, to, of, and, that, have, with.
    All are null for a null text; a ratio or mean over no words or no lines is null. The tokens of `segment`
    are added where they are missing.

    Dialect: datatrove's, where lines are those of str.splitlines, white space before a bullet and after an
    ellipsis is ignored, "...." is one ellipsis, and stop words are compared as written ("The" is none).
    Departures: a word is a token of letters and digits (design 6.1: one character in Chinese, Japanese and
    Thai, where the bounds for length and stop words do not fit), so "don't" is two and punctuation is none,
    in every denominator; a token's length counts all code points of its span, also a soft hyphen or joiner
    inside. Letters are those of the running Python's Unicode version.
    """
    batch = segment(batch)
    if batch.num_rows == 0:
        columns = [pa.array([], field.type) for field in FIELDS]
    else:
        columns = _measured(batch)
    return buffers.with_columns(batch, dict(zip(FIELDS, columns, strict=True)))


def _measured(batch: pa.RecordBatch) -> list[pa.Array]:
    from dedup.kernels import gopher as kernels

    view = buffers.texts(batch["text"])
    token_offsets, starts = buffers.list_parts(batch[STARTS])
    _, ends = buffers.list_parts(batch[ENDS])
    counts = np.empty((batch.num_rows, kernels.COUNTS), np.int64)
    kernels.count_words(view.offsets, view.data, token_offsets, starts, ends, _letters(), counts)
    kernels.count_lines(view.offsets, view.data, counts)

    missing = None if view.valid is None else ~view.valid

    def ratio(part: int, whole: int) -> pa.Array:
        return buffers.ratio(counts[:, part], counts[:, whole], missing)

    return [
        buffers.numbers(counts[:, kernels.WORDS], missing),
        ratio(kernels.CHARACTERS, kernels.WORDS),
        ratio(kernels.HASHES, kernels.WORDS),
        ratio(kernels.ELLIPSES, kernels.WORDS),
        ratio(kernels.BULLETS, kernels.LINES),
        ratio(kernels.ELLIPSIS_ENDS, kernels.LINES),
        ratio(kernels.ALPHABETIC, kernels.WORDS),
        buffers.numbers(counts[:, kernels.STOP_WORDS], missing),
    ]


_PAGE = 256
_NO_LETTER_FROM = 0x40000  # tags, variation selectors and private use


@functools.cache
def _letters() -> npt.NDArray[np.bool_]:
    """bool[0x110000], read-only: str.isalpha of every code point.

    A page of letters only, as most ideographs and syllables are in, is told by one call (8 ms instead of 60).
    """
    table = np.zeros(0x110000, np.bool_)
    characters = np.arange(_NO_LETTER_FROM, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    for first in range(0, _NO_LETTER_FROM, _PAGE):
        page = characters[first : first + _PAGE]
        table[first : first + _PAGE] = page.isalpha() or list(map(str.isalpha, page))
    return buffers.frozen(table)
