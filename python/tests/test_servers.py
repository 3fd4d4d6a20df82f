"""Web servers, each with its own way of making processes: all of them have one connection, and tell what they send."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from running import Place, eventually, get, shown_as_sent

UWSGI = ("--http-socket", "127.0.0.1:{port}", "--master", "--processes", "2", "--die-on-term", "--need-app")
# Without the option, it lets no thread run Python while it waits for requests.
THREADS = pytest.mark.parametrize("threads", [[], ["--enable-threads"]])
FORKS_LATE = ["--lazy-apps"]


def uwsgi(*words: str) -> list[str]:
    # It brings a Python of its own, which has to be told where its packages are.
    return [str(Path(sys.executable).with_name("uwsgi")), *UWSGI, "--virtualenv", sys.prefix, *words]


@THREADS
@pytest.mark.parametrize("forks", [[], FORKS_LATE, ["--py-call-osafterfork"]])
def test_uwsgi_has_one_connection_for_all_its_workers(
    place: Place, threads: list[str], forks: list[str]
) -> None:
    words = uwsgi("--wsgi", "early_shop:web", *threads, *forks)
    server, address = place.serve_by("uwsgi", sys.executable, "-m", "taskplane.run", *words)
    for _ in range(8):
        shown_as_sent(place, get(f"{address}/buy"))
    agent = place.only_agent()
    assert (agent["metadata"]["role"], agent["connections"]) == ("web", 1)
    # Without lazy applications it is in the process that loads, and forks afterwards.
    assert (agent["metadata"]["pid"] == server.pid) is (forks != FORKS_LATE)
    sent = get(f"{address}/buy")
    assert server.terminate() == 0
    shown_as_sent(place, sent)


@THREADS
def test_schedules_are_left_to_other_processes_where_uwsgi_lets_no_thread_run(
    place: Place, threads: list[str]
) -> None:
    project, database = "django_beat", str(place.folder / "site.sqlite3")
    migrated = place.python("migrate", "manage.py", "migrate", project=project, SITE_DATABASE=database)
    assert migrated.wait() == 0, migrated.log
    words = uwsgi("--wsgi", "clock.wsgi", *threads, *FORKS_LATE)
    server, address = place.serve_by("uwsgi", *words, project=project, SITE_DATABASE=database)
    sent = get(f"{address}/strike")
    eventually("what it sent", lambda: place.brain.task(sent))
    if threads:
        eventually("its schedules", lambda: place.only_agent()["schedulers"] == ["celery-beat"])
    else:
        eventually("why there are none", lambda: "uWSGI needs --enable-threads" in server.log)
    assert place.only_agent()["schedulers"] == (["celery-beat"] if threads else [])
    assert ("uWSGI needs --enable-threads" in server.log) is not bool(threads), server.log


@pytest.mark.parametrize("workers", ["1", "2"])
def test_hypercorn_has_one_connection(place: Place, workers: str) -> None:
    words = ["-m", "hypercorn", "--bind", "127.0.0.1:{port}", "--workers", workers, "fastapi_shop:app"]
    server, address = place.serve("hypercorn", *words)
    agent = place.only_agent()
    assert (agent["framework"], agent["metadata"]["role"]) == ("fastapi", "web")
    for _ in range(6):
        shown_as_sent(place, get(f"{address}/buy").strip('"'))
    assert place.only_agent()["connections"] == 1
    sent = get(f"{address}/buy").strip('"')
    server.terminate()
    shown_as_sent(place, sent)


def test_daphne_has_an_agent(place: Place) -> None:
    words = ["-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", "shop.asgi:application"]
    server, address = place.serve("daphne", *words, project="django_shop")
    agent = place.only_agent()
    assert (agent["framework"], agent["metadata"]["pid"]) == ("django", server.pid)
    shown_as_sent(place, get(f"{address}/buy"))


def test_several_processes_of_uvicorn_have_one_connection(place: Place) -> None:
    words = ["-m", "uvicorn", "shop.asgi:application", "--port", "{port}", "--workers", "2"]
    _, address = place.serve("uvicorn", *words, project="django_shop")
    for _ in range(6):
        shown_as_sent(place, get(f"{address}/buy"))
    assert place.only_agent()["connections"] == 1


def test_a_fork_that_python_does_not_hear_of_is_a_process_of_its_own(place: Place) -> None:
    program = """
import ctypes, os
import taskplane
taskplane.install()
from plain_shop import add
from taskplane import _native
add.delay(1, 1)
if ctypes.CDLL(None).fork() == 0:
    sent = add.delay(2, 2).id
    print(sent, _native.counts()["captured"], _native.stop(60.0), flush=True)
    os._exit(0)
os.wait()
"""
    parent = place.python("parent", "-c", program)
    assert parent.wait() == 0, parent.log
    sent, captured, ended = parent.log.split()
    # Neither its parent's file nor its parent's threads are its own.
    assert (captured, ended) == ("1", "True"), parent.log
    eventually("what the child sent", lambda: place.brain.task(sent))
