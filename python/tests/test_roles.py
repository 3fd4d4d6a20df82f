"""What a process does, by its command line."""

from __future__ import annotations

import pytest

from taskplane import roles


@pytest.mark.parametrize(
    ("line", "role"),
    [
        ("/venv/bin/celery -A proj worker -B --loglevel INFO", "worker"),
        ("celery --app=proj --workdir /srv worker", "worker"),
        ("/x/celery/__main__.py -A proj beat", "beat"),
        ("celery -A proj inspect active", "script"),
        ("celery -A worker call shop.add", "script"),
        ("gunicorn --preload shop.wsgi", "web"),
        ("/x/gunicorn/__main__.py shop.wsgi", "web"),
        ("/x/uvicorn/__main__.py shop:app", "web"),
        ("uwsgi", "web"),
        ("daphne shop.asgi:application", "web"),
        ("hypercorn shop:app", "web"),
        ("manage.py runserver 8000", "web"),
        ("/x/django/__main__.py runserver", "web"),
        ("manage.py migrate", "script"),
        ("manage.py shell", "script"),
        ("manage.py test", "script"),
        ("manage.py collectstatic --noinput", "script"),
        ("flask --app shop run", "web"),
        ("flask --app shop shell", "script"),
        ("fastapi run shop.py", "web"),
        ("pytest tests", "script"),
        ("", "script"),
    ],
)
def test_the_command_line_says_the_role(line: str, role: str) -> None:
    assert roles.detect(line.split()) == role


@pytest.mark.parametrize(
    ("line", "environ", "watches"),
    [
        ("manage.py runserver", {}, True),
        ("manage.py runserver", {"RUN_MAIN": "true"}, False),
        ("manage.py runserver --noreload", {}, False),
        ("manage.py migrate", {}, False),
        ("gunicorn shop.wsgi", {}, False),
    ],
)
def test_only_the_child_of_the_autoreloader_serves(line: str, environ: dict[str, str], watches: bool) -> None:
    assert roles.watches_only(line.split(), environ) is watches
