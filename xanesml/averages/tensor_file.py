"""Making a tensor file: planned from a store, laid out, and computed in blocks of rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.averages.distributions import (
    Distributions,
    choose_distributions,
    skew_normal_weights,
    weighted_moments,
)
from xanesml.averages.mesh import common_mesh
from xanesml.averages.particles import Particles, choose_particles
from xanesml.averages.series import OUTLIER, Series, outliers, roughness, smoothed
from xanesml.averages.sites import SeriesSites
from xanesml.averages.source_store import spectra_on_mesh
from xanesml.averages.statistical import SeriesAverager, bin_centers, particle_averages
from xanesml.campaign import Campaign
from xanesml.errors import CampaignError, StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.files.arrays import Booleans, Floats, Indices, Integers
from xanesml.files.hdf5 import create, text_attribute
from xanesml.files.layout import TENSORS
from xanesml.store.create import check_campaign
from xanesml.store.rows import BLOCK, open_store_file, torn_rows
from xanesml.store.variants import card_set_rows
from xanesml.structures import bonds

#: Statistical averages computed and written at a time. Fixed, so that the last bit of
#: a matrix product does not depend on the number of ranks.
STATISTICAL_BLOCK = 4096

#: Spectra of absorbers averaged at a time, those of 64 structures of 13; at least those of one structure.
PARTICLE_BLOCK = 832

#: Outliers of the series that are named; the others are counted.
NAMED_OUTLIERS = 4

#: Columns of some rows of the tensor file.
Block = tuple[slice, Mapping[str, NDArray[Any]]]


@dataclass(frozen=True)
class Plan:
    """The content of the file that is known before averaging, from which every rank computes its blocks.

    Attributes
    ----------
    series : Series
        The distorted series, smoothed if the campaign says so.
    sites : SeriesSites
        Its tasks in the store, by site.
    roughness : ndarray of float64, shape (D,)
        Its roughness before smoothing; see `xanesml.averages.series.roughness`.
    coordination : float
        Mean number of first neighbors of the atoms that the series stands for.
    edge : float
        Photon energy of the edge, eV.
    normalization_energy : float
        Photon energy at which μ0 gives the edge steps, eV.
    distributions : Distributions
        Distributions of the statistical averages.
    particles : Particles
        Structures of the particle averages.
    """

    series: Series
    sites: SeriesSites
    roughness: Floats
    coordination: float
    edge: float
    normalization_energy: float
    distributions: Distributions
    particles: Particles


@dataclass(frozen=True)
class Survey:
    """Result of reading all rows of a store once.

    Attributes
    ----------
    torn : ndarray of int64, shape (n,)
        Rows with an outcome that do not match their checksum, ascending.
    start, end : float
        Range of photon energies that all spectra cover, eV.
    """

    torn: Integers
    start: float
    end: float

    @classmethod
    def joined(cls, parts: list[Survey]) -> Survey:
        """Join surveys of successive rows."""
        torn = np.concatenate([part.torn for part in parts])
        return cls(torn, max(part.start for part in parts), min(part.end for part in parts))


def survey(file: h5py.File, rows: range) -> Survey:
    """Verify and measure some rows of a store.

    Parameters
    ----------
    file : h5py.File
        The store.
    rows : range
        The rows, in steps of 1; may be none.

    Returns
    -------
    Survey
        Its range is infinite where no row is done.
    """
    torn = torn_rows(file, rows)
    start, end = -np.inf, np.inf
    for first in range(rows.start, rows.stop, BLOCK):
        block = slice(first, min(first + BLOCK, rows.stop))
        done = file["runs/outcome"][block] == Outcome.DONE
        if done.any():
            energy, points = file["spectra/energy"][block][done], file["spectra/points"][block][done]
            start = max(start, float(energy[:, 0].max()))
            end = min(end, float(energy[np.arange(len(points)), points - 1].min()))
    return Survey(torn, start, end)


def prepare(campaign: Campaign, store: Path, surveyed: Survey, echo: Callable[[str], None]) -> Plan:
    """Plan the tensor file of a store.

    Parameters
    ----------
    campaign : Campaign
        Defines the averages.
    store : Path
        A store in which the whole distorted series is done.
    surveyed : Survey
        Survey of all its rows.
    echo : callable
        Prints a line for the user.

    Returns
    -------
    Plan
        All but the averages.

    Raises
    ------
    CampaignError, StoreError
        If the store is of another campaign, damaged or incomplete, or does not allow the
        averages that the campaign defines.
    """
    section = campaign.averaging
    if len(surveyed.torn):
        raise StoreError(
            f"{store}: {len(surveyed.torn)} rows with an outcome do not match their checksum (the first is task "
            f"{surveyed.torn[0]}); run `xanesml simulate` to compute them again"
        )
    with open_store_file(store) as file:
        check_campaign(file, campaign, "average it with its own campaign file, or give another --output folder")
        done = file["runs/outcome"][card_set_rows(file)] == Outcome.DONE
        sites = SeriesSites.of(file)
        _check_series(file, sites, done)
        if not section.accept_changed:
            _check_unchanged(file, np.flatnonzero(done))
        structure = file["tasks/structure"][:][sites.tasks[:, 0]]
        first_shell = float(file.attrs["first_shell"])
        delta = file["structures/delta"][:][structure]
        if campaign.distortion is not None and campaign.distortion.length == "lattice_constant":
            # The campaign's δ is then not the shift of the first shell, to which the labels refer.
            delta = np.round(first_shell * (file["structures/scale"][:][structure] - 1), 10)
        edge = sites.edge(file, int(np.argmin(np.abs(delta))))
        energy = common_mesh(surveyed.start, surveyed.end, edge, section.mesh_step)
        mu, steps, normalization_energy = sites.spectra(file, energy, edge, campaign)
        coordination = sites.coordination(file)
        particles = choose_particles(file, done, campaign)
    for index, why in particles.refused.items():
        echo(f"structure {index} has no particle average: {why}")
    if section.smoothing > len(delta):
        raise CampaignError(
            f"averaging.smoothing is a window of {section.smoothing} points, but the series has {len(delta)}; give less"
        )
    distributions = choose_distributions(section, delta, campaign.seed)
    if len(distributions.scale) < section.families:
        echo(
            f"{section.families - len(distributions.scale)} of {section.families} families of the grid are left out: "
            f"more than {section.truncation_limit:g} of a distribution lies outside the series"
        )
    series = Series(
        energy=energy,
        delta=delta,
        mu=mu,
        edge_step=steps,
        r=bin_centers(delta, first_shell, section.r_step),
        first_shell=first_shell,
    )
    rough = roughness(series.normalized)
    _report_outliers(rough, delta, echo)
    return Plan(
        series=replace(series, mu=smoothed(mu, section.smoothing), edge_step=smoothed(steps, section.smoothing)),
        sites=sites,
        roughness=rough,
        coordination=coordination,
        edge=edge,
        normalization_energy=normalization_energy,
        distributions=distributions,
        particles=particles,
    )


def _check_series(file: h5py.File, sites: SeriesSites, done: Booleans) -> None:
    missing = sites.tasks[~done[sites.tasks]]
    if len(missing):
        first = missing[0]
        delta = file["structures/delta"][file["tasks/structure"][first]]
        outcome = Outcome(file["runs/outcome"][first]).label
        site = f", atom {file['tasks/absorber'][first]}" if len(sites.multiplicity) > 1 else ""
        raise StoreError(
            f"{file.filename}: {len(missing)} of the {sites.tasks.size} distorted spectra are not done "
            f"(the first is task {first}, δ = {delta:+.2f} Å{site}: {outcome}); run `xanesml simulate` again"
        )


def _check_unchanged(file: h5py.File, done: Integers) -> None:
    changes = file["runs/changes"][:][done]
    changed = np.flatnonzero(changes != b"")
    if len(changed):
        first = changed[0]
        raise StoreError(
            f"{file.filename}: {len(changed)} of {len(done)} spectra were made with other cards than the campaign's "
            f"(the first is task {done[first]}: {changes[first].decode()}); compute all spectra with these cards in a "
            "new campaign, or set averaging.accept_changed = true"
        )


def _report_outliers(rough: Floats, delta: Floats, echo: Callable[[str], None]) -> None:
    found = outliers(rough)
    if len(found):
        worst = found[np.argsort(rough[found])[::-1]][:NAMED_OUTLIERS]
        named = ", ".join(f"δ = {delta[i]:+.2f} Å ({rough[i]:.2g})" for i in worst)
        echo(
            f"series: {len(found)} spectra lie off their neighbors by more than {OUTLIER:g} times the "
            f"median second difference, {np.nanmedian(rough):.2g} edge steps: {named}"
            f"{'' if len(found) == len(worst) else ', …'}"
        )


def lay_out(path: Path, campaign: Campaign, store: Path, plan: Plan) -> None:
    """Create a tensor file with all but the averages; EnvironmentProblem where it cannot be written."""
    series, drawn, particles = plan.series, plan.distributions, plan.particles
    members = len(drawn.steps)
    with open_store_file(store) as file:
        tasks_digest = text_attribute(file, "tasks_digest")
    create(
        path,
        TENSORS,
        sizes={
            "energy": len(series.energy),
            "r": len(series.r),
            "delta": len(series.delta),
            "site": len(plan.sites.multiplicity),
            "average": len(drawn),
            "weighted": len(drawn) if campaign.averaging.keep_weights else 0,
            "structure": len(particles.structure),
            "absorber": particles.tasks.shape[1],
        },
        attributes={
            "campaign": campaign.resolved(),
            "campaign_digest": campaign.digest(),
            "store": str(store.absolute()),
            "tasks_digest": tasks_digest,
            "edge": plan.edge,
            "interpolation": campaign.averaging.interpolation,
            "smoothing": campaign.averaging.smoothing,
            "normalization": campaign.feff.normalization,
            "normalization_energy": plan.normalization_energy,
            "first_shell": series.first_shell,
            "refused": json.dumps({str(index): why for index, why in particles.refused.items()}),
        },
        initial={
            "mesh/energy": series.energy,
            "mesh/r": series.r,
            "series/delta": series.delta,
            "series/mu": series.mu,
            "series/edge_step": series.edge_step,
            "series/task": plan.sites.tasks,
            "series/multiplicity": plan.sites.multiplicity,
            "series/roughness": plan.roughness,
            "statistical/family": np.repeat(np.arange(len(drawn.scale), dtype=np.int32), members),
            "statistical/location": drawn.locations.ravel(),
            "statistical/scale": np.repeat(drawn.scale, members),
            "statistical/alpha": np.repeat(drawn.alpha, members),
            "statistical/coordination": np.full(len(drawn), plan.coordination),
            "particle/structure": particles.structure,
            "particle/absorbers": particles.done.sum(axis=1),
            "particle/task": np.where(particles.done, particles.tasks, -1),
        },
    )


def blocks(plan: Plan, campaign: Campaign, source: h5py.File, *, rank: int = 0, size: int = 1) -> Iterator[Block]:
    """Yield one rank's averages in blocks of rows that do not depend on the number of ranks.

    Parameters
    ----------
    plan : Plan
        Plan of the tensor file.
    campaign : Campaign
        Defines the averages.
    source : h5py.File
        The store.
    rank, size : int
        Blocks `rank`, `rank + size`, … are yielded.

    Yields
    ------
    rows : slice
        Rows of the tensor file.
    columns : mapping of str to ndarray
        Their content, by path.

    Raises
    ------
    StoreError
        If a spectrum cannot be used; its task is named.
    """
    families = max(1, STATISTICAL_BLOCK // len(plan.distributions.steps))
    averager = SeriesAverager(plan.series, keep_weights=campaign.averaging.keep_weights, keep_distribution=True)
    for start in range(rank * families, len(plan.distributions.scale), size * families):
        yield _statistical_block(plan, averager, slice(start, min(start + families, len(plan.distributions.scale))))
    count = len(plan.particles.structure)
    particles = max(1, PARTICLE_BLOCK // max(1, plan.particles.tasks.shape[1]))
    for start in range(rank * particles, count, size * particles):
        rows = slice(start, min(start + particles, count))
        yield _particle_block(plan, campaign, source, rows)


def _statistical_block(plan: Plan, averager: SeriesAverager, families: slice) -> Block:
    """Average the series under some families."""
    distributions = plan.distributions[families]
    averages = averager.average(distributions)
    members = len(distributions.steps)
    columns = {
        "spectra": averages.spectra,
        "weights": averages.weights,
        **vars(averages.moments),
        "distribution": averages.distribution,
        "truncated": distributions.truncated(plan.series.delta).ravel(),
    }
    return slice(families.start * members, families.stop * members), _as_stored("statistical", columns)


def _particle_block(plan: Plan, campaign: Campaign, source: h5py.File, rows: slice) -> Block:
    """Average the absorbers of some structures; their labels are those of the absorbers' bonds in the store."""
    particles, series = plan.particles, plan.series
    present, tasks, structure = particles.done[rows], particles.tasks[rows], particles.structure[rows]
    spectra = np.zeros((*present.shape, len(series.energy)))
    steps = np.zeros(present.shape)
    spectra[present], steps[present], _ = spectra_on_mesh(source, tasks[present], series.energy, plan.edge, campaign)
    positions = source["structures/positions"][structure[0] : structure[-1] + 1][structure - structure[0]]
    labels = _bond_labels(plan, rows, positions)
    columns = {"spectra": particle_averages(spectra, steps, particles.multiplicity, present), **labels}
    return rows, _as_stored("particle", columns)


def _bond_labels(plan: Plan, rows: slice, positions: Floats) -> dict[str, Floats]:
    """Return the labels of some structures, positions (n, A, 3): together where they share their bonds."""
    particles, series = plan.particles, plan.series
    image = particles.image[rows]
    # Blocks of structures with the same bonds: all that are no image, and every image alone.
    blocks = [np.flatnonzero(~image)] * (not image.all()) + [np.array([one]) for one in np.flatnonzero(image)]
    parts = []
    for block in blocks:
        found = particles.bonds_of(rows.start + int(block[0]), positions[block[0]])
        lengths = bonds.bond_lengths(positions[block], found.pairs)
        weights, outside = bonds.shares_in_series(lengths - series.first_shell, found.weights, series.delta)
        labels = {
            **vars(weighted_moments(found.weights, lengths - series.first_shell)),
            "coordination": np.full(len(block), found.coordination),
            "distribution": bonds.shares_in_bins(lengths, found.weights, series.r),
            "weights": weights,
            "outside": outside,
        }
        parts.append(labels)
    order = np.argsort(np.concatenate(blocks))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def _as_stored(group: str, columns: Mapping[str, NDArray[Any] | None]) -> dict[str, NDArray[Any]]:
    return {
        f"{group}/{name}": values.astype(TENSORS[f"{group}/{name}"].dtype, copy=False)
        for name, values in columns.items()
        if values is not None
    }


def statistical_weights(file: h5py.File, rows: Indices) -> Floats:
    """Return the weights of some statistical averages, as an open tensor file holds them or computed again.

    Parameters
    ----------
    file : h5py.File
        The tensor file.
    rows : ndarray of int, shape (n,)
        The averages, in any order.

    Returns
    -------
    ndarray, shape (n, D), float
        Weights; rows sum to 1.
    """
    # HDF5 reads rows in their order only, each once.
    ascending, place = np.unique(rows, return_inverse=True)
    if len(file["statistical/weights"]):
        return np.asarray(file["statistical/weights"][ascending][place], dtype=np.float64)
    location, scale, alpha = (file[f"statistical/{name}"][ascending][place] for name in ("location", "scale", "alpha"))
    return skew_normal_weights(file["series/delta"][:], location, scale, alpha)
