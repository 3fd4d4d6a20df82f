"""What the tests share: one brain and one Redis for all, and a place of its own for each."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from running import Brain, Place, Process, Redis

FAILED = pytest.StashKey[bool]()


def pytest_configure() -> None:
    """Whoever ends the tests with SIGTERM leaves nothing behind either: it is treated as Ctrl-C."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brain]:
    """A real brain, on a SQLite file of its own."""
    brain = Brain(tmp_path_factory.mktemp("brain"))
    yield brain
    brain.process.kill()


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A real Redis server."""
    redis = Redis(tmp_path_factory.mktemp("redis"))
    yield redis
    redis.process.kill()


@pytest.fixture
def place(tmp_path: Path, brain: Brain, redis: Redis, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Where this test runs its application; everything it starts there ends with it."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    place = Place(tmp_path, redis.database(), brain, name)
    yield place
    place.end()
    if FAILED in request.node.stash:
        print(place.logs())


@pytest.fixture
def run_worker(place: Place) -> Callable[..., Process]:
    """Starts a Celery worker of one of the tests' projects; see `Place.worker`."""
    return place.worker


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test failed: what its processes have printed belongs to its report."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report
