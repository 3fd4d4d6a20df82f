"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig

from taskplane import _application, _native
from taskplane._agent import AGENT
from taskplane.django import schedules


class TaskplaneConfig(AppConfig):  # type: ignore[misc]  # Django ships no types
    """Connects Celery's signals when Django is ready."""

    name = "taskplane.django"
    label = "taskplane"
    verbose_name = "Taskplane"

    def ready(self) -> None:
        """Called by Django; in each of its processes, of which only some start an agent."""
        if schedules.are_there():
            _native.use_schedules(schedules)
            schedules.listen()
        AGENT.install({}, ("django", _application.version("django")))
