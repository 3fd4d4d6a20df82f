"""Periodic work through Django's own models: the agent lists, makes, changes, pauses and removes what beat runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from running import Place, eventually, get

PROJECT = "django_beat"


class Site:
    """A site with django-celery-beat, and an operator who sees it through the brain alone."""

    def __init__(self, place: Place, use_tz: bool = True) -> None:
        self.place = place
        self.env = {"SITE_DATABASE": str(place.folder / "site.sqlite3"), "USE_TZ": "1" if use_tz else "0"}
        migrated = place.python("migrate", "manage.py", "migrate", project=PROJECT, **self.env)
        assert migrated.wait() == 0, migrated.log
        words = ["manage.py", "runserver", "--noreload", "{port}"]
        _, self.address = place.serve("runserver", *words, project=PROJECT, **self.env)
        self.agent = eventually("an agent with schedules", self._agent)

    def _agent(self) -> dict[str, Any] | None:
        found = [agent for agent in self.place.brain.agents(self.place.name) if agent["schedulers"]]
        return found[0] if found else None

    def told(self, name: str) -> dict[str, Any] | None:
        """The schedule as the brain has it."""
        items = self.place.brain.get("schedules")["items"]
        ours = [one for one in items if one["name"] == name and one["agent"] == self.place.name]
        return ours[0] if ours else None

    def stored(self, name: str) -> dict[str, Any] | None:
        """The schedule as Django has it."""
        rows = json.loads(get(f"{self.address}/stored"))
        found = [row for row in rows if row["name"] == name]
        return found[0] if found else None

    def command(self, cmd: str, **args: Any) -> dict[str, Any]:
        body = {"cmd": cmd, "agent": self.place.name, "args": {"scheduler": "celery-beat", **args}}
        return self.place.brain.ordered(body)

    def done(self, cmd: str, **args: Any) -> dict[str, Any]:
        done = self.command(cmd, **args)
        assert done["status"] == "succeeded", done
        result: dict[str, Any] = done["result"]
        return result


def succeeded(place: Place, task_id: str) -> dict[str, Any] | None:
    task = place.brain.task(task_id)
    return task if task and task["state"] == "succeeded" else None


def test_schedules_are_told_changed_and_removed_by_django_itself(place: Place) -> None:
    site = Site(place)
    beat = site.agent["capabilities"]["celery-beat"]
    assert (beat["writable_backend"], beat["schedule_crud"]) == ("django-celery-beat", True)

    new: dict[str, Any] = {
        "name": "noon",
        "task": "clock.chime",
        "kind": "crontab",
        "expression": "0 12 * * mon-fri",
    }
    new |= {"timezone": "Europe/Berlin", "args": [12], "kwargs": {"loudly": True}, "queue": "chimes"}
    new |= {"expires_at": "2031-01-01T12:00:00Z"}
    made = site.done("schedule_create", schedule=new)["schedule"]
    assert (made["expression"], made["timezone"]) == ("0 12 * * mon-fri", "Europe/Berlin")
    assert made["next_run_at"], made
    row = site.stored("noon")
    assert row is not None
    assert (row["args"], row["kwargs"], row["queue"]) == ([12], {"loudly": True}, "chimes")
    assert row["schedule"] == "0 12 * * mon-fri (m/h/dM/MY/d) Europe/Berlin", row
    assert row["expires"].startswith("2031-01-01T12:00:00"), row
    eventually("it is told", lambda: site.told("noon"))

    site.done("schedule_update", id=made["id"], schedule={"kind": "interval", "expression": "90m"})
    assert (site.stored("noon") or {})["schedule"] == "every 90 minutes"
    assert site.done("schedule_pause", id=made["id"])["schedule"]["enabled"] is False
    assert (site.stored("noon") or {})["enabled"] is False
    assert site.done("schedule_pause", id=made["id"], paused=False)["schedule"]["enabled"] is True
    place.worker("--pool", "solo", app="clock", project=PROJECT, **site.env)
    run = site.done("schedule_run_now", id=made["id"])
    task = eventually("its task has run", lambda: succeeded(place, run["new_task_id"]))
    assert (task["name"], task["queue"]) == ("clock.chime", "chimes")
    site.done("schedule_delete", id=made["id"])
    assert site.stored("noon") is None
    eventually("it is gone", lambda: site.told("noon") is None)


def test_what_the_application_s_models_refuse_is_refused_with_their_words(place: Place) -> None:
    site = Site(place)
    new = {"name": "bang", "task": "clock.detonate", "kind": "interval", "expression": "5m"}
    refused = site.command("schedule_create", schedule=new)
    assert (refused["status"], refused["error"]) == ("failed", "invalid_args")
    assert "nothing is detonated here" in refused["message"]

    fine = new | {"task": "clock.chime"}
    site.done("schedule_create", schedule=fine)
    twice = site.command("schedule_create", schedule=fine)
    assert (twice["status"], twice["error"]) == ("failed", "invalid_args")
    assert "name" in twice["message"], twice
    nowhere = site.command("schedule_delete", id="4711")
    assert (nowhere["status"], nowhere["error"]) == ("failed", "not_found")


def test_an_edit_in_the_application_is_told(place: Place) -> None:
    site = Site(place)
    get(f"{site.address}/edit?name=hourly")
    told = eventually("the edit", lambda: site.told("hourly"))
    assert (told["kind"], told["expression"], told["task"]) == ("interval", "90m", "clock.chime")


@pytest.mark.parametrize("use_tz", [True, False])
def test_times_mean_the_same_whether_or_not_the_site_keeps_zones(place: Place, use_tz: bool) -> None:
    site = Site(place, use_tz)
    new = {"name": "once", "task": "clock.chime", "kind": "clocked", "expression": "2031-07-01T10:00:00Z"}
    made = site.done("schedule_create", schedule=new | {"args": [1]})["schedule"]
    assert (made["expression"], made["one_off"]) == ("2031-07-01T10:00:00.000000Z", True), made
    assert made["next_run_at"].startswith("2031-07-01T10:00:00"), made
