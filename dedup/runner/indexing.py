"""Runs with an index: what is new is looked up among the old, and added at the end.

Old documents that share a key with a new one are put beside the scans as if they were a unit of references, with the
same files. So everything after the look-up is what a run with `against` does, and costs what is new.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

import dedup
from dedup import buffers, drop, exact
from dedup.buffers import Int64s
from dedup.errors import InputChangedError, RecipeError, UserError
from dedup.io import index as store
from dedup.io import read
from dedup.io.exchange import ExchangeWriter, partition_bits, read_partition
from dedup.io.files import save_array
from dedup.io.shards import Shard
from dedup.io.units import Piece, Unit
from dedup.kernels.unicode import UNICODE_VERSION
from dedup.near import match
from dedup.near import signature as signing
from dedup.near.edges import DOCUMENT_BITS
from dedup.plan import Plan, bands_of
from dedup.recipe import Step
from dedup.runner.barrier import Drops
from dedup.runner.scanned import Changes, Scan, Scanned
from dedup.runner.task import Progress, Task, key_of

KEY_ROWS = 512 << 10  # of new keys looked up by one task
STRETCH = 1 << 18  # old documents that one unit of candidates is drawn from
SEGMENT = 1 << 16
OLD_UNITS = 1 << 30  # numbers of their units, above those of the input
PROBE = ["One two three four five six seven, caf\u00e9 \u4e2d\u6587\u6d4b\u8bd5\u6587\u672c.", "word " * 40 + "tail"]

RunTasks = Callable[..., list[dict[str, Any]]]


# What an index holds and whom it takes


def last_barriers(plan: Plan) -> tuple[Step, ...]:
    """The barriers that an index takes part in: those of the last pass that has any."""
    return next((one.barriers for one in reversed(plan.passes) if one.barriers), ())


def settings_of(plan: Plan) -> dict[str, Any]:
    """What the signatures of an index share; RecipeError where the recipe's barriers cannot use one."""
    barriers = last_barriers(plan)
    if not barriers:
        raise RecipeError('index is given, but no step removes duplicates; add dedup = "exact" or "near"')
    for step in barriers:
        if step.settings.get("on"):
            raise RecipeError(
                f"{step.label}: an index holds keys of texts, not of columns; take `on` or the index away"
            )
    near = [step for step in barriers if step.kind == "near"]
    if len(near) > 1:
        raise RecipeError(f"{near[1].label}: an index holds signatures of one near step; take the index or a step away")
    settings: dict[str, Any] = {"unicode": UNICODE_VERSION, "near": None}
    texts = pa.array(PROBE, pa.large_string())
    digest = xxhash.xxh3_64(exact.text_keys(texts).tobytes())
    if near:
        sketch, bands = bands_of(near[0])
        settings["near"] = {**dataclasses.asdict(sketch), "threshold": near[0].settings["threshold"]}
        sketches = signing.sketch(*signing.token_hashes(texts, sketch), sketch)
        signing.complete(sketches, sketch)
        digest.update(sketches.signatures.tobytes() + match.band_rows(sketches, 0, bands).tobytes())
    return settings | {"signatures": digest.hexdigest()}


def check(index: Path, catalogue: store.Catalogue, settings: dict[str, Any]) -> None:
    """UserError where the index was made with other settings or by code whose signatures differ."""
    old = catalogue.settings
    if not catalogue.generations or old == settings:
        return
    again = "take another index, or restore the value"
    if (old["near"] is None) != (settings["near"] is None):
        with_, without = ("the recipe", "the index") if old["near"] is None else ("the index", "the recipe")
        raise UserError(f"{index}: {with_} has signatures of near, and {without} has not; take another index")
    for name, value in (old["near"] or {}).items():
        if value != settings["near"][name]:
            raise UserError(
                f"{index} was made with {name} = {value}; this recipe has {name} = {settings['near'][name]}; {again}"
            )
    version = catalogue.generations[-1].version
    raise UserError(
        f"{index} was made by dedup {version}, whose signatures (Unicode {old['unicode']}) are not those of dedup "
        f"{dedup.__version__} (Unicode {settings['unicode']}); make the index anew"
    )


def warnings(plan: Plan, catalogue: store.Catalogue) -> list[str]:
    """What a plan with an index does not promise."""
    steps = [step for one in plan.passes for step in one.barriers]
    groups = sum(bool(one.barriers) for one in plan.passes)
    reasons = []
    if groups != 1 or any(step.kind == "near" for step in steps[:-1]):
        reasons.append("duplicates are removed in more than one place")
    reasons += sorted({f"keep = {step.settings['keep']!r}" for step in steps if step.settings["keep"] != "first"})
    if len({one.priority for one in plan.recipe.input}) > 1:
        reasons.append("inputs have priorities")
    if any(one.cleaning != _as_json(cleaning(plan)) for one in catalogue.generations):
        reasons.append("what the index holds was cleaned by other steps")
    if not reasons:
        return []
    return [f"with an index this recipe may keep other documents than one run over everything: {', '.join(reasons)}"]


@contextlib.contextmanager
def held(plan: Plan) -> Iterator[None]:
    """Keep other runs out of a recipe's index, if it has one that it can use."""
    if plan.recipe.index is None:
        yield
        return
    index = Path(plan.recipe.index)
    check(index, store.load(index), settings_of(plan))
    for shard in plan.every_shard:
        if shard.path.startswith(f"{index.absolute()}/"):
            raise UserError(f"{shard.path} lies in the index {index}; keep the index outside of what is read")
    with store.locked(index):
        yield


class Index:
    """The index of a run."""

    def __init__(self, plan: Plan, limit: int | None) -> None:
        self._plan, self._limit = plan, limit
        self._path = Path(plan.recipe.index or "")
        self._settings = settings_of(plan)
        self._catalogue = store.load(self._path)
        check(self._path, self._catalogue, self._settings)
        # Without versions of code and ways to write a path: the same command after an update adds nothing twice.
        steps = {k: v for k, v in plan.recipe.identity().items() if k not in ("input", "against", "index")}
        read = [[shard.role, shard.priority, shard.fingerprint] for shard in plan.every_shard]
        self._run = key_of(steps, read, dict(plan.files))
        self._before = self._catalogue.before(self._run)
        self._compared = 0

    @property
    def state(self) -> list[Any]:
        """What it is compared with."""
        return [[one.number, one.run, one.documents] for one in self._before]

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to add."""
        return self._limit is not None or self._catalogue.has(self._run)

    def takes_part(self, number: int) -> bool:
        """Whether it is compared with at the barriers of a pass: the last that has any."""
        return number == max(n for n, one in enumerate(self._plan.passes) if one.barriers)

    def look_up(self, run: RunTasks, folder: Path, left: Scanned) -> Scanned:
        """The old documents that one of the input may be a duplicate of."""
        before = 1 + max((one.number for one in self._before), default=-1)
        if not self._before:
            return Scanned([], [], [0])
        found = look_up(run, folder, self._catalogue, self._path, before, last_barriers(self._plan), left)
        self._compared = found.bases[-1]
        return found

    def add(
        self, run: RunTasks, folder: Path, left: Scanned, drops: Sequence[Drops], warn: Callable[[str], None]
    ) -> dict[str, Any]:
        """Add what survived, unless an attempt before did; what the summary tells."""
        told = {"generations": len(self._before), "candidates": self._compared, "documents_added": 0}
        if self._limit is not None:
            warn(f"{self._path}: nothing is added to the index by a run with a limit")
        elif not self._catalogue.has(self._run):
            number = self._catalogue.next_number
            generation = store.Generation(number, self._run, 0, _as_json(cleaning(self._plan)), dedup.__version__)
            told["documents_added"] = add(
                run, folder, self._path, generation, self._settings, self._plan, left, drops,
                self._plan.recipe.batch_bytes, with_texts=self._plan.recipe.index_texts,
            )  # fmt: skip
        else:
            own = (one for one in self._catalogue.generations if one.run == self._run)
            told["documents_added"] = sum(one.documents for one in own)
        return {"index": told}


def describe_index(plan: Plan) -> list[str]:
    """What a plan says of its index; the same errors as when it runs."""
    index = Path(plan.recipe.index or "")
    catalogue = store.load(index)
    check(index, catalogue, settings_of(plan))
    documents = sum(one.documents for one in catalogue.generations)
    lines = [f"index    {index}: {len(catalogue.generations)} generations, {documents:,} documents"]
    return lines + [f"warning  {warning}" for warning in warnings(plan, catalogue)]


def tell(folder: str, *, as_json: bool = False) -> str:
    """An index for people: its generations, settings and source files."""
    index = Path(folder)
    catalogue = _existing(index)
    sources: dict[str, int] = {}
    size = 0
    for name in catalogue.folders:
        paths = [shard.path for shard, _ in store.shards(index / name)]
        for number, count in store.documents_of_files(index / name).items():
            sources[paths[number]] = sources.get(paths[number], 0) + count
        size += sum(path.stat().st_size for path in (index / name).iterdir())
    if as_json:
        return json.dumps(dataclasses.asdict(catalogue) | {"bytes": size, "sources": sources}, indent=1)
    documents = sum(one.documents for one in catalogue.generations)
    lines = [f"{index}: {documents:,} documents in {len(catalogue.folders)} folders, {size / 1e6:,.1f} MB"]
    near = catalogue.settings["near"] or {}
    lines.append(
        "near     " + (", ".join(f"{name} = {value}" for name, value in near.items()) or "none: equal texts only")
    )
    for one in catalogue.generations:
        steps = ", ".join(str(use) for use, _ in one.cleaning) or "no step before"
        lines.append(f"  generation {one.number}  {one.documents:,} documents, dedup {one.version}, {steps}")
    return "\n".join([*lines, *(f"  {path}  {count:,}" for path, count in sources.items())])


def merge(folder: str) -> int:
    """Put the folders of an index into one; how many documents it has."""
    _existing(Path(folder))
    with store.locked(Path(folder)):
        store.merge(Path(folder))
        return sum(one.documents for one in store.load(Path(folder)).generations)


def remove_source(folder: str, sources: Sequence[str]) -> int:
    """Forget the documents of some files or folders; how many."""
    _existing(Path(folder))
    with store.locked(Path(folder)):
        return store.remove_source(Path(folder), sources)


def _existing(index: Path) -> store.Catalogue:
    catalogue = store.load(index)
    if not (index / store.CATALOGUE).exists():
        raise UserError(f"{index}: no index; a run with --index {index} makes one")
    return catalogue


# Looking up


@dataclass(frozen=True)
class Old(Scan):
    """Candidates of an index, as if they had been scanned; rows.arrow has the document that each is in `source`."""

    source: str = ""

    def pieces(self) -> Iterator[tuple[Piece, int, int, int]]:
        """None: what there is to write and to number lies elsewhere."""
        return iter(())

    def doc_ids(self, documents: Int64s, table: pa.Table) -> Int64s:
        """-1: they are in no shard of this run."""
        return np.full(len(documents), -1)

    def ids(self, documents: Int64s, table: pa.Table) -> Any:
        """The ids that they came with; path#row where there was none."""
        some = table.take(pa.array(documents))
        names = pa.array([shard.path for shard, _ in store.shards(Path(self.source))], pa.large_string())
        rows = some[read.ROW].combine_chunks().cast(pa.large_string())
        made = pc.binary_join_element_wise(
            names.take(some["_file"].combine_chunks()), rows, pa.scalar("#", pa.large_string())
        )
        return pc.coalesce(buffers.one_chunk(some[read.ID]), made)

    def texts(self, documents: Int64s, source: read.Source, batch_bytes: int) -> Iterator[tuple[Int64s, Any]]:
        """(places within `documents`, texts), from the index or from the file that had them."""
        folder = Path(self.source)
        table = self.table().take(pa.array(documents))
        numbers = table["_document"].to_numpy()
        held = buffers.large_strings(store.Rows(folder).take(numbers, ["text"])["text"])
        has = held.is_valid().to_numpy(zero_copy_only=False)
        if has.any():
            yield np.flatnonzero(has), held.filter(pa.array(has))
        files, rows = table["_file"].to_numpy(), table[read.ROW].to_numpy()
        listed = store.shards(folder)
        for number in np.unique(files[~has]):
            places = np.flatnonzero((files == number) & ~has)
            shard, column = listed[number]
            self._check(shard)
            done = 0
            for texts in read.read_texts(Piece(shard), read.Source(column), rows[places], batch_bytes):
                yield places[done : done + len(texts)], texts
                done += len(texts)
            self._check(shard)

    def _check(self, shard: Shard) -> None:
        try:
            shard.check_unchanged()
        except InputChangedError:
            raise UserError(
                f"{shard.path} is gone or not what it was when {Path(self.source).parent} took its documents; put it "
                "back, or forget them with `dedup index remove-source`"
            ) from None


def look_up(
    run: RunTasks, folder: Path, catalogue: store.Catalogue, index: Path, before: int, barriers: Sequence[Step],
    left: Scanned,
) -> Scanned:  # fmt: skip
    """The old documents that a new one may be a duplicate of, as references.

    before   only those of generations below it
    """
    near = next((step for step in barriers if step.kind == "near"), None)
    bands = bands_of(near)[1].bands if near else 1
    bits = partition_bits(left.bases[-1] * bands, KEY_ROWS)
    key = key_of(left.keys, dataclasses.asdict(catalogue), before, bits)
    folders = [str(index / name) for name in catalogue.folders]
    tasks = [
        Task(
            "dedup.runner.indexing:find_keys", str(folder / f"found-{p:05}"), key_of(key, "find", p),
            {"scans": left.folders, "folders": folders, "partition": p, "bits": bits, "is_near": near is not None},
        )
        for p in range(1 << bits)
    ]  # fmt: skip
    counts = run("look up", tasks)
    stretches = sorted({(n, s) for count in counts for n, s in count["stretches"]})
    found = [str(task.folder) for task in tasks]
    takes = [
        Task(
            "dedup.runner.indexing:take_candidates", str(folder / f"old-{n:03}-{s:05}"), key_of(key, "take", n, s),
            {"found": found, "number": n, "source": folders[n], "stretch": s, "before": before,
             "barriers": len(barriers), "is_near": near is not None},
        )
        for n, s in stretches
    ]  # fmt: skip
    counts = run("fetch old", takes) if takes else []
    scans: list[Scan] = []
    for place, ((n, _), task) in enumerate(zip(stretches, takes, strict=True)):
        scans.append(Old(Unit(OLD_UNITS + place, ()), task.folder, (), (), (), (), folders[n]))
    bases = [0, *np.cumsum([count["documents"] for count in counts]).tolist()]
    return Scanned(scans, [task.key for task in takes], bases)


def find_keys(
    folder: Path, progress: Progress, *, scans: list[str], folders: list[str], partition: int, bits: int, is_near: bool
) -> dict[str, Any]:
    """Old documents that share a key of one partition: keys-N.npy, bands-N.npy uint64[m, 2] of (document, key)."""
    keys, bands = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for scan in scans:
        keys += [part.columns[0] for part in read_partition(Path(scan, "exact-0.bin"), partition, bits)]
        if is_near:
            parts = read_partition(Path(scan, "bands-0.bin"), partition, bits)
            bands += [part.columns[0] >> np.uint64(DOCUMENT_BITS) for part in parts]
    stretches: set[tuple[int, int]] = set()
    for n, source in enumerate(folders):
        for name, wanted in (("keys", keys), ("bands", bands)):
            found = store.find(Path(source, f"{name}.arrow"), np.unique(np.concatenate(wanted)))
            found = found[np.argsort(found[:, 0], kind="stable")]
            save_array(folder / f"{name}-{n:03}.npy", found)
            stretches.update((n, int(s)) for s in np.unique(found[:, 0].astype(np.int64) // STRETCH))
    progress(0, 0)
    return {"stretches": sorted(stretches)}


def take_candidates(
    folder: Path,
    progress: Progress,
    *,
    found: list[str],
    number: int,
    source: str,
    stretch: int,
    before: int,
    barriers: int,
    is_near: bool,
) -> dict[str, Any]:
    """The files of a scan for the old documents of one stretch that share a key with a new one."""
    hits: dict[str, Any] = {}
    for name in ("keys", "bands"):
        parts = [np.zeros((0, 2), np.uint64)]
        for one in found:
            rows = np.load(Path(one, f"{name}-{number:03}.npy"), mmap_mode="r")
            low, high = np.searchsorted(rows[:, 0], np.array([stretch, stretch + 1], np.uint64) * np.uint64(STRETCH))
            parts.append(np.array(rows[low:high]))
        hits[name] = np.concatenate(parts)
    documents = np.unique(np.concatenate([hits["keys"][:, 0], hits["bands"][:, 0]])).astype(np.int64)
    names = [name for name in store.DOCUMENTS.names if name != "text"]
    table = store.Rows(Path(source)).take(documents, names)
    old = table["generation"].to_numpy() < before
    documents, table = documents[old], table.filter(pa.array(old))
    high, low = table["key_high"].to_numpy(), table["key_low"].to_numpy()
    nothing = np.zeros(len(documents), np.uint64)
    columns: dict[str, Any] = {
        read.ROW: table["row"], read.ID: table["id"], "_file": table["file"], "_document": pa.array(documents),
        "_key_high": table["key_high"], "_key_low": table["key_low"],
    }  # fmt: skip
    for n in range(barriers):
        columns[f"_order_{n}"] = pa.array(nothing)
        writer = ExchangeWriter(folder / f"exact-{n}.bin", 5)
        live = np.flatnonzero((high != 0) | (low != 0))
        writer.add(0, high[live], low[live], nothing[live], low[live], live.astype(np.uint64))
        writer.close()
    rows = pa.table(columns)
    with pa.ipc.new_file(str(folder / "rows.arrow"), rows.schema) as file:
        file.write_table(rows)
    if is_near:
        _write_sketches(folder, table, hits["bands"], documents)
    progress(len(documents), 0)
    return {"documents": len(documents)}


def _write_sketches(folder: Path, table: pa.Table, hits: Any, documents: Int64s) -> None:
    with open(folder / "sketches-0.bin", "wb") as file:
        for chunk in table["sketch"].chunks:
            offsets = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            if len(chunk):
                file.write(memoryview(chunk.buffers()[2])[offsets[0] : offsets[-1]])
    save_array(folder / "sketches-0.npy", table["few"].to_numpy())
    save_array(folder / "shingles-0.npy", table["shingles"].to_numpy())
    writer = ExchangeWriter(folder / "bands-0.bin", 1)
    numbers = hits[:, 0].astype(np.int64)
    at = np.minimum(np.searchsorted(documents, numbers), max(len(documents) - 1, 0))
    hit = documents[at] == numbers if len(documents) else np.zeros(len(numbers), np.bool_)
    local, keys = at[hit], hits[hit, 1]
    for base in range(0, len(documents), SEGMENT):
        some = (local >= base) & (local < base + SEGMENT)
        writer.add(base, keys[some] << np.uint64(DOCUMENT_BITS) | (local[some] - base).astype(np.uint64))
    writer.close()


# Adding


def add(
    run: RunTasks,
    folder: Path,
    index: Path,
    generation: store.Generation,
    settings: dict[str, Any],
    plan: Plan,
    left: Scanned,
    drops: Sequence[Drops],
    batch_bytes: int,
    *,
    with_texts: bool,
) -> int:
    """Append what survived the barriers as a generation; how many documents."""
    gone = np.sort(np.concatenate([np.zeros(0, np.int64), *(one.documents for one in drops)]))
    folder.mkdir(parents=True, exist_ok=True)
    save_array(folder / "gone.npy", gone)
    key = key_of(left.keys, generation.number, with_texts, xxhash.xxh3_64_hexdigest(gone.tobytes()))
    is_near = settings["near"] is not None
    tasks = [
        Task(
            "dedup.runner.indexing:collect_documents", str(folder / f"documents-{place:05}"), key_of(key, "doc", place),
            {"scan": scan, "base": base, "until": until, "gone": str(folder / "gone.npy"), "source": plan.source,
             "generation": generation.number, "batch_bytes": batch_bytes, "is_near": is_near, "with_texts": with_texts},
        )
        for place, (scan, base, until) in enumerate(left.spans())
    ]  # fmt: skip
    counts = [count["documents"] for count in run("index documents", tasks)]
    firsts = [0, *np.cumsum(counts).tolist()]
    bands = next((bands_of(step)[1].bands for step in last_barriers(plan) if step.kind == "near"), 1)
    bits = partition_bits(firsts[-1] * bands, KEY_ROWS)
    sorts = [
        Task(
            "dedup.runner.indexing:collect_keys", str(folder / f"keys-{p:05}"), key_of(key, "keys", p, bits),
            {"scans": left.folders, "parts": [task.folder for task in tasks], "firsts": firsts, "partition": p,
             "bits": bits, "is_near": is_near},
        )
        for p in range(1 << bits)
    ]  # fmt: skip
    run("index keys", sorts)
    catalogue = store.load(index)
    with store.new_folder(index, generation.number) as out:
        for name, schema, some in (
            ("documents.arrow", store.DOCUMENTS, tasks), ("keys.arrow", store.KEYS, sorts),
            ("bands.arrow", store.KEYS, sorts),
        ):  # fmt: skip
            with pa.ipc.new_file(str(out / name), schema) as writer:
                for task in some:
                    for batch in store.batches(Path(task.folder, name)):
                        writer.write_batch(batch)
        store.write_files(out, [(shard, plan.source.text) for shard in plan.shards])
        name = store.free_name(index, generation.number).name
    added = dataclasses.replace(generation, documents=firsts[-1])
    store.commit(index, store.Catalogue(settings, (*catalogue.generations, added), (*catalogue.folders, name)))
    return int(firsts[-1])


def collect_documents(
    folder: Path,
    progress: Progress,
    *,
    scan: Scan,
    base: int,
    until: int,
    gone: str,
    source: read.Source,
    generation: int,
    batch_bytes: int,
    is_near: bool,
    with_texts: bool,
) -> dict[str, Any]:
    """The rows of documents.arrow of one unit; places.npy: which documents of the unit they are."""
    table = scan.table()
    alive = np.zeros(0, np.bool_)
    if table.num_columns:
        alive = table[drop.REASON].combine_chunks().is_null().to_numpy(zero_copy_only=False).copy()
    dropped = np.load(gone, mmap_mode="r")
    low, high = np.searchsorted(dropped, [base, until])
    alive[dropped[low:high] - base] = False
    places = np.flatnonzero(alive)
    save_array(folder / "places.npy", places)
    with pa.ipc.new_file(str(folder / "documents.arrow"), store.DOCUMENTS) as writer:
        if len(places):
            columns = _columns(scan, table, places, generation, is_near)
            columns["text"] = _texts(scan, places, source, batch_bytes, with_texts)
            rows = pa.table([columns[name] for name in store.DOCUMENTS.names], schema=store.DOCUMENTS)
            writer.write_table(rows, max_chunksize=SEGMENT)
    progress(len(places), 0)
    return {"documents": len(places)}


def _columns(scan: Scan, table: pa.Table, places: Int64s, generation: int, is_near: bool) -> dict[str, Any]:
    n = len(places)
    numbers = np.array([piece.shard.number for piece in scan.unit.pieces], np.int32)
    some = table.take(pa.array(places))
    columns: dict[str, Any] = {
        "generation": np.full(n, generation, np.uint32),
        "id": some[read.ID] if read.ID in table.schema.names else pa.nulls(n, pa.large_string()),
        "file": numbers[scan.piece_of(places)], "row": scan.rows(places, table),
        "key_high": some["_key_high"], "key_low": some["_key_low"],
        "shingles": np.zeros(n, np.uint32), "few": np.zeros(n, np.uint8),
        "sketch": pa.nulls(n, pa.large_binary()),
    }  # fmt: skip
    if is_near:
        counts = np.load(Path(scan.folder, "sketches-0.npy"), mmap_mode="r")
        data = np.fromfile(Path(scan.folder, "sketches-0.bin"), np.uint8)
        full = int((np.asarray(counts) >= signing.SMALL).sum())
        width = (len(data) - int(counts[counts < signing.SMALL].astype(np.int64).sum()) * 8) // full if full else 0
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(signing.record_bytes(counts, width))])
        parts = [None, pa.py_buffer(ends), pa.py_buffer(data)]
        sketches = pa.Array.from_buffers(pa.large_binary(), len(counts), parts)
        columns["sketch"], columns["few"] = sketches.take(pa.array(places)), counts[places]
        columns["shingles"] = np.load(Path(scan.folder, "shingles-0.npy"), mmap_mode="r")[places]
    return columns


def _texts(scan: Scan, places: Int64s, source: read.Source, batch_bytes: int, with_texts: bool) -> Any:
    """The texts that the files do not have as they were compared, or all of them."""
    if not with_texts:
        hits, texts = Changes(Path(scan.folder)).at(places)
        return buffers.with_replaced(pa.nulls(len(places), pa.large_string()), hits, texts)
    parts = [pa.array([], pa.large_string())]
    parts += [texts for _, texts in scan.texts(places, source, batch_bytes)]
    return pa.concat_arrays(parts)


def collect_keys(
    folder: Path,
    progress: Progress,
    *,
    scans: list[str],
    parts: list[str],
    firsts: list[int],
    partition: int,
    bits: int,
    is_near: bool,
) -> dict[str, Any]:
    """keys.arrow and bands.arrow of one partition of the keys of what survived."""
    for name, file in (("keys", "exact-0.bin"), ("bands", "bands-0.bin")):
        found: list[list[Any]] = [[np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]]
        for scan, part, first in zip(scans, parts, firsts, strict=False):
            places = np.load(Path(part, "places.npy"), mmap_mode="r")
            if not len(places) or (name == "bands" and not is_near):
                continue
            for rows in read_partition(Path(scan, file), partition, bits):
                keys, documents = rows.columns[0], rows.columns[-1]
                if name == "bands":
                    documents = keys & np.uint64((1 << DOCUMENT_BITS) - 1)
                    keys = keys >> np.uint64(DOCUMENT_BITS)
                own = documents.astype(np.int64) + rows.document_base
                at = np.minimum(np.searchsorted(places, own), len(places) - 1)
                hit = places[at] == own
                found[0].append(keys[hit])
                found[1].append((at[hit] + first).astype(np.uint64))
        keys, documents = (np.concatenate(some) for some in found)
        order = np.lexsort((documents, keys))
        store.write_keys(folder / f"{name}.arrow", [(keys[order], documents[order])])
    progress(0, 0)
    return {}


def _as_json(data: Any) -> Any:
    return json.loads(json.dumps(data, default=str))


def cleaning(plan: Plan) -> list[Any]:
    """The steps before the barriers that an index takes part in, as data."""
    last = max(n for n, one in enumerate(plan.passes) if one.barriers)
    return [[step.use, step.settings] for one in plan.passes[: last + 1] for step in one.stages]
