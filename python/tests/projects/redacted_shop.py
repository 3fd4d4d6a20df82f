"""Tasks with rules of their own, above and below Celery's decorators."""

import os

from celery import Celery, shared_task

import taskplane

taskplane.install()
app = Celery("redacted_shop", broker=os.environ["BROKER_URL"])


@app.task(name="shop.below")
@taskplane.redact(keys=["colour"])
def below(colour, size):
    pass


@taskplane.redact(keys=["colour"])
@app.task(name="shop.above")
def above(colour, size):
    pass


@taskplane.redact(keys=["colour"])
@shared_task(name="shop.shared")
def shared(colour, size):
    pass


@app.task
@taskplane.redact(capture=False)
def hidden(colour, size):
    pass


@app.task(name="shop.free")
def free(colour, size):
    pass


@app.task(name="shop.resize")
def resize():
    taskplane.progress(3, 10, "the third")


if __name__ == "__main__":
    for task in (below, above, shared, hidden, free):
        print(task.apply_async([], {"colour": "turquoise", "size": "large"}).id)
