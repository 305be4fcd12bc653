#!/usr/bin/env python3
"""Memory of a rank of `xanesml simulate` with everything that it starts.

    python benchmarks/memory.py [--atoms N] [--ranks N]

A rank runs one FEFF at a time: a disordered structure with the reference campaign's sphere and without
self-consistency, which takes less memory than the solver. Several times a second the proportional set
sizes (a page that processes share counts in parts) of a rank, its guard and its FEFF are added up; the
largest sum is what a rank needs. The baseline is an interpreter that has loaded numpy, h5py and MPI.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import psutil

XANESML = str(Path(sys.executable).with_name("xanesml"))
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
BASELINE = "import h5py, numpy, psutil; from mpi4py import MPI; print(psutil.Process().memory_full_info().pss)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=55)
    parser.add_argument("--ranks", type=int, default=2)
    options = parser.parse_args()
    baseline = int(subprocess.run([sys.executable, "-c", BASELINE], stdout=subprocess.PIPE, check=True).stdout)
    with tempfile.TemporaryDirectory() as name:
        alone, together, largest = watch(Path(name), options.atoms, options.ranks)
    print(f"{options.atoms} atoms, {options.ranks} ranks; the store has {largest:.0f} MiB for the largest process")
    rows = {
        "interpreter with numpy, h5py and MPI (baseline)": baseline,
        "rank": alone,
        "rank, guard and FEFF": together,
    }
    for what, octets in rows.items():
        print(f"{what:50s} {octets / 2**20:6.0f} MiB {octets / baseline:6.2f}")


def watch(folder: Path, atoms: int, ranks: int) -> tuple[int, int, float]:
    """Return the most that a rank took by itself, and with all it had started, bytes; and what the store says, MiB."""
    campaign = folder / "memory.toml"
    text = {"structures": 1, "absorbers": list(range(ranks))}
    campaign.write_text(
        f'name = "memory"\n[structure]\natoms = {atoms}\n[feff]\nscf = false\n[disorder]\n'
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in text.items()),
        encoding="utf-8",
    )
    command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)]
    command += [XANESML, "simulate", str(campaign), "-o", str(folder / "out")]
    alone = together = 0
    with psutil.Popen(command, env=os.environ | AS_ROOT, stdout=subprocess.DEVNULL) as launcher:
        while launcher.poll() is None:
            for rank in launcher.children():
                own = set_size(rank)
                alone = max(alone, own)
                together = max(together, own + sum(map(set_size, descendants(rank))))
            time.sleep(0.1)
    if launcher.returncode:
        sys.exit(f"{' '.join(command)}: exit status {launcher.returncode}")
    with h5py.File(folder / "out" / "store.h5") as file:
        return alone, together, float(file["runs/memory"][:].max())


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return all that a process has started; none where it has ended."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def set_size(process: psutil.Process) -> int:
    """Return the proportional set size of a process, bytes; 0 where it has ended."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


if __name__ == "__main__":
    main()
