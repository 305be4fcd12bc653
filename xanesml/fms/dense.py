"""Full multiple scattering with the whole matrix, energy by energy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xanesml.fms.inputs import BOHR, FmsInput, orbital_scattering
from xanesml.fms.phases import Phases
from xanesml.fms.propagator import FreePropagator, damping
from xanesml.fms.solve import Solution, absorber_block, inverse_scattering, solve_checked, solve_lu, worst_of


def solve_dense(
    cluster: FmsInput, phases: Phases, *, pivoting: bool = False, dtype: npt.DTypeLike = np.complex64
) -> Solution:
    """Solve full multiple scattering without using symmetry of the cluster.

    Parameters
    ----------
    cluster, phases
        The cluster, and energies and phase shifts of its potentials.
    pivoting : bool, optional
        LU with pivoting at all energies, instead of LDLᵀ with LU only after a large residual.
    dtype : dtype, optional
        complex64 or complex128, the precision of the factorizations.
    """
    absorber = cluster.absorber
    order = np.append(np.delete(np.arange(len(cluster.positions)), absorber), absorber)
    propagator = FreePropagator(cluster.positions[order], cluster.lmax[order], cutoff=cluster.cutoff, dtype=dtype)
    scattering = orbital_scattering(cluster, phases, order)
    width = int(cluster.lmax[absorber] + 1) ** 2
    count = propagator.size - width
    diagonal = np.arange(count)
    sigmas, residuals = [], []
    by_lu = 0
    matrices = propagator.matrices(phases.momentum, damping(phases.momentum, cluster.sigma2, BOHR))
    for matrix, inverse in zip(matrices, inverse_scattering(scattering[:, :count], dtype), strict=True):
        matrix[diagonal, diagonal] = -inverse
        if pivoting:
            returned = solve_lu(matrix, width)
        else:
            returned, fell_back = solve_checked(matrix, width)
            by_lu += fell_back
        sigmas.append(returned.sigma)
        residuals.append(returned.residual)
    blocks = absorber_block(np.array(sigmas), scattering[:, count:])
    return Solution(blocks, "lu" if pivoting else "ldl", count, by_lu, worst_of(residuals))
