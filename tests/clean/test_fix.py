"""fix_text is ftfy byte for byte, whatever the screen lets through."""

from __future__ import annotations

import gzip
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ftfy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import fix as benchmark
from dedup import clean
from dedup.clean import form, line
from tests.batches import batch_of, texts_of
from tests.clean.pieces import CONFIGS, DEFAULTS, documents

SHARDS = ["edge/valid/edge", "en/en_docs-00000", "zh/zh_docs-00000", "mixed/mixed_web-00000"]


def fixed(*texts: str | None, **config: Any) -> list[str | None]:
    return texts_of(clean.fix_text(batch_of(*texts), **config))


def by_ftfy(*texts: str | None, **config: Any) -> list[str | None]:
    return [None if text is None else ftfy.fix_text(text, DEFAULTS._replace(**config)) for text in texts]


def test_mojibake_entities_ligatures_and_controls_are_fixed() -> None:
    assert fixed("âœ” No problems", "P&EACUTE;REZ &amp; co") == ["✔ No problems", "PÉREZ & co"]
    assert fixed("ﬂuﬃest", "e\u0301", "a\r\nb\rc\u2028d") == ["fluffiest", "é", "a\nb\nc\nd"]
    assert fixed("\x1b[36mblue\x1b[0m \x07") == ["blue "]


def test_chinese_punctuation_and_curly_quotes_are_left_alone_by_default() -> None:
    text = "他说：“你好，世界！”（ＡＢＣ　１２３）‘’…"
    assert fixed(text) == [text]
    assert fixed("ＡＢＣ　１！", fix_character_width=True) == ["ABC 1!"]
    assert fixed("“a” ‘b’", uncurl_quotes=True) == ["\"a\" 'b'"]


def test_entities_are_left_alone_from_the_first_line_with_a_tag_on() -> None:
    assert fixed("&lt;\n&gt; &amp; < \n&amp;\x07\n&amp;") == ["<\n&gt; &amp; < \n&amp;\n&amp;"]
    assert fixed("&amp;\x00\n<b>\n&a\x00mp;") == ["&\n<b>\n&amp;"]
    assert fixed("<b>\n&amp;", unescape_html=True) == ["<b>\n&"]
    assert fixed("&amp;", unescape_html=False) == ["&amp;"]


def test_an_entity_that_a_removed_control_character_joins_is_unescaped() -> None:
    text = "a\n&a\x00mp; b"
    assert fixed(text) == by_ftfy(text) == ["a\n& b"]


def test_lines_longer_than_max_decode_length_are_cut_as_ftfy_cuts_them() -> None:
    texts = ["abcdef&amp;ghi\n&lt;", "中文中文中文中文&amp;", "âœ”" * 5, "\r" * 20, "a\u0301" * 9 + "\n"]
    for length in range(1, 20):
        assert fixed(*texts, max_decode_length=length) == by_ftfy(*texts, max_decode_length=length)


def test_null_stays_null_and_other_columns_keep_their_place() -> None:
    batch = pa.record_batch({"id": [1, 2, 3], "text": ["&amp;", None, "a"], "url": ["x", "y", "z"]})
    assert clean.fix_text(batch).to_pylist() == [
        {"id": 1, "text": "&", "url": "x"},
        {"id": 2, "text": None, "url": "y"},
        {"id": 3, "text": "a", "url": "z"},
    ]


def test_texts_that_need_nothing_are_not_copied() -> None:
    batch = batch_of("a “good” text\n", "好的。", "naïve café, Straße; Москва 42 °C", None)
    assert clean.fix_text(batch)["text"].buffers()[2].address == batch["text"].buffers()[2].address


@settings(max_examples=150, deadline=None)
@given(st.lists(documents | st.none(), max_size=4), st.sampled_from(CONFIGS))
def test_fix_text_equals_ftfy(texts: list[str | None], config: dict[str, Any]) -> None:
    assert fixed(*texts, **config) == by_ftfy(*texts, **config)


@settings(max_examples=300, deadline=None)
@given(documents, st.sampled_from(CONFIGS), st.booleans())
def test_a_line_is_fixed_as_ftfy_fixes_it(text: str, changes: dict[str, Any], unescapes: bool) -> None:
    config = DEFAULTS._replace(**(changes | {"unescape_html": unescapes}))
    assert line.fixed_line(text, config, unescapes) == ftfy.fix_and_explain(text, config).text


def test_ftfy_has_the_functions_that_are_called_one_by_one() -> None:
    step = ftfy._fix_encoding_one_step_and_explain("Ã©", DEFAULTS)
    assert (step.text, ftfy._fix_encoding_one_step_and_explain("é", DEFAULTS).text) == ("é", "é")
    known = {"unescape_html", "restore_byte_a0", "replace_lossy_sequences", "decode_inconsistent_utf8", *line._FIXES}
    assert known == set(ftfy.FIXERS)


@pytest.mark.parametrize("setting", [name for name, value in DEFAULTS._asdict().items() if isinstance(value, bool)])
def test_every_setting_does_what_ftfys_does(setting: str) -> None:
    if setting == "explain":
        return
    texts = [
        *(
            "\x1b[36mblue\x1b[0m",
            "Ã©",
            "voilÃ  le travail",
            "voilÃ le travail",
            "â€œ like this â€\ufffd",
            "ﬁ",
            "ＡＢＣ",
        ),
        *("“a”", "a\rb", "a\x07b", "a\x85b\x9d", "ä½\xa0å¥½ 中文 Ã©", "中 â€œx â€“ y"),
    ]
    results = []
    for value in (False, True):
        results.append(fixed(*texts, **{setting: value}))
        assert results[-1] == by_ftfy(*texts, **{setting: value})
    if setting != "fix_surrogates":  # UTF-8 has none
        assert results[0] != results[1]


def test_only_lines_that_need_it_are_fixed_one_by_one(monkeypatch: Any) -> None:
    seen = []
    monkeypatch.setattr(line, "fixed_line", lambda text, *_: seen.append(text) or text)
    fixed(
        "Съешь же ещё «этих» мягких булок\n", "Ξεσκεπάζω την\r\nψυχοφθόρα", "שָׁלוֹם", "a\r\nÃ©\nœuvre\n&amp;<", "가나다"
    )
    assert seen == ["Ã©\n"]


def seconds_for_marks(stage: Any, run: str) -> float:
    batch = batch_of("a" + run)
    start = time.process_time()
    stage(batch)
    return time.process_time() - start


@pytest.mark.parametrize("stage", [clean.fix_text, clean.normalize])
@pytest.mark.parametrize("marks", ["\u0301\u0323", "\u0f73"])
def test_a_long_run_of_marks_takes_linear_time(stage: Any, marks: str) -> None:
    seconds_for_marks(stage, marks)
    # Ordering them one by one takes 10 s and more for so many; sorted first, a tenth of a second.
    assert seconds_for_marks(stage, marks * (60_000 // len(marks))) < 2


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["\u0301", "\u0323", "\u0f73", "\u0344", "\u0300\u0316" * 70, "x" * 600, "e"])))
def test_long_runs_of_marks_are_put_in_order(parts: list[str]) -> None:
    text = "".join(parts)
    for name in form.FORMS:
        assert form.normalized(name, text) == form.unicodedata.normalize(name, text)
        assert texts_of(clean.normalize(batch_of(text), form=name, strip_line_ends=False)) == [
            form.unicodedata.normalize(name, text)
        ]


def texts_in(path: Path) -> list[str | None]:
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return table["text"].to_pylist() if "text" in table.column_names else []
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        return []
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(record).get("text") for record in data.decode("utf-8-sig").split("\n") if record.strip()]


def real_texts(shared: Path) -> Iterator[list[str]]:
    """All documents of the corpora, each once, by file; what UTF-8 cannot hold has its surrogates replaced."""
    seen: set[str] = set()
    for path in sorted(path for path in shared.rglob("*.*") if "invalid" not in path.parts):
        texts = [text.encode("utf-8", "replace").decode() for text in texts_in(path) if text is not None]
        yield [text for text in dict.fromkeys(texts) if text not in seen]
        seen.update(texts)


def hard_lines(text: str) -> str:
    """The lines that are more than printable ASCII, or hold "&" or "<": no setting makes ftfy change another."""
    return "".join(line for line in re.findall(r"[^\n]*\n|[^\n]+", text) if re.search(r"[^ -~\n]|[&<]", line))


@pytest.mark.shared
def test_fix_text_equals_ftfy_on_some_real_documents(shared: Path) -> None:
    for shard in SHARDS:
        texts = texts_in(shared / f"{shard}.parquet")
        sample = [text for text in random.Random(4).sample(texts, min(len(texts), 40)) if len(text or "") < 100_000]
        assert fixed(*sample) == by_ftfy(*sample)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("config", CONFIGS)
def test_fix_text_equals_ftfy_on_every_real_document(config: dict[str, Any], shared: Path, seeded: bool) -> None:
    # Two to six minutes a configuration, all of it ftfy's.
    for texts in real_texts(shared):
        some = texts[:: 100 if seeded else 1]
        if config:
            some = list(map(hard_lines, some))
        for start in range(0, len(some), 200):
            chunk = some[start : start + 200]
            assert fixed(*chunk, **config) == by_ftfy(*chunk, **config)


@pytest.mark.slow
@pytest.mark.shared
def test_fix_text_takes_a_small_part_of_ftfys_time(tmp_path: Path) -> None:
    assert [(row.what, row.value, row.beside) for row in benchmark.rows(tmp_path) if not row.is_met] == []
