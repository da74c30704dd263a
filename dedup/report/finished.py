"""The files of a finished output that say what it was made of: its recipe and its shards."""

from __future__ import annotations

import tomllib
from functools import cached_property
from typing import Any

import pyarrow.parquet as pq

from dedup.io.place import parquet_source
from dedup.io.shards import Shard
from dedup.runner.result import Result


class Finished(Result):
    """A finished run's output folder, with what is said in its recipe and its manifest."""

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """recipe.toml: the recipe as run."""
        return tomllib.loads((self.output / "recipe.toml").read_text(encoding="utf-8"))

    @cached_property
    def shards(self) -> dict[int, Shard]:
        """manifest.parquet: what was read, by number, what was only compared with included."""
        rows = pq.read_table(parquet_source(self.output / "manifest.parquet")).to_pylist()
        return {row["number"]: Shard(**row) for row in rows}


def source_of(shard: Shard) -> str:
    """Where documents come from, for people: the input's name, else the first folder of the shard's, else its name."""
    return shard.input if shard.input is not None else shard.name.partition("/")[0]
