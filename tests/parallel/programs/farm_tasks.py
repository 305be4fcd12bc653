"""Farm napping tasks and print, from rank 0, which rank ran which task: farm_tasks.py TASKS [MODE [SECONDS]]"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence

from hpc.comm import world
from hpc.drain import Drain
from hpc.farming.farm import Farm
from xanesml.errors import EnvironmentProblem, StoreError, XanesmlError


class Nap:
    def __init__(self, seconds: float, error: Exception | None) -> None:
        self._end = time.monotonic() + seconds
        self._error = error

    def poll(self) -> str | None:
        if time.monotonic() < self._end:
            return None
        if self._error is not None:
            raise self._error
        return "done"

    def kill(self) -> None:
        pass


def main(tasks: int, mode: str, seconds: float) -> None:
    comm = world()
    drain = Drain()
    drain.listen()
    reported: list[tuple[int, int]] = []

    def start(task: int) -> Nap:
        if mode == "error" and comm.rank == comm.size - 1:
            raise RuntimeError("a defect on one rank")
        if mode == "drain" and task == 3:
            os.kill(os.getpid(), signal.SIGUSR1)
        if mode == "abandon" and task == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        ailing = (mode == "retire" and comm.rank == comm.size - 1) or mode == "all-retire"
        error = EnvironmentProblem("no room on this host") if ailing else None
        return Nap(10 * seconds if task == 0 else seconds, error)

    def finish(task: int, result: str) -> int:
        assert result == "done"
        if mode == "fatal" and task == 3:
            raise StoreError("the disk is full")
        return task

    def report(rank: int, told: object) -> None:
        assert isinstance(told, int)
        reported.append((told, rank))

    def given(_rank: int, handed: Sequence[int]) -> None:
        if mode == "untold" and 3 in handed:
            raise StoreError("the disk is full")

    retired: list[int] = []
    farm = Farm(
        comm,
        start=start,
        finish=finish,
        report=report,
        drain=drain,
        given=given,
        retired=lambda rank, _problem: retired.append(rank),
    )
    raised = ""
    try:
        farm.run(range(tasks))
    except XanesmlError as error:
        raised = f"rank {comm.rank}: {error} ({error.collective})"
    errors = comm.gather(raised)
    if errors is not None:
        lines = [*filter(None, errors), f"retired: {sorted(retired)}", json.dumps(reported)]
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        sys.argv[2] if len(sys.argv) > 2 else "run",
        float(sys.argv[3]) if len(sys.argv) > 3 else 0.02,
    )
