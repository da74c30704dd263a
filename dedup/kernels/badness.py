"""ftfy's badness expression as one automaton, so that "does this line look like mojibake?" costs a table look-up.

ftfy asks `BADNESS_RE.search(line)`: some forty alternatives, tried one by one at each character (530 ns a character of
Russian).
Here the expression of the installed ftfy is taken from Python's own parser and turned into a deterministic automaton
over classes of characters (the textbook's subset construction): exactly the same answer at 6 ns a character, and it
follows ftfy's versions. Building takes 0.8 s; the tables are kept beside the compiled kernels.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import unicodedata
from collections.abc import Iterable, Iterator
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.errors import DedupError
from dedup.kernels.compile import kernel
from dedup.kernels.kept import Arrays, kept

RESTART, BEGIN, ACCEPT = range(3)  # states: nothing pending; before the first character; found
CLASS_BITS = 7
CODE_POINTS = 0x110000


class Automaton(NamedTuple):
    """A search for an expression; found once ACCEPT is reached, which is never left.

    classes   uint8[0x110000]   class of every code point, below 128
    steps     uint8[n << 7]     steps[state << 7 | class] is the next state
    """

    classes: npt.NDArray[np.uint8]
    steps: npt.NDArray[np.uint8]


@kernel
def is_found(characters, classes, steps):
    """Whether the automaton finds its expression in characters (uint32[n], code points)."""
    state = np.uint32(BEGIN)
    for i in range(characters.size):
        state = np.uint32(steps[(state << np.uint32(CLASS_BITS)) | np.uint32(classes[characters[i]])])
        if state == np.uint32(ACCEPT):
            return True
    return False


def is_bad(text: str) -> bool:
    """ftfy.badness.is_bad, by the automaton."""
    found: bool = is_found(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32), *badness())
    return found


@functools.cache
def badness() -> Automaton:
    """The automaton of the installed ftfy."""
    version = importlib.metadata.version("ftfy")
    name = f"badness-ftfy-{version}-unicode-{unicodedata.unidata_version}"
    arrays = kept(name, __file__, lambda: _build_badness(version))
    for array in arrays.values():
        array.flags.writeable = False
    return Automaton(arrays["classes"], arrays["steps"])


def _build_badness(version: str) -> Arrays:
    from ftfy.badness import BADNESS_RE

    try:
        built = automaton(BADNESS_RE)
        _check_ascii(built)
    except NotImplementedError as error:
        raise DedupError(f"fix_text does not know ftfy {version} ({error}); install ftfy 6.3.1") from error
    return {"classes": built.classes, "steps": built.steps}


def _check_ascii(built: Automaton) -> None:
    """Two properties by which the screen skips over ASCII: two characters of it make the state forget everything
    before, and ASCII alone is never bad."""
    steps = built.steps.reshape(-1, 1 << CLASS_BITS)
    ascii_classes = np.unique(built.classes[:128])
    twice = steps[steps[:, ascii_classes]][:, :, ascii_classes]
    forgets = (twice == twice[RESTART]) | (twice == ACCEPT)
    of_ascii = np.unique(np.append(twice[RESTART], RESTART))  # states after no or at least two characters
    if not forgets.all() or (steps[of_ascii][:, ascii_classes] == ACCEPT).any() or ACCEPT in of_ascii:
        raise NotImplementedError("ASCII characters matter in its badness expression")


def automaton(expression: re.Pattern[str]) -> Automaton:
    """The automaton that searches for an expression of characters, sets, alternatives, repetitions and "^"."""
    if expression.flags & ~(re.VERBOSE | re.UNICODE):
        raise NotImplementedError(f"flags {expression.flags}")
    graph = _Graph()
    root = graph.sequence(_parser.parse(expression.pattern, expression.flags), graph.node())
    classes, members = _classes(graph.sets)
    return Automaton(classes, _determinize(graph, root, members))


class _Graph:
    """A nondeterministic automaton, built from its end (node 0) to its beginning.

    Each node has edges (kind, target); kind is the number of a set of characters, or one of the two below.
    """

    NOTHING, AT_BEGIN = -1, -2

    def __init__(self) -> None:
        self.edges: list[list[tuple[int, int]]] = []
        self.sets: list[npt.NDArray[np.int64]] = []

    def node(self, *edges: tuple[int, int]) -> int:
        self.edges.append(list(edges))
        return len(self.edges) - 1

    def sequence(self, items: Iterable[tuple[Any, Any]], target: int) -> int:
        """A node from which `items`, one after the other, lead to `target`."""
        for operator, argument in reversed(list(items)):
            target = self._item(operator, argument, target)
        return target

    def _item(self, operator: Any, argument: Any, target: int) -> int:
        if operator is sre.BRANCH:
            return self.node(*((self.NOTHING, self.sequence(items, target)) for items in argument[1]))
        if operator is sre.SUBPATTERN:
            return self.sequence(argument[3], target)
        if operator is sre.MAX_REPEAT:
            return self._repeat(*argument, target)
        if operator is sre.AT and argument is sre.AT_BEGINNING:
            return self.node((self.AT_BEGIN, target))
        self.sets.append(_members(operator, argument))
        return self.node((len(self.sets) - 1, target))

    def _repeat(self, least: int, most: Any, items: Any, target: int) -> int:
        end = target
        if most is sre.MAXREPEAT:
            target = self.node((self.NOTHING, end))
            self.edges[target].append((self.NOTHING, self.sequence(items, target)))
        else:
            for _ in range(most - least):
                target = self.node((self.NOTHING, self.sequence(items, target)), (self.NOTHING, end))
        for _ in range(least):
            target = self.sequence(items, target)
        return target

    def closure(self, nodes: Iterable[int], at_begin: bool) -> frozenset[int]:
        """All nodes reached from `nodes` without a character."""
        found: set[int] = set()
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                free = (self.NOTHING, self.AT_BEGIN) if at_begin else (self.NOTHING,)
                waiting += [target for kind, target in self.edges[node] if kind in free]
        return frozenset(found)


def _members(operator: Any, argument: Any) -> npt.NDArray[np.int64]:
    """Code points that one item of a parsed expression matches."""
    if operator is sre.LITERAL:
        return np.array([argument])
    if operator is sre.RANGE:
        return np.arange(argument[0], argument[1] + 1)
    if operator is sre.CATEGORY and argument in _CATEGORIES:
        return _matched(_CATEGORIES[argument])
    if operator is sre.NOT_LITERAL:
        return _others(np.array([argument]))
    if operator is sre.ANY:
        return _others(np.array([0x0A]))
    if operator is sre.IN:
        negated = argument[0][0] is sre.NEGATE
        found = np.unique(np.concatenate([_members(*part) for part in argument[negated:]]))
        return _others(found) if negated else found
    raise NotImplementedError(f"{operator} {argument} in an expression")


_CATEGORIES = {
    **{sre.CATEGORY_SPACE: r"\s+", sre.CATEGORY_NOT_SPACE: r"\S+", sre.CATEGORY_WORD: r"\w+"},
    **{sre.CATEGORY_NOT_WORD: r"\W+", sre.CATEGORY_DIGIT: r"\d+", sre.CATEGORY_NOT_DIGIT: r"\D+"},
}


def _matched(expression: str) -> npt.NDArray[np.int64]:
    everything = np.arange(CODE_POINTS, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    return np.concatenate([np.arange(*found.span()) for found in re.finditer(expression, everything)])


def _others(members: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    mask = np.ones(CODE_POINTS, np.bool_)
    mask[members] = False
    return np.flatnonzero(mask)


def _classes(sets: list[npt.NDArray[np.int64]]) -> tuple[npt.NDArray[np.uint8], list[list[int]]]:
    """Class of every code point, and the classes of each set: two code points that no set tells apart share one."""
    classes = np.zeros(CODE_POINTS, np.int64)
    sizes = np.array([CODE_POINTS])
    for members in sets:
        inside = np.bincount(classes[members], minlength=len(sizes))
        cut = np.flatnonzero((inside > 0) & (inside < sizes))
        renamed = np.arange(len(sizes))
        renamed[cut] = len(sizes) + np.arange(len(cut))
        classes[members] = renamed[classes[members]]
        sizes[cut] -= inside[cut]
        sizes = np.append(sizes, inside[cut])
    if len(sizes) > 1 << CLASS_BITS:
        raise NotImplementedError(f"{len(sizes)} classes of characters")
    return classes.astype(np.uint8), [np.flatnonzero(np.bincount(classes[members])).tolist() for members in sets]


def _determinize(graph: _Graph, root: int, members: list[list[int]]) -> npt.NDArray[np.uint8]:
    """The steps of a search: at each character, another match may begin."""
    restart = graph.closure([root], at_begin=False)
    numbers = {restart: RESTART, graph.closure([root], at_begin=True): BEGIN}
    if len(numbers) == 1:  # no "^": the two states are alike
        states = [restart, restart]
    else:
        states = list(numbers)
    rows = list(_rows(graph, restart, states, numbers, members))
    rows.insert(ACCEPT, np.full(1 << CLASS_BITS, ACCEPT, np.int64))
    if len(rows) > 256:
        raise NotImplementedError(f"{len(rows)} states")
    return np.concatenate(rows).astype(np.uint8)


def _rows(
    graph: _Graph, restart: frozenset[int], states: list[frozenset[int]], numbers: dict[Any, int], members: Any
) -> Iterator[npt.NDArray[np.int64]]:
    """The steps of each state, in the order in which `states` grows by the states that are found."""
    for state in states:
        reached: list[set[int]] = [set() for _ in range(1 << CLASS_BITS)]
        for node in state:
            for kind, target in graph.edges[node]:
                if kind >= 0:
                    for number in members[kind]:
                        reached[number].add(target)
        row = np.empty(1 << CLASS_BITS, np.int64)
        for number, targets in enumerate(reached):
            after = graph.closure(targets, at_begin=False) | restart
            if 0 in after:  # the end of the expression
                row[number] = ACCEPT
            else:
                if after not in numbers:
                    numbers[after] = len(states) + 1  # one more for ACCEPT, which is not among them
                    states.append(after)
                row[number] = numbers[after]
        yield row
