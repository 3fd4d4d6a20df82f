"""A Celery application with periodic work."""

import os

from celery import Celery

app = Celery("ticking_shop", broker=os.environ["BROKER_URL"])
app.conf.beat_schedule = {"tick": {"task": "shop.embedded_tick", "schedule": 0.5}}


@app.task(name="shop.embedded_tick")
def tick():
    pass
