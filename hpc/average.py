"""The averaging driver: from the store to the tensor file, each rank its blocks of rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hpc.comm import Writer, choose_writer, from_root
from xanesml import averaging, bonds
from xanesml.averaging import ParticleAverages, StatisticalAverages
from xanesml.campaign import Campaign
from xanesml.distributions import Distributions, draw_distributions
from xanesml.errors import StoreError
from xanesml.hdf5 import create, open_file
from xanesml.layout import TENSORS
from xanesml.outcomes import Outcome
from xanesml.store import open_store, torn_rows
from xanesml.tasks import Kind, stored_cluster

if TYPE_CHECKING:
    from mpi4py import MPI

#: Statistical averages computed and written at a time. Fixed, so that the last bit of
#: a matrix product does not depend on the number of ranks.
BLOCK = 4096

_BLOCK_TAG = 21


@dataclass(frozen=True)
class _Plan:
    """What every rank needs in order to compute its blocks."""

    delta: NDArray[np.float64]
    series: NDArray[np.float64]
    steps: NDArray[np.float64]
    distributions: Distributions


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
        The ranks; each computes and writes its share of the statistical averages.
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
    with _removed_on_error(comm, partial):
        plan = from_root(comm, lambda: _prepare(campaign, store, partial, echo))
        parallel = choose_writer(comm, tensors.parent, writer, echo)
        blocks = _my_blocks(comm, plan)
        if parallel:
            with open_file(partial, TENSORS, mode="r+", comm=comm) as file:
                for block in blocks:
                    _write_block(file, block)
        elif comm.rank == 0:
            with open_file(partial, TENSORS, mode="r+") as file:
                for block in _all_blocks(comm, blocks, len(plan.distributions.family)):
                    _write_block(file, block)
        else:
            for block in blocks:
                comm.send(block, dest=0, tag=_BLOCK_TAG)
        comm.Barrier()
        if comm.rank == 0:
            partial.replace(tensors)
    count = len(plan.distributions.family)
    if comm.rank == 0:
        echo(f"tensors: {tensors}: {count:,} statistical averages in {time.monotonic() - began:.1f} s")


def _prepare(campaign: Campaign, store: Path, partial: Path, echo: Callable[[str], None]) -> _Plan:
    with open_store(store) as file:
        torn = torn_rows(file)
        if len(torn):
            raise StoreError(
                f"{store}: {len(torn)} rows marked done do not match their checksum (the first is task {torn[0]}); "
                "run `xanesml simulate` to compute them again"
            )
        done = np.flatnonzero(file["runs/outcome"][:] == Outcome.DONE)
        structure = file["tasks/structure"][:]
        kind = file["structures/kind"][:]
        _check_series(file, done, structure, kind, store)
        if not campaign.averaging.accept_changed:
            _check_unchanged(file, done, store)
        points = file["spectra/points"][done]
        energy, edges = file["spectra/energy"][done], file["spectra/edge"][done]
        delta_of = file["structures/delta"][:][structure[done]]
        edge = float(edges[np.nanargmin(np.abs(delta_of))])
        mesh = averaging.common_mesh(energy, points, edge, campaign.averaging.mesh_step)
        mu = averaging.onto_mesh(energy, file["spectra/mu"][done], points, mesh)
        mu0 = averaging.onto_mesh(energy, file["spectra/mu0"][done], points, mesh)
        steps, normalization_energy = averaging.edge_step(mu0, mesh, edge)
        if campaign.feff.normalization == "feff":
            steps = np.ones_like(steps)
        distorted = kind[structure[done]] == Kind.DISTORTED
        particles = averaging.particle_averages(
            structure[done][~distorted],
            mu[~distorted],
            steps[~distorted],
            asked=structure[kind[structure] == Kind.DISORDERED],
            missing=campaign.averaging.missing_absorbers,
        )
        labels = _particle_labels(file, particles)
        tasks_digest = str(file.attrs["tasks_digest"])

    plan = _Plan(
        delta=delta_of[distorted],
        series=mu[distorted],
        steps=steps[distorted],
        distributions=draw_distributions(campaign.averaging, delta_of[distorted], campaign.seed),
    )
    for index, reason in particles.refused.items():
        echo(f"structure {index} has no particle average: {reason}")
    drawn = plan.distributions
    create(
        partial,
        TENSORS,
        sizes={"M": len(mesh), "D": len(plan.delta), "N": len(drawn.family), "P": len(particles.structure)},
        attributes={
            "campaign": campaign.resolved(),
            "campaign_digest": campaign.digest(),
            "tasks_digest": tasks_digest,
            "edge": edge,
            "normalization": campaign.feff.normalization,
            "normalization_energy": normalization_energy,
        },
        initial={
            "mesh/energy": mesh,
            "series/delta": plan.delta,
            "series/mu": plan.series,
            "series/edge_step": plan.steps,
            "series/task": done[distorted],
            "statistical/family": drawn.family,
            "statistical/location": drawn.location,
            "statistical/scale": drawn.scale,
            "statistical/alpha": drawn.alpha,
            "statistical/truncated": drawn.truncated,
            "particle/spectra": particles.spectra,
            "particle/structure": particles.structure,
            "particle/absorbers": particles.absorbers,
            **labels,
        },
    )
    echo(
        f"mesh: {len(mesh)} points, {mesh[0]:.1f} to {mesh[-1]:.1f} eV; series: {len(plan.delta)} spectra; "
        f"particle averages: {len(particles.structure)}"
    )
    return plan


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


def _particle_labels(file: h5py.File, particles: ParticleAverages) -> dict[str, NDArray[Any]]:
    """Labels from the real coordinates of the structures, over the bonds of their absorbers."""
    if not len(particles.structure):
        return {}
    tasks = file["tasks/structure"][:]
    absorbers = np.unique(file["tasks/absorber"][:][tasks == particles.structure[0]])
    reference = stored_cluster(file)
    positions = file["structures/positions"][particles.structure]
    lengths = bonds.bond_lengths(positions, bonds.bonds(reference, absorbers))
    return {
        "particle/msd": bonds.mean_squared_displacement(lengths),
        "particle/mean_shift": lengths.mean(axis=-1) - reference.first_shell,
        "particle/skewness": bonds.skewness(lengths),
    }


def _my_blocks(comm: MPI.Intracomm, plan: _Plan) -> Iterator[StatisticalAverages]:
    """Yield this rank's blocks: every size-th, from its own rank on."""
    drawn = plan.distributions
    for start in range(comm.rank * BLOCK, len(drawn.family), comm.size * BLOCK):
        rows = slice(start, min(start + BLOCK, len(drawn.family)))
        yield averaging.average_block(drawn, rows, plan.delta, plan.series, plan.steps)


def _all_blocks(comm: MPI.Intracomm, mine: Iterator[StatisticalAverages], count: int) -> Iterator[StatisticalAverages]:
    """Yield all blocks on rank 0: its own, and those that the others send."""
    for index in range(-(-count // BLOCK)):
        source = index % comm.size
        yield next(mine) if source == 0 else comm.recv(source=source, tag=_BLOCK_TAG)


def _write_block(file: h5py.File, block: StatisticalAverages) -> None:
    file["statistical/spectra"][block.rows] = block.spectra
    file["statistical/msd"][block.rows] = block.moments.msd
    file["statistical/mean_shift"][block.rows] = block.moments.mean_shift
    file["statistical/skewness"][block.rows] = block.moments.skewness


@contextmanager
def _removed_on_error(comm: MPI.Intracomm, partial: Path) -> Iterator[None]:
    try:
        yield
    finally:
        if comm.rank == 0 and partial.exists():
            partial.unlink()
