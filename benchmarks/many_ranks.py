#!/usr/bin/env python3
"""The farm with many ranks on few cores: what one more rank costs rank 0, and whether anything grows faster.

    python benchmarks/many_ranks.py [--ranks 16 64 512] [--tasks-per-rank 20]

Tasks do nothing, so that all ranks ask at once; rank 0 only leads, with journal, clock and status as in
`xanesml simulate`, and batches of one. Elapsed times are those of ranks that share cores; processor times of rank 0
are not. A rank takes 30 MiB here. The baseline is the smallest number of ranks.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from mpi import answer, on_ranks, rank_part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[16, 64, 512])
    parser.add_argument("--tasks-per-rank", type=int, default=20)
    options = parser.parse_args()
    print(
        f"{'ranks':>6s} {'requests':>9s} {'µs of rank 0 each':>18s} {'ratio':>6s} {'status, ms':>11s} {'end, s':>7s}",
        end="",
    )
    print(f" {'start, s':>9s} {'MiB a rank':>11s}")
    baseline = 0.0
    for ranks in options.ranks:
        began = time.perf_counter()
        found = on_ranks(ranks, __file__, options.tasks_per_rank)
        elapsed = time.perf_counter() - began
        each = 1e6 * found["used"] / found["requests"]
        baseline = baseline or each
        print(
            f"{ranks:6d} {found['requests']:9d} {each:18.0f} {each / baseline:6.2f} {1e3 * found['status']:11.1f} "
            f"{found['end']:7.2f} {elapsed - found['farm']:9.1f} {found['memory']:11.0f}",
            flush=True,
        )


def part(tasks_per_rank: int) -> dict[str, Any]:
    """Farm tasks that do nothing over all ranks; collective, and meant for rank 0."""
    from dispatch import as_simulate  # noqa: PLC0415
    from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)
    from sleeping_jobs import farm_sleeping_jobs  # noqa: PLC0415

    from xanesml.feff.outcomes import Outcome  # noqa: PLC0415
    from xanesml.store.rows import Row  # noqa: PLC0415
    from xanesml.store.status import read_status  # noqa: PLC0415

    comm = MPI.COMM_WORLD
    tasks = tasks_per_rank * comm.size
    last = 0.0

    def finish(task: int, _result: bool) -> tuple[Row, bytes]:
        return Row(task=task, outcome=Outcome.DONE, finished=time.time(), host="node0001", seconds=40.0), b""

    callbacks: dict[str, Any] = {"finish": finish}
    if comm.rank == 0:
        lead = as_simulate(comm.size)
        store = lead.pop("store")

        def report(rank: int, finished: Any) -> object:
            nonlocal last
            last = time.perf_counter()
            return lead["report"](rank, finished)

        callbacks |= {"report": report, "dispatched": lead["dispatched"]}
    elapsed, used = farm_sleeping_jobs([0.0] * tasks, range(tasks), batch_seconds=0, lead_works=False, **callbacks)
    ended = time.perf_counter()
    memory = comm.gather(_proportional_memory())
    if comm.rank:
        return {}
    # Not elapsed: the other ranks wait in MPI, which keeps the cores busy.
    began = time.process_time()
    assert read_status(store).outcomes.total() <= tasks  # noqa: S101 (the last second may wait in memory)
    status = time.process_time() - began
    return {
        "requests": tasks,
        "used": used,
        "farm": elapsed,
        "end": ended - last,
        "status": status,
        "memory": sum(memory) / len(memory),
    }


def _proportional_memory() -> float:
    """Return this process's memory, MiB; a page that processes share counts in parts."""
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    words = rank_part()
    if words is None:
        main()
    else:
        from mpi4py import MPI

        measured = part(int(words[0]))
        if MPI.COMM_WORLD.rank == 0:
            answer(measured)
