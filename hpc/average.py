"""The averaging driver: from the store to the tensor file, each rank its blocks of rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import h5py
from threadpoolctl import threadpool_limits

from hpc.comm import Comm, Writer, choose_writer, from_root, on_root, raise_first
from xanesml.averages.tensor_file import Block, Plan, Survey, blocks, lay_out, prepare, survey
from xanesml.campaign import Campaign
from xanesml.errors import XanesmlError
from xanesml.files.hdf5 import mark_complete, open_file
from xanesml.files.layout import TENSORS
from xanesml.files.lock import WriteLock
from xanesml.files.means import write_means
from xanesml.files.whole import whole_file
from xanesml.store.rows import open_store_file
from xanesml.store.variants import card_set_rows

_BLOCK_TAG = 21


def average(
    comm: Comm,
    campaign: Campaign,
    store: Path,
    tensors: Path,
    *,
    writer: Writer = Writer.auto,
    echo: Callable[[str], None],
) -> None:
    """Average a store's spectra into a tensor file; collective.

    Parameters
    ----------
    comm : Comm
        The ranks; each verifies, computes and writes its share, on one thread.
    campaign : Campaign
        The campaign.
    store : Path
        A store in which the whole distorted series is done.
    tensors : Path
        File to write; it appears only when complete and replaces an earlier one.
    writer : Writer
        As for `simulate`.
    echo : callable
        Prints a line; called on rank 0 only.

    Raises
    ------
    XanesmlError
        On every rank: for a store that is missing or incomplete, averages that cannot be
        made from it, or a tensor file that another process is writing.
    """
    began = time.monotonic()
    # On rank 0 the stack holds the lock and the partial file, which leaving it removes unless it is complete.
    with ExitStack() as at_the_end, threadpool_limits(1, user_api="blas"):
        on_root(comm, lambda: at_the_end.enter_context(WriteLock(tensors, echo)))
        partial = from_root(comm, lambda: at_the_end.enter_context(whole_file(tensors)))
        surveyed = _survey(comm, store)
        plan = from_root(comm, lambda: prepare(campaign, store, surveyed, echo))
        on_root(comm, lambda: lay_out(partial, campaign, store, plan))
        parallel = choose_writer(comm, tensors.parent, writer, echo)
        with open_store_file(store) as source:
            mine = blocks(plan, campaign, source, rank=comm.rank, size=comm.size)
            if parallel:
                # No `with`: closing is collective, and a rank with an error of its own must not wait in it.
                file = open_file(partial, TENSORS, mode="r+", comm=comm)
                problem = _each(mine, lambda block: _write(file, block))
                file.close()
            elif comm.rank == 0:
                with open_file(partial, TENSORS, mode="r+") as file:
                    problem = _write_all(comm, file, mine)
            else:
                problem = _send_mine(comm, mine)
        raise_first(comm, problem)
        on_root(comm, lambda: _complete(partial))
        on_root(comm, at_the_end.close)
    if comm.rank == 0:
        _summarize(plan, tensors, time.monotonic() - began, echo)


def _survey(comm: Comm, store: Path) -> Survey:
    """Verify and measure the rows, each rank its share; collective."""
    on_root(comm, lambda: open_store_file(store).close())
    with open_store_file(store) as file:
        total = card_set_rows(file).stop
        share = survey(file, range(comm.rank * total // comm.size, (comm.rank + 1) * total // comm.size))
    return Survey.joined(comm.allgather(share))


def _each(mine: Iterator[Block], take: Callable[[Block], None]) -> XanesmlError | None:
    """Pass this rank's blocks to a function; return the error that ended them."""
    try:
        for block in mine:
            take(block)
    except XanesmlError as error:
        return error
    return None


def _send_mine(comm: Comm, mine: Iterator[Block]) -> XanesmlError | None:
    """Send this rank's blocks to rank 0, and None after the last; return the error that ended them."""
    problem = _each(mine, lambda block: comm.send(block, dest=0, tag=_BLOCK_TAG))
    comm.send(None, dest=0, tag=_BLOCK_TAG)
    return problem


def _write_all(comm: Comm, file: h5py.File, mine: Iterator[Block]) -> XanesmlError | None:
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


def _complete(partial: Path) -> None:
    with open_file(partial, TENSORS, mode="r+") as file:
        write_means(file)
        mark_complete(file)


def _write(file: h5py.File, block: Block) -> None:
    rows, columns = block
    for path, values in columns.items():
        file[path][rows] = values


def _summarize(plan: Plan, tensors: Path, seconds: float, echo: Callable[[str], None]) -> None:
    mesh, (distortions, sites) = plan.series.energy, plan.sites.tasks.shape
    over = f", each the mean over {sites} sites" if sites > 1 else ""
    echo(
        f"mesh: {len(mesh)} points, {mesh[0]:.1f} to {mesh[-1]:.1f} eV; series: {distortions} "
        f"spectra{over}; particle averages: {len(plan.particles.structure)}"
    )
    echo(f"tensors: {tensors}: {len(plan.distributions):,} statistical averages in {seconds:.1f} s")
