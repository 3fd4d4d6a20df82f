"""Taskplane in your application's own process: every task with its arguments, and commands from the dashboard.

``INSTALLED_APPS += ["taskplane.django"]``, ``taskplane.flask.init_app(app)``, ``taskplane.fastapi.lifespan``,
``taskplane.install()``, or ``taskplane-run celery -A proj worker`` without any code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskplane._agent import AGENT
from taskplane._progress import progress
from taskplane._rules import redact
from taskplane.settings import TaskRules

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from taskplane._keywords import Keywords

__all__ = ["TaskRules", "__version__", "install", "progress", "redact"]

__version__: str


def __getattr__(name: str) -> str:
    if name == "__version__":
        # Not before it is asked for: most processes never load the native module.
        from taskplane._native import __version__

        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def install(**settings: Unpack[Keywords]) -> None:
    """Tell the brain what Celery does in this process. Idempotent; never raises.

    What is not given here comes from the framework's settings, then from ``TASKPLANE_…`` in the environment; see
    `taskplane.settings.Settings`. A mistake in them is one line in the log of ``taskplane``, and there is no agent.
    """
    AGENT.install(settings)
