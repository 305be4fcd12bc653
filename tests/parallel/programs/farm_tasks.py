"""Farm napping tasks and print, from rank 0, which rank ran which task: farm_tasks.py TASKS [MODE [SECONDS]]"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from types import SimpleNamespace

from hpc.comm import world
from hpc.drain import Drain
from hpc.farming.farm import run_farm


class Nap:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def poll(self) -> str | None:
        return None if time.monotonic() < self._end else "done"

    def kill(self) -> None:
        pass


def main(tasks: int, mode: str, seconds: float) -> None:
    comm = world()
    drain = Drain()
    drain.listen()
    reported: list[tuple[int, int]] = []

    def start(task: int) -> Nap:
        if mode == "drain" and task == 3:
            os.kill(os.getpid(), signal.SIGUSR1)
        return Nap(seconds)

    worker = SimpleNamespace(start=start, finish=lambda task, _result: task, answered=lambda _answers: None)
    lead = SimpleNamespace(
        dispatched=lambda _rank, _tasks: None,
        report=lambda rank, task: reported.append((task, rank)),
        retired=lambda _rank, _problem: None,
        tick=lambda: None,
    )
    run_farm(comm, range(tasks), worker=worker, lead=lead, drain=drain)
    if comm.rank == 0:
        sys.stdout.write(json.dumps(reported) + "\n")


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        sys.argv[2] if len(sys.argv) > 2 else "run",
        float(sys.argv[3]) if len(sys.argv) > 3 else 0.1,
    )
