"""Free propagation between the atoms of a cluster, in real harmonics.

The basis of each atom is i^l j_l Y_L times a further i^l, which makes the matrix of
free propagators symmetric: S = Σ_λ A_λ · i h_λ(kr), with real A_λ that depend on
directions only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from xanesml.files.arrays import Complex, Complexes, Floats, Indices
from xanesml.fms.harmonics import real_gaunt, real_harmonics

# Room for the blocks of several energies at once, bytes.
_CHUNK_BYTES = 32 * 1024**2

# Pairs of atoms whose angular factors are made at once, in double precision.
_PAIRS = 256


def degrees(lmax: int) -> Indices:
    """Return the angular momentum l of each flat index l² + l + m, ((lmax + 1)**2,)."""
    return np.repeat(np.arange(lmax + 1), 2 * np.arange(lmax + 1) + 1)


def angular_factors(directions: Floats, lmax: int) -> Floats:
    """Return the angular part of free propagation.

    Parameters
    ----------
    directions : (P, 3) float
        Vectors from the second to the first atom of each pair, of any length but zero; no NaN.
    lmax : int
        Largest angular momentum.

    Returns
    -------
    (P, 2 * lmax + 1, (lmax + 1)**2, (lmax + 1)**2) float64
        A_λ[L, L'] = 4π i^(l − l' + λ) Σ_μ Y_λμ ∫ Y_L Y_L' Y_λμ dΩ.

    References
    ----------
    The translation of outgoing waves in a basis of i^l j_l Y_L; compare J. J. Rehr and
    R. C. Albers, Phys. Rev. B 41, 8139 (1990), equations 2 to 6.
    """
    size = (lmax + 1) ** 2
    gaunt = real_gaunt(lmax, 2 * lmax)
    harmonics = real_harmonics(directions, 2 * lmax)
    order = degrees(lmax)
    factors = np.empty((len(directions), 2 * lmax + 1, size, size))
    for degree in range(2 * lmax + 1):
        # Where the exponent is odd the Gaunt coefficients vanish.
        sign = np.where((order[:, None] - order + degree) % 4 == 2, -1.0, 1.0)
        these = slice(degree**2, (degree + 1) ** 2)
        weights = (4 * np.pi * sign[:, :, None] * gaunt[:, :, these]).reshape(-1, 2 * degree + 1)
        factors[:, degree] = (harmonics[:, these] @ weights.T).reshape(-1, size, size)
    return factors


def radial_factors(x: Complexes, lmax: int) -> Complexes:
    """Return i times the outgoing spherical Hankel functions.

    Parameters
    ----------
    x : (...) complex
        k·r, not zero; no NaN.
    lmax : int
        Largest order.

    Returns
    -------
    (..., lmax + 1) complex128
        i h_λ(x); for λ = 0 it is exp(ix)/x.
    """
    result = np.empty((*x.shape, lmax + 1), dtype=np.complex128)
    inverse = 1 / x
    result[..., 0] = np.exp(1j * x) * inverse
    if lmax:
        result[..., 1] = result[..., 0] * (inverse - 1j)
    for order in range(2, lmax + 1):
        result[..., order] = (2 * order - 1) * inverse * result[..., order - 1] - result[..., order - 2]
    return result


def damping(momentum: Complexes, sigma2: float, bohr: float) -> Complexes:
    """Return the factor of every free propagation that a mean squared displacement, Å², gives, (E,).

    `momentum` holds k, 1/bohr, (E,); `bohr` is the length of the bohr, Å.
    """
    return np.asarray(np.exp(-sigma2 * (momentum / bohr) ** 2))


class FreePropagator:
    """Free propagators between all atoms of a cluster, energy by energy.

    Parameters
    ----------
    positions : (A, 3) float
        Atoms, bohr, no two in one place; no NaN.
    lmax : (A,) int
        Largest angular momentum of each atom.
    cutoff : float, optional
        Largest distance of propagation, bohr.
    dtype : dtype, optional
        complex64 or complex128, the precision of the matrices.

    Attributes
    ----------
    size : int
        Rows of the matrices: the orbitals of the atoms one after the other, each with (lmax + 1)² of them.
    """

    def __init__(
        self,
        positions: Floats,
        lmax: Indices,
        *,
        cutoff: float = np.inf,
        dtype: npt.DTypeLike = np.complex64,
    ) -> None:
        first, second = np.tril_indices(len(positions), -1)
        vectors = positions[first] - positions[second]
        self._distances = np.linalg.norm(vectors, axis=1)
        self._propagates = self._distances <= cutoff
        self._lmax = int(lmax.max())
        self._dtype = np.dtype(dtype)
        padded = (self._lmax + 1) ** 2
        # Complex, although the numbers are real: this saves a conversion at every energy.
        self._angular = np.empty((len(vectors), 2 * self._lmax + 1, padded, padded), dtype=self._dtype)
        for start in range(0, len(vectors), _PAIRS):
            these = slice(start, start + _PAIRS)
            self._angular[these] = angular_factors(vectors[these], self._lmax)
        kept = np.arange(padded) < ((lmax + 1) ** 2)[:, None]
        self._kept = None if kept.all() else kept
        self._ends = kept.sum(axis=1).cumsum()
        self.size = int(self._ends[-1])

    def matrices(self, momentum: Complexes, damping: Complexes | None = None) -> Iterator[Complex]:
        """Yield the lower triangle of the symmetric matrix S of each energy.

        Parameters
        ----------
        momentum : (E,) complex
            k, 1/bohr; no NaN.
        damping : (E,) complex, optional
            Factor of all propagators; by default 1.

        Yields
        ------
        (size, size) complex64 or complex128
            The propagators below the blocks of single atoms; zero in them and above; no NaN. The same
            array each time; the caller may overwrite its diagonal only.
        """
        pairs, orders, *_ = self._angular.shape
        padded = (self._lmax + 1) ** 2
        angular = self._angular.reshape(pairs, orders, padded**2)
        step = max(1, _CHUNK_BYTES // max(1, pairs * padded**2 * self._dtype.itemsize))
        matrix = np.zeros((self.size, self.size), dtype=self._dtype)
        for start in range(0, len(momentum), step):
            these = slice(start, start + step)
            radial = radial_factors(self._distances[:, None] * momentum[these], orders - 1)
            radial *= self._propagates[:, None, None]
            if damping is not None:
                radial *= damping[these, None]
            blocks = np.matmul(radial.astype(self._dtype), angular).reshape(pairs, -1, padded, padded)
            for energy in range(blocks.shape[1]):
                self._arrange(blocks[:, energy], matrix)
                yield matrix

    def symmetric(self, momentum: Complexes) -> Complex:
        """Return the whole matrices S of some energies; for clusters small enough to hold them together.

        Parameters
        ----------
        momentum : (E,) complex
            k, 1/bohr; no NaN.

        Returns
        -------
        (E, size, size) complex64 or complex128
            The propagators, zero in the blocks of single atoms; no NaN.
        """
        pairs, orders, padded, _ = self._angular.shape
        radial = radial_factors(self._distances[:, None] * momentum, orders - 1)
        radial *= self._propagates[:, None, None]
        blocks = np.matmul(radial.astype(self._dtype), self._angular.reshape(pairs, orders, padded**2))
        blocks = blocks.reshape(pairs, -1, padded, padded)
        atoms = len(self._ends)
        first, second = np.tril_indices(atoms, -1)
        matrices = np.zeros((len(momentum), atoms, padded, atoms, padded), dtype=self._dtype)
        matrices[:, first, :, second, :] = blocks
        matrices[:, second, :, first, :] = blocks.swapaxes(2, 3)
        matrices = matrices.reshape(len(momentum), atoms * padded, -1)
        if self._kept is None:
            return matrices
        kept = np.flatnonzero(self._kept)
        return np.asarray(matrices[:, kept[:, None], kept])

    def _arrange(self, blocks: Complex, matrix: Complex) -> None:
        padded = blocks.shape[1]
        pair = 0
        for atom in range(1, len(self._ends)):
            begin, end = self._ends[atom - 1], self._ends[atom]
            # Rows of this atom, columns of those before it.
            row = blocks[pair : pair + atom].transpose(1, 0, 2)
            if self._kept is None:
                matrix[begin:end, :begin].reshape(padded, atom, padded)[...] = row
            else:
                flat = row[: end - begin].reshape(end - begin, atom * padded)
                matrix[begin:end, :begin] = flat[:, self._kept[:atom].ravel()]
            pair += atom
