"""When the agent of this process is started and stopped."""

from __future__ import annotations

import atexit
import logging
import os
import platform
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from taskplane import _application, _rules, roles
from taskplane._imports import when_imported
from taskplane.settings import Role, Settings, SettingsError, Strings, TaskRules

_log = logging.getLogger("taskplane")

# How long a clean stop may take.
STOP_SECONDS: Final = 2.0
# A web process is set up a moment after Celery has been imported; a task that is sent earlier starts the agent at once.
SETTLE_SECONDS: Final = 0.5


class Agent:
    """The one agent of this process, which may not be running.

    A worker and beat start it when they are set up; a web process a moment after it has imported Celery; any process
    when it sends its first task. Then Celery's application is configured, and says which broker the agent acts on. In
    forked children the Rust side goes on by itself.
    """

    def __init__(self) -> None:
        self.started = False
        self._installed = False
        self._off = False
        self._stopped_in: int | None = None
        self._started_in: int | None = None
        self._explicit: dict[str, object] = {}
        self._framework: tuple[str, str | None] | None = None
        self._framework_settings: Callable[[], Mapping[str, object]] = _application.settings_of_django
        self._before_start: Callable[[], None] | None = None
        self._role: Role | None = None
        self._celery_connected = False
        # Names of tasks whose rules have been looked for, and how many rules there were then.
        self._seen: set[str] = set()
        self._rules_seen = 0
        self._told: dict[str, TaskRules] = {}
        # These stand above those at the task.
        self._from_settings: frozenset[str] = frozenset()
        # Of one process: a fork may come while another thread holds it, and not every server says that it forks.
        self._lock = threading.RLock()
        self._lock_of = os.getpid()

    def install(
        self,
        explicit: Mapping[str, object],
        framework: tuple[str, str | None] | None = None,
        framework_settings: Callable[[], Mapping[str, object]] | None = None,
        before_start: Callable[[], None] | None = None,
    ) -> None:
        """Wait for Celery, and for something to tell. Once more adds what is said; a running agent stays as it is."""
        self._before_start = before_start or self._before_start
        self._explicit.update(explicit)
        self._framework = framework or self._framework
        self._framework_settings = framework_settings or self._framework_settings
        if not self._installed:
            self._installed = True
            when_imported("celery.app.base", self._celery_is_there)

    def serves(self) -> None:
        """This process serves the web, and is set up."""
        self._role = "web"
        if self._celery_connected:
            self._settled()

    def start(self, app: Any | None, role: Role | None = None) -> None:
        """Start, unless that is done or cannot be done. `app` is the Celery application whose broker to act on."""
        if self.started or self._off:
            return
        with self._own_lock():
            if self.started or self._off or (role is None and roles.watches_only()):
                return
            try:
                settings = Settings.resolve(self._explicit, self._framework_settings())
                if settings.enabled:
                    self._start(settings.complete(_application.name_of(app)), app, role)
                else:
                    self._off = True
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        # Whatever it is, the application goes on without us.
        self._off = True
        said = str(error) if isinstance(error, (SettingsError, OSError, ValueError)) else repr(error)
        _log.error("taskplane is off: %s", said)

    def _start(self, settings: Settings, app: Any | None, role: Role | None) -> None:
        from taskplane import _native
        from taskplane.celery import addresses

        does = settings.role or role or self._role or ("web" if _application.serving() else roles.detect())
        name, version = self._framework or _application.framework()
        metadata = {"python": platform.python_version(), "role": does}
        if celery := _application.version("celery"):
            metadata["celery"] = celery
        for task_name, rules in settings.tasks.items():
            self._tell_rules(task_name, rules)
        self._from_settings = frozenset(settings.tasks)
        self._tell_marked(app)
        if self._before_start is not None:
            self._before_start()
        os.register_at_fork(after_in_child=_native.forget_parent)
        _native.start(
            brain_url=settings.brain_url,
            token=settings.token,
            token_file=settings.token_file,
            name=settings.name,
            data_dir=settings.data_dir,
            role=does,
            framework=name,
            framework_version=version,
            brokers=addresses.brokers(app) if app is not None else [],
            redact_keys=settings.redact_keys,
            redact_patterns=settings.redact_patterns,
            redact_strings=_in_rust(settings.redact_strings),
            ca_cert=settings.ca_cert,
            client_cert=settings.client_cert,
            client_key=settings.client_key,
            metadata=metadata,
            log_level=settings.log,
        )
        self.started = True
        self._started_in = os.getpid()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Hand over what there is, within two seconds. The rest is in files, and delivered by the next process."""
        if self.started and self._stopped_in != os.getpid():
            self._stopped_in = os.getpid()
            from taskplane import _native

            _native.stop(STOP_SECONDS)

    def _own_lock(self) -> threading.RLock:
        if self._lock_of != os.getpid():
            self._lock = threading.RLock()
            self._lock_of = os.getpid()
        return self._lock

    def _celery_is_there(self) -> None:
        try:
            self._connect_celery()
        except Exception as error:
            self._give_up(error)

    def _connect_celery(self) -> None:
        from celery import signals

        from taskplane.celery import addresses as addresses  # now, in the main thread: a fork may come later
        from taskplane.celery.signals import connect

        # In this order: the agent runs before its hooks do, and they have told all before it stops.
        signals.before_task_publish.connect(self._on_publish, weak=False)
        signals.worker_init.connect(self._on_worker, weak=False)
        signals.beat_init.connect(self._on_beat, weak=False)
        signals.worker_process_init.connect(self._on_child, weak=False)
        signals.beat_embedded_init.connect(self._on_child, weak=False)
        connect()
        signals.worker_shutdown.connect(self._on_worker_shutdown, weak=False)
        self._celery_connected = True
        if (self._role or roles.detect()) == "web":
            settled = threading.Timer(SETTLE_SECONDS, self._settled)
            settled.daemon = True
            settled.start()

    def _settled(self) -> None:
        # Without an application nothing can be sent yet; the first task will start the agent.
        if app := _application.celery_app():
            self.start(app)

    def _on_publish(self, sender: str | None = None, **_: object) -> None:
        if not self.started:
            self.start(_application.celery_app(sender))
        elif sender not in self._seen or self._rules_seen != _rules.count():
            self._tell_marked(_application.celery_app(sender))
        if sender is not None:
            self._seen.add(sender)

    def _on_worker(self, sender: Any = None, **_: object) -> None:
        self.start(sender.app, "worker")

    def _on_beat(self, sender: Any = None, **_: object) -> None:
        self.start(sender.app, "beat")

    def _on_child(self, **_: object) -> None:
        # Some pools, and beat beside them, say this in the worker itself.
        if self.started and self._started_in != os.getpid():
            from taskplane import _native

            _native.leave_collecting_to_parent()

    def _on_worker_shutdown(self, **_: object) -> None:
        self.stop()

    def _tell_marked(self, app: Any | None) -> None:
        if self._rules_seen != _rules.count():
            self._seen.clear()
            self._rules_seen = _rules.count()
        for task_name, rules in _rules.known(app).items():
            if task_name not in self._from_settings and self._told.get(task_name) != rules:
                self._tell_rules(task_name, rules)

    def _tell_rules(self, task_name: str, rules: TaskRules) -> None:
        from taskplane import _native

        self._told[task_name] = rules
        _native.set_task_rules(
            task_name,
            extra_keys=rules.keys,
            strings=rules.strings and _in_rust(rules.strings),
            capture=rules.capture,
        )


def _in_rust(strings: Strings) -> str:
    return "default" if strings == "short" else strings


AGENT: Final = Agent()
