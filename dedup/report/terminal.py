"""Items as text for a person: two columns with differences marked, wrapped to the terminal, in colour where it is one.

Everything that comes from a document goes through `visible` first. Without colour what is only in one text stands in
brackets, [-in the one that stays-] and {+in the one that went+}.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dedup.report.differences import CUT, EQUAL, LEFT, RIGHT
from dedup.report.texts import excerpt
from dedup.report.visible import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PLAIN_WIDTH = 100
EXCERPT = 400  # characters
SHOWN = 10  # of what a document stands for
STYLES = {LEFT: "bold red", RIGHT: "bold green", CUT: "dim", EQUAL: ""}
MARKS = {LEFT: ("[-", "-]"), RIGHT: ("{+", "+}")}
Item = dict[str, Any]


class Screen:
    """Text that is put together, item by item.

    colour   whether it may have colours;  width   characters a line
    """

    def __init__(self, *, colour: bool, width: int) -> None:
        from rich.console import Console

        self._file = io.StringIO()
        self.colour = colour
        self._console: Console = Console(
            file=self._file, width=width, force_terminal=colour, color_system="standard" if colour else None,
            no_color=not colour, highlight=False, markup=False, emoji=False, legacy_windows=False, soft_wrap=False,
        )  # fmt: skip

    def line(self, *parts: str | tuple[str, str], indent: int = 0) -> None:
        """A line, wrapped; a part may be (text, style)."""
        from rich.padding import Padding
        from rich.text import Text

        self._console.print(Padding(Text.assemble(*parts, overflow="fold"), (0, 0, 0, indent)))

    def beside(self, left: Text, right: Text) -> None:
        """Two columns."""
        from rich.table import Table

        table = Table.grid(expand=True, padding=(0, 2, 0, 0))
        table.add_column(ratio=1, overflow="fold")
        table.add_column(ratio=1, overflow="fold")
        table.add_row(left, right)
        self._console.print(_indented(table))

    def text(self) -> str:
        """Everything so far, without white space at the end of lines."""
        return "\n".join(line.rstrip() for line in self._file.getvalue().splitlines())


def _indented(shown: Any) -> Any:
    from rich.padding import Padding

    return Padding(shown, (0, 0, 0, 2))


def screen() -> Screen:
    """One that suits what stdout is."""
    is_terminal = sys.stdout.isatty()
    colour = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Screen(colour=colour, width=shutil.get_terminal_size().columns if is_terminal else PLAIN_WIDTH)


def number(value: Any) -> str:
    """A measure for a person."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return visible(value)
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"


def similarity(pair: Item) -> str:
    """How alike a pair is, and how that is known."""
    if pair["similarity"] is None:
        return "through a third document"
    return f"{'similarity' if pair.get('verified', True) else 'estimated similarity'} {number(pair['similarity'])}"


def _side(spans: Iterable[Sequence[str]], kind: str, *, colour: bool) -> Text:
    """One text of a pair, with what only it has marked."""
    from rich.text import Text

    side = Text(overflow="fold")
    for its, text in spans:
        if its == kind:
            before, after = ("", "") if colour else MARKS[kind]
            side.append(f"{before}{visible(text)}{after}", STYLES[kind])
        elif its in (EQUAL, CUT):
            side.append(visible(text), STYLES[its])
    return side


def beside(on: Screen, item: Item) -> None:
    """The texts of a duplicate and its twin, that one to the left; or what is there of them."""
    from rich.text import Text

    on.beside(
        Text(_stays(item["duplicate_of"], item["duplicate_of_drop_reason"]), "bold", overflow="fold"),
        Text(f"went: {visible(item['id'])}", "bold", overflow="fold"),
    )
    notes = [item.get("duplicate_of_note", ""), item.get("note", "")]
    if any(notes):
        on.beside(*(Text(visible(note), "dim", overflow="fold") for note in notes))
    if "differences" in item:
        on.beside(*(_side(item["differences"], kind, colour=on.colour) for kind in (LEFT, RIGHT)))
    else:
        shown = (item.get("duplicate_of_text"), item.get("text"))
        on.beside(*(Text(visible(excerpt(text or "", EXCERPT)), overflow="fold") for text in shown))


def _stays(name: str, reason: str | None) -> str:
    if reason is None:
        return f"stays: {visible(name)}"
    return f"stayed: {visible(name)}, until a later step dropped it: {visible(reason)}"


def tell_dropped(on: Screen, item: Item) -> None:
    """A dropped document: where it was, why it went, how it begins."""
    _head(on, item)
    _dropped(on, item)
    for name, value in item["broke"].items():
        on.line(f"{visible(name)} = {number(value)}", indent=2)
    _excerpt(on, item["text"])


def tell_pair(on: Screen, item: Item) -> None:
    """A duplicate beside the document that stays for it."""
    on.line((f"{item['kind']}, {similarity(item)}", "bold"))
    beside(on, item)


def tell_cluster(on: Screen, item: Item) -> None:
    """A cluster: how many, who stays, who went."""
    size = "" if item["bytes"] is None else f", {item['bytes']:,} bytes of text"
    on.line((f"{item['size']:,} documents{size}", "bold"))
    on.line(_stays(item["kept"], item["kept_drop_reason"]), indent=2)
    _excerpt(on, item["kept_text"], item.get("kept_note", ""))
    least = next((one for one in item["members"] if one["id"] == item["least_similar"]), None)
    on.line(f"went: {_names(item)}", indent=2)
    told = f", {similarity(least)}" if least is not None else ""
    on.line(f"least similar: {visible(item['least_similar'])}{told}", indent=2)
    if item["least_similar_text"] != item["kept_text"]:
        _excerpt(on, item["least_similar_text"])


def _names(item: Item) -> str:
    ids = [visible(one["id"]) for one in item["members"][:SHOWN]]
    more = item["size"] - 1 - len(ids)
    return ", ".join(ids) + (f" and {more:,} more" if more else "")


def tell_life(on: Screen, life: Item) -> None:
    """What became of one document, and by what."""
    _head(on, life)
    if life["drop_reason"] is None:
        on.line("kept" if life["stands_for"] else "kept; no document was dropped for it", indent=2)
    else:
        _dropped(on, life)
    for twin in life["stands_for"][:SHOWN]:
        on.line(f"stands for {visible(twin['id'])} ({twin['kind']}, {similarity(twin)})", indent=2)
    if life["stands_for_count"] > SHOWN:
        on.line(f"stands for {life['stands_for_count'] - SHOWN:,} more", indent=2)
    _measures(on, life)
    if life["duplicate_of"] is not None:
        on.line()
        beside(on, life)
    else:
        on.line()
        _excerpt(on, life["text"], life.get("note", ""))


def _measures(on: Screen, life: Item) -> None:
    """By the step that made them, with the bounds that the rules set."""
    by_step: dict[str, list[str]] = {}
    for name in life["measures"]:
        by_step.setdefault(life["measured_by"].get(name, "other steps"), []).append(name)
    width = max(map(len, life["measures"]), default=0)
    for step, names in by_step.items():
        on.line((f"measured by {visible(step)}", "dim"), indent=2)
        for name in names:
            value = life["measures"][name]
            shown = "not measured" if value is None else number(value)
            bounds = [_bound(rule, life["drop_reason"]) for rule in life["rules"] if rule["column"] == name]
            told = f"   {', '.join(bounds)}" if bounds and value is not None else ""
            on.line(f"{visible(name):{width}} = {shown:>8}{told}", indent=4)


def _bound(rule: Item, reason: str | None) -> str:
    bound = visible(rule["rule"][len(rule["column"]) + 1 :])
    if not rule["breaks"]:
        return f"not {bound}"
    return f"{bound}: dropped" if rule["rule"] == reason else bound


def _head(on: Screen, item: Item) -> None:
    where = f"   ({visible(item['shard'])}, line {item['row'] + 1})"
    on.line((visible(item["id"]), "bold"), (where, "dim"))


def _dropped(on: Screen, item: Item) -> None:
    told = f"dropped: {visible(item['drop_reason'])}"
    if item["duplicate_of"] is not None:
        told += f" of {visible(item['duplicate_of'])} ({similarity(item)})"
    on.line(told, indent=2)


def _excerpt(on: Screen, text: str | None, note: str = "") -> None:
    if note or text is None:
        on.line((visible(note or "its text is null"), "dim"), indent=4)
    if text is not None:
        on.line(visible(excerpt(text, EXCERPT)) or "(an empty text)", indent=4)
