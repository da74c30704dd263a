"""Markup stripped: where a text is a page with HTML elements, its visible text.

The parser is lexbor (package selectolax, wheels for every platform): a browser's algorithm, so that unclosed and
misnested elements do what they do in a browser. It is an optional package and sees only texts with an HTML element.
"""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers
from dedup.clean.settings import with_text
from dedup.errors import RecipeError

REMOVED = pa.field("html_removed_share", pa.float64())

_BLOCKS = (
    "address|article|aside|blockquote|body|caption|center|dd|details|dialog|dir|div|dl|dt|fieldset|figcaption|figure|"
    "footer|form|h1|h2|h3|h4|h5|h6|header|hgroup|hr|li|main|menu|nav|ol|option|p|pre|section|summary|table|tbody|td|"
    "tfoot|th|thead|title|tr|ul"
)
_INLINE = (
    "a|abbr|acronym|b|big|br|button|cite|code|del|dfn|em|font|i|iframe|img|input|ins|kbd|label|link|mark|meta|q|s|"
    "samp|script|select|small|span|strike|strong|style|sub|sup|textarea|tt|u|var|video|audio|html|head"
)
# An element of HTML by name: "List<String>", "a <b and c" and "<me@mail.com>" are none.
_ELEMENT = rf"(?i)<(?:!doctype\s+html|/?(?:{_BLOCKS}|{_INLINE})(?:\s[^<>]*=[^<>]*|\s*)/?)>"
_HIDDEN = ["script", "style", "noscript", "template", "svg", "math", "iframe", "object", "head"]
# Stand for a line break, a space and a tab that stay while the white space of the source collapses.
_BREAK, _SPACE, _TAB = "\x1e", "\x1f", "\x1d"
_KEPT = str.maketrans({"\n": _BREAK, " ": _SPACE, "\t": _TAB})
_GIVEN_BACK = str.maketrans({_SPACE: " ", _TAB: "\t"})


def strip_html(batch: pa.RecordBatch, *, title: bool = False) -> pa.RecordBatch:
    """Replace `text` by the visible text of its page where it holds an element of HTML.

    title   whether the page's title becomes the first line

    Scripts, styles, the head, comments, drawings and formulas go; block elements, table cells and <br> begin and end
    lines, empty lines go; entities become characters; white space collapses to one space as a browser shows it, but
    stays in <pre>. Nothing is judged: menus and footers stay.

    text                large_string; a text without such an element keeps its very bytes, entities too
    html_removed_share  float64   share of the characters that went, in [0, 1], 0 where nothing was stripped;
                        null for a null or empty text

    What it may damage: Markdown or source code that mentions an element (`<br>`) is read as a page, in which
    anything in angle brackets is a tag; leave this stage out where texts are such. Needs the package selectolax:
    pip install 'dedup[html]'.
    """
    if importlib.util.find_spec("selectolax") is None:
        raise RecipeError("strip_html needs one more package: pip install 'dedup[html]'")
    before = buffers.large_strings(batch["text"])
    after = before
    if len(before):
        pages = pc.fill_null(pc.match_substring_regex(before, _ELEMENT), False)
        rows = np.flatnonzero(pages.to_numpy(zero_copy_only=False))
        texts = [_visible(page, title) for page in before.take(pa.array(rows)).to_pylist()]
        after = buffers.with_replaced(before, rows, pa.array(texts, pa.large_string()))
    sizes, left = (pc.cast(pc.utf8_length(texts), pa.float64()) for texts in (before, after))
    share = pc.if_else(pc.equal(sizes, 0), None, pc.max_element_wise(pc.subtract(1, pc.divide(left, sizes)), 0))
    share = pc.if_else(pc.is_null(sizes), None, share).cast(pa.float64())
    return buffers.with_columns(with_text(batch, after), {REMOVED: share})


def _visible(page: str, title: bool) -> str:
    from selectolax.lexbor import LexborHTMLParser

    tree: Any = LexborHTMLParser(page)
    heading = tree.css_first("head title") if title else None
    first = heading.text() if heading is not None else ""
    for hidden in tree.css(", ".join(_HIDDEN)):
        hidden.decompose()
    for node in tree.css("pre, textarea"):
        node.replace_with(_BREAK + node.text().translate(_KEPT) + _BREAK)
    for node in tree.css("br"):
        node.replace_with(_BREAK)
    for node in tree.css(_BLOCKS.replace("|", ", ")):
        if node.tag != "body":
            node.insert_before(_BREAK)
            node.insert_after(_BREAK)
    shown = tree.root.text() if tree.root is not None else ""
    lines = re.sub(r"[ \t\n\r\f]+", " ", f"{first}{_BREAK}{shown}").split(_BREAK)
    kept = (line.strip(" ").translate(_GIVEN_BACK).rstrip(" \t") for line in lines)
    return "\n".join(line for line in kept if line)
