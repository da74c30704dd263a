"""How much memory there is: amounts as people write them, and what the machine or its cgroup gives.

A container may see the whole machine and be ended for a fraction of it, so that the least limit of the cgroups that a
process belongs to counts. Both versions of them are read from files; where there are none, as on macOS, the machine's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from dedup.errors import RecipeError

SHARE = 0.7  # of what there is, where no budget is named
_UNITS = {"": 1, "B": 1} | {
    name: base**power
    for power, letter in enumerate("KMGT", 1)
    for name, base in ((letter, 1024), (f"{letter}IB", 1024), (f"{letter}B", 1000))
}


def parse(written: object) -> int:
    """Bytes of an amount: a whole number, or text such as "8G", "512MiB" (powers of 1,024) or "8GB" (of 1,000)."""
    if isinstance(written, int) and not isinstance(written, bool) and written > 0:
        return written
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)", written, re.ASCII) if isinstance(written, str) else None
    unit = _UNITS.get(found[2].upper()) if found else None
    size = float(found[1]) * unit if found and unit else 0.0
    if not 1 <= size < 1 << 63:
        raise RecipeError(f'memory is {written!r}; it is an amount such as "8G", "512MiB" or a number of bytes')
    return int(size)


def text(size: float) -> str:
    """An amount for people: "734M", "1.4G", rounded up."""
    if size > 10 * (1 << 30):
        return f"{-(-size // (1 << 30)):.0f}G"
    if size >= 1 << 30:
        return f"{-(-size * 10 // (1 << 30)) / 10:.1f}G"
    return f"{-(-size // (1 << 20)):.0f}M"


def given(root: Path = Path("/")) -> int:
    """Bytes that this machine has, or the least limit of the cgroups that this process is in.

    root   where /proc and /sys are
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(root)])


def _limits(root: Path) -> Iterator[int]:
    """Limits of the cgroups, of either version, that this process and their parents set."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, name = ("memory", "memory.limit_in_bytes") if controllers else ("", "memory.max")
        home = root / "sys/fs/cgroup" / mount
        inside = Path(path.lstrip("/"))
        # In a container the path may be the host's, of which only the end, its root, can be seen.
        for place in [inside, *inside.parents]:
            limit = _read(home / place / name).strip()
            if limit.isdigit():  # "max" is none, and version 1 writes a number beyond any machine
                yield int(limit)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
