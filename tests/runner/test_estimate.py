"""What `dedup plan` says that a run takes, beside what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dedup
from dedup import recipe as recipes
from dedup.errors import UserError
from dedup.io import shards
from dedup.plan import Plan, make_plan
from dedup.runner import budget, disk, estimate
from tests.runner.test_run import prose
from tests.runs import NEAR, files, write_jsonl

SERIAL: dict[str, Any] = {"executor": "serial"}
TEXTS = [prose(number, 120) for number in range(900)]


def planned(source: Path, output: Path, **how: Any) -> Plan:
    loaded = recipes.load(NEAR, input=source, output=output, **how)
    found = shards.discover(loaded.input)
    return make_plan(loaded, found, shards.discover_against(loaded.against, found))


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """in-a: 600 documents; in-b: 450, of which 150 are in in-a too."""
    for name, some in (("a", range(600)), ("b", range(450, 900))):
        rows = [{"id": f"{name}{n}", "text": f"{TEXTS[n]} {name}"} for n in some]
        write_jsonl(tmp_path / f"in-{name}" / "x.jsonl", rows)
    return tmp_path


def test_references_are_counted_apart_and_are_not_written(parts: Path) -> None:
    alone = estimate.estimate(planned(parts / "in-b", parts / "out"))
    both = estimate.estimate(planned(parts / "in-b", parts / "out", against=parts / "in-a"))
    assert both.documents == alone.documents == pytest.approx(450, abs=2)
    assert (alone.against_documents, both.against_documents) == (0, pytest.approx(600, abs=2))
    assert both.temporary_bytes == pytest.approx(alone.temporary_bytes * 1050 / 450, rel=0.05)
    written = alone.disk_bytes - alone.temporary_bytes
    assert both.disk_bytes - both.temporary_bytes == pytest.approx(written, rel=0.01)
    assert both.peak_bytes >= alone.peak_bytes + 590 * budget.DOCUMENT
    assert "\ncompared with about 599 documents of references, 0." in "\n" + estimate.describe(both)
    assert "compared" not in estimate.describe(alone)


@pytest.mark.parametrize("index_texts", [False, True])
def test_an_index_is_counted_with_what_is_looked_at_and_what_it_grows_by(parts: Path, index_texts: bool) -> None:
    recipe, index = NEAR | {"index_texts": index_texts}, parts / "index"
    dedup.run(recipe, parts / "in-a", parts / "out-a", index=index, **SERIAL)
    before, size = files(index), disk.size_of(index)
    plan = planned(
        parts / "in-b", parts / "out-b", index=str(index), changes=[f"index_texts={str(index_texts).lower()}"]
    )
    found = estimate.estimate(plan)
    assert (files(index), disk.size_of(index)) == (before, size)
    result = dedup.run(recipe, parts / "in-b", parts / "out-b", index=index, keep_work=True, **SERIAL)
    told = result.summary["index"]
    assert told["documents_added"] == 300
    assert 150 <= told["candidates"] <= 160  # few words make some share a band by chance
    assert found.old_documents == pytest.approx(told["candidates"], abs=2)
    assert found.index_bytes == pytest.approx((disk.size_of(index) - size) * 1.5, rel=0.3)  # of what is added all stays
    assert found.temporary_bytes == pytest.approx(disk.size_of(parts / "out-b" / "work"), rel=0.5)
    shown = estimate.describe(found)
    assert shown.startswith(f"compared with about {found.old_documents} of the index, which grows by ")


def test_shards_are_looked_at_once(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    look = budget._look
    monkeypatch.setattr(budget, "_look", lambda shard: seen.append(shard.path) or look(shard))
    estimate.estimate(planned(parts / "in-b", parts / "out", against=parts / "in-a"))
    assert seen == [f"{parts}/in-b/x.jsonl", f"{parts}/in-a/x.jsonl"]


def test_an_index_without_room_on_its_disk_is_told(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(parts / "in-b", parts / "out", index=str(parts / "index"))
    found = estimate.estimate(plan)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: type("Usage", (), {"free": found.disk_bytes}))
    estimate.check_fits(plan, found)
    large = found._replace(index_bytes=found.disk_bytes + 1)
    with pytest.raises(UserError, match=r"of disk are free, and the run needs about .* there; make room"):
        estimate.check_fits(plan, large)
