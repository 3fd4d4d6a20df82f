"""The agent in Rust. Hooks read what they are given, redact it and append it to a file; one thread delivers it.

No hook raises, waits for the network, the brain or a disk to sync, keeps a reference to what it was given, or runs code
of the application. Before `start` they do nothing.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

__all__: list[str]
__version__: str

def start(
    *,
    brain_url: str,
    token: str | None,
    token_file: str | None,
    name: str,
    data_dir: str,
    role: str,
    framework: str,
    framework_version: str | None,
    brokers: Sequence[tuple[str, str | None]],
    redact_keys: Sequence[str],
    redact_patterns: Sequence[str],
    redact_strings: str,
    ca_cert: str | None,
    client_cert: str | None,
    client_key: str | None,
    metadata: Mapping[str, str],
    log_level: str,
) -> None:
    """Begins to capture and, unless the parent does it, to collect. Returns at once.

    `role` is `worker`, `web`, `beat` or `script`; `brokers` are broker URLs, each with the URL of its result backend.
    A forked child goes on with the same settings by itself. A second call in the same process changes nothing.

    Raises ValueError when a setting is wrong, OSError when the folder cannot be used.
    """

def leave_collecting_to_parent() -> None:
    """For children that are killed and replaced at will: what they capture, their parent collects."""

def forget_parent() -> None:
    """For `os.register_at_fork(after_in_child=...)`: lets go of the parent's file and thread."""

def stop(timeout: float) -> bool:
    """Hands over what was captured and ends collecting, within `timeout` seconds. The GIL is released meanwhile.

    True when nothing is left to do: the brain has it, or another process of the same agent collects it. What is
    left is in files, and delivered by the next process of the same agent. Hooks go on capturing.
    """

def is_collecting() -> bool:
    """True when this process is the one that delivers what all processes of the same agent capture."""

def counts() -> dict[str, int]:
    """What this process's hooks did: `captured` and `dropped` events, `failed_hooks`."""

def set_task_rules(task_name: str, *, extra_keys: Sequence[str], strings: str | None, capture: bool) -> None:
    """Redaction of one task type besides the rules of `start`: further keys, how strings are shown, or no values at all.

    Raises ValueError when `strings` is not `default`, `patterns-only` or `mask-all`.
    """

def use_schedules(module: ModuleType) -> None:
    """The application has schedules, which `module` lists and changes: `taskplane.django.schedules`. Before `start`."""

def schedules_changed() -> None:
    """A schedule was changed in this process: the agent looks at once. Does nothing where none looks."""

# Receivers of Celery's signals, which pass what they have by keyword. Whatever is missing or unknown, none raises.

def task_publishing(
    *,
    body: Any = None,
    exchange: Any = None,
    routing_key: Any = None,
    declare: Any = None,
    headers: Any = None,
    properties: Any = None,
    **_more: Any,
) -> None:
    """Before a message is published: remembers what only is known here."""

def task_sent(
    *,
    sender: Any = None,
    body: Any = None,
    exchange: Any = None,
    routing_key: Any = None,
    headers: Any = None,
    **_more: Any,
) -> None:
    """After a message was published."""

def task_received(*, request: Any = None, sender: Any = None, signal: Any = None, **_more: Any) -> None:
    """A worker took a message. The message itself is kept on this host, for a retry."""

def task_started(
    *,
    task_id: Any = None,
    task: Any = None,
    args: Any = None,
    kwargs: Any = None,
    sender: Any = None,
    signal: Any = None,
    **_more: Any,
) -> None:
    """Before a task runs."""

def task_ended(
    *,
    state: Any = None,
    sender: Any = None,
    task_id: Any = None,
    retval: Any = None,
    task: Any = None,
    args: Any = None,
    kwargs: Any = None,
    signal: Any = None,
    **_more: Any,
) -> None:
    """After a task ran. Only one that rejected its own message is told here: all other ends have signals of their own."""

def task_succeeded(
    *, sender: Any = None, result: Any = None, runtime: Any = None, signal: Any = None, **_more: Any
) -> None:
    """`runtime` in seconds, or None where Celery does not say it."""

def task_failed(
    *,
    sender: Any = None,
    task_id: Any = None,
    exception: Any = None,
    args: Any = None,
    kwargs: Any = None,
    einfo: Any = None,
    **_more: Any,
) -> None:
    """A task raised, or the main process found that it cannot end."""

def task_retried(
    *, sender: Any = None, request: Any = None, reason: Any = None, einfo: Any = None, **_more: Any
) -> None:
    """This attempt failed, and the next one waits."""

def task_revoked(
    *,
    sender: Any = None,
    request: Any = None,
    terminated: Any = None,
    signum: Any = None,
    expired: Any = None,
    **_more: Any,
) -> None:
    """Cancelled before it ran, killed while it ran, or expired."""

def task_rejected(*, message: Any = None, **_more: Any) -> None:
    """A worker could not make a task of a message."""

def task_unknown(*, message: Any = None, name: Any = None, id: Any = None, **_more: Any) -> None:  # noqa: A002
    """No worker here knows the task type."""

# Called with what they need.

def task_progress(task: Any, done: Any, total: Any, note: Any) -> None:
    """The running `task` tells how far it is. At most 20 a second are passed on, and the last one of `total`."""

def worker_online(
    name: str,
    pool: str | None,
    concurrency: int | None,
    queues: Sequence[str],
    visibility_timeout: float | None,
    software: str | None,
) -> None: ...
def worker_heartbeat(name: str, active: int, processed: int) -> None:
    """Passed on every 10 seconds, or every 2 when a number has changed."""

def worker_offline(name: str) -> None: ...
