"""Node-local folders for FEFF's files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xanesml.errors import EnvironmentProblem
from xanesml.feff.guard import guard


def scratch_base(given: Path | None) -> Path:
    """Return the parent of scratch folders: the one given, $SLURM_TMPDIR, $TMPDIR or /tmp."""
    return given or Path(os.environ.get("SLURM_TMPDIR") or tempfile.gettempdir())


@contextmanager
def scratch_folder(given: Path | None, rank: int) -> Iterator[Path]:
    """Make a scratch folder for one rank and remove it at the end; the guard removes it if the rank is killed.

    Raises
    ------
    EnvironmentProblem
        If it cannot be made.
    """
    base = scratch_base(given)
    try:
        folder = tempfile.TemporaryDirectory(prefix=f"xanesml-{rank}-", dir=base, ignore_cleanup_errors=True)
    except OSError as error:
        raise EnvironmentProblem(f"cannot make a scratch folder in {base}: {error.strerror}; give --scratch") from error
    with folder as name:
        guard().folder(Path(name))
        yield Path(name)
