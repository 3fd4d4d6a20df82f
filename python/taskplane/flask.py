"""``taskplane.flask.init_app(app)``. Settings are ``app.config["TASKPLANE_…"]`` or the environment's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskplane import _application
from taskplane._agent import AGENT

if TYPE_CHECKING:
    from flask import Flask
    from typing_extensions import Unpack

    from taskplane._keywords import Keywords

_PREFIX = "TASKPLANE_"


def init_app(app: Flask, **settings: Unpack[Keywords]) -> None:
    """Tell the brain what Celery does in this process, in a server and in a worker alike. Idempotent; never raises."""

    def of_flask() -> Mapping[str, object]:
        config = app.config.items()
        return {key.removeprefix(_PREFIX): value for key, value in config if key.startswith(_PREFIX)}

    app.extensions["taskplane"] = AGENT
    AGENT.install(settings, ("flask", _application.version("flask")), of_flask)
