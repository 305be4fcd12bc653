"""The averaging driver: from the store to the tensor file, each rank its blocks of rows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hpc.comm import Writer, choose_writer, from_root
from xanesml import averaging, bonds, mesh, series
from xanesml.campaign import Campaign
from xanesml.campaign_store import check_campaign
from xanesml.distributions import Distributions, choose_distributions, weighted_moments
from xanesml.errors import CampaignError, StoreError, XanesmlError
from xanesml.hdf5 import create, open_file, text_attribute
from xanesml.layout import TENSORS
from xanesml.outcomes import Outcome
from xanesml.store import BLOCK, open_store, torn_rows
from xanesml.tasks import Kind, stored_cluster

if TYPE_CHECKING:
    from mpi4py import MPI

#: Statistical averages computed and written at a time. Fixed, so that the last bit of
#: a matrix product does not depend on the number of ranks.
STATISTICAL_BLOCK = 4096

#: Structures averaged and written at a time.
PARTICLE_BLOCK = 64

#: Outliers of the series that are named; the others are counted.
NAMED_OUTLIERS = 4

_BLOCK_TAG = 21

#: Columns of some rows of the tensor file.
Block = tuple[slice, Mapping[str, NDArray[Any]]]


@dataclass(frozen=True)
class _Particles:
    """The structures that get a particle average, and what their labels are made with.

    Attributes
    ----------
    structure : ndarray of int, shape (P,)
        They, rising.
    tasks : ndarray of int, shape (P, B)
        Rows of the store of their absorbers.
    done : ndarray of bool, shape (P, B)
        Which of these have a spectrum.
    multiplicity : ndarray of float64, shape (B,)
        How much each absorber counts.
    bonds : ndarray of int, shape (L, 2)
        Pairs of atoms.
    weights : ndarray of float64, shape (L,)
        How much each bond counts; of sum 1.
    coordination : float
        Mean number of first neighbors of the absorbers.
    refused : dict of int to str
        The other structures, and why.
    """

    structure: NDArray[np.integer[Any]]
    tasks: NDArray[np.int64]
    done: NDArray[np.bool_]
    multiplicity: NDArray[np.float64]
    bonds: NDArray[np.intp]
    weights: NDArray[np.float64]
    coordination: float
    refused: dict[int, str]


@dataclass(frozen=True)
class _Plan:
    """What every rank needs in order to compute its blocks: the content of the file that is known beforehand."""

    mesh: NDArray[np.float64]
    edge: float
    normalization_energy: float
    r: NDArray[np.float64]
    first_shell: float
    delta: NDArray[np.float64]
    series: NDArray[np.float64]
    steps: NDArray[np.float64]
    tasks: NDArray[np.int64]
    roughness: NDArray[np.float64]
    distributions: Distributions
    particles: _Particles


def average(
    comm: MPI.Intracomm,
    campaign: Campaign,
    store: Path,
    tensors: Path,
    *,
    writer: Writer = "auto",
    echo: Callable[[str], None],
) -> None:
    """Average a store's spectra into a tensor file; collective.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The ranks; each verifies, computes and writes its share, on one thread.
    campaign : Campaign
        Says which averages.
    store : Path
        A store in which the whole distorted series is done.
    tensors : Path
        File to write; it appears only when complete and replaces an earlier one.
    writer : {"auto", "mpio", "root"}
        As for `simulate`.
    echo : callable
        Prints a line; called on rank 0 only.

    Raises
    ------
    XanesmlError
        On every rank: for a store that is missing or incomplete, or averages that
        cannot be made from it.
    """
    began = time.monotonic()
    partial = tensors.with_name(f".{tensors.name}.partial")
    with _removed_on_error(comm, partial), threadpool_limits(1, user_api="blas"):
        surveyed = _survey(comm, store)
        plan = from_root(comm, lambda: _prepare(campaign, store, surveyed, echo))
        from_root(comm, lambda: _lay_out(partial, campaign, store, plan))
        parallel = choose_writer(comm, tensors.parent, writer, echo)
        with open_store(store) as source:
            blocks = _my_blocks(comm, plan, campaign, source)
            if parallel:
                with open_file(partial, TENSORS, mode="r+", comm=comm) as file:
                    problem = _write_mine(file, blocks)
            elif comm.rank == 0:
                with open_file(partial, TENSORS, mode="r+") as file:
                    problem = _write_all(comm, file, blocks)
            else:
                problem = _send_mine(comm, blocks)
        _raise_first(comm, problem)
        if comm.rank == 0:
            partial.replace(tensors)
            _tell(plan, tensors, time.monotonic() - began, echo)


@dataclass(frozen=True)
class _Survey:
    """What reading all rows once says of a store: torn rows, and the energies that all spectra share, eV."""

    torn: NDArray[np.int64]
    start: float
    end: float


def _survey(comm: MPI.Intracomm, store: Path) -> _Survey:
    """Verify and measure the rows, each rank its share; collective."""
    from_root(comm, lambda: open_store(store).close())
    with open_store(store) as file:
        total = len(file["runs/outcome"])
        share = range(comm.rank * total // comm.size, (comm.rank + 1) * total // comm.size)
        torn = torn_rows(file, share)
        start, end = -np.inf, np.inf
        for first in range(share.start, share.stop, BLOCK):
            rows = slice(first, min(first + BLOCK, share.stop))
            done = file["runs/outcome"][rows] == Outcome.DONE
            if done.any():
                energy, points = file["spectra/energy"][rows][done], file["spectra/points"][rows][done]
                start = max(start, float(energy[:, 0].max()))
                end = min(end, float(energy[np.arange(len(points)), points - 1].min()))
    shares = comm.allgather((torn, start, end))
    return _Survey(
        np.concatenate([one[0] for one in shares]), max(one[1] for one in shares), min(one[2] for one in shares)
    )


def _prepare(campaign: Campaign, store: Path, surveyed: _Survey, echo: Callable[[str], None]) -> _Plan:
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
        if campaign.distortion is not None and campaign.distortion.reference == "lattice_constant":
            # What the campaign calls δ is then not the shift of the first shell, which the labels are about.
            delta = np.round(first_shell * (file["structures/scale"][:][structure[tasks]] - 1), 10)
        edge = float(file["spectra/edge"][:][tasks][np.argmin(np.abs(delta))])
        grid = mesh.common_mesh(surveyed.start, surveyed.end, edge, section.mesh_step)
        mu, steps, normalization_energy = _on_mesh(file, tasks, grid, edge, campaign)
        particles = _choose_particles(file, done, structure, kind, campaign)
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
    return _Plan(
        mesh=grid,
        edge=edge,
        normalization_energy=normalization_energy,
        r=averaging.bin_centers(delta, first_shell, section.r_step),
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
    file: h5py.File, tasks: NDArray[np.int64], grid: NDArray[np.float64], edge: float, campaign: Campaign
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return spectra of tasks that are done, (n, M), their edge steps, (n,), and where these are taken, eV."""
    rows = slice(int(tasks.min()), int(tasks.max()) + 1)
    energy, mu, mu0, points = (
        file[f"spectra/{name}"][rows][tasks - rows.start] for name in ("energy", "mu", "mu0", "points")
    )

    def onto_grid(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return mesh.onto_mesh(energy, values, points, grid, campaign.averaging.interpolation, tasks=tasks)

    steps, normalization_energy = mesh.edge_step(onto_grid(mu0), grid, edge)
    if campaign.feff.normalization == "feff":
        steps = np.ones_like(steps)
    return onto_grid(mu), steps, normalization_energy


def _choose_particles(
    file: h5py.File,
    done: NDArray[np.bool_],
    structure: NDArray[np.int32],
    kind: NDArray[np.uint8],
    campaign: Campaign,
) -> _Particles:
    tasks = np.flatnonzero(kind[structure] == Kind.DISORDERED)
    ids, counts = np.unique(structure[tasks], return_counts=True)
    if not len(ids):
        return _Particles(
            structure=ids,
            tasks=np.empty((0, 0), np.int64),
            done=np.empty((0, 0), np.bool_),
            multiplicity=np.empty(0),
            bonds=np.empty((0, 2), np.intp),
            weights=np.empty(0),
            coordination=0.0,
            refused={},
        )
    absorbers = file["tasks/absorber"][:][tasks[structure[tasks] == ids[0]]]
    if (counts != len(absorbers)).any():
        raise StoreError(f"the disordered structures of {file.filename} have different numbers of absorbers")
    tasks = tasks[np.argsort(structure[tasks], kind="stable")].reshape(len(ids), len(absorbers))
    multiplicity = np.array(campaign.averaging.multiplicity or [1.0] * len(absorbers))
    if len(multiplicity) != len(absorbers):
        raise CampaignError(
            f"averaging.multiplicity has {len(multiplicity)} weights, but a structure has {len(absorbers)} absorbers; "
            "give one for each, in the order of the tasks"
        )
    missing = campaign.averaging.missing_absorbers
    found = done[tasks].sum(axis=1)
    kept = (found >= len(absorbers) - missing) & (found > 0)
    pairs = bonds.bonds(stored_cluster(file), absorbers)
    return _Particles(
        structure=ids[kept],
        tasks=tasks[kept],
        done=done[tasks[kept]],
        multiplicity=multiplicity,
        bonds=pairs,
        weights=bonds.bond_weights(pairs, absorbers, multiplicity),
        coordination=bonds.coordination(pairs, absorbers, multiplicity),
        refused={
            int(ids[i]): f"{found[i]} of {len(absorbers)} absorbers are done, {missing} may be missing"
            for i in np.flatnonzero(~kept)
        },
    )


def _check_series(
    file: h5py.File, done: NDArray[np.int64], structure: NDArray[np.int32], kind: NDArray[np.uint8], store: Path
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


def _check_unchanged(file: h5py.File, done: NDArray[np.int64], store: Path) -> None:
    changes = file["runs/changes"][:][done]
    changed = np.flatnonzero(changes != b"")
    if len(changed):
        first = changed[0]
        raise StoreError(
            f"{store}: {len(changed)} of {len(done)} spectra were made with other cards than the campaign's (the first "
            f"is task {done[first]}: {changes[first].decode()}); make all of them alike with these cards in a new "
            "campaign, or set averaging.accept_changed = true"
        )


def _tell_outliers(rough: NDArray[np.float64], delta: NDArray[np.float64], echo: Callable[[str], None]) -> None:
    outliers = series.outliers(rough)
    if len(outliers):
        worst = outliers[np.argsort(rough[outliers])[::-1]][:NAMED_OUTLIERS]
        named = ", ".join(f"δ = {delta[i]:+.2f} Å ({rough[i]:.2g})" for i in worst)
        echo(
            f"series: {len(outliers)} spectra lie off their neighbors by more than {series.OUTLIER:g} times the "
            f"median second difference, {np.nanmedian(rough):.2g} edge steps: {named}"
            f"{'' if len(outliers) == len(worst) else ', …'}"
        )


def _lay_out(partial: Path, campaign: Campaign, store: Path, plan: _Plan) -> None:
    drawn, particles = plan.distributions, plan.particles
    members = len(drawn.steps)
    create(
        partial,
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


def _my_blocks(comm: MPI.Intracomm, plan: _Plan, campaign: Campaign, source: h5py.File) -> Iterator[Block]:
    """Yield this rank's blocks: every size-th, from its own rank on."""
    families = max(1, STATISTICAL_BLOCK // len(plan.distributions.steps))
    averager = averaging.SeriesAverager(
        plan.delta,
        plan.series,
        plan.steps,
        keep_weights=campaign.averaging.keep_weights,
        bins=averaging.bins_of_series(plan.delta, plan.first_shell, plan.r),
    )
    for start in range(comm.rank * families, len(plan.distributions.scale), comm.size * families):
        yield _statistical_block(plan, averager, slice(start, min(start + families, len(plan.distributions.scale))))
    for start in range(comm.rank * PARTICLE_BLOCK, len(plan.particles.structure), comm.size * PARTICLE_BLOCK):
        rows = slice(start, min(start + PARTICLE_BLOCK, len(plan.particles.structure)))
        yield _particle_block(plan, campaign, source, rows)


def _statistical_block(plan: _Plan, averager: averaging.SeriesAverager, families: slice) -> Block:
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


def _particle_block(plan: _Plan, campaign: Campaign, source: h5py.File, rows: slice) -> Block:
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
        "spectra": averaging.particle_averages(spectra, steps, particles.multiplicity, present),
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


def _write_mine(file: h5py.File, blocks: Iterator[Block]) -> XanesmlError | None:
    """Write this rank's blocks; return the error that ended them."""
    try:
        for block in blocks:
            _write(file, block)
    except XanesmlError as error:
        return error
    return None


def _send_mine(comm: MPI.Intracomm, blocks: Iterator[Block]) -> XanesmlError | None:
    """Send this rank's blocks to rank 0, and None after the last; return the error that ended them."""
    try:
        for block in blocks:
            comm.send(block, dest=0, tag=_BLOCK_TAG)
    except XanesmlError as error:
        return error
    finally:
        comm.send(None, dest=0, tag=_BLOCK_TAG)
    return None


def _write_all(comm: MPI.Intracomm, file: h5py.File, mine: Iterator[Block]) -> XanesmlError | None:
    """Write the blocks of all ranks on rank 0, in turns; return the error that ended its own."""
    problem: XanesmlError | None = None
    unfinished = list(range(comm.size))
    while unfinished:
        for rank in tuple(unfinished):
            try:
                block = next(mine, None) if rank == 0 else comm.recv(source=rank, tag=_BLOCK_TAG)
            except XanesmlError as error:
                problem, block = error, None
            if block is None:
                unfinished.remove(rank)
            else:
                _write(file, block)
    return problem


def _write(file: h5py.File, block: Block) -> None:
    rows, columns = block
    for path, values in columns.items():
        file[path][rows] = values


def _raise_first(comm: MPI.Intracomm, problem: XanesmlError | None) -> None:
    """Raise the error of the lowest rank that has one, on every rank; collective."""
    first = next((one for one in comm.allgather(problem) if one is not None), None)
    if first is not None:
        first.collective = True
        raise first


def _tell(plan: _Plan, tensors: Path, seconds: float, echo: Callable[[str], None]) -> None:
    echo(
        f"mesh: {len(plan.mesh)} points, {plan.mesh[0]:.1f} to {plan.mesh[-1]:.1f} eV; series: {len(plan.delta)} "
        f"spectra; particle averages: {len(plan.particles.structure)}"
    )
    echo(f"tensors: {tensors}: {len(plan.distributions):,} statistical averages in {seconds:.1f} s")


@contextmanager
def _removed_on_error(comm: MPI.Intracomm, partial: Path) -> Iterator[None]:
    try:
        yield
    finally:
        if comm.rank == 0 and partial.exists():
            partial.unlink()
