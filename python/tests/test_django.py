"""Django: which of its processes have an agent, and what it tells."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from running import Place, Process, eventually, get, shown_as_sent

DJANGO = importlib.metadata.version("django")
PROJECT = "django_shop"


def assert_only_agent(place: Place, role: str) -> dict[str, Any]:
    agent = place.only_agent()
    assert (agent["framework"], agent["framework_version"]) == ("django", DJANGO)
    assert (agent["metadata"]["role"], agent["connections"]) == (role, 1)
    assert "celery" in agent["engines"]
    return agent


def test_runserver_has_one_agent_which_is_in_the_process_that_serves(place: Place) -> None:
    watcher, address = place.serve("runserver", "manage.py", "runserver", "{port}", project=PROJECT)
    agent = assert_only_agent(place, "web")
    assert agent["metadata"]["pid"] != watcher.pid
    shown_as_sent(place, get(f"{address}/buy"))
    assert place.only_agent()["connections"] == 1


def test_runserver_without_autoreload_has_one_agent(place: Place) -> None:
    server, address = place.serve(
        "runserver", "manage.py", "runserver", "--noreload", "{port}", project=PROJECT
    )
    assert assert_only_agent(place, "web")["metadata"]["pid"] == server.pid
    shown_as_sent(place, get(f"{address}/buy"))


@pytest.mark.parametrize("options", [[], ["--preload"], ["--worker-class", "gevent"]])
def test_gunicorn_has_one_connection_for_all_its_workers(place: Place, options: list[str]) -> None:
    words = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "3", "shop.wsgi"]
    server, address = place.serve("gunicorn", *words, *options, project=PROJECT)
    assert_only_agent(place, "web")
    for _ in range(8):
        shown_as_sent(place, get(f"{address}/buy"))
    assert place.only_agent()["connections"] == 1
    assert server.terminate() == 0


def test_an_asgi_server_has_one_agent(place: Place) -> None:
    words = ["-m", "uvicorn", "shop.asgi:application", "--port", "{port}"]
    server, address = place.serve("uvicorn", *words, project=PROJECT)
    assert assert_only_agent(place, "web")["metadata"]["pid"] == server.pid
    shown_as_sent(place, get(f"{address}/buy"))


def test_gunicorn_tells_what_was_sent_right_before_it_ended(place: Place) -> None:
    words = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "--preload", "shop.wsgi"]
    server, address = place.serve("gunicorn", *words, project=PROJECT)
    assert_only_agent(place, "web")
    sent = get(f"{address}/buy")
    assert server.terminate() == 0
    shown_as_sent(place, sent)


def test_a_management_command_starts_nothing_until_it_sends_a_task(place: Place) -> None:
    checked = place.python("check", "manage.py", "check", project=PROJECT)
    assert checked.wait() == 0, checked.log
    assert not (place.folder / "agent").exists()
    program = "from shop.tasks import charge; print(charge.apply_async([1], queue='payments').id)"
    shell = place.python("shell", "manage.py", "shell", "--command", program, project=PROJECT)
    assert shell.wait() == 0, shell.log
    sent = shell.log.split()[-1]
    task = eventually("the task is known", lambda: place.brain.task(sent))
    assert (task["queue"], task["name"]) == ("payments", "shop.charge")


@pytest.mark.parametrize("prefix", [[], [sys.executable, "-m", "taskplane.run"]])
def test_a_worker_of_the_project_has_one_agent_also_when_it_is_asked_for_twice(
    place: Place, run_worker: Callable[..., Process], prefix: list[str]
) -> None:
    run_worker("--concurrency", "2", "-Q", "payments", app="shop", project=PROJECT, prefix=prefix)
    assert_only_agent(place, "worker")


def test_django_settings_configure_the_agent(place: Place) -> None:
    given = {
        "BRAIN_URL": place.brain.url,
        "TOKEN": place.brain.token,
        "NAME": f"{place.name}-in-settings",
        "TASKS": {"shop.charge": {"capture": False}},
    }
    none = {"TASKPLANE_BRAIN_URL": "", "TASKPLANE_TOKEN": ""}
    words = ["manage.py", "runserver", "--noreload", "{port}"]
    _, address = place.serve("runserver", *words, project=PROJECT, SHOP_TASKPLANE=json.dumps(given), **none)
    eventually("the agent", lambda: place.brain.agents(f"{place.name}-in-settings"))
    sent = get(f"{address}/buy")
    task = eventually("the task is known", lambda: place.brain.task(sent))
    assert "42" not in json.dumps([task["args_redacted"], task["kwargs_redacted"]])
