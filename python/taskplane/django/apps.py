"""The Django application."""

from __future__ import annotations

import logging

from django.apps import AppConfig

from taskplane import _application
from taskplane._agent import AGENT

_log = logging.getLogger("taskplane")


class TaskplaneConfig(AppConfig):  # type: ignore[misc]  # Django ships no types
    """Connects Celery's signals when Django is ready."""

    name = "taskplane.django"
    label = "taskplane"
    verbose_name = "Taskplane"

    def ready(self) -> None:
        """Called by Django; in each of its processes, of which only some start an agent."""
        AGENT.install({}, ("django", _application.version("django")), before_start=_bring_schedules)


def _bring_schedules() -> None:
    # Not before there is an agent: most processes never load the native module.
    from taskplane import _native
    from taskplane.django import schedules

    if not schedules.are_there():
        return
    if _application.lets_threads_run():
        _native.use_schedules(schedules)
        schedules.listen()
    else:
        _log.warning(
            "taskplane leaves schedules to this application's other processes: uWSGI needs --enable-threads for them"
        )
