"""Real processes for tests: each on a port and in a folder of its own, all of them ended with their test."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECTS = Path(__file__).resolve().parent / "projects"
# Below what Linux hands out to outgoing connections: a port from there can be taken by anyone before a server listens on it.
PORTS = range(20_000, 32_000)
# Seconds that anything may take on a slow, busy machine.
PATIENCE = 120
# Locked for as long as this process lives.
_reserved: list[BinaryIO] = []
_T = TypeVar("_T")


def eventually(what: str, look: Callable[[], _T | None], seconds: float = PATIENCE) -> _T:
    """What `look` finds, once it finds something that is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def free_port() -> int:
    """A port on 127.0.0.1 that is free now, and that no other test gets while this process lives.

    The tests in Rust take theirs from the same folder of locks, see `crates/testkit/src/port.rs`.
    """
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / "taskplane-test-ports"
    folder.mkdir(parents=True, exist_ok=True)
    # Processes begin at different places, so that few look at the same ports.
    begin = os.getpid() * 97
    for offset in range(len(PORTS)):
        port = PORTS[(begin + offset) % len(PORTS)]
        lock = (folder / str(port)).open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            lock.close()
        else:
            _reserved.append(lock)
            return port
    raise AssertionError(f"no port of {PORTS} is free")


def answers_on(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


def get(url: str, timeout: float = PATIENCE) -> str:
    with urllib.request.urlopen(url, timeout=timeout) as response:
        return str(response.read().decode())


class Process:
    """A process in a group of its own. What it prints goes to a file."""

    def __init__(
        self,
        name: str,
        words: Sequence[str | Path],
        folder: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
    ) -> None:
        self.log_file = folder / f"{name}.log"
        with self.log_file.open("ab") as log:
            self._child = subprocess.Popen(
                [str(word) for word in words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(env),
                cwd=cwd or folder,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def running(self) -> bool:
        return self._child.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit code, once it has ended."""
        return self._child.wait(seconds)

    def terminate(self, seconds: float = PATIENCE) -> int:
        """Ask it to end; returns its exit code."""
        self._child.terminate()
        return self.wait(seconds)

    def kill(self) -> None:
        """End it and all it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()


class Brain:
    """A brain, and an operator who asks it."""

    def __init__(self, folder: Path, *options: str) -> None:
        target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
        self.binary = Path(os.environ.get("TASKPLANE_BINARY", target / "debug" / "taskplane"))
        assert self.binary.exists(), f"{self.binary} is missing: run `cargo build -p taskplane` first"
        self._folder = folder / "brain"
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self.token = self._secret("token", "create")
        self._key = self._secret("api-key", "create", "--role", "operator")
        words = ["brain", "--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self._folder)]
        self.process = Process("brain", [self.binary, *words, *options], folder, os.environ)
        try:
            eventually("the brain", lambda: answers_on(self.port))
        except BaseException:
            self.process.kill()
            raise

    def _secret(self, *words: str) -> str:
        words = (*words, "--project", "default", "--data-dir", str(self._folder))
        done = subprocess.run(
            [str(self.binary), *words], capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        return done.stdout.strip()

    def get(self, path: str) -> Any:
        """The answer to `GET /api/v1/projects/default/<path>`; `None` when there is no such thing."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("POST", path, json.dumps(body).encode())

    def ordered(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """A command, once it has ended."""
        sent = self.post("commands", command)

        def ended() -> dict[str, Any] | None:
            answer: dict[str, Any] = self.get(f"commands/{sent['id']}?wait=5")
            return None if answer["status"] in ("pending", "sent") else answer

        return eventually(f"the end of {command['cmd']}", ended)

    def heard(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The same, of what workers are to answer: a busy one may do that too late, and does the same when it is told again."""

        def answered() -> dict[str, Any] | None:
            answer = self.ordered(command)
            replies, message = (answer["result"] or {}).get("replies"), answer["message"] or ""
            return None if replies == {} or "no worker replied" in message else answer

        return eventually(f"a worker's answer to {command['cmd']}", answered)

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/projects/default/{path}"
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            request = urllib.request.Request(url, body, headers, method=method)
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def agents(self, name: str) -> list[dict[str, Any]]:
        """The agents of that name that are connected."""
        found = self.get("agents")["items"]
        return [agent for agent in found if agent["name"] == name and agent["state"] == "online"]

    def task(self, task_id: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.get(f"tasks/celery/{task_id}")
        return found

    def events(self, task_id: str) -> list[dict[str, Any]]:
        found = self.get(f"tasks/celery/{task_id}/events")
        return [] if found is None else list(found["items"])


class Redis:
    """A Redis server with many databases: each test takes one."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._taken = 0
        words = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--databases", "256"]
        words += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
        self.process = Process("redis", words, folder, os.environ)
        try:
            eventually("Redis", lambda: answers_on(self.port))
        except BaseException:
            self.process.kill()
            raise

    def database(self) -> str:
        """The URL of a database that nobody has."""
        self._taken += 1
        return f"redis://127.0.0.1:{self.port}/{self._taken}"


class Place:
    """Where one test runs its application: a folder, a broker, an agent's name, an environment, and its processes."""

    def __init__(self, folder: Path, broker: str, brain: Brain, name: str) -> None:
        self.folder = folder
        self.broker = broker
        self.brain = brain
        self.name = name
        self._processes: list[Process] = []
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("TASKPLANE_")}
        self.env = {
            **inherited,
            "BROKER_URL": broker,
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TASKPLANE_BRAIN_URL": brain.url,
            "TASKPLANE_TOKEN": brain.token,
            "TASKPLANE_NAME": name,
            "TASKPLANE_DATA_DIR": str(folder / "agent"),
        }
        self.env.pop("PYTHONPATH", None)

    def run(self, name: str, words: Sequence[str | Path], project: str = "", **env: str) -> Process:
        """Start a command in the folder of one of the tests' projects."""
        process = Process(name, words, self.folder, {**self.env, **env}, PROJECTS / project)
        self._processes.append(process)
        return process

    def python(self, name: str, *words: str, project: str = "", **env: str) -> Process:
        """Start this Python with these words."""
        return self.run(name, [sys.executable, *words], project, **env)

    def serve(self, name: str, *words: str, project: str = "", **env: str) -> tuple[Process, str]:
        """Start a web server of this Python on the port that `{port}` stands for; returns it and its address, once it answers."""
        return self.serve_by(name, sys.executable, *words, project=project, **env)

    def serve_by(self, name: str, *command: str, project: str = "", **env: str) -> tuple[Process, str]:
        """The same with any other command."""
        port = free_port()
        server = self.run(name, [word.replace("{port}", str(port)) for word in command], project, **env)

        def ready() -> bool:
            assert server.running(), server.log
            return answers_on(port)

        eventually(f"{name} answers", ready)
        return server, f"http://127.0.0.1:{port}"

    def worker(
        self,
        *words: str,
        app: str,
        project: str = "",
        prefix: Sequence[str] = (),
        name: str = "worker",
        **env: str,
    ) -> Process:
        """Start a Celery worker, called after the test; returns it once it is ready for tasks."""
        celery = [*prefix, sys.executable, "-m", "celery", "-A", app, "worker", "--loglevel", "INFO"]
        node = ["--hostname", f"{self.name}@test"] if "--hostname" not in words else []
        worker = self.run(name, [*celery, *node, *words], project, **env)

        def ready() -> bool:
            assert worker.running(), f"it has ended with {worker.wait()}: {worker.log}"
            return " ready." in worker.log

        eventually(f"{name} is ready", ready)
        return worker

    def only_agent(self) -> dict[str, Any]:
        """The one agent of this place, once it is connected."""
        found = eventually(f"the agent {self.name}", lambda: self.brain.agents(self.name))
        assert len(found) == 1, found
        return found[0]

    def end(self) -> None:
        for process in reversed(self._processes):
            process.kill()

    def logs(self) -> str:
        return "\n".join(f"--- {each.log_file.name}\n{each.log}" for each in self._processes)


def shown_as_sent(place: Place, task_id: str) -> None:
    """The brain shows a task as its publisher knows it: with its exact queue, and nothing secret."""
    task = eventually(f"task {task_id}", lambda: place.brain.task(task_id))
    assert (task["name"], task["queue"], task["state"]) == ("shop.charge", "payments", "pending"), task
    assert task["sent_at"], task
    told = json.dumps([task, place.brain.events(task_id)])
    assert "password" in told, told
    assert "correct horse" not in told, told
