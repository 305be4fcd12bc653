"""The task farm: ranks take tasks as they become free, and rank 0 works as well.

Every rank runs the same loop over one child process at a time. Rank 0 dispatches tasks between
polls of its own child, so no rank idles as a manager. Long tasks are dispatched one by one as
ranks become free, very short ones in batches. Nothing here knows about FEFF or HDF5.

A rank that fails for a reason of its own host (`EnvironmentProblem`) returns its tasks and
retires; any other `XanesmlError` stops the whole farm in order.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Generic

from hpc.comm import Comm
from hpc.drain import Drain
from hpc.farming.dispatcher import Dispatcher
from hpc.farming.protocol import END, REQUEST, STOP, TASKS, BatchReport, Lead, Pause, R, T, Worker, arrived
from xanesml.errors import XanesmlError
from xanesml.files.arrays import Wholes

#: Work dispatched to a rank at a time, s: tasks shorter than this come in batches.
BATCH_SECONDS = 0.05


def run_farm(
    comm: Comm,
    tasks: Sequence[int] | Wholes,
    *,
    worker: Worker[R, T],
    lead: Lead[T] | None,
    drain: Drain,
    batch_seconds: float = BATCH_SECONDS,
) -> None:
    """Spread tasks over ranks; collective.

    Parameters
    ----------
    comm : Comm
        The ranks; messages go over a duplicate of it.
    tasks : sequence or (n,) array of int
        The tasks in dispatch order; used on rank 0 only.
    worker : Worker
        This rank's worker.
    lead : Lead or None
        Rank 0's; used there only.
    drain : Drain
        Asked between tasks whether to take no more, and whether to abandon what runs.
    batch_seconds : float
        Work dispatched to a rank at a time, s.

    Raises
    ------
    XanesmlError
        On every rank, after an error that concerns all; running tasks were killed.
    EnvironmentProblem
        On every rank, where all have retired and tasks are left.
    """
    own, problem = comm.Dup(), None
    if own.rank == 0:
        assert lead is not None  # noqa: S101 (this is rank 0)
        dispatcher = Dispatcher(own, tasks, worker, lead, drain, batch_seconds)
        problem = dispatcher.run()
        for rank in range(1, own.size):
            own.send((problem, dispatcher.stopped), dest=rank, tag=END)
    else:
        problem = _Follower(own, worker, drain).run()
    # Not in a `finally`: it is collective, and a rank that fails must abort, not wait for the others.
    own.Free()
    if problem is not None:
        problem.collective = True
        raise problem


class _Follower(Generic[R, T]):
    """The loop of every rank but rank 0: fetches batches, runs their tasks and reports them."""

    def __init__(self, comm: Comm, worker: Worker[R, T], drain: Drain) -> None:
        self._comm, self._worker, self._drain = comm, worker, drain

    def run(self) -> XanesmlError | None:
        """Work until rank 0 has no more tasks; return why the farm ended, as rank 0 says."""
        report = BatchReport(self._comm.rank, draining=self._drain.requested)
        while True:
            self._comm.send(report, dest=0, tag=REQUEST)
            if report.problem is not None:
                break
            batch, answers = self._receive(TASKS)
            self._worker.answered(answers)
            if not batch:
                break
            report = self._run_batch(batch)
        problem: XanesmlError | None
        problem, stopped = self._receive(END)
        if stopped:
            self._comm.recv(source=0, tag=STOP)
        return problem

    def _receive(self, tag: int) -> Any:
        """Receive from rank 0 without keeping the core busy: another rank's child may need it."""
        pause = Pause()
        while not arrived(self._comm, source=0, tag=tag):
            pause.sleep()
        return self._comm.recv(source=0, tag=tag)

    def _run_batch(self, batch: list[int]) -> BatchReport:
        report = BatchReport(self._comm.rank)
        began = time.monotonic()
        for index, task in enumerate(batch):
            try:
                ran = not (self._drain.requested or self._stopped()) and self._run_one(task, report)
            except XanesmlError as error:
                report.problem, ran = error, False
            if not ran:
                report.returned = batch[index:]
                break
        report.seconds = time.monotonic() - began
        report.draining = self._drain.requested
        return report

    def _run_one(self, task: int, report: BatchReport) -> bool:
        """Run one task to its end; return False where it was abandoned."""
        running = self._worker.start(task)
        pause = Pause()
        try:
            while (result := running.poll()) is None:
                if self._drain.abandon or self._stopped():
                    return False
                pause.sleep()
        finally:
            running.kill()
        report.finished.append(self._worker.finish(task, result))
        return True

    def _stopped(self) -> bool:
        return self._comm.Iprobe(source=0, tag=STOP)
