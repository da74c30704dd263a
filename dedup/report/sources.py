"""Which source a document is of: what tables and pages group by, beside reasons and languages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dedup.buffers import Int64s
from dedup.report.finished import Finished, source_of

INDEX = "(index)"  # the source of a twin that only an index knows


@dataclass(frozen=True)
class Sources:
    """The shards of a run and their sources.

    numbers   int64[n]   of shards, ascending
    shards    their names
    sources   the names of sources, in the order of their first shards
    of_shard  int64[n]   the place of each shard's source in `sources`
    """

    numbers: Int64s
    shards: tuple[str, ...]
    sources: tuple[str, ...]
    of_shard: Int64s

    def shard_places(self, doc_ids: Int64s) -> Int64s:
        """The places of the documents' shards."""
        return np.searchsorted(self.numbers, doc_ids >> 40)

    def of(self, doc_ids: pa.Array) -> pa.Array:
        """The name of each document's source; INDEX for a null."""
        places = self.of_shard[np.minimum(self.shard_places(doc_ids.fill_null(0).to_numpy()), len(self.numbers) - 1)]
        names = pa.array([*self.sources, INDEX])
        known = doc_ids.is_valid().to_numpy(zero_copy_only=False)
        return names.take(pa.array(np.where(known, places, len(self.sources))))


def sources_of(finished: Finished) -> Sources:
    """The shards that manifest.parquet lists."""
    shards = [finished.shards[number] for number in sorted(finished.shards)]
    named = [source_of(shard) for shard in shards]
    sources = tuple(dict.fromkeys(named))
    places = {name: place for place, name in enumerate(sources)}
    return Sources(
        np.array([shard.number for shard in shards], np.int64),
        tuple(shard.name for shard in shards),
        sources,
        np.array([places[name] for name in named], np.int64),
    )
