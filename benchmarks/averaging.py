#!/usr/bin/env python3
"""Statistical averages per second: against a loop over data frames, and against the bare matrix product.

    python benchmarks/averaging.py [--spectra N] [--tensors FILE] [--loop N]

The series is that of a tensor file, or 91 made-up spectra of 141 points. The loop is the
method as published: for every spectrum and every distortion a weight from scipy's skewnorm,
a column of a pandas DataFrame scaled by it, and the sum over the columns. The bare product is
`numpy.matmul` of precomputed weights with the series into an allocated array, in blocks of the
same rows. Our time includes labels, normalization and the choice of the distributions; the
others do not. One thread a rank; medians of nine rounds, in turn. Two ranks each make half of
the same spectra, with the same total as one. Peak memory is that of a separate process that
iterates over the spectra and keeps none.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from mpi import answer, on_ranks, rank_part
from threadpoolctl import threadpool_limits

from xanesml.averages.distributions import Distributions, choose_distributions, skew_normal_weights
from xanesml.averages.series import Series
from xanesml.averages.statistical import SeriesAverager, StatisticalAverages
from xanesml.campaign import AveragingSection
from xanesml.files.arrays import Floats
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import TENSORS

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
    series = read_series(options.tensors)
    chosen = choose(options.spectra, series)
    with threadpool_limits(1, user_api="blas"):
        looped = loop_over_data_frames(series, chosen[: max(1, options.loop // 8)])
        count, points = series.mu.shape
        print(f"{count} spectra of {points} points, {len(chosen):,} averages of them\n")
        print(f"{'method':44s} {'µs per spectrum':>14s} {'ratio':>9s}")
        print(f"{'loop over data frames (baseline)':44s} {1e6 * looped:14.0f} {1:9.0f}")
        ours, bare, deviation = in_turn(series, chosen)
        print(f"{'SeriesAverager':44s} {1e6 * ours:14.2f} {looped / ours:9.0f}")
        print(f"{'bare product (baseline)':44s} {1e6 * bare:14.2f} {looped / bare:9.0f}")
        print(f"    {ours / bare:.2f} of the bare product; largest deviation {deviation:.1e} edge steps")
        special_functions(series, chosen)
    one, two = (on_ranks(ranks, __file__, 10 * options.spectra, options.tensors or "") for ranks in (1, 2))
    print(f"\n1 rank {one:.3f} s, 2 ranks {two:.3f} s: parallel efficiency {one / (2 * two):.0%}")
    for count in (options.most // 100, options.most):
        print(f"peak memory while iterating over {count:,} spectra: {peak_memory(count):.0f} MiB")


def read_series(tensors: str | None) -> Series:
    if tensors:
        with open_file(Path(tensors), TENSORS) as file:
            return Series.read(file)
    rng = np.random.default_rng(SEED)
    delta = np.linspace(-0.45, 0.45, 91)
    return Series(
        energy=np.arange(141.0),
        delta=delta,
        mu=rng.uniform(0.5, 1.5, (91, 141)),
        edge_step=rng.uniform(1.0, 1.1, 91),
        r=2.88 + delta,
        first_shell=2.88,
    )


def choose(count: int, series: Series) -> Distributions:
    section = AveragingSection()
    families = -(-count // section.means_per_family)
    return choose_distributions(section.model_copy(update={"families": families}), series.delta, SEED)


def blocks(averager: SeriesAverager, chosen: Distributions) -> Iterator[StatisticalAverages]:
    for start in range(0, len(chosen.scale), FAMILIES):
        yield averager.average(chosen[start : start + FAMILIES])


def loop_over_data_frames(series: Series, chosen: Distributions) -> float:
    """Return seconds a spectrum, after checking that the loop makes the same spectra."""
    import pandas as pd  # noqa: PLC0415
    from scipy.stats import skewnorm  # noqa: PLC0415

    normalized = replace(series, mu=series.normalized, edge_step=np.ones(len(series.delta)))
    frame = pd.DataFrame({f"{x:+.2f}": spectrum for x, spectrum in zip(series.delta, normalized.mu, strict=True)})
    spectra = []
    began = time.perf_counter()
    for scale, alpha, locations in zip(chosen.scale, chosen.alpha, chosen.locations, strict=True):
        for location in locations:
            weighted = pd.DataFrame(index=frame.index)
            total = 0.0
            for x, name in zip(series.delta, frame.columns, strict=True):
                weight = skewnorm.pdf(x, alpha, loc=location, scale=scale)
                weighted[name] = frame[name] * weight
                total += weight
            spectra.append(weighted.sum(axis=1) / total)
    seconds = (time.perf_counter() - began) / len(spectra)
    difference = np.abs(np.array(spectra) - SeriesAverager(normalized).average(chosen).spectra).max()
    if difference > 1e-12:
        sys.exit(f"the loop and the product differ by {difference:.1e}")
    return seconds


def in_turn(series: Series, chosen: Distributions) -> tuple[float, float, float]:
    """Return seconds a spectrum of ours and of the bare product, and our largest deviation from the formulas."""
    averager = SeriesAverager(series)
    block = chosen[:FAMILIES]
    exact = all_weights(block, series.delta)
    # Subnormal numbers would slow the baseline down.
    weights = np.where(exact > NO_WEIGHT, exact, 0.0)
    out = np.empty((len(weights), series.mu.shape[1]))
    count = -(-len(chosen) // len(weights))

    def bare() -> None:
        for _ in range(count):
            np.matmul(weights, series.mu, out=out)

    def ours() -> None:
        for _ in blocks(averager, chosen):
            pass

    rounds = [(timed(ours) / len(chosen), timed(bare) / (count * len(weights))) for _ in range(ROUNDS)]
    deviation = float(np.abs(averager.average(block).spectra - series.average(exact)).max())
    return statistics.median(a for a, _ in rounds), statistics.median(b for _, b in rounds), deviation


def special_functions(series: Series, chosen: Distributions) -> None:
    """Print the share of the families' curves, and so of the special functions, in the time."""
    averager = SeriesAverager(series)
    block = chosen[:128]
    whole = statistics.median(timed(lambda: averager.average(block)) for _ in range(99))
    curves = statistics.median(timed(lambda: averager._curves(block)) for _ in range(99))
    print(f"    exp and Φ: {curves / whole:.0%} of our time")


def all_weights(chosen: Distributions, delta: Floats) -> Floats:
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
    series = read_series(tensors or None)
    chosen = choose(count, series)
    averager = SeriesAverager(series)
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
    series = read_series(None)
    made = sum(len(block.spectra) for block in blocks(SeriesAverager(series), choose(count, series)))
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
