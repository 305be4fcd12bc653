"""From the tensor file to batches: one rank's rows, splits by family, and the order of batches.

Every random draw comes from the campaign's seed and a named stream, never from
global state, so a split or an epoch's order does not depend on the number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.averages.series import Series
from xanesml.errors import StoreError
from xanesml.files.arrays import Floats, Integers, Singles, Wholes
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import TENSORS
from xanesml.seeds import Stream, generator

_REMEDY = "make it anew with `xanesml average CAMPAIGN`"


@dataclass(frozen=True)
class Tensors:
    """What training needs of a tensor file, all of its statistical averages or one rank's. No array holds NaN.

    Its weights over the series are left in the file.

    Attributes
    ----------
    mesh : ndarray
        Photon energies, shape (M,), float64, eV.
    r : ndarray
        Centers of the bins of the bond length, shape (R,), float64, Å.
    spectra : ndarray
        Statistical averages, shape (N, M), float32, edge steps.
    msd : ndarray
        Their mean squared displacements, shape (N,), float64, Å².
    mean_shift : ndarray
        Their mean first-shell shifts, shape (N,), float64, Å.
    skewness : ndarray
        Skewness of their distributions, shape (N,), float64.
    kurtosis : ndarray
        Excess kurtosis of their distributions, shape (N,), float64.
    distribution : ndarray
        Share of the first shell in each bin, shape (N, R), float32; rows sum to 1.
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
    first_shell : float
        Length of the undistorted first shell, Å.
    edge : float
        Photon energy of the edge that the mesh refers to, eV.
    normalization : str
        `absolute` or `feff`, as in the campaign.
    normalization_energy : float
        Photon energy at which μ0 gives the edge step, eV.
    campaign : str
        Resolved campaign that the averages were made for, JSON.
    campaign_digest : str
        Hash of that campaign.
    """

    mesh: Floats
    r: Floats
    spectra: Singles
    msd: Floats
    mean_shift: Floats
    skewness: Floats
    kurtosis: Floats
    distribution: Singles
    family: NDArray[np.int32]
    series: Series
    particle_spectra: Singles
    particle_msd: Floats
    particle_mean_shift: Floats
    particle_skewness: Floats
    particle_distribution: Singles
    first_shell: float
    edge: float
    normalization: str
    normalization_energy: float
    campaign: str
    campaign_digest: str


def read_families(path: Path) -> NDArray[np.int32]:
    """Return the family of every statistical average of a tensor file, shape (N,); raises as `load_tensors`."""
    with open_file(path, TENSORS) as file:
        _require_averages(file, path)
        return _array(file, path, "statistical/family", {})


def load_tensors(path: Path, rows: slice = slice(None)) -> Tensors:
    """Read a tensor file.

    Parameters
    ----------
    path : Path
        A file with the layout `xanesml.files.layout.TENSORS`.
    rows : slice, optional
        Statistical averages to read, in steps of 1: one hyperslab of each column. By default all.

    Returns
    -------
    Tensors
        The arrays, in memory.

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

    mesh, r, first_shell = array("mesh/energy"), array("mesh/r"), float(_attribute(file, path, "first_shell"))
    return Tensors(
        mesh=mesh,
        r=r,
        spectra=array("statistical/spectra"),
        msd=array("statistical/msd"),
        mean_shift=array("statistical/mean_shift"),
        skewness=array("statistical/skewness"),
        kurtosis=array("statistical/kurtosis"),
        distribution=array("statistical/distribution"),
        family=array("statistical/family"),
        series=Series(
            energy=mesh,
            delta=array("series/delta"),
            mu=array("series/mu"),
            edge_step=array("series/edge_step"),
            r=r,
            first_shell=first_shell,
        ),
        particle_spectra=array("particle/spectra"),
        particle_msd=array("particle/msd"),
        particle_mean_shift=array("particle/mean_shift"),
        particle_skewness=array("particle/skewness"),
        particle_distribution=array("particle/distribution"),
        first_shell=first_shell,
        edge=float(_attribute(file, path, "edge")),
        normalization=str(_attribute(file, path, "normalization")),
        normalization_energy=float(_attribute(file, path, "normalization_energy")),
        campaign=str(_attribute(file, path, "campaign")),
        campaign_digest=str(_attribute(file, path, "campaign_digest")),
    )


def _attribute(file: h5py.File, path: Path, name: str) -> Any:
    if name not in file.attrs:
        raise StoreError(f"{path} is incomplete: it lacks the attribute {name!r}; {_REMEDY}")
    return file.attrs[name]


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


@dataclass(frozen=True)
class Split:
    """Rows of the statistical averages on each side of the split, ascending, int64."""

    training: Integers
    validation: Integers
    calibration: Integers
    test: Integers

    def within(self, rows: slice) -> Split:
        """Return what of it lies in some rows, start ≤ row < stop, counted from their start."""

        def part(side: Integers) -> Integers:
            return np.asarray(side[(side >= rows.start) & (side < rows.stop)] - rows.start, dtype=np.int64)

        return Split(part(self.training), part(self.validation), part(self.calibration), part(self.test))


def shard(count: int, rank: int, size: int) -> slice:
    """Return the rows, one after the other, that are one rank's of `size`."""
    return slice(count * rank // size, count * (rank + 1) // size)


def split_by_family(family: Wholes, *, validation: float, calibration: float, test: float, seed: int) -> Split:
    """Split spectra so that no family of weights lies on two sides.

    Parameters
    ----------
    family : ndarray
        Family of each spectrum, shape (N,), integers.
    validation, calibration, test : float
        Shares of the families to hold out; each gets at least one family.
    seed : int
        Seed of the campaign.

    Returns
    -------
    Split
        Row indices.

    Raises
    ------
    StoreError
        If fewer than two families would be left to train on.
    """
    families = np.unique(family)
    held_out = [max(1, round(share * families.size)) for share in (validation, calibration, test)]
    if families.size - sum(held_out) < 2:
        raise StoreError(
            f"{families.size} families cannot be split into training, validation ({validation}), calibration "
            f"({calibration}) and test ({test}) with two left to train on; raise averaging.families and run "
            "`xanesml average`"
        )
    shuffled = generator(seed, Stream.SPLIT).permutation(families)
    sides = np.split(shuffled, np.cumsum(held_out))
    rows = [np.flatnonzero(np.isin(family, side)).astype(np.int64) for side in sides]
    return Split(validation=rows[0], calibration=rows[1], test=rows[2], training=rows[3])


def split_structures(count: int, *, test: float, seed: int) -> tuple[Integers, Integers]:
    """Split disordered structures into those to fine-tune on and those kept for the test.

    Parameters
    ----------
    count : int
        Their number, in the order of their disorder.
    test : float
        Share of the structures that are kept.
    seed : int
        Seed of the campaign.

    Returns
    -------
    tune, kept : ndarray of int64
        Integers, ascending; the kept ones are spread evenly over the order.
    """
    number = round(test * count)
    # One of each stretch of the order, so that both sides span the same disorder.
    stretches = np.array_split(np.arange(count, dtype=np.int64), number) if number else []
    random = generator(seed, Stream.STRUCTURES)
    kept = np.array([random.choice(stretch) for stretch in stretches], dtype=np.int64)
    return np.setdiff1d(np.arange(count, dtype=np.int64), kept), kept


def batches(rows: Integers, *, batch_size: int, steps: int, random: np.random.Generator) -> Iterator[Integers]:
    """Yield one rank's batches of one epoch.

    All are full: where the rows do not fill them, their permutation starts again.

    Parameters
    ----------
    rows : ndarray
        Rows of this rank's part of the training split, shape (n,), n > 0.
    batch_size : int
        Singles per step.
    steps : int
        Number of batches, the same on every rank.
    random : numpy.random.Generator
        Source of the order.

    Yields
    ------
    ndarray
        Rows of one batch, shape (batch_size,).
    """
    order = np.resize(random.permutation(rows), steps * batch_size)
    yield from order.reshape(steps, batch_size)


def steps_per_epoch(split: Split, count: int, *, batch_size: int, size: int) -> int:
    """Return in how many steps every rank has seen all of its training rows.

    Parameters
    ----------
    split : Split
        The split of all rows.
    count : int
        Number of all rows.
    batch_size : int
        Singles per step on each rank.
    size : int
        Number of ranks.
    """
    most = max(split.within(shard(count, rank, size)).training.size for rank in range(size))
    return -(-most // batch_size)
