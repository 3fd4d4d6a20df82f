"""What becomes of a task, as the hooks of its publisher and of its worker tell it."""

from __future__ import annotations

import json

from celery_place import Factory
from running import eventually


def test_a_success_is_told_from_its_publisher_to_its_result(floor: Factory) -> None:
    task_id = floor.send("weld", 7, "s355", password="correct horse battery")
    task = floor.told(task_id, "sent", "received", "started", "succeeded")
    assert (task["state"], task["name"], task["queue"]) == ("succeeded", "factory.weld", "floor"), task
    assert task["worker"] == floor.node
    assert task["args_redacted"] == [7, "s355"]
    assert task["kwargs_redacted"] == {"password": "<redacted>"}
    assert task["result_redacted"] == {"welded": 7, "by": "<email>"}
    assert task["runtime_ms"] is not None
    assert task["sent_at"] <= task["received_at"] <= task["started_at"] <= task["finished_at"]
    assert "correct horse" not in json.dumps([task, floor.place.brain.events(task_id)])


def test_a_failure_says_what_and_where_without_asking_the_exception(floor: Factory) -> None:
    task = floor.told(floor.send("jam", 3), "sent", "received", "started", "failed")
    assert (task["exception"], task["exception_message"]) == ("Jam", "jammed at the press"), task
    assert "raise Jam(" in task["traceback"]
    assert task["args_redacted"] == [3]
    assert task["runtime_ms"] is not None


def test_each_attempt_of_a_retried_task_is_told(floor: Factory) -> None:
    task_id = floor.send("again", 2)
    attempt = ("received", "started", "sent", "retry")
    task = floor.told(task_id, "sent", *attempt, *attempt, "received", "started", "succeeded", in_order=False)
    assert (task["state"], task["attempt"], task["result_redacted"]) == ("succeeded", 2, 2), task
    retries = floor.events(task_id, "retry")
    assert {(event["exception"], event["exception_message"]) for event in retries} == {("KeyError", "bolt")}
    assert {event["retries"] for event in retries} == {0, 1}


def test_the_queue_is_the_one_it_was_sent_to(floor: Factory) -> None:
    task_id = floor.python("print(weld.apply_async([1], queue='dock', priority=3).id)")
    task = floor.told(task_id, "sent")
    assert (task["queue"], task["priority"], task["state"]) == ("dock", 3, "pending"), task


def test_chain_group_and_chord_hang_together(floor: Factory) -> None:
    program = """
chained = (double.s(1) | double.s())()
members = chord([double.s(n) for n in (1, 2)], total.s())()
print(chained.parent.id, chained.id, members.id, members.parent.id, *[each.id for each in members.parent])
"""
    first, second, body, group, *members = floor.python(f"from celery import chord\n{program}").split()
    life = ("sent", "received", "started", "succeeded")
    assert floor.told(first, *life)["root_id"] == first
    task = floor.told(second, *life)
    assert (task["root_id"], task["parent_id"], task["result_redacted"]) == (first, first, 4), task
    for member in members:
        task = floor.told(member, *life)
        assert (task["group_id"], task["chord_id"]) == (group, body), task
    task = floor.told(body, *life)
    assert task["result_redacted"] == 6
    assert task["parent_id"] in members


def test_a_task_that_sends_a_task_is_its_parent(floor: Factory) -> None:
    parent = floor.told(floor.send("calls", 4), "sent", "received", "started", "succeeded")
    # Its result is an id, too long to be shown.
    children = eventually(
        "its child", lambda: floor.place.brain.get(f"tasks/celery/{parent['task_id']}/tree")["items"][1:]
    )
    assert [child["name"] for child in children] == ["factory.double"]


def test_progress_is_told_to_its_end(floor: Factory) -> None:
    task_id = floor.send("steps", 500)
    done = eventually("its end", lambda: (floor.place.brain.task(task_id) or {}).get("result_redacted"))
    assert done == 500
    told = floor.events(task_id, "progress")
    assert 1 < len(told) < 20, "a flood is thinned out"
    assert (told[-1]["done"], told[-1]["total"], told[-1]["note"]) == (500, 500, "step 500")


def test_a_rejected_task_is_told(floor: Factory) -> None:
    task = floor.ended(floor.send("reject"))
    assert task["state"] in ("rejected", "failed"), task


def test_a_task_that_nobody_knows_is_told(floor: Factory) -> None:
    task_id = floor.python("print(app.send_task('factory.unheard', [1], queue='floor').id)")
    task = floor.told(task_id, "sent", "failed")
    assert (task["exception"], task["exception_message"]) == ("NotRegistered", "factory.unheard"), task


def test_an_expired_task_is_told(floor: Factory) -> None:
    task_id = floor.python("print(weld.apply_async([1], expires=-1).id)")
    task = floor.told(task_id, "sent", "revoked")
    [revoked] = floor.events(task_id, "revoked")
    assert (task["state"], revoked["expired"], revoked["terminated"]) == ("revoked", True, False), task


def test_a_task_that_is_killed_on_demand_is_told(floor: Factory) -> None:
    task_id = floor.send("sleep", 600)
    eventually("its start", lambda: "task_started" in floor.kinds(task_id))
    floor.python(f"app.control.revoke('{task_id}', terminate=True, signal='SIGKILL')")
    task = floor.told(task_id, "sent", "received", "started", "revoked")
    [revoked] = floor.events(task_id, "revoked")
    assert (task["state"], revoked["terminated"], revoked["signal"]) == ("revoked", True, "SIGKILL"), task
