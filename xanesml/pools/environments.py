"""The environments of a pool: the spectrum of every absorber, and the bonds around it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xanesml.averages.mesh import NORMALIZATION_OFFSET, onto_mesh
from xanesml.errors import StoreError
from xanesml.files.arrays import Floats, Wholes
from xanesml.store.reader import Spectra, Store, open_store
from xanesml.store.stored import stored_cluster
from xanesml.structures.neighbors import neighbor_pairs

#: Labels of a mixture, in this order: mean squared displacement, Å²; mean bond length, Å; mean number of bonds.
LABELS = ("msd", "bond", "coordination")

#: Decimals to which positions are the same, Å.
_DECIMALS = 5


@dataclass(frozen=True)
class Environments:
    """Spectra of absorbers with their first-shell bonds, of one or several stores.

    A spectrum of a mixture is Σ w μ / Σ w s over the environments, s their edge steps; with the same weights
    Σ w n, Σ w Σr and Σ w Σr² give its labels, exact for any weights.

    Attributes
    ----------
    energy : ndarray, shape (M,), float64, eV
        Photon energies from the edge, ascending.
    mu : ndarray, shape (N, M), float64
        Absorption of one absorber.
    step : ndarray, shape (N,), float64
        Its edge step.
    bonds : ndarray, shape (N, 3), float64
        Number of its bonds n, Σ r, Å, and Σ r², Å².
    group : ndarray, shape (N,), int
        Structure that it belongs to; numbered over all stores.
    store : ndarray, shape (N,), int
        Store that it comes from.
    keys : ndarray, shape (N,), S32
        What it is, whatever the cards: a hash of the positions around the absorber, and of its elements.
    names : tuple of str
        Names of the stores.
    edge : float, eV
        Edge of the first store's spectra, from which the energies of all count.
    """

    energy: Floats
    mu: Floats
    step: Floats
    bonds: Floats
    group: Wholes
    store: Wholes
    keys: NDArray[np.bytes_]
    names: tuple[str, ...]
    edge: float

    def __len__(self) -> int:
        return len(self.mu)

    def chosen(self, rows: Wholes) -> Environments:
        """Return some of the environments, in the order of the rows."""
        parts = {name: getattr(self, name)[rows] for name in ("mu", "step", "bonds", "group", "store", "keys")}
        return replace(self, **parts)

    def mixed(self, weights: Floats) -> tuple[Floats, Floats]:
        """Mix the environments.

        Parameters
        ----------
        weights : ndarray, shape (n, N), float64
            Weights of the environments in each mixture, none negative, not all zero.

        Returns
        -------
        spectra : ndarray, shape (n, M), float64, edge steps
            Normalized once, after mixing.
        labels : ndarray, shape (n, 3), float64
            `LABELS` of each mixture.
        """
        spectra = weights @ self.mu / (weights @ self.step)[:, np.newaxis]
        count, first, second = (weights @ self.bonds).T
        mean = first / count
        labels = np.column_stack((second / count - mean**2, mean, count / weights.sum(axis=1)))
        return spectra, labels


def open_folder(folder: Path) -> Store:
    """Open the store of a campaign's output folder, or a store."""
    return open_store(folder / "store.h5" if folder.is_dir() else folder)


def load_environments(folders: Sequence[Path], *, variant: str | None = None, last: float, step: float) -> Environments:
    """Read the environments of stores, in one set of cards, onto one mesh.

    Parameters
    ----------
    folders : sequence of Path
        Output folders of campaigns, or their stores. Only runs that are done count.
    variant : str, optional
        Variant of the campaigns' cards. Default: their own.
    last : float, eV
        Last energy of the mesh from the edge; the first is the lowest multiple of the step that all spectra cover.
    step : float, eV
        Step of the mesh.

    Returns
    -------
    Environments
        In the order of the stores and of their tasks.

    Raises
    ------
    StoreError
        If a store cannot be read, has no such variant, holds no finished run or other absorbers than the first, or a
        spectrum does not cover the mesh.
    """
    if not folders:
        raise StoreError("a pool needs at least one store")
    with ExitStack() as opened:
        stores = [opened.enter_context(open_folder(path)) for path in folders]
        kinds = [(store.campaign.structure.element, store.campaign.feff.edge) for store in stores]
        found = [store.spectra(variant=variant) for store in stores]
        for store, kind, spectra in zip(stores, kinds, found, strict=True):
            if kind != kinds[0]:
                raise StoreError(f"{store.path} holds {' '.join(kind)}, the stores before it {' '.join(kinds[0])}")
            if not len(spectra):
                of = "" if variant is None else f" of the variant {variant}"
                raise StoreError(f"{store.path} holds no finished run{of}; complete it with `xanesml simulate`")
        edge = float(np.mean(found[0].coordinates["edge"]))
        first = max(float(spectra.energy[:, 0].max()) for spectra in found) - edge
        energy = np.arange(np.ceil(first / step), np.floor(last / step) + 1) * step
        parts = [_environments(store, spectra, energy, edge) for store, spectra in zip(stores, found, strict=True)]
    groups = np.cumsum([0, *(int(part.group[-1]) + 1 for part in parts)])
    return Environments(
        energy=energy,
        mu=np.concatenate([part.mu for part in parts]),
        step=np.concatenate([part.step for part in parts]),
        bonds=np.concatenate([part.bonds for part in parts]),
        group=np.concatenate([part.group + before for part, before in zip(parts, groups, strict=False)]),
        keys=np.concatenate([part.keys for part in parts]),
        store=np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        names=tuple(path.name if path.is_dir() else path.parent.name for path in folders),
        edge=edge,
    )


def _environments(store: Store, found: Spectra, energy: Floats, edge: float) -> Environments:
    """Return the environments of one store, their groups numbered from 0 in ascending order."""
    points = np.isfinite(found.energy).sum(axis=1)
    columns = found.coordinates
    mesh = energy + edge
    mu = onto_mesh(found.energy, found.mu, points, mesh, tasks=found.tasks)
    background = onto_mesh(found.energy, found.mu0, points, np.array([edge + NORMALIZATION_OFFSET]), tasks=found.tasks)
    _, group = np.unique(columns["structure"], return_inverse=True)
    bonds, keys = _geometry(store, columns["structure"], columns["absorber"])
    return Environments(
        energy=energy,
        mu=mu,
        step=background[:, 0],
        bonds=bonds,
        group=group,
        store=np.zeros(len(mu), dtype=np.int64),
        keys=keys,
        names=(),
        edge=edge,
    )


def _geometry(
    store: Store, structure: NDArray[np.int32], absorber: NDArray[np.int32]
) -> tuple[Floats, NDArray[np.bytes_]]:
    """Return n, Σ r and Σ r² of every absorber's first-shell bonds, shape (N, 3), and the keys, (N,)."""
    cluster = stored_cluster(store.file)
    bonds, keys = np.empty((len(structure), 3)), np.empty(len(structure), dtype="S32")
    for one in np.unique(structure):
        positions = store.structure(int(one)).positions
        pairs = neighbor_pairs(cluster.numbers, positions, cluster.first_shell_cutoff, like=cluster.like_bonds)
        lengths = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
        for row in np.flatnonzero(structure == one):
            own = lengths[(pairs == absorber[row]).any(axis=1)]
            bonds[row] = len(own), own.sum(), (own**2).sum()
            around = np.rint((positions - positions[absorber[row]]) * 10.0**_DECIMALS).astype("<i8")
            content = around.tobytes() + cluster.numbers.astype("<i4").tobytes()
            keys[row] = hashlib.blake2b(content, digest_size=16).hexdigest()
    return bonds, keys
