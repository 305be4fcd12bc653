"""The averaging driver: from the store to the tensor file, each rank its blocks of rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
from threadpoolctl import threadpool_limits

from hpc.comm import Writer, choose_writer, from_root
from xanesml.averages.tensor_file import Block, Plan, Survey, blocks, lay_out, prepare, survey
from xanesml.campaign import Campaign
from xanesml.errors import XanesmlError
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import TENSORS
from xanesml.store.rows import open_store

if TYPE_CHECKING:
    from mpi4py import MPI

_BLOCK_TAG = 21


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
        plan = from_root(comm, lambda: prepare(campaign, store, surveyed, echo))
        from_root(comm, lambda: lay_out(partial, campaign, store, plan))
        parallel = choose_writer(comm, tensors.parent, writer, echo)
        with open_store(store) as source:
            mine = blocks(plan, campaign, source, rank=comm.rank, size=comm.size)
            if parallel:
                with open_file(partial, TENSORS, mode="r+", comm=comm) as file:
                    problem = _write_mine(file, mine)
            elif comm.rank == 0:
                with open_file(partial, TENSORS, mode="r+") as file:
                    problem = _write_all(comm, file, mine)
            else:
                problem = _send_mine(comm, mine)
        _raise_first(comm, problem)
        if comm.rank == 0:
            partial.replace(tensors)
            _tell(plan, tensors, time.monotonic() - began, echo)


def _survey(comm: MPI.Intracomm, store: Path) -> Survey:
    """Verify and measure the rows, each rank its share; collective."""
    from_root(comm, lambda: open_store(store).close())
    with open_store(store) as file:
        total = len(file["runs/outcome"])
        share = survey(file, range(comm.rank * total // comm.size, (comm.rank + 1) * total // comm.size))
    return Survey.joined(comm.allgather(share))


def _write_mine(file: h5py.File, mine: Iterator[Block]) -> XanesmlError | None:
    """Write this rank's blocks; return the error that ended them."""
    try:
        for block in mine:
            _write(file, block)
    except XanesmlError as error:
        return error
    return None


def _send_mine(comm: MPI.Intracomm, mine: Iterator[Block]) -> XanesmlError | None:
    """Send this rank's blocks to rank 0, and None after the last; return the error that ended them."""
    try:
        for block in mine:
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


def _tell(plan: Plan, tensors: Path, seconds: float, echo: Callable[[str], None]) -> None:
    mesh = plan.series.energy
    echo(
        f"mesh: {len(mesh)} points, {mesh[0]:.1f} to {mesh[-1]:.1f} eV; series: {len(plan.tasks)} "
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
