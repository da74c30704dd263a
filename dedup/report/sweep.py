"""A sweep for the terminal: a table with a bar a value, and documents that go at one value and stay at the next."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import click

from dedup.errors import UserError

if TYPE_CHECKING:
    from dedup.runner.sweep import Point

BAR = 40  # characters of a bar of all documents
EXCERPT = 70


@click.command()
@click.argument("output", type=click.Path())
@click.option("--rule", "rules", multiple=True, metavar="COLUMN.BOUND=V,V", help="A bound and values to try.")
@click.option("--threshold", metavar="T,T", help="Thresholds of the near step to try.")
@click.option("--workers", type=click.IntRange(min=0), metavar="N", help="Processes; 0: one a core.")
@click.option("--memory", metavar="SIZE", help="As for a run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a value.")
def sweep(output: str, rules: tuple[str, ...], threshold: str | None, as_json: bool, **how: Any) -> None:
    """Tell what a run would have kept with other bounds. Exactly, and without running again.

    OUTPUT was made with --keep-work, unless no barrier follows the rule. Values that drop less than the run did can
    need measure_all = true in its recipe.

    Example: dedup sweep out/kept --rule word_count.below=20,50,100
    """
    from dedup.runner.sweep import points

    asked = dict(_parse(rule) for rule in rules)
    wanted = None if threshold is None else _numbers("--threshold", threshold)
    given = {key: value for key, value in how.items() if value is not None}
    found = points(output, rule=asked, threshold=wanted, how=given)
    if as_json:
        for point in found:
            click.echo(json.dumps(point.line()))
        return
    for _, group in itertools.groupby(found, lambda point: point.rule):
        click.echo("\n".join(_lines(list(group), output)))


def _parse(rule: str) -> tuple[str, list[float]]:
    name, equals, values = rule.partition("=")
    if not equals:
        raise UserError(f"--rule {rule}: write COLUMN.BOUND=values, such as word_count.below=20,50,100")
    return name, _numbers(f"--rule {name}", values)


def _numbers(where: str, values: str) -> list[float]:
    try:
        return [float(word) if {".", "e"} & set(word) else int(word.replace("_", "")) for word in values.split(",")]
    except ValueError:
        raise UserError(f"{where}: {values!r} is not numbers with commas between, such as 20,50,100") from None


def _lines(group: list[Point], output: str) -> list[str]:
    name = group[0].rule or "threshold"
    width = max(len(name), 13)
    lines = [f"{name:<{width}} {'kept':>13} {'share':>6} {'dropped':>13}"]
    for point in group:
        total = max(point.documents_kept + point.documents_dropped, 1)
        share = point.documents_kept / total
        value = f"{point.value:g}" + (" (the run)" if point.is_run else "")
        lines.append(
            f"{value:>{width}} {point.documents_kept:>13,} {share:>6.1%} {point.documents_dropped:>13,}  "
            f"{'█' * round(share * BAR)}".rstrip()
        )
    if not any(point.examples for point in group):
        return lines
    named = _texts(output, [doc_id for point in group for doc_id in point.examples])
    for before, point in itertools.pairwise(group):
        if point.examples:
            goes = point.documents_kept < before.documents_kept
            one, other = (before, point) if goes else (point, before)
            lines += ["", f"kept at {one.value:g}, dropped at {other.value:g}:"]
            lines += [f"  {named[doc_id]}" for doc_id in point.examples]
    return lines


def _texts(output: str, doc_ids: list[int]) -> dict[int, str]:
    """The id and the beginning of the text of some documents."""
    import pyarrow.parquet as pq

    from dedup.io.place import parquet_source
    from dedup.report.finished import Finished
    from dedup.report.texts import excerpt, texts
    from dedup.report.visible import visible

    finished = Finished(output)
    path = parquet_source(finished.output / "report" / "documents.parquet")
    table = pq.read_table(path, columns=["doc_id", "id"], filters=[("doc_id", "in", doc_ids)])
    ids = dict(zip(*table.to_pydict().values(), strict=True))
    found = texts(finished, doc_ids, most=EXCERPT * 4)
    return {
        doc_id: f"{visible(ids[doc_id])}  {visible(excerpt(' '.join((found[doc_id].text or '').split()), EXCERPT))}"
        for doc_id in doc_ids
    }
