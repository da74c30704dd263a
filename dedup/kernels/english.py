"""What the unit `punctuated` knows of English and of signs: contractions, abbreviations, smileys, kinds of characters.

These are the facts that spaCy's blank English tokenizer goes by (3.8), since published thresholds were found on
its words; they are written here as rules, and what they say is pinned by tests/test_segment.py.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

LOWER, UPPER, DIGIT, PUNCTUATION, QUOTE, SYMBOL, CURRENCY, PREFIX = (1 << bit for bit in range(8))
SPACE, ALONE, MARK, INVISIBLE = (1 << bit for bit in range(8, 12))

_APOSTROPHE, _CURLY = "'", "\N{RIGHT SINGLE QUOTATION MARK}"

# Who is followed by what, in families of the same endings; each also with a capital, and each without apostrophes.
_ENDINGS = (
    ("i", "'m 'm|a"),
    ("i you he she it we they", "'ll 'll|'ve 'd 'd|'ve"),
    ("i you we they", "'ve"),
    ("you we they", "'re"),
    ("he she it", "'s"),
    ("who what when where why how there that this these those", "'ll 'll|'ve 'd 'd|'ve"),
    ("who what when where why how there that this", "'s"),
    ("who what when where why how there these those", "'re 've"),
    ("ca could do does did had may might must need ought sha should wo would", "n't n't|'ve"),
    ("could might must should would", "'ve"),
    ("ai are is was were have has dare", "n't"),
    ("not", "'ve"),
)
_NOT_CONTRACTED = ("ill", "its", "hell", "shell", "shed", "were", "well", "whore")  # as they look without an apostrophe
_CUT = """y'|all y|all how|'d|'y How|'d|'y can|not Can|not gon|na Gon|na got|ta Got|ta let|'s Let|'s c'm|on C'm|on
    °|c|. °|f|. °|k|. °|C|. °|F|. °|K|."""
_WHOLE = """doin doin' Doin Doin' goin goin' Goin Goin' nothin nothin' Nothin Nothin' nuthin nuthin' Nuthin Nuthin'
    ol ol' Ol Ol' somethin somethin' Somethin Somethin' lovin lovin' Lovin Lovin' havin havin' Havin Havin'
    em 'em ll 'll nuff 'nuff 's 'S 'd 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am Ma'am o'clock
    O'clock and/or w/o C++ ' '' <space> \\") \\t \\n
    a.m. p.m. Adm. Ak. Ala. Apr. Ariz. Ark. Aug. Bros. Calif. Co. co. Colo. Conn. Corp. D.C. Dec. Del. Dr. E.G. E.g.
    e.g. Feb. Fla. Ga. Gen. Gov. I.E. I.e. i.e. Ia. Id. Ill. Inc. Ind. Jan. Jr. Jul. Jun. Kan. Kans. Ky. La. Ltd. Mar.
    Mass. Md. Messrs. Mich. Minn. Miss. Mo. Mont. Mr. Mrs. Ms. Mt. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov.
    Oct. Okla. Ore. Pa. Ph.D. Prof. Rep. Rev. S.C. Sen. Sep. Sept. St. Tenn. Va. Wash. Wis. vs. v.s. ä. ö. ü."""
_SMILEYS = r"""
    :) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-( :((
    :-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O :o :-o :0 :-0
    :() >:o :* :-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.<
    ._. ;_; -_- -__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3
    (^_^) (-_-) (._.) (>_<) (*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*>"""
_UNITS = """km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph
    hPa Pa mbar mb MB kb KB gb GB tb TB T G M K % км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ нм кг г мг м/с
    км/ч кПа Па мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ كم كم² كم³ م م² م³ سم سم² سم³ مم مم² مم³ غرام جرام جم
    كغ ملغ كوب اكواب"""

_PUNCTUATION = (
    "\N{HORIZONTAL ELLIPSIS},:;!?\N{INVERTED QUESTION MARK}\N{ARABIC QUESTION MARK}\N{INVERTED EXCLAMATION MARK}()["
    "]{}<>_#*&\N{IDEOGRAPHIC FULL STOP}\N{FULLWIDTH QUESTION MARK}\N{FULLWIDTH EXCLAMATION MARK}\N{FULLWIDTH COMMA}"
    "\N{IDEOGRAPHIC COMMA}\N{FULLWIDTH SEMICOLON}\N{FULLWIDTH COLON}\N{FULLWIDTH TILDE}\N{MIDDLE DOT}"
    "\N{DEVANAGARI DANDA}\N{ARABIC COMMA}\N{ARABIC FULL STOP}\N{ARABIC SEMICOLON}\N{ARABIC PERCENT SIGN}"
)
_QUOTES = (
    "'\"\N{RIGHT DOUBLE QUOTATION MARK}\N{LEFT DOUBLE QUOTATION MARK}`\N{LEFT SINGLE QUOTATION MARK}"
    "\N{ACUTE ACCENT}\N{RIGHT SINGLE QUOTATION MARK}\N{SINGLE LOW-9 QUOTATION MARK},\N{DOUBLE LOW-9 QUOTATION MARK}"
    "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}"
    "\N{LEFT CORNER BRACKET}\N{RIGHT CORNER BRACKET}\N{LEFT WHITE CORNER BRACKET}\N{RIGHT WHITE CORNER BRACKET}"
    "\N{FULLWIDTH LEFT PARENTHESIS}\N{FULLWIDTH RIGHT PARENTHESIS}\N{LEFT TORTOISE SHELL BRACKET}"
    "\N{RIGHT TORTOISE SHELL BRACKET}\N{LEFT BLACK LENTICULAR BRACKET}\N{RIGHT BLACK LENTICULAR BRACKET}"
    "\N{LEFT DOUBLE ANGLE BRACKET}\N{RIGHT DOUBLE ANGLE BRACKET}\N{LEFT ANGLE BRACKET}\N{RIGHT ANGLE BRACKET}"
    "\N{LEFT ANGLE BRACKET}\N{RIGHT ANGLE BRACKET}\N{MATHEMATICAL LEFT WHITE SQUARE BRACKET}"
    "\N{MATHEMATICAL RIGHT WHITE SQUARE BRACKET}"
)
_CURRENCIES = "$\N{POUND SIGN}\N{YEN SIGN}\N{THAI CURRENCY SYMBOL BAHT}\N{RIAL SIGN}"
_PREFIXES = "\N{SECTION SIGN}%=\N{EM DASH}\N{EN DASH}"
# Scripts without case whose letters count as lower and as upper: Hebrew to Arabic, those of India, Ethiopic, Korean.
_UNCASED = ((0x591, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8BD), (0x900, 0x9FF), (0xB80, 0xCFF), (0xD80, 0xDFF),
            (0x1100, 0x137F), (0xAC00, 0xD7AF), (0xFB1D, 0xFDFB), (0xFE70, 0xFEFC))  # fmt: skip
_CASED = ((0x41, 0x2AF), (0x386, 0x3CE), (0x400, 0x4FF), (0x1D00, 0x1D9A), (0x1E00, 0x1EFF), (0x2C60, 0x2C7F),
          (0xA722, 0xA7FA), (0xAB30, 0xAB64), (0xFF21, 0xFF5A))  # fmt: skip


def special_words() -> dict[str, tuple[str, ...]]:
    """Strings between white space or after affixes that are cut in a way of their own, and their pieces."""
    found: dict[str, tuple[str, ...]] = {}
    for pieces in _special_pieces():
        found["".join(pieces)] = pieces
        if any(_APOSTROPHE in piece for piece in pieces):
            curly = tuple(piece.replace(_APOSTROPHE, _CURLY) for piece in pieces)
            found["".join(curly)] = curly
    return found


def _special_pieces() -> Iterator[tuple[str, ...]]:
    for words, endings in _ENDINGS:
        for word in words.split():
            for start in (word, word.title()):
                for ending in endings.split():
                    pieces = (start, *ending.split("|"))
                    yield pieces
                    bare = tuple(piece.replace(_APOSTROPHE, "") for piece in pieces)
                    if "".join(bare).lower() not in _NOT_CONTRACTED:
                        yield bare
    for hour in range(1, 13):
        yield from ((str(hour), half) for half in ("am", "a.m.", "pm", "p.m."))
    yield from (tuple(word.split("|")) for word in _CUT.split())
    yield from ((word,) for word in (*_WHOLE.split(), *_SMILEYS.split()))
    yield from ((f"{letter}.",) for letter in "abcdefghijklmnopqrstuvwxyz")
    yield from (("\N{LEFT SINGLE QUOTATION MARK}s",), ("\N{LEFT SINGLE QUOTATION MARK}S",))


def units() -> list[str]:
    """Units of measure, which are cut from a digit before them."""
    return _UNITS.split()


@functools.cache
def classes() -> npt.NDArray[np.uint16]:
    """uint16[0x110000], read-only: the kinds of every code point, as a sum of the constants above.

    Letters, marks and symbols are those of the running Python; unspaced scripts those of the tokens.
    """
    from dedup.kernels import unicode

    table = np.zeros(unicode.CODE_POINTS, np.uint16)
    kinds = unicode.table() >> unicode.KIND_SHIFT
    table[kinds == unicode.ALONE] = ALONE
    table[kinds == unicode.MARK] = MARK
    table[kinds == unicode.SKIP] = INVISIBLE
    for first, last in (*_CASED, *_UNCASED):
        for code in range(first, last + 1):
            table[code] |= _case(chr(code))
    for code in (
        *range(0xA6, 0x3400),
        *range(0xA490, 0xAA7A),
        0xFDFD,
        *range(0xFFE4, 0xFFFE),
        *range(0x1D000, 0x1FB00),
    ):
        if unicodedata.category(chr(code)) == "So":
            table[code] |= SYMBOL
    table[ord("0") : ord("9") + 1] |= DIGIT
    _add(table, PUNCTUATION, _PUNCTUATION)
    _add(table, QUOTE, _QUOTES)
    _add(table, CURRENCY, (*_CURRENCIES, *map(chr, range(0x20A0, 0x20C0))))
    _add(table, PREFIX, _PREFIXES)
    _add(table, SPACE, (chr(code) for code in range(0x3001) if chr(code).isspace()))
    # A sign that stands alone in unspaced text (iteration marks and the like) is no sign to be cut off.
    table[table & ALONE != 0] = ALONE
    table.flags.writeable = False
    return table


def _case(character: str) -> int:
    if character.islower():
        return LOWER
    if character.isupper():
        return UPPER
    category = unicodedata.category(character)
    return LOWER | UPPER if category[0] == "L" or (category[0] == "M" and ord(character) >= 0x591) else 0


def _add(table: npt.NDArray[np.uint16], kind: int, characters: Iterable[str]) -> None:
    table[[ord(character) for character in characters]] |= np.uint16(kind)
