"""What tests share: every executor, the real corpora beside the repository, and a seeded choice of the slow ones."""

from __future__ import annotations

import importlib.util
import logging
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SUBSET_SEED = 20_240_501
# Two processes more a run, 2 s of CPU: every CI run has them, and `make test` those of tests that are about workers.
LOCAL = pytest.param("local", marks=pytest.mark.slow(always=True))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seeded-subset",
        action="store_true",
        help="of the tests marked slow only a third, the same every time, with fewer repetitions",
    )


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "ray" in getattr(item, "fixturenames", ()):
            item.add_marker("ray")
        if "s3" in getattr(item, "fixturenames", ()):
            item.add_marker("s3")
        if "_drawing" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
    if not SHARED.exists():
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs ../shared/data"))
    if config.getoption("--seeded-subset"):
        slow = [item for item in items if "slow" in item.keywords]
        chosen = seeded_subset([item.nodeid for item in slow])
        chosen |= {item.nodeid for item in slow if any(mark.kwargs.get("always") for mark in item.iter_markers("slow"))}
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


@pytest.fixture(params=["serial", LOCAL, pytest.param("ray", marks=pytest.mark.ray)])
def executor(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Arguments of dedup.run that choose an executor; every test of whole runs takes them."""
    if request.param == "serial":
        return {"executor": "serial"}
    if request.param == "ray":
        request.getfixturevalue("one_ray")
    return {"executor": request.param, "workers": 2}


@pytest.fixture(scope="session")
def ray() -> Any:
    """The package Ray; tests of it are skipped where it is not installed, unless NEEDS_RAY says that it has to be."""
    if importlib.util.find_spec("ray") is None:
        (pytest.fail if os.environ.get("NEEDS_RAY") else pytest.skip)("needs Ray: pip install 'dedup[ray]'")
    return importlib.import_module("ray")


@pytest.fixture(scope="session")
def _kept_ray(ray: Any) -> Iterator[Any]:
    start_ray(ray)
    yield ray
    ray.shutdown()


@pytest.fixture
def one_ray(_kept_ray: Any) -> Any:
    """A Ray of two CPUs on this machine that this process is connected to; starting one takes seconds."""
    if not _kept_ray.is_initialized():  # a test ended it
        start_ray(_kept_ray)
    return _kept_ray


def start_ray(ray: Any) -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL,
        object_store_memory=100 << 20,
    )  # fmt: skip


@pytest.fixture(autouse=True, scope="session")
def _no_pages() -> None:
    """Runs draw no pages but where a test asks for `pages`: there are hundreds, and each page takes a second."""
    os.environ.setdefault("DEDUP_REPORT", "0")


@pytest.fixture(scope="session")
def _drawing() -> None:
    absent = [name for name in ("matplotlib", "jinja2") if importlib.util.find_spec(name) is None]
    if absent:
        told = f"needs {', '.join(absent)}: pip install 'dedup[report]'"
        (pytest.fail if os.environ.get("NEEDS_BROWSER") else pytest.skip)(told)


@pytest.fixture
def pages(_drawing: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw their pages; skipped without the report extra, unless NEEDS_BROWSER says that it has to be there."""
    monkeypatch.delenv("DEDUP_REPORT")


@pytest.fixture(scope="session")
def browser(_drawing: None) -> Iterator[Any]:
    """A real browser without a window; tests of it are skipped where there is none, unless NEEDS_BROWSER is set."""
    from tests.chromium import Browser, find

    program = find()
    if program is None:
        told = "needs Chromium: apt-get install chromium"
        (pytest.fail if os.environ.get("NEEDS_BROWSER") else pytest.skip)(told)
    with Browser(program) as opened:
        yield opened


@pytest.fixture(scope="session")
def _store_server() -> Iterator[str]:
    """The endpoint of moto's S3 server, a process of its own."""
    absent = [name for name in ("boto3", "moto", "flask", "flask_cors") if importlib.util.find_spec(name) is None]
    if absent:
        told = f"needs {', '.join(absent)}: pip install 'dedup[dev]'"
        (pytest.fail if os.environ.get("NEEDS_S3") else pytest.skip)(told)
    command = [sys.executable, "-m", "tests.store_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1], text=True) as server:
        assert server.stdout is not None
        endpoint = server.stdout.readline().strip()
        yield endpoint
        server.kill()


@pytest.fixture
def s3(_store_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A bucket on a real S3 server, told to every process by the variables that AWS's tools read."""
    from tests.bucket import Bucket

    kernels = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "dedup")
    for name, value in {
        "DEDUP_CACHE_DIR": os.environ.get("DEDUP_CACHE_DIR", kernels),
        "AWS_ENDPOINT_URL": _store_server, "AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    bucket = Bucket(_store_server)
    yield bucket
    bucket.control()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the real corpora; a test that takes it is marked `shared`."""
    return SHARED
