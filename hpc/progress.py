"""Progress as a bar on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 15.0


class ProgressLine:
    """Shows how many of some items are done.

    Parameters
    ----------
    what : str
        Name of the items.
    total : int
        Their number.
    echo : callable
        Prints a line if standard output is not a terminal.
    """

    def __init__(self, what: str, total: int, echo: Callable[[str], None]) -> None:
        self._what, self._total, self._echo = what, total, echo
        self._done = 0
        self._began = self._told = time.monotonic()
        self._bar: Progress | None = None
        if on_terminal():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns)
            self._bar.start()
            self._row = self._bar.add_task(what, total=total)

    def advance(self) -> None:
        """Count one more item."""
        self._done += 1
        if self._bar is not None:
            self._bar.advance(self._row)
            return
        now = time.monotonic()
        if now - self._told >= _SECONDS_BETWEEN_LINES or self._done == self._total:
            self._told = now
            left = (now - self._began) / self._done * (self._total - self._done)
            self._echo(f"{self._what}: {self._done} of {self._total}, about {left:.0f} s left")

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()


def on_terminal() -> bool:
    """Return whether the output is seen: Open MPI gives rank 0 a pseudo-terminal even if mpirun writes to a file."""
    if not sys.stdout.isatty():
        return False
    if "OMPI_COMM_WORLD_SIZE" not in os.environ:
        return True
    try:
        return str(Path(f"/proc/{os.getppid()}/fd/1").readlink()).startswith(("/dev/pts/", "/dev/tty"))
    except OSError:
        return False
