"""Sentences by their last words, and where the words of a list stand in their text."""

from __future__ import annotations

import numpy as np

from dedup.kernels.compile import kernel
from dedup.kernels.lines import after_space, next_break
from dedup.kernels.marks import PUNCTUATION, TERMINAL
from dedup.kernels.utf8 import char_bytes, code_point


@kernel
def place(offsets, data, word_offsets, base, starts, ends, words, out_starts, out_ends):
    """The byte span of every listed word in its text.

    offsets, data      int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]]
    word_offsets, ...  as in segment.Words, `words` being its data
    out_starts, _ends  int32[m]                   overwritten; a word that does not come next in the text, after
                                                  white space, has an empty span
    """
    for i in range(offsets.size - 1):
        begin, end = offsets[i], offsets[i + 1]
        p = begin
        for j in range(word_offsets[i], word_offsets[i + 1]):
            q = after_space(data, p, end)
            word, size = base[i] + starts[j], np.int64(ends[j] - starts[j])
            k = 0
            if q + size <= end:
                while k < size and data[q + k] == words[word + k]:
                    k += 1
            if k == size and size > 0:
                p = q + size
                out_starts[j], out_ends[j] = q - begin, p - begin
            else:
                out_starts[j] = out_ends[j] = p - begin


@kernel
def count_sentences(offsets, data, word_offsets, starts, ends, flags, out):
    """How many sentences there are in each text, line by line.

    offsets, data     int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    word_offsets      int64[n + 1]               words of text i are word_offsets[i] to word_offsets[i + 1]
    starts, ends      int32[m]                   byte span of each word within its text
    flags             uint8[0x110000]            kernels/marks.py
    out               int64[n]                   overwritten

    Twin: tests/measure/test_c4.py.
    """
    for i in range(offsets.size - 1):
        begin = offsets[i]
        p = begin  # the end of the word before
        sentences = np.int64(0)
        is_fresh, is_over = True, False  # no word of the line was seen; a mark was, and no word since
        for j in range(word_offsets[i], word_offsets[i + 1]):
            q, end = begin + starts[j], begin + ends[j]
            if q == end:
                continue
            if q > p and (q > p + 1 or data[p] != 0x20):
                if next_break(data, p, q)[1]:
                    is_fresh = True
                elif is_over:  # white space other than one space is a word for spaCy
                    sentences += 1
                    is_over = False
            kinds = flags[code_point(data, q)]
            is_mark = end - q == np.int64(char_bytes(data[q])) and kinds & TERMINAL
            if is_fresh:
                sentences += 1
                is_fresh, is_over = False, bool(is_mark)
            elif is_mark:
                is_over = True
            elif is_over and not _is_punctuation(data, q, end, flags):
                sentences += 1
                is_over = False
            p = end
        out[i] = sentences


@kernel
def _is_punctuation(data, p, end, flags):
    """Whether every character is punctuation."""
    while p < end:
        if not flags[code_point(data, p)] & PUNCTUATION:
            return False
        p += np.int64(char_bytes(data[p]))
    return True
