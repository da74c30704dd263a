"""The page rules of C4 (Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer", section 2.2), in datatrove's dialect.

C4 first takes lines away and then looks at the page, so these measures are of the text that `clean.drop_lines`
leaves; its docstring has the rules for lines.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dedup import buffers, segment
from dedup.errors import RecipeError

FIELDS = (
    pa.field("c4_sentence_count", pa.int64()),
    pa.field("lorem_ipsum_count", pa.int64()),
    pa.field("curly_bracket_count", pa.int64()),
    pa.field("character_count", pa.int64()),
    pa.field("long_line_count", pa.int64()),
)


def c4(batch: pa.RecordBatch, *, words: str = "punctuated", long_line_length: int = 200) -> pa.RecordBatch:
    """Add what C4's page rules look at; run `clean.drop_lines` before it.

    column               type   what                                                drop if
    c4_sentence_count    int64  sentences                                           < 5 (TFDS: < 3)
    lorem_ipsum_count    int64  "lorem ipsum", in any case of ASCII letters         > 0
    curly_bracket_count  int64  "{"                                                 > 0
    character_count      int64  characters                                          > 190,000 (TFDS only)
    long_line_count      int64  lines between "\\n" of long_line_length characters   < 3 (mC4 only)

    words             unit whose words are sentence marks among others, "punctuated", or the column that lists the
                      words of the text in order (segment.words)
    long_line_length  characters from which on a line is long

    All are null for a null text. The words are added where they are missing.

    A sentence is what spaCy's sentencizer makes of the words, which datatrove uses; TFDS and DCLM use NLTK's punkt.
    Line by line (str.splitlines) the first word begins a sentence, and so does the first word after a mark that is
    not punctuation itself; a mark is a word of one character with Unicode's property Sentence_Terminal. So
    abbreviations, of which the full stop is a part, end no sentence, and neither does "..." or "。" inside a word
    of the list. White space other than one space counts as a word. With spaCy's words the number is datatrove's;
    spaCy's own list of marks lacks 31 of rare scripts.

    C4 also drops pages with a word of a list (`measure.words`) and those not in English.
    """
    if words in segment.UNITS and words != "punctuated":
        raise RecipeError(
            f'c4: words is {words!r}; a sentence ends in a word that is a mark: "punctuated", or a column of such words'
        )
    if isinstance(long_line_length, bool) or not isinstance(long_line_length, int) or long_line_length < 1:
        raise RecipeError(f"c4: long_line_length is {long_line_length!r}; it is a number of characters from 1 up")
    batch, found = segment.words(batch, words)
    if batch.num_rows == 0:
        columns = [pa.array([], field.type) for field in FIELDS]
    else:
        columns = _measured(batch["text"], found, words not in segment.UNITS, long_line_length)
    return buffers.with_columns(batch, dict(zip(FIELDS, columns, strict=True)))


def _measured(texts: pa.Array, words: segment.Words, is_listed: bool, long_line_length: int) -> list[pa.Array]:
    from dedup.kernels import marks, pages, sentences

    view = buffers.texts(texts)
    starts, ends = words.starts, words.ends
    if is_listed:
        starts, ends = np.empty_like(starts), np.empty_like(ends)
        sentences.place(view.offsets, view.data, *words[:1], *words[2:], starts, ends)
    counted = np.empty(len(texts), np.int64)
    spans = buffers.frozen(starts), buffers.frozen(ends)
    sentences.count_sentences(view.offsets, view.data, words.offsets, *spans, marks.flags(), counted)
    counts = np.empty((len(texts), pages.PAGE_COUNTS), np.int64)
    pages.count_pages(view.offsets, view.data, long_line_length, counts)
    missing = None if view.valid is None else ~view.valid
    parts = (pages.LOREM_IPSUM, pages.CURLY_BRACKETS, pages.CHARACTERS, pages.LONG_LINES)
    return [buffers.numbers(values, missing) for values in (counted, *(counts[:, part] for part in parts))]
