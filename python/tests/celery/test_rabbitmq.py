"""The same on RabbitMQ: a publisher, a worker, and what the dashboard asks of the agent in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery_place import Factory
from rabbitmq import RabbitMq
from running import Brain, Place, eventually

# They share a server, which takes seconds to start.
pytestmark = pytest.mark.xdist_group("rabbitmq")


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory, brain: Brain) -> Iterator[Factory]:
    """A factory with one prefork worker, on a RabbitMQ of its own."""
    rabbitmq = RabbitMq()
    folder = tmp_path_factory.mktemp("rabbit")
    floor = Factory(Place(folder, rabbitmq.url, brain, folder.name))
    try:
        floor.worker()
        yield floor
    finally:
        floor.place.end()
        rabbitmq.end()


def test_a_task_is_told_with_the_queue_it_was_sent_to(floor: Factory) -> None:
    task_id = floor.send("weld", 7, "s355", password="correct horse battery")
    task = floor.told(task_id, "sent", "received", "started", "succeeded")
    assert (task["queue"], task["worker"], task["attempt"]) == ("floor", floor.node, 0), task
    assert task["args_redacted"] == [7, "s355"], task
    assert task["kwargs_redacted"] == {"password": "<redacted>"}, task
    assert task["result_redacted"] == {"welded": 7, "by": "<email>"}, task


def test_a_failed_link_of_a_chain_runs_again_with_the_rest_of_its_chain(floor: Factory) -> None:
    path = floor.place.folder / "paid"
    link = floor.python(f"print((jam_unless.s(21, path={str(path)!r}) | double.s())().parent.id)")
    floor.told(link, "sent", "received", "started", "failed")
    path.write_text("")
    answer = floor.ordered("retry_task", task_id=link)
    assert answer["status"] == "succeeded", answer
    again = floor.told(answer["result"]["new_task_id"], "received", "started", "succeeded")
    assert (again["retry_of"], again["result_redacted"], again["queue"]) == (link, 21, "floor"), again

    def rest() -> bool:
        tasks = floor.place.brain.get(f"tasks/celery/{again['task_id']}/tree")["items"]
        return any(
            (task["name"], task["state"], task["result_redacted"]) == ("factory.double", "succeeded", 42)
            for task in tasks
        )

    eventually("the rest of the chain", rest)


def test_queues_are_sampled(floor: Factory) -> None:
    def depth() -> bool:
        queues = floor.place.brain.get("queues")["items"]
        return any(queue["name"] == "dock" and queue["depth"] == 2 for queue in queues)

    # A worker has made the queue, and is gone.
    docker = floor.worker("--pool", "solo", "--hostname", "docker@test", "-Q", "dock", name="docker")
    assert docker.terminate() == 0
    floor.python("[weld.apply_async([n], queue='dock') for n in range(2)]")
    eventually("the depth of the queue", depth)
