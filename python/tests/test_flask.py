"""Flask: which of its processes have an agent, and what it tells."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from typing import Any

import pytest
from running import Place, Process, eventually, free_port, get, shown_as_sent


def assert_only_agent(place: Place, role: str) -> dict[str, Any]:
    agent = place.only_agent()
    assert (agent["framework"], agent["framework_version"]) == ("flask", importlib.metadata.version("flask"))
    assert (agent["metadata"]["role"], agent["connections"]) == (role, 1)
    return agent


@pytest.mark.parametrize("debug", [["--debug"], []])
def test_flask_run_has_one_agent_with_and_without_its_reloader(place: Place, debug: list[str]) -> None:
    words = ["-m", "flask", "--app", "flask_shop", "run", "--port", "{port}", *debug]
    server, address = place.serve("flask", *words)
    agent = assert_only_agent(place, "web")
    assert (agent["metadata"]["pid"] == server.pid) is not bool(debug)
    shown_as_sent(place, get(f"{address}/buy"))
    assert place.only_agent()["connections"] == 1


def test_a_program_that_serves_has_an_agent_from_its_first_task_on(place: Place) -> None:
    port = free_port()
    program = place.python("program", "flask_shop.py", PORT=str(port))

    def bought() -> str | None:
        assert program.running(), program.log
        try:
            return get(f"http://127.0.0.1:{port}/buy")
        except OSError:
            return None

    shown_as_sent(place, eventually("the program answers", bought))
    assert_only_agent(place, "web")


def test_the_worker_of_the_application_is_told_of_as_such(
    place: Place, run_worker: Callable[..., Process]
) -> None:
    run_worker("--concurrency", "1", "-Q", "payments", app="flask_shop:celery_app")
    assert_only_agent(place, "worker")


def test_app_config_redacts_more_keys(place: Place) -> None:
    program = "import flask_shop as s; print(s.charge.apply_async([], {'amount': 4242}, queue='payments').id)"
    script = place.python("script", "-c", program)
    assert script.wait() == 0, script.log
    task = eventually("the task is known", lambda: place.brain.task(script.log.split()[-1]))
    assert list(task["kwargs_redacted"]) == ["amount"]
    assert "4242" not in json.dumps(task["kwargs_redacted"])
