"""The line rules of C4 and RefinedWeb, in one pass that keeps, drops or edits each line.

A rule that costs little is asked first: most lost lines are known by their last character and never read.
Lines are those of str.splitlines, white space that of str.strip.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dedup.kernels.compile import kernel
from dedup.kernels.lines import after_space, before_space, count_words, has_longer_word, next_break, words_up_to
from dedup.kernels.marks import DECIMAL, DIGIT, UPPER, WORD
from dedup.kernels.phrases import JAVASCRIPT, POLICY, count_lorem_ipsum, find_phrases, has_byte, matches
from dedup.kernels.utf8 import char_bytes, code_point, space_bytes

LINES, REMOVED, WORDS, WORDS_REMOVED = range(4)
COUNTS = 4


class Rules(NamedTuple):
    """What makes a line go, and what is cut out of the lines that stay; the order of the rules is free."""

    words_below: int = 0
    word_length_above: int = 0  # 0: no limit
    uppercase_above: float = 1.0
    numeric_above: float = 1.0
    blank_lines: bool = False
    terminal_marks: bool = False
    javascript: bool = False
    policy: bool = False
    counters: bool = False
    citations: bool = False
    buttons: bool = False


C4 = Rules(
    words_below=3, word_length_above=1000, blank_lines=True, terminal_marks=True, javascript=True, policy=True,
    citations=True,
)  # fmt: skip
C4_MARKS = ".?!\"'"
REFINEDWEB = Rules(words_below=2, uppercase_above=0.5, numeric_above=0.999999, counters=True, buttons=True)

_EDIT = np.frombuffer(b"[edit]", np.uint8)
_CITATION_NEEDED = np.frombuffer(b"[citation needed]", np.uint8)
_ITEMS_IN_CART = np.frombuffer(b"items in cart", np.uint8)
_READ_MORE = np.frombuffer(b"read more", np.uint8)
_SIGN_IN = np.frombuffer(b"sign-in", np.uint8)
_BUTTON_WORDS = 10  # a line of more words has no buttons
_COUNTED = (
    *("likes", "shares", "comments", "retweets", "reposts", "quotes"),
    *("bookmarks", "upvotes", "downvotes", "downloads", "views", "followers"),
)
_COUNTED_BYTES = np.frombuffer("".join(_COUNTED).encode(), np.uint8)
_COUNTED_ENDS = np.cumsum([0, *map(len, _COUNTED)])


@kernel
def _citation_bytes(data, p, end):
    """Bytes of the citation "[12]", "[]", "[edit]" or "[citation needed]" at p; 0 if there is none."""
    if data[p] != 0x5B:
        return 0
    q = p + 1
    while q < end and 0x30 <= data[q] <= 0x39:
        q += 1
    if q < end and data[q] == 0x5D:
        return q + 1 - p
    for phrase in (_EDIT, _CITATION_NEEDED):
        if p + phrase.size <= end:
            k = 0
            while k < phrase.size and data[p + k] == phrase[k]:
                k += 1
            if k == phrase.size:
                return k
    return 0


@kernel
def _before_citations(data, start, end):
    """The end of what comes before the citations that end at `end`."""
    while end > start and data[end - 1] == 0x5D:
        p = end - 1
        while p > start and data[p] != 0x5B:
            p -= 1
        if p + _citation_bytes(data, p, end) != end:
            break
        end = p
    return end


@kernel
def _ends_in_mark(data, start, end, citations, marks):
    """Whether a line ends in one of the marks, and not in "..."; citations count as gone where they are cut out."""
    dots = 0
    while dots < 3:
        if citations:
            end = _before_citations(data, start, end)
        if end == start:
            return dots > 0
        p = end - 1
        while p > start and data[p] & 0xC0 == 0x80:
            p -= 1
        c = code_point(data, p)
        if dots == 0:
            is_mark = False
            for k in range(marks.size):
                is_mark = is_mark or c == marks[k]
            if not is_mark:
                return False
        if c != 0x2E:
            return True
        dots += 1
        end = p
    return False


@kernel
def _share_above(data, p, end, flags, kind, above):
    """Whether more than a share of the characters in data[p:end] are of a kind."""
    characters = found = 0
    while p < end:
        c = data[p]
        if c < 0x80:
            found += (flags[c] & kind) != 0
            p += 1
        else:
            found += (flags[code_point(data, p)] & kind) != 0
            p += np.int64(char_bytes(c))
        characters += 1
    return found / characters > above


@kernel
def _after_no_word(data, p, end, flags):
    """The first place from p on where a letter, digit or "_" is."""
    while p < end and not flags[code_point(data, p)] & WORD:
        p += np.int64(char_bytes(data[p]))
    return p


@kernel
def _is_counter(data, p, end, flags):
    """Whether a line is a number and what it counts, as in "1.2K likes"."""
    p = _after_no_word(data, p, end, flags)
    first = p
    while p < end:
        if data[p] == 0x2C or data[p] == 0x2E:
            p += 1
        elif flags[code_point(data, p)] & DECIMAL:
            p += np.int64(char_bytes(data[p]))
        else:
            break
    if p == first:
        return False
    if p < end:
        unit = data[p] | 0x20
        p += unit == 0x6B or unit == 0x6D or unit == 0x62
    q = after_space(data, p, end)
    if q == p:
        return False
    for k in range(_COUNTED_ENDS.size - 1):
        word = _COUNTED_BYTES[_COUNTED_ENDS[k] : _COUNTED_ENDS[k + 1]]
        if matches(data, q, end, word):
            return _after_no_word(data, q + word.size, end, flags) == end
    return False


@kernel
def _has_phrase(data, p, end, rules):
    """Whether a phrase makes the line go.

    C4 throws away the page that holds "lorem ipsum", or a curly bracket beside a policy phrase; such a line
    stays, so that the page's measures see it.
    """
    wanted = JAVASCRIPT * rules.javascript | POLICY * rules.policy
    found = find_phrases(data, p, end, wanted)
    if found == 0 or count_lorem_ipsum(data, p, end) > 0:
        return False
    if found == JAVASCRIPT or not has_byte(data, p, end, 0x7B):
        return True
    return rules.javascript and find_phrases(data, p, end, JAVASCRIPT) != 0


@kernel
def _goes(data, start, end, rules, marks, flags):
    """Whether a line goes as it stands."""
    first = after_space(data, start, end)
    if first == end:
        return rules.blank_lines or (rules.words_below > 0 and start < end)
    last = before_space(data, first, end)
    if rules.terminal_marks and not _ends_in_mark(data, first, last, rules.citations, marks):
        return True
    if words_up_to(data, first, last, rules.words_below) < rules.words_below:
        return True
    longest = rules.word_length_above
    if longest > 0 and last - first > longest and has_longer_word(data, first, last, longest):
        return True
    if (rules.javascript or rules.policy) and _has_phrase(data, first, last, rules):
        return True
    if rules.uppercase_above < 1 and _share_above(data, start, end, flags, UPPER, rules.uppercase_above):
        return True
    if rules.numeric_above < 1 and _share_above(data, start, end, flags, DIGIT, rules.numeric_above):
        return True
    return rules.counters and _is_counter(data, first, last, flags)


@kernel
def _copy(data, p, end, out, at):
    """data[p:end] into out from `at` on; where it ends there."""
    for k in range(end - p):
        out[at + k] = data[p + k]
    return at + end - p


@kernel
def _before_one_space(data, start, end):
    """`end`, or where the one white-space character before it begins."""
    p = end - 1
    while p > start and data[p] & 0xC0 == 0x80:
        p -= 1
    return p if p >= start and space_bytes(data, p, end) == end - p else end


@kernel
def _between_buttons(data, start, end):
    """(start, end) of a line without "Sign-in" before and "Read more..." behind, and one space beside them."""
    first, last = after_space(data, start, end), before_space(data, start, end)
    if matches(data, first, last, _SIGN_IN):
        start = first + _SIGN_IN.size
        start += space_bytes(data, start, end) if start < end else 0
    dots = last - 3  # three bytes, as "..." and as an ellipsis
    if dots < start + _READ_MORE.size or not matches(data, dots - _READ_MORE.size, dots, _READ_MORE):
        return start, end
    is_dots = data[dots] == 0x2E and data[dots + 1] == 0x2E and data[dots + 2] == 0x2E
    if is_dots or (data[dots] == 0xE2 and data[dots + 1] == 0x80 and data[dots + 2] == 0xA6):
        end = _before_one_space(data, start, dots - _READ_MORE.size)
    return start, end


@kernel
def _cut(data, start, end, rules, out, at):
    """A line without its citations and buttons into out from `at` on; where it ends there."""
    buttons = rules.buttons and words_up_to(data, start, end, _BUTTON_WORDS + 1) <= _BUTTON_WORDS
    if buttons:
        start, end = _between_buttons(data, start, end)
    p = copied = start
    while p < end:
        gap = p
        size = _citation_bytes(data, p, end) if rules.citations else 0
        if size == 0 and buttons and matches(data, p, end, _ITEMS_IN_CART):
            size = _ITEMS_IN_CART.size
            gap = _before_one_space(data, copied, p)
        if size:
            at = _copy(data, copied, gap, out, at)
            p += size
            copied = p
        else:
            p += 1
    return _copy(data, copied, end, out, at)


@kernel
def drop_lines(offsets, data, rules, marks, flags, out_offsets, out, counts):
    """The texts without the lines that go, and what went; how many texts changed.

    offsets, data      int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    rules              Rules
    marks              uint32[...]                code points that a line may end in (rules.terminal_marks)
    flags              uint8[0x110000]            kernels/marks.py; uint8[0] where no rule looks at characters
    out_offsets, out   int64[n + 1], uint8[m]     m at least the bytes of all texts; or int64[0], where only the
                                                  counts are wanted, and m at least those of the longest text
    counts             int64[n, COUNTS]           overwritten

    A line goes with its break; where the last line goes and has none, the break before it goes too.
    Twin: tests/clean/test_lines.py.
    """
    writes = out_offsets.size > 0
    w = np.int64(0)
    changed = 0
    if writes:
        out_offsets[0] = 0
    for i in range(offsets.size - 1):
        start, end = offsets[i], offsets[i + 1]
        w = w if writes else np.int64(0)
        first_w, p, copied = w, start, start  # data[start:copied] is in `out`, or gone
        citations = rules.citations and has_byte(data, start, end, 0x5B)
        lines = removed = words_removed = 0
        is_cut = False
        last_break = np.int64(0)  # bytes of the break after the last line that stays
        while p < end:
            at, width = next_break(data, p, end)
            lines += 1
            goes = _goes(data, p, at, rules, marks, flags)
            if not goes and (rules.buttons or (citations and has_byte(data, p, at, 0x5B))):
                w = _copy(data, copied, p, out, w)
                copied = p  # or every line would copy what is before it once more
                after = _cut(data, p, at, rules, out, w)
                if after - w < at - p:
                    words_left = count_words(out, w, after)
                    goes = words_left == 0
                    if not goes:
                        words_removed += count_words(data, p, at) - words_left
                        w, copied, is_cut = after, at, True
            if goes:
                w = _copy(data, copied, p, out, w)
                copied = at + width
                removed += 1
                words_removed += count_words(data, p, at)
                if width == 0 and w > first_w:
                    w -= last_break
            else:
                last_break = width
            p = at + width
        w = _copy(data, copied, end, out, w)
        changed += removed > 0 or is_cut
        if writes:
            out_offsets[i + 1] = w
        counts[i, LINES], counts[i, REMOVED] = lines, removed
        counts[i, WORDS], counts[i, WORDS_REMOVED] = count_words(data, start, end), words_removed
    return changed
