"""Hosts and domains of addresses, and block lists."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.errors import RecipeError
from dedup.measure import url as module
from dedup.measure.url import url

pytest.importorskip("publicsuffixlist")


def measured(*addresses: str | None, **settings: Any) -> dict[str, list[Any]]:
    batch = pa.record_batch({"url": pa.array(addresses, pa.string())})
    return url(batch, **settings).drop_columns(["url"]).to_pydict()


@pytest.mark.parametrize(
    ("address", "host", "domain"),
    [
        ("https://www.example.com/a?b#c", "www.example.com", "example.com"),
        ("http://A.B.Example.CO.UK:8080", "a.b.example.co.uk", "example.co.uk"),
        ("//example.org", "example.org", "example.org"),
        (" ftp://user:word@files.example.org/x@y ", "files.example.org", "example.org"),
        ("https://example.com./", "example.com", "example.com"),
        ("https://me.github.io/page", "me.github.io", "me.github.io"),
        ("https://github.io/", "github.io", None),
        ("http://localhost:80/", "localhost", None),
        ("http://127.0.0.1/a.com", "127.0.0.1", None),
        ("http://[2001:DB8::1]:443/", "2001:db8::1", None),
        ("http://例子.中国/路径", "例子.中国", "例子.中国"),
        ("http://xn--fsqu00a.xn--fiqs8s", "xn--fsqu00a.xn--fiqs8s", "xn--fsqu00a.xn--fiqs8s"),
        ("http://a.b.unheardof", "a.b.unheardof", "b.unheardof"),
        ("https://example.com?next=https://other.org", "example.com", "example.com"),
        (r"https://example.com\a", "example.com", "example.com"),
        ("example.com/page", None, None),
        ("mailto:me@example.com", None, None),
        ("https:///path", None, None),
        ("https://exa mple.com", None, None),
        ("https://exa%20mple.com", None, None),
        ("https://example.com:port/", None, None),
        ("https://./", None, None),
        ("nonsense", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_host_and_domain_of_an_address(address: str | None, host: str | None, domain: str | None) -> None:
    assert measured(address) == {"url_host": [host], "url_domain": [domain]}


def test_a_domain_blocks_what_is_below_it_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "domains.txt"
    file.write_text("Bad.example\nhost.good.example\n\nevil.org.\n10.0.0.1\n", "utf-8")
    hosts = ["bad.example", "a.b.bad.example", "notbad.example", "good.example", "host.good.example", "EVIL.org"]
    found = measured(*(f"http://{host}/" for host in [*hosts, "10.0.0.1"]), "no", block_domains=str(file))
    assert found["url_is_blocked"] == [True, True, False, False, True, True, True, None]


def test_words_are_whole_and_parts_are_anywhere() -> None:
    addresses = ["https://essex.uk/sex/SEX-shop?q=sexy", "https://a.uk/", "sex"]
    found = measured(*addresses, block_words=["sex", "shop"], block_parts=["sex"])
    assert found["url_blocked_word_count"] == [3, 0, None]
    assert found["url_blocked_part_count"] == [4, 0, None]


def test_a_column_is_there_only_if_its_list_is_given() -> None:
    assert list(measured("http://a.uk")) == ["url_host", "url_domain"]
    assert list(measured("http://a.uk", block_parts=[])) == ["url_host", "url_domain", "url_blocked_part_count"]


def test_every_host_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def domain(host: str) -> str:
        seen.append(host)
        return "x"

    monkeypatch.setattr(module, "_registered_domain", lambda: domain)
    assert measured(*["http://a.uk/1", "http://A.uk/2", "https://b.uk", None] * 100)["url_domain"][3] is None
    assert seen == ["a.uk", "b.uk"]


def test_zero_rows_have_the_schema_of_many_and_need_the_files() -> None:
    many = pa.record_batch({"url": pa.array(["http://a.uk", None]), "text": ["a", "b"]})
    lists: dict[str, Any] = {"block_domains": [], "block_words": [], "block_parts": []}
    assert url(many.slice(0, 0), **lists).schema == url(many, **lists).schema
    with pytest.raises(RecipeError, match=r"block_domains: there is no file 'no.txt'"):
        url(many.slice(0, 0), block_domains="no.txt")


def test_addresses_of_another_column_and_type() -> None:
    column = pa.array(["http://a.uk", None, "http://a.uk"]).dictionary_encode()
    found = url(pa.record_batch({"link": column}), column="link")
    assert found["url_host"].to_pylist() == ["a.uk", None, "a.uk"]
    with pytest.raises(RecipeError, match=r"column is 'url': there is no such column; known: link"):
        url(pa.record_batch({"link": column}))


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "publicsuffixlist", None)
    module._registered_domain.cache_clear()
    with pytest.raises(
        RecipeError, match=r"measure.url needs the package publicsuffixlist: pip install 'dedup\[url\]'"
    ):
        measured("http://a.uk")
    module._registered_domain.cache_clear()


names = st.from_regex(r"\A[a-z0-9äб中-]{1,8}(\.[a-z0-9]{1,5}){0,3}\Z")


@settings(max_examples=200, deadline=None)
@given(names, st.sampled_from(["", ":80", ":"]), st.text("ab/?#@:.%[]中 ", max_size=10))
def test_the_host_is_the_one_that_python_finds(host: str, port: str, rest: str) -> None:
    address = f"https://{host}{port}/{rest}"
    assert measured(address)["url_host"] == [urlsplit(address).hostname]


@settings(max_examples=300, deadline=None)
@given(st.text("ab.:/?#@[]\\% 1中\n\0", max_size=20))
def test_any_text_at_all_has_a_clean_host_or_none(text: str) -> None:
    host = measured(f"http://{text}")["url_host"][0]
    assert host is None or (host and not set(host) & set("/?#@[]\\% \n\0") and host == host.strip("."))
