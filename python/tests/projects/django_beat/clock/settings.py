import os

SECRET_KEY = "of no use"
DEBUG = True
ALLOWED_HOSTS = ["*"]
USE_TZ = os.environ.get("USE_TZ", "1") == "1"
TIME_ZONE = "Europe/Berlin"
ROOT_URLCONF = "clock.urls"
INSTALLED_APPS = ["clock", "django_celery_beat", "taskplane.django"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SITE_DATABASE"]}}

CELERY_BROKER_URL = os.environ["BROKER_URL"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "chimes"
