"""report.html: it says what the tables say, and documents that mean harm do none; looked at in a real browser."""

from __future__ import annotations

import json
import random
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import dedup
from dedup import cli
from dedup.report import shown, write
from tests.runs import NEAR, WORDS, write_jsonl

SECTIONS = ["funnel", "drops", "rules", "measures", "duplicates", "clusters", "sources", "pairs", "examples", "run"]
RECIPE: dict[str, Any] = {
    "id": "id",
    "step": [
        {"use": "measure.gopher.quality", "words": "tokens"},
        {"use": "measure.language.identify"},
        {"use": "drop.when", "word_count": {"below": 8}, "mean_word_length": {"above": 40}},
        {"dedup": "exact"},
        {"dedup": "near", "threshold": 0.7},
    ],
}
SCRIPT = "<script>document.title='harmed'</script><img src=x onerror=\"document.title='harmed'\">"
HARMFUL = [
    SCRIPT,
    "</bdi></section></main></body></html><svg onload=alert(1)>" + SCRIPT,
    "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#0; &nbsp;",
    "evil \u202e txt.exe \u2066 \u200f \u2069 and \u061c more of it for the words",
    "NUL \x00 bell \x07 escape \x1b[31m red \x9b and a BOM \ufeff here now",
    "{{ 7 * 7 }} {% raw %} $\\frac{1}{2}$ %s {0}",
    "z" + "\u0301" * 4_000 + " stacked marks that would climb over other lines",
    "<!--",
]


def write_harm(folder: Path) -> None:
    """Every harm short (a rule drops it), twice (a duplicate), and nearly twice; in ids and names too."""
    rng = random.Random(3)
    rows: list[dict[str, Any]] = [{"id": "long", "text": "W" * 10_000_000}, {"id": "short " + SCRIPT, "text": "a b"}]
    for n, harm in enumerate(HARMFUL):
        words = [rng.choice(WORDS) for _ in range(60)]
        rows += [{"id": f"{n} {harm}", "text": f"{harm} {' '.join(words)}"}] * 2
        rows += [{"id": f"near {n}", "text": f"{harm} {' '.join(words[:-1])} {harm}"}, {"id": f"{n}", "text": harm}]
    write_jsonl(folder / "a <b> & 'c'" / "0 <i>.jsonl", rows)
    write_jsonl(folder / "a <b> & 'c'" / "\u202emoc.jsonl", rows[::-1])


class Elements(HTMLParser):
    """The start tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def harmed(tmp_path_factory: pytest.TempPathFactory, _drawing: None) -> Path:
    folder = tmp_path_factory.mktemp("harm")
    write_harm(folder / "in")
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("DEDUP_REPORT")
        dedup.run(RECIPE, str(folder / "in"), folder / "out", executor="serial")
    return folder / "out"


def rows(output: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(output / "report" / f"{name}.parquet").to_pylist()


def test_a_page_holds_nothing_but_text_pictures_and_links_within(harmed: Path) -> None:
    text = (harmed / "report" / "report.html").read_text("utf-8")
    assert len(text.encode()) < 5_000_000
    elements = Elements(text).found
    tags = {tag for tag, _ in elements}
    assert (
        tags & {"script", "img", "iframe", "object", "embed", "form", "input", "link", "base", "foreignobject"} == set()
    )
    names = {name for _, attributes in elements for name in attributes}
    assert [name for name in names if name.startswith("on") or name in ("src", "srcset", "action", "formaction")] == []
    links = [a[n] or "" for _, a in elements for n in ("href", "xlink:href") if n in a]
    assert [link for link in links if not link.startswith("#")] == []
    assert [a["id"] for tag, a in elements if tag == "section"] == SECTIONS
    assert re.findall(r"url\((?!#)", text) == []
    assert not set(text) & {"\x00", "\x07", "\x1b", "\x9b", "\u202e", "\u2066", "\ufeff"}


def test_the_figures_of_a_page_are_those_of_the_tables(harmed: Path) -> None:
    text = (harmed / "report" / "report.html").read_text("utf-8")
    parts = {name: text[text.index(f'<section id="{name}">') :].partition("</section>")[0] for name in SECTIONS}

    def cells(section: str) -> list[list[str]]:
        lines = re.findall(r"<tr>(.*?)</tr>", parts[section], flags=re.DOTALL)
        plain = [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", line)] for line in lines]
        return [line for line in plain if line]

    funnel = rows(harmed, "funnel")
    assert [(line[2], line[4]) for line in cells("funnel")] == [
        (f"{row['documents']:,}", shown.size(row["bytes"])) for row in funnel
    ]
    rules = rows(harmed, "rules")
    assert [line[2:5] for line in cells("rules")] == [
        [shown.count(row[name]) for name in ("documents_cut", "documents_cut_alone", "documents_dropped")]
        for row in rules
    ]
    reasons: dict[str, int] = {}
    for row in rows(harmed, "drops"):
        if row["drop_reason"]:
            reasons[row["drop_reason"]] = reasons.get(row["drop_reason"], 0) + row["documents"]
    assert sorted(line[1] for line in cells("drops")[: len(reasons)]) == sorted(f"{n:,}" for n in reasons.values())
    assert parts["measures"].count("<figure>") == len({row["measure"] for row in rows(harmed, "measures")})
    assert parts["clusters"].count('class="text"') == len(rows(harmed, "largest_clusters")) > 3
    assert parts["pairs"].count('class="pair"') == len(rows(harmed, "pairs")) > 3
    assert parts["examples"].count('class="text"') == len(rows(harmed, "dropped_examples")) > 10
    matrix = [cell for line in cells("sources") for cell in line]
    assert sorted(cell for cell in matrix if cell != "·") == sorted(
        shown.size(row["bytes"]) for row in rows(harmed, "sources")
    )


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, False), (390, True)])
def test_a_browser_shows_every_section_and_asks_for_nothing(
    harmed: Path, browser: Any, width: int, dark: bool, tmp_path: Path
) -> None:
    path = harmed / "report" / "report.html"
    alone = tmp_path / "report.html"
    shutil.copy(path, alone)  # it needs nothing that lies beside it
    page = browser.open(alone, width=width, dark=dark)
    assert page.complaints() == []
    assert page.requests() == [alone.as_uri()]
    assert page.evaluate("document.title").startswith("dedup: ")
    assert page.evaluate("[...document.querySelectorAll('main > section')].map(s => s.id)") == SECTIONS
    heights = page.evaluate("[...document.querySelectorAll('main > section')].map(s => s.offsetHeight)")
    assert min(heights) > 60
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('figure, .text, p, h1, h2, h3, h4, pre, dl')]"
    assert page.evaluate(f"Math.max(...{wide}.map(e => e.getBoundingClientRect().right))") <= width
    ink = page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
    assert ink == ("rgb(228, 232, 236)" if dark else "rgb(29, 39, 51)")
    hidden = "[...document.querySelectorAll('.text')].filter(e => e.offsetHeight > 400).length"
    assert page.evaluate(hidden) == 0


def test_a_picture_is_inside_its_frame(harmed: Path, browser: Any) -> None:
    page = browser.open(harmed / "report" / "report.html", width=390)
    outside = """[...document.querySelectorAll('figure svg')].filter(svg => { const f = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('text')].some(t => { const b = t.getBoundingClientRect();
            return b.left < f.left - 4 || b.right > f.right + 8 || b.bottom > f.bottom + 4; }); })
        .map(svg => svg.getAttribute('aria-label'))"""
    assert page.evaluate("document.querySelectorAll('figure svg').length") > 8
    assert page.evaluate(outside) == []


def test_the_same_tables_give_the_same_page(harmed: Path, tmp_path: Path, pages: None) -> None:
    before = (harmed / "report" / "report.html").read_bytes()
    shutil.copytree(harmed, tmp_path / "out")
    found = CliRunner().invoke(cli.cli, ["report", str(tmp_path / "out")], catch_exceptions=False)
    assert found.output.strip() == str(tmp_path / "out" / "report" / "report.html")
    assert (tmp_path / "out" / "report" / "report.html").read_bytes() == before


def test_an_output_without_any_document_has_a_page(tmp_path: Path, pages: None) -> None:
    write_jsonl(tmp_path / "in" / "0.jsonl", [])
    dedup.run(RECIPE, str(tmp_path / "in"), tmp_path / "out", executor="serial")
    assert "0 documents in, 0 kept" in (tmp_path / "out" / "report" / "report.html").read_text("utf-8")
    dedup.run({"step": []}, str(tmp_path / "in"), tmp_path / "bare", executor="serial")
    assert "The recipe measures nothing." in (tmp_path / "bare" / "report" / "report.html").read_text("utf-8")


def test_a_page_that_cannot_be_drawn_does_not_make_the_run_fail(
    tmp_path: Path, pages: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> str:
        raise ValueError("no colours\nleft")

    monkeypatch.setattr("dedup.report.page.render", broken)
    write_jsonl(tmp_path / "in" / "0.jsonl", [{"id": "a", "text": "b"}])
    result = dedup.run(NEAR, str(tmp_path / "in"), tmp_path / "out", executor="serial")
    assert result.exit_code == 0
    assert capsys.readouterr().err == (
        "dedup: report.html could not be made (ValueError: no colours left); all else is written\n"
    )


# Without the extra


def test_a_run_without_the_extra_ends_well_with_one_line_of_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DEDUP_REPORT")
    monkeypatch.setattr(write, "NEEDED", ("no_such_package",))
    write_jsonl(tmp_path / "in" / "0.jsonl", [{"id": "a", "text": "b"}])
    result = dedup.run(NEAR, str(tmp_path / "in"), tmp_path / "out", executor="serial", quiet=False)
    assert result.exit_code == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "report" in line]
    out = tmp_path / "out"
    assert told == [f"dedup: no report.html was made; pip install 'dedup[report]', then: dedup report {out}"]
    assert not (out / "report" / "report.html").exists()
    assert json.loads((out / "report" / "summary.json").read_text())["documents_in"] == 1


@pytest.mark.parametrize("how", ["a recipe", "the environment"])
def test_a_page_can_be_left_out(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEDUP_REPORT", "0" if how == "the environment" else "1")
    write_jsonl(tmp_path / "in" / "0.jsonl", [{"id": "a", "text": "b"}])
    recipe = NEAR | ({"report": False} if how == "a recipe" else {})
    dedup.run(recipe, str(tmp_path / "in"), tmp_path / "out", executor="serial")
    assert not (tmp_path / "out" / "report" / "report.html").exists()
    assert (tmp_path / "out" / "report" / "funnel.parquet").exists()


def test_a_report_of_what_is_no_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(dedup.DedupError, match=r"no finished run there \(report/summary.json is missing\)") as error:
        write.again(str(tmp_path), print)
    assert error.value.exit_code == 2


def test_a_report_made_again_without_the_extra_is_its_tables_and_a_line_of_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(tmp_path / "in" / "0.jsonl", [{"id": "a", "text": "b"}])
    dedup.run(NEAR, str(tmp_path / "in"), tmp_path / "out", executor="serial")
    before = (tmp_path / "out" / "report" / "funnel.parquet").read_bytes()
    (tmp_path / "out" / "report" / "funnel.parquet").unlink()
    monkeypatch.setattr(write, "NEEDED", ("no_such_package",))
    found = CliRunner().invoke(cli.cli, ["report", str(tmp_path / "out")], catch_exceptions=False)
    told = f"dedup: no report.html was made; pip install 'dedup[report]', then: dedup report {tmp_path / 'out'}\n"
    assert (found.exit_code, found.stdout, found.stderr) == (0, f"{tmp_path / 'out' / 'report'}\n", told)
    assert (tmp_path / "out" / "report" / "funnel.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain\ttext\r\nnext", "plain\ttext\nnext"),
        ("a\x00b\u202ec\u2028d", "a[U+0000]b[U+202E]c[U+2028]d"),
        ("\U000e0041 tag, \ud800 surrogate", "[U+E0041] tag, [U+D800] surrogate"),
        ("नमस्ते \u200d 家族 👩\u200d👧", "नमस्ते \u200d 家族 👩\u200d👧"),
        ("e" + "\u0301" * 9, "e" + "\u0301" * 4),
    ],
)
def test_signs_that_are_not_seen_are_shown_by_their_number(text: str, expected: str) -> None:
    assert shown.visible(text) == expected


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(0, 5, "0 %"), (1, 3, "33.3 %"), (5, 5, "100 %"), (1, 1_000_000, "< 0.01 %"), (999_999, 1_000_000, "> 99.99 %"),
     (None, 3, "–"), (9_995, 10_000, "99.95 %"), (1, 2_000, "0.05 %")],
)  # fmt: skip
def test_a_small_share_is_not_shown_as_none(part: float | None, whole: float, expected: str) -> None:
    assert shown.share(part, whole) == expected
