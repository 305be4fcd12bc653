"""The simulation driver: tasks farmed over the ranks into one store."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpc.comm import Comm, Writer, choose_writer, from_root, on_root, preferred_writer, raise_first
from hpc.drain import Drain, RunTimes, time_left
from hpc.farming.farm import run_farm
from hpc.farming.feff_lead import FeffLead
from hpc.farming.feff_worker import FeffWorker
from hpc.farming.pending import Pending, find_pending
from hpc.farming.scratch import scratch_folder, warn_of_network
from hpc.farming.shared_file import SharedFile
from xanesml.campaign import Campaign
from xanesml.errors import EngineError, EnvironmentProblem, StoreError, XanesmlError
from xanesml.feff.engine import Engine, make_engine
from xanesml.files.lock import WriteLock
from xanesml.store.create import lay_out
from xanesml.store.extend import continued_with_variants
from xanesml.store.journal import Journal
from xanesml.store.plan import expand
from xanesml.store.rows import RowWriter, StoreView, copy_done_rows, open_store_file, outcome_counts
from xanesml.store.stored import stored_table
from xanesml.store.variants import in_variants, variant_names
from xanesml.structures import Cluster

if TYPE_CHECKING:
    from mpi4py import MPI


@dataclass(frozen=True)
class SimulateReport:
    """Result of a call of `simulate`.

    Attributes
    ----------
    outcomes : dict of str to int
        Tasks of the whole store by outcome label.
    ran : int
        Tasks that ended in this call.
    seconds : float
        Elapsed time, s.
    drained : bool
        Whether it stopped early, on a signal or for lack of time, with tasks left.
    share : float
        Share of the ranks' time in which FEFF ran.
    too_many_failed : bool
        Whether more tasks failed in this call than `engine.max_failed` allows; it then stopped early.
    """

    outcomes: dict[str, int]
    ran: int
    seconds: float
    drained: bool
    share: float
    too_many_failed: bool


def simulate(
    comm: MPI.Intracomm,
    campaign: Campaign,
    store: Path,
    *,
    writer: Writer = Writer.auto,
    scratch: Path | None = None,
    reuse: Sequence[Path] = (),
    limit: float | None = None,
    echo: Callable[[str], None],
) -> SimulateReport:
    """Run every task of a campaign that is not done yet; collective.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The ranks; each runs one FEFF at a time.
    campaign : Campaign
        The campaign.
    store : Path
        The store; created if it does not exist, else resumed, and extended by variants that it lacks.
    writer : Writer
        `mpio`: every rank writes its rows; `root`: rank 0 writes for all; `auto`: `mpio` on one host where it
        works, else `root`.
    scratch : Path, optional
        Node-local folder for FEFF's files. Default: $SLURM_TMPDIR, $TMPDIR or /tmp.
    reuse : sequence of Path
        Stores of other campaigns; a new store, or the variants added to one, start with those of
        their finished tasks that it has in common with them, by identity.
    limit : float, optional
        Time left for this job, s. Default: until $SLURM_JOB_END_TIME, or unlimited.
    echo : callable
        Prints a line; called on rank 0 only.

    Returns
    -------
    SimulateReport
        The same on every rank.

    Raises
    ------
    XanesmlError
        On every rank. Before any FEFF run: for a structure that cannot be built, an
        engine that is missing, a store of another campaign or in use, a folder that
        cannot be written to, too little time. Later: where the store can no longer be
        written, no rank can run FEFF, or the time was up before any run had ended.
    """
    began = time.monotonic()
    drain = Drain(from_root(comm, lambda: time_left(limit)))
    drain.listen()
    engine = make_engine(campaign.engine)
    _check_same_engine(comm, engine)
    with ExitStack() as at_the_end:
        on_root(comm, lambda: at_the_end.enter_context(WriteLock(store, echo)))
        cluster, view = from_root(comm, lambda: _prepare(campaign, engine, store, reuse, echo))
        table = stored_table(cluster, campaign.feff, view)
        pending = find_pending(comm, table, store, campaign.engine, echo=echo)
        on_root(comm, lambda: _check_time(drain, pending))
        warn_of_network(comm, scratch, echo)
        parallel = choose_writer(comm, store.parent, preferred_writer(comm, writer, echo), echo)
        journal = on_root(
            comm,
            lambda: Journal(
                store,
                outcomes=pending.outcomes,
                pending=pending.count,
                ranks=comm.size,
                variants=table.variant_sizes,
            ),
        )
        writes = parallel or comm.rank == 0
        file = open_store_file(store, mode="r+", comm=comm if parallel else None) if writes else None
        shared = SharedFile(comm, store) if parallel else None
        rows = None if file is None else RowWriter(file, None if shared is None else shared.write_pieces)

        def make_folder() -> Path:
            return at_the_end.enter_context(scratch_folder(scratch, comm.rank))

        failures = store.with_name("failed")
        worker = FeffWorker(table, engine, campaign, make_folder, failures, rows if parallel else None)
        lead = None
        kept = sum(1 for _ in failures.glob("task-*")) if comm.rank == 0 else 0
        allowed = int(campaign.engine.max_failed * len(table))
        if journal is not None:
            lead = FeffLead(journal, pending, None if parallel else rows, drain, echo, kept=kept, allowed=allowed)
        problem: XanesmlError | None = None
        try:
            run_farm(comm, pending.order, worker=worker, lead=lead, drain=drain)
        except XanesmlError as error:
            # Closing is collective, and so only after an error that all ranks have.
            if not error.collective:
                raise
            problem = error
        for opened in (shared, file, lead):
            try:
                if opened is not None:
                    opened.close()
            except (OSError, XanesmlError) as error:
                problem = problem or StoreError(f"cannot close {store}: {error}")
        raise_first(comm, problem)
        ran = int(comm.bcast(None if lead is None else lead.ran))

    def summarize() -> SimulateReport:
        with open_store_file(store) as file:
            outcomes = outcome_counts(file)
        assert lead is not None  # noqa: S101 (this is rank 0)
        if pending.count and not ran and drain.out_of_time:
            raise EnvironmentProblem(
                f"the time was up before any run had ended, after {time.monotonic() - began:.0f} s; ask for more time, "
                "for several runs at least"
            )
        seconds = time.monotonic() - began
        return SimulateReport(
            outcomes,
            ran,
            seconds,
            drained=ran < pending.count,
            share=lead.busy / (seconds * comm.size),
            too_many_failed=lead.too_many,
        )

    return from_root(comm, summarize)


def _check_same_engine(comm: Comm, engine: Engine) -> None:
    host = socket.gethostname()
    first, identity = comm.bcast((host, engine.identity))
    problem = None
    if engine.identity != identity:
        problem = EngineError(
            f"hosts have different FEFFs: {first} has {identity}, {host} has {engine.identity}; "
            "install the same on all, or leave that host out"
        )
    raise_first(comm, problem)


def _prepare(
    campaign: Campaign, engine: Engine, store: Path, reuse: Sequence[Path], echo: Callable[[str], None]
) -> tuple[Cluster, StoreView]:
    table = None if store.exists() else expand(campaign)
    with ExitStack() as opened:
        # Before anything is written: one that is missing is told while all is as it was.
        grows = table is not None or _lacks_variants(store, campaign)
        others = [(path, opened.enter_context(open_store_file(path))) for path in (reuse if grows else ())]
        if table is not None:
            lay_out(store, campaign, table, engine.identity)
            for note in table.cluster.notes:
                echo(f"note: {note}")
            count = table.positions.shape[0]
            echo(
                f"store: {store}, laid out for {len(table)} tasks in {count} structures"
                f"{in_variants(table.variant_sizes)}"
            )
        if not os.access(store, os.W_OK):
            raise StoreError(f"{store} is read-only; give it write permission or another --output folder")
        cluster, view, added = continued_with_variants(store, campaign, engine.identity)
        if added:
            echo(f"store: {store}, {sum(added.values())} tasks added{in_variants(added)}")
        for path, other in others:
            with open_store_file(store, mode="r+") as file:
                echo(f"store: {copy_done_rows(other, file)} tasks taken over from {path}")
        if campaign.feff.variants:
            with open_store_file(store, mode="r+") as file:
                if same := copy_done_rows(file, file):
                    echo(f"store: {same} tasks of variants have the input of finished ones, and take their spectra")
    return cluster, view


def _lacks_variants(store: Path, campaign: Campaign) -> bool:
    """Return whether a campaign has variants that a store does not have."""
    with open_store_file(store) as file:
        return bool(campaign.feff.variants.keys() - set(variant_names(file)))


def _check_time(drain: Drain, pending: Pending) -> None:
    likely = RunTimes(pending.history, pending.guess).likely
    if drain.left < likely and pending.count:
        raise EnvironmentProblem(
            f"{max(drain.left, 0):.0f} s are left for runs, and a run is likely to take {likely:.0f} s; "
            "ask for more time"
        )
