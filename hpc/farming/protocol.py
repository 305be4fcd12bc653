"""What the ranks of a farm agree on: the parts of a worker and of the lead, and the messages between them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from hpc.comm import Comm
from xanesml.errors import EnvironmentProblem, XanesmlError

R = TypeVar("R")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

#: Tags: a worker's request, with the report of its last batch; its next batch, with the answers to that report;
#: abandon what runs; the end.
REQUEST, TASKS, STOP, END = 11, 12, 13, 14

#: Shortest and longest pause between two polls of the child and the messages, s.
PAUSES = (20e-6, 0.005)


class RunningTask(Protocol[R_co]):
    """A task that runs in a child process."""

    def poll(self) -> R_co | None:
        """Return the result once it is there, without waiting."""

    def kill(self) -> None:
        """End the task and all its child processes; it has no result."""


class Worker(Protocol[R, T_co]):
    """Runs tasks; every rank has one. Errors of either method count as errors of the rank."""

    def start(self, task: int) -> RunningTask[R]:
        """Start a task."""

    def finish(self, task: int, result: R) -> T_co:
        """Take a task's result and return what rank 0 needs of it, picklable."""

    def answered(self, answers: Sequence[Any]) -> None:
        """Take what `Lead.report` said to finished tasks, before another one starts."""


class Lead(Protocol[T_contra]):
    """Follows the farm on rank 0. Errors of any method end the farm."""

    def dispatched(self, rank: int, tasks: Sequence[int]) -> None:
        """Note that a rank is sent tasks."""

    def report(self, rank: int, finished: T_contra) -> object:
        """Take what a worker's `finish` returned; the answer, picklable, goes to that worker."""

    def retired(self, rank: int, problem: EnvironmentProblem) -> None:
        """Note that a rank takes no further tasks, and why."""

    def tick(self) -> None:
        """Do what is due about once a second."""


@dataclass
class BatchReport:
    """Message of a rank to rank 0 when its batch is over.

    Attributes
    ----------
    rank : int
        The rank.
    finished : list
        What `Worker.finish` returned for each task.
    returned : list of int
        Tasks that did not run.
    seconds : float
        Time that the batch took, s.
    draining : bool
        Whether the rank was asked to stop.
    problem : XanesmlError or None
        Why it takes no further tasks.
    """

    rank: int
    finished: list[Any] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    seconds: float = 0.0
    draining: bool = False
    problem: XanesmlError | None = None


def arrived(comm: Comm, **message: int) -> bool:
    """Return whether a message is there; `source` and `tag` as for `Comm.Iprobe`.

    Open MPI searches before it lets new messages in, so one probe sees the messages that the probe
    before it let in. Two ranks that wait for each other would each wait up to the longest pause more.
    """
    return comm.Iprobe(**message) or comm.Iprobe(**message)


class Pause:
    """Sleeps longer the longer nothing happens."""

    def __init__(self) -> None:
        self._seconds = PAUSES[0]

    def reset(self) -> None:
        """Begin with the shortest pause again."""
        self._seconds = PAUSES[0]

    def sleep(self) -> None:
        """Sleep, and twice as long next time."""
        time.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, PAUSES[1])
