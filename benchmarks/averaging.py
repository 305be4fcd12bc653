#!/usr/bin/env python3
"""Statistical averages per second: against a loop over data frames, and against the bare matrix product.

    python benchmarks/averaging.py [--spectra N] [--tensors FILE] [--loop N]

The series is that of a tensor file, or 91 made-up spectra of 141 points. The loop is the
method as it is published: for every spectrum and every distortion a weight from scipy's
skewnorm, a column of a pandas DataFrame scaled by it, and their sum over the columns. The
bare product is `numpy.matmul` of ready weights with the series into a ready array, in
blocks of the same rows and the same precision. Labels, normalization and the choice of the
distributions are in our time and in neither of these. One thread a rank; medians of nine
rounds, in turn. Two ranks each make half of the same spectra, with the same total as one.
Peak memory is that of a process of its own that iterates over the spectra and keeps none.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi import answer, on_ranks, rank_part
from threadpoolctl import threadpool_limits

from xanesml.averages.distributions import Distributions, choose_distributions, skew_normal_weights
from xanesml.averages.statistical import SeriesAverager
from xanesml.campaign import AveragingSection

ROUNDS = 9
SEED = 1
FAMILIES = 512
NO_WEIGHT = 1e-26
MEMORY_PART = "--memory-part"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spectra", type=int, default=100_000, help="spectra a round (100,000)")
    parser.add_argument("--loop", type=int, default=20, help="spectra that the data-frame loop makes (20)")
    parser.add_argument("--most", type=int, default=10_000_000, help="spectra for the peak of the memory (10,000,000)")
    parser.add_argument("--tensors", help="tensor file whose series is averaged")
    options = parser.parse_args()
    delta, series, steps = read_series(options.tensors)
    chosen = choose(options.spectra, delta)
    with threadpool_limits(1, user_api="blas"):
        looped = loop_over_data_frames(delta, series, steps, chosen[: max(1, options.loop // 8)])
        print(f"{len(series)} spectra of {series.shape[1]} points, {len(chosen):,} averages of them\n")
        print(f"{'way':44s} {'µs a spectrum':>14s} {'ratio':>9s}")
        print(f"{'loop over data frames (baseline)':44s} {1e6 * looped:14.0f} {1:9.0f}")
        for dtype in (np.float64, np.float32):
            ours, bare, deviation = in_turn(delta, series, steps, chosen, dtype)
            name = np.dtype(dtype).name
            print(f"{f'SeriesAverager, {name}':44s} {1e6 * ours:14.2f} {looped / ours:9.0f}")
            print(f"{f'bare product, {name} (baseline)':44s} {1e6 * bare:14.2f} {looped / bare:9.0f}")
            print(f"    {name}: {ours / bare:.2f} of the bare product; largest deviation {deviation:.1e} edge steps")
        where(delta, series, steps, chosen)
    one, two = (on_ranks(ranks, __file__, 10 * options.spectra, options.tensors or "") for ranks in (1, 2))
    print(f"\n1 rank {one:.3f} s, 2 ranks {two:.3f} s: parallel efficiency {one / (2 * two):.0%}")
    for count in (options.most // 100, options.most):
        print(f"peak memory while {count:,} spectra go by: {peak_memory(count):.0f} MiB")


def read_series(tensors: str | None) -> tuple[np.ndarray[Any, Any], ...]:
    if tensors:
        import h5py  # noqa: PLC0415

        with h5py.File(tensors) as file:
            return tuple(file[f"series/{name}"][:] for name in ("delta", "mu", "edge_step"))
    rng = np.random.default_rng(SEED)
    return np.linspace(-0.45, 0.45, 91), rng.uniform(0.5, 1.5, (91, 141)), rng.uniform(1.0, 1.1, 91)


def choose(count: int, delta: np.ndarray[Any, Any]) -> Distributions:
    section = AveragingSection()
    return choose_distributions(
        section.model_copy(update={"families": -(-count // section.means_per_family)}), delta, SEED
    )


def loop_over_data_frames(
    delta: np.ndarray[Any, Any], series: np.ndarray[Any, Any], steps: np.ndarray[Any, Any], chosen: Distributions
) -> float:
    """Return seconds a spectrum, after checking that the loop makes the same spectra."""
    import pandas as pd  # noqa: PLC0415
    from scipy.stats import skewnorm  # noqa: PLC0415

    frame = pd.DataFrame({f"{x:+.2f}": spectrum / step for x, spectrum, step in zip(delta, series, steps, strict=True)})
    spectra = []
    began = time.perf_counter()
    for scale, alpha, locations in zip(chosen.scale, chosen.alpha, chosen.locations, strict=True):
        for location in locations:
            weighted = pd.DataFrame(index=frame.index)
            total = 0.0
            for x, name in zip(delta, frame.columns, strict=True):
                weight = skewnorm.pdf(x, alpha, loc=location, scale=scale)
                weighted[name] = frame[name] * weight
                total += weight
            spectra.append(weighted.sum(axis=1) / total)
    seconds = (time.perf_counter() - began) / len(spectra)
    normalized = series / steps[:, np.newaxis]
    ours = SeriesAverager(delta, normalized, np.ones(len(delta))).average(chosen).spectra
    difference = np.abs(np.array(spectra) - ours).max()
    if difference > 1e-12:
        sys.exit(f"the loop and the product differ by {difference:.1e}")
    return seconds


def in_turn(
    delta: np.ndarray[Any, Any],
    series: np.ndarray[Any, Any],
    steps: np.ndarray[Any, Any],
    chosen: Distributions,
    dtype: type[np.floating[Any]],
) -> tuple[float, float, float]:
    """Return seconds a spectrum of ours and of the bare product, and how far ours is from double precision."""
    averager = SeriesAverager(delta, series, steps, dtype=dtype)
    block = chosen[:FAMILIES]
    exact = all_weights(block, delta)
    # Numbers too small for the precision would slow the baseline down.
    weights = np.where(exact > NO_WEIGHT, exact, 0.0).astype(dtype)
    columns, out = series.astype(dtype), np.empty((len(weights), series.shape[1]), dtype)
    blocks = -(-len(chosen) // len(weights))

    def bare() -> None:
        for _ in range(blocks):
            np.matmul(weights, columns, out=out)

    def ours() -> None:
        for _ in averager.blocks(chosen, FAMILIES):
            pass

    rounds = [(timed(ours) / len(chosen), timed(bare) / (blocks * len(weights))) for _ in range(ROUNDS)]
    expected = (exact @ series) / (exact @ steps)[:, np.newaxis]
    deviation = float(np.abs(averager.average(block).spectra - expected).max())
    return statistics.median(a for a, _ in rounds), statistics.median(b for _, b in rounds), deviation


def where(
    delta: np.ndarray[Any, Any], series: np.ndarray[Any, Any], steps: np.ndarray[Any, Any], chosen: Distributions
) -> None:
    """Print which part the curves of the families, and so the special functions, have in the time."""
    averager = SeriesAverager(delta, series, steps)
    block = chosen[:128]
    whole = statistics.median(timed(lambda: averager.average(block)) for _ in range(99))
    curves = statistics.median(timed(lambda: averager._curves(block)) for _ in range(99))
    print(f"    exp and Φ: {curves / whole:.0%} of our time in float64")


def all_weights(chosen: Distributions, delta: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    members = len(chosen.steps)
    scale, alpha = np.repeat(chosen.scale, members), np.repeat(chosen.alpha, members)
    return skew_normal_weights(delta, chosen.locations.ravel(), scale, alpha)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def on_each_rank(count: int, tensors: str) -> None:
    from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)

    comm = MPI.COMM_WORLD
    delta, series, steps = read_series(tensors or None)
    chosen = choose(count, delta)
    averager = SeriesAverager(delta, series, steps)
    seconds = []
    with threadpool_limits(1, user_api="blas"):
        for _ in range(ROUNDS):
            comm.Barrier()
            began = time.perf_counter()
            for start in range(comm.rank * FAMILIES, len(chosen.scale), comm.size * FAMILIES):
                averager.average(chosen[start : start + FAMILIES])
            comm.Barrier()
            seconds.append(time.perf_counter() - began)
    if comm.rank == 0:
        answer(statistics.median(seconds))


def peak_memory(count: int) -> float:
    done = subprocess.run(
        [sys.executable, __file__, MEMORY_PART, str(count)], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(json.loads(done.stdout))


def iterate(count: int) -> None:
    delta, series, steps = read_series(None)
    averager = SeriesAverager(delta, series, steps)
    made = sum(len(block.spectra) for block in averager.blocks(choose(count, delta), FAMILIES))
    if made < count:
        sys.exit(f"{made} spectra instead of {count}")
    answer(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    words = rank_part()
    if sys.argv[1:2] == [MEMORY_PART]:
        iterate(int(sys.argv[2]))
    elif words is None:
        main()
    else:
        on_each_rank(int(words[0]), words[1])
