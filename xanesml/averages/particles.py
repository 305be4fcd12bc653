"""The structures of a store that get a particle average, with the bonds that their labels come from."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from xanesml.campaign import Campaign
from xanesml.errors import CampaignError, StoreError
from xanesml.files.arrays import Booleans, Floats, Indices, Integers, Wholes
from xanesml.store.kinds import Kind
from xanesml.store.stored import stored_cluster
from xanesml.store.variants import card_set_rows
from xanesml.structures import Cluster, bonds


@dataclass(frozen=True)
class ParticleBonds:
    """The bonds that the labels of a structure come from.

    Attributes
    ----------
    cluster : Cluster
        The undistorted cluster.
    absorbers : ndarray of int, shape (B,)
        The absorbers.
    pairs : ndarray of int, shape (L, 2)
        Pairs of atoms.
    weights : ndarray of float64, shape (L,)
        Weight of each bond; sum 1.
    coordination : float
        Mean number of first neighbors of the absorbers.
    """

    cluster: Cluster
    absorbers: Wholes
    pairs: Indices
    weights: Floats
    coordination: float

    @classmethod
    def find(
        cls, cluster: Cluster, absorbers: Wholes, multiplicity: Floats, positions: Floats | None = None
    ) -> ParticleBonds:
        """Find the bonds of absorbers, (B,), in the undistorted cluster or at positions, (A, 3), Å.

        Raises
        ------
        StructureError
            If there is none.
        """
        pairs = bonds.bonds(cluster, absorbers, positions=positions)
        return cls(
            cluster,
            absorbers,
            pairs,
            bonds.bond_weights(pairs, absorbers, multiplicity),
            bonds.coordination(pairs, absorbers, multiplicity),
        )


@dataclass(frozen=True)
class Particles:
    """The structures that get a particle average, with the bonds that their labels come from.

    Attributes
    ----------
    structure : ndarray of int, shape (P,)
        Structure indices, ascending.
    tasks : ndarray of int, shape (P, B)
        Tasks of their absorbers.
    done : ndarray of bool, shape (P, B)
        Whether the task has a spectrum.
    multiplicity : ndarray of float64, shape (B,)
        Weight of each absorber in the average; see `absorber_weights`.
    image : ndarray of bool, shape (P,)
        Whether a structure is an image of a trajectory, with bonds of its own.
    bonds : ParticleBonds
        The bonds of all other structures: those of the undistorted cluster.
    refused : dict of int to str
        Reasons by structure, for the structures without an average.
    """

    structure: Wholes
    tasks: Integers
    done: Booleans
    multiplicity: Floats
    image: Booleans
    bonds: ParticleBonds
    refused: dict[int, str]

    def bonds_of(self, row: int, positions: Floats) -> ParticleBonds:
        """Return the bonds of a structure at positions, (A, 3), Å: an image has its own."""
        if not self.image[row]:
            return self.bonds
        cluster, absorbers = self.bonds.cluster, self.bonds.absorbers
        return ParticleBonds.find(cluster, absorbers, self.multiplicity, positions)


def choose_particles(file: h5py.File, done: Booleans, campaign: Campaign) -> Particles:
    """Choose the disordered structures and images with enough absorbers done.

    Parameters
    ----------
    file : h5py.File
        The store.
    done : ndarray of bool, shape (T,)
        Whether each task is done.
    campaign : Campaign
        Its averaging section gives the absorbers' multiplicity and how many may be missing.

    Returns
    -------
    Particles
        There may be none.

    Raises
    ------
    CampaignError
        If the number of multiplicities is not that of the absorbers.
    StoreError
        If structures have different numbers of absorbers.
    """
    structure, kind = file["tasks/structure"][card_set_rows(file)], file["structures/kind"][:]
    tasks = np.flatnonzero(kind[structure] != Kind.DISTORTED)
    ids, counts = np.unique(structure[tasks], return_counts=True)
    if not len(ids):
        return Particles(
            structure=ids,
            tasks=np.empty((0, 0), np.int64),
            done=np.empty((0, 0), np.bool_),
            multiplicity=np.empty(0),
            image=np.empty(0, np.bool_),
            bonds=ParticleBonds(stored_cluster(file), ids, np.empty((0, 2), np.intp), np.empty(0), 0.0),
            refused={},
        )
    absorbers = file["tasks/absorber"][:][tasks[structure[tasks] == ids[0]]]
    if (counts != len(absorbers)).any():
        raise StoreError(f"the disordered structures of {file.filename} have different numbers of absorbers")
    tasks = tasks[np.argsort(structure[tasks], kind="stable")].reshape(len(ids), len(absorbers))
    multiplicity = absorber_weights(file, tasks[0], campaign)
    missing = campaign.averaging.missing_absorbers
    found = done[tasks].sum(axis=1)
    kept = (found >= len(absorbers) - missing) & (found > 0)
    return Particles(
        structure=ids[kept],
        tasks=tasks[kept],
        done=done[tasks[kept]],
        multiplicity=multiplicity,
        image=kind[ids[kept]] == Kind.IMAGE,
        bonds=ParticleBonds.find(stored_cluster(file), absorbers, multiplicity),
        refused={
            int(ids[i]): f"{found[i]} of {len(absorbers)} absorbers are done, {missing} may be missing"
            for i in np.flatnonzero(~kept)
        },
    )


def absorber_weights(file: h5py.File, tasks: Integers, campaign: Campaign) -> Floats:
    """Return the weights of a structure's absorbers in its average.

    Parameters
    ----------
    file : h5py.File
        The store.
    tasks : ndarray of int, shape (B,)
        The tasks of the absorbers, all of them.
    campaign : Campaign
        Its `averaging.multiplicity` is used.

    Returns
    -------
    ndarray of float64, shape (B,)
        The number of atoms that each stands for, times its `averaging.multiplicity`, if there is one.

    Raises
    ------
    CampaignError
        If the number of multiplicities is not that of the absorbers.
    """
    given = campaign.averaging.multiplicity or [1.0] * len(tasks)
    if len(given) != len(tasks):
        raise CampaignError(
            f"averaging.multiplicity has {len(given)} weights, but a structure has {len(tasks)} absorbers; "
            "give one for each, in the order of the tasks"
        )
    return np.asarray(np.array(given) * file["tasks/multiplicity"][:][tasks], dtype=np.float64)
