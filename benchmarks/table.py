"""Rows of a benchmark and the table that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure.

    bar        what it must not exceed; None where nothing is promised
    beside     what else must be known to judge it: accuracy, what it is a ratio of
    at_least   the bar is what it must reach instead
    """

    what: str
    value: float
    unit: str
    bar: float | None = None
    beside: str = ""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure is within its bar."""
        if self.bar is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar


def render(title: str, rows: Sequence[Row]) -> str:
    """An aligned table."""
    cells = [(title, "measured", "unit", "bar", "", "beside")]
    cells += [(row.what, f"{row.value:,.2f}", row.unit, _bar(row), _verdict(row), row.beside) for row in rows]
    widths = [max(len(cell[i]) for cell in cells) for i in range(6)]
    lines = []
    for cell in cells:
        padded = [
            f"{c:>{w}}" if i in (1, 3) else f"{c:<{w}}" for i, (c, w) in enumerate(zip(cell, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines) + "\n"


def _bar(row: Row) -> str:
    if row.bar is None:
        return ""
    return f"≥ {row.bar:,g}" if row.at_least else f"{row.bar:,g}"


def _verdict(row: Row) -> str:
    if row.bar is None:
        return ""
    return "met" if row.is_met else "UNDER" if row.at_least else "OVER"
