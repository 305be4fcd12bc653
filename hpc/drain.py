"""Reasons to stop before the work is done: signals, and the end of the job's time."""

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

#: A run is started only if this share of the earlier runs would have ended in the time left.
LIKELY = 0.95

_REMEMBERED = 1000


class Drain:
    """Turns signals and the end of the job's time into flags that a driver polls.

    SIGUSR1, as sent by `sbatch --signal`, asks to finish running tasks and take no more. After SIGUSR2,
    SIGTERM, SIGINT, or at the end of the time, running tasks are abandoned: little time is left.

    Parameters
    ----------
    seconds : float or None
        Time left, s; None if unknown.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._ends = None if seconds is None else time.monotonic() + seconds - CLOSING
        self._requested = self._too_short = False
        self._abandon = False

    def listen(self) -> None:
        """Install the signal handlers; call it from the main thread."""
        signal.signal(signal.SIGUSR1, lambda *_: self.finish())
        for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_abandon)

    @property
    def requested(self) -> bool:
        """Take no further task."""
        return self._requested or self.abandon

    @property
    def abandon(self) -> bool:
        """Abandon running tasks as well."""
        return self._abandon or (self._ends is not None and time.monotonic() >= self._ends)

    @property
    def out_of_time(self) -> bool:
        """Whether the time is up, or was found too short for a further run."""
        return self._too_short or (self._ends is not None and time.monotonic() >= self._ends)

    @property
    def left(self) -> float:
        """Time left for runs, s; infinite if unknown."""
        return float("inf") if self._ends is None else self._ends - time.monotonic()

    def finish(self) -> None:
        """Take no further task, as after SIGUSR1."""
        self._requested = True

    def too_short(self) -> None:
        """Take no further task, because the time left does not suffice for one."""
        self._too_short = self._requested = True

    def _on_abandon(self, _signal: int, _frame: FrameType | None) -> None:
        self._abandon = True


class RunTimes:
    """Wall times of the latest runs.

    Parameters
    ----------
    seconds : iterable of float
        Wall times of earlier runs, s; NaN is skipped.
    guess : float
        Time that a run is likely to take as long as none has ended, s.
    """

    def __init__(self, seconds: Iterable[float] = (), guess: float = 0.0) -> None:
        self._guess = guess
        self._seconds = deque((s for s in seconds if s == s), maxlen=_REMEMBERED)  # noqa: PLR0124 (not NaN)
        # Sorted: rank 0 asks after every run.
        self._sorted = sorted(self._seconds)

    def add(self, seconds: float) -> None:
        """Add the wall time of a run, s."""
        if len(self._seconds) == _REMEMBERED:
            del self._sorted[bisect_left(self._sorted, self._seconds[0])]
        self._seconds.append(seconds)
        insort(self._sorted, seconds)

    @property
    def likely(self) -> float:
        """Time within which a run is likely to end, s: the quantile `LIKELY`; the guess before the first."""
        if not self._sorted:
            return self._guess
        below, share = divmod(LIKELY * (len(self._sorted) - 1), 1)
        low, high = self._sorted[int(below)], self._sorted[min(int(below) + 1, len(self._sorted) - 1)]
        return low + share * (high - low)


def time_left(limit: float | None, environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the time left for this job, s; None if unknown.

    Parameters
    ----------
    limit : float or None
        The user's limit, s from now; counts before Slurm's.
    environment : mapping
        Environment variables, with Slurm's end of the job in SLURM_JOB_END_TIME (seconds since 1970).
    """
    if limit is not None:
        return limit
    end = environment.get("SLURM_JOB_END_TIME", "")
    return float(end) - time.time() if end.isdigit() else None
