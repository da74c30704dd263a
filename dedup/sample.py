"""A small corpus to try the pipeline on: English and Chinese, five shards, every duplicate known.

It is written by this module from its own sentences, so that it needs no download and no licence, and
so that what a run must find is known from how the documents were made instead of from a run. Each id
says what its document is ("exact-copy-3-of-en-12"). The same bytes come out on every call.
"""

from __future__ import annotations

import datetime
import gzip
import json
import os
import random
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

SEED = 20_240_501
_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")
_BETWEEN_HAN = re.compile(r"(?<=[\u4e00-\u9fff])(?=[\u4e00-\u9fff])")
_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


class Answers(TypedDict):
    """What a run with clean.fix_text, dedup = "exact" and dedup = "near" (0.8, keep = "first") must find."""

    documents: int
    rejected: int
    null_text: int
    shards: dict[str, int]  # documents of each shard, in the order in which a run reads them
    exact: dict[str, str]  # id -> the id kept in its place, for documents of equal text
    near: dict[str, str]  # the same for documents of similar text
    junk: list[str]  # ids that the drop rules of configs/quickstart.toml must remove


@dataclass
class _Document:
    id: str
    text: str | None
    source: str
    published: str
    quality: float | None
    place: float  # documents of a shard are written in this order


@dataclass
class _Corpus:
    """The documents so far and what is known about them."""

    rng: random.Random
    shards: dict[str, list[_Document]] = field(default_factory=lambda: {name: [] for name in SHARDS})
    places: dict[str, float] = field(default_factory=dict)
    exact: dict[str, str] = field(default_factory=dict)
    near: dict[str, str] = field(default_factory=dict)
    junk: list[str] = field(default_factory=list)

    def add(self, shard: str, name: str, text: str | None, after: str | None = None) -> str:
        """Add one document at a random place of the shard, behind another one if that is named."""
        rng = self.rng
        place = rng.uniform(self.places[after] if after else 0.0, 1.0)
        day = datetime.date(2019, 1, 1) + datetime.timedelta(days=rng.randrange(2_000))
        quality = None if rng.random() < 0.05 else round(rng.random(), 3)
        document = _Document(name, text, rng.choice(SOURCES), day.isoformat(), quality, place)
        self.shards[shard].append(document)
        self.places[name] = place
        return name


def write(folder: str | os.PathLike[str]) -> Answers:
    """Write the five shards into the folder, replacing files of the same names, and return what they hold."""
    corpus = _Corpus(random.Random(SEED))
    originals = _originals(corpus)
    _exact_copies(corpus, originals)
    _edited_copies(corpus, originals)
    _rewritten(corpus, originals)
    _variants(corpus)
    _mojibake(corpus)
    _chains(corpus)
    _families(corpus)
    _short(corpus)
    _junk(corpus)

    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    for name, documents in corpus.shards.items():
        documents.sort(key=lambda document: document.place)
        _write_shard(root / name, documents)
    shards = {name: len(documents) for name, documents in corpus.shards.items()}
    return Answers(
        documents=sum(shards.values()),
        rejected=1,
        null_text=1,
        shards=shards,
        exact=corpus.exact,
        near=corpus.near,
        junk=corpus.junk,
    )


# What the corpus is made of: each of these adds documents and says what they are duplicates of.


def _originals(corpus: _Corpus) -> dict[str, list[str]]:
    """Documents that have nothing to do with each other, as lists of sentences."""
    made: dict[str, list[str]] = {}
    for language, shard, numbers in [
        ("en", EN_0, range(80)),
        ("en", EN_1, range(80, 130)),
        ("mixed", MIXED_0, range(40)),
        ("zh", ZH_0, range(80)),
        ("zh", ZH_1, range(80, 110)),
    ]:
        for number in numbers:
            sentences = _prose(corpus.rng, language, at_least=170 if language == "en" else 240)
            made[corpus.add(shard, f"{language}-{number}", _text(sentences))] = sentences
    return made


def _exact_copies(corpus: _Corpus, originals: dict[str, list[str]]) -> None:
    copies = [
        *[(EN_1, f"en-{n}") for n in (3, 12, 12, 40)],
        *[(MIXED_0, f"en-{n}") for n in (12, 25, 90)],
        *[(ZH_1, f"zh-{n}") for n in (1, 9, 9, 33)],
        *[(ZH_1, "en-61"), (ZH_0, "mixed-4"), (EN_0, "en-7"), (ZH_1, "zh-85")],
    ]
    for number, (shard, original) in enumerate(copies, start=1):
        name = f"exact-copy-{number}-of-{original}"
        corpus.add(shard, name, _text(originals[original]), after=original)
        corpus.exact[name] = original


def _edited_copies(corpus: _Corpus, originals: dict[str, list[str]]) -> None:
    """One small edit each; two edited copies come twice, so that a whole group falls with its first member."""
    copies = [
        *[(EN_1, f"en-{n}", n) for n in (14, 15, 16, 17, 18)],
        *[(MIXED_0, f"en-{n}", n) for n in (20, 21, 92, 93, 94)],
        *[(ZH_1, f"zh-{n}", n) for n in (10, 11, 12, 13, 14)],
        *[(ZH_0, f"mixed-{n}", n) for n in (10, 11, 12)],
        *[(EN_0, "en-30", 1), (EN_0, "en-31", 3), (ZH_1, "zh-90", 2), (ZH_1, "en-15", 0)],
    ]
    for number, (shard, original, edit) in enumerate(copies, start=1):
        name = f"edited-copy-{number}-of-{original}"
        corpus.add(shard, name, _edited(originals[original], edit), after=original)
        corpus.near[name] = original
    for original, shards in (("en-50", (EN_1, MIXED_0)), ("zh-50", (ZH_1, ZH_1))):
        text = _edited(originals[original], 2)
        for shard, name in zip(shards, (f"edited-twin-{i}-of-{original}" for i in (1, 2)), strict=True):
            corpus.add(shard, name, text, after=original)
            corpus.near[name] = original


def _rewritten(corpus: _Corpus, originals: dict[str, list[str]]) -> None:
    """Documents that keep half of another one: similar to the eye, and nobody's duplicate."""
    for shard, original in [(EN_1, "en-60"), (EN_1, "en-63"), (MIXED_0, "en-62"), (ZH_1, "zh-60"), (ZH_1, "zh-61")]:
        sentences = originals[original]
        kept = sentences[: len(sentences) // 2]
        added = _prose(corpus.rng, original.split("-")[0], at_least=_size(" ".join(sentences)) // 2)
        corpus.add(shard, f"half-rewritten-{original}-stays", _text(kept + added), after=original)


def _variants(corpus: _Corpus) -> None:
    """Texts that differ as bytes and not for the comparison: width, spaces between Han, case, commas."""
    for number in range(5):
        sentences = [*_prose(corpus.rng, "zh", at_least=200), f"详情请发邮件至 info{number}@example.org 或致电 0571-880{number}。"]
        original = corpus.add(ZH_0, f"zh-width-{number}", _text(sentences))
        name = corpus.add(ZH_1, f"full-width-copy-of-{original}", _text(sentences).translate(_FULL_WIDTH))
        corpus.near[name] = original
    for number in range(5):
        text = _text(_prose(corpus.rng, "zh", at_least=200))
        original = corpus.add(ZH_0, f"zh-spaced-{number}", text)
        name = corpus.add(ZH_1, f"spaced-copy-of-{original}", _BETWEEN_HAN.sub(" ", text))
        corpus.near[name] = original
    for number in range(3):
        text = _text(_prose(corpus.rng, "en", at_least=150))
        original = corpus.add(EN_0, f"en-case-{number}", text)
        name = corpus.add(EN_1, f"upper-case-copy-of-{original}", text.upper().replace(",", " --"))
        corpus.near[name] = original


def _mojibake(corpus: _Corpus) -> None:
    """UTF-8 read with the wrong code page; repaired it equals another document, which may come later."""
    for number in range(4):
        text = _text([*_prose(corpus.rng, "en", at_least=150), *corpus.rng.sample(ACCENTED, 2)])
        garbled = text.encode().decode("cp1252")
        if number == 3:
            garbled = garbled.encode().decode("cp1252")  # a second time, as an old import did it
        original = corpus.add(EN_0, f"en-accents-{number}", text)
        name = corpus.add(MIXED_0, f"mojibake-cp1252-of-{original}", garbled)
        corpus.exact[name] = original
    for number in range(3):
        text = _text(_prose(corpus.rng, "zh", at_least=200))
        original = corpus.add(ZH_0, f"zh-garbled-{number}", text)
        name = corpus.add(ZH_1, f"mojibake-latin-1-of-{original}", text.encode().decode("latin-1"))
        corpus.exact[name] = original
    text = _text([*_prose(corpus.rng, "en", at_least=150), ACCENTED[0]])
    first = corpus.add(EN_0, "mojibake-comes-first", text.encode().decode("cp1252"))
    name = corpus.add(EN_1, "clean-copy-of-mojibake-comes-first", text)
    corpus.exact[name] = first


def _chains(corpus: _Corpus) -> None:
    """A inside B inside C: A~B and B~C are at 0.84, A and C at 0.71."""
    chains = [
        ("en", "chain-1", {"a": EN_0, "b": EN_1, "c": MIXED_0}, {"b": "a"}),
        ("zh", "chain-2", {"a": ZH_0, "b": ZH_0, "c": ZH_1}, {"b": "a"}),
        ("en", "chain-3-middle-first", {"b": EN_0, "a": EN_1, "c": MIXED_0}, {"a": "b", "c": "b"}),
        ("en", "chain-4-middle-last", {"a": EN_0, "c": EN_1, "b": MIXED_0}, {"b": "c"}),
    ]
    for language, name, shards, duplicate_of in chains:
        rng = corpus.rng
        a = _prose(rng, language, at_least=240, at_most=242)
        b = a + _prose(rng, language, at_least=44, at_most=46)
        # Where B comes last it has two kept twins; a shorter C makes it clear which is the closer one.
        c = b + (_prose(rng, language, 30, 33) if "last" in name else _prose(rng, language, 52, 54))
        texts = {"a": _text(a), "b": _text(b), "c": _text(c)}
        before: dict[str, str] = {}
        for letter, shard in shards.items():
            before[shard] = corpus.add(shard, f"{name}-{letter}", texts[letter], after=before.get(shard))
        for letter, kept in duplicate_of.items():
            corpus.near[f"{name}-{letter}"] = f"{name}-{kept}"


def _families(corpus: _Corpus) -> None:
    """Two templates: notices, which share three quarters of their words and all stay, and reminders."""
    for number in range(30):
        shard = (EN_0, EN_1, MIXED_0)[number % 3]
        news = _prose(corpus.rng, "en", at_least=40, at_most=44)
        corpus.add(shard, f"notice-{number:02}-stays", " ".join([NOTICE_HEAD, *news, NOTICE_FOOT]))
    for number in range(12):
        person, month = corpus.rng.choice(EN["person"]), corpus.rng.choice(EN["month"])
        text = REMINDER.format(person=person, card=10_417 + 389 * number, month=month)
        name = corpus.add((EN_0, EN_1, MIXED_0, ZH_0)[(number + 2) // 4], f"reminder-{number:02}", text)
        if number >= 2:
            corpus.near[name] = "reminder-00"
        elif number == 1:
            corpus.places[name] = corpus.shards[EN_0][-1].place = corpus.rng.uniform(corpus.places["reminder-00"], 1)
            corpus.near[name] = "reminder-00"


def _short(corpus: _Corpus) -> None:
    """Fewer than five tokens: equal ones are exact duplicates, all others stay. Five tokens: one shingle."""
    for number, text in enumerate(["See you tomorrow", "see you tomorrow!", "Sold out again", "谢谢大家", "谢谢大家！"]):
        original = corpus.add(EN_0, f"short-{number}", text)
        if number in (0, 2, 3):
            for copy, shard in enumerate((MIXED_0, ZH_1), start=1):
                name = corpus.add(shard, f"short-copy-{copy}-of-{original}", text)
                corpus.exact[name] = original
    for number in range(1501, 1511):
        corpus.add(EN_1, f"road-{number}-stays", f"Farm to Market Road {number}")
    corpus.add(EN_0, "null-text", None)


def _junk(corpus: _Corpus) -> None:
    junk = {
        "empty": ["", "   "],
        "few-words": ["Menu", "Log in", "[...]", "* * *", "下一页" [:2]],
        "hashes": [_words(corpus.rng, 14, "# ", every=3), _words(corpus.rng, 30, "## ", every=4)],
        "ellipses": [_words(corpus.rng, 40, "... ", every=2), _words(corpus.rng, 24, "… ", every=1)],
        "cut-lines": ["\n".join(_words(corpus.rng, 6, "", every=9) + " ..." for _ in range(8)) for _ in range(2)],
        "bullets": ["\n".join("• " + _words(corpus.rng, 2, "", every=9) for _ in range(12)) for _ in range(2)],
        "numbers": [" ".join(str(corpus.rng.randrange(10_000)) for _ in range(60)) for _ in range(2)],
        "symbols": ["=-" * 120 + "\n" + "|+|" * 80 + "\n" + "~" * 200],
    }
    shards = (EN_0, EN_1, MIXED_0, ZH_0, ZH_1)
    for kind, texts in junk.items():
        for number, text in enumerate(texts):
            corpus.junk.append(corpus.add(shards[len(corpus.junk) % 5], f"junk-{kind}-{number}", text))
