"""Measures of Chinese text by characters: no word segmenter, so that they mean the same for everybody.

Numbers for Chinese were published by MAP-NEO, ChineseWebText, llm_corpus_quality and Baidu Qianfan, each for
units of its own; these columns are what they have in common, and the table says which bound belongs to which.
Measured on one core: 3.1 ns a byte of Chinese, 2.3 of English and of mixed text.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import buffers

FIELDS = (
    pa.field("character_count", pa.int64()),
    pa.field("han_count", pa.int64()),
    pa.field("han_ratio", pa.float64()),
    pa.field("punctuation_share", pa.float64()),
    pa.field("digit_share", pa.float64()),
    pa.field("unique_character_ratio", pa.float64()),
    pa.field("character_entropy", pa.float64()),
    pa.field("bracketed_title_share", pa.float64()),
    pa.field("read_more_line_ratio", pa.float64()),
    pa.field("short_sentence_ratio", pa.float64()),
)


def chinese(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Add what published rules for Chinese web text look at, in characters (code points).

    column                  type     what                                              drop if
    character_count         int64    characters                                        < 200 (ChineseWebText, S),
                                                                                       < 50, > 10,000 (MAP-NEO)
    han_count               int64    Han characters                                    < 10 a paragraph (S)
    han_ratio               float64  Han / characters but white space, in [0, 1]       < 0.3 (ChineseWebText, S),
                                                                                       < 0.5 (llm_corpus_quality),
                                                                                       < 0.7 (S, strict)
    punctuation_share       float64  punctuation (P) / characters, in [0, 1]           < 0.005, > 0.5
                                                                                       (llm_corpus_quality)
    digit_share             float64  decimal digits (Nd) / characters, in [0, 1]       > 0.3 (MAP-NEO), > 0.5 (S)
    unique_character_ratio  float64  distinct / all characters, in (0, 1]              <= 0.1 (MAP-NEO)
    character_entropy       float64  of the characters' frequencies, in nats, >= 0     < 3 (MAP-NEO)
    bracketed_title_share   float64  characters of 【...】 / characters, in [0, 1]     > 0.1 (MAP-NEO)
    read_more_line_ratio    float64  lines that end in readmore, 展开, 更多 or 。。。    > 0.3 (MAP-NEO)
    short_sentence_ratio    float64  sentences of at most 5 characters, in [0, 1]      > 0.6 (Baidu Qianfan)

    All are null for a null text; a ratio of no characters, lines or sentences is null, and so is an entropy.
    S is the synthesis that this package's recipe for Chinese begins with. The share of the most frequent
    character trigrams and special characters are measured by `roots` with language = "zh".

    Dialect. The text is measured as it is: MAP-NEO measures its NFKC form, where full-width letters, digits and
    punctuation are the ASCII ones, so its distinct characters and entropy are a little lower; digits and
    punctuation are here known by their Unicode category in either width, and symbols (S: $ + < = ~) are not
    punctuation. Han are U+3400-4DBF, 4E00-9FFF, F900-FAFF, 20000-3FFFF and 3005-3007, where ChineseWebText stops
    at U+9FA5. MAP-NEO divides digits by the characters that are no punctuation. A ratio of distinct characters
    falls with length: MAP-NEO's bound is for texts up to 10,000 characters.
    A bracketed title begins at the first 【 and ends at the next 】 of its line. Lines are those of
    str.splitlines; white space after a line is ignored, "read more" and capitals count too. A sentence ends at
    。．｡！？；!?;…‼⁇⁈⁉, at a line break, or at a full stop that white space or the end follows; its length counts
    no white space, and one without a character is none. Categories are those of the running Python's Unicode.

    Sources: MAP-NEO (2024), filter/filter.py; ChineseWebText (2023), preprocess.py; llm_corpus_quality; the
    defaults of Baidu Qianfan's data cleaning.
    """
    if batch.num_rows == 0:
        columns = [pa.array([], field.type) for field in FIELDS]
    else:
        columns = _measured(batch)
    return buffers.with_columns(batch, dict(zip(FIELDS, columns, strict=True)))


def _measured(batch: pa.RecordBatch) -> list[pa.Array]:
    from dedup.kernels import category
    from dedup.kernels import chinese as kernels

    view = buffers.texts(batch["text"])
    counts = np.empty((batch.num_rows, kernels.COUNTS), np.int64)
    entropy = np.empty(batch.num_rows)
    often, seen = np.zeros(0x110000, np.uint32), np.empty(0x110000 + 1, np.uint32)
    lanes, settled = np.zeros((128, 8), np.uint32), np.zeros(128, np.bool_)
    kernels.count(view.offsets, view.data, category.flags(), _times_log(), often, seen, lanes, settled, counts, entropy)

    missing = None if view.valid is None else ~view.valid
    characters = counts[:, kernels.CHARACTERS]
    empty = characters == 0

    def ratio(part: int, wholes: npt.NDArray[np.int64]) -> pa.Array:
        return buffers.ratio(counts[:, part], wholes, missing)

    return [
        buffers.numbers(characters, missing),
        buffers.numbers(counts[:, kernels.HANS], missing),
        ratio(kernels.HANS, characters - counts[:, kernels.SPACES]),
        ratio(kernels.PUNCTUATIONS, characters),
        ratio(kernels.DIGITS, characters),
        ratio(kernels.DISTINCT, characters),
        buffers.numbers(entropy, empty if missing is None else empty | missing),
        ratio(kernels.BRACKETED, characters),
        ratio(kernels.READ_MORE, counts[:, kernels.LINES]),
        ratio(kernels.SHORT, counts[:, kernels.SENTENCES]),
    ]


@functools.cache
def _times_log() -> npt.NDArray[np.float64]:
    """c * log(c) of the counts c below 4096: most characters of a text occur a few times."""
    counts = np.arange(4096, dtype=np.float64)
    counts[1:] *= np.log(counts[1:])
    return buffers.frozen(counts)
