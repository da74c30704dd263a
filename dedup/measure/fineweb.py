"""The quality rules of FineWeb (Penedo et al. 2024, "The FineWeb Datasets: Decanting the Web for the Finest Text Data
at Scale", section 3.6), in datatrove's dialect, and the thresholds that FineWeb-2 has for other languages.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from dedup import buffers, segment
from dedup.errors import RecipeError

FIELDS = (
    pa.field("line_punctuation_ratio", pa.float64()),
    pa.field("short_line_ratio", pa.float64()),
    pa.field("duplicate_line_character_share", pa.float64()),
    pa.field("newline_word_ratio", pa.float64()),
)


def fineweb(batch: pa.RecordBatch, *, words: str = "punctuated", short_line_length: int = 30) -> pa.RecordBatch:
    """Add what FineWeb's quality rules look at.

    column                          type     what                                                  drop if
    line_punctuation_ratio          float64  lines that end in a sentence's mark, in [0, 1]        < 0.12
    short_line_ratio                float64  lines of at most short_line_length characters,        > 0.67
                                             in [0, 1]
    duplicate_line_character_share  float64  characters of second and later copies of lines, of    > 0.01 (FineWeb-2:
                                             all characters but "\\n"; in [0, 1]                     > 0.1)
    newline_word_ratio              float64  "\\n" a word, >= 0                                     > 0.3

    words               unit of the words, or the column that lists them (segment.words)
    short_line_length   characters up to which a line is short; FineWeb-2 has no rule for short lines

    All are null for a null text, and a ratio of no lines, characters or words is null. The words are added where
    they are missing. FineWeb-2's bounds for other languages are FINEWEB2 in this module.

    Dialect: datatrove's. Lines end at "\\n" only, blank ones do not count, and a line keeps its white space: one
    that ends in a space ends in no mark. Marks are the characters with Unicode's property Sentence_Terminal, all
    159 of version 15.1, so quotation marks are none. The denominator of duplicate_line_character_share tells it
    from Gopher's measure. datatrove drops a text without a line; here the measures are null and `word_count` says it.
    """
    if isinstance(short_line_length, bool) or not isinstance(short_line_length, int) or short_line_length < 0:
        raise RecipeError(
            f"fineweb: short_line_length is {short_line_length!r}; it is a number of characters from 0 up"
        )
    batch, found = segment.words(batch, words)
    if batch.num_rows == 0:
        columns = [pa.array([], field.type) for field in FIELDS]
    else:
        columns = _measured(batch["text"], np.diff(found.offsets), short_line_length)
    return buffers.with_columns(batch, dict(zip(FIELDS, columns, strict=True)))


def _measured(texts: pa.Array, word_counts: np.ndarray, short_line_length: int) -> list[pa.Array]:
    from dedup.kernels import marks, pages
    from dedup.kernels.utf8 import table_size

    view = buffers.texts(texts)
    counts = np.empty((len(texts), pages.LINE_COUNTS), np.int64)
    most = pages.count_newlines(view.offsets, view.data, counts)
    table = np.empty(table_size(most + 1), np.uint64)
    pages.count_lines(view.offsets, view.data, short_line_length, marks.flags(), table, counts)
    missing = None if view.valid is None else ~view.valid
    lines, characters = counts[:, pages.LINES], counts[:, pages.CHARACTERS_OF_LINES]
    return [
        buffers.ratio(counts[:, pages.MARKED], lines, missing),
        buffers.ratio(counts[:, pages.SHORT], lines, missing),
        buffers.ratio(counts[:, pages.DUPLICATE_CHARACTERS], characters, missing),
        buffers.ratio(counts[:, pages.NEWLINES], word_counts, missing),
    ]


# FineWeb-2's own numbers (Penedo et al. 2025, "FineWeb2: One Pipeline to Scale Them All"; its configs/<language>.yml),
# by its labels: ISO 639-3 and script. A row a bound, in the order of _LANGUAGES.
_LANGUAGES = (
    *("cmn_Hani", "yue_Hani", "wuu_Hani", "lzh_Hani", "hak_Hani", "jpn_Jpan"),
    *("kor_Hang", "deu_Latn", "fra_Latn", "rus_Cyrl", "arb_Arab"),
)
_BOUNDS: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("language_score", "below", (0.692, 0.412, 0.3, 0.386, 0.636, 0.886, 0.842, 0.821, 0.824, 0.9, 0.711)),
    ("duplicate_line_ratio", "above", (0.287, 0.442, 0.387, 0.261, 0.855, 0.328, 0.374, 0.263, 0.264, 0.322, 0.304)),
    (
        "top_2_gram_character_ratio",
        "above",
        (0.256, 1.238, 1.004, 1.588, 0.84, 0.239, 0.282, 0.169, 0.161, 0.184, 0.197),
    ),
    (
        "top_3_gram_character_ratio",
        "above",
        (0.201, 0.854, 1.001, 1.774, 0.759, 0.196, 0.228, 0.153, 0.149, 0.164, 0.172),
    ),
    (
        "top_4_gram_character_ratio",
        "above",
        (0.171, 0.623, 0.907, 1.802, 0.596, 0.172, 0.185, 0.137, 0.134, 0.146, 0.146),
    ),
    (
        "duplicate_5_gram_character_ratio",
        "above",
        (0.198, 0.241, 0.41, 0.19, 0.328, 0.243, 0.201, 0.141, 0.15, 0.168, 0.165),
    ),
    (
        "duplicate_6_gram_character_ratio",
        "above",
        (0.182, 0.216, 0.385, 0.181, 0.322, 0.225, 0.184, 0.134, 0.141, 0.156, 0.153),
    ),
    (
        "duplicate_7_gram_character_ratio",
        "above",
        (0.167, 0.204, 0.364, 0.169, 0.27, 0.207, 0.168, 0.126, 0.131, 0.145, 0.142),
    ),
    (
        "duplicate_8_gram_character_ratio",
        "above",
        (0.154, 0.193, 0.341, 0.16, 0.254, 0.19, 0.154, 0.117, 0.121, 0.133, 0.131),
    ),
    (
        "duplicate_9_gram_character_ratio",
        "above",
        (0.14, 0.182, 0.317, 0.145, 0.234, 0.175, 0.14, 0.108, 0.111, 0.121, 0.12),
    ),
    (
        "duplicate_10_gram_character_ratio",
        "above",
        (0.127, 0.17, 0.27, 0.137, 0.197, 0.159, 0.127, 0.098, 0.1, 0.109, 0.109),
    ),
    ("line_punctuation_ratio", "below", (0.106, 0.111, 0.333, 0.167, -1, 0.096, 0.062, 0.0, 0.1, 0.231, 0.143)),
    ("newline_word_ratio", "above", (0.178, 0.238, 0.111, 0.14, 0.071, 0.13, 0.196, 0.152, 0.185, 0.139, 0.189)),
    ("mean_word_length", "below", (1, 1, 1, 1, 1, 1, 1, 0, 2, 3, 2)),
    ("mean_word_length", "above", (5, 5, 5, 2, 3, 6, 6, 15, 11, 11, 9)),
    ("alphabetic_word_ratio", "below", (0.735, 0.765, 0.714, 0.826, 0.778, 0.759, 0.791, 0.774, 0.812, 0.713, 0.787)),
)
_EVERYWHERE = (("duplicate_line_character_share", "above", 0.1),)


def _fineweb2() -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for place, language in enumerate(_LANGUAGES):
        rules: dict[str, dict[str, Any]] = {}
        for column, bound, values in _BOUNDS:
            rules.setdefault(column, {})[bound] = values[place]
        for column, bound, value in _EVERYWHERE:
            rules.setdefault(column, {})[bound] = value
        found[language] = rules
    return found


FINEWEB2 = _fineweb2()
"""FineWeb-2's bounds as `drop.when` takes them: `FINEWEB2["cmn_Hani"]["newline_word_ratio"]` is {"above": 0.178}.

The scores are GlotLID's and the words those of each language's own tokenizer (jieba for Chinese): a bound for other
scores or words is to be fitted again. A bound of -1, or above 1 for a share, never fires.
"""
