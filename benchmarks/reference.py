#!/usr/bin/env python3
"""Spectra of a store against FEFF's own multiple scattering, on a sample of its tasks.

    python benchmarks/reference.py STORE [--tasks N] [--ranks R]

Takes tasks evenly from those that are done by the native stage, runs FEFF10 with its own stage
on the same input, and prints for each the largest deviation of μ over the largest μ, and the
seconds of both. Exits with 1 where a deviation is above 2e-6.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from feff_cases import heading, row

from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.outcomes import Outcome
from xanesml.feff.process import raise_stack_limit
from xanesml.store.rows import open_store_file, read_spectrum
from xanesml.store.stored import stored_campaign

#: Largest deviation of μ, in terms of the largest μ.
LIMIT = 2e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--tasks", type=int, default=9, help="size of the sample")
    parser.add_argument("--ranks", type=int, default=1, help="runs at a time")
    options = parser.parse_args()
    with open_store_file(options.store) as file:
        campaign = stored_campaign(file)
        native = np.char.startswith(file["runs/solver"][:], b"xanesml")
        done = np.flatnonzero((file["runs/outcome"][:] == Outcome.DONE) & native)
        tasks = done[np.unique(np.linspace(0, len(done) - 1, options.tasks).round().astype(int))]
        stored = {int(task): read_spectrum(file, int(task)) for task in tasks}
        seconds = {task: float(file["runs/seconds"][task]) for task in stored}
        solvers = {task: file["runs/solver"][task].decode() for task in stored}
    table = campaign.tasks()
    engine = make_engine(campaign.engine.model_copy(update={"fms": "feff"}))
    raise_stack_limit()

    def compare(task: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            result = run_feff(engine, Path(folder), *table.inputs(task))
        if result.outcome is not Outcome.DONE or result.spectrum is None:
            sys.exit(f"task {task}: {result.outcome.label}: {result.message}")
        mu, expected = stored[task].mu, result.spectrum.mu
        deviation = float(np.abs(mu - expected).max() / np.abs(expected).max())
        row(task, solvers[task], f"{deviation:.1e}", f"{seconds[task]:.1f}", f"{result.seconds:.1f}")
        return deviation

    heading("task", "solved by", "Δμ", "s, native", "s, FEFF's own stage")
    with ThreadPoolExecutor(options.ranks) as pool:
        worst = max(pool.map(compare, stored))
    print(f"\nlargest deviation in {len(stored)} of {len(done)} tasks: {worst:.1e}, at most {LIMIT:.0e}")
    sys.exit(worst > LIMIT)


if __name__ == "__main__":
    main()
