"""The journal beside a store: one line per finished run, readable while the store is written.

`xanesml status` reads it, so that an HDF5 file open in parallel is never touched.
The store decides what is done; the journal only tells how a run is getting on.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xanesml.errors import StoreError
from xanesml.outcomes import Outcome


def journal_path(store: Path) -> Path:
    """Return the name of the journal that belongs to a store."""
    return store.with_suffix(".journal")


class Journal:
    """Appends to a store's journal. Only rank 0 has one.

    Parameters
    ----------
    store : Path
        The store.
    tasks, pending, ranks : int
        Tasks in the store, tasks left to run now, and ranks that run them.
    """

    def __init__(self, store: Path, *, tasks: int, pending: int, ranks: int) -> None:
        self._file = journal_path(store).open("a", buffering=1, encoding="utf-8")
        self._append(event="start", time=time.time(), tasks=tasks, pending=pending, ranks=ranks)

    def run(self, *, task: int, outcome: Outcome, seconds: float, rank: int, host: str, message: str) -> None:
        """Note a finished run."""
        entry = {"task": task, "outcome": outcome.label, "seconds": round(seconds, 3), "rank": rank, "host": host}
        self._append(event="run", time=time.time(), **entry, **({"message": message} if message else {}))

    def close(self) -> None:
        """Note the end and close the file."""
        self._append(event="end", time=time.time())
        self._file.close()

    def _append(self, **entry: Any) -> None:
        self._file.write(json.dumps(entry) + "\n")


@dataclass
class Status:
    """What a journal says of the latest call of `simulate`.

    Attributes
    ----------
    tasks : int
        Tasks in the store.
    pending : int
        Tasks not done when the latest call began.
    ranks : int
        Ranks of the latest call.
    outcomes : Counter
        Runs of the latest call by outcome.
    seconds : list of float
        Wall times of its runs, s.
    failures : list of str
        One line for each run that is not done.
    began, latest : float
        Times of its first and last line, seconds since 1970.
    ended : bool
        Whether the call came to its end.
    """

    tasks: int = 0
    pending: int = 0
    ranks: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    began: float = 0.0
    latest: float = 0.0
    ended: bool = False

    @property
    def left(self) -> int:
        """Tasks not yet run by the latest call."""
        return self.pending - len(self.seconds)

    @property
    def done(self) -> int:
        """Tasks done in all."""
        return self.tasks - self.pending + self.outcomes[Outcome.DONE.label]

    @property
    def runs_per_hour(self) -> float:
        """Rate of the latest call; 0 before its first run is finished."""
        elapsed = self.latest - self.began
        return 3600 * len(self.seconds) / elapsed if elapsed > 0 else 0.0


def read_status(store: Path) -> Status:
    """Read a store's journal.

    Parameters
    ----------
    store : Path
        The store; it is not opened.

    Returns
    -------
    Status
        State of the latest call of `simulate`.

    Raises
    ------
    StoreError
        If there is no journal.
    """
    path = journal_path(store)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StoreError(
            f"no journal {path}: nothing was simulated there yet; run `xanesml simulate CAMPAIGN`"
        ) from error
    status = Status()
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue  # the last line of a run that was killed, or one being written now
        status.latest = entry["time"]
        if entry["event"] == "start":
            status = Status(
                tasks=entry["tasks"],
                pending=entry["pending"],
                ranks=entry["ranks"],
                began=entry["time"],
                latest=entry["time"],
            )
        elif entry["event"] == "run":
            status.outcomes[entry["outcome"]] += 1
            status.seconds.append(entry["seconds"])
            if "message" in entry:
                status.failures.append(f"task {entry['task']}: {entry['outcome']}: {entry['message']}")
        else:
            status.ended = True
    return status
