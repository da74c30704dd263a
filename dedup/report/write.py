"""What a run writes when all else is there: the tables of its report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dedup import recipe as recipes
from dedup.io.place import Place, parquet_source
from dedup.report import tables
from dedup.report.finished import Finished
from dedup.report.sources import sources_of
from dedup.report.summary import notes

VERSIONS = ("pyarrow", "numpy", "numba", "ftfy", "langdetect")
PERFORMANCE = pa.schema(
    [("section", pa.string()), ("name", pa.string()), ("number", pa.float64()), ("text", pa.large_string())]
)
_KEY = b"run"


def after_run(output: Place) -> None:
    """Write the report of a run that has just finished, unless it is there already: the last thing that a run does."""
    finished = Finished(output)
    if _written_for(output) == finished.summary["key"]:
        return
    _finish(finished, _write_tables(finished))


def again(output: str) -> str:
    """Make the report of a finished output anew; its folder."""
    finished = Finished(output)
    _finish(finished, _write_tables(finished))
    return str(finished.output / "report")


def _write_tables(finished: Finished) -> dict[str, tables.Rows]:
    recipe = recipes.load(str(finished.output / "recipe.toml"))
    made = tables.make(finished, recipe, sources_of(finished))
    tables.write(finished.output / "report", made)
    return made | {"performance": list(performance(finished.summary))}


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
