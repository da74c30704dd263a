"""Markup stripped: what is left of a page, and which texts are no pages."""

from __future__ import annotations

import importlib.util

import pyarrow as pa
import pytest

from dedup import stages
from dedup.clean.html import strip_html
from dedup.errors import RecipeError


def batch_of(*texts: str | None) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.large_string())})


def test_without_the_package_the_extra_is_named_even_on_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecipeError) as error:
        strip_html(batch_of())
    assert str(error.value) == "strip_html needs one more package: pip install 'dedup[html]'"


def test_recipes_call_it_clean_strip_html() -> None:
    assert stages.shipped()["clean.strip_html"] is strip_html


def stripped(text: str, **options: bool) -> str:
    pytest.importorskip("selectolax")
    return strip_html(batch_of(text), **options)["text"][0].as_py()


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>One <b>bold</b> &amp; <i>two</i></p><p>three", "One bold & two\nthree"),
        ("a<script>var x = '<p>';</script>b<style>p {}</style><!-- c -->d<br>e", "abd\ne"),
        ("<ul>\n<li>x\n<li>y</ul>z", "x\ny\nz"),
        ("<table><tr><td>1<td>2<tr><td>3</table>", "1\n2\n3"),
        ("<p>white\n   space</p>\n\n\n<pre>def f():\n    return 1 &lt; 2\n</pre>",
         "white space\ndef f():\n    return 1 < 2"),
        ("<!DOCTYPE html><html><head><title>T</title></head><body>中文<br/>文本</body></html>", "中文\n文本"),
        ("<div><span>no&nbsp;break</span></div>", "no\N{NO-BREAK SPACE}break"),
        ("<p></p>", ""),
    ],
)  # fmt: skip
def test_the_visible_text_of_a_page_is_left(page: str, expected: str) -> None:
    assert stripped(page) == expected


@pytest.mark.parametrize(
    "text",
    ["AT&amp;T", "a <b and c> d", "List<String> x", "<me@mail.com>", "if x <y: pass", "<PHONE>", "#include <stdio.h>"],
)
def test_a_text_without_an_element_of_html_keeps_its_bytes(text: str) -> None:
    assert stripped(text) == text


def test_the_title_comes_first_where_it_is_wanted() -> None:
    page = "<html><head><title>The  title</title></head><body><p>text</body></html>"
    assert stripped(page, title=True) == "The title\ntext"


def test_the_share_that_went_is_told() -> None:
    pytest.importorskip("selectolax")
    rows = strip_html(batch_of("<b>x</b>", "plain", None, "")).to_pylist()
    expected = [("x", 0.875), ("plain", 0.0), (None, None), ("", None)]
    assert [(row["text"], row["html_removed_share"]) for row in rows] == expected
