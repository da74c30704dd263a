"""Numbers and foreign text as a page or a terminal shows them.

Documents are hostile, and so are names of files and labels: a sign that would turn the direction of what follows, end a
string or move the cursor is shown as its code point. Markup is the business of the template, which escapes everything.
"""

from __future__ import annotations

import re

# C0 and C1 but for tab and line feed, surrogates, marks of direction and order, separators of lines, BOM, tags.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
_MARKS = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)


def visible(text: str) -> str:
    """The text with every sign that is not seen or that rules others shown as its code point, such as [U+202E].

    Of marks that are stacked on one letter four are left.
    """
    text = text.replace("\r\n", "\n")
    return _MARKS.sub(r"\1", _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text))


def name(text: str, most: int = 80) -> str:
    """A name in one line, its middle left out where it is long."""
    text = " ".join(visible(text).split())
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-most // 2 + 1 :]}"


def count(number: int | float | None) -> str:
    """12,345; a dash where it is not known."""
    return "–" if number is None else f"{number:,.0f}"


def size(number: int | float | None) -> str:
    """Bytes in a unit that leaves one to three digits before the point."""
    if number is None:
        return "–"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= factor:
            return f"{number / factor:,.1f} {unit}"
    return f"{number:,.0f} B"


def share(part: float | None, whole: float) -> str:
    """A part as per cent of a whole, such that a small part is not shown as none and nearly all not as all."""
    if part is None:
        return "–"
    if not whole or not part:
        return "0 %"
    value = 100 * part / whole
    if value < 0.01:
        return "< 0.01 %"
    if 99.995 <= value < 100:
        return "> 99.99 %"
    return f"{value:.{2 if value < 0.1 or 99.9 < value < 100 else 1 if value < 100 else 0}f} %"


def value(number: float) -> str:
    """A bound or the edge of a bin, with four significant digits."""
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:.4g}"


def seconds(number: float) -> str:
    """A time."""
    if number < 120:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
