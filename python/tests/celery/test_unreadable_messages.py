"""Messages that only the application can read are sent again as they were."""

from __future__ import annotations

from celery_place import Factory


def test_a_pickled_message_that_a_worker_has_received_is_retried_as_it_was(factory: Factory) -> None:
    factory.place.env |= {"ACCEPT": "json,pickle", "C_FORCE_ROOT": "1"}
    factory.worker()
    path = factory.place.folder / "paid"
    # No JSON could hold such a path.
    program = f"""
from pathlib import Path
first = jam_unless.s(7, path=Path({str(path)!r})).set(serializer='pickle', compression='zlib')
chained = (first | parts.s().set(serializer='pickle')).apply_async()
print(chained.parent.id, chained.id)
"""
    failed, rest = factory.python(program).split()
    factory.told(failed, "sent", "received", "started", "failed")
    path.write_text("")
    answer = factory.ordered("retry_task", task_id=failed)
    assert answer["status"] == "succeeded", answer
    assert "as it was (pickle; not readable here)" in answer["message"], answer
    again = factory.ended(answer["result"]["new_task_id"])
    assert (again["state"], again["retry_of"]) == ("succeeded", failed), again
    assert factory.ended(rest)["state"] == "succeeded"
    assert (again["args_redacted"], again["kwargs_redacted"]) == ([7], {"path": "<PosixPath>"}), again
