"""Tasks that do exactly what a test asks of them."""

import json
import os
import ssl
import time

from celery import Celery
from kombu import Queue

if "TEST_DJANGO_DATABASE" in os.environ:
    import django
    from django.conf import settings

    database = json.loads(os.environ["TEST_DJANGO_DATABASE"])
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=["django_celery_results"],
        USE_TZ=True,
        TIME_ZONE="UTC",
    )
    django.setup()

URL = os.environ["TEST_BROKER_URL"]
# RabbitMQ wants to know at once what kind of queue it is to make.
ARGUMENTS = json.loads(os.environ.get("TEST_QUEUE_ARGUMENTS", "{}"))
app = Celery("floor", broker=URL, backend=os.environ["TEST_RESULT_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    task_default_queue="celery",
    task_queues=[
        Queue(name, queue_arguments=ARGUMENTS) for name in os.environ.get("TEST_QUEUES", "celery").split(",")
    ],
    result_extended=os.environ.get("TEST_RESULT_EXTENDED") == "1",
    accept_content=os.environ.get("TEST_ACCEPT", "json").split(","),
    worker_prefetch_multiplier=1,
    task_protocol=int(os.environ.get("TEST_TASK_PROTOCOL", "2")),
    worker_enable_remote_control=os.environ.get("TEST_REMOTE_CONTROL") != "0",
    broker_transport_options=json.loads(os.environ.get("TEST_BROKER_OPTIONS", "{}")),
    result_backend_transport_options=json.loads(os.environ.get("TEST_RESULT_OPTIONS", "{}")),
)
if "TEST_CA" in os.environ:
    tls = {"ssl_ca_certs": os.environ["TEST_CA"], "ssl_cert_reqs": ssl.CERT_REQUIRED}
    app.conf.update(broker_use_ssl=tls, redis_backend_use_ssl=tls)


@app.task(name="floor.echo")
def echo(*args, **kwargs):
    return {"args": args, "kwargs": kwargs}


@app.task(name="floor.fail")
def fail(*args, **kwargs):
    raise ValueError("it's broken")


@app.task(name="floor.until")
def until(path, *args):
    """Fails until there is such a file."""
    if not os.path.exists(path):
        raise ValueError("it's not there")
    return ["there", *args]


@app.task(name="floor.mark", bind=True)
def mark(self, folder):
    """Leaves a file that is named after the task."""
    with open(os.path.join(folder, self.request.id), "a") as file:
        file.write("x")


@app.task(name="floor.flaky", bind=True, max_retries=5)
def flaky(self, failures):
    if self.request.retries < failures:
        raise self.retry(exc=KeyError("not yet"), countdown=0.2)
    return self.request.retries


@app.task(name="floor.slow")
def slow(seconds, *args):
    time.sleep(seconds)
    return args


@app.task(name="floor.wait")
def wait(path, *args):
    """Runs until there is such a file."""
    while not os.path.exists(path):
        time.sleep(0.05)
    return args


@app.task(name="floor.delivered", bind=True)
def delivered(self):
    """How the broker delivered the message."""
    redelivered = self.request.delivery_info["redelivered"]
    deliveries = (self.request.headers or {}).get("x-delivery-count")
    return {"redelivered": redelivered, "deliveries": deliveries or 0}
