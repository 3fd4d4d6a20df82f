"""Acts when a module has been imported, without importing it."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_log = logging.getLogger("taskplane")


def when_imported(name: str, act: Callable[[], None]) -> None:
    """Call `act`, which does not raise, once the module `name` is there: now, or when somebody imports it."""
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        act()
    else:
        sys.meta_path.insert(0, _Awaits(name, act))


class _Awaits:
    """Finds its one module as all others would, and has `act` called after it has run."""

    def __init__(self, name: str, act: Callable[[], None]) -> None:
        self._name = name
        self._act = act

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            _after_running(spec.loader, self._act)
        return spec


def _after_running(loader: Any, act: Callable[[], None]) -> None:
    # On the loader itself, which serves this one module: the module keeps the loader that it would have without us.
    run = loader.exec_module

    def run_then_act(module: ModuleType) -> None:
        run(module)
        act()

    try:
        loader.exec_module = run_then_act
    except AttributeError:
        _log.error("taskplane is off: the loader of Celery, %s, cannot be followed", type(loader).__name__)
