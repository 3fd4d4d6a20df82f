"""A Django site with django-celery-beat, and the Celery application whose beat enqueues what its tables say.

Run as a program it is asked with one line of JSON each, and answers with one.
"""

import json
import os
import sys
import urllib.parse
from datetime import datetime, timezone

import django
from celery import Celery
from django.conf import settings


def database(url: str) -> dict[str, str]:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.path}
    engine = {"postgres": "postgresql", "mysql": "mysql"}[parts.scheme]
    if engine == "mysql":
        import pymysql

        # Django asks for a version of the client that it knows.
        pymysql.version_info = (2, 2, 1, "final", 0)
        pymysql.install_as_MySQLdb()
    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": parts.path.lstrip("/"),
        "USER": parts.username or "",
        "PASSWORD": urllib.parse.unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
    }


settings.configure(
    DATABASES={"default": database(os.environ["SITE_DATABASE"])},
    INSTALLED_APPS=["django_celery_beat"],
    USE_TZ=True,
    TIME_ZONE="UTC",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()

app = Celery("beat_site", broker=os.environ["BROKER_URL"])
app.conf.broker_connection_retry_on_startup = True
# Where the worker of the tests listens; beat sends by name only.
app.conf.task_default_queue = "default"
app.conf.beat_sync_every = 1
# By default RedBeat holds its lock for five times the longest pause, and dies when it was not scheduled for so long.
app.conf.redbeat_lock_timeout = 300
if name := os.environ.get("REDBEAT_STATIC"):
    app.conf.beat_schedule = {name: {"task": "shop.add", "schedule": 3600.0, "args": [1]}}


def stored(task) -> dict[str, object]:
    """What Django makes of a row: whether it accepts it, and when Celery would run it next."""
    from django.core.exceptions import ValidationError

    schedule = task.schedule
    # Beat uses its own clock; the question is what is next from now on.
    now = datetime.now(timezone.utc)
    try:
        task.full_clean()
        task.scheduler.full_clean()
        refused = None
    except ValidationError as error:
        refused = str(error)
    return {
        "id": task.pk,
        "name": task.name,
        "schedule": str(task.scheduler),
        "args": json.loads(task.args),
        "kwargs": json.loads(task.kwargs),
        "queue": task.queue,
        "enabled": task.enabled,
        "one_off": task.one_off,
        "last_run_at": task.last_run_at and task.last_run_at.isoformat(),
        "total_run_count": task.total_run_count,
        "description": task.description,
        "priority": task.priority,
        "expire_seconds": task.expire_seconds,
        "expires": task.expires and task.expires.isoformat(),
        "refused": refused,
        "next": (now + schedule.remaining_estimate(now)).isoformat(),
    }


# Rows that are read to be written back.
read_rows: dict[object, object] = {}


def answer(question: dict[str, object]) -> object:
    from django.core.management import call_command
    from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

    match question["do"]:
        case "migrate":
            call_command("migrate", verbosity=0)
            return True
        case "list":
            return [stored(task) for task in PeriodicTask.objects.order_by("pk")]
        case "rows":
            return [CrontabSchedule.objects.count(), IntervalSchedule.objects.count()]
        case "make":
            every, _ = IntervalSchedule.objects.get_or_create(every=question["every"], period="seconds")
            given = {"interval": every, "task": "shop.add", "args": "[1]", "name": question["name"]}
            return PeriodicTask.objects.create(**given).pk
        case "rename":
            task = PeriodicTask.objects.get(name=question["name"])
            task.name = question["to"]
            task.save()
            return True
        # The two halves of what beat does after a run.
        case "read":
            read_rows[question["name"]] = PeriodicTask.objects.get(name=question["name"])
            return True
        case "write back":
            task = read_rows.pop(question["name"])
            task.last_run_at = datetime.now(timezone.utc)
            task.total_run_count += 1
            task.no_changes = True
            task.save()
            return True
    raise ValueError(question)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
