"""The measures of the Gopher rules (Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from
Training Gopher", appendix A1.1), in datatrove's dialect: quality by words and lines, and repetition.

Implementations of the same name differ, so the dialect is spelt out. The published numbers were found on spaCy's
words, which the unit `punctuated` cuts; fed with datatrove's own words (a column that lists them) every decision on
30,442 English documents is datatrove's 0.10.1, and with `punctuated` words all but 7 are. On
`tokens` Chinese, Japanese and Thai have words as well.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import buffers, segment

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


STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
BULLETS = ("\N{BULLET}", "-")


def quality(
    batch: pa.RecordBatch,
    *,
    words: str = "punctuated",
    stop_words: Sequence[str] = STOP_WORDS,
    bullets: Sequence[str] = BULLETS,
) -> pa.RecordBatch:
    """Add what the Gopher quality rule looks at; every bound is the paper's.

    column                 type     what                                               drop if
    word_count             int64    words that are not signs only                      < 50, > 100,000
    mean_word_length       float64  code points of such a word, >= 1                   < 3, > 10
    hash_word_ratio        float64  "#" a word, >= 0                                   > 0.1
    ellipsis_word_ratio    float64  "..." and "…" a word, >= 0                         > 0.1
    bullet_line_ratio      float64  lines that begin with a bullet, in [0, 1]          > 0.9
    ellipsis_line_ratio    float64  lines that end in "..." or "…", in [0, 1]          > 0.3
    alphabetic_word_ratio  float64  words with a letter (str.isalpha), in [0, 1]       < 0.8
    stop_word_count        int64    distinct stop words, as written                    < 2

    words        unit of the words, or the column that lists them (segment.words)
    stop_words   compared as written ("The" is none of the default ones); of another language, its own
    bullets      what may begin a line of a list, after white space

    All are null for a null text; a ratio or mean over no words or no lines is null. The words are added where they
    are missing.

    Dialect: datatrove's. Ratios are over all words, signs included; lines are those of str.splitlines; white space
    before a bullet and after an ellipsis is ignored, "...." is one ellipsis. A sign is a character of datatrove's
    list: ASCII punctuation, some quotation marks and brackets, controls, and what ends a sentence in any script.
    Departure: FULLWIDTH DIGIT ONE stands in that list by mistake, and is no sign here.

    On tokens every word counts, since none is a sign: "don't" is two, a Chinese character is one (where the bounds
    for length and stop words do not fit), and a token's length counts all code points of its span, also a soft
    hyphen or joiner inside. Letters are those of the running Python's Unicode version.
    """
    batch, found = segment.words(batch, words)
    if batch.num_rows == 0:
        columns = [pa.array([], field.type) for field in FIELDS]
    else:
        columns = _measured(batch["text"], found, words != "tokens", stop_words, bullets)
    return buffers.with_columns(batch, dict(zip(FIELDS, columns, strict=True)))


REPETITION_FIELDS = tuple(
    pa.field(name, pa.float64())
    for name in (
        *("duplicate_line_ratio", "duplicate_paragraph_ratio"),
        *("duplicate_line_character_ratio", "duplicate_paragraph_character_ratio"),
        *(f"top_{n}_gram_character_ratio" for n in range(2, 5)),
        *(f"duplicate_{n}_gram_character_ratio" for n in range(5, 11)),
    )
)


def repetition(batch: pa.RecordBatch, *, words: str = "punctuated") -> pa.RecordBatch:
    """Add what the Gopher repetition rule looks at (table A1); every bound is the paper's.

    column                               what, all float64, >= 0                           drop if
    duplicate_line_ratio                 lines that an earlier one equals / lines          > 0.30
    duplicate_paragraph_ratio            the same of paragraphs                            > 0.30
    duplicate_line_character_ratio       characters of such lines / of the text            > 0.20
    duplicate_paragraph_character_ratio  the same of paragraphs                            > 0.20
    top_2_gram_character_ratio           characters of the most frequent pair of words,    > 0.20
                                         joined by a space, times its number / of the text
    top_3_gram_.. top_4_gram_..          the same of 3 and 4 words                         > 0.18, 0.16
    duplicate_5_gram_character_ratio     characters of repeated 5-grams / of the text      > 0.15
    duplicate_6_gram_.. to 10_gram_..    the same of 6 to 10 words                         > 0.14 to 0.10 by 0.01

    words   unit of the words, or the column that lists them (segment.words)

    Characters are code points. All are null for a null text and for an empty one, which has no lines either. The
    n-gram measures are null for a text without words, and those of the most frequent n-gram for fewer than n words.

    Dialect: datatrove's. Lines are parted by line feeds, empty ones left out except before the first and after the
    last line feed; paragraphs are parted by two and more, white space around the text apart. Of n-grams as frequent
    as each other the first one counts, so that where none repeats it is the text's first n words; it may so exceed
    1. Repeated n-grams are found from left to right: one that came before counts with all its n words, which are
    then passed, so that no word counts twice, and n-grams that begin in them are not remembered. Departure: n-grams
    are equal if their words are; datatrove joins 5 and more by nothing, so that ". .." and ".. ." are one there (161
    figures in 57 of 30,442 documents, no decision).
    Tokens are compared as folded ("The" is "the").
    """
    batch, found = segment.words(batch, words)
    if batch.num_rows == 0:
        columns = [pa.array([], field.type) for field in REPETITION_FIELDS]
    else:
        columns, characters = _repeated_lines(batch["text"])
        columns += _repeated_grams(batch["text"], found, characters)
    return buffers.with_columns(batch, dict(zip(REPETITION_FIELDS, columns, strict=True)))


def _repeated_lines(texts: pa.Array) -> tuple[list[pa.Array], buffers.Int64s]:
    """The columns, and the code points of each text."""
    from dedup.kernels import repetition as kernels
    from dedup.kernels.grams import table_size

    view = buffers.texts(texts)
    counts = np.empty((len(texts), kernels.LINE_COUNTS), np.int64)
    most = int(np.diff(view.offsets).max()) // 2 + 2
    spans, glances = np.empty((2, most, 2), np.int64), np.empty((2, most), np.uint64)
    table, likes = np.empty(table_size(most), np.uint64), np.empty(most, np.uint32)
    kernels.count_lines(view.offsets, view.data, spans, glances, table, likes, counts)
    missing = None if view.valid is None else ~view.valid
    pairs = (
        *((kernels.LINE_COPIES, kernels.LINES), (kernels.PARAGRAPH_COPIES, kernels.PARAGRAPHS)),
        *((part, kernels.CHARACTERS) for part in (kernels.LINE_CHARACTERS, kernels.PARAGRAPH_CHARACTERS)),
    )
    columns = [buffers.ratio(counts[:, part], counts[:, whole], missing) for part, whole in pairs]
    return columns, counts[:, kernels.CHARACTERS]


def _repeated_grams(texts: pa.Array, words: segment.Words, characters: buffers.Int64s) -> list[pa.Array]:
    from dedup.kernels import grams as kernels

    most = int(np.diff(words.offsets).max())
    places, firsts = np.empty(most, np.uint32), np.empty(most, np.uint32)
    grams, stamps = np.empty(most, np.uint64), np.empty(most, np.uint8)
    table, sums = np.empty(kernels.table_size(most), np.uint64), np.empty(most + 1, np.int64)
    counts = np.empty((len(texts), kernels.GRAM_COUNTS), np.int64)
    spans = words.offsets, words.hashes, words.base, words.starts, words.ends, words.data
    kernels.count_grams(*spans, places, grams, firsts, table, stamps, sums, counts)
    missing = np.diff(words.offsets) == 0
    valid = buffers.validity(texts)
    if valid is not None:
        missing |= ~valid
    return [buffers.ratio(column, characters, missing | (column < 0)) for column in counts.T]


def _measured(
    texts: pa.Array, words: segment.Words, has_signs: bool, stop_words: Sequence[str], bullets: Sequence[str]
) -> list[pa.Array]:
    from dedup.kernels import gopher as kernels

    view = buffers.texts(texts)
    counts = np.empty((len(texts), kernels.COUNTS), np.int64)
    stops = kernels.strings(stop_words)
    seen = np.empty(len(stops.slots), np.uint8)
    spans = words.offsets, words.base, words.starts, words.ends, words.data
    kernels.count_words(*spans, _kinds(has_signs), stops, seen, counts)
    kernels.count_lines(view.offsets, view.data, kernels.strings(bullets), counts)

    missing = None if view.valid is None else ~view.valid

    def ratio(part: int, whole: int) -> pa.Array:
        return buffers.ratio(counts[:, part], counts[:, whole], missing)

    return [
        buffers.numbers(counts[:, kernels.PLAIN_WORDS], missing),
        ratio(kernels.CHARACTERS, kernels.PLAIN_WORDS),
        ratio(kernels.HASHES, kernels.WORDS),
        ratio(kernels.ELLIPSES, kernels.WORDS),
        ratio(kernels.BULLETS, kernels.LINES),
        ratio(kernels.ELLIPSIS_ENDS, kernels.LINES),
        ratio(kernels.ALPHABETIC, kernels.WORDS),
        buffers.numbers(counts[:, kernels.STOP_WORDS], missing),
    ]


_PAGE = 256
_NO_LETTER_FROM = 0x40000  # tags, variation selectors and private use


# Beside ASCII punctuation, controls and what ends a sentence.
_SIGNS = (
    "\N{EM DASH}\N{EN DASH}\N{ACUTE ACCENT}\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}"
    "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{LEFT DOUBLE QUOTATION MARK}"
    "\N{RIGHT DOUBLE QUOTATION MARK}\N{DOUBLE LOW-9 QUOTATION MARK}\N{HORIZONTAL ELLIPSIS}\N{RATIO}"
    "\N{BOX DRAWINGS HEAVY HORIZONTAL}\N{BLACK RIGHT-POINTING POINTER}\N{IDEOGRAPHIC COMMA}"
    "\N{LEFT ANGLE BRACKET}\N{RIGHT ANGLE BRACKET}\N{LEFT DOUBLE ANGLE BRACKET}\N{RIGHT DOUBLE ANGLE BRACKET}"
    "\N{LEFT CORNER BRACKET}\N{RIGHT CORNER BRACKET}\N{LEFT BLACK LENTICULAR BRACKET}"
    "\N{RIGHT BLACK LENTICULAR BRACKET}\N{FULLWIDTH PERCENT SIGN}\N{FULLWIDTH LEFT PARENTHESIS}"
    "\N{FULLWIDTH RIGHT PARENTHESIS}\N{FULLWIDTH COMMA}\N{FULLWIDTH COLON}\N{FULLWIDTH SEMICOLON}\N{FULLWIDTH TILDE}"
)


@functools.cache
def _kinds(has_signs: bool) -> npt.NDArray[np.uint8]:
    """uint8[0x110000], read-only: whether a code point is a letter and, where wanted, a sign."""
    from dedup.kernels.gopher import LETTER, SIGN
    from dedup.kernels.marks import sentence_terminals

    table = _letters().astype(np.uint8) * np.uint8(LETTER)
    if has_signs:
        controls = [*range(9), *range(11, 32), *range(127, 160)]
        table[[*controls, *map(ord, string.punctuation), *map(ord, _SIGNS), *sentence_terminals()]] |= np.uint8(SIGN)
    return buffers.frozen(table)


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
