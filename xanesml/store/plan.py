"""The plan of a campaign: the structures and FEFF runs that it asks for, the same on any number of ranks."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
from ase.data import chemical_symbols

from xanesml import structures
from xanesml.campaign import Campaign, FeffSection, index_slice
from xanesml.errors import CampaignError
from xanesml.files.arrays import Floats
from xanesml.store.kinds import GeneratedPositions, Kind
from xanesml.store.spheres import check_radius
from xanesml.store.tasks import TaskTable
from xanesml.store.variants import Variant
from xanesml.structures import bonds


class PlannedCampaign(Campaign):
    """A campaign that lists its tasks."""

    def tasks(self) -> TaskTable:
        """Return the campaign's task table; see `expand`."""
        return expand(self)


def load_campaign(path: str | os.PathLike[str]) -> PlannedCampaign:
    """Read and check a campaign file.

    Parameters
    ----------
    path : str or PathLike
        A TOML file. Paths inside it are taken relative to its folder.

    Returns
    -------
    PlannedCampaign
        The campaign; its `tasks()` are the FEFF runs that it asks for.

    Raises
    ------
    CampaignError
        If the file cannot be read, is not TOML, or does not validate; the message
        names the first offending key and what is accepted there.
    """
    return PlannedCampaign.load(path)


def expand(campaign: Campaign) -> TaskTable:
    """Expand a campaign into its task table; structures are generated on access.

    Parameters
    ----------
    campaign : Campaign
        The campaign.

    Returns
    -------
    TaskTable
        Depends on the campaign alone, not on the number of ranks.

    Raises
    ------
    StructureError
        If the cluster cannot be built or an absorber is not in it.
    CampaignError
        If an absorbing element does not have the edge asked for.
    """
    cluster = structures.build_cluster(campaign.structure, campaign.seed)
    trajectory = structures.read_trajectory(campaign.structure, cluster)
    delta = np.array([] if campaign.distortion is None else structures.deltas(campaign.distortion), dtype=np.float64)
    drawn = campaign.disorder is not None and campaign.structure.images is None
    sigma = structures.sigmas(campaign.disorder) if drawn and campaign.disorder is not None else np.empty(0)
    several = np.empty(0, dtype=np.int32)
    sites = structures.Sites(several, several)
    if campaign.distortion is not None:
        sites = structures.series_sites(cluster, campaign.distortion)
    if campaign.disorder is not None:
        several = structures.absorbers(cluster, campaign.disorder, campaign.seed).astype(np.int32)
        bonds.bonds(cluster, several, expected=bonds.expected_bonds(campaign.structure, campaign.disorder))
        for positions in trajectory.positions:
            bonds.bonds(cluster, several, positions=positions)
    for number in np.unique(cluster.numbers[np.concatenate((sites.atoms, several))]):
        _check_edge(chemical_symbols[number], campaign.feff.edge)

    counts = [len(delta), len(sigma), len(trajectory.image)]
    shifts = np.concatenate((delta, np.full(sum(counts[1:]), np.nan)))
    widths = np.concatenate((np.full(counts[0], np.nan), sigma, np.full(counts[2], np.nan)))
    generated = GeneratedPositions(campaign, cluster, shifts, widths, trajectory.positions)
    table = TaskTable(
        cluster=cluster,
        feff=campaign.feff,
        positions=generated,
        kind=np.repeat(np.array(list(Kind), dtype=np.uint8), counts),
        delta=shifts,
        sigma=widths,
        image=np.concatenate((np.full(sum(counts[:2]), -1, dtype=np.int32), trajectory.image)),
        scale=np.concatenate((_scales(cluster, generated[: len(delta)]), np.ones(sum(counts[1:])))),
        structure=np.repeat(
            np.arange(sum(counts), dtype=np.int32), [len(sites)] * counts[0] + [len(several)] * sum(counts[1:])
        ),
        absorber=np.concatenate((np.tile(sites.atoms, counts[0]), np.tile(several, sum(counts[1:])))),
        multiplicity=np.concatenate(
            (np.tile(sites.multiplicity, counts[0]), np.ones(len(several) * sum(counts[1:]), dtype=np.int32))
        ),
    )
    table = with_variants(table, campaign.feff)
    check_radius(table)
    return table


def with_variants(table: TaskTable, feff: FeffSection) -> TaskTable:
    """Return a table with the tasks of those variants of a campaign's cards behind it that it does not have.

    Raises
    ------
    CampaignError
        If a variant chooses none of the structures.
    """
    own, count = table.own, table.positions.shape[0]
    variants = list(table.variants)
    tasks = [np.arange(len(table))]
    end = len(table)
    for name in [one for one in feff.variants if one not in table.variant_sizes]:
        text = feff.variants[name].structures
        chosen = np.arange(count)[index_slice(text)]
        if not len(chosen):
            raise CampaignError(f"feff.variants.{name}.structures = {text!r} chooses none of the {count} structures")
        tasks.append(np.flatnonzero(np.isin(own.structure, chosen)))
        variants.append(Variant(name, feff.of_variant(name), slice(end, end + len(tasks[-1]))))
        end += len(tasks[-1])
    if len(tasks) == 1:
        return table
    rows = np.concatenate(tasks)
    columns = {name: np.asarray(getattr(table, name))[rows] for name in ("structure", "absorber", "multiplicity")}
    # Those of a store are of the tasks that it has.
    return replace(table, recorded=None, variants=tuple(variants), **columns)


def _scales(cluster: structures.Cluster, distorted: Floats) -> Floats:
    neighbor = structures.first_neighbors(cluster.positions, cluster.absorber, cluster.first_shell_cutoff)[0]
    bond = distorted[:, neighbor] - distorted[:, cluster.absorber]
    undistorted = cluster.positions[neighbor] - cluster.positions[cluster.absorber]
    scales: Floats = np.linalg.norm(bond, axis=-1) / np.linalg.norm(undistorted)
    return scales


def _check_edge(element: str, edge: str) -> None:
    import xraydb  # noqa: PLC0415 (slow to import, and not needed on every rank)

    edges = xraydb.xray_edges(element)
    if edge not in edges:
        raise CampaignError(f"feff.edge: {element} has no {edge} edge; it has {', '.join(edges)}")
