"""What an agent costs inside a Celery worker, within one process: the receivers of Celery's signals are connected and taken off in turns.

Two workers are never equally fast, be they as alike as can be: figures of peers.py carry that difference, several per cent of it. Here
the same process runs the same empty tasks with its receivers and without. What the agent does all the time, whether tasks run or
not (it looks at queues, and for captured events), is the same in both and not in the result; everything that it does for a task is.

Worker and broker have processors of their own. Processors of one machine are not independent, though: with `--away` the server ends
before the turns, as if it were on another machine, and the agent keeps what it captures. Prints JSON: for each worker the median loss of tasks a
second of each pair of turns, and the processor time that a task takes more; exits with 1 when the brain shows other tasks than
those of the turns with receivers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from celery import Celery
from harness import Broker, Process, apart, celery, eventually, losses, pin, rates, task_ids
from servers import SERVERS, Server

# So long the collector takes at most to have done with what was captured.
SETTLED = 0.5


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True, help="the taskplane binary")
    parser.add_argument("--settings", default="taskplane,receivers")
    parser.add_argument("--pool", default="solo")
    parser.add_argument("--workers", type=int, default=5, help="one after the other")
    parser.add_argument("--turns", type=int, default=12, help="of each worker, with receivers and without")
    parser.add_argument("--tasks", type=int, default=1_000, help="in one turn")
    parser.add_argument("--away", action="store_true", help="end the server before the turns")
    options = parser.parse_args()
    found: dict[str, list[dict]] = {}
    for setting in options.settings.split(","):
        found[setting] = [measure(setting, options) for _ in range(options.workers)]
    medians = {
        setting: {
            "loss_percent": statistics.median(one["loss"]["median_percent"] for one in workers),
            "added_cpu_us": statistics.median(one["added_cpu_us"] for one in workers),
        }
        for setting, workers in found.items()
    }
    print(json.dumps({"medians": medians, "workers": found}, indent=2))
    return int(any(one["are_shown"] is False for workers in found.values() for one in workers))


def measure(setting: str, options: argparse.Namespace) -> dict:
    """One worker."""
    cpus = apart()
    with tempfile.TemporaryDirectory(prefix="taskplane-bench-switched-") as name:
        folder = Path(name)
        broker = Broker(folder)
        processes = [broker.process]
        try:
            pin(broker.process, cpus[0])
            server = SERVERS[setting](options.binary, broker, folder, cpus[1])
            processes += [server.process] if server.process else []
            command = celery("worker", "-l", "warning", "-n", "switched@bench", "--pool", options.pool)
            worker = Process(
                [*command, "--concurrency", "1"],
                folder / "worker.log",
                cpus[0],
                **broker.urls,
                **server.environment,
            )
            processes.append(worker)
            eventually(f"{setting} knows the worker", lambda: server.knows("switched@bench"))
            told = take_turns(worker, broker, server, options)
        finally:
            for process in reversed(processes):
                process.stop()
    print(f"{setting} {json.dumps(told)}", file=sys.stderr)
    return told


def take_turns(worker: Process, broker: Broker, server: Server, options: argparse.Namespace) -> dict:
    """Has it run tasks with its receivers and without."""
    app = Celery("noop", broker=broker.url, backend=broker.results_url)
    broker.run(task_ids(options.tasks))
    if options.away and server.process:
        server.process.stop()
    ids: dict[bool, set[str]] = {True: set(), False: set()}
    turns: dict[bool, list[dict]] = {True: [], False: []}
    for turn in range(2 * options.turns):
        # Each half of a pair comes first as often as the other.
        is_on = turn % 4 in (0, 3)
        app.send_task("switch", [is_on]).get(timeout=30)
        time.sleep(SETTLED)
        new = task_ids(options.tasks)
        ids[is_on].update(new)
        before = worker.seconds()
        took = broker.run(new)
        time.sleep(SETTLED)
        cpu_us = 1e6 * (worker.seconds() - before) / options.tasks
        turns[is_on].append({"rate": options.tasks / took, "cpu_us": cpu_us})
    off, on = turns[False], turns[True]
    cpu = {name: statistics.median(one["cpu_us"] for one in of) for name, of in (("off", off), ("on", on))}
    return {
        "tasks_per_second": {"off": rates(off), "on": rates(on)},
        "loss": losses(off, on),
        "cpu_us": {name: round(us, 1) for name, us in cpu.items()},
        "added_cpu_us": round(cpu["on"] - cpu["off"], 1),
        "are_shown": None if options.away or not server.process else are_shown(server, ids),
    }


def are_shown(server: Server, ids: dict[bool, set[str]]) -> bool:
    """Whether the server has seen the tasks succeed that it was told of, and no others: else something else was measured."""
    eventually("all tasks are shown", lambda: server.succeeded() >= len(ids[True]))
    seen = {task for task, facts in server.facts() if "succeeded" in facts}
    return ids[True] <= seen and seen.isdisjoint(ids[False])


if __name__ == "__main__":
    sys.exit(main())
