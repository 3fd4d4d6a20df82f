"""Periodic work through django-celery-beat's own models: what the agent lists and changes, Django lists and changes.

Called by the agent on a thread of its own, never in a request or a task; every call opens its database connections and closes
them again. What is exchanged is JSON text, in the columns of django-celery-beat's tables.
"""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DatabaseError, connections, router, transaction
from django.db.models import Count, Max, Sum
from django.db.models.signals import post_delete, post_save
from django.utils import timezone as zones

from taskplane import _native

_PLAIN = (
    "name",
    "task",
    "args",
    "kwargs",
    "queue",
    "exchange",
    "headers",
    "priority",
    "expire_seconds",
    "one_off",
    "enabled",
    "total_run_count",
    "description",
)
_MOMENTS = ("expires", "start_time", "last_run_at", "date_changed")
_KINDS = ("interval", "crontab", "solar", "clocked")
#: Beat looks every 5 s whether there was a change, and misses those since it read the schedules at its start and the first look:
#: it is told of each again after so many seconds.
_TELL_AGAIN_AFTER = 6.0

_tell_again_at: float | None = None


class Refused(Exception):
    """Django does not do it; `code` is the wire's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def are_there() -> bool:
    """True when the application has django-celery-beat."""
    return bool(apps.is_installed("django_celery_beat"))


def listen() -> None:
    """Has edits in this process, as in the admin, told at once."""
    model = _model("PeriodicTask")
    for signal in (post_save, post_delete):
        signal.connect(_edited, sender=model, weak=False, dispatch_uid="taskplane.schedules")


def _edited(**_: Any) -> None:
    _native.schedules_changed()


def look(known: str | None, limit: int) -> str:
    """All schedules, unless nothing has changed since `known` was the marker."""
    with _Asking():
        _tell_beat_again()
        tasks = _model("PeriodicTask").objects
        found = tasks.aggregate(
            Count("pk"), Max("pk"), Max("date_changed"), Max("last_run_at"), Sum("total_run_count")
        )
        marker = repr((_model("PeriodicTasks").last_change(), sorted(found.items())))
        rows = None
        if marker != known:
            rows = [_row(task) for task in tasks.select_related(*_KINDS).order_by("pk")[:limit]]
        return json.dumps({"marker": marker, "tasks": rows})


def one(key: str) -> str:
    """One schedule; null when there is none."""
    with _Asking():
        task = _model("PeriodicTask").objects.select_related(*_KINDS).filter(pk=_number(key)).first()
        return json.dumps(task and _row(task))


def save(key: str | None, given: str) -> str:
    """Makes a schedule, or sets the given columns of one; returns it as it is now."""
    wanted = json.loads(given)
    model = _model("PeriodicTask")
    with _Asking(), transaction.atomic(using=router.db_for_write(model)):
        task = model() if key is None else _locked(key)
        for column, value in wanted["columns"].items():
            setattr(task, column, _moment(value) if column in _MOMENTS else value)
        if wanted["times"] is not None:
            _point(task, wanted["times"])
        task.full_clean()
        task.save()
        told = json.dumps(_row(task))
    _tell_beat_later()
    return told


def delete(key: str) -> None:
    """Removes a schedule."""
    with _Asking(), transaction.atomic(using=router.db_for_write(_model("PeriodicTask"))):
        _locked(key).delete()
    _tell_beat_later()


class _Asking:
    """Around each call: nothing of the database stays open, and what Django says is told in the words of the wire."""

    def __enter__(self) -> None:
        if not apps.ready:
            raise Refused("busy", "Django is still starting")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        connections.close_all()
        if isinstance(error, ValidationError):
            raise Refused("invalid_args", f"Django does not accept it: {_said(error)}") from None
        if isinstance(error, ObjectDoesNotExist):
            raise Refused("not_found", "there is no such schedule any more") from None
        if isinstance(error, DatabaseError):
            raise Refused("engine_error", f"the application's database: {error}".strip()) from None


def _said(error: ValidationError) -> str:
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    fields = error.message_dict.items()
    return "; ".join(
        " ".join(messages) if field == "__all__" else f"{field}: {' '.join(messages)}"
        for field, messages in fields
    )


def _tell_beat_later() -> None:
    global _tell_again_at
    _tell_again_at = time.monotonic() + _TELL_AGAIN_AFTER


def _tell_beat_again() -> None:
    global _tell_again_at
    if _tell_again_at is not None and time.monotonic() >= _tell_again_at:
        _tell_again_at = None
        _model("PeriodicTasks").update_changed()


def _model(name: str) -> Any:
    return apps.get_model("django_celery_beat", name)


def _locked(key: str) -> Any:
    return _model("PeriodicTask").objects.select_for_update().get(pk=_number(key))


def _number(key: str) -> int:
    try:
        return int(key)
    except ValueError:
        raise Refused("not_found", f"there is no schedule with the id {key}") from None


def _row(task: Any) -> dict[str, Any]:
    row = {column: getattr(task, column) for column in _PLAIN}
    row.update({column: _told(getattr(task, column)) for column in _MOMENTS})
    return {"id": str(task.pk), "times": _times(task), **row}


def _times(task: Any) -> dict[str, Any] | None:
    if (clocked := task.clocked) is not None:
        return {"clocked": _told(clocked.clocked_time)}
    if (interval := task.interval) is not None:
        return {"interval": [str(interval.every), interval.period]}
    if (crontab := task.crontab) is not None:
        fields = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        return {"crontab": [[str(getattr(crontab, field)) for field in fields], str(crontab.timezone)]}
    if (solar := task.solar) is not None:
        return {"solar": [solar.event, str(solar.latitude), str(solar.longitude)]}
    return None


def _point(task: Any, times: dict[str, Any]) -> None:
    """Points to the row with these times: one that is there, as the admin would choose it, or a new one."""
    [(kind, parts)] = times.items()
    for other in _KINDS:
        setattr(task, other, None)
    if kind == "interval":
        spec: dict[str, Any] = {"every": parts[0], "period": parts[1]}
    elif kind == "crontab":
        (minute, hour, day, month, weekday), zone = parts
        spec = {"minute": minute, "hour": hour, "day_of_month": day, "month_of_year": month}
        spec |= {"day_of_week": weekday, "timezone": zone}
    elif kind == "solar":
        spec = {"event": parts[0], "latitude": Decimal(parts[1]), "longitude": Decimal(parts[2])}
    else:
        spec = {"clocked_time": _moment(parts)}
    model = _model(f"{kind.capitalize()}Schedule")
    row = model.objects.filter(**spec).order_by("pk").first()
    if row is None:
        row = model(**spec)
        row.full_clean()
        row.save()
    setattr(task, kind, row)


def _told(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    if zones.is_naive(moment):
        moment = zones.make_aware(moment, zones.get_default_timezone())
    return moment.astimezone(timezone.utc).isoformat()


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    # Before 3.11, Python reads no `Z`.
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if settings.USE_TZ else zones.make_naive(moment, zones.get_default_timezone())
