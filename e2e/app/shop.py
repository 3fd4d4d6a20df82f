"""A Celery application with one task for each thing that can happen to a task."""

import os
import time

from celery import Celery

URL = os.environ["BROKER_URL"]
# RabbitMQ keeps no results: they go back to the caller.
app = Celery("shop", broker=URL, backend="rpc://" if URL.startswith("amqp") else URL)
app.conf.task_default_queue = "default"
app.conf.broker_connection_retry_on_startup = True
if "VISIBILITY_TIMEOUT" in os.environ:
    app.conf.broker_transport_options = {"visibility_timeout": int(os.environ["VISIBILITY_TIMEOUT"])}


@app.task(name="shop.add")
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task(name="shop.charge")
def charge(order: int, card: str = "") -> None:
    raise ValueError(f"card declined for order {order}")


@app.task(name="shop.flaky", bind=True, max_retries=3)
def flaky(self, failures: int) -> str:
    if self.request.retries < failures:
        raise self.retry(exc=ConnectionError("mail server busy"), countdown=0.2)
    return "sent"


@app.task(name="shop.wait")
def wait(seconds: float) -> None:
    time.sleep(seconds)


@app.task(name="shop.wait_late", acks_late=True)
def wait_late(seconds: float) -> None:
    time.sleep(seconds)


@app.task(name="shop.wait_for")
def wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.1)


@app.task(name="shop.wait_for_unkept", ignore_result=True)
def wait_for_unkept(path: str) -> None:
    wait_for(path)


@app.task(name="shop.total")
def total(numbers: list[int]) -> int:
    return sum(numbers)
