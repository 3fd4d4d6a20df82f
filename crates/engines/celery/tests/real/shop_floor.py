"""Tasks that do exactly what a test asks of them."""

import os
import time

from celery import Celery
from kombu import Queue

URL = os.environ["TEST_BROKER_URL"]
app = Celery("floor", broker=URL, backend=URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    task_default_queue="celery",
    task_queues=[Queue(name) for name in os.environ.get("TEST_QUEUES", "celery").split(",")],
    result_extended=os.environ.get("TEST_RESULT_EXTENDED") == "1",
    worker_prefetch_multiplier=1,
)


@app.task(name="floor.echo")
def echo(*args, **kwargs):
    return {"args": args, "kwargs": kwargs}


@app.task(name="floor.fail")
def fail(*args, **kwargs):
    raise ValueError("it's broken")


@app.task(name="floor.flaky", bind=True, max_retries=5)
def flaky(self, failures):
    if self.request.retries < failures:
        raise self.retry(exc=KeyError("not yet"), countdown=0.2)
    return self.request.retries


@app.task(name="floor.slow")
def slow(seconds, *args):
    time.sleep(seconds)
    return args
