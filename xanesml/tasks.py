"""The task table: what a campaign expands to, the same on any number of ranks.

One task is one FEFF run, one absorber in one structure. The distorted structures
come first, then the disordered ones with all their absorbers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import xraydb
from ase.data import chemical_symbols
from numpy.typing import NDArray

from xanesml import structures
from xanesml.campaign import Campaign, FeffSection
from xanesml.errors import CampaignError
from xanesml.feff.cards import feff_input
from xanesml.feff.output import Request


class Kind(IntEnum):
    """How a structure was made, as stored in `structures/kind`."""

    DISTORTED = 0
    DISORDERED = 1


@dataclass(frozen=True)
class TaskTable:
    """Structures and tasks of a campaign.

    Attributes
    ----------
    cluster : Cluster
        The undistorted cluster.
    feff : FeffSection
        The FEFF cards.
    positions : ndarray, shape (S, A, 3), float64
        Positions of every structure, Å.
    kind : ndarray, shape (S,), uint8
        `Kind` of every structure.
    delta : ndarray, shape (S,), float64
        First-shell shift, Å; NaN where disordered.
    sigma : ndarray, shape (S,), float64
        Displacement σ, Å; NaN where distorted.
    scale : ndarray, shape (S,), float64
        Factor that the structure was scaled by, 1 where disordered.
    structure : ndarray, shape (T,), int32
        Structure of every task.
    absorber : ndarray, shape (T,), int32
        Absorbing atom of every task.
    """

    cluster: structures.Cluster
    feff: FeffSection
    positions: NDArray[np.float64]
    kind: NDArray[np.uint8]
    delta: NDArray[np.float64]
    sigma: NDArray[np.float64]
    scale: NDArray[np.float64]
    structure: NDArray[np.int32]
    absorber: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.structure)

    def feff_input(self, task: int) -> str:
        """Return the text of a task's feff.inp."""
        structure = self.structure[task]
        return feff_input(
            numbers=self.cluster.numbers,
            positions=self.positions[structure],
            absorber=int(self.absorber[task]),
            feff=self.feff,
            scale=float(self.scale[structure]),
        )

    def request(self, task: int) -> Request:
        """Return what the output of a task must agree with."""
        return Request.of(
            self.feff,
            absorber_number=int(self.cluster.numbers[self.absorber[task]]),
            scale=float(self.scale[self.structure[task]]),
        )

    def identities(self, engine: str) -> NDArray[np.bytes_]:
        """Hash each task's FEFF input together with the engine.

        Parameters
        ----------
        engine : str
            The engine's identity.

        Returns
        -------
        ndarray, shape (T,), S32
            BLAKE2b (16 bytes) in hexadecimal.
        """
        prefix = hashlib.blake2b(engine.encode() + b"\0", digest_size=16)
        digests = []
        for task in range(len(self)):
            digest = prefix.copy()
            digest.update(self.feff_input(task).encode())
            digests.append(digest.hexdigest())
        return np.array(digests, dtype="S32")


def expand(campaign: Campaign) -> TaskTable:
    """Expand a campaign into its task table.

    Parameters
    ----------
    campaign : Campaign
        The campaign.

    Returns
    -------
    TaskTable
        The same for the same campaign, whatever the number of ranks.

    Raises
    ------
    StructureError
        If the cluster cannot be built, an absorber is not in it, or atoms of any
        structure overlap.
    CampaignError
        If an absorbing element does not have the edge asked for.
    """
    cluster = structures.build_cluster(campaign.structure)
    positions: list[NDArray[np.float64]] = []
    delta: list[float] = []
    sigma: list[float] = []
    absorbers: list[NDArray[np.int32]] = []

    if campaign.distortion is not None:
        for shift in structures.deltas(campaign.distortion):
            positions.append(structures.distort(cluster, shift, campaign.distortion.reference))
            delta.append(shift)
            sigma.append(np.nan)
            absorbers.append(np.array([cluster.absorber], dtype=np.int32))
    distorted = len(positions)
    if campaign.disorder is not None:
        several = structures.absorbers(cluster, campaign.disorder)
        structures.bonds(cluster, several, expected=structures.expected_bonds(campaign.structure, campaign.disorder))
        for index, width in enumerate(structures.sigmas(campaign.disorder)):
            rng = structures.structure_rng(campaign.seed, index)
            positions.append(structures.disorder(cluster, width, rng, campaign.disorder.directions))
            delta.append(np.nan)
            sigma.append(width)
            absorbers.append(several)

    for index, atoms in enumerate(positions):
        label = f"structure {index} (δ = {delta[index]:.2f} Å, σ = {sigma[index]:.3f} Å)".replace("δ = nan Å, ", "")
        structures.check_overlap(atoms, cluster.minimum_distance, label.replace(", σ = nan Å", ""))
    for number in np.unique(cluster.numbers[np.concatenate(absorbers)]):
        _check_edge(chemical_symbols[number], campaign.feff.edge)

    stacked = np.stack(positions)
    return TaskTable(
        cluster=cluster,
        feff=campaign.feff,
        positions=stacked,
        kind=np.repeat(np.array(list(Kind), dtype=np.uint8), [distorted, len(positions) - distorted]),
        delta=np.array(delta),
        sigma=np.array(sigma),
        scale=_scales(cluster, stacked, distorted),
        structure=np.repeat(np.arange(len(positions), dtype=np.int32), [len(a) for a in absorbers]),
        absorber=np.concatenate(absorbers),
    )


def _scales(cluster: structures.Cluster, positions: NDArray[np.float64], distorted: int) -> NDArray[np.float64]:
    neighbor = structures.first_neighbors(cluster.positions, cluster.absorber, cluster.first_shell_cutoff)[0]
    scales = np.ones(len(positions))
    bond = positions[:distorted, neighbor] - positions[:distorted, cluster.absorber]
    reference = cluster.positions[neighbor] - cluster.positions[cluster.absorber]
    scales[:distorted] = np.linalg.norm(bond, axis=-1) / np.linalg.norm(reference)
    return scales


def _check_edge(element: str, edge: str) -> None:
    edges = xraydb.xray_edges(element)
    if edge not in edges:
        raise CampaignError(f"feff.edge: {element} has no {edge} edge; it has {', '.join(edges)}")
