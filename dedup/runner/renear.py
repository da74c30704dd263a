"""Signatures and band keys of a unit from those that an earlier run left: nothing is tokenized again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.buffers import Int64s
from dedup.io.copies import on_disk
from dedup.io.exchange import ExchangeWriter
from dedup.io.files import link, save_array
from dedup.near import match
from dedup.near import signature as signing
from dedup.near.params import Bands, Sketch
from dedup.plan import bands_of, near_files
from dedup.recipe import Step
from dedup.runner.lineup import Lineup

DOCUMENTS = 8192  # at once
Bools = npt.NDArray[np.bool_]


class NearFilesOf:
    """The files of near barriers of one unit.

    old, new, anew   the folder of the earlier scan, of this one, and of the documents that are scanned from their texts
    is_anew, alive   bool over the documents of the unit
    """

    def __init__(self, old: str, new: Path, anew: Path, is_anew: Bools, alive: Bools) -> None:
        self._old, self._new, self._some = old, new, anew
        self._is_anew, self._alive = is_anew, alive

    def write(self, barriers: Sequence[Step], lineup: Lineup, *, was_alive: Bools) -> None:
        """Write them all; those that are as they were are linked."""
        is_same = not self._is_anew.any() and bool((was_alive == self._alive).all())
        cuts: dict[int, dict[int, Bands]] = {}
        settings: dict[int, Sketch] = {}
        for n, files in near_files(barriers).items():
            settings[files.sketches], bands = bands_of(barriers[n])
            cuts.setdefault(files.sketches, {})[files.bands] = bands
        for number, bands_by_file in cuts.items():
            before = lineup.sketches[number]
            if not self._is_anew.any():
                for name in ("sketches-{}.bin", "sketches-{}.npy", "shingles-{}.npy"):
                    link(on_disk(self._old, name.format(before)), self._new / name.format(number))
            if is_same and all(file in lineup.bands for file in bands_by_file):
                for file in bands_by_file:
                    for name in ("bands-{}.bin", "bands-{}.json"):
                        link(on_disk(self._old, name.format(lineup.bands[file])), self._new / name.format(file))
            else:
                self._go_through(number, before, settings[number], bands_by_file)

    def _go_through(self, number: int, before: int, settings: Sketch, cuts: Mapping[int, Bands]) -> None:
        """Read all signatures, write those with what is new, and cut them into bands."""
        writes = bool(self._is_anew.any())
        writer = signing.SketchWriter(self._new / f"sketches-{number}.bin") if writes else None
        exchanges = {file: ExchangeWriter(self._new / f"bands-{file}.bin", 1) for file in cuts}
        for first in range(0, len(self._alive), DOCUMENTS):
            sketches = self._read(np.arange(first, min(first + DOCUMENTS, len(self._alive))), number, before, settings)
            if writer is not None:
                writer.add(sketches)
            sketches.counts[~self._alive[first : first + DOCUMENTS]] = 0
            for file, exchange in exchanges.items():
                exchange.add(first, match.band_rows(sketches, 0, cuts[file]))
        for exchange in exchanges.values():
            exchange.close()
        if writer is not None:
            writer.close()
            shingles = np.load(on_disk(self._old, f"shingles-{before}.npy"))
            shingles[self._is_anew] = np.load(self._some / f"shingles-{number}.npy")
            save_array(self._new / f"shingles-{number}.npy", shingles)

    def _read(self, documents: Int64s, number: int, before: int, settings: Sketch) -> signing.Sketches:
        """Sketches of documents that follow each other, each from where it is told."""
        is_anew = self._is_anew[documents]
        bases = np.array([0, len(self._alive)])
        if not is_anew.any():
            return signing.read_sketches(
                [os.path.join(self._old, f"sketches-{before}.bin")], bases, documents, settings
            )
        old = signing.read_sketches(
            [os.path.join(self._old, f"sketches-{before}.bin")], bases, documents[~is_anew], settings
        )
        first = int(self._is_anew[: documents[0]].sum())
        places = np.arange(first, first + int(is_anew.sum()))
        bases = np.array([0, int(self._is_anew.sum())])
        new = signing.read_sketches([self._some / f"sketches-{number}.bin"], bases, places, settings)
        columns: list[Any] = []
        parts: list[tuple[Any, Any]] = list(zip(old, new, strict=True))
        for ours, theirs in parts:
            both = np.empty((len(documents), *ours.shape[1:]), ours.dtype)
            both[~is_anew], both[is_anew] = ours, theirs
            columns.append(both)
        return signing.Sketches(*columns)
