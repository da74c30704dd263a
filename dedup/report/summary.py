"""A finished run as a table for the terminal: what came in, stayed, went and why."""

from __future__ import annotations

import io
from typing import Any

from dedup.runner.result import Result


def render(result: Result) -> str:
    """The summary as text, without colours; widths suit 80 columns."""
    from rich.console import Console
    from rich.table import Table

    summary = result.summary
    table = Table(title=f"dedup {summary['version']}: {result.output}", title_justify="left", show_edge=False)
    table.add_column("")
    table.add_column("documents", justify="right")
    table.add_column("share", justify="right")
    table.add_column("text MB", justify="right")
    total = max(summary["documents_in"], 1)
    table.add_row("in", f"{summary['documents_in']:,}", "", f"{summary['bytes_in'] / 1e6:,.2f}")
    for reason, count in summary["dropped_by_reason"].items():
        table.add_row(f"  dropped: {reason}", f"{count:,}", f"{count / total:.1%}", "")
    kept = summary["documents_kept"]
    table.add_row("kept", f"{kept:,}", f"{kept / total:.1%}", f"{summary['bytes_kept'] / 1e6:,.2f}")
    out = io.StringIO()
    Console(file=out, width=96, no_color=True, highlight=False).print(
        table, _throughput(summary), *notes(summary), sep="\n"
    )
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _throughput(summary: dict[str, Any]) -> str:
    seconds = max(summary["seconds"], 1e-9)
    return (
        f"{summary['shards_in']} shards, {summary['rows_in']:,} rows, {seconds:.1f} s "
        f"({summary['cpu_seconds']:.1f} s of CPU), {summary['bytes_in'] / 1e6 / seconds:,.1f} MB/s, "
        f"peak {summary['peak_rss_bytes'] / 1e6:,.0f} MB over {summary['workers']} worker(s)"
    )


def notes(summary: dict[str, Any]) -> list[str]:
    """What should be known of a run, a line each."""
    found = []
    if summary["rows_rejected"] or summary["shards_rejected"]:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in summary["rejected_by_reason"].items())
        found.append(
            f"rejected: {summary['rows_rejected']:,} rows, {summary['shards_rejected']} shards: {reasons}; "
            "kept in rejected/"
        )
    if "against" in summary:
        told = summary["against"]
        line = f"compared with {told['documents']:,} documents of {told['shards']} shards that stay as they are"
        rejected = f"; {told['rows_rejected']:,} rows, {told['shards_rejected']} shards could not be read"
        broken = told["rows_rejected"] or told["shards_rejected"]
        found.append(line + (f"{rejected}: report/rejected_against.parquet" if broken else ""))
    if "index" in summary:
        told = summary["index"]
        found.append(
            f"index: compared with {told['generations']} generations, {told['candidates']:,} of their documents looked "
            f"at; {told['documents_added']:,} documents added"
        )
    if summary["null_text"] or summary["empty_text"]:
        found.append(f"null texts: {summary['null_text']:,}, empty texts: {summary['empty_text']:,}")
    if summary["representatives_dropped"]:
        found.append(
            f"{summary['representatives_dropped']:,} documents that duplicates had gone for were dropped by a later "
            "step; see report/representatives_dropped.parquet"
        )
    found += [
        f"step {note['step']} (near): {note['skipped']:,} pairs of {note['capped_buckets']} large buckets not compared"
        for note in summary["near"]
        if note.get("skipped")
    ]
    found += [f"rule that never fired: {rule}" for rule in summary["rules_that_never_fired"]]
    return found
