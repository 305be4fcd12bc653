#!/usr/bin/env python3
"""What a site's nodes, launcher and file system do for xanesml, in one table to paste into a report.

    python benchmarks/site.py [--folder DIR] [--scratch DIR] [--cores N] [--quick]

Run it in a job on one whole node; with the reference cards it takes minutes. `--folder` is on the file system that
stores go to, `--scratch` on the node. Ranks are started by Open MPI's mpirun, or by the words in the variable LAUNCHER,
to which their number is added: LAUNCHER="srun --mpi=pmix --overlap -n". Each figure is of one measurement; ratios are
against the first of its kind.
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dispatch
import h5py
import write_rows
from mpi import answer, on_ranks, rank_part

from xanesml.files.mounts import file_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true", help="13 atoms without self-consistency, not 55 with it")
    options = parser.parse_args()
    counts = sorted({1, max(1, options.cores // 2), options.cores})
    print("| quantity | figure | ratio |\n| --- | --- | --- |")
    row("host", f"{socket.gethostname()}, {_processor()}, {options.cores} cores used")
    row(
        "Python, h5py",
        f"{platform.python_version()}, {h5py.__version__} {'with' * h5py.get_config().mpi or 'without'} MPI",
    )
    row("folder, scratch", f"{file_system(options.folder)}, {file_system(options.scratch)}")
    started = [_elapsed(lambda ranks=ranks: on_ranks(ranks, __file__, "start")) for ranks in counts]
    for ranks, (seconds, _) in zip(counts, started, strict=True):
        row(f"start of {ranks} ranks, s", f"{seconds:.1f}", seconds / started[0][0])
    for name, cost in on_ranks(options.cores, dispatch.__file__, "costs", 2000).items():
        row(f"request at rank 0, {name}, µs", f"{1e6 * cost:.0f}")
    _writes(options.folder, options.cores)
    each = {}
    for ranks in counts:
        words = ("runs", options.scratch.absolute(), "quick" if options.quick else "full")
        seconds = on_ranks(ranks, __file__, *words)
        each[ranks] = statistics.mean(seconds)
        row(
            f"FEFF run, {ranks} at a time, s (runs an hour)",
            f"{each[ranks]:.1f} ({3600 * ranks / each[ranks]:.0f})",
            each[ranks] / each[1],
        )


def row(name: str, figure: str, ratio: float | None = None) -> None:
    print(f"| {name} | {figure} | {'' if ratio is None else f'{ratio:.2f}'} |", flush=True)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _elapsed(call: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def _writes(folder: Path, cores: int) -> None:
    if not h5py.get_config().mpi:
        row("rows written", "not measured: h5py without MPI")
        return
    with tempfile.TemporaryDirectory(dir=folder) as name:
        store = Path(name) / "store.h5"
        write_rows.lay_out_store(store, 2000)
        rates = on_ranks(min(cores, 8), write_rows.__file__, store, 2000)
    for way, rate in rates.items():
        row(f"rows a second, {way}", f"{rate:.0f}", rate / rates[write_rows.BASELINE])


def runs(scratch: Path, cards: str) -> None:
    """Run FEFF once on every rank at the same time."""
    from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)

    from xanesml.campaign import Campaign  # noqa: PLC0415
    from xanesml.feff.engine import make_engine, run_feff  # noqa: PLC0415
    from xanesml.feff.outcomes import Outcome  # noqa: PLC0415
    from xanesml.store.plan import expand  # noqa: PLC0415

    content: dict[str, Any] = {"name": "site", "disorder": {"structures": 1, "absorbers": [0]}}
    if cards == "quick":
        content |= {"structure": {"atoms": 13}, "feff": {"scf": False, "corval": False, "fms_radius": 3.5}}
    campaign = Campaign.model_validate(content)
    table, engine = expand(campaign), make_engine(campaign.engine)
    comm = MPI.COMM_WORLD
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        comm.Barrier()
        result = run_feff(engine, Path(folder) / "run", *table.inputs(0))
    if result.outcome is not Outcome.DONE:
        sys.exit(f"FEFF on {socket.gethostname()}: {result.outcome.label}: {result.message}")
    seconds = comm.gather(result.seconds)
    if comm.rank == 0:
        answer(seconds)


def start() -> None:
    """Load what a rank of `simulate` loads, and meet."""
    from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)

    import hpc.farming.simulate  # noqa: F401, PLC0415

    MPI.COMM_WORLD.Barrier()
    if MPI.COMM_WORLD.rank == 0:
        answer(MPI.COMM_WORLD.size)


if __name__ == "__main__":
    words = rank_part()
    if words is None:
        main()
    elif words[0] == "runs":
        runs(Path(words[1]), words[2])
    else:
        start()
