"""What a run hands back: its summary, and its tables opened when asked for."""

from __future__ import annotations

import html
import importlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dedup.errors import UserError, nearest
from dedup.io.place import Place, Remote, at, files_below, parquet_source

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("duplicates", "documents", "dropped")


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

    def table(self, name: str) -> pa.Table:
        """One of "duplicates", "documents" and "dropped", or a table of report/, such as "funnel"."""
        if name in TABLES:
            found: pa.Table = getattr(self, name)
            return found
        made = {path.rpartition("/")[2] for path in files_below(self.output / "report")}
        names = [*TABLES, *sorted(file.removesuffix(".parquet") for file in made if file.endswith(".parquet"))]
        if name not in names:
            raise UserError(f"{self.output}: there is no table {name!r}; {nearest(name, names)}")
        return self._table(f"report/{name}.parquet")

    def to_pandas(self, name: str) -> Any:
        """A table as a pandas.DataFrame; names are those of `table`."""
        _package("pandas")
        return self.table(name).to_pandas()

    def to_polars(self, name: str) -> Any:
        """A table as a polars.DataFrame; names are those of `table`."""
        return _package("polars").from_arrow(self.table(name))

    def _table(self, name: str) -> pa.Table:
        import pyarrow.parquet as pq

        return pq.read_table(parquet_source(self.output / name))

    def __repr__(self) -> str:
        s = self.summary
        return f"<dedup.Result {self.output}: {s['documents_kept']:,} of {s['documents_in']:,} documents kept>"

    def _repr_html_(self) -> str:
        """What came in, went and why, and stayed, for notebooks."""
        s = self.summary
        total = max(s["documents_in"], 1)
        rows = [("in", s["documents_in"], "", f"{s['bytes_in'] / 1e6:,.2f}")]
        rows += [(f"dropped: {why}", n, f"{n / total:.1%}", "") for why, n in s["dropped_by_reason"].items()]
        rows += [
            ("kept", s["documents_kept"], f"{s['documents_kept'] / total:.1%}", f"{s['bytes_kept'] / 1e6:,.2f}"),
        ]
        lines = [
            f'<tr><th scope="row" style="text-align:left">{html.escape(name)}</th>'
            f"<td>{documents:,}</td><td>{share}</td><td>{size}</td></tr>"
            for name, documents, share, size in rows
        ]
        head = "<tr><th></th><th>documents</th><th>share</th><th>text MB</th></tr>"
        caption = f'<caption style="text-align:left">dedup: {html.escape(str(self.output))}</caption>'
        return f"<table>{caption}<thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"to_{name} needs one more package: pip install {name}") from None
