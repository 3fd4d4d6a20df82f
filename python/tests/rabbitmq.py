"""A RabbitMQ of the tests' own: as Debian installs it, with a node, ports and folders that nobody else has."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from running import Process, answers_on, eventually, free_port

# A busy machine takes half a minute to start Erlang and RabbitMQ.
UP_WITHIN = 120


class RabbitMq:
    """A node on 127.0.0.1, where everybody is `guest`."""

    def __init__(self) -> None:
        # Below pytest's folders the paths get longer than Erlang likes.
        self._folder = Path(tempfile.mkdtemp(prefix="taskplane-rabbitmq-"))
        self._programs = _programs()
        self.port = free_port()
        self._names_port = free_port()
        (self._folder / "plugins").write_text("[].")
        (self._folder / "rabbitmq.conf").write_text("loopback_users = none\n")
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RABBITMQ_")},
            "HOME": str(self._folder),
            "RABBITMQ_NODENAME": f"taskplane{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        }
        self.process = Process("rabbitmq", [self._programs / "rabbitmq-server"], self._folder, self.env)
        try:
            eventually("RabbitMQ", self._is_up, UP_WITHIN)
        except BaseException:
            self.end()
            raise

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def _is_up(self) -> bool:
        assert self.process.running(), self.process.log
        return "Server startup complete" in self.process.log and answers_on(self.port)

    def end(self) -> None:
        self.process.kill()
        # Erlang's name server outlives its node, and refuses to end until it has noticed that the node is gone.
        epmd = ["epmd", "-port", str(self._names_port), "-kill"]
        for _ in range(40):
            if subprocess.run(epmd, env=self.env, capture_output=True, timeout=60).returncode == 0:
                break
            time.sleep(0.05)
        shutil.rmtree(self._folder, ignore_errors=True)


def _programs() -> Path:
    """Debian's programs on the path insist on the system's own node; those below them do not."""
    installed = sorted(Path("/usr/lib/rabbitmq/lib").glob("*/sbin/rabbitmq-server"))
    found = shutil.which("rabbitmq-server")
    if not installed and found:
        installed = [Path(found)]
    assert installed, "there is no RabbitMQ here: run `scripts/setup test` first"
    return installed[-1].parent
