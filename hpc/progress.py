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
    """Shows how many of a number of things are done.

    Parameters
    ----------
    what : str
        What is counted.
    total : int
        How many there are.
    echo : callable
        Prints a line where standard output is no terminal.
    """

    def __init__(self, what: str, total: int, echo: Callable[[str], None]) -> None:
        self._what, self._total, self._echo = what, total, echo
        self._done = 0
        self._began = self._told = time.monotonic()
        self._bar: Progress | None = None
        if _on_terminal():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns)
            self._bar.start()
            self._row = self._bar.add_task(what, total=total)

    def advance(self) -> None:
        """Count one more."""
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
        """Take the bar down."""
        if self._bar is not None:
            self._bar.stop()


def _on_terminal() -> bool:
    """Whether somebody watches: Open MPI gives rank 0 a pseudo-terminal whatever mpirun itself writes to."""
    if not sys.stdout.isatty():
        return False
    if "OMPI_COMM_WORLD_SIZE" not in os.environ:
        return True
    try:
        return str(Path(f"/proc/{os.getppid()}/fd/1").readlink()).startswith(("/dev/pts/", "/dev/tty"))
    except OSError:
        return False
