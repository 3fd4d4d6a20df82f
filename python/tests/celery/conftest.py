from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery_place import Factory
from running import Brain, Place, Redis


@pytest.fixture
def factory(place: Place) -> Factory:
    """A factory with nobody in it."""
    return Factory(place)


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory, brain: Brain, redis: Redis) -> Iterator[Factory]:
    """A factory with one prefork worker, for all tests of a module that only send tasks."""
    folder = tmp_path_factory.mktemp("floor")
    floor = Factory(Place(folder, redis.database(), brain, folder.name))
    floor.worker()
    yield floor
    floor.place.end()
