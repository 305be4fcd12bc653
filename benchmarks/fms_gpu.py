#!/usr/bin/env python3
"""Full multiple scattering of a batch of structures on a GPU, against one core of the same machine.

    OPENBLAS_NUM_THREADS=1 python benchmarks/fms_gpu.py FOLDER [FOLDER ...] [--repeats 3] [--without-gpu]

Each folder is that of a run whose stages up to `xsph` are done. The baseline is the native stage's method without
symmetry on one core. On the GPU (CuPy, which the benchmark needs and xanesml does not) the whole of it goes: free
propagators, matrices and their solution by LU, all energies of a structure one after the other, in single precision.
Prints structures a second, the ratio, and the largest deviation of the absorber's Green's function over its largest
element.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xanesml.fms.dense import solve_dense
from xanesml.fms.inputs import BOHR, FmsInput, orbital_scattering, read_input
from xanesml.fms.phases import Phases, read_phases
from xanesml.fms.propagator import angular_factors, damping, radial_factors
from xanesml.fms.solve import absorber_block, inverse_scattering


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without-gpu", action="store_true", help="the same steps by NumPy, to check them")
    options = parser.parse_args()
    if options.without_gpu:
        xp: Any = np
    else:
        import cupy  # noqa: PLC0415 (no dependency of xanesml)

        xp = cupy
    print("| structure | orbitals | energies | one core, /s | GPU, /s | ratio | deviation |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for folder in options.folders:
        cluster, phases = read_input(folder), read_phases(folder / "phase.bin")
        wanted, slow = timed(partial(solve_dense, cluster, phases), options.repeats)
        solve_on(xp, cluster, phases)
        found, fast = timed(partial(solve_on, xp, cluster, phases), options.repeats)
        largest = np.abs(wanted.blocks).max(axis=(1, 2), keepdims=True)
        away = float((np.abs(found - wanted.blocks) / largest).max())
        size = int(((cluster.lmax + 1) ** 2).sum())
        cells = (folder.name, size, len(phases.momentum), f"{1 / slow:.2f}", f"{1 / fast:.2f}", f"{slow / fast:.1f}")
        print("| " + " | ".join(map(str, cells)) + f" | {away:.1e} |", flush=True)


def timed(work: Any, repeats: int) -> tuple[Any, float]:
    """Return what some work gives, and the median of its wall time, s."""
    spent = []
    for _ in range(repeats):
        began = time.perf_counter()
        found = work()
        spent.append(time.perf_counter() - began)
    return found, statistics.median(spent)


def solve_on(xp: Any, cluster: FmsInput, phases: Phases) -> np.ndarray:
    """Return the absorber's block of G at all energies, (E, w, w), solved by NumPy or CuPy."""
    absorber, atoms = cluster.absorber, len(cluster.positions)
    order = np.append(np.delete(np.arange(atoms), absorber), absorber)
    lmax = int(cluster.lmax.max())
    if (cluster.lmax != lmax).any():
        sys.exit("all potentials need the same lmax here")
    width = (lmax + 1) ** 2
    positions = cluster.positions[order]
    first, second = np.tril_indices(atoms, -1)
    vectors = positions[first] - positions[second]
    distances = np.linalg.norm(vectors, axis=1)
    angular = xp.asarray(angular_factors(vectors, lmax).reshape(len(vectors), -1, width**2).astype(np.complex64))
    momentum = phases.momentum
    radial = radial_factors(distances[:, None] * momentum, 2 * lmax) * (distances <= cluster.cutoff)[:, None, None]
    radial *= damping(momentum, cluster.sigma2, BOHR)[:, None]
    scattering = orbital_scattering(cluster, phases, order)
    count = (atoms - 1) * width
    on_diagonal = xp.asarray(-inverse_scattering(scattering[:, :count], np.complex64))
    radial = xp.asarray(radial.astype(np.complex64))
    rows, columns = xp.asarray(first), xp.asarray(second)
    matrix = xp.zeros((atoms, width, atoms, width), dtype=xp.complex64)
    flat, diagonal, sigmas = matrix.reshape(atoms * width, -1), xp.arange(count), []
    for energy in range(len(momentum)):
        blocks = xp.matmul(radial[:, energy, None], angular).reshape(-1, width, width)
        matrix[rows, :, columns, :] = blocks
        matrix[columns, :, rows, :] = blocks.swapaxes(1, 2)
        flat[diagonal, diagonal] = on_diagonal[energy]
        coupling = flat[count:, :count]
        sigmas.append(-coupling @ xp.linalg.solve(flat[:count, :count], coupling.T))
    stacked = xp.stack(sigmas)
    return absorber_block(stacked if xp is np else stacked.get(), scattering[:, count:])


if __name__ == "__main__":
    main()
