"""Texts made harmless for a terminal: a document's escape sequence must not move the cursor or hide a word.

What a terminal acts on, or what a reader cannot see, is written as a sign: control characters by their pictures, others
as <U+202E>. Joiners stay, which scripts need and which change nothing else.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

NEW_LINE = "\N{RETURN SYMBOL}"
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
_ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")


class _Signs(dict[int, str]):
    """What stands for a character, found out when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = sign = _sign(chr(code))
        return sign


def _sign(character: str) -> str:
    code = ord(character)
    if unicodedata.category(character) not in _ACTING or character in _JOINERS:
        return character
    if character == "\n":
        return NEW_LINE
    return chr(0x2400 + code) if code < 0x20 else "\N{SYMBOL FOR DELETE}" if code == 0x7F else f"<U+{code:04X}>"


_SIGNS = _Signs()


def visible(text: object) -> str:
    """The text in one line, with a sign for every character that a terminal acts on or that nobody sees."""
    return str(text).translate(_SIGNS)


_STRANGE = re.compile(r"[^\x20-\x7e]")


def json_line(item: Any) -> str:
    """An item as a line of JSON, in which a terminal finds nothing to act on either; NaN is null, as JSON has none."""
    line = json.dumps(_plain(item), ensure_ascii=False, default=str)
    return _STRANGE.sub(lambda found: _escaped(found[0]), line)


def _escaped(character: str) -> str:
    if _SIGNS[ord(character)] == character:
        return character
    return json.dumps(character)[1:-1]  # as \\u escapes, of which a reader of JSON makes the character again


def _plain(item: Any) -> Any:
    if isinstance(item, float) and not math.isfinite(item):
        return None
    if isinstance(item, dict):
        return {str(key): _plain(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_plain(value) for value in item]
    return item
