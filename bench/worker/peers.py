"""What an agent costs inside a Celery worker: the same worker on empty tasks, without any, with ours, and with what others offer.

Settings: `taskplane`, our agent in the worker's process and a brain; `receivers`, nothing but receivers of Celery's signals that
do nothing, which is the least that an agent in the process can cost; `events_flower`, Celery's own `-E` and Flower, which consumes
it; `z4j`, its agent in the worker's process and its server. Beside the worker of a setting stands a bare one, with a broker of its
own, and the two take turns of a second or so: what else the machine does, and how fast it is just then, meets both alike. Once all
tasks are done, the server has ten seconds to show them.

`loss` is of tasks a second: of each turn against the bare worker's beside it, the median and the quartiles. `cpu_us` is processor
time of the worker's processes for a task (all threads, all children, pauses included), from the first turn until the server has
shown all, or the ten seconds are over; `added_cpu_us` is how much more that is than the bare worker's.

Each runs twice over: with all processes on all processors, and with the servers on processors of their own.

Prints JSON; exits with 1 when, with processors apart, our loss is above the limit, our added time is over a quarter of z4j's, or,
anywhere, when the brain does not show every task as succeeded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from harness import Broker, Process, apart, celery, eventually, losses, pin, rates, task_ids
from servers import SERVERS, Server

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
        bench = Bench(options, Path(folder))
        try:
            bench.start()
            for pool in options.pools.split(","):
                found[pool] = {place: bench.compare(pool, cpus) for place, cpus in places.items()}
        finally:
            bench.stop()
    wrong = list(complaints(found, options))
    said = {
        "processors": os.cpu_count(),
        "tasks": options.tasks,
        "pairs": options.pairs,
        "turns": options.turns,
        "versions": versions,
    }
    print(json.dumps({**said, "pools": found, "wrong": wrong}, indent=2))
    return int(bool(wrong))


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True, help="the taskplane binary")
    parser.add_argument("--pools", default="solo,prefork")
    parser.add_argument("--settings", default=",".join(SERVERS))
    parser.add_argument("--only-place", choices=("shared", "apart"))
    parser.add_argument("--tasks", type=int, default=1_000, help="empty tasks in one turn")
    parser.add_argument("--pairs", type=int, default=5, help="of workers, one after the other")
    parser.add_argument("--turns", type=int, default=7, help="of each of the two workers of a pair")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--limit", type=float, default=5.0, help="our loss in per cent that is too much")
    options = parser.parse_args()
    options.settings = options.settings.split(",")
    if unknown := set(options.settings) - set(SERVERS):
        parser.error(f"unknown settings {', '.join(sorted(unknown))}: there are {', '.join(SERVERS)}")
    return options


@dataclass
class Side:
    """A worker with a broker of its own, and what it did."""

    broker: Broker
    worker: Process
    ids: list[str] = field(default_factory=list)
    """All tasks that it ran."""
    turns: list[dict] = field(default_factory=list)

    def run(self, count: int) -> float:
        """Has the worker run so many tasks; returns how many a second."""
        ids = task_ids(count)
        took = self.broker.run(ids)
        self.ids += ids
        return count / took


class Bench:
    """Two brokers that stay; a server and two workers for each setting."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.brokers: list[Broker] = []
        self.number = 0

    def start(self) -> None:
        """Starts what all settings share."""
        for name in ("bare", "beside"):
            (self.folder / name).mkdir()
            self.brokers.append(Broker(self.folder / name))

    def stop(self) -> None:
        """Ends it."""
        for broker in self.brokers:
            broker.process.stop()

    def compare(self, pool: str, cpus: tuple[set[int] | None, set[int] | None]) -> dict:
        """All settings of one pool in one place."""
        for broker in self.brokers:
            pin(broker.process, cpus[0])
        return {setting: self.measure(pool, setting, cpus) for setting in self.options.settings}

    def measure(self, pool: str, setting: str, cpus: tuple[set[int] | None, set[int] | None]) -> dict:
        """One setting against bare workers: how fast both went, who used the processors, and what arrived."""
        folder = self.folder / f"{pool}-{setting}-{self.number}"
        folder.mkdir()
        for broker in self.brokers:
            broker.queue.flushall()
        server = SERVERS[setting](self.options.binary, self.brokers[1], folder, cpus[1])
        try:
            pairs = [self.pair(pool, setting, folder, cpus, server) for _ in range(self.options.pairs)]
        finally:
            if server.process:
                server.process.stop()
        told = summary(pairs)
        print(f"{pool}: {setting} {json.dumps(told)}", file=sys.stderr)
        return told

    def pair(
        self,
        pool: str,
        setting: str,
        folder: Path,
        cpus: tuple[set[int] | None, set[int] | None],
        server: Server,
    ) -> Pair:
        """A bare worker and one with the setting, which take turns."""
        self.number += 1
        sides: list[Side] = []
        try:
            sides.append(Side(self.brokers[0], self.worker(pool, "bare", folder, cpus[0], None)))
            sides.append(Side(self.brokers[1], self.worker(pool, setting, folder, cpus[0], server)))
            eventually(f"{setting} knows the worker", lambda: server.knows(f"{setting}{self.number}@bench"))
            return self.take_turns(*sides, server)
        finally:
            for side in reversed(sides):
                side.worker.stop()

    def worker(
        self, pool: str, name: str, folder: Path, cpus: set[int] | None, server: Server | None
    ) -> Process:
        """A worker of the application, with the setting of `server` if there is one."""
        broker = self.brokers[1 if server else 0]
        command = celery("worker", "-l", "warning", "-n", f"{name}{self.number}@bench", "--pool", pool)
        command += ["--concurrency", str(self.options.concurrency)]
        command += server.worker_options if server else ()
        # Dictionaries are as well filled in both.
        seed = {"PYTHONHASHSEED": str(self.number)}
        environment = {**broker.urls, **seed, **(server.environment if server else {})}
        return Process(command, folder / f"{name}.log", cpus, **environment)

    def take_turns(self, bare: Side, beside: Side, server: Server) -> Pair:
        """Has both workers run tasks, one after the other, and waits for what the server has of them."""
        for side in (bare, beside):
            side.run(100)
            side.run(self.options.tasks)
        before = [side.worker.seconds() for side in (bare, beside)]
        for turn in range(self.options.turns):
            for side in (bare, beside) if turn % 2 else (beside, bare):
                side.turns.append({"rate": side.run(self.options.tasks)})
        there = arrived(server, set(beside.ids)) if server.process else None
        used = [side.worker.seconds() - was for side, was in zip((bare, beside), before, strict=True)]
        cpu = [1e6 * seconds / (self.options.tasks * self.options.turns) for seconds in used]
        return Pair(bare.turns, beside.turns, (cpu[0], cpu[1]), there)


@dataclass
class Pair:
    """What a bare worker and one beside it did."""

    bare: list[dict]
    beside: list[dict]
    cpu: tuple[float, float]
    """Microseconds of processor time for a task, of each."""
    arrived: dict | None


def summary(pairs: list[Pair]) -> dict:
    """What all pairs say together."""
    bare = [turn for pair in pairs for turn in pair.bare]
    beside = [turn for pair in pairs for turn in pair.beside]
    cpu = [round(statistics.mean(pair.cpu[side] for pair in pairs), 1) for side in (0, 1)]
    return {
        "tasks_per_second": {"bare": rates(bare), "beside": rates(beside)},
        "loss": losses(bare, beside),
        "loss_of_pairs_percent": [losses(pair.bare, pair.beside)["median_percent"] for pair in pairs],
        "cpu_us": dict(zip(("bare", "beside"), cpu, strict=True)),
        "added_cpu_us": round(cpu[1] - cpu[0], 1),
        "added_cpu_us_of_pairs": [round(pair.cpu[1] - pair.cpu[0], 1) for pair in pairs],
        "arrived_within_10_s": together([pair.arrived for pair in pairs if pair.arrived]),
    }


def together(arrived: list[dict]) -> dict | None:
    """The tasks of all pairs, and the longest that it took until all of one were there."""
    if not arrived:
        return None
    seconds = [one["seconds"] for one in arrived]
    counts = {fact: sum(one[fact] for one in arrived) for fact in ("of", *FACTS)}
    return {**counts, "seconds": None if None in seconds else max(seconds)}


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


def complaints(found: dict, options: argparse.Namespace) -> list[str]:
    """What is not as it should be."""
    wrong = []
    for pool, places in found.items():
        for place, settings in places.items():
            one = settings.get("taskplane", {}).get("arrived_within_10_s")
            if one and any(one[fact] != one["of"] for fact in FACTS):
                wrong.append(f"{pool}, {place}: the brain does not show every task: {json.dumps(one)}")
        ours, theirs = (places.get("apart", {}).get(setting) for setting in ("taskplane", "z4j"))
        if ours and ours["loss"]["median_percent"] > options.limit:
            wrong.append(f"{pool}: a loss of {ours['loss']['median_percent']} % is over {options.limit} %")
        if ours and theirs and ours["added_cpu_us"] > (most := theirs["added_cpu_us"] / 4):
            wrong.append(
                f"{pool}: {ours['added_cpu_us']} µs of added processor time are over {most:.1f}, a quarter of z4j's"
            )
    return wrong


if __name__ == "__main__":
    sys.exit(main())
