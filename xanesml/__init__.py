"""The science of xanesml: structures, FEFF runs, the store, averages, networks, predictions.

This module is the front door for notebooks and scripts; `docs/reference/api.md` shows it. Everything in it
is loaded when it is first used, and nothing needs MPI. :mod:`hpc` spreads the work over ranks and GPUs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = ["XanesmlError", "load_campaign", "load_model", "open_store", "open_tensors"]

__version__: str

if TYPE_CHECKING:
    from xanesml.averages.reader import open_tensors
    from xanesml.errors import XanesmlError
    from xanesml.prediction.model import load_model
    from xanesml.store.plan import load_campaign
    from xanesml.store.reader import open_store
else:
    _MODULES = {
        "XanesmlError": "xanesml.errors",
        "load_campaign": "xanesml.store.plan",
        "load_model": "xanesml.prediction.model",
        "open_store": "xanesml.store.reader",
        "open_tensors": "xanesml.averages.reader",
    }

    def __getattr__(name: str) -> object:
        if name == "__version__":
            # Not at the top: reading metadata takes longer than a short FEFF stage.
            from importlib.metadata import version  # noqa: PLC0415

            return version("xanesml")
        if name in _MODULES:
            return getattr(import_module(_MODULES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, "__version__"})


def main() -> None:
    """Run the command line, which is in the package `hpc` beside this one: the console script `xanesml`."""
    import sys  # noqa: PLC0415 (a notebook needs none of these)
    from importlib import util  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    spec = util.find_spec("hpc")
    found = Path(spec.origin).resolve() if spec is not None and spec.origin is not None else None
    if found != Path(__file__).resolve().parent.parent / "hpc" / "__init__.py":
        where = "" if found is None else f" at {found.parent if found.name == '__init__.py' else found}"
        sys.stderr.write(
            f"xanesml: another package named hpc{where} hides xanesml's; remove it from PYTHONPATH or uninstall it\n"
        )
        sys.exit(2)
    import_module("hpc.cli").main()
