"""The rules of Gopher, C4 and FineWeb beside datatrove's, on every document of two English shards.

Fed with datatrove's own words every figure and every decision must be datatrove's; with `punctuated` words, which are
cut without spaCy, the decisions must nearly be. It takes datatrove some twenty-five minutes of CPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import beside, corpus
from benchmarks.table import Row
from dedup import clean, drop
from dedup.measure import c4, fineweb, gopher

AGREE_AT_LEAST, OVERLAP_AT_LEAST = 90, 80  # %


class Rule(NamedTuple):
    """A bound and the name that datatrove has for breaking it."""

    column: str
    bound: str
    value: float
    name: str
    counts_words: bool = False


@dataclass(frozen=True)
class Family:
    """A filter of datatrove and the stages that do the same.

    decision   datatrove's column that tells why it drops a text
    rules      in datatrove's order
    lines      settings of clean.drop_lines, which C4 runs first; None where the text is measured as it is
    """

    name: str
    decision: str
    measure: Callable[..., pa.RecordBatch]
    rules: Sequence[Rule]
    lines: Mapping[str, Any] | None = None

    def figures(self, reference: pa.Table) -> dict[str, str]:
        """Our columns that datatrove has, too, and the names that they have there."""
        columns = {rule.column: rule.column for rule in self.rules if rule.column in reference.column_names}
        if self.lines is None:
            return columns
        return {"text": f"{self.decision}_text", "c4_sentence_count": f"{self.decision}_sentence_count"}

    def measured(self, texts: pa.Array, words: pa.Array | None) -> pa.RecordBatch:
        """Our figures and reasons; where no words are given, on `punctuated` ones."""
        batch = pa.record_batch({"text": texts})
        if self.lines is not None:
            batch = clean.drop_lines(batch, **self.lines)
        if words is not None:
            batch = batch.append_column("words", words)
        batch = self.measure(batch, words="punctuated" if words is None else "words")
        bounds: dict[str, dict[str, float]] = {}
        for rule in self.rules:
            bounds.setdefault(rule.column, {})[rule.bound] = rule.value
        return drop.when(batch, **bounds)

    def reasons(self, batch: pa.RecordBatch) -> list[str | None]:
        """Our reasons by datatrove's names."""
        names = {drop.rule_name(*rule[:3]): rule.name for rule in self.rules}
        return [None if reason is None else names[reason] for reason in batch[drop.REASON].to_pylist()]

    def compare(self, texts: pa.Array, reference: pa.Table) -> list[Row]:
        """The rows of this family."""
        theirs = reference[self.decision].to_pylist()
        figures = self.figures(reference)
        words = reference["words" if self.lines is None else f"{self.decision}_words"].combine_chunks()
        batch = self.measured(texts, words)
        found = []
        if figures:
            differ = {ours: _differ(batch[ours], reference[name]) for ours, name in figures.items()}
            found.append(self._figures(differ, batch, texts, words, reference))
        # A text without a line has no figure here, and word_count < 50 drops it; datatrove calls it empty.
        blank = theirs.count("empty")
        theirs = [None if reason == "empty" else reason for reason in theirs]
        count, beside = _unequal(self.reasons(batch), theirs), f"of {len(theirs):,}, datatrove's words"
        beside += f"; {blank} without a line, apart" if blank else ""
        found.append(Row(f"{self.name}: decisions and reasons that differ", count, "", 0, beside))
        batch = self.measured(texts, None)
        ours = self.reasons(batch)
        if any(rule.counts_words for rule in self.rules):
            found += self._decisions(ours, theirs)
        return [*found, self._wordless(batch, ours, reference)]

    def _figures(
        self,
        differ: dict[str, list[int]],
        batch: pa.RecordBatch,
        texts: pa.Array,
        words: pa.Array,
        reference: pa.Table,
    ) -> Row:
        """Figures that differ, but for those that joining words by nothing explains."""
        names = self.figures(reference)
        explained = {
            column: [
                at
                for at in places
                if _joins(column, batch[column][at], texts[at], words[at], reference[names[column]][at])
            ]
            for column, places in differ.items()
        }
        unlike = sum(map(len, differ.values())) - sum(map(len, explained.values()))
        documents = len(set().union(*explained.values()))
        beside = f"of {len(differ) * len(texts):,}, datatrove's words"
        if documents:
            beside += f"; {sum(map(len, explained.values()))} in {documents} documents by joined n-grams, apart"
        return Row(f"{self.name}: figures that differ", unlike, "", 0, beside)

    def _decisions(self, ours: Sequence[str | None], theirs: Sequence[str | None]) -> list[Row]:
        pairs = [(a is not None, b is not None) for a, b in zip(ours, theirs, strict=True)]
        agree, both, either = (
            sum(a == b for a, b in pairs),
            sum(a and b for a, b in pairs),
            sum(a or b for a, b in pairs),
        )
        return [
            Row(f"{self.name}, punctuated: decisions that agree", 100 * agree / len(pairs), "%", AGREE_AT_LEAST,
                f"{len(pairs) - agree} of {len(pairs):,} do not", at_least=True),
            Row(f"{self.name}, punctuated: dropped by both, of either", 100 * both / max(1, either), "%",
                OVERLAP_AT_LEAST, f"{both:,} of {either:,}", at_least=True),
        ]  # fmt: skip

    def _wordless(self, batch: pa.RecordBatch, ours: Sequence[str | None], reference: pa.Table) -> Row:
        """What counts no words: figures, and reasons of the rules before the first that counts words."""
        figures = self.figures(reference)
        names = {rule.column for rule in self.rules if not rule.counts_words} | {"text"}
        columns = {column: name for column, name in figures.items() if column in names}
        count = sum(len(_differ(batch[column], reference[name])) for column, name in columns.items())
        leading = {rule.name for rule in itertools.takewhile(lambda rule: not rule.counts_words, self.rules)}
        reasons = ([reason if reason in leading else None for reason in found] for found in
                   (ours, reference[self.decision].to_pylist()))  # fmt: skip
        count += _unequal(*reasons)
        beside = f"{len(columns)} columns" + (", and the decisions on them" if leading else "")
        return Row(f"{self.name}: differences where no words count", count, "", 0, beside)


def _unequal(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    return sum(a != b for a, b in zip(ours, theirs, strict=True))


def _differ(ours: pa.Array, theirs: pa.ChunkedArray) -> list[int]:
    """The rows where two columns are unequal. datatrove strips the lines of a text."""
    pairs = zip(ours.to_pylist(), theirs.to_pylist(), strict=True)
    if pa.types.is_large_string(ours.type):
        pairs = ((_stripped(a), _stripped(b)) for a, b in pairs)
    return [at for at, (a, b) in enumerate(pairs) if a != b]


def _stripped(text: str) -> list[str]:
    return list(map(str.strip, text.splitlines()))


def _joins(column: str, ours: pa.Scalar, text: pa.Scalar, words: pa.Scalar, theirs: pa.Scalar) -> bool:
    """Whether a figure differs because datatrove takes "ab" "c" and "a" "bc" for one n-gram.

    The share of repeated n-grams is counted here by both equalities, which must give ours and datatrove's exactly.
    """
    if not column.startswith("duplicate_") or not column.endswith("_gram_character_ratio"):
        return False
    n, size = int(column.split("_")[1]), len(text.as_py())
    by_words, joined = (_repeated(words.as_py(), n, equal) / size for equal in (tuple, "".join))
    return (by_words, joined) == (ours.as_py(), theirs.as_py())


def _repeated(words: Sequence[str], n: int, equal: Callable[[Sequence[str]], Any]) -> int:
    """Characters of repeated n-grams, none of them twice, where `equal` makes of an n-gram what is compared."""
    known, characters, at = set(), 0, 0
    while at + n <= len(words):
        gram = equal(words[at : at + n])
        is_known = gram in known
        known.add(gram)
        characters += sum(map(len, words[at : at + n])) if is_known else 0
        at += n if is_known else 1
    return characters


QUALITY = (
    Rule("word_count", "below", 50, "gopher_short_doc", True),
    Rule("word_count", "above", 100_000, "gopher_long_doc", True),
    Rule("mean_word_length", "below", 3, "gopher_below_avg_threshold", True),
    Rule("mean_word_length", "above", 10, "gopher_above_avg_threshold", True),
    Rule("hash_word_ratio", "above", 0.1, "gopher_too_many_hashes", True),
    Rule("ellipsis_word_ratio", "above", 0.1, "gopher_too_many_ellipsis", True),
    Rule("bullet_line_ratio", "above", 0.9, "gopher_too_many_bullets"),
    Rule("ellipsis_line_ratio", "above", 0.3, "gopher_too_many_end_ellipsis"),
    Rule("alphabetic_word_ratio", "below", 0.8, "gopher_below_alpha_threshold", True),
    Rule("stop_word_count", "below", 2, "gopher_enough_stop_words", True),
)
REPETITION = (
    Rule("duplicate_paragraph_ratio", "above", 0.3, "dup_para_frac"),
    Rule("duplicate_paragraph_character_ratio", "above", 0.2, "dup_para_char_frac"),
    Rule("duplicate_line_ratio", "above", 0.3, "dup_line_frac"),
    Rule("duplicate_line_character_ratio", "above", 0.2, "dup_line_char_frac"),
    *(
        Rule(f"top_{n}_gram_character_ratio", "above", bound, f"top_{n}_gram", True)
        for n, bound in ((2, 0.2), (3, 0.18), (4, 0.16))
    ),
    *(
        Rule(f"duplicate_{n}_gram_character_ratio", "above", round(0.2 - n / 100, 2), f"duplicated_{n}_n_grams", True)
        for n in range(5, 11)
    ),
)
C4 = (
    Rule("lorem_ipsum_count", "above", 0, "lorem_ipsum"),
    Rule("curly_bracket_count", "above", 0, "curly_bracket"),
    Rule("c4_sentence_count", "below", 5, "too_few_sentences", True),
)
PARAGRAPHS = (Rule("long_line_count", "below", 3, "< 3 paragraphs"),)
FINEWEB = (
    Rule("line_punctuation_ratio", "below", 0.12, "line_punct_ratio"),
    Rule("short_line_ratio", "above", 0.67, "short_line_ratio"),
    Rule("duplicate_line_character_share", "above", 0.01, "char_dup_ratio"),
    Rule("newline_word_ratio", "above", 0.3, "list_ratio", True),
)

FAMILIES = (
    Family("gopher.quality", "quality", gopher.quality, QUALITY),
    Family("gopher.repetition", "repetition", gopher.repetition, REPETITION),
    Family("c4", "c4", c4.c4, C4, {}),
    Family("c4 as in FineWeb", "c4_of_fineweb", c4.c4, C4, {"terminal_marks": ""}),
    Family("c4, long lines", "c4_paragraph", c4.c4, PARAGRAPHS),
    Family("fineweb", "fineweb", fineweb.fineweb, FINEWEB),
)


def rows(folder: Path) -> list[Row]:
    """What differs, and how much of the decisions agrees; only on the real corpora."""
    if not corpus.is_real():
        return []
    tables = [pq.read_table(path, columns=["text"]) for path in corpus.english(folder, 2)]
    return compare(pa.concat_tables(tables)["text"], folder)


def compare(texts: pa.ChunkedArray, folder: Path) -> list[Row]:
    """The rows of all families on some texts, none of them null."""
    source, target = folder / "texts.parquet", folder / "datatrove.parquet"
    pq.write_table(pa.table({"text": texts}), source)
    beside.run("datatrove", "DATATROVE_PYTHON", source, target)
    reference = pq.read_table(target)
    column = texts.cast(pa.large_string()).combine_chunks()
    return [row for family in FAMILIES for row in family.compare(column, reference)]
