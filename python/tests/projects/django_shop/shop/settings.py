import json
import os

SECRET_KEY = "of no use"
DEBUG = True
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["shop", "taskplane.django"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}

CELERY_BROKER_URL = os.environ["BROKER_URL"]
CELERY_TASK_IGNORE_RESULT = True

if "SHOP_TASKPLANE" in os.environ:
    TASKPLANE = json.loads(os.environ["SHOP_TASKPLANE"])
