"""Measures of a document's address: its host, its registered domain, block lists of domains and of words.

An address is cut by a linear-time expression and its host looked up once a batch, since the documents of a crawl come
from few hosts: the list of public suffixes then costs 7 µs a host, not a document. That list comes with the package
publicsuffixlist (the extra "url"; 340 KB, no dependency, released weekly, never asks the network), where tldextract
needs three more packages and a cache folder.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from dedup import buffers
from dedup.errors import RecipeError, nearest
from dedup.io.named import FilePath
from dedup.measure.lists import entries

# Scheme, perhaps a user, host (a name or an IPv6 address in brackets), perhaps a port. A name holds no white space,
# no ASCII control and none of the signs that RFC 3986 gives a meaning.
_PARTS = (
    r"^\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#\\@\s]*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\x00-\x20\x7f/?#\\@:\[\]<>\"^`{|}%]+)(?::[0-9]*)?(?:[/?#\\].*)?\s*$"
)


def url(
    batch: pa.RecordBatch,
    *,
    column: str = "url",
    block_domains: FilePath | list[str] | None = None,
    block_words: FilePath | list[str] | None = None,
    block_parts: FilePath | list[str] | None = None,
) -> pa.RecordBatch:
    """Add what rules for addresses look at.

    column                  type    what                                                          drop if
    url_host                string  the host, lower case, without port; IPv6 without brackets
    url_domain              string  the registered domain: "example.co.uk" of "a.b.example.co.uk"
    url_is_blocked          bool    the host or a domain above it is in block_domains              true
    url_blocked_word_count  int64   places where one of block_words is a whole word                > 0 or > 1
    url_blocked_part_count  int64   places where one of block_parts is, inside words too           > 0

    column         the column of addresses, with a scheme ("https://...") or beginning with "//"
    block_domains  a list, or a UTF-8 file of one a line: domains ("example.com" blocks "a.example.com") or hosts;
                   without it there is no url_is_blocked, and likewise for the next two
    block_words    words, that letters or digits neither precede nor follow: RefinedWeb's hard words (> 0), and its soft
                   words (> 1)
    block_parts    RefinedWeb's strict sub-words

    All are null where there is no address or it is malformed. The domain is null for an IP address and for a public
    suffix itself ("com", "github.io", "localhost"). The suffixes are those of publicsuffix.org, ICANN's and the
    private ones ("a.github.io" is a domain); an unknown top-level domain counts as one. Names in the letters of a
    country and in Punycode are left as they are and are different names. Words are compared by the folding of design
    6.1; percent-encoding is left as it is.

    Source: RefinedWeb (Penedo et al. 2023), section 3.1 and appendix G.1; FineWeb uses the same kinds of lists.
    """
    if column not in batch.schema.names:
        raise RecipeError(f"column is {column!r}: there is no such column; {nearest(column, batch.schema.names)}")
    domain_of = _registered_domain()
    load = batch.num_rows > 0
    given = {"block_domains": block_domains, "block_words": block_words, "block_parts": block_parts}
    lists = {name: entries(name, value, load=load) for name, value in given.items() if value is not None}
    fields = [pa.field("url_host", pa.string()), pa.field("url_domain", pa.string())]
    added = {
        "block_domains": pa.field("url_is_blocked", pa.bool_()),
        "block_words": pa.field("url_blocked_word_count", pa.int64()),
        "block_parts": pa.field("url_blocked_part_count", pa.int64()),
    }
    fields += [added[name] for name in lists]
    if batch.num_rows == 0:
        columns = [pa.array([], field.type) for field in fields]
    else:
        columns = _measured(buffers.large_strings(batch[column]), lists, domain_of)
    return buffers.with_columns(batch, dict(zip(fields, columns, strict=True)))


def _measured(
    addresses: pa.Array, lists: dict[str, tuple[str, ...]], domain_of: Callable[[str], str | None]
) -> list[pa.Array]:
    found = pc.struct_field(pc.extract_regex(addresses, _PARTS), "host")
    encoded = pc.utf8_lower(pc.utf8_trim(found, "[].")).dictionary_encode()
    hosts = [host or None for host in encoded.dictionary.to_pylist()]
    columns = [
        pa.array(hosts, pa.string()).take(encoded.indices),
        pa.array([host and domain_of(host) for host in hosts], pa.string()).take(encoded.indices),
    ]
    if "block_domains" in lists:
        blocked = _domains(lists["block_domains"])
        known = [host and any(name in blocked for name in _names_above(host)) for host in hosts]
        columns.append(pa.array(known, pa.bool_()).take(encoded.indices))
    missing = columns[0].is_null().to_numpy(zero_copy_only=False)
    words = {name: listed for name, listed in lists.items() if name != "block_domains"}
    if words:
        from dedup.measure.words import count_hits

        hits = count_hits(addresses, tuple(words.values()), tuple(name == "block_words" for name in words))
        columns += [buffers.numbers(hits[:, i, 0], missing) for i in range(len(words))]
    return columns


def _names_above(host: str) -> list[str]:
    """The host and the domains above it: "a.b.c", "b.c", "c"."""
    labels = host.split(".")
    return [".".join(labels[i:]) for i in range(len(labels))]


@functools.lru_cache(maxsize=8)
def _domains(listed: tuple[str, ...]) -> frozenset[str]:
    return frozenset(domain.lower().strip(".") for domain in listed)


@functools.cache
def _registered_domain() -> Callable[[str], str | None]:
    """The registered domain of a host, None where there is none. Finding the package is cheap, its list is not."""
    try:
        from publicsuffixlist import PublicSuffixList
    except ImportError:
        raise RecipeError("measure.url needs the package publicsuffixlist: pip install 'dedup[url]'") from None

    suffixes = functools.cache(PublicSuffixList)  # read when a host is looked up: 60 ms

    def domain(host: str) -> str | None:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            found: str | None = suffixes().privatesuffix(host)
            return found
        return None

    return domain
