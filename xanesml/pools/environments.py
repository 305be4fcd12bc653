"""The environments of a pool: the spectrum of every absorber, and the bonds around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xanesml.averages.mesh import NORMALIZATION_OFFSET, onto_mesh
from xanesml.errors import StoreError
from xanesml.files.arrays import Floats, Wholes
from xanesml.store.reader import Spectra, Store, open_store
from xanesml.store.tasks import stored_cluster
from xanesml.structures.neighbors import neighbor_pairs

#: Labels of a mixture, in this order: mean squared displacement, Å²; mean bond length, Å; mean number of bonds.
LABELS = ("msd", "bond", "coordination")


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
    names: tuple[str, ...]
    edge: float

    def __len__(self) -> int:
        return len(self.mu)

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


def load_environments(folders: Sequence[Path], energy: Floats) -> Environments:
    """Read the environments of stores onto one mesh.

    Parameters
    ----------
    folders : sequence of Path
        Output folders of campaigns, or their stores. Only runs that are done count.
    energy : ndarray, shape (M,), float64, eV
        Photon energies from the edge, ascending.

    Returns
    -------
    Environments
        In the order of the stores and of their tasks.

    Raises
    ------
    StoreError
        If a store cannot be read, holds no finished run or other absorbers than the first, or a spectrum does not
        cover the mesh.
    """
    parts: list[Environments] = []
    kind: tuple[str, str] | None = None
    for folder in folders:
        path = folder / "store.h5" if folder.is_dir() else folder
        with open_store(path) as store:
            campaign = store.campaign
            own = (campaign.structure.element, campaign.feff.edge)
            kind = kind or own
            if kind != own:
                raise StoreError(f"{path} holds {' '.join(own)}, the stores before it {' '.join(kind)}")
            found = store.spectra()
            if not len(found):
                raise StoreError(f"{path} holds no finished run; complete it with `xanesml simulate`")
            edge = parts[0].edge if parts else float(np.mean(found.coordinates["edge"]))
            part = _environments(store, found, energy, edge)
        first = int(parts[-1].group[-1]) + 1 if parts else 0
        parts.append(replace(part, group=part.group + first, store=part.store + len(parts), names=(path.parent.name,)))
    if not parts:
        raise StoreError("a pool needs at least one store")
    return Environments(
        energy=energy,
        mu=np.concatenate([part.mu for part in parts]),
        step=np.concatenate([part.step for part in parts]),
        bonds=np.concatenate([part.bonds for part in parts]),
        group=np.concatenate([part.group for part in parts]),
        store=np.concatenate([part.store for part in parts]),
        names=tuple(part.names[0] for part in parts),
        edge=parts[0].edge,
    )


def _environments(store: Store, found: Spectra, energy: Floats, edge: float) -> Environments:
    """Return the environments of one store, their groups numbered from 0 in ascending order."""
    points = np.isfinite(found.energy).sum(axis=1)
    columns = found.coordinates
    mesh = energy + edge
    mu = onto_mesh(found.energy, found.mu, points, mesh, tasks=found.tasks)
    background = onto_mesh(found.energy, found.mu0, points, np.array([edge + NORMALIZATION_OFFSET]), tasks=found.tasks)
    _, group = np.unique(columns["structure"], return_inverse=True)
    return Environments(
        energy,
        mu,
        background[:, 0],
        _bonds(store, columns["structure"], columns["absorber"]),
        group,
        np.zeros(len(mu), dtype=np.int64),
        (),
        edge,
    )


def _bonds(store: Store, structure: NDArray[np.int32], absorber: NDArray[np.int32]) -> Floats:
    """Return n, Σ r and Σ r² of every absorber's first-shell bonds, shape (N, 3), at its structure's positions."""
    cluster = stored_cluster(store.file)
    result = np.empty((len(structure), 3))
    for one in np.unique(structure):
        positions = store.structure(int(one)).positions
        pairs = neighbor_pairs(cluster.numbers, positions, cluster.first_shell_cutoff, like=cluster.like_bonds)
        lengths = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
        rows = np.flatnonzero(structure == one)
        for row in rows:
            own = lengths[(pairs == absorber[row]).any(axis=1)]
            result[row] = len(own), own.sum(), (own**2).sum()
    return result
