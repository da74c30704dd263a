"""Text rich in what fix_text fixes, and settings to fix it with."""

from __future__ import annotations

from typing import Any

from ftfy import TextFixerConfig
from hypothesis import strategies as st

DEFAULTS = TextFixerConfig(fix_character_width=False, uncurl_quotes=False)
CONFIGS: list[dict[str, Any]] = [
    {},
    {"normalization": None},
    {"normalization": "NFD"},
    {"normalization": "NFKC", "fix_latin_ligatures": False},
    {"normalization": "NFKD", "fix_character_width": True},
    {"fix_character_width": True, "uncurl_quotes": True},
    {"fix_encoding": False, "remove_control_chars": False},
    {"fix_encoding": False, "fix_c1_controls": False, "fix_line_breaks": False},
    {"unescape_html": True, "fix_line_breaks": False, "remove_terminal_escapes": False},
    {"unescape_html": False, "replace_lossy_sequences": False, "restore_byte_a0": False},
    {"decode_inconsistent_utf8": False, "remove_control_chars": False, "fix_surrogates": False},
    {"max_decode_length": 7},
]

PLAIN = ["abc", "The", " ", "  ", ".", "?", "<", "<b>", "\n", "\t", "\x0c", "a quite long run of plain words, "]
ENTITIES = ["&", ";", "&amp;", "&lt;", "&GT;", "&#65;", "&#x2019;", "&#128;", "&nope;", "&ATILDE;", "&#xd83d;&#xde00;"]
CONTROLS = ["\r\n", "\r", "\x00", "\x07", "\x1a", "\x1b[31m", "\x1b[", "\x7f", "\x85", "\x9d", "\u2028", "\ufeff"]
ASIAN = [
    "中文",
    "日本語",
    "カタカナ",
    "ｶﾞ",
    "。",
    "，",
    "（",
    "）",
    "　",
    "：",
    "ＡＢＣ",
    "１",
    "각",
    "가\u11a8",
    "\u1100\u1161",
]
SIGNS = ["“", "”", "‘", "’", "…", "—", "–", "·", "•", "«", "»", "°", "£", "€", "™", "³", "¶", "│", "▒", "\ufffd"]
MARKED = ["é", "É", "e\u0301", "\u0323", "\u0301", "\u0301\u0323" * 40, "ส้", "שׁ", "क़", "\u09be", "\u0f73", "豈"]
LETTERS = ["ﬁ", "ĳ", "Ǆ", "ŉ", "à", "œ", "Œ", "ö", "Ü", "ß", "Б", "я", "Ω", "λ", "Москва", "Αθήνα", "ʼ", "α", "В"]
MOJIBAKE = [
    *("Ã©", "â€œ", "â€�", "Â", "Â ", "Ã ", "Ã", "ã\x83\x84", "Ð\x9f", "Р°Р±", "ÑÐ", "вЂ", "ГўВЂВ™", "β€™", "ā€", "Î"),
    *("Ø³", "√∂", "‚Äô", "≈°", "×²", "ð\x9f\x98\x8a", "Ã\xa0", "\xed\xa0\xbd", "í\xa0½í¸\x8d", "À\x80", "Â?", "ÃÂ©"),
]
PIECES = PLAIN + ENTITIES + CONTROLS + ASIAN + SIGNS + MARKED + LETTERS + MOJIBAKE

ENCODINGS = ["sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1253", "latin-1", "macroman", "cp437"]
# Text of several scripts, taken for another encoding once or twice.
garbled = st.tuples(
    st.lists(st.sampled_from(LETTERS + ASIAN + SIGNS + MARKED + PLAIN), max_size=6).map("".join),
    st.lists(st.sampled_from(ENCODINGS), min_size=1, max_size=2),
)


def _garble(pair: tuple[str, list[str]]) -> str:
    text, encodings = pair
    for encoding in encodings:
        text = text.encode().decode(encoding, "replace")
    return text


documents = (
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
    | st.lists(garbled.map(_garble) | st.sampled_from(PIECES), max_size=4).map("".join)
    | st.text(max_size=30)
)
