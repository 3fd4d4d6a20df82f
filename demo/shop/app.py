"""The Celery application. Settings are Celery's defaults, but for the queues."""

import os

from celery import Celery
from kombu.entity import Queue

BROKER_URL = os.environ.get("SHOP_BROKER_URL", "redis://127.0.0.1:6379/0")
QUEUES = ("default", "emails", "payments", "reports")

app = Celery(
    "shop",
    broker=BROKER_URL,
    backend=BROKER_URL,
    include=["shop.billing", "shop.emails", "shop.inventory", "shop.orders", "shop.reports"],
)

app.conf.update(
    broker_connection_retry_on_startup=True,
    task_default_queue="default",
    task_queues=[Queue(name) for name in QUEUES],  # type: ignore[no-untyped-call]
    task_routes={
        "billing.*": {"queue": "payments"},
        "emails.*": {"queue": "emails"},
        "reports.*": {"queue": "reports"},
    },
)
