"""A farm of jobs that only take time: every benchmark of the farm's own part uses it."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
    **callbacks: Any,
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
    **callbacks
        `finish`, `report`, `dispatched` of the farm's parts, in place of ones that do next to nothing.

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
        finish=callbacks.get("finish", lambda task, _result: task),
        report=callbacks.get("report", lambda _rank, _task: None),
        dispatched=callbacks.get("dispatched", lambda _rank, _tasks: None),
        retired=lambda _rank, _problem: None,
        tick=lambda: None,
    )
    comm.Barrier()
    began, used = time.perf_counter(), time.process_time()
    run_farm(comm, order, worker=part, lead=part, drain=Drain(), batch_seconds=batch_seconds)
    return time.perf_counter() - began, time.process_time() - used
