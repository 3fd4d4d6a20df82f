"""What this process does, by its command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Final

from taskplane.settings import Role

_SERVERS: Final = frozenset(
    ("gunicorn", "uvicorn", "uwsgi", "daphne", "hypercorn", "granian", "waitress-serve", "mod_wsgi-express")
)
_DJANGO: Final = frozenset(("manage.py", "django-admin", "django"))
_CELERY_ROLES: Final[Mapping[str, Role]] = {"worker": "worker", "beat": "beat"}
# Options of `celery` itself that take their value from the next word.
_CELERY_OPTIONS: Final = frozenset(
    ("-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir")
)


def detect(argv: Sequence[str] | None = None) -> Role:
    """The role of a process with this command line; `script` for what is none of the others."""
    argv = sys.argv if argv is None else argv
    program, words = _program(argv), argv[1:]
    if program == "celery":
        return _CELERY_ROLES.get(_celery_command(words), "script")
    if program in _SERVERS or "uwsgi" in sys.modules or "mod_wsgi" in sys.modules:
        return "web"
    first = next((word for word in words if not word.startswith("-")), "")
    if program in _DJANGO:
        return "web" if first.startswith("runserver") else "script"
    if program in ("flask", "fastapi"):
        return "web" if {"run", "dev"} & {first, *words} else "script"
    return "script"


def watches_only(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process only starts another one, which serves, again whenever a file changes."""
    if "true" in (environ.get("RUN_MAIN"), environ.get("WERKZEUG_RUN_MAIN")):
        return False
    argv = sys.argv if argv is None else argv
    if _program(argv) in _DJANGO and detect(argv) == "web":
        return "--noreload" not in argv
    # Flask loads the application in both; Werkzeug imports this module only to reload.
    return "werkzeug._reloader" in sys.modules


def _program(argv: Sequence[str]) -> str:
    path = PurePath(argv[0] if argv else "")
    # `python -m celery` runs celery/__main__.py; `-m uvicorn.workers` and the like are no servers.
    return path.parent.name if path.name == "__main__.py" else path.name


def _celery_command(words: Sequence[str]) -> str:
    words = list(words)
    while words:
        word = words.pop(0)
        if word in _CELERY_OPTIONS:
            words[:1] = []
        elif not word.startswith("-"):
            return word
    return ""
