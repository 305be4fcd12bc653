"""The journal beside a store: the progress of a simulation, readable while it runs.

`xanesml status` reads it, so that an HDF5 file open in parallel is never touched; running totals beside it
(`xanesml.store.tally`) spare it the reading of the whole.
Only the store decides which tasks are done. Each line is a JSON object:

- ``start``: a call of `simulate` starts, with the outcomes in the store,
- ``give``: tasks are dispatched to a rank,
- ``run``: a task has finished,
- ``retire``: a rank takes no further tasks,
- ``end``: the call has ended.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.store.tally import Status, journal_path, totals_path

#: Longest time that a line waits in memory, s.
_FLUSH = 1.0

#: Time between two writings of the running totals, s, and the share of the time that they may take.
_TOTALS, _TOTALS_SHARE = 10.0, 0.01


class Journal:
    """Appends to a store's journal, on rank 0.

    Parameters
    ----------
    store : Path
        The store.
    outcomes : dict
        Tasks of the store by outcome label at the start.
    pending, ranks : int
        Tasks left to run, and ranks that run them.
    variants : dict, optional
        Tasks of the store by variant.

    Raises
    ------
    StoreError
        If it cannot be written; also from every other method, as when the disk is full.
    """

    def __init__(
        self,
        store: Path,
        *,
        outcomes: dict[str, int],
        pending: int,
        ranks: int,
        variants: dict[str, int] | None = None,
    ) -> None:
        self._path, self._totals = journal_path(store), totals_path(store)
        self._flushed = time.monotonic()
        # The first totals come with the first entries, after which those of an earlier call would not do.
        self._totals_due = self._flushed
        self._status = Status()
        with self._writing():
            # A line cut off by a kill stays a line of its own.
            torn = self._path.exists() and self._path.stat().st_size and not _ends_with_newline(self._path)
            self._file = self._path.open("a", encoding="utf-8")
            self._size = self._file.tell()
        try:
            if torn:
                self._file.write("\n")
                self._size += 1
            more = {"variants": variants} if variants else {}
            self._append(event="start", outcomes=outcomes, pending=pending, ranks=ranks, **more)
            self.flush()
        except StoreError:
            self._let_go()
            raise

    def give(self, rank: int, tasks: Sequence[int]) -> None:
        """Note that tasks are dispatched to a rank."""
        self._append(event="give", rank=rank, tasks=list(tasks))

    def run(
        self, *, task: int, outcome: Outcome, seconds: float, rank: int, host: str, tries: int, message: str
    ) -> None:
        """Note a finished task."""
        more = ({"tries": tries} if tries > 1 else {}) | ({"message": message} if message else {})
        what = {"task": task, "outcome": outcome.label, "seconds": round(seconds, 3), "rank": rank, "host": host}
        self._append(event="run", **what, **more)

    def retire(self, rank: int, message: str) -> None:
        """Note a rank that takes no further tasks."""
        self._append(event="retire", rank=rank, message=message)

    def flush(self) -> None:
        """Write out buffered lines, and now and then the running totals; call it about once a second."""
        self._flushed = time.monotonic()
        with self._writing():
            self._file.flush()
        if self._flushed >= self._totals_due:
            self._write_totals()

    def _write_totals(self) -> None:
        began = time.monotonic()
        head = json.dumps({"journal_bytes": self._size})
        # One name, as one driver writes: what a kill leaves is replaced by the next one.
        partial = self._totals.with_name(f".{self._totals.name}.partial")
        # They only save the readers of the journal time.
        with contextlib.suppress(OSError):
            partial.write_text(f"{head}\n{self._status.to_json()}\n", encoding="utf-8")
            partial.replace(self._totals)
        ended = time.monotonic()
        self._totals_due = ended + max(_TOTALS, (ended - began) / _TOTALS_SHARE)

    def close(self) -> None:
        """Note the end and close the file."""
        try:
            self._append(event="end")
            self._totals_due = 0.0
            self.flush()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        # A full disk has been reported by then.
        with contextlib.suppress(OSError):
            self._file.close()

    def _append(self, **entry: Any) -> None:
        entry = {"time": round(time.time(), 3)} | entry
        line = json.dumps(entry) + "\n"
        with self._writing():
            self._file.write(line)
        self._status.note(entry)
        # JSON is ASCII.
        self._size += len(line)
        if time.monotonic() - self._flushed >= _FLUSH:
            self.flush()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"cannot write {self._path}: {error.strerror}; fix this and rerun; finished rows are safe"
            ) from error


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
