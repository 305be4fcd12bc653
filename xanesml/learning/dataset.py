"""Reads the arrays of a tensor file that training needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.averages.series import Series
from xanesml.errors import StoreError
from xanesml.files.arrays import Floats, Singles
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import TENSORS

_REMEDY = "run `xanesml average CAMPAIGN` again"


@dataclass(frozen=True)
class Tensors:
    """Arrays of a tensor file, with all statistical averages or those of one rank. No array holds NaN.

    Attributes
    ----------
    spectra : ndarray
        Statistical averages, shape (N, M), float32, edge steps.
    msd : ndarray
        Their mean squared displacements, shape (N,), float64, Å².
    mean_shift : ndarray
        Their mean first-shell shifts, shape (N,), float64, Å.
    skewness : ndarray
        Skewness of their distributions, shape (N,), float64.
    distribution : ndarray
        Share of the first shell in each bin of the bond length, shape (N, R), float32; rows sum to 1.
    family : ndarray
        Their families of weights, shape (N,), int32.
    series : Series
        The distorted series.
    particle_spectra : ndarray
        Particle averages, shape (P, M), float32, edge steps; P may be 0.
    particle_msd : ndarray
        Mean squared displacements of their bonds, shape (P,), float64, Å².
    particle_mean_shift : ndarray
        Their mean bond lengths minus the undistorted length, shape (P,), float64, Å.
    particle_skewness : ndarray
        Skewness of their bond lengths, shape (P,), float64.
    particle_distribution : ndarray
        Share of their bonds in each bin, shape (P, R), float32.
    edge : float
        Photon energy of the edge that the mesh refers to, eV.
    normalization_energy : float
        Photon energy at which μ0 gives the edge step, eV.
    campaign : str
        Resolved campaign that the averages were made for, JSON.
    campaign_digest : str
        Hash of that campaign.
    """

    spectra: Singles
    msd: Floats
    mean_shift: Floats
    skewness: Floats
    distribution: Singles
    family: NDArray[np.int32]
    series: Series
    particle_spectra: Singles
    particle_msd: Floats
    particle_mean_shift: Floats
    particle_skewness: Floats
    particle_distribution: Singles
    edge: float
    normalization_energy: float
    campaign: str
    campaign_digest: str

    @property
    def mesh(self) -> Floats:
        """Common photon energies, shape (M,), ascending, eV."""
        return self.series.energy


def read_families(path: Path) -> NDArray[np.int32]:
    """Return the family of every statistical average of a tensor file, shape (N,); raises as `load_tensors`."""
    with open_file(path, TENSORS) as file:
        _require_averages(file, path)
        return _array(file, path, "statistical/family", {})


def load_tensors(path: Path, rows: slice = slice(None)) -> Tensors:
    """Read a tensor file; of its statistical averages, only these rows, in steps of 1.

    Raises
    ------
    StoreError
        If there is no such file, it is not a tensor file, has another version, is
        incomplete, holds non-finite numbers, or has no statistical averages.
    """
    with open_file(path, TENSORS) as file:
        _require_averages(file, path)
        return _read_tensors(file, path, rows)


def _require_averages(file: h5py.File, path: Path) -> None:
    if "statistical/spectra" not in file or file["statistical/spectra"].shape[0] == 0:
        raise StoreError(
            f"{path} holds no statistical averages (statistical/spectra); "
            "give the campaign a [distortion] section, then `xanesml simulate` and `xanesml average`"
        )


def _read_tensors(file: h5py.File, path: Path, rows: slice) -> Tensors:
    sizes: dict[str, int] = {}

    def array(name: str) -> NDArray[Any]:
        return _array(file, path, name, sizes, rows if name.startswith("statistical/") else slice(None))

    def attribute(name: str) -> Any:
        if name not in file.attrs:
            raise StoreError(f"{path} is incomplete: it lacks the attribute {name!r}; {_REMEDY}")
        return file.attrs[name]

    series = Series(
        energy=array("mesh/energy"),
        r=array("mesh/r"),
        first_shell=float(attribute("first_shell")),
        **{name: array(f"series/{name}") for name in ("delta", "mu", "edge_step")},
    )
    labels = ("msd", "mean_shift", "skewness", "distribution")
    arrays: dict[str, Any] = {name: array(f"statistical/{name}") for name in ("spectra", *labels, "family")}
    arrays |= {f"particle_{name}": array(f"particle/{name}") for name in ("spectra", *labels)}
    texts: dict[str, Any] = {name: str(attribute(name)) for name in ("campaign", "campaign_digest")}
    numbers: dict[str, Any] = {name: float(attribute(name)) for name in ("edge", "normalization_energy")}
    return Tensors(series=series, **arrays, **texts, **numbers)


def _array(file: h5py.File, path: Path, name: str, sizes: dict[str, int], rows: slice = slice(None)) -> NDArray[Any]:
    layout = TENSORS[name]
    if name not in file:
        raise StoreError(f"{path} is incomplete: it lacks {name}; {_REMEDY}")
    values: NDArray[Any] = file[name][rows].astype(layout.dtype, copy=False)
    expected = tuple(sizes.get(letter, -1) for letter in layout.shape)
    if values.ndim != len(expected) or any(n not in (-1, m) for n, m in zip(expected, values.shape, strict=True)):
        raise StoreError(f"{path} contradicts itself: {name} has shape {values.shape}, not {layout.shape}; {_REMEDY}")
    sizes.update(zip(layout.shape, values.shape, strict=True))
    if not np.isfinite(values).all():
        raise StoreError(f"{path} holds numbers that are not finite in {name}; {_REMEDY}")
    return values
