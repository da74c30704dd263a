"""The commands that look at a finished run: `dedup show`, `pairs`, `clusters` and `why`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

Item = dict[str, Any]
Command = Callable[..., Any]


def _count(command: Command) -> Command:
    option = click.option(
        "-n", "--number", "n", type=click.IntRange(min=1), metavar="N", default=10, show_default=True, help="How many."
    )
    return option(command)


def _json(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")(command)


@click.command()
@click.argument("output", type=click.Path())
@click.option("--reason", help='Only what was dropped for it, such as "near duplicate".')
@click.option("--source", help="Only of this input, folder or shard.")
@_count
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", default=0, show_default=True, help="Another one shows others."
)
@_json
def show(output: str, as_json: bool, **options: Any) -> None:
    """Show some dropped documents and why they went. They are chosen by chance.

    Example: dedup show out/quickstart --reason "near duplicate" -n 3
    """
    from dedup.report import examples, terminal

    _print(examples.show(output, **options), terminal.tell_dropped, as_json, "no document was dropped")


@click.command()
@click.argument("output", type=click.Path())
@click.option("--below", type=click.FloatRange(min=0), help="Only pairs of less similarity.")
@_count
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Choose by chance, instead of the least similar ones."
)
@_json
def pairs(output: str, as_json: bool, below: float | None, **options: Any) -> None:
    """Show duplicates beside what stays for them. Differences are marked; the least similar come first.

    Example: dedup pairs out/quickstart --below 0.85 -n 3
    """
    from dedup.report import examples, terminal

    nothing = "no document was dropped as a duplicate" + ("" if below is None else f" of similarity below {below}")
    _print(examples.pairs(output, below=below, **options), terminal.tell_pair, as_json, nothing)


@click.command()
@click.argument("output", type=click.Path())
@_count
@_json
def clusters(output: str, as_json: bool, n: int) -> None:
    """Show the largest clusters: what stays, and what went for it.

    Example: dedup clusters out/quickstart -n 3
    """
    from dedup.report import examples, terminal

    _print(examples.clusters(output, n=n), terminal.tell_cluster, as_json, "no document was dropped as a duplicate")


@click.command()
@click.argument("output", type=click.Path())
@click.argument("document_id")
@_json
def why(output: str, document_id: str, as_json: bool) -> None:
    """Tell a document's life. That is its measures, why it went, what it duplicated, what it stands for.

    Example: dedup why out/quickstart en-30
    """
    from dedup.report import life, terminal

    _print(life.why(output, document_id), terminal.tell_life, as_json, "")


COMMANDS = (show, pairs, clusters, why)
NAMES = frozenset(str(command.name) for command in COMMANDS)


def _print(items: Sequence[Item], tell: Callable[[Any, Item], None], as_json: bool, nothing: str) -> None:
    """Items as lines of JSON, or as text: through a pager on a terminal."""
    from dedup.report import terminal
    from dedup.report.visible import json_line

    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None and (sys.stdout.encoding or "").lower().replace("-", "") != "utf8":
        reconfigure(errors="replace")
    if as_json:
        for item in items:
            click.echo(json_line(item))
        return
    screen = terminal.screen()
    for place, item in enumerate(items):
        if place:
            screen.line()
        tell(screen, item)
    shown = screen.text() if items else nothing
    if sys.stdout.isatty():
        os.environ.setdefault("LESS", "-FRX")  # colours, and no waiting where all of it fits
        click.echo_via_pager(shown + "\n", color=screen.colour)
    else:
        click.echo(shown)
