"""Lines that are no text: what C4 and RefinedWeb drop or cut before they look at a page.

One pass decides every line by all the rules that are on and writes the changed texts into one buffer. What it
took away is a column, on which a drop rule decides (RefinedWeb: more than 5 % of the words).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dedup import buffers
from dedup.clean.settings import with_text
from dedup.errors import RecipeError

FIELDS = (pa.field("words_removed_share", pa.float64()), pa.field("lines_removed", pa.int64()))
_SHARES = ("uppercase_above", "numeric_above")


def drop_lines(
    batch: pa.RecordBatch,
    *,
    terminal_marks: str = ".?!\"'",
    words_below: int = 3,
    word_length_above: int = 1000,
    javascript: bool = True,
    policy: bool = True,
    citations: bool = True,
    blank_lines: bool = True,
    uppercase_above: float = 1.0,
    numeric_above: float = 1.0,
    counters: bool = False,
    buttons: bool = False,
) -> pa.RecordBatch:
    """Drop the lines of `text` that break a rule, and cut citations out of the others.

    setting            what goes                                               off    C4 (TFDS)  RefinedWeb
    terminal_marks     lines that end in none of these, or in "..."            ""     (.?!")     ""
    words_below        lines of fewer words                                    0      3 (5)      2
    word_length_above  lines with a word of more characters                    0      1000       0
    javascript         lines with "javascript"                                 false  true       false
    policy             lines with "terms of use", "privacy policy", "cookie    false  true       false
                       policy", "uses cookies", "use of cookies", "use cookies"
    citations          "[1]", "[]", "[edit]", "[citation needed]", not their   false  true       false
                       lines
    blank_lines        lines without a word                                    false  true       false
    uppercase_above    lines of which more is upper case, of all characters    1.0    1.0        0.5
    numeric_above      lines of which more is digits, of all characters        1.0    1.0        0.999999
    counters           "3 likes", "1.2K views": a number and likes, shares,    false  false      true
                       comments, retweets, reposts, quotes, bookmarks, upvotes,
                       downvotes, downloads, views or followers
    buttons            in lines of up to 10 words: "Sign-in" at the start,     false  false      true
                       "Read more..." at the end, "items in cart"

    The defaults are C4's in datatrove's dialect; TFDS's numbers, where others, stand in brackets. A word is a run
    of non-space, so Chinese, Japanese and Thai lines have too few: set words_below = 0 for them, and give
    terminal_marks their own ("。？！"). Phrases ignore the case of ASCII letters.

    text                 large_string, whatever string type came in; null stays null. A text that no rule touches
                         keeps its bytes. A line that stays keeps its white space and its line break; one that
                         goes, or of which a cut leaves no word, goes with its break; a last line without a break
                         takes the break before it along. A text whose every line goes becomes empty.
    words_removed_share  float64  words that went or were cut, of all; in [0, 1]; null without words.
                                  RefinedWeb drops the page if > 0.05.
    lines_removed        int64    lines that went, blank ones too; null for a null text

    Dialects: C4's lines are those of str.splitlines; datatrove also strips each, and joins what is left with
    "\\n". It counts words before citations are cut, TFDS after it. Both throw away the page for "lorem ipsum", and
    for a curly bracket in a line with a policy phrase: such a line stays here, and `measure.c4` counts it.
    RefinedWeb's rules follow DCLM's, whose lines end at "\\n" only, where blank lines stay if they hold no space,
    and whose dots in "Read more..." stand for any character; here it is dots or "…", as in the paper. Digits in
    citations are ASCII.

    Sources: Raffel et al. 2020, section 2.2; Penedo et al. 2023 (RefinedWeb), appendix G.2, table 8.
    """
    marks = np.array(sorted(map(ord, set(terminal_marks))), np.uint32)
    settings = {
        "words_below": words_below, "word_length_above": word_length_above, "uppercase_above": float(uppercase_above),
        "numeric_above": float(numeric_above), "blank_lines": blank_lines, "terminal_marks": len(marks) > 0,
        "javascript": javascript, "policy": policy, "counters": counters, "citations": citations, "buttons": buttons,
    }  # fmt: skip
    _check(settings)
    if batch.num_rows == 0:
        texts, columns = buffers.large_strings(batch["text"]), [pa.array([], field.type) for field in FIELDS]
    else:
        texts, columns = _dropped(batch["text"], settings, marks)
    return buffers.with_columns(with_text(batch, texts), dict(zip(FIELDS, columns, strict=True)))


def _check(settings: dict[str, int | float | bool]) -> None:
    for name in ("words_below", "word_length_above"):
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise RecipeError(f"drop_lines: {name} is {value!r}; it is a number from 0 (no such rule) up")
    for name in _SHARES:
        if not 0 <= settings[name] <= 1:
            raise RecipeError(f"drop_lines: {name} is {settings[name]!r}; a share lies in [0, 1], 1 is no rule")
    if all(value == (name in _SHARES) for name, value in settings.items()):
        raise RecipeError(f"drop_lines: every rule is off; there are {', '.join(settings)}")


def _dropped(
    column: pa.Array, settings: dict[str, int | float | bool], marks: np.ndarray
) -> tuple[pa.LargeStringArray, list[pa.Array]]:
    from dedup.kernels import rules
    from dedup.kernels.marks import flags

    texts = buffers.large_strings(column)
    view = buffers.texts(texts)
    chosen = rules.Rules(**settings)  # type: ignore[arg-type]
    looks = chosen.uppercase_above < 1 or chosen.numeric_above < 1 or chosen.counters
    offsets = np.empty(len(texts) + 1, np.int64)
    out = np.empty(int(view.offsets[-1] - view.offsets[0]), np.uint8)
    counts = np.empty((len(texts), rules.COUNTS), np.int64)
    table = flags() if looks else buffers.frozen(np.zeros(0, np.uint8))
    changed = rules.drop_lines(view.offsets, view.data, chosen, buffers.frozen(marks), table, offsets, out, counts)
    if changed:
        texts = buffers.large_strings_from(offsets, out[: int(offsets[-1])], view.valid)
    missing = None if view.valid is None else ~view.valid
    share = buffers.ratio(counts[:, rules.WORDS_REMOVED], counts[:, rules.WORDS], missing)
    return texts, [share, buffers.numbers(counts[:, rules.REMOVED], missing)]
