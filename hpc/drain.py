"""What makes a driver come to an end before the work is done: signals, and the end of its time."""

from __future__ import annotations

import os
import signal
import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Mapping
from types import FrameType

#: Exit status of a driver that stopped early: submit the same job again (EX_TEMPFAIL).
RESUBMIT = 75

#: Time kept free at the end for writing the last rows and closing the file, s.
CLOSING = 20.0

#: Share of the runs so far that would have ended in the time in which another one is still begun.
LIKELY = 0.95

_REMEMBERED = 1000


class Drain:
    """Turns signals and the end of the allotted time into flags that a driver looks at.

    SIGUSR1, as sent by `sbatch --signal`, asks to take no further task and to finish
    what runs. SIGUSR2, SIGTERM and SIGINT also abandon what runs, since little time is
    left, and so does the end of the time itself.

    Parameters
    ----------
    seconds : float or None
        Time that is left, from now on; None where it is not known.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._ends = None if seconds is None else time.monotonic() + seconds - CLOSING
        self._requested = False
        self._abandon = False

    def listen(self) -> None:
        """Install the signal handlers; call it from the main thread."""
        signal.signal(signal.SIGUSR1, self._on_finish)
        for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_abandon)

    @property
    def requested(self) -> bool:
        """Take no further task."""
        return self._requested or self.abandon

    @property
    def abandon(self) -> bool:
        """End what runs as well."""
        return self._abandon or (self._ends is not None and time.monotonic() >= self._ends)

    @property
    def left(self) -> float:
        """Time in which runs may still end, s; infinite where it is not known."""
        return float("inf") if self._ends is None else self._ends - time.monotonic()

    def finish(self) -> None:
        """Take no further task, as after SIGUSR1."""
        self._requested = True

    def _on_finish(self, _signal: int, _frame: FrameType | None) -> None:
        self._requested = True

    def _on_abandon(self, _signal: int, _frame: FrameType | None) -> None:
        self._abandon = True


class RunTimes:
    """How long runs take, as far as it has been measured.

    Parameters
    ----------
    seconds : iterable of float
        Wall times of earlier runs, s; NaN is passed over.
    """

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        self._seconds = deque((s for s in seconds if s == s), maxlen=_REMEMBERED)  # noqa: PLR0124 (not NaN)
        # Kept in order: rank 0 asks after every run.
        self._sorted = sorted(self._seconds)

    def add(self, seconds: float) -> None:
        """Note the wall time of a run, s."""
        if len(self._seconds) == _REMEMBERED:
            del self._sorted[bisect_left(self._sorted, self._seconds[0])]
        self._seconds.append(seconds)
        insort(self._sorted, seconds)

    @property
    def likely(self) -> float:
        """Time within which a run is likely to end, s: the quantile `LIKELY`; 0 before the first run."""
        if not self._sorted:
            return 0.0
        below, share = divmod(LIKELY * (len(self._sorted) - 1), 1)
        low, high = self._sorted[int(below)], self._sorted[min(int(below) + 1, len(self._sorted) - 1)]
        return low + share * (high - low)


def time_left(limit: float | None, environment: Mapping[str, str] = os.environ) -> float | None:
    """Return how long this job still has.

    Parameters
    ----------
    limit : float or None
        What the user says, s from now.
    environment : mapping
        Where Slurm says when the job ends (SLURM_JOB_END_TIME, seconds since 1970).

    Returns
    -------
    float or None
        Seconds; None where nobody says.
    """
    if limit is not None:
        return limit
    end = environment.get("SLURM_JOB_END_TIME", "")
    return float(end) - time.time() if end.isdigit() else None
