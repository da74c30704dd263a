"""What a run writes when all else is there: the tables of its report, and the page.

The page is a picture of the tables and the tables are a picture of the output; `dedup report` makes both again. A page
that cannot be made does not make a run fail that is done.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dedup import recipe as recipes
from dedup.errors import one_line
from dedup.io.files import replacing
from dedup.io.place import Place, parquet_source
from dedup.recipe import Recipe
from dedup.report import tables
from dedup.report.finished import Finished
from dedup.report.sources import sources_of
from dedup.report.summary import notes

PAGE = "report.html"
WANTED = "DEDUP_REPORT"  # in the environment: 0 for runs without a page
NEEDED = ("matplotlib", "jinja2")
ADVICE = "no report.html was made; pip install 'dedup[report]', then: dedup report {output}"
VERSIONS = ("pyarrow", "numpy", "numba", "ftfy", "langdetect")
PERFORMANCE = pa.schema(
    [("section", pa.string()), ("name", pa.string()), ("number", pa.float64()), ("text", pa.large_string())]
)
_KEY = b"run"


def after_run(output: Place, say: Callable[[str], None], warn: Callable[[str], None], *, page: bool) -> None:
    """Write the report of a run that has just finished, unless it is there already: the last thing that a run does.

    say, warn   tell what may be of use, and what should be known
    page        whether a page is wanted, too
    """
    finished = Finished(output)
    if _written_for(output) == finished.summary["key"]:
        return
    recipe, made = _write_tables(finished)
    if page and os.environ.get(WANTED) != "0":
        if not _can_draw():
            say(ADVICE.format(output=output))
        else:
            try:
                _write_page(finished, recipe, made)
            except Exception as error:  # of drawing: a run of hours is done, and its tables are there
                warn(f"report.html could not be made ({type(error).__name__}: {one_line(error)}); all else is written")
    _finish(finished, made)


def again(output: str, say: Callable[[str], None]) -> str:
    """Make the report of a finished output anew; the path of its page, or of its tables where the extra is absent."""
    finished = Finished(output)
    recipe, made = _write_tables(finished)
    can_draw = _can_draw()
    if can_draw:
        _write_page(finished, recipe, made)
    else:
        say(ADVICE.format(output=output))
    _finish(finished, made)
    return str(finished.output / "report" / PAGE if can_draw else finished.output / "report")


def _can_draw() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in NEEDED)


def _write_tables(finished: Finished) -> tuple[Recipe, dict[str, tables.Rows]]:
    recipe = recipes.load(str(finished.output / "recipe.toml"))
    made = tables.make(finished, recipe, sources_of(finished))
    tables.write(finished.output / "report", made)
    return recipe, made | {"performance": list(performance(finished.summary))}


def _write_page(finished: Finished, recipe: Recipe, made: dict[str, tables.Rows]) -> None:
    from dedup.report.page import render

    text = render(finished.summary, recipe, made)
    with replacing(finished.output / "report" / PAGE) as temporary:
        temporary.write_text(text, "utf-8")


def _finish(finished: Finished, made: dict[str, tables.Rows]) -> None:
    """Write the last table, which says for which run all of them are."""
    schema = PERFORMANCE.with_metadata({_KEY: finished.summary["key"]})
    tables.write_one(finished.output / "report" / "performance.parquet", schema, made["performance"])


def _written_for(output: Place) -> str | None:
    """The key of the run that report/ is of, where it is complete."""
    try:
        schema = pq.read_schema(parquet_source(output / "report" / "performance.parquet"))
    except (OSError, pa.ArrowException):
        return None
    metadata: dict[bytes, bytes] = schema.metadata or {}
    return metadata.get(_KEY, b"").decode()


def performance(summary: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """How a run went: CPU seconds by part, what it took, versions, and what should be known."""

    def row(section: str, name: str, number: float | None = None, text: str | None = None) -> dict[str, Any]:
        return {"section": section, "name": name, "number": number, "text": text}

    for name in ("seconds", "cpu_seconds", "peak_rss_bytes", "workers"):
        yield row("run", name, float(summary[name]))
    yield row("run", "bytes_in", float(summary["bytes_in"]))
    yield from (row("part", name, seconds) for name, seconds in summary["cpu_seconds_by_part"].items())
    yield row("version", "dedup", text=summary["version"])
    yield row("version", "Python", text=platform.python_version())
    yield from (row("version", name, text=importlib.metadata.version(name)) for name in VERSIONS)
    yield row("version", "machine", text=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    yield from (row("warning", "", text=note) for note in notes(summary))
