"""Rank 0's side of the farm: dispatches tasks, takes reports, and runs a task of its own in between."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Generic

from hpc.comm import Comm
from hpc.drain import Drain
from hpc.farming.protocol import REQUEST, STOP, TASKS, BatchReport, Lead, Pause, R, RunningTask, T, Worker, arrived
from xanesml.errors import EnvironmentProblem, XanesmlError
from xanesml.files.arrays import Wholes

#: Time between two calls of `Lead.tick`, s.
_TICK = 1.0


class Dispatcher(Generic[R, T]):
    """Rank 0's loop; parameters as for `run_farm`."""

    def __init__(
        self,
        comm: Comm,
        tasks: Sequence[int] | Wholes,
        worker: Worker[R, T],
        lead: Lead[T],
        drain: Drain,
        batch_seconds: float,
    ) -> None:
        self._comm, self._tasks, self._worker, self._lead = comm, tasks, worker, lead
        self._drain, self._batch_seconds = drain, batch_seconds
        self._next = 0
        self._returned: list[int] = []
        self._working = comm.size - 1
        self._own: tuple[int, RunningTask[R]] | None = None
        self._own_problem: EnvironmentProblem | None = None
        self._fatal: XanesmlError | None = None
        self._closed = False
        # Wall time of a task, s: a mean in which recent batches count more.
        self._mean: float | None = None

    def run(self) -> XanesmlError | None:
        """Dispatch until nothing is left and every rank has reported; return why tasks are left, if they are."""
        ticked = time.monotonic()
        pause = Pause()
        while self._own is not None or self._working or (self._left and self._own_problem is None):
            busy = False
            while arrived(self._comm, tag=REQUEST):
                self._serve(self._comm.recv(tag=REQUEST))
                busy = True
            busy |= self._advance_own()
            if time.monotonic() - ticked >= _TICK:
                ticked = time.monotonic()
                try:
                    self._lead.tick()
                except XanesmlError as error:
                    self._stop(error)
            if busy:
                pause.reset()
            else:
                pause.sleep()
        return self._fatal or (self._own_problem if self._left else None)

    @property
    def stopped(self) -> bool:
        """Whether the other ranks were told to abandon what they run."""
        return self._fatal is not None

    @property
    def _left(self) -> int:
        """Number of tasks that may still be dispatched."""
        if self._closed or self._drain.requested:
            return 0
        return len(self._tasks) - self._next + len(self._returned)

    def _take(self, count: int) -> list[int]:
        taken = self._returned[:count]
        del self._returned[: len(taken)]
        fresh = [int(task) for task in self._tasks[self._next : self._next + count - len(taken)]]
        self._next += len(fresh)
        return taken + fresh

    def _batch_size(self) -> int:
        if not self._mean or self._mean >= self._batch_seconds:
            return 1
        fair = self._left // (2 * self._comm.size)
        return max(1, min(int(self._batch_seconds / self._mean), fair))

    def _serve(self, report: BatchReport) -> None:
        """Take the report of a rank and send it its next batch; an empty one ends its loop."""
        answers = []
        try:
            for finished in report.finished:
                answers.append(self._lead.report(report.rank, finished))
        except XanesmlError as error:
            self._stop(error)
        if report.finished:
            mean = report.seconds / len(report.finished)
            self._mean = mean if self._mean is None else 0.5 * (self._mean + mean)
        self._returned += report.returned
        self._closed |= report.draining
        if report.problem is not None:
            self._working -= 1
            self._retire(report.rank, report.problem)
            return
        batch = self._take(self._batch_size()) if self._left else []
        try:
            if batch:
                self._lead.dispatched(report.rank, batch)
        except XanesmlError as error:
            self._stop(error)
            batch = []
        if not batch:
            self._working -= 1
        self._comm.send((batch, answers), dest=report.rank, tag=TASKS)

    def _advance_own(self) -> bool:
        """Start, poll or finish rank 0's own task; return whether anything happened."""
        if self._own is None and (not self._left or self._own_problem is not None):
            return False
        try:
            return self._poll_own(*(self._own or self._start_own()))
        except XanesmlError as error:
            if isinstance(error, EnvironmentProblem):
                self._own_problem = error
            self._retire(0, error)
        return True

    def _start_own(self) -> tuple[int, RunningTask[R]]:
        task = self._take(1)[0]
        self._lead.dispatched(0, [task])
        try:
            self._own = task, self._worker.start(task)
        except XanesmlError:
            self._returned.append(task)
            raise
        return self._own

    def _poll_own(self, task: int, running: RunningTask[R]) -> bool:
        """Poll rank 0's own task; return whether it ended."""
        abandoned = self._drain.abandon or self.stopped
        try:
            result = None if abandoned else running.poll()
            if result is not None:
                finished = self._worker.finish(task, result)
        except XanesmlError:
            self._return_own(task, running)
            raise
        if abandoned:
            self._return_own(task, running)
        elif result is not None:
            self._own = None
            self._worker.answered([self._lead.report(0, finished)])
        return self._own is None

    def _return_own(self, task: int, running: RunningTask[R]) -> None:
        self._own = None
        self._returned.append(task)
        running.kill()

    def _retire(self, rank: int, problem: XanesmlError) -> None:
        """Take note of a rank's problem; one that is not of its host alone stops the farm."""
        if not isinstance(problem, EnvironmentProblem):
            self._stop(problem)
            return
        try:
            self._lead.retired(rank, problem)
        except XanesmlError as error:
            self._stop(error)

    def _stop(self, error: XanesmlError) -> None:
        """Dispatch nothing more, and tell every rank to abandon what it runs."""
        self._closed = True
        if self._fatal is None:
            self._fatal = error
            for rank in range(1, self._comm.size):
                self._comm.send(None, dest=rank, tag=STOP)
