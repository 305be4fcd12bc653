#!/usr/bin/env python3
"""How much of the ranks' time went into FEFF, and what the end of the call cost.

    python benchmarks/utilization.py OUTPUT …        finished calls of `xanesml simulate`
    python benchmarks/utilization.py --synthetic     the farm over sleeping jobs, on 2 ranks

The baseline is the best schedule there can be, in which every rank is busy to the end:
Σ seconds of the runs / ranks. `ratio` is the time taken against it, and utilization its inverse;
`tail` is the share of the ranks' time that they spent without a run after the last one was
dispatched. An OUTPUT is the folder that `xanesml simulate` wrote; its latest call counts.
The synthetic load is heavy-tailed, dispatched longest first, where durations are known, and in
any order, where they are not; and once more as plain lists of equal length for every rank.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mpi import answer, on_ranks, rank_part

from xanesml.store.journal import journal_path
from xanesml.store.status import read_status

RANKS, JOBS, SPREAD = 2, 300, 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="*")
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--seconds", type=float, default=60.0, help="all sleeping jobs together, s")
    options = parser.parse_args()
    if not options.output and not options.synthetic:
        parser.error("give an output folder, or --synthetic")
    print(f"{'call':32s} {'ranks':>6s} {'runs':>7s} {'elapsed, s':>11s} {'best, s':>9s}", end="")
    print(f" {'ratio':>6s} {'utilization':>12s} {'tail':>6s}")
    for folder in options.output:
        finished(folder / "store.h5")
    if options.synthetic:
        synthetic(options.seconds)


def show(name: str, busy: Sequence[float], runs: int, elapsed: float, idle: float | None) -> None:
    ranks, best = len(busy), sum(busy) / len(busy)
    tail = "" if idle is None else f"{idle / (ranks * elapsed):6.1%}"
    print(f"{name:32s} {ranks:6d} {runs:7d} {elapsed:11.2f} {best:9.2f}", end="")
    print(f" {elapsed / best:6.3f} {best / elapsed:12.2%} {tail}", flush=True)


def finished(store: Path) -> None:
    """Print a line on the latest call of a store's journal."""
    status = read_status(store)
    if not status.ended or not status.busy:
        raise SystemExit(f"{store.parent}: the latest call has not ended, or ran nothing")
    busy = [status.busy.get(rank, 0.0) for rank in range(status.ranks)]
    given, latest = status.began, dict.fromkeys(range(status.ranks), status.began)
    for line in journal_path(store).read_text(encoding="utf-8", errors="replace").splitlines():
        entry = json.loads(line) if line.endswith("}") else {}
        # Earlier calls stand in the same journal.
        if entry.get("time", 0.0) < status.began:
            continue
        if entry["event"] == "give":
            given = entry["time"]
        elif entry["event"] == "run":
            latest[entry["rank"]] = entry["time"]
    idle = sum(status.latest - max(given, end) for end in latest.values())
    show(str(store.parent)[-32:], busy, status.outcomes.total(), status.latest - status.began, idle)


def synthetic(total: float) -> None:
    seconds = np.random.default_rng(0).lognormal(sigma=SPREAD, size=JOBS)
    seconds *= total / seconds.sum()
    orders = {
        "farm, longest first": np.argsort(-seconds),
        "farm, any order": np.arange(JOBS),
    }
    for name, order in orders.items():
        measured = on_ranks(RANKS, __file__, *seconds[order])
        show(name, [total / RANKS] * RANKS, JOBS, measured["elapsed"], measured["idle"])
    lists = seconds.reshape(RANKS, -1).sum(axis=1)
    show("equal lists (computed)", lists.tolist(), JOBS, lists.max(), (lists.max() - lists).sum())


def on_each_rank(seconds: list[float]) -> None:
    from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)
    from sleeping_jobs import farm_sleeping_jobs  # noqa: PLC0415

    latest = dict.fromkeys(range(MPI.COMM_WORLD.size), 0.0)
    given = 0.0

    def note_end(rank: int, _task: object) -> None:
        latest[rank] = time.perf_counter()

    def note_given(_rank: int, _tasks: Sequence[int]) -> None:
        nonlocal given
        given = time.perf_counter()

    elapsed, _ = farm_sleeping_jobs(seconds, range(len(seconds)), report=note_end, dispatched=note_given)
    if MPI.COMM_WORLD.rank == 0:
        end = max(latest.values())
        answer({"elapsed": elapsed, "idle": sum(end - max(given, last) for last in latest.values())})


if __name__ == "__main__":
    words = rank_part()
    if words is None:
        main()
    else:
        on_each_rank([float(word) for word in words])
