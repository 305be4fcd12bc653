"""Signals that ask a driver to come to an end before the work is done."""

from __future__ import annotations

import signal
from types import FrameType

#: Exit status of a driver that stopped early: submit the same job again (EX_TEMPFAIL).
RESUBMIT = 75


class Drain:
    """Turns signals into flags that a driver looks at between tasks.

    SIGUSR1, as sent by `sbatch --signal`, asks to take no further task and to finish
    what runs. SIGTERM and SIGINT also abandon what runs, since little time is left.

    Attributes
    ----------
    requested : bool
        Take no further task.
    abandon : bool
        End what runs as well.
    """

    def __init__(self) -> None:
        self.requested = False
        self.abandon = False

    def listen(self) -> None:
        """Install the signal handlers; call it from the main thread."""
        signal.signal(signal.SIGUSR1, self._finish)
        signal.signal(signal.SIGTERM, self._abandon)
        signal.signal(signal.SIGINT, self._abandon)

    def _finish(self, _signal: int, _frame: FrameType | None) -> None:
        self.requested = True

    def _abandon(self, _signal: int, _frame: FrameType | None) -> None:
        self.requested = True
        self.abandon = True
