"""The files of a finished output that say what it was made of: its recipe and its shards."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dedup.errors import UserError, one_line
from dedup.io.place import parquet_source
from dedup.io.shards import Shard
from dedup.runner.result import Result

_GONE = "is not there any more; it is needed to look at the run"


class Finished(Result):
    """A finished run's output folder, with what is said in its recipe and its manifest."""

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """recipe.toml: the recipe as run."""
        path = self.output / "recipe.toml"
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path} {_GONE}") from None

    @cached_property
    def shards(self) -> dict[int, Shard]:
        """manifest.parquet: what was read, by number, what was only compared with included."""
        with self.parquet("manifest.parquet") as file:
            rows = file.read().to_pylist()
        return {row["number"]: Shard(**row) for row in rows}

    @contextlib.contextmanager
    def parquet(self, name: str) -> Iterator[Any]:
        """One of its Parquet files to read from, closed at the end; UserError where it is gone or broken."""
        path = self.output / name
        try:
            with pq.ParquetFile(parquet_source(path), pre_buffer=False) as file:
                yield file
        except FileNotFoundError:
            raise UserError(f"{path} {_GONE}") from None
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{path} cannot be read ({one_line(error)}); it is needed to look at the run") from error


def source_of(shard: Shard) -> str:
    """Where documents come from, for people: the input's name, else the first folder of the shard's, else its name."""
    return shard.input if shard.input is not None else shard.name.partition("/")[0]
