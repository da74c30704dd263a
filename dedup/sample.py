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
EN_0, EN_1, MIXED_0, ZH_0, ZH_1 = SHARDS = (
    "en-0.jsonl",
    "en-1.jsonl.gz",
    "mixed-0.parquet",
    "zh-0.parquet",
    "zh-1.jsonl.zst",
)  # sorted, as a run reads them
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
        """Add one document at a random place of the shard, behind another one that stands in it."""
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
    """One small edit each; two come twice, so that a group falls with its first member."""
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
    for shard, original in [
        (EN_1, "en-60"),
        (EN_1, "en-63"),
        (MIXED_0, "en-62"),
        (ZH_1, "zh-60"),
        (ZH_1, "zh-61"),
    ]:
        sentences = originals[original]
        kept = sentences[: len(sentences) // 2]
        added = _prose(corpus.rng, original.split("-")[0], at_least=_size(" ".join(sentences)) // 2)
        corpus.add(shard, f"half-rewritten-{original}-stays", _text(kept + added), after=original)


def _variants(corpus: _Corpus) -> None:
    """Texts that differ as bytes and not for the comparison: width, spaces between Han, case, commas."""
    for number in range(5):
        sentences = [
            *_prose(corpus.rng, "zh", at_least=200),
            f"详情请发邮件至 info{number}@example.org 或致电 0571-880{number}。",
        ]
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
        person, month = corpus.rng.choice(WORDS["person"]), corpus.rng.choice(WORDS["month"])
        text = REMINDER.format(person=person, card=10_417 + 389 * number, month=month)
        shard = (EN_0, EN_1, MIXED_0, ZH_0)[(number + 2) // 4]
        name = corpus.add(shard, f"reminder-{number:02}", text, after="reminder-00" if number else None)
        if number:
            corpus.near[name] = "reminder-00"


def _short(corpus: _Corpus) -> None:
    """Fewer than five tokens: equal ones are exact duplicates, all others stay. Five tokens: one shingle."""
    for number, text in enumerate(
        ["See you tomorrow", "see you tomorrow!", "Sold out again", "谢谢大家", "谢谢大家！"]
    ):
        original = corpus.add(EN_0, f"short-{number}", text)
        if number in (0, 2, 3):
            for copy, shard in enumerate((MIXED_0, ZH_1), start=1):
                name = corpus.add(shard, f"short-copy-{copy}-of-{original}", text)
                corpus.exact[name] = original
    for number in range(1501, 1511):
        corpus.add(EN_1, f"road-{number}-stays", f"Farm to Market Road {number}")
    corpus.add(EN_0, "null-text", None)


def _junk(corpus: _Corpus) -> None:
    """Something for every rule of configs/quickstart.toml."""
    junk = {
        "empty": ["", "   "],
        "few-words": ["Menu", "Log in", "[...]", "* * *", "关闭"],
        "hashes": [_words(corpus.rng, 14, "# ", every=3), _words(corpus.rng, 30, "## ", every=4)],
        "ellipses": [_words(corpus.rng, 40, "... ", every=2), _words(corpus.rng, 24, "… ", every=1)],
        "cut-lines": ["\n".join(_words(corpus.rng, 14) + " ..." for _ in range(8)) for _ in range(2)],
        "bullets": ["\n".join("• " + _words(corpus.rng, 2) for _ in range(12)) for _ in range(2)],
        "numbers": [" ".join(str(corpus.rng.randrange(10_000)) for _ in range(60)) for _ in range(2)],
        "symbols": ["=-" * 120 + "\n" + "|+|" * 80 + "\n" + "~" * 200],
    }
    shards = (EN_0, EN_1, MIXED_0, ZH_0, ZH_1)
    for kind, texts in junk.items():
        for number, text in enumerate(texts):
            corpus.junk.append(corpus.add(shards[len(corpus.junk) % 5], f"junk-{kind}-{number}", text))


# Sentences and texts.


def _prose(rng: random.Random, language: str, at_least: int, at_most: int | None = None) -> list[str]:
    """Sentences of so many tokens; a template comes again only after all others."""
    while True:
        sentences: list[str] = []
        size = 0
        templates: list[str] = []
        while size < at_least:
            if not templates:
                templates = rng.sample(TEMPLATES[language], len(TEMPLATES[language]))
            sentences.append(_filled(rng, templates.pop()))
            size += _size(sentences[-1])
        if at_most is None or size <= at_most:
            return sentences


def _filled(rng: random.Random, template: str) -> str:
    sentence = re.sub(r"\{(\w+)\}", lambda slot: rng.choice(WORDS[slot[1]]), template)
    return sentence[0].upper() + sentence[1:]


def _text(sentences: list[str]) -> str:
    """Paragraphs of three sentences; a space follows a sentence of Latin script only."""
    spaced = [sentence + " " if sentence.endswith(".") else sentence for sentence in sentences]
    paragraphs = ("".join(spaced[i : i + 3]).rstrip(" ") for i in range(0, len(spaced), 3))
    return "\n\n".join(paragraphs)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _size(text: str) -> int:
    """Tokens of a text of this corpus: words, and Han characters one by one."""
    return len(_TOKEN.findall(text))


def _edited(sentences: list[str], edit: int) -> str:
    """The text after one of five small edits: a line more, a word changed, a sentence less."""
    middle = len(sentences) // 2
    before, sentence, after = sentences[:middle], sentences[middle], sentences[middle + 1 :]
    is_han = sentence.endswith("。")
    match edit % 5:
        case 0:
            return _text(sentences) + ("（责任编辑：小林）" if is_han else " Shared 1,204 times.")
        case 1:
            return _text(["转载自本地论坛。" if is_han else "Reposted from the reading room.", *sentences])
        case 2:
            words = list(sentence) if is_han else sentence.split(" ")
            words[2] = "另" if is_han else "another"
            return _text([*before, ("" if is_han else " ").join(words), *after])
        case 3:
            return _text(sentences[:-1])
        case _:
            return _text([*before, sentence, "下文另表。" if is_han else "More on this next week.", *after])


def _words(rng: random.Random, count: int, mark: str = "", every: int = 1) -> str:
    """So many words without a sentence, each n-th with a mark before it."""
    words = [rng.choice(WORDS[rng.choice(("thing", "craft", "animal", "food"))]).split()[-1] for _ in range(count)]
    return " ".join(mark + word if i % every == 0 else word for i, word in enumerate(words))


# Files.


def _write_shard(path: Path, documents: list[_Document]) -> None:
    if path.suffix == ".parquet":
        _write_parquet(path, documents)
        return
    content = _json_lines(path.name, documents)
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)
    elif path.suffix == ".zst":
        import zstandard

        content = zstandard.ZstdCompressor(level=3).compress(content)
    path.write_bytes(content)


def _json_lines(shard: str, documents: list[_Document]) -> bytes:
    """One line a document, written in seven ways that are all JSON, and the oddities of real files."""
    lines = [_json_line(number, document) + "\n" for number, document in enumerate(documents)]
    if shard == EN_0:
        lines[10] = lines[10].replace("\n", "\r\n")
        lines.insert(20, "\n")
    if shard == EN_1:
        lines.insert(30, '{"id": "bad-line", "text": "This line was cut off while it was being writ\n')
        lines[-1] = lines[-1].rstrip("\n")
    return "".join(lines).encode()


def _json_line(number: int, document: _Document) -> str:
    row: dict[str, Any] = {
        "id": document.id,
        "text": document.text,
        "source": document.source,
        "published": document.published,
        "quality": document.quality,
    }
    match number % 7:
        case 0:
            return json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        case 1:
            return json.dumps(row)  # everything beyond ASCII as \\u escapes
        case 2:
            backwards = dict(reversed(row.items()))
            return "  " + json.dumps(backwards, ensure_ascii=False, separators=(" , ", " : ")) + "\t "
        case 3:
            extra = {"views": 123_456_789_012_345_678_901_234_567_890, "meta": {"text": "not this one"}}
            return json.dumps(row | extra, ensure_ascii=False)
        case 4:
            return json.dumps(row, ensure_ascii=False).replace("/", "\\/").replace("}", ', "weight": 1.50E+2}')
        case 5:
            return json.dumps(row, ensure_ascii=False, separators=(",\t", ":\t"))
        case _:  # a key that comes twice: the last one counts
            return '{"text": "an earlier draft", ' + json.dumps(row, ensure_ascii=False)[1:]


def _write_parquet(path: Path, documents: list[_Document]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {
        "id": pa.array([document.id for document in documents], pa.string()),
        "text": pa.array([document.text for document in documents], pa.string()),
        "source": pa.array([document.source for document in documents], pa.string()),
        "published": pa.array([document.published for document in documents], pa.string()),
        "quality": pa.array([document.quality for document in documents], pa.float64()),
    }
    if path.name == ZH_0:
        days = [datetime.datetime.fromisoformat(document.published) for document in documents]
        numbers = range(len(documents))
        columns["views"] = pa.array([i * i * 7 if i % 9 else None for i in numbers], pa.int64())
        columns["tags"] = pa.array([["本地", "生活", "旧闻"][: i % 4] for i in numbers], pa.list_(pa.string()))
        columns["crawled"] = pa.array(days, pa.timestamp("us", tz="UTC"))
    codec = "zstd" if path.name == ZH_0 else "snappy"
    pq.write_table(pa.table(columns), path, compression=codec, row_group_size=40)


# The words. Every one is ours.

SOURCES = ("gazette/north", "gazette/south", "forum", "newsletter", "archive")

NOTICE_HEAD = _one_line("""
Notice to the members of the allotment society. The gates are open from six in the morning until dusk, and
whoever leaves last turns the key twice and hangs it on the nail behind the water butt. Hoses are shared;
please roll them up after use.
""")
NOTICE_FOOT = _one_line("""
As always, the annual fee is due before the first of March and can be left in the tin box at the shed.
Plots that lie fallow for a whole summer go to the next name on the list. Bonfires are allowed on two
Saturdays a year, which the committee announces on the board. Dogs stay on the lead, children are welcome
everywhere, and questions are answered by the secretary on Wednesday evenings between seven and eight.
""")
REMINDER = _one_line("""
Dear {person}, this is a reminder that the books on library card {card} were due back at the end of
{month}. You can return them at the desk, through the slot beside the main door, or to the van that stops
at the market square every second Thursday. If you still need them, tell us and we will extend the loan by
three weeks, provided that nobody else is waiting. There is no fine for the first month; afterwards we ask
for a small amount which goes entirely into new books for the reading corner. Should you have returned
everything in the meantime, please forgive this letter: it is printed by a machine that is older than most
of our readers and takes its own time. We would also like to hear which titles you missed on our shelves,
because the budget for the coming season is being drawn up now and every suggestion is read aloud at the
meeting. With kind regards, the ladies and gentlemen of the lending desk.
""")
ACCENTED = [
    "The café’s owner — a man from Orléans — calls it ‘the last crème brûlée before the border’.",
    "Señora Núñez’s bakery in Zürich sells éclairs – and nothing else – until the début of the jazz café.",
    "Her fiancé’s résumé mentions Malmö, Köln and a naïve exposé about the city’s oldest brasserie café.",
]

_WORDS = """
person: Agnes | Bruno | Clara | Dimitri | Esther | Farid | Greta | Hamish | Ingrid | Jonas | Keiko |
   Lorenz | Mabel | Nadim | Olive | Piotr | Quentin | Rosa | Sven | Tamara | Ulrich | Vera | Wanda | Yusuf
place: the old mill | the upper lock | the ferry landing | the corn exchange | the north quay | the quarry |
   the signal box | the walled garden | the tram depot | the lower meadow | the post office |
   the chapel yard | the weir | the observatory hill | the fish market | the long bridge
thing: clock | ladder | lantern | ledger | barometer | violin | telescope | kettle | wheelbarrow | compass |
   map | bicycle | loom | anvil | typewriter | accordion | sundial | rowing boat | stove | globe
animal: heron | otter | hedgehog | swift | badger | owl | carp | goat | magpie | bat | mule | toad
food: rye bread | plum jam | barley soup | smoked trout | goat cheese | apple cake | pickled beans |
   pear cider | honey | chestnut flour | mint tea | onion tart
craft: bookbinding | glazing | thatching | pottery | weaving | beekeeping | joinery | engraving | basketry |
   dyeing | printing | clockmaking | coopering | roofing
month: January | February | March | April | May | June | July | August | September | October | November |
   December
weather: a late frost | three days of fog | the first thaw | a dry east wind | steady drizzle |
   an early snowfall | a week of thunder | the long drought | low sun | hail
feeling: relief | suspicion | delight | boredom | pride | alarm | patience | regret | curiosity | envy
quality: stubborn | cheerful | narrow | crooked | generous | silent | forgotten | sturdy | fragile |
   spotless | draughty | splendid | modest | rusty | borrowed | painted
number: two | three | four | five | six | seven | eight | nine | eleven | twelve | fifteen | twenty |
   thirty | forty | sixty | ninety
group: the choir | the rowing club | the fire brigade | the school board | the chess circle |
   the harbour office | the survey team | the theatre group | the growers | the night watch | the parish
did: repaired | sold | photographed | measured | painted | borrowed | hid | described | catalogued |
   dismantled | weighed | insured | restored | auctioned
slowly: slowly | without a word | in haste | by candlelight | against all advice | with great care |
   at half price | on a bet | for the third time | almost by accident
人: 李婉 | 王建国 | 赵小梅 | 陈老师 | 周师傅 | 孙博士 | 吴家兄弟 | 郑奶奶 | 何远 | 林晓东 | 马站长 |
   高医生 | 罗编辑 | 徐工 | 唐姐 | 韩同学
地: 老城南门 | 江边码头 | 旧火车站 | 西山脚下 | 图书馆二楼 | 菜市场后街 | 大学操场 | 河堤东段 | 茶园山坡 |
   纺织厂旧址 | 城北水库 | 文化宫广场 | 三号线终点 | 植物园温室
物: 座钟 | 收音机 | 手抄本 | 木船 | 竹椅 | 望远镜 | 缝纫机 | 铜锁 | 地图 | 照相机 | 棋盘 | 风筝 | 石碑 |
   油灯 | 自行车 | 算盘
食: 桂花糕 | 豆腐脑 | 腌笃鲜 | 小笼包 | 葱油面 | 糖炒栗子 | 酸梅汤 | 荷叶饭 | 羊肉汤 | 麻花
时: 清明前后 | 去年腊月 | 入梅那天 | 立秋以后 | 周末傍晚 | 天刚亮时 | 前几年冬天 | 午饭过后 | 开学头一周 |
   除夕夜里
业: 木匠活 | 养蜂 | 修表 | 印刷 | 制茶 | 刺绣 | 造纸 | 烧窑 | 篆刻 | 装裱 | 酿酒 | 编竹
情: 高兴 | 犹豫 | 惊讶 | 感慨 | 不服气 | 放心 | 好奇 | 惭愧 | 着急 | 得意
数: 两 | 三 | 五 | 六 | 八 | 十一 | 十五 | 二十 | 三十多 | 四十 | 七十 | 上百
样: 结实 | 破旧 | 精巧 | 冷清 | 热闹 | 古怪 | 朴素 | 宽敞 | 陡峭 | 安静 | 笨重 | 稀罕
做: 修好 | 卖掉 | 量过 | 画下 | 借走 | 藏起 | 登记 | 拆开 | 擦净 | 搬走 | 讲解 | 拍下
天: 连下三天雨 | 起了大雾 | 刮北风 | 头一场雪 | 闷热无风 | 打了冰雹 | 难得放晴 | 倒春寒 | 台风过境 | 霜降
"""
WORDS: dict[str, list[str]] = {
    name: [word.strip() for word in words.split("|")]
    for name, words in re.findall(r"^(\w+):((?:.|\n )+)", _WORDS, flags=re.MULTILINE)
}

_EN = """
{person} {did} the {quality} {thing} near {place} {slowly}, which {group} noticed only in {month}.
After {weather}, {group} met at {place} and counted {number} {animal} nests under the {quality} roof.
For {number} years a {quality} {thing} stood beside {place}, until {person} {did} it {slowly}.
Nobody at {place} remembers who taught {person} {craft}, but the {quality} {thing} proves that somebody did.
In {month} the price of {food} doubled, and {group} answered with {feeling} and a {quality} poster.
{person} keeps a {animal} in the shed behind {place} and feeds it {food} every evening.
According to the notebook of {person}, {weather} began exactly {number} hours after {group} had left {place}.
There are {number} ways to store {food}; {person} swears by a {quality} cellar and plenty of {feeling}.
The museum of {craft} received a {quality} {thing} from {person}, wrapped in newspaper of last {month}.
When {weather} reached {place}, the {animal} fled and only {person} stayed with the {thing}.
{group} voted by {number} hands to have the {thing} {did} before {month}, much to the {feeling} of {person}.
A course in {craft} starts in {month} at {place}; bring {food}, a {thing} and some {feeling}.
What {person} first took for a {animal} turned out to be a {quality} {thing} under {number} coats of varnish.
Between {place} and {place} lie {number} fields, and in one of them {person} lost a {thing}.
It was {weather} that taught {group} to share the {quality} oven, where {person} now bakes {food}.
{number} letters about the {animal} arrived in {month}, most of them from {person} and full of {feeling}.
Visitors to {place} can watch {craft} on Sundays, provided {weather} has not closed the {quality} road.
The {thing} that {person} {did} in {month} was missing a part no larger than a {animal} tooth.
With {feeling}, {person} read aloud the list: {number} jars of {food}, one {thing}, no {animal}.
{group} rents out the {quality} hall above {place} for {number} coins a night, {food} included.
Old maps put {place} on the wrong bank, a mistake that {person} {did} {slowly} and signed.
Every {month} since the flood, {group} carries a {thing} to {place} and listens for the {animal}.
{craft} needs light, says {person}, and {weather} leaves barely {number} useful hours in {month}.
The {animal} on the coat of arms recalls how {person} {did} the {quality} bell of {place}.
If the {thing} squeaks, rub it with {food}; {person} learned this {slowly} from {group}.
Half of {group} wanted a {quality} fence around {place}, the other half wanted {food} and a {animal}.
Last {month} {person} walked from {place} in {number} minutes, carrying a {quality} {thing} and {food}.
Thanks to {weather}, the harvest was {quality}, and {number} barrels of {food} were sold at {place}.
Once a {thing} has been {did} it never shows {feeling} again, joked {person} over {food}.
{person} and {person} disagree about {craft}: one calls it {quality}, the other a matter of {number} winters.
The roof over {place} leaks where a {animal} nested; {group} hopes to mend it after {weather}.
Schoolchildren drew the {quality} {animal} that lives by {place} and gave {number} drawings to {person}.
A {thing} for sale, {quality} but honest, last {did} by {person}, collection from {place} in {month}.
At dusk {group} tests the {thing} with {number} slow turns, a habit older than {place} itself.
Few trades age as well as {craft}, yet {person} finds {number} apprentices only when {weather} sets in.
The recipe calls for {food}, {number} spoons of patience and, oddly, a {quality} {thing}.
Because {place} belongs to nobody, {person} planted it with {feeling} and {group} mows it {slowly}.
On the {number} steps to {place} somebody {did} a {animal} in chalk before {month}.
A postcard from {person} praises {food}, complains of {weather} and forgets the {thing} entirely.
The inspector found {number} faults at {place}, none worse than the {quality} {thing} of {group}.
"""
_ZH = """
{时}，{人}在{地}把那只{样}的{物}{做}了，旁人都有些{情}。
{地}原先有{数}家做{业}的铺子，如今只剩{人}一家还开着门。
听说{天}，{人}便带着{食}赶到{地}，结果一个人也没遇见。
这件{物}传了{数}代，{人}说它看着{样}，其实比新的好用。
{人}学{业}学了{数}年，{时}才第一次把东西摆到{地}去卖。
要说{食}，还是{地}那家最地道，{时}排队的有{数}个人。
{天}的日子里，{地}显得格外{样}，连{物}的影子也看不见。
展柜里一共摆了{数}件{物}，其中最{样}的一件由{人}捐出。
{人}在日记里写道：{时}路过{地}，买了一份{食}，心里十分{情}。
自从{物}被{人}{做}，{地}的孩子们每天都要去看上{数}回。
老人常讲，{业}这一行靠手也靠心，{天}时最见功夫。
{时}，街道办请{人}讲{业}的来历，听众从{地}一直坐到门外。
那张{样}的照片拍的是{地}，背面用铅笔写着{人}和{数}两个词。
谁也没料到，{人}会拿{数}碗{食}去换一个{样}的{物}。
修路的时候，工人在{地}挖出{物}，{人}看了很久，说不出是{情}还是难过。
{业}合作社今年招了{数}名学徒，{人}负责教他们辨认{样}的材料。
因为{天}，原定{时}的比赛改在{地}举行，奖品换成了{食}。
{人}把家里的{物}搬到{地}，谁要用就登记一下，用完{做}再还。
从{地}走到{地}要{数}分钟，路上正好吃完一份{食}。
报纸上那篇写{业}的文章是{人}投的，编辑删去了{数}行，他并不{情}。
{时}的集市上，{物}比{食}还便宜，{人}一口气买了{数}个。
别看{物}如此{样}，{天}之后它照样走得准，这让{人}颇为{情}。
{地}的猫认得{人}，只要闻到{食}的味道就从{样}的墙头跳下来。
社区准备在{地}办一间{业}小课堂，报名的已有{数}位，{人}也在其中。
{人}年轻时爱好{业}，退休以后却迷上了{做}各种{样}的{物}。
据县志记载，{地}曾因{天}塌过{数}间屋，后来由{人}的祖上重建。
"""
TEMPLATES: dict[str, list[str]] = {"en": _EN.strip().split("\n"), "zh": _ZH.strip().split("\n")}
TEMPLATES["mixed"] = TEMPLATES["en"] + TEMPLATES["zh"]


def main(arguments: list[str]) -> int:
    """Write the corpus into the folder named and say so in one line."""
    if len(arguments) != 1:
        print("usage: python -m dedup.sample FOLDER", file=sys.stderr)
        return 2
    answers = write(arguments[0])
    print(
        f"{arguments[0]}: {answers['documents']} documents in {len(answers['shards'])} shards, "
        f"{len(answers['exact'])} exact and {len(answers['near'])} near duplicates, "
        f"{answers['rejected']} line that is not JSON"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
