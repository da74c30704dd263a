"""How many documents, bytes and tokens are left after every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa

from dedup import drop
from dedup.recipe import Recipe, Step


@dataclass
class Stop:
    """What is left after a step, or (step None) what came in.

    kind        "input", "clean", "measure", "drop", "exact", "near", "duplicates" (several barriers) or "own"
    documents, bytes of their texts, tokens   None where it is not known
    """

    step: int | None
    name: str
    kind: str
    documents: int = 0
    bytes: int | None = None
    tokens: int | None = None
    reasons: tuple[str, ...] = ()


def funnel(recipe: Recipe, summary: dict[str, Any], cells: pa.Table) -> list[Stop]:
    """What came in, then what is left after every step.

    Bytes are those of texts as steps left them. With `measure_all`, steps see the documents that are gone, too: bytes
    are then those of the texts at the end.
    """
    stops = [Stop(None, "input", "input", summary["documents_in"], summary["bytes_in"]), *_stops(recipe.step)]
    seen = {} if recipe.measure_all else {one["step"]: one for one in summary["seen_by_steps"]}
    gone = _by_reason(cells)
    for number, (before, stop) in enumerate(pairwise(stops), 1):
        after = seen.get(stops[number + 1].step) if number + 1 < len(stops) else None
        if number + 1 == len(stops):
            stop.documents = summary["documents_kept"]
        elif after is not None:
            stop.documents = after["rows"]
        else:
            stop.documents = before.documents - sum(gone.get(reason, (0, 0, 0))[0] for reason in stop.reasons)
    _fill_bytes(stops, summary, seen, gone)
    _fill_tokens(stops, recipe, gone)
    return stops


def _stops(steps: Sequence[Step]) -> list[Stop]:
    """A stop a step; where several runs of barriers drop duplicates, one a run: tables tell kinds, not barriers."""
    runs: list[list[Step]] = []
    for step in steps:
        if step.kind != "stage" and runs and runs[-1][-1].kind != "stage":
            runs[-1].append(step)
        else:
            runs.append([step])
    barriers = [run for run in runs if run[0].kind != "stage"]
    is_plain = len(barriers) == 1 and len({step.kind for step in barriers[0]}) == len(barriers[0])
    known: set[str] = set()
    stops = []
    for run in runs:
        if run[0].kind == "stage":
            reasons = tuple(name for name in drop.reasons(run[0].use, run[0].settings) if name not in known)
            known |= {*reasons}
            stops.append(Stop(run[0].number, run[0].use, _kind(run[0].use), reasons=reasons))
        elif is_plain:
            stops += [
                Stop(step.number, f"dedup {step.kind}", step.kind, reasons=(f"{step.kind} duplicate",)) for step in run
            ]
        else:
            name = "dedup " + ", ".join(step.kind for step in run)
            is_last = run is barriers[-1]
            reasons = ("exact duplicate", "near duplicate") if is_last else ()
            stops.append(Stop(run[-1].number, name, "duplicates", reasons=reasons))
    return stops


def _kind(use: str) -> str:
    first = use.partition(".")[0]
    return first if first in ("clean", "measure", "drop") and ":" not in use else "own"


Gone = dict[str | None, tuple[int, int, int | None]]


def _by_reason(cells: pa.Table) -> Gone:
    """(documents, bytes, tokens) by drop reason; what stays under None."""
    sums = [(name, "sum") for name in ("documents", "bytes", "tokens")]
    found = cells.group_by(drop.REASON, use_threads=False).aggregate(sums)
    return {row[drop.REASON]: (row["documents_sum"], row["bytes_sum"], row["tokens_sum"]) for row in found.to_pylist()}


def _fill_bytes(stops: list[Stop], summary: dict[str, Any], seen: dict[int, dict[str, int]], gone: Gone) -> None:
    stops[-1].bytes = summary["bytes_kept"]
    for number in reversed(range(1, len(stops) - 1)):
        stop, after = stops[number], stops[number + 1]
        if after.step in seen:
            stop.bytes = seen[after.step]["bytes"]
        elif after.kind == "duplicates" and stop.step in seen:  # whose bytes cannot be told from other barriers'
            left = sum(gone.get(reason, (0, 0, 0))[1] for reason in stop.reasons)
            stop.bytes = seen[stop.step]["bytes"] - left
        elif after.bytes is not None:
            stop.bytes = after.bytes + sum(gone.get(reason, (0, 0, 0))[1] for reason in after.reasons)


def _fill_tokens(stops: list[Stop], recipe: Recipe, gone: Gone) -> None:
    counted = next((step.number for step in recipe.step if step.use == "measure.tokens"), None)
    named = {reason for stop in stops for reason in stop.reasons} | {None}
    if counted is None or any(stop.kind == "duplicates" for stop in stops) or {*gone} - named:
        return
    left = gone.get(None, (0, 0, 0))[2] or 0
    for stop in reversed(stops):
        if stop.step is None or stop.step < counted:
            return
        stop.tokens = left
        left += sum(gone.get(reason, (0, 0, 0))[2] or 0 for reason in stop.reasons)
