"""Waiting for a module without importing it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from taskplane._imports import when_imported
{before}
when_imported("late.inner", lambda: print("acted", hasattr(sys.modules["late.inner"], "end")))
print("waiting", "late.inner" in sys.modules)
import late.inner
import inspect
print(type(late.inner.__loader__).__name__, inspect.getsource(late.inner).strip(), len(sys.meta_path))
"""


def run(folder: Path, before: str) -> list[str]:
    (folder / "late").mkdir()
    (folder / "late" / "__init__.py").touch()
    (folder / "late" / "inner.py").write_text("end = 1\n")
    words = [
        sys.executable,
        "-c",
        f"import sys\nsys.path.insert(0, {str(folder)!r})\n" + PROGRAM.format(before=before),
    ]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


def test_acts_after_the_module_has_run_and_leaves_nothing_behind(tmp_path: Path) -> None:
    waiting, acted, shown = run(tmp_path, "count = len(sys.meta_path)")
    assert (waiting, acted) == ("waiting False", "acted True")
    assert shown.startswith("SourceFileLoader end = 1 ")


def test_acts_at_once_where_the_module_is_there(tmp_path: Path) -> None:
    assert run(tmp_path, "import late.inner")[:2] == ["acted True", "waiting True"]
