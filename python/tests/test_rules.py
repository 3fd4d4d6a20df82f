"""Redaction of single tasks, progress, and what is exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from running import Place, Process, eventually

import taskplane

COLOUR, SIZE = "turquoise", "large"


def known(place: Place, sent: str) -> dict[str, Any]:
    return eventually("the task is known", lambda: place.brain.task(sent))


def test_rules_at_the_task_hold_where_it_is_sent(place: Place) -> None:
    script = place.python("script", "redacted_shop.py")
    assert script.wait() == 0, script.log
    below, above, shared, hidden, free = script.log.split()
    for sent in (below, above, shared):
        task = known(place, sent)
        shown = json.dumps(task["kwargs_redacted"])
        assert COLOUR not in shown, shown
        assert SIZE in shown, shown
    task = known(place, hidden)
    shown = json.dumps([task["args_redacted"], task["kwargs_redacted"]])
    assert COLOUR not in shown, shown
    assert SIZE not in shown, shown
    task = known(place, free)
    assert COLOUR in json.dumps(task["kwargs_redacted"])


def test_rules_at_the_task_hold_where_it_runs(place: Place, run_worker: Callable[..., Process]) -> None:
    run_worker("--concurrency", "1", app="redacted_shop")
    script = place.python("script", "redacted_shop.py", TASKPLANE_ENABLED="0")
    assert script.wait() == 0, script.log
    for sent in script.log.split()[:3]:

        def ended(sent: str = sent) -> dict[str, object] | None:
            task = place.brain.task(sent)
            return task if task is not None and task["state"] == "succeeded" else None

        task = eventually("the task has ended", ended)
        assert COLOUR not in json.dumps([task["kwargs_redacted"], place.brain.events(sent)])


def test_a_task_tells_how_far_it_is(place: Place, run_worker: Callable[..., Process]) -> None:
    run_worker("--concurrency", "1", app="redacted_shop")
    script = place.python("script", "-c", "import redacted_shop as s; print(s.resize.delay().id)")
    assert script.wait() == 0, script.log
    task = known(place, script.log.strip())
    progress = eventually("its progress", lambda: known(place, task["task_id"])["progress"])
    assert (progress["done"], progress["total"], progress["note"]) == (3, 10, "the third")


def test_decorators_leave_functions_as_they_are() -> None:
    def work() -> int:
        return 7

    assert taskplane.redact(keys=["x"])(work) is work
    assert work() == 7


def test_progress_outside_of_a_task_does_nothing() -> None:
    taskplane.progress(1, 2, "note")
