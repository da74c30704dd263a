"""datatrove's words, measures and decisions, for benchmarks.datatrove; run by a Python that has datatrove and spaCy.

python -I datatrove.py IN.parquet OUT.parquet: `text` goes in. Its filters tell decisions and no figures, so every
figure is made again with datatrove's own functions, words and lists; of the C4 filter it is what its functions were
called with. Decisions are those of the filters themselves, with their defaults.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.filters import (
    c4_filters,
    fineweb_quality_filter,
    gopher_quality_filter,
    gopher_repetition_filter,
)
from datatrove.utils.text import PUNCTUATION_SET, split_into_sentences, split_into_words

QUALITY = gopher_quality_filter.GopherQualityFilter()
REPETITION = gopher_repetition_filter.GopherRepetitionFilter()
FINEWEB = fineweb_quality_filter.FineWebQualityFilter()
C4_SETTINGS: dict[str, dict[str, Any]] = {"c4": {}, "c4_of_fineweb": {"filter_no_terminal_punct": False}}
ALL_LINES = {"filter_lorem_ipsum": False, "filter_curly_bracket": False, "min_num_sentences": 0}
PARAGRAPHS = c4_filters.C4ParagraphFilter()
PART = 200  # texts that a process takes at a time


class Lines:
    """Sentences and words of a text's lines, each line cut once; `seen` has the lines that a filter asked for."""

    def __init__(self) -> None:
        self.cut: dict[str, tuple[list[str], list[str]]] = {}
        self.seen: list[str] = []

    def sentences(self, line: str, language: str) -> list[str]:
        if line not in self.cut:
            self.cut[line] = split_into_sentences(line, language), split_into_words(line, language)
        self.seen.append(line)
        return self.cut[line][0]


def described(text: str | None) -> dict[str, Any]:
    """Everything about one text; a null one is the empty one."""
    text = text or ""
    words = split_into_words(text)
    found = {"words": words, **quality(text, words), **repetition(text, words), **fineweb(text, words)}
    found["quality"], found["repetition"] = decision(QUALITY, text), decision(REPETITION, text)
    found["fineweb"], found["c4_paragraph"] = decision(FINEWEB, text), decision(PARAGRAPHS, text)
    return found | c4(text)


def decision(step: Any, text: str) -> str | None:
    """Why datatrove drops a text; None where it keeps it, "error" where it divides by nothing."""
    try:
        answer = step.filter(Document(text=text, id="0"))
    except ZeroDivisionError:
        return "error"
    return None if answer is True else answer[1]


def ratio(part: float, whole: int) -> float | None:
    """A ratio of nothing is None."""
    return part / whole if whole else None


def quality(text: str, words: list[str]) -> dict[str, Any]:
    """The figures of GopherQualityFilter."""
    plain = [word for word in words if not PUNCTUATION_SET.issuperset(word)]
    lines = text.splitlines()
    return {
        "word_count": len(plain),
        "mean_word_length": float(np.mean([len(word) for word in plain])) if plain else None,
        "hash_word_ratio": ratio(text.count("#"), len(words)),
        "ellipsis_word_ratio": ratio(text.count("...") + text.count("…"), len(words)),
        "bullet_line_ratio": ratio(share(line.lstrip().startswith(("•", "-")) for line in lines), len(lines)),
        "ellipsis_line_ratio": ratio(share(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "alphabetic_word_ratio": ratio(share(any(map(str.isalpha, word)) for word in words), len(words)),
        "stop_word_count": len(QUALITY.stop_words.intersection(words)),
    }


def share(facts: Iterable[bool]) -> int:
    """How many are true."""
    return sum(facts)


def repetition(text: str, words: list[str]) -> dict[str, Any]:
    """The figures of GopherRepetitionFilter."""
    found: dict[str, Any] = {}
    parts = {
        "line": REPETITION._line_splitter.split(text),
        "paragraph": REPETITION.paragraph_exp.split(text.strip()),
    }
    for name, pieces in parts.items():
        copies, characters = gopher_repetition_filter.find_duplicates(pieces)
        found[f"duplicate_{name}_ratio"] = ratio(copies, len(pieces)) if text else None
        found[f"duplicate_{name}_character_ratio"] = ratio(characters, len(text))
    for n in (2, 3, 4):
        grams = gopher_repetition_filter.get_n_grams(words, n)
        most = gopher_repetition_filter.find_top_duplicate(grams) if grams else 0
        found[f"top_{n}_gram_character_ratio"] = ratio(most, len(text)) if grams else None
    for n in range(5, 11):
        repeated = gopher_repetition_filter.find_all_duplicate(words, n)
        found[f"duplicate_{n}_gram_character_ratio"] = ratio(repeated, len(text)) if words else None
    return found


def fineweb(text: str, words: list[str]) -> dict[str, Any]:
    """The figures of FineWebQualityFilter."""
    lines = [line for line in text.split("\n") if line.strip()]
    marked = share(line.endswith(FINEWEB.stop_chars) for line in lines)
    short = share(len(line) <= FINEWEB.short_line_length for line in lines)
    copied = gopher_repetition_filter.find_duplicates(lines)[1]
    return {
        "line_punctuation_ratio": ratio(marked, len(lines)),
        "short_line_ratio": ratio(short, len(lines)),
        "duplicate_line_character_share": ratio(copied, len(text.replace("\n", ""))),
        "newline_word_ratio": ratio(text.count("\n"), len(words)),
    }


def c4(text: str) -> dict[str, Any]:
    """What C4QualityFilter leaves of a text, the sentences and words it counted, and its decision."""
    found: dict[str, Any] = {}
    lines = Lines()
    c4_filters.split_into_sentences = lines.sentences
    for name, settings in C4_SETTINGS.items():
        found[name] = decision(c4_filters.C4QualityFilter(**settings), text)
        lines.seen.clear()
        rest = Document(text=text, id="0")
        c4_filters.C4QualityFilter(**settings, **ALL_LINES).filter(rest)
        found[f"{name}_text"] = rest.text
        found[f"{name}_sentence_count"] = sum(len(lines.cut[line][0]) for line in lines.seen)
        found[f"{name}_words"] = [word for line in lines.seen for word in lines.cut[line][1]]
    return found


def table(texts: list[str | None]) -> pa.Table:
    """What is said of some texts; Arrow takes far less memory than Python's words."""
    rows = [described(text) for text in texts]
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, kind(name)) for name in rows[0]]))


def kind(name: str) -> pa.DataType:
    """The type of a column by the end of its name; a decision is a string."""
    kinds = {
        "words": pa.large_list(pa.large_string()),
        "text": pa.large_string(),
        "count": pa.int64(),
        **dict.fromkeys(("ratio", "share", "length"), pa.float64()),
    }
    return kinds.get(name.split("_")[-1], pa.string())


def main(source: str, target: str) -> None:
    """Describe every text of a file."""
    texts = pq.read_table(source, columns=["text"])["text"].to_pylist()
    parts = [texts[at : at + PART] for at in range(0, len(texts), PART)]
    with ProcessPoolExecutor() as pool:
        pq.write_table(pa.concat_tables(pool.map(table, parts)), target, compression="zstd")


if __name__ == "__main__":
    main(*sys.argv[1:])
