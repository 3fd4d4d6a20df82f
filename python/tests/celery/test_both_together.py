"""An agent inside the application and one beside its broker tell one history, and share the work."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from celery_place import Factory
from running import Brain, Place, Process, Redis, eventually

SIDECAR = "beside"
COUNTS = ("sent", "started", "succeeded", "failed", "retried", "revoked")
END = {
    "succeeded": "task_succeeded",
    "failed": "task_failed",
    "retrying": "task_retry",
    "revoked": "task_revoked",
}


class Deployment:
    """A factory with an agent in each of its processes and one beside its broker."""

    def __init__(self, place: Place, *words: str) -> None:
        self.place, self.brain = place, place.brain
        self.factory = Factory(place)
        self.worker = self.factory.worker(*words)
        self.sidecar = self._run_sidecar()
        # Until its workers tell the one beside them, too, only one of the two has a history to tell.
        eventually("both are there", self._both_tell)

    def _run_sidecar(self) -> Process:
        agent = ["agent", "--brain", self.brain.url, "--token", self.brain.token, "--name", SIDECAR]
        watched = ["--celery", self.place.broker, "--events", "on"]
        folder = ["--data-dir", str(self.place.folder / "beside")]
        return self.place.run("sidecar", [self.brain.binary, *agent, *watched, *folder])

    def _both_tell(self) -> bool:
        assert self.sidecar.running(), self.sidecar.log
        probe = self.factory.send("total", [1])
        self.factory.ended(probe)
        return self.witnesses(probe, "task_succeeded") == {self.place.name, SIDECAR}

    def send(self, task: str, *args: Any, **kwargs: Any) -> str:
        return self.factory.send(task, *args, **kwargs)

    def witnesses(self, task_id: str, kind: str) -> set[str]:
        """The agents that have told this of a task."""
        told = self.brain.events(task_id)
        return {each["agent"] for each in told if each["event_type"] == kind}

    def history(self, task_id: str, state: str, attempts: int = 1) -> dict[str, Any]:
        """A task that both have told of to its end, checked for what holds of each that was sent and run once."""

        def told_by_both() -> dict[str, Any] | None:
            task = self.brain.task(task_id)
            if task is None or (task["state"], task["attempt"]) != (state, attempts - 1):
                return None
            # Its publisher is yet another process, which may be heard last.
            if not all(attempt["sent_at"] and attempt["received_at"] for attempt in task["attempts"]):
                return None
            return task if len(self.witnesses(task_id, END[state])) == 2 else None

        try:
            task = eventually(f"{state}, told by both", told_by_both)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.brain.task(task_id)} {self.told(task_id)}") from None
        assert (task["queue"], task["worker"], task["started_twice"]) == (
            "floor",
            self.factory.node,
            False,
        ), task
        assert [attempt["attempt"] for attempt in task["attempts"]] == list(range(attempts)), task
        for attempt in task["attempts"]:
            assert len(attempt["starts"]) == 1, task
            assert attempt["sent_at"] <= attempt["received_at"] <= attempt["started_at"], task
        marks = Counter((entry["event"], entry["attempt"]) for entry in task["timeline"])
        assert set(marks.values()) == {1}, json.dumps(task["timeline"])
        return task

    def told(self, task_id: str) -> list[tuple[str, str, Any]]:
        events = self.brain.events(task_id)
        return [(each["agent"], each["event_type"], each["event"].get("retries")) for each in events]

    def counted(self, name: str, **filters: str) -> dict[str, int]:
        query = "&".join(f"{key}={quote(value)}" for key, value in {"name": name, **filters}.items())
        points = self.brain.get(f"stats?since=1h&{query}")["items"]
        return {count: sum(point[count] for point in points) for count in COUNTS}

    def counts(self, task: str, **expected: int) -> None:
        """So often, and no more, all of it in the queue that its publisher sent it to."""
        expected = {count: expected.get(count, 0) for count in COUNTS}
        name = f"factory.{task}"
        assert self.counted(name) == expected, self._all(name)
        assert self.counted(name, queue="floor") == expected, name

    def _all(self, name: str) -> str:
        tasks = self.brain.get(f"tasks?name={name}")["items"]
        events = [sorted(self.told(task["task_id"]), key=str) for task in tasks]
        return json.dumps([[self.brain.task(task["task_id"]) for task in tasks], events], indent=1)

    def ordered(self, cmd: str, **args: Any) -> dict[str, Any]:
        """A command, once it has ended."""
        answer = self.factory.ordered(cmd, **args)
        assert answer["status"] == "succeeded", answer
        return answer

    def heard(self, cmd: str, **args: Any) -> dict[str, Any]:
        """A command to workers, once one of them has answered."""
        answer = self.factory.heard(cmd, **args)
        assert answer["status"] == "succeeded", answer
        return answer


@pytest.fixture
def both(tmp_path: Path, redis: Redis) -> Iterator[Deployment]:
    """On a brain that knows nothing else, and soon asks about a task that is under way."""
    brain = Brain(tmp_path, "--ask-after=2s")
    place = Place(tmp_path, redis.database(), brain, "inside")
    try:
        yield Deployment(place)
    finally:
        place.end()
        brain.process.kill()
        print(place.logs())


def test_what_both_tell_is_one_history_and_counts_once(both: Deployment) -> None:
    welded = [both.send("weld", number, "s355", password="correct horse battery") for number in range(3)]
    jammed = [both.send("jam", number) for number in range(2)]
    again, given_up = both.send("again", 2), both.send("again", 9)
    first, second = both.factory.python(
        "chained = (double.s(1) | double.s())(); print(chained.parent.id, chained.id)"
    ).split()
    slow = both.send("sleep", 600)
    eventually("its start", lambda: both.witnesses(slow, "task_started") == {both.place.name, SIDECAR})
    both.heard("cancel_task", task_id=slow, terminate=True)

    for task_id in welded:
        task = both.history(task_id, "succeeded")
        assert task["kwargs_redacted"] == {"password": "<redacted>"}, task
        assert task["args_redacted"][1] == "s355", task
        assert task["result_redacted"]["by"] == "<email>", task
        assert task["runtime_ms"] > 0, task
        assert "correct horse" not in json.dumps([task, both.brain.events(task_id)])
    for task_id in jammed:
        task = both.history(task_id, "failed")
        assert (task["exception"], task["exception_message"]) == ("Jam", "jammed at the press"), task
        assert "raise Jam(" in task["traceback"], task
    assert both.history(again, "succeeded", attempts=3)["result_redacted"] == 2
    assert both.history(given_up, "failed", attempts=3)["exception"] == "KeyError"
    assert both.history(first, "succeeded")["result_redacted"] == 2
    assert both.history(second, "succeeded")["parent_id"] == first
    assert both.history(slow, "revoked")["finished_at"]

    both.counts("weld", sent=3, started=3, succeeded=3)
    both.counts("jam", sent=2, started=2, failed=2)
    both.counts("again", sent=6, started=6, succeeded=1, failed=1, retried=4)
    both.counts("double", sent=2, started=2, succeeded=2)
    both.counts("sleep", sent=1, started=1, revoked=1)

    queues = Counter(queue["name"] for queue in both.brain.get("queues")["items"])
    workers = Counter(worker["name"] for worker in both.brain.get("workers")["items"])
    assert (queues["floor"], workers[both.factory.node]) == (1, 1), (queues, workers)


def test_a_retry_goes_to_the_agent_that_has_the_original(both: Deployment) -> None:
    path = both.place.folder / "paid"
    program = f"""
chained = (jam_unless.s({"x" * 5000!r}, path={str(path)!r}) | weld.s("s355"))()
print(chained.parent.id, chained.id)
"""
    link, rest = both.factory.python(program).split()
    both.history(link, "failed")
    path.write_text("")
    answer = both.ordered("retry_task", task_id=link)
    assert answer["agent"] == both.place.name, answer
    again = both.history(answer["result"]["new_task_id"], "succeeded")
    assert (again["retry_of"], again["result_redacted"]) == (link, "<str len=5000>"), again
    assert both.history(rest, "succeeded")["args_redacted"] == ["<str len=5000>", "s355"]


def test_a_bulk_retry_goes_to_the_agent_that_has_the_originals(both: Deployment) -> None:
    path = both.place.folder / "all-paid"
    sent = f"print(*[jam_unless.delay(number, path={str(path)!r}).id for number in range(20)])"
    failed = both.factory.python(sent).split()
    for task_id in failed:
        both.history(task_id, "failed")
    path.write_text("")
    job = both.brain.post("bulk", {"cmd": "retry", "filter": {"ids": failed}, "expected_count": 20})

    def finished() -> dict[str, Any] | None:
        found: dict[str, Any] = both.brain.get(f"bulk/{job['id']}")
        return found if found["state"] == "finished" else None

    counts = eventually("its end", finished)["counts"]
    assert (counts["accepted"], counts["succeeded"]) == (20, 20), counts
    for task_id in failed:
        both.history(both.factory.ended(task_id)["retried_as"], "succeeded")
    ordered = [each for each in both.brain.get("commands")["items"] if each["cmd"] == "bulk_retry"]
    assert {each["agent"] for each in ordered} == {both.place.name}, ordered


def test_workers_take_orders_and_are_asked_once(both: Deployment) -> None:
    answer = both.heard("worker_control", worker=both.factory.node, action="ping")
    assert list(answer["result"]["replies"]) == [both.factory.node], answer


def test_without_its_worker_a_task_is_retried_by_who_is_beside(both: Deployment) -> None:
    path = both.place.folder / "late"
    task_id = both.send("jam_unless", 7, str(path))
    both.history(task_id, "failed")
    assert both.worker.terminate() == 0
    eventually("nobody is inside", lambda: not both.brain.agents(both.place.name))
    path.write_text("")
    answer = both.ordered("retry_task", task_id=task_id)
    assert answer["agent"] == SIDECAR, answer
    both.worker = both.factory.worker(name="next")
    assert both.history(answer["result"]["new_task_id"], "succeeded")["result_redacted"] == 7


def test_a_task_that_is_lost_with_its_pool_child_failed_once(both: Deployment) -> None:
    mark = both.place.folder / "mark"
    task_id = both.send("sleep", 600, str(mark))
    eventually("its start", lambda: mark.exists() and mark.read_text())
    eventually("both know", lambda: len(both.witnesses(task_id, "task_started")) == 2)
    os.kill(int(mark.read_text()), signal.SIGKILL)
    task = both.history(task_id, "failed")
    assert (task["exception"], "SIGKILL" in task["exception_message"]) == ("WorkerLostError", True), task
    assert both.history(both.send("double", 3), "succeeded")["result_redacted"] == 6


def test_a_task_that_is_lost_with_its_worker_is_lost_once(both: Deployment) -> None:
    mark = both.place.folder / "gone"
    task_id = both.send("sleep", 600, str(mark))
    eventually("its start", lambda: mark.exists() and mark.read_text())
    eventually("both know", lambda: len(both.witnesses(task_id, "task_started")) == 2)
    both.worker.kill()
    both.worker = both.factory.worker("--hostname", "other@test", name="next")

    def lost() -> dict[str, Any] | None:
        task = both.brain.task(task_id)
        return task if task is not None and task["state"] == "lost" else None

    task = eventually("it is lost", lost, 180)
    assert (task["started_twice"], [entry["event"] for entry in task["timeline"]]) == (
        False,
        ["task_sent", "task_received", "task_started", "task_lost"],
    ), task
