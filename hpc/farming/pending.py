"""Tasks that a store has left to run, in dispatch order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpc.comm import Comm
from hpc.drain import LIKELY
from xanesml.campaign import EngineSection
from xanesml.feff.outcomes import Outcome
from xanesml.files.arrays import Floats, Integers
from xanesml.store.cost import expected_seconds, table_seconds
from xanesml.store.rows import count_outcomes, open_store_file, torn_rows
from xanesml.store.tasks import TaskTable
from xanesml.store.variants import in_variants


@dataclass(frozen=True)
class Pending:
    """The tasks that are left to run.

    Attributes
    ----------
    count : int
        Their number.
    order : ndarray, shape (count,), int64
        Task indices in dispatch order; empty on ranks other than 0.
    outcomes : dict of str to int
        Tasks of the store by outcome label; empty on ranks other than 0.
    history : ndarray, float64
        Wall times of the tasks that are done, s; empty on ranks other than 0.
    guess : float
        Time that a run takes at least, s, before any has ended: half of what the cost model says, which is right
        within a factor of two; 0 on ranks other than 0.
    """

    count: int
    order: Integers
    outcomes: dict[str, int]
    history: Floats
    guess: float = 0.0


def find_pending(
    comm: Comm, table: TaskTable, store: Path, engine: EngineSection, *, echo: Callable[[str], None]
) -> Pending:
    """Verify the rows that have an outcome, each rank its share, and order the others; collective.

    Tasks without a sound row are run longest first by expected wall time, for which `engine` says what
    xanesml solves; see `xanesml.store.cost.table_seconds`. Those of variants come after all others.
    """
    total = len(table)
    with open_store_file(store) as file:
        torn = torn_rows(file, range(comm.rank * total // comm.size, (comm.rank + 1) * total // comm.size))
    shares = comm.gather(torn)
    pending = None
    if shares is not None:
        pending = _order(table, store, np.concatenate(shares), engine, echo=echo)
    count = comm.bcast(None if pending is None else pending.count)
    return pending or Pending(count, np.empty(0, np.int64), {}, np.empty(0))


def _order(
    table: TaskTable, store: Path, torn: Integers, engine: EngineSection, *, echo: Callable[[str], None]
) -> Pending:
    with open_store_file(store) as file:
        outcome, seconds = file["runs/outcome"][:], file["runs/seconds"][:]
    outcome[torn] = Outcome.PENDING
    seconds[outcome != Outcome.DONE] = np.nan
    pending = np.flatnonzero(outcome != Outcome.DONE)
    if len(pending) < len(table):
        bounds = {one.name: np.searchsorted(pending, (one.rows.start, one.rows.stop)) for one in table.variants}
        left = {name: int(stop - start) for name, (start, stop) in bounds.items() if stop > start}
        echo(
            f"store: {store}, {len(table) - len(pending)} of {len(table)} tasks done, {len(pending)} to run"
            f"{in_variants(left)}"
        )
    if len(torn):
        echo(f"store: {len(torn)} rows did not match their checksum and are run again")
    expected = expected_seconds(table_seconds(table, engine), seconds)[pending]
    order = pending[np.lexsort((-expected, pending >= len(table.own)))]
    guess = float(np.quantile(expected, LIKELY)) / 2 if len(expected) else 0.0
    return Pending(len(pending), order, count_outcomes(outcome), seconds[outcome == Outcome.DONE], guess)
