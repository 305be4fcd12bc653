#!/usr/bin/env python3
"""Empty tasks per second: the farm against mpi4py.futures, and how many ranks it could serve.

    python benchmarks/dispatch.py [--tasks N] [--ranks N …] [--seconds S]

The baseline is `MPICommExecutor.map` by default, one task per message. All take turns in one
mpirun, medians of five rounds. Then, on the most ranks, the processor time of rank 0 for one
request where it only hands out tasks, without batches: as the farm has it, and with the row,
journal and clock of `xanesml simulate` as well; and how many ranks with runs of `--seconds`
each keep such a rank 0 busy all the time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mpi import answer, on_ranks, rank_part

ROUNDS = 5
BASELINE = "MPICommExecutor.map (baseline)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=20000)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 5, 9])
    parser.add_argument("--seconds", type=float, default=40.0)
    options = parser.parse_args()
    print(f"{'ranks':>5s}  {'way':36s} {'tasks/s':>9s} {'ratio':>6s}")
    for ranks in options.ranks:
        rates = on_ranks(ranks, __file__, "rates", options.tasks)
        for name, rate in rates.items():
            print(f"{ranks:5d}  {name:36s} {rate:9.0f} {rate / rates[BASELINE]:6.2f}", flush=True)
    print(f"\n{'one request at rank 0':28s} {'µs':>6s} {'ranks fed':>12s}")
    for name, cost in on_ranks(max(options.ranks), __file__, "costs", options.tasks).items():
        print(f"{name:28s} {1e6 * cost:6.0f} {options.seconds / cost:12,.0f}")


def rates(tasks: int) -> dict[str, float]:
    """Measure tasks per second of every way; collective, and meant for rank 0."""
    from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)
    from mpi4py.futures import MPICommExecutor  # noqa: PLC0415
    from sleeping_jobs import farm_sleeping_jobs  # noqa: PLC0415

    comm = MPI.COMM_WORLD

    def executor(chunksize: int) -> float:
        elapsed = 0.0
        pool: Any
        with MPICommExecutor(comm) as pool:
            if pool is not None:
                list(pool.map(nothing, range(comm.size)))
                began = time.perf_counter()
                count = sum(1 for _ in pool.map(nothing, range(tasks), chunksize=chunksize))
                elapsed = time.perf_counter() - began
                assert count == tasks  # noqa: S101
        return elapsed

    def farm(**options: Any) -> float:
        return farm_sleeping_jobs([0.0] * tasks, range(tasks), **options)[0]

    ways: dict[str, Callable[[], float]] = {
        BASELINE: lambda: executor(1),
        "MPICommExecutor.map, 100 a chunk": lambda: executor(100),
        "Farm": farm,
        "Farm, no batches": lambda: farm(batch_seconds=0),
        "Farm, no batches, rank 0 only leads": lambda: farm(batch_seconds=0, lead_works=False),
    }
    elapsed: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            comm.Barrier()
            elapsed[name].append(way())
    return {name: tasks / max(statistics.median(values), 1e-9) for name, values in elapsed.items()}


def costs(tasks: int) -> dict[str, float]:
    """Measure the processor time of one request at rank 0, s; collective, and meant for rank 0."""
    from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)
    from sleeping_jobs import farm_sleeping_jobs  # noqa: PLC0415

    used: dict[str, list[float]] = {"farm": [], "farm, row, journal, clock": []}
    for _ in range(ROUNDS):
        simulation = as_simulate(MPI.COMM_WORLD.size)
        del simulation["store"]
        for seconds, callbacks in zip(used.values(), ({}, simulation), strict=True):
            naps = farm_sleeping_jobs([0.0] * tasks, range(tasks), batch_seconds=0, lead_works=False, **callbacks)
            seconds.append(naps[1] / tasks)
    return {name: statistics.median(seconds) for name, seconds in used.items()}


def as_simulate(ranks: int) -> dict[str, Any]:
    """Return the callbacks of a simulation with the `mpio` writer, rows in place of FEFF's, and the name of a store."""
    from hpc.drain import Drain  # noqa: PLC0415
    from hpc.farming.feff_lead import FeffLead  # noqa: PLC0415
    from hpc.farming.pending import Pending  # noqa: PLC0415
    from xanesml.feff.outcomes import Outcome  # noqa: PLC0415
    from xanesml.store.journal import Journal  # noqa: PLC0415
    from xanesml.store.rows import Row  # noqa: PLC0415

    folder = tempfile.TemporaryDirectory()
    journal = Journal(Path(folder.name) / "store.h5", outcomes={}, pending=0, ranks=ranks)
    # No task pending: no progress line.
    pending = Pending(0, np.empty(0, np.int64), {}, np.empty(0))
    lead = FeffLead(journal, pending, None, Drain(), lambda _line: None, kept=0, allowed=0)

    def finish(task: int, _result: bool) -> tuple[Row, bytes]:
        _ = folder  # lives as long as the journal
        return Row(task=task, outcome=Outcome.DONE, finished=time.time(), host="node0001", seconds=40.0), b""

    return {
        "finish": finish,
        "report": lead.report,
        "dispatched": lead.dispatched,
        "store": Path(folder.name) / "store.h5",
    }


def nothing(task: int) -> int:
    return task


if __name__ == "__main__":
    words = rank_part()
    if words is None:
        main()
    else:
        from mpi4py import MPI

        measured = {"rates": rates, "costs": costs}[words[0]](int(words[1]))
        if MPI.COMM_WORLD.rank == 0:
            answer(measured)
