"""What tests share: both executors, the real corpora beside the repository, and a seeded choice of the slow ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SUBSET_SEED = 20_240_501


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seeded-subset",
        action="store_true",
        help="of the tests marked slow only a third, the same every time, with fewer repetitions",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not SHARED.exists():
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs ../shared/data"))
    if config.getoption("--seeded-subset"):
        slow = [item for item in items if "slow" in item.keywords]
        chosen = seeded_subset([item.nodeid for item in slow])
        gone = [item for item in slow if item.nodeid not in chosen]
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if item not in gone]


def seeded_subset(names: Sequence[str]) -> set[str]:
    """A third of the names, at least three; whether one is in it hardly depends on the others."""
    order = sorted(names, key=lambda name: random.Random(f"{SUBSET_SEED} {name}").random())
    return set(order[: max(3, len(names) // 3)])


@pytest.fixture
def seeded(request: pytest.FixtureRequest) -> bool:
    """Whether this is the seeded subset: slow tests then repeat less often."""
    return bool(request.config.getoption("--seeded-subset"))


@pytest.fixture(params=["serial", "local"])
def executor(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Arguments of dedup.run that choose an executor; every test of whole runs takes them."""
    return {"executor": "serial"} if request.param == "serial" else {"executor": "local", "workers": 2}


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the real corpora; a test that takes it is marked `shared`."""
    return SHARED
