"""The line rules of C4 and RefinedWeb, in one pass that keeps, drops or edits each line.

Line breaks and words are found together, 64 bytes at a time; a rule that costs little is asked first: most lost lines
are known by the number of their words or by their last character. Lines are those of str.splitlines, white space that
of str.strip. Measured on one core: C4's rules take 1.8 ns a byte of English, RefinedWeb's 2.9.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dedup.kernels.block import BLOCK, begins, below, bit_count, block_at, breaks, copy_bytes, firsts, has_byte, spaces
from dedup.kernels.compile import lean_kernel
from dedup.kernels.lines import after_space, before_space, break_bytes, count_words, has_longer_word, word_begins
from dedup.kernels.marks import DECIMAL, DIGIT, UPPER, WORD
from dedup.kernels.phrases import JAVASCRIPT, POLICY, count_lorem_ipsum, find_phrases, lower, matches
from dedup.kernels.utf8 import char_bytes, code_point, last_character, space_bytes
from dedup.kernels.word import trailing_zeros

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
_ONE, _LAST = np.uint64(1), np.uint64(63)
_OPENED = begins("[")
_IN_ITEMS_IN_CART = begins("ms ", fold=True)
_BEFORE_IN = 3  # bytes of "items in cart" before "ms "
_CAPITALS, _DIGITS = begins([("A", "Z")]), begins([("0", "9")])
# First bytes of characters that may be upper case or digits: none from U+3000 to U+9FFF is, nor from U+B000 to U+DFFF.
_BEGINS_OTHERS = begins([(0xC0, 0xE2)], [0xEA], [(0xEE, 0xFF)])


@lean_kernel
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


@lean_kernel
def _next_citation(data, p, end):
    """(where the next citation in data[p:end] begins, its bytes); (end, 0) where there is none."""
    while p < end:
        opened = _OPENED(block_at(data, p)) & below(end - p)
        while opened:
            at = p + np.int64(trailing_zeros(opened))
            size = _citation_bytes(data, at, end)
            if size:
                return at, size
            opened &= opened - _ONE
        p += BLOCK
    return end, 0


@lean_kernel
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


@lean_kernel
def _ends_in_mark(data, start, end, citations, marks):
    """Whether a line ends in one of the marks, and not in "..."; citations count as gone where they are cut out."""
    dots = 0
    while dots < 3:
        if citations:
            end = _before_citations(data, start, end)
        if end == start:
            return dots > 0
        p = last_character(data, start, end)
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


@lean_kernel
def _share_above(data, p, end, flags, kind, above):
    """Whether more than a share of the characters in data[p:end] are upper case, or digits.

    Of ASCII characters 64 are counted at once. The others are looked up only where they may decide.
    """
    characters = found = others = 0
    for q in range(p, end, BLOCK):
        block, size = block_at(data, q), end - q
        characters += bit_count(firsts(block, size))
        found += bit_count((_CAPITALS(block) if kind == UPPER else _DIGITS(block)) & below(size))
        others += bit_count(_BEGINS_OTHERS(block) & below(size))
    if not (found + others) / characters > above:
        return False
    for q in range(p, end, BLOCK):
        left = _BEGINS_OTHERS(block_at(data, q)) & below(end - q)
        while left:
            found += (flags[code_point(data, q + np.int64(trailing_zeros(left)))] & kind) != 0
            left &= left - _ONE
    return found / characters > above


@lean_kernel
def _after_no_word(data, p, end, flags):
    """The first place from p on where a letter, digit or "_" is."""
    while p < end and not flags[code_point(data, p)] & WORD:
        p += np.int64(char_bytes(data[p]))
    return p


@lean_kernel
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
        first, size = _COUNTED_ENDS[k], _COUNTED_ENDS[k + 1] - _COUNTED_ENDS[k]
        same = 0
        while same < size and q + same < end and lower(data[q + same]) == _COUNTED_BYTES[first + same]:
            same += 1
        if same == size:
            return _after_no_word(data, q + size, end, flags) == end
    return False


@lean_kernel
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


@lean_kernel
def _goes(data, start, end, words, rules, marks, flags):
    """Whether a line of so many words goes as it stands."""
    if words == 0:
        return rules.blank_lines or (rules.words_below > 0 and start < end)
    if words < rules.words_below:
        return True
    first = after_space(data, start, end)
    last = before_space(data, first, end)
    if rules.terminal_marks and not _ends_in_mark(data, first, last, rules.citations, marks):
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


@lean_kernel
def _before_one_space(data, start, end):
    """`end`, or where the one white-space character before it begins."""
    p = last_character(data, start, end)
    return p if p >= start and space_bytes(data, p, end) == end - p else end


@lean_kernel
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


@lean_kernel
def _next_button(data, p, end):
    """Where the next "items in cart" in data[p:end] begins; `end` where there is none."""
    for q in range(p, end, BLOCK):
        found = _IN_ITEMS_IN_CART(block_at(data, q)) & below(end - q)
        while found:
            at = q + np.int64(trailing_zeros(found)) - _BEFORE_IN
            if at >= p and matches(data, at, end, _ITEMS_IN_CART):
                return at
            found &= found - _ONE
    return end


@lean_kernel
def _cut(data, start, end, citations, buttons, out, at):
    """A line without its citations and buttons into out from `at` on; where it ends there, -1 if nothing is cut."""
    p, to = _between_buttons(data, start, end) if buttons else (start, end)
    button = _next_button(data, p, to) if buttons else to
    citation, size = _next_citation(data, p, to) if citations else (to, 0)
    if p == start and to == end and button == to and citation == to:
        return -1
    while min(button, citation) < to:
        gap = citation if citation < button else _before_one_space(data, p, button)
        copy_bytes(data, p, gap - p, out, at)
        at += gap - p
        p = citation + size if citation < button else button + _ITEMS_IN_CART.size
        button = _next_button(data, p, to) if buttons else to
        citation, size = _next_citation(data, p, to) if citations else (to, 0)
    copy_bytes(data, p, to - p, out, at)
    return at + to - p


@lean_kernel
def _block(data, p, end, into, before):
    """(line breaks, words' first bytes, `into` and `before` of the next block) of the block at p."""
    block, size = block_at(data, p), end - p
    white, into = spaces(block, size, into)
    return breaks(block, size), word_begins(white, before, size), into, white >> _LAST


@lean_kernel
def drop_lines(offsets, data, rules, marks, flags, out_offsets, out, counts):
    """The texts without the lines that go, and what went; how many texts changed.

    offsets, data      int64[n + 1], uint8[...]   text i is data[offsets[i]:offsets[i + 1]], valid UTF-8
    rules              Rules
    marks              uint32[...]                code points that a line may end in (rules.terminal_marks)
    flags              uint8[0x110000]            kernels/marks.py; uint8[0] where no rule looks at characters
    out_offsets, out   int64[n + 1], uint8[m]     m at least the bytes of all texts; or int64[0], where only the
                                                  counts are wanted, and m at least those of the longest text.
                                                  Where no text changed, nothing is written into `out`
    counts             int64[n, COUNTS]           overwritten

    A line goes with its break; where the last line goes and has none, the break before it goes too.
    Twin: tests/clean/test_lines.py.
    """
    writes = out_offsets.size > 0
    w = np.int64(0)
    changed = 0
    copied = offsets[0]  # what comes before it is in `out`, or gone; what follows is copied in one run
    if writes:
        out_offsets[0] = 0
    for i in range(offsets.size - 1):
        start, end = offsets[i], offsets[i + 1]
        first_w = w + start - copied
        citations = rules.citations and has_byte(data, start, end, 0x5B)
        lines = removed = words_removed = 0
        is_cut = False
        last_break = np.int64(0)  # bytes of the break after the last line that stays
        p = base = start  # the line's beginning, and the block's
        words_before = words = words_of_line = 0  # before the block, the line's end, and in the line
        left, begun, into, before = _block(data, base, end, np.uint64(0), _ONE)
        while p < end:
            while left == 0 and base + BLOCK < end:
                words_before += bit_count(begun)
                base += BLOCK
                left, begun, into, before = _block(data, base, end, into, before)
            words_of_line = -words
            if left == 0:
                at, width = end, 0
                words = words_before + bit_count(begun)
            else:
                k = np.int64(trailing_zeros(left))
                left &= left - _ONE
                at = base + k
                if at < p:  # the second half of CR LF
                    continue
                width = break_bytes(data, at, end)
                words = words_before + bit_count(begun & below(k))
            words_of_line += words
            lines += 1
            goes = _goes(data, p, at, words_of_line, rules, marks, flags)
            buttons = rules.buttons and words_of_line <= _BUTTON_WORDS
            if not goes and (buttons or citations):
                place = w + p - copied if writes else 0
                after = _cut(data, p, at, citations, buttons, out, place)
                if after >= 0:
                    words_left = count_words(out, place, after)
                    goes = words_left == 0
                    if not goes:
                        words_removed += words_of_line - words_left
                        is_cut = True
                        if writes:
                            copy_bytes(data, copied, p - copied, out, w)
                            w, copied = after, at
            if goes:
                if writes:
                    copy_bytes(data, copied, p - copied, out, w)
                    w += p - copied
                    copied = at + width
                    if width == 0 and w > first_w:
                        w -= last_break
                removed += 1
                words_removed += words_of_line
            else:
                last_break = width
            p = at + width
        changed += removed > 0 or is_cut
        if writes:
            out_offsets[i + 1] = w + end - copied
        counts[i, LINES], counts[i, REMOVED] = lines, removed
        counts[i, WORDS], counts[i, WORDS_REMOVED] = words, words_removed
    if writes and changed:
        copy_bytes(data, copied, offsets[-1] - copied, out, w)
    return changed
