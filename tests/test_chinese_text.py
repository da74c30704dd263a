"""Chinese as it comes: other widths, other forms of characters, other punctuation, spaces where none belong.

Documents that differ in these are one document: found as near duplicates, verified, with the similarity of their
tokens, while the text that comes out is what came in.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dedup
from dedup import segment, stages
from tests import naive
from tests.batches import batch_of
from tests.real import documents
from tests.runs import pairs, read_documents, write_jsonl, write_parquet

SERIAL: dict[str, Any] = {"executor": "serial"}
FOLDED = {"id": "id", "step": [{"dedup": "near", "fold_traditional": True}]}

SIMPLIFIED = (
    "去年秋天，我们沿长江走访了十几座小城。每到一处，最先看见的总是码头边的旧书店：门口堆满发黄的报纸，老板坐在竹椅上听"
    "收音机，遇见熟客便起身倒茶。有位姓陈的老人说，他年轻时在船厂做工，退休以后把积蓄都换成了书，“书比机器安静，也比机器"
    "听话”。店里没有电脑，账目全记在一本蓝色的册子里，谁借了什么、何时归还，写得清清楚楚。我们问他生意如何，他摇头笑道："
    "来看书的人不少，真正买书的却一年比一年少。可是他从没有想过关门，因为对面中学的孩子们放学以后还要来这里写作业，冬天的"
    "晚上，整条街只有这间屋子的灯还亮。临走时他送给我们一张手绘的地图，上面标出沿江每一家书店的位置，有些已经关了，他仍然"
    "用红笔仔细地描出来。"
)
TRADITIONAL = (
    "去年秋天，我們沿長江走訪了十幾座小城。每到一處，最先看見的總是碼頭邊的舊書店：門口堆滿發黃的報紙，老闆坐在竹椅上聽"
    "收音機，遇見熟客便起身倒茶。有位姓陳的老人說，他年輕時在船廠做工，退休以後把積蓄都換成了書，「書比機器安靜，也比機器"
    "聽話」。店裡沒有電腦，賬目全記在一本藍色的冊子裡，誰借了什麼、何時歸還，寫得清清楚楚。我們問他生意如何，他搖頭笑道："
    "來看書的人不少，真正買書的卻一年比一年少。可是他從沒有想過關門，因為對面中學的孩子們放學以後還要來這裡寫作業，冬天的"
    "晚上，整條街只有這間屋子的燈還亮。臨走時他送給我們一張手繪的地圖，上面標出沿江每一家書店的位置，有些已經關了，他仍然"
    "用紅筆仔細地描出來。"
)
MIXED = (
    "实验室上周公布了新版阅读系统 StarReader 3.5，它可以在普通的 GPU 服务器上运行，处理速度比 2021 年的版本快了 4 倍。"
    "研究人员在 12 个城市收集了 86,000 份匿名问卷，发现 73% 的用户主要用它查找论文、整理 PDF 文件和翻译 email；只有"
    "不到 5% 的人抱怨“界面太复杂”。项目负责人林博士表示，下一步会开放 API 接口，并提供 Linux、Windows 和 macOS 三种安装"
    "包，代码将以 Apache License 2.0 发布。她还提醒大家：升级之前请先备份 config.json，旧版本的索引不能直接导入，需要"
    "运行 convert 命令重新生成，整个过程大约需要 30 分钟！"
)
OTHER = (
    "高原上的气象站建在海拔四千米的垭口，常年只有两名观测员值守。他们每三个小时记录一次气温、风速和云量，再把数据发回省城。"
    "冬季大雪封山的时候，补给车往往要迟到半个月，两人就靠腌菜和面条度日。年轻的那位在日记里写道：最难熬的不是寒冷，而是夜里"
    "听不见任何声音。后来站里养了一条黄狗，每天清早跟着他们去查看仪器，日子才渐渐热闹起来。直到今年夏天，自动设备运上了山，"
    "他们才第一次一起回家过中秋，路上谁也没有说起山上的事情。"
)

HAN = "[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u3005-\u3007]"
WIDE = {c: c + 0xFEE0 for c in range(0x21, 0x7F)} | {0x20: 0x3000}
NARROW = {wide: narrow for narrow, wide in WIDE.items()} | {ord("。"): ".", ord("、"): ","}
# Forms that a PDF or an old encoding leaves: radicals and compatibility ideographs in place of the characters.
RADICALS = {ord(unicodedata.normalize("NFKC", chr(c))): c for c in range(0x2F00, 0x2FD6)}
COMPATIBLE = {ord(unicodedata.normalize("NFKC", chr(c))): c for c in range(0xFA6D, 0xF8FF, -1)
              if unicodedata.decomposition(chr(c))}  # fmt: skip

Change = Callable[[str], str]


def between(separator: str) -> Change:
    """Puts a separator between every two characters."""
    return lambda text: separator.join(text)


def replaced(changes: dict[str, str]) -> Change:
    return lambda text: text.translate(str.maketrans(changes))


def without_punctuation(text: str) -> str:
    return "".join(c for c in text if not unicodedata.category(c).startswith("P"))


def wrapped(text: str) -> str:
    """Lines of 20 characters, indented as a printed page is."""
    return "\n".join("\u3000\u3000" + text[i : i + 20] for i in range(0, len(text), 20))


# Of each variant: the document it is one of, and how it is made of it. All of them have the document's own tokens.
VARIANTS: dict[str, tuple[str, Change]] = {
    "traditional": (SIMPLIFIED, lambda _: TRADITIONAL),
    "corner brackets": (SIMPLIFIED, replaced({"“": "「", "”": "」"})),
    "double corner brackets": (SIMPLIFIED, replaced({"“": "『", "”": "』"})),
    "straight quotes": (SIMPLIFIED, replaced({"“": '"', "”": '"'})),
    "ASCII punctuation": (SIMPLIFIED, replaced({"，": ",", "。": ".", "：": ":", "、": ","})),
    "half-width ideographic punctuation": (SIMPLIFIED, replaced({"。": "｡", "、": "､", "“": "｢", "”": "｣"})),
    "full stops of print": (SIMPLIFIED, replaced({"。": "．", "，": "、"})),
    "vertical forms": (SIMPLIFIED, replaced({"，": "︐", "。": "︒", "：": "︓", "“": "﹁", "”": "﹂"})),
    "no punctuation": (SIMPLIFIED, without_punctuation),
    "spaces": (SIMPLIFIED, between(" ")),
    "ideographic spaces": (SIMPLIFIED, between("\u3000")),
    "no-break spaces": (SIMPLIFIED, between("\N{NO-BREAK SPACE}")),
    "thin spaces": (SIMPLIFIED, between("\N{THIN SPACE}")),
    "zero-width spaces": (SIMPLIFIED, between("\N{ZERO WIDTH SPACE}")),
    "word joiners": (SIMPLIFIED, between("\N{WORD JOINER}")),
    "byte-order marks": (SIMPLIFIED, between("\N{ZERO WIDTH NO-BREAK SPACE}")),
    "soft hyphens": (SIMPLIFIED, between("\N{SOFT HYPHEN}")),
    "variation selectors": (SIMPLIFIED, between("\N{VARIATION SELECTOR-1}")),
    "lines": (SIMPLIFIED, between("\r\n")),
    "wrapped": (SIMPLIFIED, wrapped),
    "radicals": (SIMPLIFIED, lambda text: text.translate(RADICALS)),
    "compatibility ideographs": (TRADITIONAL, lambda text: text.translate(COMPATIBLE)),
    "full width": (MIXED, lambda text: text.translate(WIDE)),
    "half width": (MIXED, lambda text: text.translate(WIDE).translate(NARROW)),
    "mixed, zero-width spaces": (MIXED, between("\N{ZERO WIDTH SPACE}")),
    "mixed, capitals": (MIXED, str.upper),
    "mixed, no spaces around Latin": (MIXED, replaced({" ": "\u2009"})),
    "all at once": (SIMPLIFIED, lambda _: between("\u3000")(TRADITIONAL.translate(WIDE)).replace("，", ",")),
}  # fmt: skip


def variant(name: str) -> str:
    text, change = VARIANTS[name]
    return change(text)


def corpus(*names: str) -> list[dict[str, str]]:
    """The documents and some variants of them."""
    rows = [("simplified", SIMPLIFIED), ("mixed", MIXED), ("other", OTHER), *((name, variant(name)) for name in names)]
    return [{"id": name, "text": text} for name, text in rows]


def original_of(name: str) -> str:
    return "mixed" if VARIANTS[name][0] == MIXED else "simplified"


# Near duplicates


def test_the_paragraphs_are_as_long_as_documents_and_unlike() -> None:
    assert min(map(len, (SIMPLIFIED, TRADITIONAL, MIXED, OTHER))) >= 200
    assert max(naive.jaccard(SIMPLIFIED, MIXED), naive.jaccard(SIMPLIFIED, OTHER), naive.jaccard(MIXED, OTHER)) == 0
    assert [name for name in VARIANTS if variant(name) == VARIANTS[name][0]] == []


def test_variants_are_found_as_verified_pairs_of_similarity_one(tmp_path: Path, executor: dict[str, Any]) -> None:
    rows = corpus(*VARIANTS)
    write_jsonl(tmp_path / "in" / "0.jsonl", rows[:9])
    write_parquet(tmp_path / "in" / "1.parquet", rows[9:])
    result = dedup.run(FOLDED, str(tmp_path / "in"), tmp_path / "out", **executor)
    assert pairs(result) == sorted((name, original_of(name), 1.0, "near") for name in VARIANTS)
    assert result.duplicates["verified"].to_pylist() == [True] * len(VARIANTS)
    assert read_documents(tmp_path / "out") == rows[:3]
    dropped = [pq.read_table(path).to_pylist() for path in sorted((tmp_path / "out" / "dropped").iterdir())]
    assert [{"id": row["id"], "text": row["text"]} for part in dropped for row in part] == rows[3:]


STAYING = ["traditional", "ideographic spaces", "zero-width spaces", "full width", "compatibility ideographs"]


@pytest.mark.parametrize("name", STAYING)
def test_a_variant_that_stays_is_what_came_in_byte_for_byte(name: str, tmp_path: Path) -> None:
    rows = corpus(name)
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    (tmp_path / "0.jsonl").write_bytes(b"".join(lines))
    write_parquet(tmp_path / "1.parquet", [{"id": "again", "text": f"{rows[-1]['text']}\n"}])
    recipe = {"id": "id", "step": [{"dedup": "near", "fold_traditional": True, "keep": "last"}]}
    result = dedup.run(recipe, str(tmp_path / "*.*"), tmp_path / "out", **SERIAL)
    assert pairs(result) == sorted((gone, "again", 1.0, "near") for gone in (name, original_of(name)))
    kept = [line for line, row in zip(lines, rows, strict=True) if row["id"] not in (name, original_of(name))]
    assert (tmp_path / "out" / "documents" / "0.jsonl").read_bytes() == b"".join(kept)
    written = pq.read_table(tmp_path / "out" / "documents" / "1.parquet")["text"]
    assert written.to_pylist() == [f"{rows[-1]['text']}\n"]


def test_without_folding_the_traditional_form_alone_is_another_document(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "0.jsonl", corpus("traditional", "spaces", "full width"))
    recipe = {"id": "id", "step": [{"dedup": "near"}]}
    result = dedup.run(recipe, str(tmp_path / "in"), tmp_path / "out", **SERIAL)
    assert [(name, twin) for name, twin, *_ in pairs(result)] == [("full width", "mixed"), ("spaces", "simplified")]


def test_words_that_a_measure_cut_unfolded_are_not_taken_for_the_comparison(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "0.jsonl", corpus("traditional"))
    recipe = {"id": "id", "step": [{"use": "measure.gopher.quality", "words": "tokens"}, *FOLDED["step"]]}
    result = dedup.run(recipe, str(tmp_path / "in"), tmp_path / "out", **SERIAL)
    assert pairs(result) == [("traditional", "simplified", 1.0, "near")]


UNHARMED = ["traditional", "corner brackets", "half-width ideographic punctuation", "vertical forms", "spaces",
            "ideographic spaces", "full width"]  # fmt: skip


def test_default_cleaning_leaves_widths_spaces_and_punctuation_alone(tmp_path: Path) -> None:
    rows = corpus(*UNHARMED)
    write_jsonl(tmp_path / "in" / "0.jsonl", rows)
    step = {"use": "clean.fix_text"}
    dedup.run({"id": "id", "step": [step]}, str(tmp_path / "in"), tmp_path / "out", **SERIAL)
    assert (tmp_path / "out" / "documents" / "0.jsonl").read_bytes() == (tmp_path / "in" / "0.jsonl").read_bytes()


def edited(text: str, count: int) -> str:
    """So many of its Han characters, far apart, are another one."""
    places = [i for i, c in enumerate(text) if "\u4e00" <= c <= "\u9fff"]
    for k in range(count):
        at = places[(k + 1) * len(places) // (count + 1)]
        text = text[:at] + "龘" + text[at + 1 :]
    return text


@pytest.mark.parametrize("count", [1, 3, 5])
def test_an_edited_variant_has_the_similarity_of_the_edit_alone(count: int, tmp_path: Path) -> None:
    """Each other character is five other shingles of five."""
    shingles = len(naive.shingles(SIMPLIFIED))
    expected = (shingles - 5 * count) / (shingles + 5 * count)
    assert naive.jaccard(SIMPLIFIED, edited(SIMPLIFIED, count)) == pytest.approx(expected, abs=1e-12)
    rows = corpus()
    rows += [
        {"id": "traditional", "text": edited(TRADITIONAL, count)},
        {"id": "spaces", "text": between(" ")(edited(SIMPLIFIED, count))},
        {"id": "corners", "text": variant("corner brackets").replace("，", ",")},
    ]
    write_jsonl(tmp_path / "in" / "0.jsonl", rows)
    result = dedup.run(FOLDED, str(tmp_path / "in"), tmp_path / "out", **SERIAL)
    assert pairs(result) == [
        ("corners", "simplified", 1.0, "near"),
        ("spaces", "simplified", pytest.approx(expected, abs=1e-12), "near"),
        ("traditional", "simplified", pytest.approx(expected, abs=1e-12), "near"),
    ]


def test_spaces_inside_latin_words_and_numbers_make_other_words_and_no_more(tmp_path: Path) -> None:
    """s p a c e d letters are words of their own: the similarity is that of the tokens, and here below 0.8."""
    spaced = between(" ")(MIXED)
    assert naive.jaccard(MIXED, spaced) < 0.8
    few = MIXED.replace("StarReader", "Star Reader").replace("86,000", "86 000").replace("GPU", "G P U")
    write_jsonl(tmp_path / "in" / "0.jsonl", [*corpus(), {"id": "few", "text": few}, {"id": "all", "text": spaced}])
    result = dedup.run(FOLDED, str(tmp_path / "in"), tmp_path / "out", **SERIAL)
    assert pairs(result) == [("few", "mixed", pytest.approx(naive.jaccard(MIXED, few), abs=1e-12), "near")]


def test_the_tokens_of_every_variant_are_the_twins(tmp_path: Path) -> None:
    texts = [variant(name) for name in VARIANTS]
    assert word_lists(texts, "tokens") == [
        [text.encode()[first:end].decode() for first, end in naive.token_spans(text)] for text in texts
    ]


# Characters beyond U+9FFF

BEYOND = {
    "Extension A": range(0x3400, 0x3410),
    "the last of the first block": range(0x9FA6, 0x9FD0),  # after 1993
    "compatibility ideographs": range(0xF900, 0xF910),
    "Extension B": range(0x20000, 0x20010),
    "Extension C": range(0x2A700, 0x2A710),
    "Extension D": range(0x2B740, 0x2B750),
    "Extension E": range(0x2B820, 0x2B830),
    "Extension F": range(0x2CEB0, 0x2CEC0),
    "compatibility supplement": range(0x2F800, 0x2F810),
    "Extension G": range(0x30000, 0x30010),
}


@pytest.mark.parametrize("block", BEYOND)
def test_characters_of_every_block_count_as_han(block: str) -> None:
    text = "".join(map(chr, BEYOND[block]))
    batch = batch_of(text, f"{text}。abc")
    measured = stages.shipped()["measure.chinese"](batch)
    assert measured["han_count"].to_pylist() == [len(text)] * 2
    assert measured["han_ratio"].to_pylist() == [1.0, len(text) / (len(text) + 4)]
    identified = stages.shipped()["measure.language.identify"](batch)
    assert identified["language"].to_pylist() == ["zh", "zh"]
    assert {script[:3] for script in identified["script"].to_pylist()} == {"Han"}
    for unit in ("tokens", "punctuated"):
        assert word_lists([text], unit) == [list(text)]


def test_the_iteration_mark_and_the_ideographic_zero_are_han() -> None:
    measured = stages.shipped()["measure.chinese"](batch_of("人々", "二〇二四年", "〆切"))
    assert measured["han_count"].to_pylist() == [2, 5, 2]


# Words


def word_lists(texts: list[str], unit: str) -> list[list[str]]:
    _, found = segment.words(batch_of(*texts), unit)
    data = found.data.tobytes()
    spans = [
        (found.base[i] + found.starts[j], found.base[i] + found.ends[j], i)
        for i in range(len(texts))
        for j in range(found.offsets[i], found.offsets[i + 1])
    ]
    return [[data[first:end].decode() for first, end, row in spans if row == i] for i in range(len(texts))]


assigned = st.sampled_from(
    [chr(c) for block in (*BEYOND.values(), range(0x4E00, 0x9FA6, 97), range(0x3005, 0x3008)) for c in block]
)
noise = st.sampled_from(["a", "Ab", "1", "３", "。", "，", " ", "\n", "\u3000", "\u200b", "\u0301", "あ", "é", "😀"])


@pytest.mark.parametrize("unit", ["tokens", "punctuated"])
@settings(max_examples=150, deadline=None, derandomize=True)
@given(texts=st.lists(st.lists(st.one_of(assigned, noise), max_size=30).map("".join), min_size=1, max_size=4))
def test_every_han_character_is_a_word_of_its_own(unit: str, texts: list[str]) -> None:
    for text, words in zip(texts, word_lists(texts, unit), strict=True):
        alone = [word for word in words if any(is_han(c) for c in word)]
        assert [c for word in alone for c in word if is_han(c)] == [c for c in text if is_han(c)]
        assert {sum(map(is_han, word)) for word in alone} <= {1}


def is_han(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in naive.UNSPACED["Han"])


@pytest.mark.parametrize("unit", ["tokens", "punctuated"])
def test_a_chinese_document_is_never_one_token(unit: str) -> None:
    bare = without_punctuation(SIMPLIFIED)
    counted = stages.shipped()["measure.gopher.quality"](batch_of(bare, SIMPLIFIED, TRADITIONAL), words=unit)
    han = stages.shipped()["measure.chinese"](batch_of(bare, SIMPLIFIED, TRADITIONAL))["han_count"].to_pylist()
    assert (len(bare), han) == (han[0], [han[0]] * 3)
    assert counted["word_count"].to_pylist() == han
    assert counted["mean_word_length"][0].as_py() == 1.0


def test_between_white_space_a_sentence_is_one_word_as_str_split_says() -> None:
    assert word_lists(["我们在一起。 你好"], "whitespace") == [["我们在一起。", "你好"]]


@pytest.mark.parametrize(
    ("text", "tokens", "punctuated"),
    [
        ("我用Python写代码", "我 用 Python 写 代 码", "我 用 Python 写 代 码"),
        ("在iPhone15上", "在 iPhone15 上", "在 iPhone15 上"),
        ("提升了3.5%，好吗？", "提 升 了 3 5 好 吗", "提 升 了 3.5 % ， 好 吗 ？"),
        # Signs between Latin letters or digits without a space part no words of this unit, as in spaCy.
        ("用Linux、Windows吧", "用 Linux Windows 吧", "用 Linux、Windows 吧"),
        ("“AI”与「人」", "AI 与 人", "“ AI ” 与 「 人 」"),
        ("ＡＰＩ接口", "ＡＰＩ 接 口", "ＡＰＩ 接 口"),
    ],
)
def test_latin_words_are_whole_and_han_characters_alone(text: str, tokens: str, punctuated: str) -> None:
    assert word_lists([text], "tokens") == [tokens.split()]
    assert word_lists([text], "punctuated") == [punctuated.split()]


def test_the_words_of_a_mixed_paragraph() -> None:
    (words,) = word_lists([MIXED], "tokens")
    latin = [word for word in words if word.isascii() and word.isalpha()]
    assert latin[:8] == ["StarReader", "GPU", "PDF", "email", "API", "Linux", "Windows", "macOS"]
    for unit in ("tokens", "punctuated"):
        (words,) = word_lists([MIXED], unit)
        assert [w for w in words if any(map(is_han, w))] == [c for c in MIXED if is_han(c)]
        assert {"StarReader", "GPU", "2021", "4", "12", "73", "convert"} <= set(words)


# Sentences and languages


def test_sentences_end_at_the_signs_of_either_script() -> None:
    texts = ["他来了。她走了！谁在说话？", "他来了. She left. 真的吗?", "版本是3.5，没有句号", MIXED]
    counted = stages.shipped()["measure.c4"](batch_of(*texts))
    assert counted["c4_sentence_count"].to_pylist() == [3, 3, 1, 4]
    short = stages.shipped()["measure.chinese"](batch_of("好。是的！今天天气真的很好。", "好. 是的! It is fine today."))
    assert short["short_sentence_ratio"].to_pylist() == [2 / 3, 2 / 3]


LANGUAGES = [
    (SIMPLIFIED, "zh", "Hans"),
    (TRADITIONAL, "zh", "Hant"),
    (MIXED, "zh", "Hans"),
    (MIXED.translate(WIDE), "zh", "Hans"),
    (between("\u3000")(SIMPLIFIED), "zh", "Hans"),
    (between("\u200b")(TRADITIONAL), "zh", "Hant"),
    ("The word 龍 (dragon) has sixteen strokes, and children learn it late. 謝謝 means thank you.", "en", "Latn"),
    ("これは日本語の文章です。漢字とひらがなとカタカナが混ざっています。", "ja", "Jpan"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "language", "script"), LANGUAGES)
def test_a_text_is_of_the_language_that_most_of_it_is_in(text: str, language: str, script: str) -> None:
    found = stages.shipped()["measure.language.identify"](batch_of(text))
    assert (found["language"][0].as_py(), found["script"][0].as_py()) == (language, script)


# Real documents


@pytest.mark.shared
def test_variants_of_real_documents_are_found(tmp_path: Path) -> None:
    texts = [t for t in documents("zh/zh_docs-00000", 120, 4000) if t and len(naive.shingles(t)) >= 100]
    changes = {name: VARIANTS[name][1] for name in ("spaces", "zero-width spaces", "corner brackets", "full width",
                                                     "ASCII punctuation", "wrapped", "radicals")}  # fmt: skip
    rows = [{"id": f"{i}", "text": text} for i, text in enumerate(texts)]
    alike = []
    for i, text in enumerate(texts):
        for name, change in changes.items():
            rows.append({"id": f"{i} {name}", "text": change(text)})
            if naive.shingles(change(text)) == naive.shingles(text):
                alike.append(f"{i} {name}")
    assert len(alike) > 0.7 * len(changes) * len(texts)
    write_jsonl(tmp_path / "in" / "0.jsonl", rows)
    result = dedup.run(FOLDED, str(tmp_path / "in"), tmp_path / "out", **SERIAL)
    gone = set(result.duplicates["id"].to_pylist())
    assert [name for name in alike if name not in gone] == []
    of = {row["id"]: row["text"] for row in rows}
    assert read_documents(tmp_path / "out") == [{"id": k, "text": t} for k, t in of.items() if k not in gone]
