"""A Celery application with one task for each thing that can happen."""

import json
import os
import signal
import time

from celery import Celery
from celery.exceptions import Ignore, Reject

import taskplane

taskplane.install()

BROKER = os.environ["BROKER_URL"]
app = Celery("factory", broker=BROKER, backend=BROKER if BROKER.startswith("redis") else None)
app.conf.update(
    broker_transport_options=json.loads(os.environ.get("BROKER_OPTIONS", "{}")),
    task_default_queue="floor",
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    task_always_eager=os.environ.get("EAGER") == "1",
    worker_prefetch_multiplier=1,
    accept_content=os.environ.get("ACCEPT", "json").split(","),
)


class Part:
    """Nothing of it may be called."""

    asked = []

    def __getattribute__(self, name):
        Part.asked.append(name)
        return object.__getattribute__(self, name)

    def __repr__(self):
        Part.asked.append("repr")
        return "part"

    __str__ = __repr__


class Thing(dict):
    """What is plain in it can be read without it."""

    def __init__(self):
        super().__init__(kind=Part())

    def __iter__(self):
        Part.asked.append("iter")
        return super().__iter__()

    keys = values = items = __len__ = __getitem__ = __iter__


class Number(int):
    def __index__(self):
        Part.asked.append("index")
        return 0

    __int__ = __str__ = __repr__ = __format__ = __index__


class Jam(Exception):
    def __init__(self, place, level):
        super().__init__(place, level)
        self.place = place

    def __str__(self):
        return f"jammed at {self.place}"


@app.task(name="factory.weld")
def weld(number, steel=None, password=None):
    return {"welded": number, "by": "welder@example.com"}


@app.task(name="factory.total")
def total(numbers):
    return sum(numbers)


@app.task(name="factory.double")
def double(number):
    return 2 * number


@app.task(name="factory.jam")
def jam(number):
    raise Jam("the press", number)


@app.task(name="factory.jam_unless")
def jam_unless(number, path):
    if not os.path.exists(path):
        raise ValueError(f"no {path}")
    return number


@app.task(name="factory.again", bind=True, max_retries=2)
def again(self, fail_times):
    if self.request.retries < fail_times:
        raise self.retry(exc=KeyError("bolt"), countdown=0)
    return self.request.retries


@app.task(name="factory.steps")
def steps(count):
    for step in range(1, count + 1):
        taskplane.progress(step, count, f"step {step}")
    return count


@app.task(name="factory.parts", ignore_result=True)
def parts(*given):
    return None


@app.task(name="factory.sleep")
def sleep(seconds, mark=None):
    if mark:
        with open(mark, "w") as file:
            file.write(str(os.getpid()))
    time.sleep(seconds)


@app.task(name="factory.late", bind=True)
def late(self, fail_times):
    if self.request.retries < fail_times:
        raise self.retry(countdown=0)
    time.sleep(600)


@app.task(name="factory.send_and_die")
def send_and_die(count):
    for number in range(count):
        double.delay(number)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="factory.ignore")
def ignore():
    raise Ignore


@app.task(name="factory.reject")
def reject():
    raise Reject("not this one", requeue=False)


@app.task(name="factory.calls")
def calls(number):
    return double.delay(number).id
