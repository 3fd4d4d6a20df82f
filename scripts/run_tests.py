"""Runs every test that `scripts/test` has built, several programs at once: most of what they do is wait.

`.venv/bin/python scripts/run_tests.py [part of a name…]`; TASKPLANE_TESTS_AT_ONCE says how many at once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "tests"
CARGO = ["--quiet", "--locked", "--workspace", "--all-features"]
EARLIER = {"TASKPLANE_TEST_VENV": str(ROOT / ".venv-earlier")}
# One that takes longer than so many seconds hangs.
AT_MOST = 1_800
# What takes longest begins first: no end is waited for alone.
LONGEST = [
    "celery/real",
    "fuzzing",
    "python",
    "e2e/schedules_missed",
    "store-postgres/conformance",
    "e2e/why",
    "celery/real with an earlier Celery",
]
# The same tree has the same verdict: property tests and crash tests roll the same dice. `cargo test` rolls new ones.
SEED = {name: os.environ.get(name, "20260101") for name in ("PROPTEST_RNG_SEED", "TASKPLANE_TEST_SEED")}
# Tests that do nothing but wait for workers and brokers of their own.
MORE_THREADS = {"celery/real": 4}
# Always on databases in PostgreSQL that they make themselves: told to use it, they would do the same again.
ALWAYS_ON_POSTGRES = {"e2e/database_url", "e2e/replicas", "e2e/taskplane_e2e"}


@dataclass(frozen=True)
class Job:
    """A command; its exit status is its verdict."""

    name: str
    command: list[str]
    folder: Path = ROOT
    environment: dict[str, str] = field(default_factory=dict)


def programs() -> Iterator[Job]:
    """What is built of tests in Rust: cargo knows where it is, and finds nothing left to build."""
    command = ["cargo", "build", *CARGO, "--bins", "--tests", "--examples", "--message-format=json"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    for artifact in map(json.loads, built.splitlines()):
        if artifact["reason"] == "compiler-artifact" and artifact["profile"]["test"]:
            folder = Path(artifact["manifest_path"]).parent
            name = f"{folder.name}/{artifact['target']['name']}"
            threads = {"RUST_TEST_THREADS": str(MORE_THREADS[name])} if name in MORE_THREADS else {}
            yield Job(name, [artifact["executable"]], folder, threads)


def jobs() -> Iterator[Job]:
    """Everything there is to run."""
    rust = {program.name: program for program in programs()}
    yield from rust.values()
    yield Job("examples in documentation", ["cargo", "test", *CARGO, "--doc"])
    for name, program in rust.items():
        if name.startswith("e2e/") and name not in ALWAYS_ON_POSTGRES:
            yield also(program, "on PostgreSQL", {"TASKPLANE_TEST_DATABASE": "postgres"})
    engine = also(rust["celery/real"], "with an earlier Celery", EARLIER)
    engine.command.extend(
        ["conformance::on_redis", "conformance::on_rabbitmq", "never_rejected", "database_results::on_sqlite"]
    )
    yield engine
    yield also(rust["e2e/celery_life_cycle"], "with an earlier Celery", EARLIER)
    pytest = ["bin/python", "-m", "pytest", "--numprocesses", "2", "--dist", "loadgroup"]
    for name, venv in (("python", ".venv"), ("python with an earlier Celery", ".venv-earlier")):
        yield Job(name, [str(ROOT / venv / pytest[0]), *pytest[1:]], ROOT / "python")
    stubtest = [
        str(ROOT / ".venv/bin/python"),
        "-m",
        "mypy.stubtest",
        "--ignore-missing-stub",
        "taskplane._native",
    ]
    yield Job("python stubs", stubtest, ROOT / "python")
    yield Job("dashboard", ["npm", "run", "--silent", "test"], ROOT / "dashboard")
    # It computes all the time; those beside it mostly wait.
    yield Job("fuzzing", ["nice", "scripts/fuzz", "--short"])


def also(program: Job, how: str, environment: dict[str, str]) -> Job:
    return Job(f"{program.name} {how}", [*program.command], program.folder, environment)


class Running:
    """A job that was started, in a process group of its own, printing into a file."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.log = LOGS / f"{job.name.replace('/', '-').replace(' ', '-')}.log"
        self.began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                job.command,
                cwd=job.folder,
                env=os.environ | SEED | job.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self) -> bool:
        """Whether it has ended, or has been ended because it hangs."""
        if self.process.poll() is None and time.monotonic() - self.began > AT_MOST:
            self.end()
        return self.process.poll() is not None

    def end(self) -> None:
        """End it, with all that it started and that is in its group."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def tell(self) -> bool:
        """Print all that it printed; whether it succeeded."""
        status = self.process.returncode
        verdict = "ok" if status == 0 else f"FAILED ({status})"
        print(f"== {self.job.name}\n{self.log.read_text(errors='replace').strip()}")
        print(f"== {self.job.name}: {verdict}, {time.monotonic() - self.began:.0f} s\n", flush=True)
        return status == 0


def run(jobs: list[Job], at_once: int) -> list[str]:
    """Run them in their order, so many at once; the names of those that failed."""
    LOGS.mkdir(parents=True, exist_ok=True)
    waiting, running, failed = [*jobs], list[Running](), list[str]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(Running(waiting.pop(0)))
            time.sleep(0.05)
            for one in [one for one in running if one.ended()]:
                running.remove(one)
                if not one.tell():
                    failed.append(one.job.name)
    finally:
        for one in running:
            one.end()
    return failed


def main() -> None:
    """Run what is asked for."""
    chosen = [job for job in jobs() if not sys.argv[1:] or any(part in job.name for part in sys.argv[1:])]
    chosen.sort(key=lambda job: LONGEST.index(job.name) if job.name in LONGEST else len(LONGEST))
    at_once = int(os.environ.get("TASKPLANE_TESTS_AT_ONCE", os.cpu_count() or 1))
    began = time.monotonic()
    failed = run(chosen, at_once)
    print(f"{len(chosen)} programs, {at_once} at once, {time.monotonic() - began:.0f} s")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; what they printed is also in {LOGS}")


if __name__ == "__main__":
    main()
