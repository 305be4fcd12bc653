"""The task farm: ranks take tasks as they become free, and rank 0 works as well.

Every rank runs the same loop over one child process at a time. Rank 0 hands out
tasks between looks at its own child, so no rank idles as a manager. Tasks that take
long are handed out one by one as ranks become free; very short ones in batches.
Nothing here knows about FEFF or HDF5: a job is anything with `poll` and `kill`.

A rank that cannot go on for a reason of its own host (`EnvironmentProblem`) gives its
tasks back and retires; any other `XanesmlError` ends the whole farm in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from mpi4py import MPI

from xanesml.errors import EnvironmentProblem, XanesmlError
from xanesml.files.arrays import Wholes

if TYPE_CHECKING:
    from hpc.drain import Drain

R = TypeVar("R")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

_REQUEST, _TASKS, _STOP, _END = 11, 12, 13, 14

#: Work handed out at a time to a rank, s: tasks shorter than this come in batches.
BATCH_SECONDS = 0.05

#: Shortest and longest pause between two looks at the child and the messages, s.
PAUSES = (20e-6, 0.005)

#: Time between two calls of `tick`, s.
_TICK = 1.0


class Job(Protocol[R_co]):
    """A task under way in a child process."""

    def poll(self) -> R_co | None:
        """Return the result once it is there, without waiting."""

    def kill(self) -> None:
        """End the job and all its children; nothing is returned for it."""


@dataclass
class Told:
    """What a rank tells rank 0 when its batch is over.

    Attributes
    ----------
    finished : list
        What `finish` returned for each task.
    returned : list of int
        Tasks that were not run.
    seconds : float
        Time that the batch took, s.
    draining : bool
        Whether the rank was asked to stop.
    problem : XanesmlError or None
        Why it takes no further tasks.
    """

    finished: list[Any] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    seconds: float = 0.0
    draining: bool = False
    problem: XanesmlError | None = None


class Farm(Generic[R, T]):
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
    given : callable, optional
        Called on rank 0 with a rank and the tasks that it is handed.
    retired : callable, optional
        Called on rank 0 with a rank that retires and the reason.
    tick : callable, optional
        Called on rank 0 about once a second.
    batch_seconds : float
        Work handed out at a time, s.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        *,
        start: Callable[[int], Job[R]],
        finish: Callable[[int, R], T],
        report: Callable[[int, T], None],
        drain: Drain,
        given: Callable[[int, Sequence[int]], None] = lambda _rank, _tasks: None,
        retired: Callable[[int, EnvironmentProblem], None] = lambda _rank, _problem: None,
        tick: Callable[[], None] = lambda: None,
        batch_seconds: float = BATCH_SECONDS,
    ) -> None:
        self.comm = comm.Dup()
        self.start = start
        self.finish = finish
        self.report = report
        self.drain = drain
        self.given = given
        self.retired = retired
        self.tick = tick
        self.batch_seconds = batch_seconds

    def run(self, tasks: Sequence[int] | Wholes) -> None:
        """Run the tasks; collective.

        Parameters
        ----------
        tasks : sequence or (n,) array of int
            The tasks in the order in which they are handed out. Only rank 0's count.

        Raises
        ------
        XanesmlError
            On every rank, where one met an error that concerns all: what ran was ended.
        EnvironmentProblem
            On every rank, where all have retired and tasks are left.
        """
        problem: XanesmlError | None
        if self.comm.rank == 0:
            lead = _Lead(self, tasks)
            problem = lead.run()
            for rank in range(1, self.comm.size):
                self.comm.send((problem, lead.stopped), dest=rank, tag=_END)
        else:
            self._work()
            problem, stopped = self._await(_END)
            if stopped:
                self.comm.recv(source=0, tag=_STOP)
        # Collective, and so not for a rank that fails: it has to abort, not to wait for the others.
        self.comm.Free()
        if problem is not None:
            problem.collective = True
            raise problem

    def _work(self) -> None:
        told = Told(draining=self.drain.requested)
        while True:
            self.comm.send(told, dest=0, tag=_REQUEST)
            if told.problem is not None:
                return
            batch = self._await(_TASKS)
            if not batch:
                return
            told = self._run_batch(batch)

    def _await(self, tag: int) -> Any:
        """Receive from rank 0 without keeping the core busy, which another rank's child may need."""
        pause = _Pause()
        while not _arrived(self.comm, 0, tag):
            pause.sleep()
        return self.comm.recv(source=0, tag=tag)

    def _run_batch(self, batch: list[int]) -> Told:
        told = Told()
        began = time.monotonic()
        for index, task in enumerate(batch):
            if self.drain.requested or self.comm.Iprobe(source=0, tag=_STOP):
                told.returned = batch[index:]
                break
            try:
                over = self._run_one(task, told)
            except XanesmlError as error:
                told.problem = error
                over = False
            if not over:
                told.returned = batch[index:]
                break
        told.seconds = time.monotonic() - began
        told.draining = self.drain.requested
        return told

    def _run_one(self, task: int, told: Told) -> bool:
        """Run one task to its end; False where it was abandoned."""
        job = self.start(task)
        pause = _Pause()
        try:
            while (result := job.poll()) is None:
                if self.drain.abandon or self.comm.Iprobe(source=0, tag=_STOP):
                    return False
                pause.sleep()
        finally:
            job.kill()
        told.finished.append(self.finish(task, result))
        return True


class _Lead(Generic[R, T]):
    """Rank 0's side: hands out tasks, takes results, and runs a task of its own in between."""

    def __init__(self, farm: Farm[R, T], tasks: Sequence[int] | Wholes) -> None:
        self._farm = farm
        self._comm = farm.comm
        self._tasks = tasks
        self._next = 0
        self._returned: list[int] = []
        self._working = self._comm.size - 1
        self._own: tuple[int, Job[R]] | None = None
        self._own_problem: EnvironmentProblem | None = None
        self._fatal: XanesmlError | None = None
        self._closed = False
        # Mean wall time of a task, s, of late.
        self._mean: float | None = None

    def run(self) -> XanesmlError | None:
        ticked = time.monotonic()
        pause = _Pause()
        status = MPI.Status()
        while True:
            if self._farm.drain.requested:
                self._closed = True
            busy = False
            while _arrived(self._comm, MPI.ANY_SOURCE, _REQUEST, status):
                rank = status.Get_source()
                self._serve(rank, self._comm.recv(source=rank, tag=_REQUEST))
                busy = True
            busy |= self._look_at_own()
            if time.monotonic() - ticked >= _TICK:
                ticked = time.monotonic()
                try:
                    self._farm.tick()
                except XanesmlError as error:
                    self._stop(error)
            if self._own is None and self._working == 0 and (self._left == 0 or self._own_problem is not None):
                break
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
        """Tasks that can still be handed out."""
        return 0 if self._closed else len(self._tasks) - self._next + len(self._returned)

    def _take(self, count: int) -> list[int]:
        taken = self._returned[:count]
        del self._returned[: len(taken)]
        fresh = [int(task) for task in self._tasks[self._next : self._next + count - len(taken)]]
        self._next += len(fresh)
        return taken + fresh

    def _batch_size(self) -> int:
        if not self._mean or self._mean >= self._farm.batch_seconds:
            return 1
        fair = self._left // (2 * self._comm.size)
        return max(1, min(int(self._farm.batch_seconds / self._mean), fair))

    def _serve(self, rank: int, told: Told) -> None:
        try:
            for result in told.finished:
                self._farm.report(rank, result)
        except XanesmlError as error:
            self._stop(error)
        if told.finished:
            mean = told.seconds / len(told.finished)
            self._mean = mean if self._mean is None else 0.5 * (self._mean + mean)
        self._returned += told.returned
        if told.draining:
            self._closed = True
        if told.problem is not None:
            self._working -= 1
            self._retire(rank, told.problem)
            return
        batch = self._take(self._batch_size()) if self._left else []
        try:
            if batch:
                self._farm.given(rank, batch)
        except XanesmlError as error:
            self._stop(error)
            batch = []
        if not batch:
            self._working -= 1
        self._comm.send(batch, dest=rank, tag=_TASKS)

    def _look_at_own(self) -> bool:
        """Run rank 0's own task a little further; whether anything happened."""
        farm = self._farm
        try:
            if self._own is None:
                if not self._left or self._own_problem is not None:
                    return False
                task = self._take(1)[0]
                farm.given(0, [task])
                try:
                    self._own = task, farm.start(task)
                except XanesmlError:
                    self._returned.append(task)
                    raise
            task, job = self._own
            try:
                result = None if farm.drain.abandon or self._fatal is not None else job.poll()
            except XanesmlError:
                self._own = None
                self._returned.append(task)
                job.kill()
                raise
            if result is not None:
                self._own = None
                farm.report(0, farm.finish(task, result))
            elif farm.drain.abandon or self._fatal is not None:
                self._own = None
                job.kill()
                self._returned.append(task)
            return self._own is None
        except XanesmlError as error:
            if isinstance(error, EnvironmentProblem):
                self._own_problem = error
            self._retire(0, error)
        return True

    def _retire(self, rank: int, problem: XanesmlError) -> None:
        """Note that a rank takes no further tasks; where the reason is not of its host alone, nobody does."""
        if not isinstance(problem, EnvironmentProblem):
            self._stop(problem)
            return
        try:
            self._farm.retired(rank, problem)
        except XanesmlError as error:
            self._stop(error)

    def _stop(self, error: XanesmlError) -> None:
        """End the farm: nothing more is handed out, and every rank abandons what it runs."""
        self._closed = True
        if self._fatal is None:
            self._fatal = error
            for rank in range(1, self._comm.size):
                self._comm.send(None, dest=rank, tag=_STOP)


def _arrived(comm: MPI.Intracomm, source: int, tag: int, status: MPI.Status | None = None) -> bool:
    """Whether a message is there.

    Open MPI looks for it first and lets messages in after that, so that one look alone
    finds what came before the look before. Two ranks that wait for each other would then
    each wait longer than the other, up to the longest pause.
    """
    return comm.Iprobe(source, tag, status) or comm.Iprobe(source, tag, status)


class _Pause:
    """Sleeps longer the longer nothing happens."""

    def __init__(self) -> None:
        self._seconds = PAUSES[0]

    def reset(self) -> None:
        self._seconds = PAUSES[0]

    def sleep(self) -> None:
        time.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, PAUSES[1])
