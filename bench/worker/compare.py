"""What Taskplane costs a Celery worker: the same worker on empty tasks, with the sidecar beside it and without.

Four settings take turns, in another order each round: `-E` alone, `-E` beside the sidecar, a bare worker alone, a bare worker
beside the sidecar with `--events off`. The loss is what the sidecar takes from the worker: the median over the rounds of one
minus the ratio of the two rates of a round. Each runs twice over: with all processes on all processors, and with the sidecar and
the brain on a processor of their own, which leaves what the broker does more, without what processes that compete for processors do.

Prints JSON; exits with 1 when a loss with processors apart is above the limit.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

import redis
from celery import Celery

HERE = Path(__file__).parent
SETTINGS = ("events_alone", "events_beside", "bare_alone", "bare_beside")
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Compares, prints, judges."""
    options = arguments()
    places = {"shared": (None, None), "apart": apart()}
    if options.only_place:
        places = {options.only_place: places[options.only_place]}
    with tempfile.TemporaryDirectory(prefix="taskplane-bench-worker-") as folder:
        bench = Bench(options, Path(folder))
        try:
            bench.start()
            pools = options.pools.split(",")
            found = {
                pool: {place: bench.compare(pool, cpus) for place, cpus in places.items()} for pool in pools
            }
        finally:
            bench.stop()
    print(
        json.dumps(
            {"processors": os.cpu_count(), "tasks": options.tasks, "rounds": options.rounds, "pools": found},
            indent=2,
        )
    )
    losses = [
        loss["median_percent"]
        for places in found.values()
        for loss in places.get("apart", {}).get("loss", {}).values()
    ]
    return int(any(loss > options.limit for loss in losses))


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True, help="the taskplane binary")
    parser.add_argument("--pools", default="prefork,threads")
    parser.add_argument("--only-place", choices=("shared", "apart"))
    parser.add_argument("--tasks", type=int, default=5_000, help="empty tasks in one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--limit", type=float, default=3.0, help="loss in per cent that is too much")
    return parser.parse_args()


def apart() -> tuple[set[int], set[int]]:
    """The processors of the worker and its broker, and those of the sidecar and the brain."""
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
                ticks += int(fields[11]) + int(fields[12])
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


class Bench:
    """A brain that stays, and a broker, a worker and a sidecar for each measurement."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.brain: Process | None = None
        self.redis: Process | None = None
        self.port, self.redis_port = free_port(), free_port()
        self.number = 0

    def start(self) -> None:
        """Starts what all measurements share."""
        data = str(self.folder / "brain")
        listen = f"127.0.0.1:{self.port}"
        binary = str(self.options.binary.resolve())
        self.brain = Process(
            [binary, "brain", "--listen", listen, "--data-dir", data], self.folder / "brain.log", None
        )
        eventually("the brain answers", lambda: self.get("/healthz", key=None) is not None)
        create = [binary, "token", "create", "--project", "default", "--data-dir", data]
        self.token = subprocess.check_output(create, text=True).strip()
        create = [binary, "api-key", "create", "--project", "default", "--role", "viewer", "--data-dir", data]
        self.key = subprocess.check_output(create, text=True).strip()
        server = shutil.which("redis-server") or "redis-server"
        command = [server, "--port", str(self.redis_port), "--save", "", "--dir", str(self.folder)]
        self.redis = Process(command, self.folder / "redis.log", None)
        self.queue = redis.Redis(port=self.redis_port, db=0)
        self.results = redis.Redis(port=self.redis_port, db=1)
        eventually("Redis answers", lambda: answers(self.queue))

    def stop(self) -> None:
        """Ends it."""
        for process in (self.brain, self.redis):
            if process:
                process.stop()

    def compare(self, pool: str, cpus: tuple[set[int] | None, set[int] | None]) -> dict:
        """All rounds of one pool."""
        pin(self.redis, cpus[0])
        pin(self.brain, cpus[1])
        rounds: dict[str, list[dict]] = {setting: [] for setting in SETTINGS}
        shuffle = random.Random(7)
        for number in range(self.options.rounds):
            for setting in shuffle.sample(SETTINGS, len(SETTINGS)):
                measured = self.measure(pool, setting, cpus)
                rounds[setting].append(measured)
                print(f"{pool} {number + 1}: {setting} {measured['rate']:.0f}/s", file=sys.stderr)
        loss = {
            "beside_events": ratio(rounds["events_alone"], rounds["events_beside"]),
            "beside_bare": ratio(rounds["bare_alone"], rounds["bare_beside"]),
            "of_celery_s_own_events": ratio(rounds["bare_alone"], rounds["events_alone"]),
        }
        own = loss.pop("of_celery_s_own_events")
        print(f"{pool}: {json.dumps(loss)}", file=sys.stderr)
        return {
            "settings": {s: summary(all) for s, all in rounds.items()},
            "loss": loss,
            "celery_own_events_cost": own,
        }

    def measure(self, pool: str, setting: str, cpus: tuple[set[int] | None, set[int] | None]) -> dict:
        """One measurement: how fast the worker went, and who used the processors."""
        self.number += 1
        self.queue.flushall()
        urls = {
            "BENCH_BROKER": f"redis://127.0.0.1:{self.redis_port}/0",
            "BENCH_RESULTS": f"redis://127.0.0.1:{self.redis_port}/1",
        }
        name = f"w{self.number}@bench"
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "noop",
            "worker",
            "-l",
            "warning",
            "-n",
            name,
            "--pool",
            pool,
        ]
        command += ["--concurrency", str(self.options.concurrency)] + (
            ["-E"] if setting.startswith("events") else []
        )
        worker = Process(command, self.folder / "worker.log", cpus[0], **urls)
        agent = None
        try:
            self.run(100, urls)
            if setting.endswith("beside"):
                agent = self.sidecar(setting, urls, cpus[1])
                eventually("the brain knows the worker", lambda: self.knows(name))
            self.run(self.options.tasks // 5, urls)
            parts = {"worker": worker, "redis": self.redis, "agent": agent, "brain": self.brain}
            before = {part: process.seconds() for part, process in parts.items() if process}
            took = self.run(self.options.tasks, urls)
            used = {part: parts[part].seconds() - was for part, was in before.items()}
            return {
                "rate": self.options.tasks / took,
                "cpu": {p: 1e3 * s / self.options.tasks for p, s in used.items()},
            }
        finally:
            if agent:
                agent.stop()
            worker.stop()

    def sidecar(self, setting: str, urls: dict[str, str], cpus: set[int] | None) -> Process:
        """The agent, beside the worker."""
        command = [
            str(self.options.binary.resolve()),
            "agent",
            "--brain",
            f"ws://127.0.0.1:{self.port}",
            "--token",
            self.token,
        ]
        command += [
            "--name",
            "bench",
            "--celery",
            urls["BENCH_BROKER"],
            "--celery-results",
            urls["BENCH_RESULTS"],
        ]
        command += ["--data-dir", str(self.folder / f"agent-{self.number}")]
        command += ["--events", "on" if setting.startswith("events") else "off"]
        return Process(command, self.folder / "agent.log", cpus)

    def run(self, count: int, urls: dict[str, str]) -> float:
        """Has the worker run so many tasks, all of which wait before it begins; returns how long it took."""
        self.results.flushdb()
        template = self.template(urls)
        pipe = self.queue.pipeline(transaction=False)
        for _ in range(count):
            pipe.lpush("staged", template.replace(b"TASK-ID", str(uuid.uuid4()).encode()))
        pipe.execute()
        began = time.perf_counter()
        self.queue.rename("staged", "celery")
        eventually(f"{count} results", lambda: self.results.dbsize() >= count, every=0.01, within=120)
        return time.perf_counter() - began

    def template(self, urls: dict[str, str]) -> bytes:
        """A message as Celery itself writes it, with TASK-ID in place of its id."""
        app = Celery("noop", broker=urls["BENCH_BROKER"], backend=urls["BENCH_RESULTS"])
        app.send_task("noop", task_id="TASK-ID", queue="template")
        return self.queue.lpop("template")

    def knows(self, worker: str) -> bool:
        """True when the brain has heard from the worker, and asked it what it is."""
        told = self.get("/api/v1/projects/default/workers", self.key)
        return any(w["name"] == worker and w["pool"] for w in (told or {}).get("items", []))

    def get(self, path: str, key: str | None) -> dict | None:
        """What the brain says, if it does."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if key:
            request.add_header("authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                text = response.read()
        except OSError:
            return None
        return json.loads(text) if text.startswith(b"{") else {}


def pin(process: Process | None, cpus: set[int] | None) -> None:
    """Moves a process with all its threads."""
    if process:
        for task in Path(f"/proc/{process.child.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cpus or os.sched_getaffinity(0))


def ratio(alone: list[dict], beside: list[dict]) -> dict:
    """What is lost between two settings, round by round, in per cent."""
    losses = sorted(100 * (1 - b["rate"] / a["rate"]) for a, b in zip(alone, beside, strict=True))
    cpu = {
        part: [100 * (b["cpu"][part] / a["cpu"][part] - 1) for a, b in zip(alone, beside, strict=True)]
        for part in ("worker", "redis")
    }
    return {
        "more_cpu_percent": {part: round(statistics.median(more), 1) for part, more in cpu.items()},
        "median_percent": round(statistics.median(losses), 2),
        "rounds_percent": [round(loss, 2) for loss in losses],
    }


def summary(measured: list[dict]) -> dict:
    """The rates of one setting, and the milliseconds of processor time that a task cost each process."""
    rates = [m["rate"] for m in measured]
    cpu = {part: round(statistics.median(m["cpu"][part] for m in measured), 3) for part in measured[0]["cpu"]}
    return {
        "tasks_per_second": {
            "median": round(statistics.median(rates)),
            "least": round(min(rates)),
            "most": round(max(rates)),
        },
        "cpu_ms_per_task": cpu,
    }


def answers(server: redis.Redis) -> bool:
    """True when Redis is up."""
    try:
        return bool(server.ping())
    except redis.ConnectionError:
        return False


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


if __name__ == "__main__":
    sys.exit(main())
