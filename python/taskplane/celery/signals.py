"""Celery's signals, handed to the Rust side as they are.

Nothing is looked at here that Rust can read itself. No receiver raises, whatever Celery's next version passes.
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
        "before_task_publish": _publishing,
        "after_task_publish": _sent,
        "task_received": _received,
        "task_prerun": _started,
        "task_postrun": _ended,
        "task_success": _succeeded,
        "task_failure": _failed,
        "task_retry": _retried,
        "task_revoked": _revoked,
        "task_rejected": _rejected,
        "task_unknown": _unknown,
        "worker_ready": _worker_ready,
        "heartbeat_sent": _heartbeat,
        "worker_shutdown": _worker_shutdown,
    }
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver, weak=False, dispatch_uid=_UID.format(name))


def _publishing(
    body: Any = None,
    exchange: Any = None,
    routing_key: Any = None,
    declare: Any = None,
    headers: Any = None,
    properties: Any = None,
    **_: Any,
) -> None:
    try:
        _native.task_publishing(body, exchange, routing_key, declare, headers, properties)
    except Exception:
        return


def _sent(
    sender: Any = None,
    body: Any = None,
    exchange: Any = None,
    routing_key: Any = None,
    headers: Any = None,
    **_: Any,
) -> None:
    try:
        _native.task_sent(sender, body, exchange, routing_key, headers)
    except Exception:
        return


def _received(request: Any = None, **_: Any) -> None:
    try:
        _native.task_received(request)
    except Exception:
        return


def _started(task_id: Any = None, task: Any = None, args: Any = None, kwargs: Any = None, **_: Any) -> None:
    try:
        _native.task_started(task_id, task, args, kwargs)
    except Exception:
        return


def _ended(task_id: Any = None, task: Any = None, retval: Any = None, state: Any = None, **_: Any) -> None:
    # All other ends have signals of their own.
    if state == "REJECTED":
        try:
            _native.task_turned_down(task, task_id, retval.requeue)
        except Exception:
            return


def _succeeded(sender: Any = None, result: Any = None, runtime: Any = None, **_: Any) -> None:
    try:
        _native.task_succeeded(sender, result, runtime)
    except Exception:
        return


def _failed(
    sender: Any = None,
    task_id: Any = None,
    exception: Any = None,
    args: Any = None,
    kwargs: Any = None,
    einfo: Any = None,
    **_: Any,
) -> None:
    try:
        _native.task_failed(sender, task_id, exception, args, kwargs, einfo)
    except Exception:
        return


def _retried(
    sender: Any = None, request: Any = None, reason: Any = None, einfo: Any = None, **_: Any
) -> None:
    try:
        _native.task_retried(sender, request, reason, einfo)
    except Exception:
        return


def _revoked(
    sender: Any = None,
    request: Any = None,
    terminated: Any = None,
    signum: Any = None,
    expired: Any = None,
    **_: Any,
) -> None:
    try:
        _native.task_revoked(sender, request, terminated, signum, expired)
    except Exception:
        return


def _rejected(message: Any = None, **_: Any) -> None:
    try:
        _native.task_rejected(message)
    except Exception:
        return


def _unknown(message: Any = None, name: Any = None, id: Any = None, **_: Any) -> None:  # noqa: A002
    try:
        _native.task_unknown(message, name, id)
    except Exception:
        return


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
