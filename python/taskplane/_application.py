"""The application around us: its framework, and its Celery."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from taskplane.settings import SettingsError


def framework() -> tuple[str, str | None]:
    """Name and version of the framework that is in use here; Python itself where there is none."""
    if _django_settings() is not None:
        return "django", version("django")
    for name in ("fastapi", "flask"):
        if name in sys.modules:
            return name, version(name)
    return "python", platform.python_version()


def version(distribution: str) -> str | None:
    """The installed version of a distribution."""
    import importlib.metadata  # slow to import, and most processes never ask

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def settings_of_django() -> Mapping[str, object]:
    """`TASKPLANE` of Django's settings, where Django is in use. Raises `SettingsError`."""
    found = getattr(_django_settings(), "TASKPLANE", None)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise SettingsError(
            'TASKPLANE in Django\'s settings is no dict: give one such as {"BRAIN_URL": "wss://…"}'
        )
    return found


def _django_settings() -> Any | None:
    settings = getattr(sys.modules.get("django.conf"), "settings", None)
    return settings if settings is not None and settings.configured else None


def serving() -> bool:
    """Whether this thread answers a request right now, as far as the framework says so."""
    flask = sys.modules.get("flask")
    return flask is not None and bool(flask.has_request_context())


def lets_threads_run() -> bool:
    """Whether Python goes on in other threads while the main one waits: under uWSGI only where it was told to."""
    return bool(getattr(sys.modules.get("uwsgi"), "has_threads", True))


def celery_app(task_name: str | None = None) -> Any | None:
    """The application that sends `task_name`, or the one there is; none where Celery is not in use."""
    state: Any = sys.modules.get("celery._state")
    if state is None:
        return None
    apps = list(_apps(state))
    # By the plain dict behind it: asking for `app.tasks` would finalize an application before its time.
    owning = (app for app in apps if task_name in app.__dict__.get("_tasks", ()))
    return next(owning, None) or next(iter(apps), None)


def _apps(state: Any) -> Iterator[Any]:
    """All applications, the most likely first, Celery's own makeshift last.

    The current application is one of the thread that made it: other threads see that makeshift, which has no broker.
    """
    current, default = state._tls.current_app, state.default_app
    makeshift = default if default is not None and default.main == "default" else None
    seen: list[Any] = []
    for app in (current, default, *list(state._get_active_apps())):
        if app is not None and app is not makeshift and not any(app is each for each in seen):
            seen.append(app)
            yield app
    if makeshift is not None:
        yield makeshift


def name_of(app: Any | None) -> str | None:
    """What an application calls itself; none where that says nothing."""
    name = getattr(app, "main", None)
    return name if isinstance(name, str) and name not in ("", "default", "__main__") else None


def tasks_of(app: Any) -> list[Any]:
    """The tasks that an application has so far."""
    return list(app.__dict__.get("_tasks", {}).values())


def running_task() -> Any | None:
    """The task that runs in this thread, with a request of its own."""
    state: Any = sys.modules.get("celery._state")
    task = state.get_current_task() if state is not None else None
    return task if task is not None and task.request.id is not None else None
