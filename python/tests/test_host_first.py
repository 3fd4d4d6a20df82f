"""What is wrong with the agent costs the application one line, and nothing else."""

from __future__ import annotations

import statistics
import time

import pytest
from running import Place, Process, eventually, free_port, get

WORDS = ["manage.py", "runserver", "--noreload", "{port}"]
PROJECT = "django_shop"


def lines_of_ours(server: Process) -> list[str]:
    return [line for line in server.log.splitlines() if "taskplane" in line.lower()]


def assert_one_line_and_fast_answers(place: Place, said: str, *, tries: bool = False, **env: str) -> None:
    server, address = place.serve("runserver", *WORDS, project=PROJECT, **env)
    get(f"{address}/buy")  # Celery connects to its broker
    times = []
    for _ in range(20):
        began = time.monotonic()
        assert len(get(f"{address}/buy")) == 36
        times.append(time.monotonic() - began)
    # Who waits for a brain waits for seconds, each time. On a busy machine a few answers take as long.
    assert statistics.median(times) < 1, times
    eventually("its line", lambda: any(said in line for line in lines_of_ours(server)))
    if tries:
        time.sleep(2)  # long enough for several attempts to connect, none of which may be told of
    lines = lines_of_ours(server)
    assert len(lines) == 1, lines
    assert said in lines[0]
    assert not place.brain.agents(place.name)


def test_an_absent_brain(place: Place) -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    assert_one_line_and_fast_answers(
        place, "the brain cannot be reached", tries=True, TASKPLANE_BRAIN_URL=url
    )


def test_a_wrong_token(place: Place) -> None:
    assert_one_line_and_fast_answers(place, "token", tries=True, TASKPLANE_TOKEN="tpa_wrong")


def test_no_settings(place: Place) -> None:
    env = {"TASKPLANE_BRAIN_URL": "", "TASKPLANE_TOKEN": ""}
    assert_one_line_and_fast_answers(place, "set TASKPLANE_BRAIN_URL", tries=False, **env)


def test_an_unknown_setting(place: Place) -> None:
    given = '{"BRAIN_ULR": "ws://b"}'
    said = "taskplane is off: unknown setting BRAIN_ULR: did you mean BRAIN_URL?"
    assert_one_line_and_fast_answers(place, said, SHOP_TASKPLANE=given)


def test_a_folder_that_cannot_be_used(place: Place) -> None:
    (place.folder / "file").write_text("")
    assert_one_line_and_fast_answers(place, "file", TASKPLANE_DATA_DIR=str(place.folder / "file" / "x"))


@pytest.mark.parametrize("value", ["0", "false"])
def test_nothing_is_said_when_it_is_switched_off(place: Place, value: str) -> None:
    server, address = place.serve("runserver", *WORDS, project=PROJECT, TASKPLANE_ENABLED=value)
    get(f"{address}/buy")
    assert lines_of_ours(server) == []
    assert not (place.folder / "agent").exists()


def test_a_script_ends_soon_without_a_brain(place: Place) -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    program = "from shop.tasks import charge; charge.delay(1)"
    script = place.python(
        "shell", "manage.py", "shell", "-c", program, project=PROJECT, TASKPLANE_BRAIN_URL=url
    )
    # Most of it is the start of Django; without an end of its own it would wait for the brain for ever.
    assert script.wait(60) == 0, script.log


def test_without_the_native_module_the_application_runs_as_ever(place: Place) -> None:
    program = "import sys; sys.modules['taskplane._native'] = None\n"
    program += (
        "import taskplane; taskplane.install(); import plain_shop; print(plain_shop.add.delay(1, 2).id)"
    )
    script = place.python("script", "-c", program)
    assert script.wait() == 0, script.log
    said, sent = script.log.splitlines()
    assert said.startswith("taskplane is off: ModuleNotFoundError")
    assert len(sent) == 36
