"""The common energy mesh: spectra brought onto it, and their edge steps."""

from __future__ import annotations

from typing import Literal

import numpy as np

from xanesml.errors import StoreError
from xanesml.files.arrays import Floats, Wholes

#: Photon energy above the edge at which μ0 is the edge step, eV: FEFF's own convention.
NORMALIZATION_OFFSET = 50.0

#: A mesh with fewer points than this holds no near-edge structure.
SMALLEST_MESH = 10

#: Energy range to which the slope of a background refers, eV.
SLOPE_RANGE = 50.0


def common_mesh(start: float, end: float, edge: float, step: float) -> Floats:
    """Make the mesh within the range that all spectra share.

    Parameters
    ----------
    start, end : float
        Largest first and smallest last photon energy of the spectra, eV.
    edge : float
        Photon energy of the edge, eV.
    step : float
        Step of the mesh, eV.

    Returns
    -------
    ndarray of float64, shape (M,)
        The multiples of `step` within the range, eV.

    Raises
    ------
    StoreError
        If too few points result, or they do not span the edge.
    """
    mesh: Floats = np.arange(np.floor(start / step), np.ceil(end / step) + 1) * step
    # Trimmed by comparison, so that rounding in the multiples never reaches outside.
    mesh = mesh[(mesh >= start) & (mesh <= end)]
    if len(mesh) < SMALLEST_MESH:
        raise StoreError(
            f"the spectra share {start:.2f} to {end:.2f} eV, which holds {len(mesh)} mesh points of {step:g} eV; "
            f"{SMALLEST_MESH} are needed; reduce averaging.mesh_step or check the spectra"
        )
    if not mesh[0] <= edge < mesh[-1]:
        raise StoreError(
            f"the spectra share {start:.2f} to {end:.2f} eV, but the edge lies at {edge:.2f} eV; check the spectra"
        )
    return mesh


def onto_mesh(
    energy: Floats,
    values: Floats,
    points: Wholes,
    mesh: Floats,
    method: Literal["linear", "pchip"] = "linear",
    *,
    tasks: Wholes | None = None,
) -> Floats:
    """Interpolate spectra onto the common mesh.

    Parameters
    ----------
    energy, values : ndarray of float64, shape (T, E)
        Photon energies, eV, and the values there; entries beyond `points` are ignored.
    points : ndarray of int, shape (T,)
        Number of energies in each row, at least 1; 2 for `pchip`.
    mesh : ndarray of float64, shape (M,)
        Photon energies of the result, ascending, eV.
    method : {"linear", "pchip"}
        Straight lines, or monotone cubics.
    tasks : ndarray of int, shape (T,), optional
        Tasks to name in messages. Default: 0 to T − 1.

    Returns
    -------
    ndarray of float64, shape (T, M)
        Interpolated values, finite.

    Raises
    ------
    StoreError
        If a row does not cover the mesh, its energies do not increase or its values are not
        finite.

    References
    ----------
    F. N. Fritsch and J. Butland, SIAM J. Sci. Stat. Comput. 5, 300 (1984), for `pchip`.
    """
    result = np.empty((len(points), len(mesh)))
    for row, count in enumerate(points):
        grid, column = energy[row, :count], values[row, :count]
        name = row if tasks is None else tasks[row]
        # In this form a NaN among the energies fails too.
        if count < 1 or not (np.diff(grid) > 0).all() or not np.isfinite(column).all():
            raise StoreError(
                f"the spectrum of task {name} has energies that do not increase, or values that are not finite"
            )
        if not (grid[0] <= mesh[0] and mesh[-1] <= grid[-1]):
            raise StoreError(
                f"the spectrum of task {name} covers {grid[0]:.2f} to {grid[-1]:.2f} eV, "
                f"not the mesh of {mesh[0]:.2f} to {mesh[-1]:.2f} eV; spectra are never extrapolated"
            )
        if method == "pchip":
            from scipy.interpolate import PchipInterpolator  # noqa: PLC0415 (slow to import, and rarely asked for)

            result[row] = PchipInterpolator(grid, column)(mesh)
        else:
            result[row] = np.interp(mesh, grid, column)
    return result


def edge_step(mu0: Floats, mesh: Floats, edge: float) -> tuple[Floats, float]:
    """Return the edge steps of atomic backgrounds.

    Parameters
    ----------
    mu0 : ndarray of float64, shape (..., M)
        Atomic backgrounds μ0 on the mesh.
    mesh : ndarray of float64, shape (M,)
        Photon energies, ascending, eV.
    edge : float
        Photon energy of the edge, eV.

    Returns
    -------
    steps : ndarray of float64, shape (...)
        μ0 at `energy`, linear between mesh points; positive.
    energy : float
        50 eV above the edge, or the mesh's end if that lies below, eV.

    Raises
    ------
    StoreError
        If the mesh does not span the edge, or a step is not a positive number.

    References
    ----------
    FEFF's own choice, in the header of its xmu.dat: "xsedge+ 50, used to normalize mu".
    """
    if not mesh[0] <= edge < mesh[-1]:
        raise StoreError(f"the edge, {edge:.2f} eV, lies outside the mesh of {mesh[0]:.2f} to {mesh[-1]:.2f} eV")
    energy = float(min(edge + NORMALIZATION_OFFSET, mesh[-1]))
    right = int(np.clip(np.searchsorted(mesh, energy), 1, len(mesh) - 1))
    share = (energy - mesh[right - 1]) / (mesh[right] - mesh[right - 1])
    steps = np.asarray((1 - share) * mu0[..., right - 1] + share * mu0[..., right], dtype=np.float64)
    if not np.all(np.isfinite(steps) & (steps > 0)):
        raise StoreError(f"μ0 at {energy:.2f} eV is not positive in every spectrum, so there is no edge step")
    return steps, energy
