"""The agent's settings: where they come from, what they mean, and what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, cast

Role = Literal["worker", "web", "beat", "script"]
Strings = Literal["short", "patterns-only", "mask-all"]

ROLES: Final = ("worker", "web", "beat", "script")
STRINGS: Final = ("short", "patterns-only", "mask-all")
LEVELS: Final = ("error", "warn", "info", "debug", "trace", "off")
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off")


class SettingsError(ValueError):
    """A setting is missing, unknown or wrong. Its text is one line: what, and what to do."""


@dataclass(frozen=True, slots=True)
class TaskRules:
    """How the arguments and the result of one task are redacted, beyond the rules for all."""

    keys: tuple[str, ...] = ()
    """More names of arguments whose values never leave this host."""
    strings: Strings | None = None
    """Which strings leave this host; by default as for all tasks."""
    capture: bool = True
    """Whether arguments and results are looked at at all."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the agent is started with. Same names and meanings as the options of ``taskplane agent``."""

    brain_url: str = ""
    """Address of the brain: ``wss://host[:port][/path]``, or ``ws://`` without TLS."""
    token: str | None = field(default=None, repr=False)
    """The agent's token, from ``taskplane token create`` or the dashboard."""
    token_file: str | None = None
    """File that holds the token; it is read again when the brain refuses the token."""
    name: str = ""
    """Name of this agent; the default is the Celery application's and the host's, such as ``shop@web-1``.

    Processes of one application may share it, on several hosts too; those of another application may not: they have
    another broker, on which commands for this agent's tasks must not be carried out.
    """
    data_dir: str = ""
    """Folder for what the brain does not have yet; see :func:`default_data_dir`."""
    role: Role | None = None
    """What this process does; by default its command line says it."""
    redact_keys: tuple[str, ...] = ()
    """More names of arguments whose values must never leave this host."""
    redact_patterns: tuple[str, ...] = ()
    """More regular expressions of what must never leave this host."""
    redact_strings: Strings = "short"
    """Which strings leave this host: short ones, all that look like no secret, or none."""
    ca_cert: str | None = None
    """Trust only certificates that one of these CAs (PEM) signed."""
    client_cert: str | None = None
    """Our own certificate (PEM), where the brain wants one."""
    client_key: str | None = None
    """Its private key (PEM, not encrypted)."""
    log: str = "warn"
    """What the agent says on standard error: ``error``, ``warn``, ``info``, ``debug`` or ``off``."""
    enabled: bool = True
    """Whether there is an agent at all."""
    tasks: Mapping[str, TaskRules] = field(default_factory=dict)
    """Rules for single tasks, by name."""

    @classmethod
    def resolve(
        cls,
        explicit: Mapping[str, object],
        framework: Mapping[str, object],
        environ: Mapping[str, str] = os.environ,
    ) -> Settings:
        """Put the settings together: explicit ones first, then the framework's, then the environment's.

        The first two are in this class's names, in lower or upper case. Raises `SettingsError`.
        """
        merged: dict[str, Any] = {}
        for source in (_checked(explicit), _checked(framework), _from_environment(environ)):
            if source.get("token") is not None and source.get("token_file") is not None:
                raise SettingsError("both token and token_file are set: set one of them")
            # A token from a better source makes a worse source's file void, and the other way round.
            has_token = "token" in merged or "token_file" in merged
            for key, value in source.items():
                if not (has_token and key in ("token", "token_file")):
                    merged.setdefault(key, value)
        settings = cls(**merged)
        if (settings.client_cert is None) != (settings.client_key is None):
            raise SettingsError("client_cert and client_key belong together: set both")
        return settings

    def complete(self, application: str | None = None) -> Settings:
        """The same with every default filled in; `application` is what the Celery application calls itself.

        Raises `SettingsError` when what must be set is not.
        """
        import socket

        missing = []
        if not self.brain_url:
            missing.append("TASKPLANE_BRAIN_URL (such as wss://tasks.example.com)")
        if not self.token and not self.token_file:
            missing.append("TASKPLANE_TOKEN or TASKPLANE_TOKEN_FILE (from `taskplane token create`)")
        if missing:
            raise SettingsError(f"set {' and '.join(missing)}")
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values["name"] = self.name or "@".join(filter(None, (application, socket.gethostname())))
        values["data_dir"] = self.data_dir or default_data_dir(os.environ)
        for key in _PATHS:
            # Daemons change their folder later on.
            if values[key]:
                values[key] = os.path.abspath(Path(values[key]).expanduser())  # noqa: PTH100 links stay links
        return Settings(**values)


def default_data_dir(environ: Mapping[str, str]) -> str:
    """``$XDG_STATE_HOME/taskplane``, else ``~/.local/state/taskplane``, else ``/var/tmp/taskplane-<uid>``."""
    if state := environ.get("XDG_STATE_HOME"):
        return str(Path(state) / "taskplane")
    home = environ.get("HOME")
    if home and os.access(home, os.W_OK | os.X_OK):
        return str(Path(home) / ".local" / "state" / "taskplane")
    folder = Path("/var/tmp") / f"taskplane-{os.getuid()}"  # as systemd's services without a home
    # Anyone may make folders there: one that is not ours could be read, or swapped, by whoever made it.
    if folder.is_symlink() or (folder.exists() and folder.stat().st_uid != os.getuid()):
        raise SettingsError(f"{folder} belongs to another user: set TASKPLANE_DATA_DIR")
    return str(folder)


_NAMES: Final = tuple(each.name for each in fields(Settings))
_LISTS: Final = ("redact_keys", "redact_patterns")
_PATHS: Final = ("token_file", "data_dir", "ca_cert", "client_cert", "client_key")


def _checked(source: Mapping[str, object]) -> dict[str, Any]:
    """Known names in lower case with values of the right kind; `None` is as good as not set."""
    checked = {}
    for given, value in source.items():
        key = str(given).lower()
        if key not in _NAMES:
            raise SettingsError(f"unknown setting {given}{_nearest(key, str(given).isupper())}")
        if value is not None:
            checked[key] = _value(key, value)
    return checked


def _nearest(key: str, upper: bool) -> str:
    import difflib

    near = difflib.get_close_matches(key, _NAMES, n=1, cutoff=0.5)
    if not near:
        return f": known are {', '.join(_NAMES)}"
    return f": did you mean {near[0].upper() if upper else near[0]}?"


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    # Other variables of that prefix belong to the brain and the sidecar; an empty one is not set.
    found = {}
    for key in _NAMES:
        value = environ.get(f"TASKPLANE_{key.upper()}", "")
        if value and key not in ("tasks", "redact_patterns"):
            found[key] = _value(key, value)
    return found


def _value(key: str, value: object) -> Any:
    if key == "enabled":
        return _boolean(key, value)
    if key == "tasks":
        return _rules_by_name(value)
    if key in _LISTS:
        return _strings(key, value)
    if isinstance(value, os.PathLike):
        value = os.fspath(cast("os.PathLike[str]", value))
    if not isinstance(value, str):
        raise SettingsError(f"{key} is {type(value).__name__}: give a string")
    value = value.strip()
    if key == "brain_url" and not value.startswith(("ws://", "wss://", "http://", "https://")):
        raise SettingsError(
            "brain_url does not begin with wss:// or ws://: give one such as wss://tasks.example.com"
        )
    if key == "role":
        return _choice(key, value, ROLES)
    if key == "redact_strings":
        return _choice(key, value, STRINGS)
    if key == "log":
        # The sidecar's variable may say more, such as `warn,taskplane_agent=debug`: what holds for all counts here.
        return _choice(
            key, next((part for part in value.lower().split(",") if "=" not in part), "warn"), LEVELS
        )
    return value


def _boolean(key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in (*_TRUE, *_FALSE):
        return value.strip().lower() in _TRUE
    raise SettingsError(f"{key} is {value!r}: give true or false")


def _choice(key: str, value: object, among: Sequence[str]) -> str:
    if value in among:
        return cast("str", value)
    raise SettingsError(f"{key} is {value!r}: give one of {', '.join(among)}")


def _strings(key: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        # One pattern may hold commas; names of arguments do not.
        parts = [value] if key == "redact_patterns" else value.split(",")
    elif isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(each, str) for each in value):
        parts = list(value)
    else:
        raise SettingsError(f"{key} is {type(value).__name__}: give a list of strings")
    return tuple(part.strip() for part in parts if part.strip())


def _rules_by_name(value: object) -> dict[str, TaskRules]:
    if not isinstance(value, Mapping):
        raise SettingsError('tasks is no dict: give one such as {"shop.pay": {"keys": ["card"]}}')
    return {str(name): rules(f"tasks[{name!r}]", given) for name, given in value.items()}


def rules(place: str, given: object) -> TaskRules:
    """The rules of one task from the dict that states them. Raises `SettingsError`."""
    if isinstance(given, TaskRules):
        return given
    if not isinstance(given, Mapping):
        raise SettingsError(f"{place} is {type(given).__name__}: give a dict with keys, strings, capture")
    found: dict[str, Any] = {}
    for key, value in given.items():
        what = f"{place}[{key!r}]"
        match str(key).lower():
            case "keys":
                found["keys"] = _strings(what, value)
            case "strings":
                found["strings"] = None if value is None else _choice(what, value, STRINGS)
            case "capture":
                found["capture"] = _boolean(what, value)
            case _:
                raise SettingsError(f"unknown setting {what}: known are keys, strings, capture")
    return TaskRules(**found)
