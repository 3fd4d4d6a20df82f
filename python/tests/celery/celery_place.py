"""The factory, its workers, and what the brain knows of them."""

from __future__ import annotations

import subprocess
import sys
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from running import PATIENCE, Place, Process, eventually

HERE = Path(__file__).resolve().parent
ENDS = ("succeeded", "failed", "revoked", "rejected")


class Factory:
    """A factory on a broker of its own."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.place.env["PYTHONPATH"] = str(HERE)
        self.node = f"{place.name}@test"

    def worker(self, *words: str, name: str = "worker", **env: str) -> Process:
        words = words or ("--pool", "prefork", "--concurrency", "2")
        return self.place.worker(*words, app="factory", name=name, **env)

    def python(self, program: str, **env: str) -> str:
        """What a program beside the workers prints; it sees all of the factory."""
        done = subprocess.run(
            [sys.executable, "-c", f"from factory import *\n{program}"],
            env={**self.place.env, **env},
            cwd=self.place.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        # Tracebacks of others may name a folder that is called like us.
        said = [line for line in done.stderr.splitlines() if "taskplane" in line and "File " not in line]
        assert not said, done.stderr
        return done.stdout.strip()

    def send(self, task: str, *args: Any, **kwargs: Any) -> str:
        """Sends a task from a process of its own, and returns its id."""
        return self.python(f"print({task}.apply_async({args!r}, {kwargs!r}).id)")

    def as_worker(self, facts: dict[str, Any]) -> dict[str, Any] | None:
        """Its worker, as soon as the brain knows this of it."""
        workers = self.place.brain.get("workers")["items"]
        mine = (worker for worker in workers if worker["name"] == self.node)
        return next((worker for worker in mine if worker.items() >= facts.items()), None)

    def succeeded(self) -> int:
        """How many of its tasks have succeeded, as far as the brain knows."""
        tasks = self.place.brain.get(f"tasks?worker={quote(self.node)}&state=succeeded&limit=200")
        return len(tasks["items"])

    def ended(self, task_id: str) -> dict[str, Any]:
        """The task, once it has ended."""

        def look() -> dict[str, Any] | None:
            task = self.place.brain.task(task_id)
            return task if task is not None and task["state"] in ENDS else None

        return eventually(f"the end of {task_id}", look)

    def told(self, task_id: str, *kinds: str, in_order: bool = True) -> dict[str, Any]:
        """The task, once all of this was told of it, in the order of its times, and nothing else."""
        expected = [f"task_{kind}" for kind in kinds]

        def is_told() -> bool:
            told = self.kinds(task_id)
            return told == expected if in_order else sorted(told) == sorted(expected)

        try:
            eventually(f"{expected} of {task_id}", is_told)
        except AssertionError as error:
            raise AssertionError(f"{error}; told was {self.kinds(task_id)}") from None
        task = self.place.brain.task(task_id)
        assert task is not None
        return task

    def ordered(self, cmd: str, **args: Any) -> dict[str, Any]:
        """A command, once it has ended."""
        return self.place.brain.ordered({"cmd": cmd, "args": {"engine": "celery", **args}})

    def heard(self, cmd: str, **args: Any) -> dict[str, Any]:
        """A command to workers, once one of them has answered."""
        return self.place.brain.heard({"cmd": cmd, "args": {"engine": "celery", **args}})

    def events(self, task_id: str, kind: str) -> list[dict[str, Any]]:
        """All of one kind that was told of a task, as the agent sent it, by its times."""
        events = [each["event"] for each in self.place.brain.events(task_id)]
        return sorted((each for each in events if each["event_type"] == f"task_{kind}"), key=itemgetter("ts"))

    def kinds(self, task_id: str) -> list[str]:
        """What hooks told of a task, in the order of its times."""
        # The agent also looks at what waits in the queues, for tasks that others send.
        told = [each["event"] for each in self.place.brain.events(task_id) if "pid" in each["event"]]
        return [event["event_type"] for event in sorted(told, key=itemgetter("ts"))]
