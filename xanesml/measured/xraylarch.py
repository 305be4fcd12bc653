"""xraylarch, imported where it is used: its import takes longer than all else of a reading."""

from __future__ import annotations

from typing import Any

from xanesml.errors import EnvironmentProblem


def import_larch() -> Any:
    """Return the module `larch` with its `io` and `xafs`.

    Raises
    ------
    EnvironmentProblem
        If xraylarch is not installed.
    """
    try:
        import larch  # noqa: PLC0415 (slow, and part of the extra `experiment`)
        import larch.io  # noqa: PLC0415
        import larch.xafs  # noqa: PLC0415
    except ImportError as error:
        raise EnvironmentProblem(
            f"fits of EXAFS and Athena projects need xraylarch ({error}); run `pip install 'xanesml[experiment]'`"
        ) from error
    return larch
