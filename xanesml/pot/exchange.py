"""Exchange of an outer electron with the electrons of the core, as matrices.

Exchange with fixed orbitals is linear in the electron's wave function and does not depend
on its energy: one real matrix for each atom and κ.
"""

from __future__ import annotations

from functools import lru_cache
from math import factorial, sqrt

import numpy as np

from xanesml.files.arrays import Floats, Indices
from xanesml.pot.radial import Grid, interpolation

# An orbital ends where it is smaller.
NEGLIGIBLE = 1e-11

# Every fifth point inside this radius, bohr, where wave functions are powers of r; then every third, but all about
# the muffin-tin sphere, where the potential has a step. Every second or fourth would excite the
# parasitic solutions of Boole's rule, which have these periods.
_INNER, _FAR = 0.003, 5
_NEAR, _ABOUT = 3, 8
# Degree of the interpolation between the points at which exchange is made.
_DEGREE = 7


class Exchange:
    """Exchange with the core at some points of a grid, enough to interpolate between them.

    Parameters
    ----------
    grid : Grid
        The radial grid, of n points.
    edge, count : int
        Index of the first point outside the muffin-tin sphere; number of points that the outer electron's wave
        function has.
    large, small : (O, n) float
        Components of the core's orbitals, times r.
    kappas, occupations : (O,) int, (O,) float
        Their κ and numbers of electrons.

    Attributes
    ----------
    points : (m,) intp
        The points.
    to_grid : (n, m) float64
        Weights of interpolation from them to the whole grid.
    """

    def __init__(
        self,
        grid: Grid,
        edge: int,
        count: int,
        large: Floats,
        small: Floats,
        kappas: Indices,
        occupations: Floats,
    ) -> None:
        self._grid, self._kappas, self._occupations = grid, kappas, occupations
        self._orbitals = np.stack((large, small), axis=1)
        inner, about = grid.below(_INNER), edge - _ABOUT
        self.points = np.concatenate(
            (np.arange(0, inner, _FAR), np.arange(inner, about, _NEAR), np.arange(about, count))
        )
        self.to_grid = interpolation(grid.x[self.points], _DEGREE, grid.x)
        # Integrals end where FEFF's wave function does, shortly beyond the Norman radius: that changes phase shifts.
        self.to_grid[count:] = 0

    def matrix(self, kappa: int, rows: int) -> Floats:
        """Return the matrix of exchange.

        Parameters
        ----------
        kappa : int
            κ of the outer electron.
        rows : int
            Number of the points at which exchange is wanted.

        Returns
        -------
        (2 * rows, 2m) float64
            From the outer electron's components P and Q to r times the exchange terms of the equations,
            Hartree·bohr: Σ_jk N_j (j_i k j_j; ½ 0 −½)² y_k(r) P_j(r), and with Q_j.

        References
        ----------
        J. P. Desclaux, Comput. Phys. Commun. 9, 31 (1975), equations 4 to 9.
        """
        count = self._grid.size
        outer = 2 * abs(kappa) - 1
        fine = np.zeros((2, rows, 2, count))
        every = self._orbitals.reshape(-1, 2 * count)
        wanted = self._orbitals[:, :, self.points[:rows]].reshape(-1, 2 * rows)
        for order in range((outer + 2 * int(np.abs(self._kappas).max()) - 1) // 2 + 1):
            strengths = np.array(
                [
                    number * _coefficient(outer, order, 2 * abs(int(other)) - 1, same=(kappa * other > 0))
                    for other, number in zip(self._kappas, self._occupations, strict=True)
                ]
            )
            chosen = np.flatnonzero(strengths)
            if chosen.size:
                density = (wanted[chosen].T * strengths[chosen]) @ every[chosen]
                kernel = coulomb_matrix(self._grid, order)[self.points[:rows]]
                fine += kernel[:, None, :] * density.reshape(fine.shape)
        return np.asarray(fine.reshape(-1, count) @ self.to_grid).reshape(2 * rows, -1)


def _coefficient(one: int, order: int, other: int, *, same: bool) -> float:
    """Return the squared 3j symbol of twice the total momenta, 0 if parity forbids the order."""
    least = abs(one - other) // 2
    allowed = least if same else least + 1
    if order < allowed or order > (one + other) // 2 or (order - allowed) % 2:
        return 0.0
    return wigner_3j(one, 2 * order, other, 1, 0, -1) ** 2


@lru_cache(maxsize=1024)
def wigner_3j(a: int, b: int, c: int, alpha: int, beta: int, gamma: int) -> float:
    """Return Wigner's 3j symbol; all arguments are doubled and obey the triangle's and the sum's conditions.

    References
    ----------
    A. R. Edmonds, Angular Momentum in Quantum Mechanics (Princeton, 1957), equation 3.6.11 (Racah's formula).
    """
    j1, j2, j3 = (a + b - c) // 2, (a - b + c) // 2, (b + c - a) // 2
    triangle = factorial(j1) * factorial(j2) * factorial(j3) / factorial((a + b + c) // 2 + 1)
    states = 1
    for total, part in ((a, alpha), (b, beta), (c, gamma)):
        states *= factorial((total + part) // 2) * factorial((total - part) // 2)
    series = 0.0
    shift_one, shift_two = (c - b + alpha) // 2, (c - a - beta) // 2
    for k in range(max(0, -shift_one, -shift_two), min(j1, (a - alpha) // 2, (b + beta) // 2) + 1):
        terms = (k, j1 - k, (a - alpha) // 2 - k, (b + beta) // 2 - k, shift_one + k, shift_two + k)
        product = 1
        for term in terms:
            product *= factorial(term)
        series += (-1) ** k / product
    sign = (-1) ** ((a - b - gamma) // 2)
    return float(sign * sqrt(triangle * states) * series)


@lru_cache(maxsize=16)
def coulomb_matrix(grid: Grid, order: int) -> Floats:
    """Return the matrix from f to y_k(r) = r ∫ f(s) r_<^k / r_>^(k + 1) ds.

    The integrand f·r is taken as linear in ln r between points, and so is the inner part of
    y_k in the outer integral.

    Returns
    -------
    (n, n) float64
        Read only.

    References
    ----------
    C. Froese Fischer, The Hartree-Fock Method for Atoms (Wiley, 1977), section 2.4: y_k from a pair of first-order
    equations, solved outward and inward.
    """
    count, step = grid.size, grid.step
    inner = np.zeros((count + 1, count))
    decay, here, there = _product_rule(order, step)
    # A power law r^(2γ) inside the first point: its exponent hardly matters there.
    inner[0, 0] = 1 / (order + 2)
    for i in range(count):
        inner[i + 1] = decay * inner[i]
        inner[i + 1, i] += here
        if i + 1 < count:
            inner[i + 1, i + 1] += there
    decay, near, far = _product_rule(order + 1, step)
    whole = inner.copy()
    source = (2 * order + 1) * (near * inner[1:] + far * inner[:-1])
    for i in range(count - 1, -1, -1):
        whole[i] = decay * whole[i + 1] + source[i]
    result = whole[:-1] * grid.r
    result.flags.writeable = False
    return np.asarray(result)


def _product_rule(rate: int, step: float) -> tuple[float, float, float]:
    """Return exp(−rate·h) and the weights of a linear source at the start and the end.

    They solve y' = −rate·y + f over one step h.
    """
    if rate == 0:
        return 1.0, step / 2, step / 2
    turn = rate * step
    decay = float(np.exp(-turn))
    there = (decay - 1 + turn) / (rate * turn)
    return decay, (1 - decay) / rate - there, there
