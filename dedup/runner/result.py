"""What a run hands back: its summary, and its tables opened when asked for."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

from dedup.errors import UserError
from dedup.io.place import Place, Remote, at, files_below, parquet_source


class Result:
    """A finished run's output folder.

    summary     the numbers of report/summary.json
    exit_code   0 done; 1 done, but shards or many rows were rejected
    """

    def __init__(self, output: str | Place) -> None:
        self.output = output if isinstance(output, Remote) else at(output)
        path = self.output / "report" / "summary.json"
        try:
            self.summary: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            raise UserError(f"{output}: no finished run there (report/summary.json is missing)") from None

    @property
    def exit_code(self) -> int:
        """As the command would exit."""
        return int(self.summary["exit_code"])

    @cached_property
    def duplicates(self) -> pa.Table:
        """duplicates.parquet: one row a duplicate, by doc_id."""
        return self._table("duplicates.parquet")

    @cached_property
    def documents(self) -> pa.Table:
        """report/documents.parquet: id, doc_id, drop_reason and every measure, for every document."""
        return self._table("report/documents.parquet")

    @cached_property
    def dropped(self) -> pa.Table:
        """dropped/: every dropped document with its reason and text, by shard and row."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        files = sorted(files_below(self.output / "dropped"), key=lambda path: path.split("/"))
        return pa.concat_tables([pq.read_table(parquet_source(file)) for file in files]) if files else pa.table({})

    def _table(self, name: str) -> pa.Table:
        import pyarrow.parquet as pq

        return pq.read_table(parquet_source(self.output / name))

    def __repr__(self) -> str:
        s = self.summary
        return f"<dedup.Result {self.output}: {s['documents_kept']:,} of {s['documents_in']:,} documents kept>"
