"""Spherical Bessel functions of complex arguments, and free solutions of the radial Dirac equation."""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Complexes, Floats, Indices

#: Fine-structure constant, as FEFF has it.
ALPHA = 1 / 137.03598956

# Below this modulus the power series, above it the recursion.
_SMALL = 1.0
_TERMS = 14


def spherical_bessel(z: Complexes, largest: int) -> tuple[Complexes, Complexes, Complexes]:
    """Return j_l, n_l and h_l = j_l + i n_l.

    Parameters
    ----------
    z : (...) complex
        Arguments, not zero; no NaN.
    largest : int
        Largest order, at least 1.

    Returns
    -------
    three of (..., largest + 1) complex128
        The functions of orders 0 … `largest`.

    References
    ----------
    M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, sections 10.1.2, 10.1.11, 10.1.19.
    """
    first, second, outgoing = (np.empty((*z.shape, largest + 1), dtype=np.complex128) for _ in range(3))
    inverse = 1 / z
    sine, cosine, wave = np.sin(z), np.cos(z), np.exp(1j * z)
    first[..., 0], second[..., 0], outgoing[..., 0] = sine * inverse, -cosine * inverse, -1j * wave * inverse
    first[..., 1] = (first[..., 0] - cosine) * inverse
    second[..., 1] = (second[..., 0] - sine) * inverse
    outgoing[..., 1] = (outgoing[..., 0] - wave) * inverse
    for order in range(2, largest + 1):
        for function in (first, second, outgoing):
            function[..., order] = (2 * order - 1) * inverse * function[..., order - 1] - function[..., order - 2]
    small = np.abs(z) < _SMALL
    if small.any():
        first[small] = _series(z[small], largest)
    return first, second, outgoing


def _series(z: Complexes, largest: int) -> Complexes:
    result = np.empty((len(z), largest + 1), dtype=np.complex128)
    prefactor: Complexes = np.ones_like(z)
    for order in range(largest + 1):
        if order:
            prefactor *= z / (2 * order + 1)
        term: Complexes = np.ones_like(z)
        total: Complexes = np.ones_like(z)
        for k in range(1, _TERMS):
            term *= -(z**2) / (2 * k * (2 * order + 2 * k + 1))
            total += term
        result[:, order] = prefactor * total
    return result


def momentum(energy: Complexes | Floats) -> Complexes:
    """Return the relativistic momentum, 1/bohr, with Im k ≥ 0, of energies without rest mass, Hartree."""
    root = np.sqrt(2 * energy + (ALPHA * energy) ** 2 + 0j)
    return np.asarray(np.where(root.imag < 0, -root, root))


def small_part(k: Complexes) -> Complexes:
    """Return the factor between the small and the large component of a free solution with κ < 0."""
    return np.asarray(-ALPHA * k / (1 + np.sqrt(1 + (ALPHA * k) ** 2)))


def propagate(
    values: Complexes, energy: Complexes | Floats, degrees: Indices, start: Floats, ends: Floats
) -> Complexes:
    """Return solutions in a flat potential at other radii.

    Parameters
    ----------
    values : (2, C) complex
        Large and small component, times r, of each of C solutions with κ = −l − 1, at `start`; no NaN.
    energy : (C,) complex
        Energies above the flat potential, Hartree, not zero.
    degrees : (C,) intp
        l of each solution.
    start : (C,) float
        Radii, bohr.
    ends : (M, C) float
        Other radii, bohr.

    Returns
    -------
    (M, 2, C) complex128
        The components at `ends`.

    References
    ----------
    T. L. Loucks, Augmented Plane Wave Method (Benjamin, 1967), equation 4-19.
    """
    k = momentum(energy)
    factor = small_part(k)
    radii = np.vstack((start, ends))
    regular, irregular, _ = spherical_bessel(k * radii, int(degrees.max()) + 1)
    columns = np.arange(len(degrees))
    upper = [radii * function[:, columns, degrees] for function in (regular, irregular)]
    lower = [factor * radii * function[:, columns, degrees + 1] for function in (regular, irregular)]
    # The Wronskian of j and n is 1/z².
    scale = k**2 / factor
    a = -scale * (values[0] * lower[1][0] - values[1] * upper[1][0])
    b = scale * (values[0] * lower[0][0] - values[1] * upper[0][0])
    return np.stack([a * function[0][1:] + b * function[1][1:] for function in (upper, lower)], axis=1)
