"""What measurements of a worker share: processes on processors of their own, a broker, a brain, the arithmetic of rounds."""

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

import redis
from celery import Celery

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")


def apart() -> tuple[set[int], set[int]]:
    """The processors of the worker and its broker, and those of the servers."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise SystemExit(
            "this machine has one processor: nothing can be kept apart; give --only-place shared"
        )
    half = len(cpus) // 2
    return set(cpus[:half]), set(cpus[half:])


class Process:
    """A process of ours, on processors of its own, and how much of them it used."""

    def __init__(self, command: list[str], log: Path, cpus: set[int] | None, **env: str) -> None:
        if cpus:
            command = ["taskset", "--cpu-list", ",".join(map(str, cpus)), *command]
        with log.open("ab") as out:
            # In a session of its own, so that Ctrl-C ends the measurement and not its parts in any order.
            self.child = subprocess.Popen(
                command, cwd=HERE, env={**os.environ, **env}, stdout=out, stderr=out, start_new_session=True
            )

    def seconds(self) -> float:
        """Processor time of the process and all that it started."""
        ticks, pids = 0, [self.child.pid]
        while pids:
            pid = pids.pop()
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
                # Its own, of all its threads, and that of children that have ended.
                ticks += sum(map(int, fields[11:15]))
                for task in Path(f"/proc/{pid}/task").iterdir():
                    pids += map(int, (task / "children").read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
        return ticks / TICKS

    def stop(self) -> None:
        """Ends it as a supervisor would; kills all of it when that takes long."""
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()


class Broker:
    """A Redis server of our own: database 0 holds the queue, database 1 the results."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        server = shutil.which("redis-server") or "redis-server"
        command = [server, "--port", str(port), "--save", "", "--dir", str(folder)]
        self.process = Process(command, folder / "redis.log", None)
        self.queue = redis.Redis(port=port, db=0)
        self.results = redis.Redis(port=port, db=1)
        self.url = f"redis://127.0.0.1:{port}/0"
        self.results_url = f"redis://127.0.0.1:{port}/1"
        self.urls = {"BENCH_BROKER": self.url, "BENCH_RESULTS": self.results_url}
        try:
            eventually("Redis answers", self.answers)
        except SystemExit:
            self.process.stop()
            raise

    def answers(self) -> bool:
        """True when it is up."""
        try:
            return bool(self.queue.ping())
        except redis.ConnectionError:
            return False

    def run(self, ids: list[str]) -> float:
        """Has the worker run these tasks, all of which wait before it begins; returns how long it took."""
        self.results.flushdb()
        template = self.template()
        pipe = self.queue.pipeline(transaction=False)
        for one in ids:
            pipe.lpush("staged", template.replace(b"TASK-ID", one.encode()))
        pipe.execute()
        began = time.perf_counter()
        self.queue.rename("staged", "celery")
        eventually(f"{len(ids)} results", lambda: self.results.dbsize() >= len(ids), every=0.01, within=120)
        return time.perf_counter() - began

    def template(self) -> bytes:
        """A message as Celery itself writes it, with TASK-ID in place of its id."""
        app = Celery("noop", broker=self.url, backend=self.results_url)
        app.send_task("noop", task_id="TASK-ID", queue="template")
        return self.queue.lpop("template")


class Brain:
    """A brain of our own, with a token for an agent and a key for its API."""

    def __init__(self, binary: Path, folder: Path, cpus: set[int] | None = None) -> None:
        binary, data = str(binary.resolve()), str(folder / "brain")
        listen = f"127.0.0.1:{free_port()}"
        self.url, self.agents_url = f"http://{listen}", f"ws://{listen}"
        command = [binary, "brain", "--listen", listen, "--data-dir", data]
        self.process = Process(command, folder / "brain.log", cpus)
        self.key = None
        try:
            eventually("the brain answers", lambda: self.get("/healthz") is not None)
            create = [binary, "token", "create", "--project", "default", "--data-dir", data]
            self.token = subprocess.check_output(create, text=True).strip()
            create = [binary, "api-key", "create", "--project", "default", "--role", "viewer"]
            self.key = subprocess.check_output([*create, "--data-dir", data], text=True).strip()
        except BaseException:
            self.process.stop()
            raise

    def knows(self, worker: str) -> bool:
        """True when the brain has heard from the worker, and knows what it is."""
        told = self.get("/api/v1/projects/default/workers")
        return any(w["name"] == worker and w["pool"] for w in (told or {}).get("items", []))

    def get(self, path: str) -> dict | None:
        """What the brain says, if it does."""
        request = urllib.request.Request(self.url + path)
        if self.key:
            request.add_header("authorization", f"Bearer {self.key}")
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                text = response.read()
        except OSError:
            return None
        return json.loads(text) if text.startswith(b"{") else {}


def celery(*arguments: str) -> list[str]:
    """A command of the application's Celery."""
    return [sys.executable, "-m", "celery", "-A", "noop", *arguments]


def task_ids(count: int) -> list[str]:
    """So many new ones."""
    return [str(uuid.uuid4()) for _ in range(count)]


def pin(process: Process | None, cpus: set[int] | None) -> None:
    """Moves a process with all its threads."""
    if process:
        for task in Path(f"/proc/{process.child.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cpus or os.sched_getaffinity(0))


def losses(alone: list[dict], beside: list[dict]) -> dict:
    """How much slower the second is, round by round, in per cent."""
    found = sorted(100 * (1 - b["rate"] / a["rate"]) for a, b in zip(alone, beside, strict=True))
    return {
        "median_percent": round(statistics.median(found), 2),
        "quartiles_percent": [round(found[len(found) * part // 4], 2) for part in (1, 3)],
        "rounds_percent": [round(loss, 2) for loss in found],
    }


def rates(measured: list[dict]) -> dict:
    """The tasks a second of one setting."""
    found = [m["rate"] for m in measured]
    return {
        "median": round(statistics.median(found)),
        "least": round(min(found)),
        "most": round(max(found)),
    }


def eventually(what: str, holds: Callable[[], bool], every: float = 0.05, within: float = 60) -> None:
    """Waits until it holds."""
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"in vain awaited: {what}")
        time.sleep(every)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
