"""The measures of the ROOTS corpus (Laurençon et al. 2022, "The BigScience ROOTS Corpus", section 3 and appendix):
repetition of characters and of words, special characters, stop words, flagged words.

Data-Juicer and Baidu Qianfan took the same measures over with numbers of their own. Measured on one core: characters
and their n-grams 5 ns a byte of Chinese (n = 3) and 9 of English (n = 10, three times the n-grams), words and the
lists 3 and 2 more when there are tokens.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import buffers, segment
from dedup.errors import RecipeError
from dedup.io.named import FilePath
from dedup.measure import lists

FIELDS = (
    pa.field("special_character_ratio", pa.float64()),
    pa.field("character_repetition_ratio", pa.float64()),
    pa.field("word_repetition_ratio", pa.float64()),
    pa.field("stop_word_ratio", pa.float64()),
    pa.field("flagged_word_ratio", pa.float64()),
)


def roots(
    batch: pa.RecordBatch,
    *,
    language: str = "en",
    words: str = "tokens",
    character_n: int | None = None,
    word_n: int = 5,
    stop_words: FilePath | list[str] | None = None,
    flagged_words: FilePath | list[str] | None = None,
) -> pa.RecordBatch:
    """Add what the ROOTS filters look at.

    column                      type     what                                            drop if (en / zh / other)
    special_character_ratio     float64  characters but letters and marks, in [0, 1]     > 0.4 / 0.3 / 0.4
    character_repetition_ratio  float64  share of the most frequent character n-grams    > 0.106 / 0.2 / 0.2
    word_repetition_ratio       float64  word n-grams that occur twice or more / all     > 0.19 / 0.96 / 0.3
    stop_word_ratio             float64  stop words a word, in [0, 1]                    < 0.3 / 0.1691 / 0.1
    flagged_word_ratio          float64  flagged words a word, in [0, 1]                 > 0.01 / 0.001 / 0.1

    language       whose shipped stop words are counted (ISO 639-1), and which n is the default
    words          the unit of `segment.words`: "tokens" or another, or a column that lists them
    character_n    characters of an n-gram; 3 for "zh", else 10
    word_n         words of an n-gram
    stop_words     a list, or a file of one a line, instead of the shipped one; [] counts none
    flagged_words  a list or a file; without it there is no flagged_word_ratio

    All are null for a null text; a ratio of no characters, n-grams or words is null.

    Other published bounds: Baidu Qianfan has those for Chinese, too; Data-Juicer for Chinese has n = 10 and
    character repetition > 0.6 (or 0.5), word repetition (10) > 0.5, special characters > 0.25, stop words < 0.3 and
    flagged words > 0.017 (or 0.0045), for English special characters < 0.15 or > 0.35 and word repetition > 0.2962.

    Dialect: ROOTS'. Of the distinct character n-grams, N, the most frequent ones are floor(sqrt(N)), of those only
    that occur twice; the measure is their occurrences / those of all. A listed word may be several words of the unit:
    我们 is two tokens and counts beside 我 and 们, as ROOTS counts pairs of words in Chinese; the ratio is cut at 1.
    Departures: words are tokens, not those of a SentencePiece model (zh) or of white space (en), and the
    shipped stop words are other and shorter lists, so that the bounds of the lower three are to be fitted anew; what
    is special is known by its Unicode category instead of by a list of characters. A list is compared with tokens by
    the folding of design 6.1; with words of another unit in lower case, capitalised, in capitals and as written.
    Of a text with more than 2,000,000 n-grams the first so many are looked at.
    """
    character_n = _checked(language, character_n, word_n)
    load = batch.num_rows > 0
    stops = lists.stop_words(language) if stop_words is None else lists.entries("stop_words", stop_words, load=load)
    flagged = None if flagged_words is None else lists.entries("flagged_words", flagged_words, load=load)
    batch, found = segment.words(batch, words)
    fields = [field for field in FIELDS if field.name != "flagged_word_ratio" or flagged is not None]
    if batch.num_rows == 0:
        columns = [pa.array([], field.type) for field in fields]
    else:
        columns = _measured(batch, found, words, character_n, word_n, stops, flagged or ())
    return buffers.with_columns(batch, dict(zip(fields, columns, strict=False)))


def _checked(language: str, character_n: int | None, word_n: int) -> int:
    if character_n is None:
        character_n = 3 if language == "zh" else 10
    for name, value in (("character_n", character_n), ("word_n", word_n)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
            raise RecipeError(f"{name} is {value!r}; an n-gram has 1 to 1000")
    return character_n


def _measured(
    batch: pa.RecordBatch,
    found: segment.Words,
    unit: str,
    character_n: int,
    word_n: int,
    stops: tuple[str, ...],
    flagged: tuple[str, ...],
) -> list[pa.Array]:
    from dedup.kernels import category
    from dedup.kernels import repeat as kernels

    view = buffers.texts(batch["text"])
    characters = min(int(np.diff(view.offsets).max()), kernels.MOST + character_n)
    most = max(characters, int(np.diff(found.offsets).max()))
    table = np.empty(kernels.table_size(most), np.uint64)
    at_least = np.empty(min(most, kernels.MOST) + 3, np.int64)
    grams = np.empty(min(most, kernels.MOST), np.uint64)
    codes = np.empty(characters, np.uint32)
    counts = np.empty((batch.num_rows, kernels.COUNTS), np.int64)
    kernels.count_characters(
        view.offsets, view.data, character_n, category.flags(), codes, grams, table, at_least, counts
    )
    listed, longest = _listed(stops, flagged, unit)
    kernels.count_words(found.offsets, found.hashes, word_n, listed, longest, grams, table, at_least, counts)
    missing = None if view.valid is None else ~view.valid

    def ratio(part: int, whole: int) -> pa.Array:
        return buffers.ratio(np.minimum(counts[:, part], counts[:, whole]), counts[:, whole], missing)

    return [
        ratio(kernels.SPECIALS, kernels.CHARACTERS),
        ratio(kernels.TOP, kernels.GRAMS),
        ratio(kernels.REPEATED_WORDS, kernels.WORD_GRAMS),
        ratio(kernels.STOP_WORDS, kernels.WORDS),
        ratio(kernels.FLAGGED, kernels.WORDS),
    ]


@functools.lru_cache(maxsize=16)
def _listed(stops: tuple[str, ...], flagged: tuple[str, ...], unit: str) -> tuple[npt.NDArray[np.uint64], int]:
    """A table of both lists' hashes in a unit, and the words of the longest entry."""
    from dedup.kernels import repeat as kernels

    found = [_in_words(entries, unit) for entries in (stops, flagged)]
    size = sum(len(words.offsets) - 1 for words in found)
    table = np.zeros(1 << max(3, (8 * size).bit_length()), np.uint64)
    for mark, words in enumerate(found, 1):
        kernels.put_all(words.offsets, words.hashes, mark, table)
    return buffers.frozen(table), max(int(np.diff(words.offsets).max(initial=0)) for words in found)


def _in_words(entries: tuple[str, ...], unit: str) -> segment.Words:
    forms = dict.fromkeys(form for word in entries for form in (word, word.lower(), word.capitalize(), word.upper()))
    columns = {"text": pa.array(forms, pa.large_string())}
    if unit not in segment.UNITS:
        columns[unit] = pa.array([form.split() for form in forms], pa.large_list(pa.large_string()))
    return segment.words(pa.record_batch(columns), unit)[1]
