"""Real spherical harmonics and their Gaunt coefficients."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial.legendre import leggauss

from xanesml.files.arrays import Complexes, Floats


def real_harmonics(directions: Floats, lmax: int) -> Floats:
    """Return the orthonormal real spherical harmonics of directions.

    Parameters
    ----------
    directions : (..., 3) float
        Vectors, of any length but zero; no NaN.
    lmax : int
        Largest angular momentum.

    Returns
    -------
    (..., (lmax + 1)**2) float64
        Y_lm at the flat index l² + l + m: sin(|m|φ) for m < 0, cos(mφ) for m > 0,
        without the Condon–Shortley phase, so that l = 1 is √(3/4π) (y, z, x).

    References
    ----------
    Limpanuparb & Milthorpe, arXiv:1410.1748 (2014): the recursion of the normalized
    Legendre functions.
    """
    vectors = np.asarray(directions, dtype=np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    x, y, z = unit[..., 0], unit[..., 1], unit[..., 2]
    result = np.empty((*x.shape, (lmax + 1) ** 2))
    # sinᵐθ goes with the azimuth: the rest are polynomials of x, y and z, regular at the poles.
    cosine, sine = np.ones_like(x), np.zeros_like(x)
    sectoral = np.sqrt(1 / (4 * np.pi))
    for m in range(lmax + 1):
        if m:
            cosine, sine = x * cosine - y * sine, x * sine + y * cosine
            sectoral *= np.sqrt((2 * m + 1) / (2 * m)) * (np.sqrt(2) if m == 1 else 1)
        before, legendre = np.zeros_like(z), np.full_like(z, sectoral)
        for degree in range(m, lmax + 1):
            if degree > m:
                ratio = np.sqrt((4 * degree**2 - 1) / (degree**2 - m**2))
                damping = np.sqrt(((degree - 1) ** 2 - m**2) / (4 * (degree - 1) ** 2 - 1))
                before, legendre = legendre, ratio * (z * legendre - damping * before)
            center = degree**2 + degree
            result[..., center + m] = legendre * cosine
            if m:
                result[..., center - m] = legendre * sine
    return result


@lru_cache(maxsize=8)
def real_gaunt(lmax: int, lmax_third: int) -> Floats:
    """Return the integrals of three real spherical harmonics, the third up to `lmax_third`, over the sphere.

    Returns
    -------
    ((lmax + 1)**2, (lmax + 1)**2, (lmax_third + 1)**2) float64
        ∫ Y_L Y_L' Y_Λ dΩ at the flat indices of `real_harmonics`; read only.
    """
    # The product is a polynomial of this degree, for which the rule below is exact.
    degree = 2 * lmax + lmax_third
    z, weights = leggauss(degree // 2 + 1)  # type: ignore[no-untyped-call]
    azimuths = 2 * np.pi / (degree + 1) * np.arange(degree + 1)
    sine = np.sqrt(1 - z**2)[:, None]
    points = np.stack([sine * np.cos(azimuths), sine * np.sin(azimuths), z[:, None] + 0 * azimuths], axis=-1)
    harmonics = real_harmonics(points.reshape(-1, 3), max(lmax, lmax_third))
    first = harmonics[:, : (lmax + 1) ** 2]
    third = harmonics[:, : (lmax_third + 1) ** 2] * np.repeat(weights * 2 * np.pi / (degree + 1), degree + 1)[:, None]
    gaunt: Floats = np.einsum("pi,pj,pk->ijk", first, first, third, optimize=True)
    gaunt[np.abs(gaunt) < 1e-14] = 0.0
    gaunt.flags.writeable = False
    return gaunt


def complex_from_real(lmax: int) -> Complexes:
    """Return the matrix that takes real harmonics up to `lmax` to the complex ones of FEFF's Green's function.

    Returns
    -------
    ((lmax + 1)**2, (lmax + 1)**2) complex128
        Unitary. Its rows are the complex conjugates of Y_lm with the Condon–Shortley phase.
    """
    matrix = np.zeros(((lmax + 1) ** 2,) * 2, dtype=np.complex128)
    for degree in range(lmax + 1):
        center = degree**2 + degree
        matrix[center, center] = 1
        for m in range(1, degree + 1):
            cosine, sine = center + m, center - m
            matrix[[center + m, center - m], cosine] = np.array([(-1) ** m, 1]) / np.sqrt(2)
            matrix[[center + m, center - m], sine] = np.array([-((-1) ** m), 1]) * 1j / np.sqrt(2)
    return matrix
