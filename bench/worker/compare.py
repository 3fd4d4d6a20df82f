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
import statistics
import sys
import tempfile
from pathlib import Path

from harness import Brain, Broker, Process, apart, celery, eventually, losses, pin, rates, task_ids

SETTINGS = ("events_alone", "events_beside", "bare_alone", "bare_beside")


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
    lost = [
        loss["median_percent"]
        for places in found.values()
        for loss in places.get("apart", {}).get("loss", {}).values()
    ]
    return int(any(loss > options.limit for loss in lost))


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


class Bench:
    """A brain and a broker that stay, and a worker and a sidecar for each measurement."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.brain: Brain | None = None
        self.broker: Broker | None = None
        self.number = 0

    def start(self) -> None:
        """Starts what all measurements share."""
        self.brain = Brain(self.options.binary, self.folder)
        self.broker = Broker(self.folder)

    def stop(self) -> None:
        """Ends it."""
        for server in (self.brain, self.broker):
            if server:
                server.process.stop()

    def compare(self, pool: str, cpus: tuple[set[int] | None, set[int] | None]) -> dict:
        """All rounds of one pool."""
        pin(self.broker.process, cpus[0])
        pin(self.brain.process, cpus[1])
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
        }
        own = ratio(rounds["bare_alone"], rounds["events_alone"])
        print(f"{pool}: {json.dumps(loss)}", file=sys.stderr)
        return {
            "settings": {s: summary(all) for s, all in rounds.items()},
            "loss": loss,
            "celery_own_events_cost": own,
        }

    def measure(self, pool: str, setting: str, cpus: tuple[set[int] | None, set[int] | None]) -> dict:
        """One measurement: how fast the worker went, and who used the processors."""
        self.number += 1
        broker, brain = self.broker, self.brain
        broker.queue.flushall()
        name = f"w{self.number}@bench"
        command = celery("worker", "-l", "warning", "-n", name, "--pool", pool)
        command += ["--concurrency", str(self.options.concurrency)]
        command += ["-E"] if setting.startswith("events") else []
        worker = Process(command, self.folder / "worker.log", cpus[0], **broker.urls)
        agent = None
        try:
            broker.run(task_ids(100))
            if setting.endswith("beside"):
                agent = self.sidecar(setting, cpus[1])
                eventually("the brain knows the worker", lambda: brain.knows(name))
            broker.run(task_ids(self.options.tasks // 5))
            parts = {"worker": worker, "redis": broker.process, "agent": agent, "brain": brain.process}
            before = {part: process.seconds() for part, process in parts.items() if process}
            took = broker.run(task_ids(self.options.tasks))
            used = {part: parts[part].seconds() - was for part, was in before.items()}
            return {
                "rate": self.options.tasks / took,
                "cpu": {p: 1e3 * s / self.options.tasks for p, s in used.items()},
            }
        finally:
            if agent:
                agent.stop()
            worker.stop()

    def sidecar(self, setting: str, cpus: set[int] | None) -> Process:
        """The agent, beside the worker."""
        command = [str(self.options.binary.resolve()), "agent", "--brain", self.brain.agents_url]
        command += ["--token", self.brain.token, "--name", "bench"]
        command += ["--celery", self.broker.url, "--celery-results", self.broker.results_url]
        command += ["--data-dir", str(self.folder / f"agent-{self.number}")]
        command += ["--events", "on" if setting.startswith("events") else "off"]
        return Process(command, self.folder / "agent.log", cpus)


def ratio(alone: list[dict], beside: list[dict]) -> dict:
    """What is lost between two settings, round by round, in per cent."""
    cpu = {
        part: [100 * (b["cpu"][part] / a["cpu"][part] - 1) for a, b in zip(alone, beside, strict=True)]
        for part in ("worker", "redis")
    }
    return {
        "more_cpu_percent": {part: round(statistics.median(more), 1) for part, more in cpu.items()},
        **losses(alone, beside),
    }


def summary(measured: list[dict]) -> dict:
    """The rates of one setting, and the milliseconds of processor time that a task cost each process."""
    cpu = {part: round(statistics.median(m["cpu"][part] for m in measured), 3) for part in measured[0]["cpu"]}
    return {"tasks_per_second": rates(measured), "cpu_ms_per_task": cpu}


if __name__ == "__main__":
    sys.exit(main())
