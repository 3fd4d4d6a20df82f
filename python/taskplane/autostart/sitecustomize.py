"""What `taskplane-run` has Python run first: it installs the agent, and leaves everything else as it would be."""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path


def _install() -> None:
    try:
        import taskplane

        taskplane.install()
    except Exception as error:
        # Such as another interpreter, without us: the application runs as it would.
        print(f"taskplane is off: {error!r}", file=sys.stderr)


def _run_shadowed() -> None:
    """Run the module of this name that would have been run without us."""
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [place for place in sys.path if str(Path(place).resolve()) != here]
    spec = importlib.machinery.PathFinder.find_spec(__name__, sys.path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules[__name__] = module
        spec.loader.exec_module(module)


_install()
_run_shadowed()
