import json

from django.http import HttpResponse
from django.urls import path
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from clock.tasks import chime


def edit(request):
    """What the admin does when somebody saves its form."""
    every, _ = IntervalSchedule.objects.get_or_create(every=90, period="minutes")
    fields = {"interval": every, "task": "clock.chime", "args": "[3]"}
    task, _ = PeriodicTask.objects.update_or_create(name=request.GET["name"], defaults=fields)
    return HttpResponse(task.pk)


def strike(request):
    return HttpResponse(chime.delay(1).id)


def stored(request):
    """The rows, and what beat would make of them."""
    rows = [
        {
            "name": task.name,
            "task": task.task,
            "args": json.loads(task.args),
            "kwargs": json.loads(task.kwargs),
            "queue": task.queue,
            "enabled": task.enabled,
            "one_off": task.one_off,
            "schedule": str(task.scheduler),
            "expires": task.expires and task.expires.isoformat(),
        }
        for task in PeriodicTask.objects.order_by("name")
    ]
    return HttpResponse(json.dumps(rows))


urlpatterns = [path("edit", edit), path("stored", stored), path("strike", strike)]
