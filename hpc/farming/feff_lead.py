"""Rank 0's further part in a simulation: journal, progress, and no run that time does not suffice for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from hpc.drain import Drain, RunTimes
from hpc.farming.pending import Pending
from hpc.progress import ProgressLine
from xanesml.errors import EnvironmentProblem
from xanesml.feff.outcomes import Outcome
from xanesml.store.journal import Journal
from xanesml.store.rows import Row, RowWriter

#: Folders of tasks that are not done which one call keeps for inspection of each rank, and the store in all.
KEPT_FAILURES, KEPT_IN_ALL = 5, 100

#: Tasks with a message that are printed for each outcome.
TOLD = 20


class FeffLead:
    """The `Lead` of a simulation.

    Parameters
    ----------
    journal : Journal
        The store's journal, closed by `close`.
    pending : Pending
        The tasks that are farmed.
    writer : RowWriter or None
        Writes the rows of all ranks; None where every rank writes its own.
    drain : Drain
        Told to stop when the time left is shorter than a run.
    kept : int
        Folders of failed tasks that are kept already.
    allowed : int
        How many tasks may fail; after more the drain is told to stop.
    echo : callable
        Prints a line.

    Attributes
    ----------
    ran, failed : int
        Tasks that have ended, and those of them that failed.
    too_many : bool
        Whether more have failed than are allowed.
    busy : float
        Time of all runs together, s.
    """

    def __init__(
        self,
        journal: Journal,
        pending: Pending,
        writer: RowWriter | None,
        drain: Drain,
        echo: Callable[[str], None],
        *,
        kept: int,
        allowed: int,
    ) -> None:
        self._journal, self._writer, self._drain, self._echo = journal, writer, drain, echo
        self._times = RunTimes(pending.history, pending.guess)
        self._progress = ProgressLine("FEFF runs", pending.count, echo) if pending.count else None
        self._allowed = allowed
        self._told = Counter[str]()
        self._kept, self._kept_by = kept, Counter[int]()
        self.ran = self.failed = 0
        self.busy = 0.0

    def dispatched(self, rank: int, tasks: Sequence[int]) -> None:
        """Note in the journal that a rank is sent tasks."""
        self._journal.give(rank, tasks)

    def report(self, rank: int, finished: tuple[Row, bytes]) -> int | None:
        """Write the row where rank 0 writes for all, and note the task in the journal.

        Returns
        -------
        int or None
            The task, if the rank is to keep its folder.
        """
        row, content = finished
        if self._writer is not None:
            self._writer.write_packed(row.task, content)
        self.ran += 1
        self._times.add(row.seconds)
        self.busy += row.seconds
        if row.outcome is not Outcome.DONE:
            self._count_failure()
        self._journal.run(
            task=row.task,
            outcome=row.outcome,
            seconds=row.seconds,
            rank=rank,
            host=row.host,
            tries=row.tries,
            message=row.message,
        )
        if row.message or row.changes:
            self._tell(row)
        if self._progress is not None:
            self._progress.advance()
        self._watch_the_time()
        return row.task if row.outcome is not Outcome.DONE and self._keeps(rank) else None

    def retired(self, rank: int, problem: EnvironmentProblem) -> None:
        """Note in the journal that a rank takes no further tasks."""
        self._journal.retire(rank, str(problem))
        self._echo(f"rank {rank} takes no further tasks: {problem}")

    def tick(self) -> None:
        """Flush the journal and look at the clock."""
        self._journal.flush()
        self._watch_the_time()

    def close(self) -> None:
        """Remove the progress bar and close the journal."""
        if self._progress is not None:
            self._progress.close()
        self._journal.close()

    @property
    def too_many(self) -> bool:
        """Whether more tasks have failed than are allowed."""
        return self.failed > self._allowed

    def _tell(self, row: Row) -> None:
        """Print why a task failed or what was changed for it, while there are few of its kind."""
        label = row.outcome.label
        self._told[label] += 1
        if self._told[label] <= TOLD:
            self._echo(f"task {row.task}: {label}: {row.message or 'with ' + row.changes}")
        if self._told[label] == TOLD:
            self._echo(f"further tasks that end as {label} are only counted; xanesml status lists the latest")

    def _keeps(self, rank: int) -> bool:
        """Return whether a rank may keep one more folder: files are short on clusters, and many ranks may fail."""
        if self._kept >= KEPT_IN_ALL or self._kept_by[rank] >= KEPT_FAILURES:
            return False
        self._kept += 1
        self._kept_by[rank] += 1
        return True

    def _count_failure(self) -> None:
        self.failed += 1
        if self.failed == self._allowed + 1:
            self._echo(f"{self.failed} tasks have failed, more than engine.max_failed allows: no further tasks")
            self._drain.finish()

    def _watch_the_time(self) -> None:
        if not self._drain.requested and self._drain.left < self._times.likely:
            self._echo(
                f"{max(self._drain.left, 0):.0f} s are left for runs, and a run is likely to take "
                f"{self._times.likely:.0f} s: no further tasks"
            )
            self._drain.too_short()
