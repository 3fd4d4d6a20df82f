"""A Flask application with Celery, set up as Flask's own documentation says."""

import os

from celery import Celery, Task, shared_task
from flask import Flask

import taskplane.flask


def make_celery(app):
    class FlaskTask(Task):
        def __call__(self, *args, **kwargs):
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app


@shared_task(name="shop.charge")
def charge(amount, password=None):
    return f"charged {amount}"


app = Flask(__name__)
app.config["CELERY"] = {"broker_url": os.environ["BROKER_URL"], "task_ignore_result": True}
# The environment of the test names another one.
app.config["TASKPLANE_REDACT_KEYS"] = ["amount"]
taskplane.flask.init_app(app)
celery_app = make_celery(app)


@app.get("/buy")
def buy():
    sent = charge.apply_async([42], {"password": "correct horse battery"}, queue="payments")
    return sent.id


if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]), debug=True)
