"""The servers that a worker's agent or events feed, and what their own APIs say has arrived.

A task that has arrived is told as the facts that the server has of it: `received`, `started`, `succeeded`.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import httpx
from harness import Brain, Broker, Process, celery, eventually, free_port

PASSWORD = "Bench-Password-1"


class Server(Protocol):
    """One that is there when it is made."""

    process: Process | None
    environment: dict[str, str]
    """What the worker needs in its environment."""
    worker_options: tuple[str, ...]
    look_every: float
    """In seconds; how often asking it does not slow it down."""

    def knows(self, worker: str) -> bool:
        """True when it has heard from the worker, so that it misses nothing."""

    def succeeded(self) -> int:
        """How many tasks it knows to have succeeded."""

    def facts(self) -> Iterator[tuple[str, set[str]]]:
        """Each task with what is known of it."""


class Taskplane:
    """Our brain on its own SQLite; the agent is in the worker's process."""

    worker_options: tuple[str, ...] = ()
    look_every = 0.1

    def __init__(self, binary: Path, broker: Broker, folder: Path, cpus: set[int] | None) -> None:
        self.brain = Brain(binary, folder, cpus)
        self.process = self.brain.process
        self.environment = {
            "BENCH_AGENT": "taskplane",
            "TASKPLANE_BRAIN_URL": self.brain.agents_url,
            "TASKPLANE_TOKEN": self.brain.token,
            "TASKPLANE_NAME": "bench",
            "TASKPLANE_DATA_DIR": str(folder / "agent"),
        }

    def knows(self, worker: str) -> bool:
        """True when it has heard from the worker."""
        return self.brain.knows(worker)

    def succeeded(self) -> int:
        """As `stats` counts them."""
        told = self.brain.get("/api/v1/projects/default/stats?since=1h&step=1h")
        return sum(step["succeeded"] for step in (told or {}).get("items", []))

    def facts(self) -> Iterator[tuple[str, set[str]]]:
        """Each task with what is known of it."""
        cursor: str | None = ""
        while cursor is not None:
            told = self.brain.get(f"/api/v1/projects/default/tasks?limit=200{cursor}")
            if told is None:
                raise SystemExit("the brain does not answer")
            for task in told["items"]:
                yield (
                    task["task_id"],
                    facts(task["state"] == "succeeded", task["received_at"], task["started_at"]),
                )
            cursor = f"&cursor={told['next_cursor']}" if told["next_cursor"] else None


class Receivers:
    """Nobody: the worker has receivers that do nothing. What those cost, Celery takes from every agent in the process."""

    worker_options: tuple[str, ...] = ()
    look_every = 1.0
    process = None

    def __init__(self, binary: Path, broker: Broker, folder: Path, cpus: set[int] | None) -> None:
        self.environment = {"BENCH_AGENT": "receivers"}

    def knows(self, worker: str) -> bool:
        """Nobody asks."""
        return True

    def succeeded(self) -> int:
        """Nobody counts."""
        return 0

    def facts(self) -> Iterator[tuple[str, set[str]]]:
        """Nobody knows any."""
        return iter(())


class Flower:
    """Flower, which consumes the events that Celery's own `-E` sends, and keeps them in memory."""

    worker_options: tuple[str, ...] = ("-E",)
    look_every = 1.0

    def __init__(self, binary: Path, broker: Broker, folder: Path, cpus: set[int] | None) -> None:
        port = free_port()
        self.environment: dict[str, str] = {}
        self.process = Process(
            celery("flower", "--address=127.0.0.1", f"--port={port}"),
            folder / "flower.log",
            cpus,
            FLOWER_UNAUTHENTICATED_API="true",
            **broker.urls,
        )
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        started(self.process, "Flower", lambda: answers(self.api, "/healthcheck"))

    def knows(self, worker: str) -> bool:
        """True when it has had an event of the worker."""
        return f'worker="{worker}"' in self.api.get("/metrics").text

    def succeeded(self) -> int:
        """Events of success that it has consumed."""
        lines = self.api.get("/metrics").text.splitlines()
        ours = [
            line for line in lines if line.startswith("flower_events_total{") and "task-succeeded" in line
        ]
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in ours)

    def facts(self) -> Iterator[tuple[str, set[str]]]:
        """Each task with what is known of it."""
        for task_id, task in self.api.get("/api/tasks").json().items():
            yield task_id, facts(task["state"] == "SUCCESS", task["received"], task["started"])


class Z4j:
    """z4j's server on its own SQLite; its agent is in the worker's process."""

    worker_options: tuple[str, ...] = ()
    look_every = 1.0

    def __init__(self, binary: Path, broker: Broker, folder: Path, cpus: set[int] | None) -> None:
        port = free_port()
        home = {"HOME": str(folder), "Z4J_HOME": str(folder / "server")}
        command = [str(Path(sys.executable).with_name("z4j")), "serve", "--environment=dev"]
        command += ["--host=127.0.0.1", f"--port={port}"]
        command += ["--admin-email=bench@example.com", f"--admin-password={PASSWORD}"]
        self.process = Process(command, folder / "z4j.log", cpus, **home)
        url = f"http://127.0.0.1:{port}"
        self.api = httpx.Client(base_url=url, timeout=60)
        started(self.process, "z4j", lambda: answers(self.api, "/api/v1/auth/policy"))
        sign_in = {"email": "bench@example.com", "password": PASSWORD}
        self.api.post("/api/v1/auth/login", json=sign_in).raise_for_status()
        self.api.headers["x-csrf-token"] = self.api.cookies["z4j_csrf"]
        minted = self.api.post("/api/v1/projects/default/agents", json={"name": "bench"})
        minted.raise_for_status()
        self.environment = {
            "BENCH_AGENT": "z4j",
            "Z4J_HOME": str(folder / "agent"),
            "Z4J_BRAIN_URL": url,
            "Z4J_TOKEN": minted.json()["token"],
            "Z4J_HMAC_SECRET": minted.json()["hmac_secret"],
            "Z4J_PROJECT_ID": "default",
        }

    def knows(self, worker: str) -> bool:
        """True when its one agent is connected."""
        agents = self.api.get("/api/v1/projects/default/agents").json()
        return any(agent["state"] == "online" for agent in agents)

    def succeeded(self) -> int:
        """How many tasks it knows to have succeeded."""
        query = {"state": "success", "limit": 1, "include_total": True}
        return self.api.get("/api/v1/projects/default/tasks", params=query).json()["total_count"]

    def facts(self) -> Iterator[tuple[str, set[str]]]:
        """Each task with what is known of it."""
        query: dict | None = {"limit": 5_000}
        while query:
            told = self.api.get("/api/v1/projects/default/tasks", params=query).json()
            for task in told["items"]:
                yield (
                    task["task_id"],
                    facts(task["state"] == "success", task["received_at"], task["started_at"]),
                )
            query = {**query, "cursor": told["next_cursor"]} if told["next_cursor"] else None


SERVERS: dict[str, Callable[[Path, Broker, Path, set[int] | None], Server]] = {
    "taskplane": Taskplane,
    "receivers": Receivers,
    "events_flower": Flower,
    "z4j": Z4j,
}


def facts(succeeded: bool, received: object, started: object) -> set[str]:
    """The facts of one task."""
    told = {"succeeded": succeeded, "received": received, "started": started}
    return {fact for fact, is_there in told.items() if is_there}


def started(process: Process, name: str, holds: Callable[[], bool]) -> None:
    """Waits until a server answers; ends it when it does not."""
    try:
        eventually(f"{name} answers", holds)
    except BaseException:
        process.stop()
        raise


def answers(api: httpx.Client, path: str) -> bool:
    """True when a server is up."""
    try:
        return api.get(path).is_success
    except httpx.TransportError:
        return False
