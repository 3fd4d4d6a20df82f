"""As Celery's documentation sets it up for Django."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clock.settings")

app = Celery("clock")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
