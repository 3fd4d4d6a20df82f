"""Celery's signals, handed to the Rust side as they are.

What Rust can read itself it receives itself: a function in Python between would cost as much as some of them do. No
receiver raises, whatever Celery's next version passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import celery
from celery import signals

from taskplane import _native

# A receiver with one of these names is connected once.
_UID: Final = "taskplane.{}"
# Transports that deliver a message again when its worker keeps it for too long, and after how many seconds by default.
_VISIBILITY_TIMEOUT: Final = {"redis": 3600.0, "rediss": 3600.0, "sentinel": 3600.0, "sqs": 1800.0}


def connect() -> None:
    """Connect every receiver. Once more changes nothing."""
    receivers: dict[str, Callable[..., None]] = {
        "before_task_publish": _native.task_publishing,
        "after_task_publish": _native.task_sent,
        "task_received": _native.task_received,
        "task_prerun": _native.task_started,
        "task_postrun": _native.task_ended,
        "task_success": _native.task_succeeded,
        "task_failure": _native.task_failed,
        "task_retry": _native.task_retried,
        "task_revoked": _native.task_revoked,
        "task_rejected": _native.task_rejected,
        "task_unknown": _native.task_unknown,
        "worker_ready": _worker_ready,
        "heartbeat_sent": _heartbeat,
        "worker_shutdown": _worker_shutdown,
    }
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver, weak=False, dispatch_uid=_UID.format(name))


def _worker_ready(sender: Any = None, **_: Any) -> None:
    try:
        _native.worker_online(
            sender.hostname,
            type(sender.pool).__module__.rpartition(".")[2],
            sender.pool.limit,
            [queue.name for queue in sender.task_consumer.queues],
            _visibility_timeout(sender),
            f"celery {celery.__version__}",
        )
    except Exception:
        return


def _heartbeat(sender: Any = None, **_: Any) -> None:
    try:
        from celery.worker import state

        _native.worker_heartbeat(
            sender.eventer.hostname, len(state.active_requests), state.all_total_count[0]
        )
    except Exception:
        return


def _worker_shutdown(sender: Any = None, **_: Any) -> None:
    try:
        _native.worker_offline(sender.hostname)
    except Exception:
        return


def _visibility_timeout(consumer: Any) -> float | None:
    usual = _VISIBILITY_TIMEOUT.get(consumer.connection.transport_cls)
    given = (consumer.app.conf.broker_transport_options or {}).get("visibility_timeout", usual)
    return None if usual is None or given is None else float(given)
