#!/usr/bin/env python3
"""Seconds, memory and disk of a store of a million tasks: created, opened, and searched for unfinished tasks.

    python benchmarks/million.py [--tasks N] [--atoms A] [--folder DIR]

Every step is a separate process; memory is its peak beyond the imports. The baseline is a plain
file of as many bytes of zeros, written and synced to disk in the same run. Rows are marked done
in whole columns, with the checksums that the writer would give.
A million tasks of 55 atoms take 5.3 GB in DIR, and as much again while the baseline is written.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hpc.farming.pending import find_pending
from xanesml.campaign import Campaign
from xanesml.feff.outcomes import Outcome
from xanesml.files.layout import STORE, row_arrays
from xanesml.store.create import continued, lay_out
from xanesml.store.plan import expand
from xanesml.store.rows import Row, RowWriter, StoredSpectrum, open_store_file
from xanesml.store.stored import stored_table

ENGINE = "none"
POINTS = 108
BLOCK = 4096
ZEROS = 16 * 1024**2


def campaign(tasks: int, atoms: int) -> Campaign:
    """Return a campaign of 91 distorted structures and as many disordered ones as make up the tasks."""
    structures = max(1, -(-(tasks - 91) // 13))
    return Campaign.model_validate(
        {"name": "million", "structure": {"atoms": atoms}, "distortion": {}, "disorder": {"structures": structures}}
    )


def layout(store: Path, asked: Campaign) -> None:
    lay_out(store, asked, expand(asked), ENGINE)


def zeros(store: Path, _asked: Campaign) -> None:
    left = store.stat().st_size
    plain = store.with_suffix(".zeros")
    block = bytes(ZEROS)
    with plain.open("wb") as file:
        while left:
            left -= file.write(block[: min(left, ZEROS)])
        file.flush()
        os.fsync(file.fileno())
    plain.unlink()


def reopen(store: Path, asked: Campaign) -> None:
    with open_store_file(store) as file:
        continued(file, asked, ENGINE)


def find(store: Path, asked: Campaign) -> None:
    from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)

    with open_store_file(store) as file:
        cluster, view = continued(file, asked, ENGINE)
    began = time.perf_counter()
    table = stored_table(cluster, asked.feff, view)
    work = find_pending(MPI.COMM_SELF, table, store, asked.engine, echo=lambda _line: None)
    print(json.dumps({"seconds": time.perf_counter() - began, "note": f"{work.count:,d} left"}))


def mark_done(store: Path, _asked: Campaign) -> None:
    paths = [array.path for array in row_arrays(STORE)]
    rng = np.random.default_rng(0)
    zero = np.zeros(POINTS)
    spectrum = StoredSpectrum(energy=zero, mu=zero, mu0=zero, edge=11_919.0)
    row = Row(task=0, outcome=Outcome.DONE, finished=1.7e9, host="node0001", seconds=40.0, spectrum=spectrum)
    with open_store_file(store, mode="r+") as file:
        RowWriter(file).write(row)
        pattern = {path: file[path][:1] for path in paths}
        total = len(file["runs/outcome"])
        for start in range(0, total, BLOCK):
            rows = slice(start, min(start + BLOCK, total))
            count = rows.stop - start
            columns = {path: np.repeat(pattern[path], count, axis=0) for path in paths}
            columns["runs/seconds"] += rng.standard_normal(count)
            for name in ("energy", "mu", "mu0"):
                columns[f"spectra/{name}"][:, :POINTS] = rng.random((count, POINTS))
            covered = [columns[path].reshape(count, -1).view(np.uint8) for path in paths if path != "runs/checksum"]
            columns["runs/checksum"][:] = [zlib.crc32(content.data) for content in np.concatenate(covered, axis=1)]
            for path, column in columns.items():
                file[path][rows] = column


STEPS: dict[str, tuple[str, Callable[[Path, Campaign], None]]] = {
    "layout": ("create the store", layout),
    "zeros": ("as many bytes of zeros (baseline)", zeros),
    "reopen": ("open and recognize it", reopen),
    "find": ("find unfinished tasks", find),
    "mark_done": ("mark all rows done", mark_done),
    "find_again": ("find unfinished tasks, all done", find),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--atoms", type=int, default=55)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        one_step(options.step[0], Path(options.step[1]), campaign(options.tasks, options.atoms))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = Path(folder) / "store.h5"
        seconds: dict[str, float] = {}
        print(f"{'step':36s} {'seconds':>9s} {'MiB held':>9s}")
        for step, (name, _) in STEPS.items():
            words = [__file__, "--tasks", str(options.tasks), "--atoms", str(options.atoms), "--step", step, str(store)]
            output = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, text=True, check=True).stdout
            measured: dict[str, float | str] = {}
            for line in output.splitlines():
                measured = json.loads(line) | measured
            seconds[step] = float(measured["seconds"])
            print(f"{name:36s} {seconds[step]:9.2f} {measured['held']:9.0f}  {measured.get('note', '')}", flush=True)
        size = store.stat().st_size
        print(f"{size / 1e9:.2f} GB; created in {seconds['layout'] / seconds['zeros']:.2f} times the baseline's time")


def one_step(step: str, store: Path, asked: Campaign) -> None:
    imports = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    STEPS[step][1](store, asked)
    held = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - imports) / 1024
    print(json.dumps({"seconds": time.perf_counter() - began, "held": held}))


if __name__ == "__main__":
    main()
