"""The last line of a stage: what it made, how long it took, and the next command."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path


class Closing:
    """Makes the last line of a stage, from the time at which it began.

    Parameters
    ----------
    campaign_file : Path, optional
        The campaign file that the user named; CAMPAIGN stands for it in the next command where there was none.
    output : Path, optional
        The output folder that the user named; the next command names it too.
    """

    def __init__(self, campaign_file: Path | None = None, output: Path | None = None) -> None:
        self._began = time.monotonic()
        self._campaign, self._output = campaign_file, output

    def line(self, made: Sequence[Path | str], then: str) -> str:
        """Return the line.

        Parameters
        ----------
        made : sequence of Path or str
            Files that the stage made, or what it did.
        then : str
            The next command.
        """
        what = ", ".join(map(str, made)) or "nothing"
        return f"made {what} in {duration(time.monotonic() - self._began)}; next: {then}"

    def command(self, verb: str, *, ranks: bool = False) -> str:
        """Return a command on the same campaign and output folder, under mpirun where it takes ranks."""
        words = ["xanesml", verb, str(self._campaign or "CAMPAIGN")]
        if self._output is not None:
            words += ["--output", str(self._output)]
        return ("mpirun " if ranks else "") + shlex.join(words)


def duration(seconds: float) -> str:
    """Return a time as people say it: 0.4 s, 12 s, 3 min 20 s, 5 h 12 min, 2 d 3 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"
