"""The task farm: ranks take tasks as they become free, and rank 0 works as well.

Every rank runs the same loop over one child process at a time. Rank 0 hands out
tasks between looks at its own child, so no rank idles as a manager. Nothing here
knows about FEFF or HDF5: a job is anything with `poll` and `kill`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from mpi4py import MPI

if TYPE_CHECKING:
    from hpc.drain import Drain

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_REQUEST, _TASK = 11, 12
_NO_MORE = -1


class Job(Protocol[R_co]):
    """A task under way in a child process."""

    def poll(self) -> R_co | None:
        """Return the result once it is there, without waiting."""

    def kill(self) -> None:
        """End the job and all its children; nothing is returned for it."""


class Farm(Generic[R]):
    """Spreads tasks over the ranks of a communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The ranks; a communicator of the farm's own is made from it.
    start : callable
        Starts a task on this rank and returns its `Job`.
    finish : callable
        Takes the task and its result on the rank that ran it, and returns what rank 0
        is to be told of it (picklable).
    report : callable
        Called on rank 0 for every finished task with the rank and what it told.
    drain : Drain
        Asked between tasks whether to take no more, and whether to abandon what runs.
    interval : float
        Pause between two looks at the child and the messages, s.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        *,
        start: Callable[[int], Job[R]],
        finish: Callable[[int, R], object],
        report: Callable[[int, object], None],
        drain: Drain,
        interval: float = 0.005,
    ) -> None:
        self._comm = comm.Dup()
        self._start = start
        self._finish = finish
        self._report = report
        self._drain = drain
        self._interval = interval

    def run(self, tasks: Iterable[int]) -> None:
        """Run the tasks; collective.

        Parameters
        ----------
        tasks : iterable of int
            The tasks in the order in which they are handed out. Only rank 0's count.
        """
        if self._comm.rank == 0:
            self._lead(deque(tasks))
        else:
            self._work()
        # Collective, and so not for a rank that fails: it has to abort, not to wait for the others.
        self._comm.Free()

    def _lead(self, queue: deque[int]) -> None:
        waiting_for = self._comm.size - 1
        status = MPI.Status()
        own: tuple[int, Job[R]] | None = None
        while True:
            busy = False
            if self._drain.requested:
                queue.clear()
            while self._comm.Iprobe(tag=_REQUEST, status=status):
                rank = status.Get_source()
                told, draining = self._comm.recv(source=rank, tag=_REQUEST)
                if told is not None:
                    self._report(rank, told)
                if draining:
                    queue.clear()
                task = queue.popleft() if queue else _NO_MORE
                self._comm.send(task, dest=rank, tag=_TASK)
                waiting_for -= task == _NO_MORE
                busy = True
            if own is None and queue:
                task = queue.popleft()
                own = task, self._start(task)
            if own is not None:
                over, told = self._look_at(*own)
                if told is not None:
                    self._report(0, told)
                if over:
                    own, busy = None, True
            if own is None and not queue and waiting_for == 0:
                return
            if not busy:
                time.sleep(self._interval)

    def _work(self) -> None:
        told: object = None
        while True:
            self._comm.send((told, self._drain.requested), dest=0, tag=_REQUEST)
            while not self._comm.Iprobe(source=0, tag=_TASK):
                time.sleep(self._interval)
            task = self._comm.recv(source=0, tag=_TASK)
            if task == _NO_MORE:
                return
            job = self._start(task)
            over = False
            while not over:
                over, told = self._look_at(task, job)
                if not over:
                    time.sleep(self._interval)

    def _look_at(self, task: int, job: Job[R]) -> tuple[bool, object]:
        """Look at a job once: whether it is over, and what rank 0 is to be told."""
        if self._drain.abandon:
            job.kill()
            return True, None
        result = job.poll()
        if result is None:
            return False, None
        return True, self._finish(task, result)
