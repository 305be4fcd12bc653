"""The absorber's block of the full-multiple-scattering Green's function.

The absorber comes last. With its rows a and those of the other atoms o,
G_aa = (1 − Σ t_a)⁻¹ Σ, where Σ = S_ao (t_o⁻¹ − S_oo)⁻¹ S_oa returns to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xanesml.files.arrays import Complex, Complexes

# Least modulus of a scattering amplitude: too small to scatter, and large enough for complex divisions, which
# square the inverse.
_LEAST_SCATTERING = {np.dtype(np.complex64): 1e-18, np.dtype(np.complex128): 1e-150}

# Columns eliminated together: small against the matrix, large enough for the matrix product's full speed.
_BLOCK = 48


class Returned(NamedTuple):
    """Σ, which returns to the absorber, shape (w, w), and the relative residual of the solution."""

    sigma: Complex
    residual: float


@dataclass(frozen=True)
class Solution:
    """The absorber's Green's function at every energy.

    Attributes
    ----------
    blocks : (E, w, w) complex128
        G in real harmonics; NaN if the equations have no solution in the precision.
    method : {"lu", "ldl", "symmetric"}
        The method.
    largest : int
        Order of the largest matrix that was factorized.
    by_lu : int
        Number of factorizations that LU replaced.
    residual : float
        Worst residual, relative to the right-hand side.
    """

    blocks: Complexes
    method: str
    largest: int
    by_lu: int
    residual: float


def inverse_scattering(scattering: Complex, dtype: npt.DTypeLike) -> Complex:
    """Return 1/t in a precision, complex64 or complex128, with |t| at least the smallest value that it can invert.

    `scattering` holds the amplitudes t, of any shape; where one is not finite, the inverse is NaN.
    """
    least = _LEAST_SCATTERING[np.dtype(dtype)]
    inverse = 1 / np.where(np.abs(scattering) < least, least, scattering)
    # The inverse of an infinite amplitude would be a good number.
    return np.where(np.isfinite(scattering), inverse, np.nan).astype(dtype)


def residual_limit(dtype: npt.DTypeLike) -> float:
    """Return the largest residual of a good factorization, relative to the right-hand side.

    In units of the precision, residuals lie near 10 with and without pivoting; the
    limit is where a spectrum would begin to show them.
    """
    return 300 * float(np.finfo(np.dtype(dtype).char).eps)


def relative_residual(product: Complex, wanted: Complex) -> float:
    """Return the largest modulus of `product` − `wanted` over that of `wanted`; 0 where both are zero."""
    # Without propagation to the absorber there is no right-hand side.
    scale = np.abs(wanted).max(initial=np.finfo(wanted.dtype.char).tiny)
    return float(np.abs(product - wanted).max(initial=0.0) / scale)


def worst_of(residuals: Iterable[float]) -> float:
    """Return the largest residual; NaN if one is NaN, which `max` may lose; 0 if there is none."""
    return float(np.max([0.0, *residuals]))


def solve_lu(system: Complex, width: int) -> Returned:
    """Solve with LAPACK's LU factorization with partial pivoting.

    Parameters
    ----------
    system : (n + w, n + w) complex
        Lower triangle of S − 1/t, the w orbitals of the absorber last and without 1/t, zero above; no NaN.
    width : int
        w.

    Returns
    -------
    Returned
        Σ, and the largest residual relative to the largest element of the right-hand sides.
    """
    # Not at the top: it takes longer to import than the other methods take to solve a small cluster.
    from scipy.linalg import lapack  # noqa: PLC0415

    others, coupling = system[:-width, :-width], system[-width:, :-width].T
    matrix = others + others.T
    matrix[np.diag_indices(len(matrix))] = others.diagonal()
    (solve,) = lapack.get_lapack_funcs(("gesv",), (matrix,))
    # The matrix is symmetric: its transpose has LAPACK's order.
    _, _, solution, failed = solve(matrix.T, coupling)
    if failed:
        return _no_solution(system, width)
    return Returned(-coupling.T @ solution, relative_residual(matrix @ solution, coupling))


def solve_ldl(system: Complex, width: int) -> Returned:
    """Solve with a symmetric block factorization without pivoting, in half the operations.

    Parameters and results are as in `solve_lu`; the residual is that of one combination
    of the right-hand sides. The caller must check it: without pivoting the
    factorization can fail for a matrix that has a good inverse.

    References
    ----------
    G. H. Golub and C. F. Van Loan, Matrix Computations, 4th edition, sections 4.1.2 and 4.5.1: LDLᵀ and block
    factorizations; the diagonal blocks are inverted with pivoting.
    """
    count = len(system) - width
    factors = system.copy()
    # Below the diagonal the blocks P of L D, above it those of Lᵀ = D⁻¹ Pᵀ.
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        panel = factors[start:, start:stop]
        panel -= factors[start:, :start] @ factors[:start, start:stop]
        lower = np.tril(panel[: stop - start])
        try:
            inverse = np.linalg.inv(lower + np.tril(lower, -1).T)
        except np.linalg.LinAlgError:
            return _no_solution(system, width)
        np.matmul(inverse, panel[stop - start :].T, out=factors[start:stop, stop:])
    sigma = -factors[count:, :count] @ factors[:count, count:]
    return Returned(sigma, _probe(system, factors, width))


def solve_checked(system: Complex, width: int) -> tuple[Returned, bool]:
    """Solve with LDLᵀ, or with LU if its residual is large; return also whether it was LU.

    Parameters and results are as in `solve_lu`.
    """
    returned = solve_ldl(system, width)
    # A residual that is NaN fails this comparison too.
    if returned.residual <= residual_limit(system.dtype):
        return returned, False
    return solve_lu(system, width), True


def _no_solution(system: Complex, width: int) -> Returned:
    return Returned(np.full_like(system[-width:, -width:], np.nan), np.inf)


def _probe(system: Complex, factors: Complex, width: int) -> float:
    count = len(system) - width
    weights = np.where(np.arange(width) % 3, 1.0, -1.0).astype(factors.dtype)
    solution = factors[:count, count:] @ weights
    for start in range((count - 1) // _BLOCK * _BLOCK, -1, -_BLOCK):
        stop = min(start + _BLOCK, count)
        solution[start:stop] -= factors[start:stop, stop:count] @ solution[stop:]
    others = system[:count, :count]
    wanted = system[count:, :count].T @ weights
    product = others @ solution + others.T @ solution - others.diagonal() * solution
    return relative_residual(product, wanted)


def absorber_block(sigma: Complex, scattering: Complex) -> Complexes:
    """Return the absorber's block of G in real harmonics, (..., w, w) complex128, for Σ and its amplitudes t, (..., w).

    Where Σ is NaN, the block is NaN.
    """
    double = sigma.astype(np.complex128)
    return np.linalg.solve(np.eye(double.shape[-1]) - double * scattering[..., None, :], double)
