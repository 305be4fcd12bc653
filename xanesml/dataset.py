"""From the tensor file to batches: splits by family, noise, and the order of batches.

Every random draw comes from the campaign's seed and a named stream, never from
global state, so a split or an epoch's order does not depend on the number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.errors import StoreError
from xanesml.hdf5 import open_file
from xanesml.layout import TENSORS

Floats = NDArray[np.float64]
Spectra = NDArray[np.float32]
Indices = NDArray[np.int64]

_REMEDY = "make it anew with `xanesml average CAMPAIGN`"


class Stream(IntEnum):
    """What a random generator is for; part of its seed, so the streams are independent."""

    SPLIT = 1
    ORDER = 2
    TRAINING_NOISE = 3
    HELD_OUT_NOISE = 4
    DISTRIBUTIONS = 5
    DROPOUT = 6


#: First number of the streams' spawn keys, which have two or more; a structure's key is its index alone.
_BRANCH = 0


def stream_seed(seed: int, stream: Stream, *key: int) -> np.random.SeedSequence:
    """Return the seed of a stream's random generator.

    Parameters
    ----------
    seed : int
        Seed of the campaign.
    stream : Stream
        What the draws are for.
    *key : int
        Further numbers that tell generators of one stream apart, such as epoch and rank.

    Returns
    -------
    numpy.random.SeedSequence
        Independent of those with any other stream or key, and of the structures'.
    """
    return np.random.SeedSequence(seed, spawn_key=(_BRANCH, int(stream), *key))


def generator(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """Return the random generator of a stream; see `stream_seed`."""
    return np.random.default_rng(stream_seed(seed, stream, *key))


@dataclass(frozen=True)
class Tensors:
    """What training needs of a tensor file; its weights over the series are left there. No array holds NaN.

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
    delta : ndarray
        Shifts of the series, shape (D,), float64, Å.
    series : ndarray
        The distorted spectra, shape (D, M), float64, not normalized.
    edge_step : ndarray
        Their edge steps, shape (D,), float64.
    particle_spectra : ndarray
        Particle averages, shape (P, M), float32, edge steps; P may be 0.
    particle_msd : ndarray
        Mean squared displacements of their bonds, shape (P,), float64, Å².
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
    spectra: Spectra
    msd: Floats
    mean_shift: Floats
    skewness: Floats
    kurtosis: Floats
    distribution: NDArray[np.float32]
    family: NDArray[np.int32]
    delta: Floats
    series: Floats
    edge_step: Floats
    particle_spectra: Spectra
    particle_msd: Floats
    edge: float
    normalization: str
    normalization_energy: float
    campaign: str
    campaign_digest: str


def load_tensors(path: Path) -> Tensors:
    """Read a tensor file.

    Parameters
    ----------
    path : Path
        A file with the layout `xanesml.layout.TENSORS`.

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
        return _read_tensors(file, path)


def _read_tensors(file: h5py.File, path: Path) -> Tensors:
    sizes: dict[str, int] = {}

    def array(name: str) -> NDArray[Any]:
        return _array(file, path, name, sizes)

    if "statistical/spectra" not in file or file["statistical/spectra"].shape[0] == 0:
        raise StoreError(
            f"{path} holds no statistical averages (statistical/spectra); "
            "give the campaign a [distortion] section, then `xanesml simulate` and `xanesml average`"
        )
    return Tensors(
        mesh=array("mesh/energy"),
        r=array("mesh/r"),
        spectra=array("statistical/spectra"),
        msd=array("statistical/msd"),
        mean_shift=array("statistical/mean_shift"),
        skewness=array("statistical/skewness"),
        kurtosis=array("statistical/kurtosis"),
        distribution=array("statistical/distribution"),
        family=array("statistical/family"),
        delta=array("series/delta"),
        series=array("series/mu"),
        edge_step=array("series/edge_step"),
        particle_spectra=array("particle/spectra"),
        particle_msd=array("particle/msd"),
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


def _array(file: h5py.File, path: Path, name: str, sizes: dict[str, int]) -> NDArray[Any]:
    layout = TENSORS[name]
    if name not in file:
        raise StoreError(f"{path} is incomplete: it lacks {name}; {_REMEDY}")
    values: NDArray[Any] = file[name][()].astype(layout.dtype, copy=False)
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

    training: Indices
    validation: Indices
    test: Indices


def split_by_family(family: NDArray[np.integer[Any]], *, validation: float, test: float, seed: int) -> Split:
    """Split spectra so that no family of weights lies on two sides.

    Parameters
    ----------
    family : ndarray
        Family of each spectrum, shape (N,), integers.
    validation, test : float
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
    held_out = [max(1, round(share * families.size)) for share in (validation, test)]
    if families.size - sum(held_out) < 2:
        raise StoreError(
            f"{families.size} families cannot be split into training, validation ({validation}) and test ({test}) "
            "with two left to train on; raise averaging.families and run `xanesml average`"
        )
    shuffled = generator(seed, Stream.SPLIT).permutation(families)
    sides = np.split(shuffled, np.cumsum(held_out))
    rows = [np.flatnonzero(np.isin(family, side)).astype(np.int64) for side in sides]
    return Split(validation=rows[0], test=rows[1], training=rows[2])


def augment(spectra: Spectra, noise: float, rng: np.random.Generator) -> Spectra:
    """Return spectra with white noise added.

    Parameters
    ----------
    spectra : ndarray
        Spectra, shape (n, M), float32, edge steps.
    noise : float
        Standard deviation of the noise, edge steps; 0 returns the spectra as they are.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    ndarray
        Shape (n, M), float32, edge steps.
    """
    if noise == 0:
        return spectra
    return spectra + np.float32(noise) * rng.standard_normal(spectra.shape, dtype=np.float32)


def batches(
    rows: Indices, *, batch_size: int, seed: int, epoch: int, rank: int = 0, size: int = 1
) -> Iterator[Indices]:
    """Yield one rank's batches of one epoch.

    The permutation depends on seed and epoch alone; rank r takes its elements r,
    r + size, … Together, the ranks' batches of one step are therefore the batch that
    one rank would take with a batch `size` times as large. To fill the last step the
    permutation starts again, so all batches are full and every rank takes equally
    many steps; every row comes up at least once.

    Parameters
    ----------
    rows : ndarray
        Rows of the training split, shape (n,).
    batch_size : int
        Spectra per step on each rank.
    seed, epoch : int
        What the order is drawn from.
    rank, size : int
        This rank and the number of ranks.

    Yields
    ------
    ndarray
        Rows of one batch, shape (batch_size,).
    """
    steps = steps_per_epoch(rows.size, batch_size=batch_size, size=size)
    order = generator(seed, Stream.ORDER, epoch).permutation(rows)
    mine = np.resize(order, steps * batch_size * size)[rank::size]
    yield from mine.reshape(steps, batch_size)


def steps_per_epoch(samples: int, *, batch_size: int, size: int) -> int:
    """Return the number of steps that `batches` takes on every rank."""
    return -(-samples // (batch_size * size))
