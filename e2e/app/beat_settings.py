"""The shop, with periodic work in its own settings."""

from datetime import timedelta

from celery.schedules import crontab
from shop import app

app.conf.timezone = "Europe/Berlin"
app.conf.beat_schedule = {
    "sums": {
        "task": "shop.add",
        "schedule": timedelta(seconds=2),
        "args": (20, 22),
        "options": {"queue": "default"},
    },
    "nightly": {"task": "shop.total", "schedule": crontab(minute="0", hour="3"), "args": ([1, 2],)},
    "secret": {"task": "shop.add", "schedule": 3600.0, "args": (1,), "kwargs": {"api_key": "x"}},
}
