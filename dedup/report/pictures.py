"""The pictures of a page, drawn by matplotlib from rows of the report's tables, as SVG inside the page.

Colours are those of the page: what is drawn in a placeholder takes a CSS variable, so that a dark page has light
letters. Text stays text; names of the user's are set in HTML, where they can wrap.
"""

from __future__ import annotations

import io
import logging
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

from dedup.report.shown import share, value

Rows = Sequence[dict[str, Any]]
WIDTH = 4.4  # inches; a phone shows it at its own size, a desktop larger
# Placeholders that no other part of a drawing has, and what the page says instead.
INK, FAINT, KEPT, GONE, BOUND = "#010203", "#010204", "#010205", "#010206", "#010207"
VARIABLES = {INK: "currentColor", FAINT: "var(--faint)", KEPT: "var(--kept)", GONE: "var(--gone)",
             BOUND: "var(--bound)"}  # fmt: skip
STYLE = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 8.5, "axes.edgecolor": FAINT,
    "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.7, "path.simplify": True, "axes.titlesize": 9,
    "axes.formatter.use_mathtext": False, "axes.unicode_minus": True, "xtick.major.width": 0.6,
    "ytick.major.width": 0.6, "xtick.minor.width": 0.4, "ytick.minor.width": 0.4, "legend.fontsize": 8,
    "legend.frameon": False, "legend.labelcolor": INK, "font.family": "sans-serif",
}  # fmt: skip


class Drawing:
    """One picture: axes to draw on, then its SVG."""

    def __init__(self, name: str, height: float) -> None:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        self._name = name
        self._figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(self._figure)
        self.axes: Any = self._figure.add_subplot()

    def svg(self, told: str) -> str:
        """The picture as an element of a page; `told` is what it shows, for those who do not see it."""
        import matplotlib

        out = io.StringIO()
        self._figure.patch.set_visible(False)
        self.axes.patch.set_visible(False)
        # Names within one page must differ; without a date the same numbers are the same bytes.
        with matplotlib.rc_context({"svg.hashsalt": self._name}):
            self._figure.savefig(out, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
        return _embedded(out.getvalue(), told)


def _embedded(text: str, told: str) -> str:
    from html import escape

    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[a-z0-9]+_\d+">', "<g>", text)
    text = re.sub(r"<!--.*?-->\s*", "", text)
    text = re.sub(r"\n\s*", "\n", text)
    for placeholder, variable in VARIABLES.items():
        text = text.replace(placeholder, variable)
    head = f'<svg role="img" aria-label="{escape(told, quote=True)}" '
    return re.sub(r' (?:width|height)="[\d.]+pt"', "", text.replace("<svg ", head, 1), count=2)


class styled:
    """Draw within: the settings of these pictures, and no warning where a font lacks a sign: the page has its own."""

    def __enter__(self) -> None:
        import matplotlib

        self._level = logging.getLogger("matplotlib").level
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")
        self._style = matplotlib.rc_context(STYLE)
        self._style.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._style.__exit__(*error)
        self._warnings.__exit__(*error)
        logging.getLogger("matplotlib").setLevel(self._level)


def funnel(rows: Rows) -> str:
    """Bars of documents and bytes that are left after every step, as shares of what came in."""
    drawing = Drawing("funnel", 0.75 + 0.3 * len(rows))
    axes = drawing.axes
    whole, size = max(rows[0]["documents"], 1), max(rows[0]["bytes"] or 0, 1)
    places = range(len(rows))
    axes.barh([n - 0.19 for n in places], [100 * row["documents"] / whole for row in rows], 0.36, color=KEPT,
              label="documents")  # fmt: skip
    axes.barh([n + 0.19 for n in places], [100 * (row["bytes"] or 0) / size for row in rows], 0.36, color=FAINT,
              label="bytes of text")  # fmt: skip
    for n, row in enumerate(rows):
        axes.text(101, n, share(row["documents"], whole), va="center", fontsize=8)
    labels = ["in", *(f"{row['step']}  {_short(row['name'])}" for row in rows[1:])]
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 118)
    axes.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.09 - 0.25 / len(rows)), ncols=2)
    return drawing.svg("Share of documents and bytes left after every step; the table beside it has the numbers.")


def _short(name: str, most: int = 26) -> str:
    name = "".join(sign if sign.isprintable() else "?" for sign in name)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def histogram(name: str, rows: Rows, bounds: Sequence[tuple[str, float]]) -> str:
    """Documents by the value of a measure, kept ones below dropped ones, with the bounds of rules as lines.

    bounds   (below or above, value)
    """
    drawing = Drawing(f"histogram {name}", 1.75)
    axes = drawing.axes
    inner = [row for row in rows if row["low"] is not None and row["high"] is not None]
    edges = [row["low"] for row in inner] + [inner[-1]["high"]]
    grows = edges[-1] - edges[-2] > 1.5 * (edges[2] - edges[1] if len(edges) > 2 else edges[1] - edges[0])
    kept = [row["documents_kept"] for row in inner]
    both = [row["documents_kept"] + row["documents_dropped"] for row in inner]
    axes.stairs(both, edges, baseline=kept, fill=True, color=GONE, linewidth=0)
    axes.stairs(kept, edges, fill=True, color=KEPT, linewidth=0)
    if grows:
        least = next(edge for edge in edges if edge > 0)
        axes.set_xscale("symlog", linthresh=least, linscale=0.4)
        powers = [p for p in range(-6, 16) if least * (1 - 1e-9) <= 10.0**p <= edges[-1]]
        powers = powers[:: 1 + len(powers) // 7]
        ticks = ([0.0] if edges[0] == 0 else []) + [10.0**p for p in powers]
        axes.set_xticks(ticks, (["0"] if edges[0] == 0 else []) + [_power(p) for p in powers])
        axes.xaxis.set_minor_locator(_none())
    else:
        axes.xaxis.set_major_formatter(lambda x, _: value(x))
    axes.set_xlim(edges[0], edges[-1])
    top = max([*both, 1])
    axes.set_ylim(0, top * 1.12)
    for _, bound in bounds:
        axes.axvline(bound, color=BOUND, linewidth=1.1, linestyle=(0, (4, 2)))
    for bound_name, bound in bounds:
        inside = bound_name == "below"
        axes.annotate("", (bound, top * 1.06), (22 if not inside else -22, 0), textcoords="offset points",
                      arrowprops={"arrowstyle": "<-", "color": BOUND, "linewidth": 0.9})  # fmt: skip
    _count_axis(axes)
    return drawing.svg(f"Histogram of {_short(name, 60)}, kept and dropped documents; the table has the numbers.")


def _none() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _power(exponent: int) -> str:
    if exponent < 0:
        return f"{10.0**exponent:g}"
    unit = ("", "k", "M", "G", "T", "P")[exponent // 3]
    return f"{10 ** (exponent % 3)}{unit}"


def _count_axis(axes: Any) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def labels(name: str, rows: Rows, most: int = 12) -> str:
    """Bars of the most frequent labels of a measure that is text."""
    rows = [row for row in rows if row["label"] is not None][:most]
    drawing = Drawing(f"labels {name}", 0.55 + 0.17 * len(rows))
    axes = drawing.axes
    kept = [row["documents_kept"] for row in rows]
    axes.barh(range(len(rows)), kept, 0.72, color=KEPT)
    axes.barh(range(len(rows)), [row["documents_dropped"] for row in rows], 0.72, left=kept, color=GONE)
    axes.set_yticks(range(len(rows)), [_short(row["label"], 18) for row in rows])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    return drawing.svg(f"Documents by {_short(name, 60)}; the table has the numbers.")


def similarities(rows: Rows, thresholds: Sequence[float]) -> str:
    """Near duplicates by their similarity to the kept document."""
    drawing = Drawing("similarities", 1.9)
    axes = drawing.axes
    near = {row["low"]: row["duplicates"] for row in rows if row["kind"] == "near" and row["low"] is not None}
    first = min([*near, *thresholds, 0.95])
    first = math.floor((first - 0.02) * 20) / 20  # so that the line of a threshold is not on the axis
    steps = round((1 - first) * 100)
    edges = [round(first + n / 100, 2) for n in range(steps + 1)]
    counts = [sum(count for low, count in near.items() if abs(low - edge) < 1e-6) for edge in edges[:-1]]
    axes.stairs(counts, edges, fill=True, color=GONE, linewidth=0)
    for threshold in thresholds:
        axes.axvline(threshold, color=BOUND, linewidth=1.1, linestyle=(0, (4, 2)))
    axes.set_xlim(first, 1)
    axes.set_ylim(0, max([*counts, 1]) * 1.08)
    axes.set_xlabel("Jaccard similarity")
    _count_axis(axes)
    return drawing.svg("Near duplicates by similarity to the document that stays; the table has the numbers.")


def clusters(rows: Rows) -> str:
    """Clusters by size, both axes logarithmic."""
    drawing = Drawing("clusters", 2.1)
    axes = drawing.axes
    axes.scatter([row["size"] for row in rows], [row["clusters"] for row in rows], s=14, color=KEPT, linewidths=0)
    high, most = max(row["size"] for row in rows), max(row["clusters"] for row in rows)
    for axis, scale, top in ((axes.xaxis, axes.set_xscale, high), (axes.yaxis, axes.set_yscale, most)):
        scale("log")
        powers = range(math.ceil(math.log10(max(top, 10))) + 1)
        axis.set_ticks([10**p for p in powers], [_power(p) for p in powers])
        axis.set_minor_locator(_none())
    axes.set_xlim(1.6, max(high, 10) * 1.4)
    axes.set_ylim(0.7, max(most, 10) * 1.5)
    axes.set_xlabel("documents of a cluster")
    axes.set_ylabel("clusters")
    return drawing.svg("Clusters by the number of their documents, on logarithmic axes; the table has the numbers.")


def parts(rows: Rows) -> str:
    """CPU seconds by part of the run."""
    rows = [row for row in rows if row["number"] >= 0.001] or rows[:1]
    drawing = Drawing("parts", 0.5 + 0.19 * len(rows))
    axes = drawing.axes
    axes.barh(range(len(rows)), [row["number"] for row in rows], 0.72, color=KEPT)
    axes.set_yticks(range(len(rows)), [_short(row["name"], 34) for row in rows])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("seconds of CPU")
    return drawing.svg("CPU seconds by part of the run; the table has the numbers.")
