"""The outcomes of a FEFF run, as stored in the status column of the store."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """The outcome of a task. The values are part of the store's schema.

    `PENDING` is 0, the fill value of a fresh store. Only `DONE` rows hold spectra.
    """

    PENDING = 0
    RUNNING = 1
    DONE = 2
    SCF_NOT_CONVERGED = 3
    BAD_OUTPUT = 4
    CRASHED = 5
    TIMED_OUT = 6
    BAD_INPUT = 7
    CORVAL_FAILED = 8

    @property
    def label(self) -> str:
        """The outcome as printed: lower case, words joined by hyphens."""
        return self.name.lower().replace("_", "-")
