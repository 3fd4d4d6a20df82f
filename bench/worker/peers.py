"""What an agent costs inside a Celery worker: the same worker on empty tasks, without any, with ours, and with what others offer.

Settings take turns, in another order each round: `bare`, nothing; `taskplane`, our agent in the worker's process and a brain;
`events_flower`, Celery's own `-E` and Flower, which consumes it; `z4j`, its agent in the worker's process and its server. Each has
servers and a worker of its own, and ends before the next begins. Once all tasks are done, the server has ten seconds to show them.

`loss` is of tasks a second, and `added_cpu_us` is processor time of the worker's processes for a task (all threads, all children),
each against the bare worker of the same round, medians over the rounds. The time counts until the last task is done,
`added_cpu_us_until_delivered` until the server has shown all, or the ten seconds are over.

Each runs twice over: with all processes on all processors, and with the servers on processors of their own.

Prints JSON; exits with 1 when, with processors apart, our loss is above the limit, our added time until all is delivered is over a
quarter of z4j's until the last task is done, or, anywhere, when the brain does not show every task as succeeded.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from harness import Broker, Process, apart, celery, eventually, losses, pin, rates, task_ids
from servers import SERVERS, Server

SETTINGS = ("bare", *SERVERS)
FACTS = ("received", "started", "succeeded")
WITHIN = 10.0


def main() -> int:
    """Compares, prints, judges."""
    options = arguments()
    versions = {package: version(package) for package in ("taskplane", "celery", "flower", "z4j")}
    places = {"shared": (None, None), "apart": apart()}
    if options.only_place:
        places = {options.only_place: places[options.only_place]}
    found: dict = {}
    with tempfile.TemporaryDirectory(prefix="taskplane-bench-python-") as folder:
        broker = Broker(Path(folder))
        bench = Bench(options, Path(folder), broker)
        try:
            for pool in options.pools.split(","):
                found[pool] = {place: bench.compare(pool, cpus) for place, cpus in places.items()}
        finally:
            broker.process.stop()
    wrong = list(complaints(found, options))
    said = {
        "processors": os.cpu_count(),
        "tasks": options.tasks,
        "rounds": options.rounds,
        "versions": versions,
    }
    print(json.dumps({**said, "pools": found, "wrong": wrong}, indent=2))
    return int(bool(wrong))


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True, help="the taskplane binary")
    parser.add_argument("--pools", default="solo,prefork")
    parser.add_argument("--settings", default=",".join(SETTINGS[1:]), help="which to compare with `bare`")
    parser.add_argument("--only-place", choices=("shared", "apart"))
    parser.add_argument("--tasks", type=int, default=5_000, help="empty tasks in one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--limit", type=float, default=5.0, help="our loss in per cent that is too much")
    options = parser.parse_args()
    options.settings = ["bare", *options.settings.split(",")]
    if unknown := set(options.settings) - set(SETTINGS):
        parser.error(f"unknown settings {', '.join(sorted(unknown))}: there are {', '.join(SETTINGS[1:])}")
    return options


class Bench:
    """A broker that stays, and a server and a worker for each measurement."""

    def __init__(self, options: argparse.Namespace, folder: Path, broker: Broker) -> None:
        self.options, self.folder, self.broker = options, folder, broker
        self.number = 0

    def compare(self, pool: str, cpus: tuple[set[int] | None, set[int] | None]) -> dict:
        """All rounds of one pool in one place."""
        pin(self.broker.process, cpus[0])
        rounds: dict[str, list[dict]] = {setting: [] for setting in self.options.settings}
        shuffle = random.Random(7)
        for number in range(self.options.rounds):
            for setting in shuffle.sample(self.options.settings, len(self.options.settings)):
                measured = self.measure(pool, setting, cpus)
                rounds[setting].append(measured)
                print(f"{pool} {number + 1}: {setting} {json.dumps(measured)}", file=sys.stderr)
        bare = rounds["bare"]
        return {setting: summary(bare, measured) for setting, measured in rounds.items()}

    def measure(self, pool: str, setting: str, cpus: tuple[set[int] | None, set[int] | None]) -> dict:
        """One measurement: how fast the worker went, who used the processors, and what arrived."""
        self.number += 1
        folder = self.folder / f"{self.number}-{setting}"
        folder.mkdir()
        self.broker.queue.flushall()
        server: Server | None = None
        worker: Process | None = None
        try:
            if setting != "bare":
                server = SERVERS[setting](self.options.binary, self.broker, folder, cpus[1])
            name = f"w{self.number}@bench"
            command = celery("worker", "-l", "warning", "-n", name, "--pool", pool)
            command += ["--concurrency", str(self.options.concurrency)]
            command += server.worker_options if server else ()
            environment = {**self.broker.urls, **(server.environment if server else {})}
            worker = Process(command, folder / "worker.log", cpus[0], **environment)
            if server:
                eventually(f"{setting} knows the worker", lambda: server.knows(name))
            return self.run(worker, server)
        finally:
            for process in (worker, server.process if server else None):
                if process:
                    process.stop()

    def run(self, worker: Process, server: Server | None) -> dict:
        """Has the worker run all tasks, and waits for what the server has of them."""
        tasks = self.options.tasks
        warm = [*task_ids(100), *task_ids(tasks // 5)]
        self.broker.run(warm[:100])
        self.broker.run(warm[100:])
        parts = {"worker": worker, "redis": self.broker.process}
        if server:
            parts["server"] = server.process
        before = {part: process.seconds() for part, process in parts.items()}
        ids = task_ids(tasks)
        took = self.broker.run(ids)

        def used() -> dict[str, float]:
            return {
                p: round(1e6 * (process.seconds() - before[p]) / tasks, 1) for p, process in parts.items()
            }

        measured: dict = {"rate": round(tasks / took, 1), "cpu_us": used()}
        if server:
            measured["arrived"] = arrived(server, {*warm, *ids})
            measured["cpu_us_until_delivered"] = used()
        return measured


def arrived(server: Server, ids: set[str]) -> dict:
    """How many of the tasks the server shows within ten seconds, and after how many seconds all of them."""
    drained = time.monotonic()
    while True:
        if is_last := time.monotonic() - drained >= WITHIN:
            known = shown(server, ids)
        elif server.succeeded() >= len(ids):
            known = shown(server, ids)
            if all(known[fact] == len(ids) for fact in FACTS):
                seconds = round(time.monotonic() - drained, 2)
                return {"of": len(ids), **known, "seconds": seconds}
        if is_last:
            return {"of": len(ids), **known, "seconds": None}
        time.sleep(server.look_every)


def shown(server: Server, ids: set[str]) -> dict[str, int]:
    """Of how many of the tasks the server knows each fact."""
    known = Counter(fact for task, facts in server.facts() if task in ids for fact in facts)
    return {fact: known[fact] for fact in FACTS}


def summary(bare: list[dict], measured: list[dict]) -> dict:
    """The medians of one setting, and what it takes from the bare worker."""
    told: dict = {
        "tasks_per_second": rates(measured),
        "cpu_us_per_task": {
            part: median(m["cpu_us"][part] for m in measured) for part in measured[0]["cpu_us"]
        },
    }
    if measured is bare:
        return told
    told["loss"] = losses(bare, measured)
    for until in ("", "_until_delivered"):
        more = [
            m[f"cpu_us{until}"]["worker"] - b["cpu_us"]["worker"] for m, b in zip(measured, bare, strict=True)
        ]
        told[f"added_cpu_us{until}"] = {"median": median(more), "rounds": [round(one, 1) for one in more]}
    told["arrived_within_10_s"] = [m["arrived"] for m in measured]
    return told


def median(values: Iterable[float]) -> float:
    """Of microseconds; more than a tenth of one is not measured."""
    return round(statistics.median(values), 1)


def complaints(found: dict, options: argparse.Namespace) -> list[str]:
    """What is not as it should be."""
    wrong = []
    for pool, places in found.items():
        for place, settings in places.items():
            for one in settings.get("taskplane", {}).get("arrived_within_10_s", []):
                if any(one[fact] != one["of"] for fact in FACTS):
                    wrong.append(f"{pool}, {place}: the brain does not show every task: {json.dumps(one)}")
        ours = places.get("apart", {}).get("taskplane")
        if ours and ours["loss"]["median_percent"] > options.limit:
            wrong.append(f"{pool}: a loss of {ours['loss']['median_percent']} % is over {options.limit} %")
        theirs = places.get("apart", {}).get("z4j")
        if ours and theirs:
            added, most = ours["added_cpu_us_until_delivered"]["median"], theirs["added_cpu_us"]["median"] / 4
            if added > most:
                wrong.append(
                    f"{pool}: {added} µs of added processor time are over {most:.1f}, a quarter of z4j's"
                )
    return wrong


if __name__ == "__main__":
    sys.exit(main())
