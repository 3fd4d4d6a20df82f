"""A Celery application that knows nothing of Taskplane."""

import os

from celery import Celery

app = Celery("plain_shop", broker=os.environ["BROKER_URL"], backend=os.environ["BROKER_URL"])
app.conf.task_default_queue = "orders"
app.conf.broker_connection_retry_on_startup = True
app.conf.beat_schedule = {"tick": {"task": "shop.tick", "schedule": 1.0}}


@app.task(name="shop.add")
def add(left, right):
    return left + right


@app.task(name="shop.charge")
def charge(amount, password=None):
    return f"charged {amount}"


@app.task(name="shop.tick")
def tick():
    pass


def web(environ, start_response):
    sent = charge.apply_async([42], {"password": "correct horse battery"}, queue="payments")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [sent.id.encode()]


if __name__ == "__main__":
    print(charge.apply_async([42], {"password": "correct horse battery"}, queue="payments").id)
