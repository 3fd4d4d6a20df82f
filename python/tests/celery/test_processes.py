"""Pools, forks, and processes that die."""

from __future__ import annotations

import os
import signal

import pytest
from celery_place import Factory
from running import eventually

LIFE = ("sent", "received", "started", "succeeded")
POOLS = [
    "solo",
    "threads",
    "gevent",
    "eventlet",
]


def test_a_worker_is_told_from_inside(factory: Factory) -> None:
    worker = factory.worker("--pool", "prefork", "--concurrency", "3", "-Q", "floor,dock")
    # Its first heartbeat comes before it is ready.
    online = eventually("what it is", lambda: factory.as_worker({"pool": "prefork"}))
    assert (online["state"], online["concurrency"], sorted(online["queues"])) == (
        "online",
        3,
        ["dock", "floor"],
    )
    assert online["software"].startswith("celery "), online
    for _ in range(3):
        factory.send("double", 1)
    eventually("what it has done", lambda: factory.as_worker({"processed": 3}))
    assert worker.terminate() == 0
    eventually("its end", lambda: factory.as_worker({"state": "offline"}))
    assert not [line for line in worker.log.splitlines() if line.startswith("taskplane:")], worker.log


@pytest.mark.parametrize("pool", POOLS)
def test_every_pool_tells_the_same(factory: Factory, pool: str) -> None:
    factory.worker("--pool", pool, "--concurrency", "2")
    for task_id in factory.python("print(*[double.delay(n).id for n in range(20)])").split():
        factory.told(task_id, *LIFE)
    task = factory.told(factory.send("jam", 1), "sent", "received", "started", "failed")
    assert task["worker"] == factory.node
    assert len(factory.place.brain.agents(factory.place.name)) == 1


def test_children_that_are_replaced_after_each_task_lose_nothing(factory: Factory) -> None:
    factory.worker("--pool", "prefork", "--concurrency", "2", "--max-tasks-per-child", "1")
    for task_id in factory.python("print(*[double.delay(n).id for n in range(12)])").split():
        factory.told(task_id, *LIFE)
    # One process collects, however many have come and gone.
    assert factory.place.only_agent()["connections"] == 1


def test_a_killed_child_loses_no_event_that_its_hook_returned_from(factory: Factory) -> None:
    factory.worker()
    task_id = factory.send("send_and_die", 100)
    task = factory.told(task_id, "sent", "received", "started", "failed")
    assert (task["exception"], "SIGKILL" in task["exception_message"]) == ("WorkerLostError", True), task

    def children() -> int:
        return len(factory.place.brain.get(f"tasks/celery/{task_id}/tree")["items"]) - 1

    eventually("all that it sent", lambda: children() == 100)


@pytest.mark.parametrize("attempt", [0, 1])
def test_a_task_whose_time_is_up_is_told_once_by_the_main_process(factory: Factory, attempt: int) -> None:
    # More than a busy machine takes for what is not late.
    worker = factory.worker("--pool", "prefork", "--concurrency", "2", "--time-limit", "10")
    task_id = factory.send("late", attempt)
    again = ("sent", "received", "started", "retry") * attempt
    task = factory.told(task_id, *again, "sent", "received", "started", "failed", in_order=False)
    assert (task["exception"], task["attempt"]) == ("TimeLimitExceeded", attempt), task
    (failed,) = factory.events(task_id, "failed")
    known = (failed.get("retries", 0), failed["worker"], failed["pid"])
    assert known == (attempt, factory.node, worker.pid), failed
    # Its child is replaced, and the next task runs.
    factory.told(factory.send("double", 2), *LIFE)


def test_what_a_killed_worker_captured_is_delivered_by_the_next(factory: Factory) -> None:
    worker = factory.worker("--pool", "solo")
    mark = factory.place.folder / "mark"
    factory.place.brain.process.signal(signal.SIGSTOP)
    try:
        task_id = factory.send("sleep", 600, str(mark))
        eventually("its start", mark.exists)
        os.kill(worker.pid, signal.SIGKILL)
    finally:
        factory.place.brain.process.signal(signal.SIGCONT)
    factory.worker("--pool", "solo", name="next")
    eventually("its start", lambda: "task_started" in factory.kinds(task_id))


@pytest.mark.parametrize("pool", ["solo", "prefork"])
def test_a_worker_that_stops_has_told_all(factory: Factory, pool: str) -> None:
    # A stop may take two seconds. Where the machine stands still for so long, the next worker delivers the rest.
    assert any(has_told_all(factory, pool, attempt) for attempt in range(3))


def has_told_all(factory: Factory, pool: str, attempt: int) -> bool:
    """Whether the brain has all of a worker's tasks, and of those before it, when it has stopped."""
    worker = factory.worker("--pool", pool, "--concurrency", "2", name=f"worker-{attempt}")
    factory.python("[double.delay(n) for n in range(60)]")
    # A pool child that is stopped between short tasks waits up to 30 s for the main process to count the results of the last
    # ones (billiard's `_ensure_messages_consumed`): every third stop or so, with an agent as without.
    enough = 60 if pool == "prefork" else 1
    eventually("some of it", lambda: worker.log.count("] succeeded in ") >= enough)
    assert worker.terminate() == 0
    # By then the brain has it.
    logs = [log.read_text(errors="replace") for log in factory.place.folder.glob("worker-*.log")]
    return factory.succeeded() == sum(log.count("] succeeded in ") for log in logs)


def test_another_process_collects_when_the_one_that_did_is_killed(factory: Factory) -> None:
    first = factory.worker("--pool", "solo", name="first")
    eventually("the first", lambda: factory.place.brain.agents(factory.place.name))
    factory.worker("--pool", "solo", "--hostname", "second@test", "-Q", "dock", name="second")
    task_id = factory.python("print(double.apply_async([1], queue='dock').id)")
    assert factory.told(task_id, *LIFE)["worker"] == "second@test"
    assert factory.place.only_agent()["connections"] == 1
    os.kill(first.pid, signal.SIGKILL)
    task_id = factory.python("print(double.apply_async([2], queue='dock').id)")
    assert factory.told(task_id, *LIFE)["worker"] == "second@test"


def test_an_eager_task_is_one_history_without_a_worker(factory: Factory) -> None:
    task_id = factory.python("taskplane._agent.AGENT.serves(); print(double.delay(4).id)", EAGER="1")
    task = factory.told(task_id, "started", "succeeded")
    assert (task["state"], task["worker"], task["result_redacted"]) == ("succeeded", None, 8), task


def test_no_code_of_the_application_is_called(factory: Factory) -> None:
    program = """
taskplane._agent.AGENT.serves()
Part.asked.clear()
parts.apply((Part(), {Part: 1}, Thing(), b'abc', 2**70, [float('nan')], 'y' * 99, Number(5)))
assert not Part.asked, Part.asked
"""
    factory.python(program, EAGER="1")
    task = eventually(
        "the task", lambda: next(iter(factory.place.brain.get("tasks?name=factory.parts")["items"]), None)
    )
    args = factory.told(task["task_id"], "started", "succeeded")["args_redacted"]
    shown = [
        "<Part>",
        {"<type>": 1},
        {"kind": "<Part>"},
        "<bytes len=3>",
        "<int>",
        ["nan"],
        "<str len=99>",
        5,
    ]
    assert args == shown, args
