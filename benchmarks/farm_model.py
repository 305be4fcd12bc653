#!/usr/bin/env python3
"""Utilization of the farm by a model, checked against the farm, and its predictions for many ranks.

    python benchmarks/farm_model.py [--small]

Utilization is Σ seconds of the runs / (ranks × elapsed). The model is a queue: rank 0 serves
requests in turn, `--cost` µs each, and runs tasks between them; every rank polls at doubling
intervals, as `hpc.farming.farm` does, and so reacts late. The first table compares the model
with the farm on sleeping jobs. The second predicts runs of 40 s on average: all alike,
lognormal with a heavy tail, and as `xanesml.store.cost` estimates the reference campaign,
longest first. Its baseline, in parentheses, is the optimal schedule in the same order: at no
cost, without delay. `--small` leaves out the checks at 5 and 9 ranks and the million tasks.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
from mpi import answer, on_ranks, rank_part
from numpy.typing import NDArray

from hpc.farming.farm import BATCH_SECONDS
from hpc.farming.protocol import PAUSES

MEAN, SPREAD = 40.0, 0.8
#: Time that a message takes from rank to rank, s.
LATENCY = 20e-6


class Looks:
    """The moments at which a rank looks for what it waits for, s after it began to wait."""

    def __init__(self, overshoot: float) -> None:
        pauses = itertools.takewhile(lambda pause: pause < PAUSES[1], (PAUSES[0] * 2.0**i for i in range(64)))
        self._moments = [0.0, *itertools.accumulate(pause + overshoot for pause in pauses)]
        self._longest = PAUSES[1] + overshoot

    def after(self, waited: float) -> float:
        """Return the first look that finds what came after a wait."""
        if waited <= self._moments[-1]:
            return self._moments[bisect_left(self._moments, waited)]
        return self._moments[-1] - (self._moments[-1] - waited) // self._longest * self._longest


def modeled(runs: Sequence[float], ranks: int, cost: float, looks: Looks) -> float:
    """Return the time that the farm takes for runs, dispatched in their order, s."""
    count = len(runs)
    arrivals: list[tuple[float, int, float, int]] = [(LATENCY, rank, 0.0, 0) for rank in range(1, ranks)]
    mean, now, own_end, following = 0.0, 0.0, runs[0], 1
    while arrivals or own_end < np.inf:
        # Rank 0 sleeps, in pauses of its own, until a look finds something.
        awaited = min(arrivals[0][0], own_end) if arrivals else own_end
        if awaited > now:
            now += looks.after(awaited - now)
        while arrivals and arrivals[0][0] <= now:
            arrived, rank, seconds, finished = heapq.heappop(arrivals)
            now += cost
            if finished:
                mean = 0.5 * (mean + seconds / finished) if mean else seconds / finished
            fair = (count - following) // (2 * ranks)
            size = max(1, min(int(BATCH_SECONDS / mean), fair)) if 0 < mean < BATCH_SECONDS else 1
            batch = runs[following : following + size]
            following += len(batch)
            if batch:
                asked = arrived - LATENCY
                taken = sum(looks.after(run) for run in batch)
                ended = asked + looks.after(now + LATENCY - asked) + taken
                heapq.heappush(arrivals, (ended + LATENCY, rank, taken, len(batch)))
        if own_end <= now:
            now += cost
            own_end = now + runs[following] if following < count else np.inf
            following += 1
    return now


def best(runs: Sequence[float], ranks: int) -> float:
    """Return the time of a schedule in the same order at no cost, s."""
    ends = [0.0] * ranks
    for run in runs:
        heapq.heapreplace(ends, ends[0] + run)
    return max(ends)


def samples(count: int, mean: float) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    tail = rng.lognormal(sigma=SPREAD, size=count)
    return {"all alike": np.full(count, mean), "heavy tail": tail * (mean / tail.mean())}


def reference(count: int) -> NDArray[np.float64]:
    """Draw runs from those of the reference campaign, longest first, of 40 s on average."""
    from xanesml.campaign import Campaign  # noqa: PLC0415
    from xanesml.store.cost import table_seconds  # noqa: PLC0415
    from xanesml.store.plan import expand  # noqa: PLC0415

    campaign = Campaign.model_validate({"name": "r", "distortion": {}, "disorder": {}})
    seconds = table_seconds(expand(campaign), campaign.engine)
    seconds = np.sort(np.resize(seconds, count))[::-1]
    return np.asarray(seconds * (MEAN / seconds.mean()))


def check(ranks: Sequence[int], cost: float) -> None:
    loads = {"2 ms": samples(2000, 0.002)["all alike"], "20 ms": samples(300, 0.02)["all alike"]}
    loads["20 ms, heavy tail"] = samples(300, 0.02)["heavy tail"]
    print(f"{'ranks':>5s}  {'sleeping jobs':18s} {'model':>7s} {'farm':>7s} {'difference':>11s}")
    for number in ranks:
        for name, runs in loads.items():
            measured = on_ranks(number, __file__, *runs)
            looks = Looks(measured["overshoot"])
            model, farm = (
                runs.sum() / (number * seconds)
                for seconds in (modeled(runs.tolist(), number, cost, looks), measured["elapsed"])
            )
            print(f"{number:5d}  {name:18s} {model:7.1%} {farm:7.1%} {model - farm:+11.1%}", flush=True)


def predict(counts: Sequence[int], cost: float) -> None:
    looks = Looks(60e-6)
    loads = [{**samples(count, MEAN), "reference": reference(count)} for count in counts]
    print(f"\n{'tasks':>9s} {'ranks':>7s}" + "".join(f"{name:>18s}" for name in loads[0]))
    for count, load in zip(counts, loads, strict=True):
        for ranks in (100, 1000, 10_000, 100_000):
            if ranks > count:
                continue
            print(f"{count:9,d} {ranks:7,d}", end="", flush=True)
            for runs in load.values():
                seconds = modeled(runs.tolist(), ranks, cost, looks), best(runs.tolist(), ranks)
                model, bound = (runs.sum() / (ranks * elapsed) for elapsed in seconds)
                print(f"{f'{model:.2%} ({bound:.2%})':>18s}", end="", flush=True)
            print()


def on_each_rank(runs: list[float]) -> None:
    from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)
    from sleeping_jobs import farm_sleeping_jobs  # noqa: PLC0415

    overshoots = []
    for pause in [PAUSES[0], PAUSES[1]] * 50:
        began = time.perf_counter()
        time.sleep(pause)
        overshoots.append(time.perf_counter() - began - pause)
    measured: dict[str, Any] = {"overshoot": float(np.median(overshoots))}
    measured["elapsed"] = farm_sleeping_jobs(runs, range(len(runs)))[0]
    if MPI.COMM_WORLD.rank == 0:
        answer(measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cost", type=float, default=100.0, help="time of one request, µs; dispatch.py measures it")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    check([2] if options.small else [2, 5, 9], 1e-6 * options.cost)
    predict([13_091] if options.small else [13_091, 1_000_000], 1e-6 * options.cost)


if __name__ == "__main__":
    words = rank_part()
    if words is None:
        main()
    else:
        on_each_rank([float(word) for word in words])
