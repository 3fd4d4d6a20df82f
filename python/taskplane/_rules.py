"""`taskplane.redact`: rules of redaction that stand at the task itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from taskplane import _application
from taskplane.settings import SettingsError, Strings, TaskRules, rules

_log = logging.getLogger("taskplane")
_Task = TypeVar("_Task")
_MARK: Final = "__taskplane_rules__"

# Tasks of Celery whose names may not be asked for yet: that would make the task before its application is set up.
_unnamed: list[tuple[Any, TaskRules]] = []
_given = 0


def redact(
    *, keys: Sequence[str] = (), strings: Strings | None = None, capture: bool = True
) -> Callable[[_Task], _Task]:
    """Rules for one task, beyond those for all; above or below ``@app.task``.

    `keys`: more names of arguments whose values never leave this host. `strings`: which strings do (``short``,
    ``patterns-only``, ``mask-all``). ``capture=False``: neither arguments nor results are looked at.
    """
    try:
        found = rules("redact", {"keys": list(keys), "strings": strings, "capture": capture})
    except (SettingsError, TypeError) as error:
        # On the safe side: whoever asked for less must not get more by a slip of the pen.
        _log.error("taskplane.redact shows nothing of this task: %s", error)
        found = TaskRules(capture=False)

    def mark(task: _Task) -> _Task:
        global _given
        _given += 1
        if hasattr(type(task), "_get_current_object") or _is_task(task):
            _unnamed.append((task, found))
        else:
            try:
                setattr(task, _MARK, found)
            except (AttributeError, TypeError):
                _log.error(
                    "taskplane.redact cannot be used on %r: put it above Celery's decorator", type(task)
                )
        return task

    return mark


def _is_task(thing: object) -> bool:
    return any(
        each.__module__ == "celery.app.task" and each.__name__ == "Task" for each in type(thing).__mro__
    )


def count() -> int:
    """How many tasks have been given rules."""
    return _given


def known(app: Any | None) -> dict[str, TaskRules]:
    """The rules that stand at tasks, by the names of the tasks, as far as they have names by now."""
    found: dict[str, TaskRules] = {}
    tasks = _application.tasks_of(app) if app is not None else []
    for task, given in [*((task, _marked(task)) for task in tasks), *_unnamed]:
        if given is None:
            continue
        try:
            found[task.name] = given
        except Exception as error:
            # Such as a shared task whose application is not there yet.
            _log.debug("a task with rules has no name yet: %r", error)
    return found


def _marked(task: Any) -> TaskRules | None:
    for place in (task, getattr(task, "run", None)):
        marked = getattr(place, _MARK, None)
        if isinstance(marked, TaskRules):
            return marked
    return None
