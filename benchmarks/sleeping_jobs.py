"""A farm of jobs that only take time: every benchmark of the farm's own part uses it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from mpi4py import MPI

from hpc.drain import Drain
from hpc.farming.farm import BATCH_SECONDS, run_farm
from xanesml.errors import EnvironmentProblem


class Nap:
    """A job that is over after a time, s."""

    def __init__(self, seconds: float) -> None:
        self._end = time.perf_counter() + seconds

    def poll(self) -> bool | None:
        return True if time.perf_counter() >= self._end else None

    def kill(self) -> None:
        pass


def farm_sleeping_jobs(
    seconds: Sequence[float],
    order: Sequence[int],
    *,
    batch_seconds: float = BATCH_SECONDS,
    lead_works: bool = True,
    finish: Callable[[int, bool], Any] = lambda task, _result: task,
    report: Callable[[int, Any], object] = lambda _rank, _task: None,
    dispatched: Callable[[int, Sequence[int]], object] = lambda _rank, _tasks: None,
) -> tuple[float, float]:
    """Farm naps over all ranks; collective.

    Parameters
    ----------
    seconds : sequence of float
        How long each task takes, s.
    order : sequence of int
        The tasks in dispatch order.
    batch_seconds : float
        Work dispatched to a rank at a time, s.
    lead_works : bool
        Whether rank 0 takes tasks itself.
    finish, report, dispatched : callable
        Of the farm's parts; by default they do next to nothing.

    Returns
    -------
    float, float
        Elapsed time and processor time of this rank, s.
    """
    comm = MPI.COMM_WORLD

    def start(task: int) -> Nap:
        if comm.rank == 0 and not lead_works:
            raise EnvironmentProblem("rank 0 only dispatches tasks")
        return Nap(seconds[task])

    part = SimpleNamespace(
        start=start,
        finish=finish,
        answered=lambda _answers: None,
        report=report,
        dispatched=dispatched,
        retired=lambda _rank, _problem: None,
        tick=lambda: None,
    )
    comm.Barrier()
    began, used = time.perf_counter(), time.process_time()
    run_farm(comm, order, worker=part, lead=part, drain=Drain(), batch_seconds=batch_seconds)
    return time.perf_counter() - began, time.process_time() - used
