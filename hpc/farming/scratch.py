"""Node-local folders for FEFF's files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hpc.comm import Comm
from xanesml.errors import EnvironmentProblem
from xanesml.feff.guard import guard
from xanesml.files.mounts import NETWORK, file_system


def scratch_base(given: Path | None) -> Path:
    """Return the parent of scratch folders: the one given, $SLURM_TMPDIR, $TMPDIR or /tmp."""
    return given or Path(os.environ.get("SLURM_TMPDIR") or tempfile.gettempdir())


def given_folder(text: str) -> Path:
    """Return a folder given on the command line.

    Raises
    ------
    EnvironmentProblem
        If the text is empty, as that of a variable that is not set: the folder would be the present one.
    """
    if not text.strip():
        raise EnvironmentProblem(
            "--scratch is empty; name a folder on the node itself, or set the variable that names it"
        )
    return Path(text)


def warn_of_network(comm: Comm, given: Path | None, echo: Callable[[str], None]) -> None:
    """Say once if ranks have their scratch folders on a file system that the hosts share; collective."""
    base = scratch_base(given)
    kind = file_system(base)
    kinds = comm.gather(kind if kind in NETWORK else "")
    shared = [one for one in kinds or () if one]
    if shared:
        echo(
            f"warning: scratch folder {base} is on {shared[0]}, which the hosts share, for {len(shared)} of "
            f"{comm.size} ranks: every run writes some 100 files there; name a folder on the node itself with --scratch"
        )


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
