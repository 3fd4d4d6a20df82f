"""`taskplane-run`: the command as it would run by itself, with the agent in it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from running import PATIENCE, PROJECTS, Place, Process, eventually, get, shown_as_sent

RUN = [sys.executable, "-m", "taskplane.run"]
SHOW = "import json, os, sys; print(json.dumps([sys.argv, sys.path, os.environ.get('PYTHONPATH')]))"


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("TASKPLANE_")}
    return subprocess.run(
        [*RUN, *words], capture_output=True, text=True, timeout=PATIENCE, env={**environ, **env}
    )


def test_arguments_and_import_path_are_those_of_the_command_alone(tmp_path: Path) -> None:
    words = [sys.executable, "-c", SHOW, "-x", "--", "a b", "", "ü"]
    env = {"PYTHONPATH": str(tmp_path)}
    alone = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, **env})
    ours = run(*words, **env)
    assert ours.stderr == ""
    (argv, path, _), (our_argv, our_path, our_pythonpath) = json.loads(alone.stdout), json.loads(ours.stdout)
    assert (our_argv, our_path) == (argv, path)
    assert our_pythonpath.endswith(f"taskplane/autostart{os.pathsep}{tmp_path}")


def test_a_sitecustomize_that_is_shadowed_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.theirs = __name__, __file__\n")
    shown = run(
        sys.executable,
        "-c",
        "import sys, sitecustomize as s; print(sys.theirs, s.__file__)",
        PYTHONPATH=str(tmp_path),
    )
    assert (shown.stderr, shown.stdout.count(str(tmp_path))) == ("", 2)


def test_the_exit_code_is_the_commands() -> None:
    assert run(sys.executable, "-c", "raise SystemExit(7)").returncode == 7


def test_signals_reach_the_command(place: Place) -> None:
    program = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\nprint('up', flush=True)\nsignal.pause()"
    process = place.run("signalled", [*RUN, sys.executable, "-c", program])
    eventually("the command is up", lambda: "up" in process.log)
    process.signal(signal.SIGTERM)
    assert process.wait() == 9


def test_wrong_usage_is_said(tmp_path: Path) -> None:
    missing = run()
    assert (missing.returncode, "the command is missing" in missing.stderr) == (2, True)
    unknown = run("--verbose", "true")
    assert (unknown.returncode, "unknown option --verbose" in unknown.stderr) == (2, True)
    absent = run("no-such-command-here")
    assert (absent.returncode, absent.stderr) == (
        127,
        "taskplane-run: no-such-command-here: no such command\n",
    )
    (tmp_path / "plain").write_text("")
    assert run(str(tmp_path / "plain")).returncode == 126


def test_an_interpreter_without_us_runs_as_ever(tmp_path: Path) -> None:
    shown = run(sys.executable, "-S", "-c", "print('fine')")
    assert (shown.returncode, shown.stdout) == (0, "fine\n")


def test_an_unmodified_worker_has_an_agent(place: Place, run_worker: Callable[..., Process]) -> None:
    worker = run_worker("--concurrency", "1", "-Q", "orders", app="plain_shop", prefix=RUN)
    agent = place.only_agent()
    assert (agent["framework"], agent["metadata"]["role"], agent["engines"]) == (
        "python",
        "worker",
        ["celery"],
    )
    assert agent["metadata"]["pid"] == worker.pid
    sent = subprocess.run(
        [sys.executable, "-c", "import plain_shop; print(plain_shop.add.delay(20, 22).id)"],
        env=place.env, cwd=PROJECTS, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip

    def ended() -> bool:
        task = place.brain.task(sent)
        return task is not None and task["state"] == "succeeded"

    eventually("the task has succeeded", ended)
    assert worker.terminate() == 0


def test_an_unmodified_web_server_has_one_connection(place: Place) -> None:
    words = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "plain_shop:web"]
    _, address = place.serve("gunicorn", *RUN[1:], sys.executable, *words)
    agent = place.only_agent()
    assert (agent["metadata"]["role"], agent["engines"]) == ("web", ["celery"])
    for _ in range(4):
        shown_as_sent(place, get(f"{address}/"))
    assert place.only_agent()["connections"] == 1


def test_an_unmodified_beat_has_an_agent(place: Place) -> None:
    words = ["celery", "-A", "plain_shop", "beat", "--schedule", str(place.folder / "beat"), "--pidfile="]
    beat = place.run("beat", [*RUN, sys.executable, "-m", *words])
    agent = place.only_agent()
    assert (agent["metadata"]["role"], agent["metadata"]["pid"]) == ("beat", beat.pid)
    tick = eventually("a tick", lambda: place.brain.get("tasks?name=shop.tick")["items"])[0]
    assert (tick["state"], tick["queue"]) == ("pending", "orders")
    beat.terminate()


def test_a_worker_with_a_beat_in_it_has_one_connection(
    place: Place, run_worker: Callable[..., Process]
) -> None:
    beat = ["--beat", "--schedule", str(place.folder / "beat")]
    worker = run_worker("--concurrency", "1", *beat, app="ticking_shop", prefix=RUN)

    def sent() -> list[dict[str, Any]]:
        # The worker may be heard before the beat that sent it.
        return [tick for tick in place.brain.get("tasks?name=shop.embedded_tick")["items"] if tick["sent_at"]]

    eventually("a tick", sent)
    assert place.only_agent()["connections"] == 1
    assert worker.terminate() == 0
    assert "taskplane:" not in worker.log


def test_an_unmodified_script_tells_what_it_sends(place: Place) -> None:
    script = place.run("script", [*RUN, sys.executable, "plain_shop.py"])
    assert script.wait() == 0, script.log
    task = eventually("the task is known", lambda: place.brain.task(script.log.strip()))
    assert (task["state"], task["queue"]) == ("pending", "payments")
    assert "correct horse" not in json.dumps(task)


def test_two_applications_of_one_host_are_two_agents(
    place: Place, run_worker: Callable[..., Process]
) -> None:
    apps = ["plain_shop", "ticking_shop"]
    for app in apps:
        words = ["--pool", "solo", "--hostname", f"{app}@test"]
        run_worker(*words, app=app, prefix=RUN, name=app, TASKPLANE_NAME="")

    def connected() -> bool:
        names = [f"{app}@{socket.gethostname()}" for app in apps]
        return all(len(place.brain.agents(name)) == 1 for name in names)

    # Commands for the tasks of one must not be carried out on the broker of the other.
    eventually("both agents", connected)
