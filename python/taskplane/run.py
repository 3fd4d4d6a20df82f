"""``taskplane-run COMMAND``: the command as it would run by itself, with the agent in its Python processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

_HELP = """\
Usage: taskplane-run COMMAND [ARGUMENT]...

Runs COMMAND with Taskplane's agent in the Python processes it starts. No change of code is needed.

Examples:
  taskplane-run celery -A proj worker
  taskplane-run gunicorn proj.wsgi

Settings are in the environment:
  TASKPLANE_BRAIN_URL   address of the brain, such as wss://tasks.example.com
  TASKPLANE_TOKEN       the agent's token, from `taskplane token create` or the dashboard;
                        or TASKPLANE_TOKEN_FILE, a file that holds it
"""


def main() -> NoReturn:
    """Replace this process by the command. Exit codes are those of env(1): 126 and 127 when it cannot be run."""
    words = sys.argv[1:]
    if words and words[0] in ("-h", "--help"):
        print(_HELP, end="")
        sys.exit(0)
    if words and words[0] == "--version":
        from taskplane import __version__

        print(f"taskplane-run {__version__}")
        sys.exit(0)
    if words[:1] == ["--"]:
        words = words[1:]
    elif words and words[0].startswith("-"):
        _fail(
            2, f"unknown option {words[0]}: options of the command stand behind it; see taskplane-run --help"
        )
    if not words:
        _fail(2, "the command is missing: give one, such as taskplane-run celery -A proj worker")
    _become(words)


def _become(words: list[str]) -> NoReturn:
    path = [str(Path(__file__).with_name("autostart")), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        os.execvpe(words[0], words, {**os.environ, "PYTHONPATH": os.pathsep.join(path)})
    except FileNotFoundError:
        _fail(127, f"{words[0]}: no such command")
    except OSError as error:
        _fail(126, f"{words[0]}: {error.strerror}")


def _fail(code: int, what: str) -> NoReturn:
    print(f"taskplane-run: {what}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
