"""How many instructions an empty task takes in a Celery worker (solo), without an agent, with receivers that do nothing, and with ours.

Time on a shared machine differs by a tenth from one worker to the next; instructions do not. They leave out what the system does for
the process, and how well caches work. Each worker runs under Valgrind twice, with few tasks and with many: the difference is what
tasks take, and what the agent does meanwhile, which is more than usual, since everything takes fifty times as long.

Needs valgrind. Prints JSON: for each setting the instructions of a task, in the thread that runs tasks and in all others, and how
much more than without an agent that is, in per cent.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import tempfile
from pathlib import Path

from harness import Broker, Process, celery, eventually, task_ids
from servers import SERVERS, Server

SETTINGS = ("bare", "receivers", "taskplane")
TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)


def main() -> None:
    """Counts and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True, help="the taskplane binary")
    parser.add_argument("--few", type=int, default=20, help="tasks of the shorter run")
    parser.add_argument("--many", type=int, default=520, help="tasks of the longer run")
    options = parser.parse_args()
    found = {setting: of_a_task(setting, options) for setting in SETTINGS}
    bare = sum(found["bare"].values())
    for counted in found.values():
        counted["more_percent"] = round(100 * (sum(counted.values()) / bare - 1), 2)
    print(json.dumps(found, indent=2))


def of_a_task(setting: str, options: argparse.Namespace) -> dict[str, float]:
    """The instructions that a task takes."""
    few, many = (counted(setting, options.binary, count) for count in (options.few, options.many))
    more = options.many - options.few
    return {thread: round((many[thread] - few[thread]) / more) for thread in ("tasks", "others")}


def counted(setting: str, binary: Path, count: int) -> dict[str, int]:
    """All instructions of a worker that runs so many tasks."""
    with tempfile.TemporaryDirectory(prefix="taskplane-bench-instructions-") as name:
        folder = Path(name)
        broker = Broker(folder)
        processes = [broker.process]
        try:
            server = SERVERS[setting](binary, broker, folder, None) if setting != "bare" else None
            processes += [server.process] if server and server.process else []
            valgrind = ["valgrind", "--tool=callgrind", "--separate-threads=yes"]
            command = celery("worker", "-l", "warning", "-n", "counted@bench", "--pool", "solo")
            environment = {**broker.urls, "PYTHONHASHSEED": "0", **(server.environment if server else {})}
            worker = Process(
                [*valgrind, f"--callgrind-out-file={folder}/counted", *command],
                folder / "worker.log",
                None,
                **environment,
            )
            processes.append(worker)
            run(broker, server, count)
            worker.child.send_signal(signal.SIGTERM)
            worker.child.wait(300)
        finally:
            for process in reversed(processes):
                process.stop()
        threads = [int(TOTALS.findall(file.read_text())[0]) for file in sorted(folder.glob("counted-*"))]
    return {"tasks": threads[0], "others": sum(threads[1:])}


def run(broker: Broker, server: Server | None, count: int) -> None:
    """Has the worker run so many tasks, and waits until the server has them."""
    template = broker.template()
    for one in task_ids(count):
        broker.queue.lpush("celery", template.replace(b"TASK-ID", one.encode()))
    eventually("all results", lambda: broker.results.dbsize() >= count, every=0.2, within=600)
    if server and server.process:
        eventually("all tasks are shown", lambda: server.succeeded() >= count, within=120)


if __name__ == "__main__":
    main()
