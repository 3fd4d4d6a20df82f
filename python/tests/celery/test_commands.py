"""What the dashboard asks of an agent inside a worker."""

from __future__ import annotations

import json

from celery_place import Factory
from running import eventually

LIFE = ("sent", "received", "started")


def test_a_failed_link_of_a_chain_runs_again_with_the_rest_of_its_chain(floor: Factory) -> None:
    path = floor.place.folder / "paid"
    program = f"chained = (jam_unless.s(21, path={str(path)!r}) | double.s())(); print(chained.parent.id, chained.id)"
    link, rest = floor.python(program).split()
    task = floor.told(link, *LIFE, "failed")
    path.write_text("")
    answer = floor.ordered("retry_task", task_id=link)
    assert answer["status"] == "succeeded", answer
    again = floor.told(answer["result"]["new_task_id"], "received", "started", "succeeded")
    assert (again["args_redacted"], again["kwargs_redacted"]) == (
        task["args_redacted"],
        task["kwargs_redacted"],
    )
    assert (again["result_redacted"], again["retry_of"]) == (21, link), again
    after = floor.told(rest, *LIFE, "succeeded")
    assert after["result_redacted"] == 42


def test_arguments_longer_than_what_is_shown_are_sent_again_whole(floor: Factory) -> None:
    path = floor.place.folder / "long"
    long = "x" * 5000
    task_id = floor.send("jam_unless", long, str(path))
    task = floor.told(task_id, *LIFE, "failed")
    assert task["args_redacted"][0] == "<str len=5000>"
    path.write_text("")
    answer = floor.ordered("retry_task", task_id=task_id)
    again = floor.told(answer["result"]["new_task_id"], "received", "started", "succeeded")
    assert again["result_redacted"] == "<str len=5000>"


def test_a_running_task_is_cancelled(floor: Factory) -> None:
    task_id = floor.send("sleep", 600)
    eventually("its start", lambda: "task_started" in floor.kinds(task_id))
    assert floor.heard("cancel_task", task_id=task_id, terminate=True)["status"] == "succeeded"
    assert floor.told(task_id, *LIFE, "revoked")["state"] == "revoked"


def test_a_broker_that_the_agent_does_not_speak_with_is_only_observed(factory: Factory) -> None:
    folder = factory.place.folder / "broker"
    folder.mkdir()
    folders = {key: str(folder) for key in ("data_folder_in", "data_folder_out", "control_folder")}
    factory.place.env |= {"BROKER_URL": "filesystem://", "BROKER_OPTIONS": json.dumps(folders)}
    worker = factory.worker("--pool", "solo", "--without-gossip", "--without-mingle")
    task_id = factory.send("jam", 1)
    factory.told(task_id, *LIFE, "failed")
    answer = factory.ordered("retry_task", task_id=task_id)
    assert (answer["status"], answer["error"]) == ("failed", "unsupported_command"), answer
    assert "filesystem://" in answer["message"], answer
    assert "taskplane:" not in worker.log, worker.log


def test_queues_are_sampled(floor: Factory) -> None:
    def depth() -> bool:
        queues = floor.place.brain.get("queues")["items"]
        return any(queue["name"] == "lost" and queue["depth"] == 2 for queue in queues)

    floor.python("[weld.apply_async([n], queue='lost') for n in range(2)]")
    eventually("the depth of the queue", depth)
