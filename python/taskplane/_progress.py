"""`taskplane.progress`."""

from __future__ import annotations

from taskplane import _application
from taskplane._agent import AGENT


def progress(done: float, total: float | None = None, note: str | None = None) -> None:
    """Tell how far the running task is, such as ``progress(30, 100, "resizing")``. Elsewhere this does nothing."""
    if not AGENT.started:
        return
    task = _application.running_task()
    if task is not None:
        from taskplane import _native

        _native.task_progress(task, done, total, note)
