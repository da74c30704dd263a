"""report.html: the tables of a report as one page that opens by itself, without a network and without scripts.

What the page says is taken from the rows of the tables, so that a figure and a table cannot differ. Everything that
comes from documents, files or recipes is shown by `dedup.report.shown` and escaped by the template.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dedup import drop
from dedup.recipe import Recipe
from dedup.report import pictures, shown
from dedup.report.differences import CUT, LEFT, RIGHT, differences, windows
from dedup.report.tables import LEAST_REMOVED, MOST_KEPT

Rows = Sequence[dict[str, Any]]
# What a page shows of long tables; the tables have all.
MOST_ROWS = 15
MOST_SOURCES = 10
MOST_MEASURES = 60
MOST_REASONS = 40
DUPLICATES = ("exact duplicate", "near duplicate")


def render(summary: dict[str, Any], recipe: Recipe, tables: Mapping[str, Rows]) -> str:
    """The page of a run."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "count": shown.count, "size": shown.size, "name": shown.name, "visible": shown.visible,
        "seconds": shown.seconds, "value": shown.value,
    }  # fmt: skip
    environment.globals["share"] = shown.share
    with pictures.styled():
        facts = _facts(summary, recipe, tables)
    text: str = environment.get_template("page.html.j2").render(**facts)
    return text


def _facts(summary: dict[str, Any], recipe: Recipe, tables: Mapping[str, Rows]) -> dict[str, Any]:
    thresholds = sorted({step.settings["threshold"] for step in recipe.step if step.kind == "near"})
    performance = tables["performance"]
    return {
        "summary": summary,
        "title": f"{summary['documents_in']:,} documents in, {summary['documents_kept']:,} kept",
        "funnel": {"rows": tables["funnel"], "picture": _svg(pictures.funnel(tables["funnel"])),
                   "has_tokens": any(row["tokens"] is not None for row in tables["funnel"])},
        "reasons": _reasons(tables["drops"]),
        "by": [_by(tables["drops"], key, told) for key, told in (
            ("source", "source"), ("language", "language"), ("shard", "shard"))],
        "measures": _measures(tables["measures"], tables["rules"]),
        "rules": _rules(tables["rules"]),
        "similarities": _similarities(tables["similarities"], thresholds),
        "clusters": _clusters(tables["clusters"], tables["largest_clusters"]),
        "sources": _matrix(tables["sources"]),
        "pairs": [_pairs(tables["pairs"], which) for which in (LEAST_REMOVED, MOST_KEPT)],
        "examples": _examples(tables["dropped_examples"], tables["drops"]),
        "performance": _performance(performance),
        "settings": _settings(recipe),
        "thresholds": thresholds,
    }  # fmt: skip


def _svg(text: str) -> Any:
    """A picture, which the template does not escape."""
    from markupsafe import Markup

    return Markup(text)  # of pictures.py, which escapes what it is given


# Sections


def _reasons(drops: Rows) -> list[dict[str, Any]]:
    """Reasons with documents and bytes, the most frequent first."""
    found: dict[str, dict[str, Any]] = {}
    for row in drops:
        if row[drop.REASON] is not None:
            one = found.setdefault(row[drop.REASON], {"reason": row[drop.REASON], "documents": 0, "bytes": 0})
            one["documents"] += row["documents"]
            one["bytes"] += row["bytes"]
    return sorted(found.values(), key=lambda one: (-one["documents"], one["reason"]))


def _by(drops: Rows, key: str, told: str) -> dict[str, Any]:
    """Of each source, language or shard how much went, and by which reasons most."""
    found: dict[str | None, dict[str, Any]] = {}
    for row in drops:
        one = found.setdefault(
            row[key], {"name": row[key], "documents": 0, "dropped": 0, "duplicates": 0, "bytes": 0, "reasons": {}}
        )
        one["documents"] += row["documents"]
        one["bytes"] += row["bytes"]
        reason = row[drop.REASON]
        if reason is not None:
            one["dropped"] += row["documents"]
            one["duplicates"] += row["documents"] if reason in DUPLICATES else 0
            one["reasons"][reason] = one["reasons"].get(reason, 0) + row["documents"]
    for one in found.values():
        order = sorted(one["reasons"].items(), key=lambda item: (-item[1], item[0]))
        one["reasons"] = order[:2]
    by_loss = key == "shard"
    rows = sorted(
        found.values(),
        key=lambda one: (-(one["dropped"] if by_loss else one["documents"]), one["name"] or ""),
    )
    return {
        "key": told, "rows": rows[:MOST_ROWS], "all": len(rows), "by_loss": by_loss,
        "is_known": any(one["name"] is not None for one in rows),
    }  # fmt: skip


def _measures(rows: Rows, rules: Rows) -> dict[str, Any]:
    """A picture of each measure, those that rules look at first."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["measure"], []).append(row)
    bounded: dict[str, list[dict[str, Any]]] = {}
    for rule in rules:
        if rule["column"] is not None:
            bounded.setdefault(rule["column"], []).append(rule)
    order = sorted(by_name, key=lambda name: name not in bounded)
    return {
        "all": len(order),
        "shown": [_measure(name, by_name[name], bounded.get(name, [])) for name in order[:MOST_MEASURES]],
    }


def _measure(name: str, rows: Rows, rules: Rows) -> dict[str, Any]:
    inner = [row for row in rows if row["low"] is not None and row["high"] is not None]
    total = sum(row["documents_kept"] + row["documents_dropped"] for row in rows)
    nothing = [row for row in rows if row["low"] is row["high"] is row["label"] is None]
    below = [row for row in rows if row["low"] is None and row["high"] is not None]
    above = [row for row in rows if row["low"] is not None and row["high"] is None]
    picture = None
    if inner and any(_documents([row]) for row in rows if row not in nothing):
        bounds = [(rule["bound"], float(json.loads(rule["value"]))) for rule in rules
                  if rule["bound"] in ("below", "above")]  # fmt: skip
        picture = _svg(pictures.histogram(name, rows, bounds))
    elif any(row["label"] is not None for row in rows):
        picture = _svg(pictures.labels(name, rows))
    measured = total - _documents(nothing)
    return {
        "name": name, "picture": picture, "rules": rules, "measured": measured, "nothing": _documents(nothing),
        "below": _documents(below), "above": _documents(above), "low": inner[0]["low"] if inner else 0,
        "high": inner[-1]["high"] if inner else 0, "labels": sum(row["label"] is not None for row in rows),
    }  # fmt: skip


def _documents(rows: Iterable[dict[str, Any]]) -> int:
    return sum(row["documents_kept"] + row["documents_dropped"] for row in rows)


def _rules(rows: Rows) -> dict[str, Any]:
    return {"rows": rows, "never": [row[drop.REASON] for row in rows if not row["documents_dropped"]]}


def _similarities(rows: Rows, thresholds: Sequence[float]) -> dict[str, Any]:
    def count(kind: str) -> int:
        return sum(row["duplicates"] for row in rows if row["kind"] == kind)

    near = [row for row in rows if row["kind"] == "near" and row["low"] is not None]
    low = sum(row["duplicates"] for row in near if thresholds and row["low"] < max(thresholds) + 0.05 - 1e-9)
    return {
        "exact": count("exact"), "near": count("near"), "close": low,
        "unverified": sum(row["duplicates"] for row in rows if not row["verified"] and row["kind"] == "near"),
        "through": sum(row["duplicates"] for row in rows if row["low"] is None),
        "picture": _svg(pictures.similarities(rows, thresholds)) if near else None,
    }  # fmt: skip


def _clusters(rows: Rows, largest: Rows) -> dict[str, Any]:
    documents = sum(row["size"] * row["clusters"] for row in rows)
    clusters = sum(row["clusters"] for row in rows)
    return {
        "count": clusters, "documents": documents, "largest": largest,
        "picture": _svg(pictures.clusters(rows)) if rows else None,
        "top": max((row["size"] for row in rows), default=0),
        "pairs": sum(row["clusters"] for row in rows if row["size"] == 2),
    }  # fmt: skip


def _matrix(rows: Rows) -> dict[str, Any]:
    """Bytes of duplicates by source and the source of the document that stays, of the sources with the most."""
    mass: dict[str, int] = {}
    for row in rows:
        for key in {row["source"], row["duplicate_of_source"]}:
            mass[key] = mass.get(key, 0) + row["bytes"]
    names = sorted(mass, key=lambda name: (-mass[name], name))[:MOST_SOURCES]
    cells = {(row["source"], row["duplicate_of_source"]): row for row in rows}
    most = max((row["bytes"] for row in rows), default=0)
    lines = [
        [
            {
                "bytes": cells.get((source, twin), {}).get("bytes", 0),
                "duplicates": cells.get((source, twin), {}).get("duplicates", 0),
                "strength": round(100 * (cells.get((source, twin), {}).get("bytes", 0) / most) ** 0.5) if most else 0,
            }
            for twin in names
        ]
        for source in names
    ]
    between = sum(row["bytes"] for row in rows if row["source"] != row["duplicate_of_source"])
    return {"names": names, "lines": lines, "all": len(mass), "bytes": sum(row["bytes"] for row in rows),
            "between": between}  # fmt: skip


def _pairs(rows: Rows, which: str) -> dict[str, Any]:
    found = []
    for row in (row for row in rows if row["which"] == which):
        spans = None
        if row["text"] is not None and row["other_text"] is not None:
            cut = windows(differences(row["text"], row["other_text"]), most=1_600)
            spans = [[span for span in cut if span.kind != other] for other in (RIGHT, LEFT)]
        found.append({**row, "spans": spans})
    return {"which": which, "rows": found, "cut": CUT}


def _examples(rows: Rows, drops: Rows) -> dict[str, Any]:
    counts = {one["reason"]: one["documents"] for one in _reasons(drops)}
    by_reason: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_reason.setdefault(row[drop.REASON], []).append(row)
    shown_reasons = list(by_reason.items())[:MOST_REASONS]
    return {
        "all": len(by_reason),
        "reasons": [{"reason": reason, "documents": counts[reason], "rows": some} for reason, some in shown_reasons],
    }


def _performance(rows: Rows) -> dict[str, Any]:
    numbers = {row["name"]: row["number"] for row in rows if row["section"] == "run"}
    parts = sorted((row for row in rows if row["section"] == "part"), key=lambda row: (-row["number"], row["name"]))
    return {
        **numbers,
        "parts": parts,
        "picture": _svg(pictures.parts(parts[:MOST_ROWS])) if parts else None,
        "versions": [row for row in rows if row["section"] == "version"],
        "warnings": [row["text"] for row in rows if row["section"] == "warning"],
    }


def _settings(recipe: Recipe) -> str:
    """recipe.toml as run."""
    import tomli_w

    return tomli_w.dumps(recipe.as_dict())
