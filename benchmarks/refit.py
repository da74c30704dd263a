"""Bounds that FineWeb-2 has for jieba's words, fitted anew to our units: the same share of documents is to go.

Judged on the Chinese documents of ../shared/data that the rules of web_zh before these keep, since else the short ones
would decide. A bound lies halfway between the last document that goes and the first that stays, to three digits. It
takes jieba some ten minutes of CPU.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import igzip

from benchmarks import beside, corpus
from benchmarks.table import Row
from dedup import clean, drop
from dedup.measure import chinese, fineweb, gopher, language

RECIPE = Path(__file__).parents[1] / "configs" / "web_zh.toml"
UNITS = ("punctuated", "tokens")
STOP_WORDS = tuple("的年在月是和日了於·為有被人中为他與後也而由")  # FineWeb-2's for cmn_Hani
FINEWEB2 = fineweb.FINEWEB2["cmn_Hani"]
RULES = {column: bounds for column, bounds in FINEWEB2.items() if "_gram_" in column or "word" in column} | {
    "hash_word_ratio": {"above": 0.1},
    "ellipsis_word_ratio": {"above": 0.1},
    "word_count": {"below": 50, "above": 100_000},
    "stop_word_count": {"below": 2},
}


def rows(folder: Path) -> list[Row]:
    """The share of documents that each fitted bound drops; only on the real corpora."""
    if not corpus.is_real():
        return []
    batch = _judged(pa.record_batch({"text": pa.array(_texts(), pa.large_string())}))
    source, target = folder / "texts.parquet", folder / "words.parquet"
    pq.write_table(pa.table({"text": batch["text"]}), source)
    beside.run("jieba", "JIEBA_PYTHON", source, target)
    batch = batch.append_column("jieba", pq.read_table(target)["words"].combine_chunks())
    published = _measured(batch, "jieba")
    letters = "alphabetic_word_ratio"
    han = batch["han_ratio"].to_numpy(zero_copy_only=False)
    found = [_row(letters, "below", FINEWEB2[letters]["below"], published[letters], "by han_ratio", han)]
    return found + [
        _row(column, bound, value, published[column], unit, ours[column])
        for unit in UNITS
        for ours in [_measured(batch, unit)]
        for column, bounds in RULES.items()
        for bound, value in bounds.items()
    ]


def _texts() -> list[str]:
    texts: list[str] = []
    for path in sorted(corpus.SHARED.glob("zh/zh_docs-*")):
        if path.suffix == ".parquet":
            texts += pq.read_table(path, columns=["text"])["text"].to_pylist()
        else:
            with igzip.open(path) as lines:
                texts += [orjson.loads(line)["text"] for line in lines]
    return texts


def _judged(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The documents that the first two steps of drop.when in web_zh keep: the language, and the rules for Chinese."""
    batch = chinese.chinese(language.identify(clean.fix_text(batch)))
    steps = [step for step in tomllib.loads(RECIPE.read_text())["step"] if step.pop("use", None) == "drop.when"]
    for rules in steps[:2]:
        batch = drop.when(batch, **rules)
    return batch.filter(pc.is_null(batch[drop.REASON])).select(["text", "han_ratio"])


def _measured(batch: pa.RecordBatch, words: str) -> dict[str, npt.NDArray[np.float64]]:
    """The columns of RULES, not-a-number for null."""
    stages: list[Callable[..., pa.RecordBatch]] = [gopher.repetition, fineweb.fineweb]
    for stage in stages:
        batch = stage(batch, words=words)
    batch = gopher.quality(batch, words=words, stop_words=STOP_WORDS)
    return {column: batch[column].cast(pa.float64()).to_numpy(zero_copy_only=False) for column in RULES}


def _row(
    column: str,
    bound: str,
    value: float,
    published: npt.NDArray[np.float64],
    unit: str,
    ours: npt.NDArray[np.float64],
) -> Row:
    gone = _gone(published, bound, value)
    what = f"{column}, {unit}"
    fitted = fit(ours, bound, int(gone.sum()))
    sign = {"below": "<", "above": ">"}[bound]
    if fitted is None:
        return Row(what, 0, "% dropped", beside=f"{sign} {value:g} of jieba's words drops none")
    going = _gone(ours, bound, fitted)
    both = 100 * (gone & going).sum() / (gone | going).sum()
    beside_it = f"{sign} {fitted:g}; {sign} {value:g} of jieba's words drops {100 * gone.mean():.2f} %"
    return Row(what, 100 * float(going.mean()), "% dropped", beside=f"{beside_it}; by both {both:.0f} % of by either")


def fit(values: npt.NDArray[np.float64], bound: str, count: int) -> float | None:
    """The bound to three digits beyond which `count` values lie, not-a-number being none; None for no value."""
    if count == 0:
        return None
    known = np.sort(values[~np.isnan(values)])
    if bound == "above":
        known = known[::-1]
    return float(f"{(known[count - 1] + known[min(count, len(known) - 1)]) / 2:.3g}")


def _gone(values: npt.NDArray[np.float64], bound: str, value: float) -> npt.NDArray[np.bool_]:
    return values < value if bound == "below" else values > value
