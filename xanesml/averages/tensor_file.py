"""What goes into a tensor file: found out from a store, laid out, and computed in blocks of rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.averages import mesh, series, statistical
from xanesml.averages.distributions import Distributions, choose_distributions, weighted_moments
from xanesml.averages.particles import Particles, choose_particles
from xanesml.campaign import Campaign
from xanesml.errors import CampaignError, StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.files.arrays import Floats, Integers
from xanesml.files.hdf5 import create, text_attribute
from xanesml.files.layout import TENSORS
from xanesml.store.create import check_campaign
from xanesml.store.rows import BLOCK, open_store, torn_rows
from xanesml.store.tasks import Kind
from xanesml.structures import bonds

#: Statistical averages computed and written at a time. Fixed, so that the last bit of
#: a matrix product does not depend on the number of ranks.
STATISTICAL_BLOCK = 4096

#: Structures averaged and written at a time.
PARTICLE_BLOCK = 64

#: Outliers of the series that are named; the others are counted.
NAMED_OUTLIERS = 4

#: Columns of some rows of the tensor file.
Block = tuple[slice, Mapping[str, NDArray[Any]]]


@dataclass(frozen=True)
class Plan:
    """What every rank needs in order to compute its blocks: the content of the file that is known beforehand."""

    mesh: Floats
    edge: float
    normalization_energy: float
    r: Floats
    first_shell: float
    delta: Floats
    series: Floats
    steps: Floats
    tasks: Integers
    roughness: Floats
    distributions: Distributions
    particles: Particles


@dataclass(frozen=True)
class Survey:
    """What reading rows of a store once says.

    Attributes
    ----------
    torn : ndarray of int64, shape (n,)
        Rows with an outcome that do not match their checksum, rising.
    start, end : float
        Photon energies between which all spectra have points, eV.
    """

    torn: Integers
    start: float
    end: float

    @classmethod
    def joined(cls, parts: list[Survey]) -> Survey:
        """Return what surveys of successive rows say together."""
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
        What they say.
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
    """Find out from a store what its tensor file will hold.

    Parameters
    ----------
    campaign : Campaign
        Says which averages.
    store : Path
        A store in which the whole distorted series is done.
    surveyed : Survey
        What all of its rows say.
    echo : callable
        Takes a line for everything that a user should know of.

    Returns
    -------
    Plan
        All but the averages.

    Raises
    ------
    CampaignError, StoreError
        If the store is of another campaign, damaged or incomplete, or averages as the
        campaign wants them cannot be made from it.
    """
    section = campaign.averaging
    if len(surveyed.torn):
        raise StoreError(
            f"{store}: {len(surveyed.torn)} rows with an outcome do not match their checksum (the first is task "
            f"{surveyed.torn[0]}); run `xanesml simulate` to compute them again"
        )
    with open_store(store) as file:
        check_campaign(store, file, campaign, "average it with its own campaign file, or give another --output folder")
        done = file["runs/outcome"][:] == Outcome.DONE
        structure, kind = file["tasks/structure"][:], file["structures/kind"][:]
        _check_series(file, np.flatnonzero(done), structure, kind, store)
        if not section.accept_changed:
            _check_unchanged(file, np.flatnonzero(done), store)
        tasks = np.flatnonzero(kind[structure] == Kind.DISTORTED)
        first_shell = float(file.attrs["first_shell"])
        delta = file["structures/delta"][:][structure[tasks]]
        if campaign.distortion is not None and campaign.distortion.length == "lattice_constant":
            # What the campaign calls δ is then not the shift of the first shell, which the labels are about.
            delta = np.round(first_shell * (file["structures/scale"][:][structure[tasks]] - 1), 10)
        edge = float(file["spectra/edge"][:][tasks][np.argmin(np.abs(delta))])
        grid = mesh.common_mesh(surveyed.start, surveyed.end, edge, section.mesh_step)
        mu, steps, normalization_energy = _on_mesh(file, tasks, grid, edge, campaign)
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
    rough = series.roughness(mesh.normalize(mu, steps))
    _tell_outliers(rough, delta, echo)
    return Plan(
        mesh=grid,
        edge=edge,
        normalization_energy=normalization_energy,
        r=statistical.bin_centers(delta, first_shell, section.r_step),
        first_shell=first_shell,
        delta=delta,
        series=series.smoothed(mu, section.smoothing),
        steps=series.smoothed(steps, section.smoothing),
        tasks=tasks,
        roughness=rough,
        distributions=distributions,
        particles=particles,
    )


def _on_mesh(
    file: h5py.File, tasks: Integers, grid: Floats, edge: float, campaign: Campaign
) -> tuple[Floats, Floats, float]:
    """Return spectra of tasks that are done, (n, M), their edge steps, (n,), and where these are taken, eV."""
    rows = slice(int(tasks.min()), int(tasks.max()) + 1)
    energy, mu, mu0, points = (
        file[f"spectra/{name}"][rows][tasks - rows.start] for name in ("energy", "mu", "mu0", "points")
    )

    def onto_grid(values: Floats) -> Floats:
        return mesh.onto_mesh(energy, values, points, grid, campaign.averaging.interpolation, tasks=tasks)

    steps, normalization_energy = mesh.edge_step(onto_grid(mu0), grid, edge)
    if campaign.feff.normalization == "feff":
        steps = np.ones_like(steps)
    return onto_grid(mu), steps, normalization_energy


def _check_series(
    file: h5py.File, done: Integers, structure: NDArray[np.int32], kind: NDArray[np.uint8], store: Path
) -> None:
    asked = np.flatnonzero(kind[structure] == Kind.DISTORTED)
    if not len(asked):
        raise StoreError(f"{store} has no distorted series to average over; give the campaign a [distortion] section")
    missing = np.setdiff1d(asked, done)
    if len(missing):
        first = file["structures/delta"][structure[missing[0]]]
        outcome = Outcome(file["runs/outcome"][missing[0]]).label
        raise StoreError(
            f"{store}: {len(missing)} of the {len(asked)} distorted spectra are not done "
            f"(the first is task {missing[0]}, δ = {first:+.2f} Å: {outcome}); run `xanesml simulate` again"
        )


def _check_unchanged(file: h5py.File, done: Integers, store: Path) -> None:
    changes = file["runs/changes"][:][done]
    changed = np.flatnonzero(changes != b"")
    if len(changed):
        first = changed[0]
        raise StoreError(
            f"{store}: {len(changed)} of {len(done)} spectra were made with other cards than the campaign's (the first "
            f"is task {done[first]}: {changes[first].decode()}); make all of them alike with these cards in a new "
            "campaign, or set averaging.accept_changed = true"
        )


def _tell_outliers(rough: Floats, delta: Floats, echo: Callable[[str], None]) -> None:
    outliers = series.outliers(rough)
    if len(outliers):
        worst = outliers[np.argsort(rough[outliers])[::-1]][:NAMED_OUTLIERS]
        named = ", ".join(f"δ = {delta[i]:+.2f} Å ({rough[i]:.2g})" for i in worst)
        echo(
            f"series: {len(outliers)} spectra lie off their neighbors by more than {series.OUTLIER:g} times the "
            f"median second difference, {np.nanmedian(rough):.2g} edge steps: {named}"
            f"{'' if len(outliers) == len(worst) else ', …'}"
        )


def lay_out(path: Path, campaign: Campaign, store: Path, plan: Plan) -> None:
    """Lay a tensor file out, with all that is known before averaging; StoreError where it cannot be written."""
    drawn, particles = plan.distributions, plan.particles
    members = len(drawn.steps)
    create(
        path,
        TENSORS,
        sizes={
            "M": len(plan.mesh),
            "R": len(plan.r),
            "D": len(plan.delta),
            "N": len(drawn),
            "W": len(drawn) if campaign.averaging.keep_weights else 0,
            "P": len(particles.structure),
            "B": particles.tasks.shape[1],
        },
        attributes={
            "campaign": campaign.resolved(),
            "campaign_digest": campaign.digest(),
            "store": str(store.absolute()),
            "tasks_digest": _tasks_digest(store),
            "edge": plan.edge,
            "interpolation": campaign.averaging.interpolation,
            "smoothing": campaign.averaging.smoothing,
            "normalization": campaign.feff.normalization,
            "normalization_energy": plan.normalization_energy,
            "first_shell": plan.first_shell,
            "refused": json.dumps({str(index): why for index, why in particles.refused.items()}),
        },
        initial={
            "mesh/energy": plan.mesh,
            "mesh/r": plan.r,
            "series/delta": plan.delta,
            "series/mu": plan.series,
            "series/edge_step": plan.steps,
            "series/task": plan.tasks,
            "series/roughness": plan.roughness,
            "statistical/family": np.repeat(np.arange(len(drawn.scale), dtype=np.int32), members),
            "statistical/location": drawn.locations.ravel(),
            "statistical/scale": np.repeat(drawn.scale, members),
            "statistical/alpha": np.repeat(drawn.alpha, members),
            "particle/structure": particles.structure,
            "particle/absorbers": particles.done.sum(axis=1),
            "particle/task": np.where(particles.done, particles.tasks, -1),
            "particle/coordination": np.full(len(particles.structure), particles.coordination),
        },
    )


def _tasks_digest(store: Path) -> str:
    with open_store(store) as file:
        return text_attribute(file, "tasks_digest")


def blocks(plan: Plan, campaign: Campaign, source: h5py.File, *, rank: int = 0, size: int = 1) -> Iterator[Block]:
    """Yield the averages in blocks of rows, the same whatever the number of ranks.

    Parameters
    ----------
    plan : Plan
        What to average.
    campaign : Campaign
        How.
    source : h5py.File
        The store.
    rank, size : int
        Every size-th block is yielded, from that of number `rank` on.

    Yields
    ------
    rows : slice
        Rows of the tensor file.
    columns : mapping of str to ndarray
        What belongs there, by path.

    Raises
    ------
    StoreError
        If a spectrum cannot be used; its task is named.
    """
    families = max(1, STATISTICAL_BLOCK // len(plan.distributions.steps))
    averager = statistical.SeriesAverager(
        plan.delta,
        plan.series,
        plan.steps,
        keep_weights=campaign.averaging.keep_weights,
        bins=statistical.bins_of_series(plan.delta, plan.first_shell, plan.r),
    )
    for start in range(rank * families, len(plan.distributions.scale), size * families):
        yield _statistical_block(plan, averager, slice(start, min(start + families, len(plan.distributions.scale))))
    for start in range(rank * PARTICLE_BLOCK, len(plan.particles.structure), size * PARTICLE_BLOCK):
        rows = slice(start, min(start + PARTICLE_BLOCK, len(plan.particles.structure)))
        yield _particle_block(plan, campaign, source, rows)


def _statistical_block(plan: Plan, averager: statistical.SeriesAverager, families: slice) -> Block:
    """Average the series under some families."""
    distributions = plan.distributions[families]
    averages = averager.average(distributions)
    members = len(distributions.steps)
    columns = {
        "spectra": averages.spectra,
        "weights": averages.weights,
        "msd": averages.moments.msd,
        "mean_shift": averages.moments.mean_shift,
        "skewness": averages.moments.skewness,
        "kurtosis": averages.moments.kurtosis,
        "distribution": averages.distribution,
        "truncated": distributions.truncated(plan.delta).ravel(),
    }
    return slice(families.start * members, families.stop * members), _as_stored("statistical", columns)


def _particle_block(plan: Plan, campaign: Campaign, source: h5py.File, rows: slice) -> Block:
    """Average the absorbers of some structures; labels from the real coordinates, over the bonds of the absorbers."""
    particles = plan.particles
    present, tasks, structure = particles.done[rows], particles.tasks[rows], particles.structure[rows]
    spectra = np.zeros((*present.shape, len(plan.mesh)))
    steps = np.zeros(present.shape)
    spectra[present], steps[present], _ = _on_mesh(source, tasks[present], plan.mesh, plan.edge, campaign)
    positions = source["structures/positions"][structure[0] : structure[-1] + 1][structure - structure[0]]
    lengths = bonds.bond_lengths(positions, particles.bonds)
    moments = weighted_moments(particles.weights, lengths - plan.first_shell)
    weights, outside = bonds.shares_in_series(lengths - plan.first_shell, particles.weights, plan.delta)
    columns = {
        "spectra": statistical.particle_averages(spectra, steps, particles.multiplicity, present),
        "msd": moments.msd,
        "mean_shift": moments.mean_shift,
        "skewness": moments.skewness,
        "kurtosis": moments.kurtosis,
        "distribution": bonds.shares_in_bins(lengths, particles.weights, plan.r),
        "weights": weights,
        "outside": outside,
    }
    return rows, _as_stored("particle", columns)


def _as_stored(group: str, columns: Mapping[str, NDArray[Any] | None]) -> dict[str, NDArray[Any]]:
    return {
        f"{group}/{name}": values.astype(TENSORS[f"{group}/{name}"].dtype, copy=False)
        for name, values in columns.items()
        if values is not None
    }
