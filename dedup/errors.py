"""The errors a user can meet, each carrying the exit code of design section 5.

One base class: the command line prints the text of any `DedupError` as one line, without a
traceback, and exits with its `exit_code`. The text says what is wrong, where, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def one_line(said: object) -> str:
    """What an error or a library says, without line breaks."""
    return " ".join(str(said).split())


class DedupError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code = 4


class UserError(DedupError):
    """Something the user wrote or asked for is wrong; nothing was changed."""

    exit_code = 2


class RecipeError(UserError):
    """A recipe, a setting or an argument is wrong."""


class DropLimitError(DedupError):
    """A rule dropped more than `max_drop` of the documents; nothing was published."""

    exit_code = 3


class InputChangedError(DedupError):
    """An input file is not the one that was scanned."""


class RunError(DedupError):
    """A run could not go on: a full disk, a dead worker, a folder that vanished."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint that ends an error about an unknown name: the nearest right one, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(names) if names else "there is none"
