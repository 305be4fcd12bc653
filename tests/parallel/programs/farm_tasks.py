"""Farm no-op tasks and print, from rank 0, which rank ran which task."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from hpc.comm import world
from hpc.drain import Drain
from hpc.farm import Farm


class Nap:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def poll(self) -> str | None:
        return "done" if time.monotonic() >= self._end else None

    def kill(self) -> None:
        pass


def main(tasks: int, mode: str) -> None:
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
        return Nap(0.2 if task == 0 else 0.02)

    def finish(task: int, result: str) -> int:
        assert result == "done"
        return task

    def report(rank: int, told: object) -> None:
        assert isinstance(told, int)
        reported.append((told, rank))

    Farm(comm, start=start, finish=finish, report=report, drain=drain).run(range(tasks))
    if comm.rank == 0:
        sys.stdout.write(json.dumps(reported) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "run")
