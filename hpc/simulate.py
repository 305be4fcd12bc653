"""The simulation driver: tasks farmed over the ranks into one store."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

from hpc.comm import Writer, choose_writer, from_root
from hpc.drain import Drain
from hpc.farm import Farm
from hpc.progress import ProgressLine
from xanesml.campaign import Campaign
from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.feff.engine import Engine, FeffRun, RunResult, make_engine
from xanesml.journal import Journal
from xanesml.layout import STORE
from xanesml.outcomes import Outcome
from xanesml.store import Row, copy_done_rows, create, open_store, torn_rows, write_row
from xanesml.tasks import TaskTable, expand

if TYPE_CHECKING:
    from mpi4py import MPI

#: Folders of runs that are not done which one rank keeps for inspection.
_KEPT_FAILURES = 5


@dataclass(frozen=True)
class SimulateReport:
    """What a call of `simulate` did.

    Attributes
    ----------
    outcomes : Counter
        Tasks of the whole store by outcome label.
    ran : int
        FEFF runs of this call.
    seconds : float
        Elapsed time, s.
    drained : bool
        Whether it stopped early on a signal, so that tasks are left to run.
    """

    outcomes: Counter[str]
    ran: int
    seconds: float
    drained: bool


def simulate(
    comm: MPI.Intracomm,
    campaign: Campaign,
    store: Path,
    *,
    writer: Writer = "auto",
    scratch: Path | None = None,
    reuse: Path | None = None,
    echo: Callable[[str], None],
) -> SimulateReport:
    """Run every task of a campaign that is not done yet; collective.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The ranks; each runs one FEFF at a time.
    campaign : Campaign
        What to compute.
    store : Path
        The store; laid out if it does not exist, continued if it does.
    writer : {"auto", "mpio", "root"}
        `mpio`: every rank writes its rows; `root`: rank 0 writes what the others
        send; `auto`: `mpio` where it works.
    scratch : Path, optional
        Node-local folder for FEFF's files. Default: $SLURM_TMPDIR, $TMPDIR or /tmp.
    reuse : Path, optional
        Store of another campaign; when `store` is laid out, tasks that this one has
        done already, by identity, are taken over.
    echo : callable
        Prints a line; called on rank 0 only.

    Returns
    -------
    SimulateReport
        The same on every rank.

    Raises
    ------
    XanesmlError
        On every rank, before any FEFF run: for a structure that cannot be built, an
        engine that is missing, a store of another campaign, or a folder that cannot
        be written to.
    """
    began = time.monotonic()
    engine = make_engine(campaign.engine)
    table, pending = from_root(comm, lambda: _prepare(campaign, engine, store, reuse, echo))
    parallel = choose_writer(comm, store.parent, writer, echo)

    drain = Drain()
    drain.listen()
    ran = _farm(comm, table, pending, engine, store, parallel=parallel, scratch=scratch, drain=drain, echo=echo)

    def summarize() -> SimulateReport:
        with open_store(store) as file:
            codes = Counter(Outcome(code).label for code in file["runs/outcome"][:])
        return SimulateReport(codes, ran, time.monotonic() - began, drained=ran < len(pending))

    return from_root(comm, summarize)


def _prepare(
    campaign: Campaign, engine: Engine, store: Path, reuse: Path | None, echo: Callable[[str], None]
) -> tuple[TaskTable, NDArray[np.int64]]:
    table = expand(campaign)
    identities = table.identities(engine.identity)
    fresh = not store.exists()
    if fresh:
        with open_store(reuse) if reuse is not None else nullcontext() as other:
            _lay_out(campaign, table, identities, engine, store)
            echo(f"store: {store}, laid out for {len(table)} tasks in {len(table.positions)} structures")
            if other is not None:
                with open_store(store, mode="r+") as file:
                    echo(f"store: {copy_done_rows(other, file)} tasks taken over from {reuse}")
    if not os.access(store, os.W_OK):
        raise StoreError(f"{store} is read-only; give it write permission or another --output folder")
    with open_store(store) as file:
        _check_same_campaign(file, campaign, identities, engine)
        torn = torn_rows(file)
        outcome = file["runs/outcome"][:]
    outcome[torn] = Outcome.PENDING
    pending = np.flatnonzero(outcome != Outcome.DONE)
    if not fresh or reuse is not None:
        echo(f"store: {store}, {len(table) - len(pending)} of {len(table)} tasks done, {len(pending)} to run")
    if len(torn):
        echo(f"store: {len(torn)} rows marked done did not match their checksum and are run again")
    return table, pending


def _lay_out(campaign: Campaign, table: TaskTable, identities: NDArray[np.bytes_], engine: Engine, store: Path) -> None:
    create(
        store,
        STORE,
        sizes={
            "S": len(table.positions),
            "A": len(table.cluster.numbers),
            "T": len(table),
            "E": campaign.feff.max_points,
        },
        attributes={
            "campaign": campaign.resolved(),
            "campaign_digest": campaign.digest(),
            "tasks_digest": _digest(identities),
            "engine": engine.identity,
            "central_absorber": table.cluster.absorber,
            "first_shell": table.cluster.first_shell,
            "first_shell_cutoff": table.cluster.first_shell_cutoff,
        },
        initial={
            "structures/numbers": table.cluster.numbers,
            "structures/reference": table.cluster.positions,
            "structures/positions": table.positions,
            "structures/kind": table.kind,
            "structures/delta": table.delta,
            "structures/sigma": table.sigma,
            "tasks/structure": table.structure,
            "tasks/absorber": table.absorber,
            "tasks/identity": identities,
        },
    )


def _check_same_campaign(file: h5py.File, campaign: Campaign, identities: NDArray[np.bytes_], engine: Engine) -> None:
    if file.attrs["tasks_digest"] == _digest(identities):
        return
    why = (
        f"was computed by {file.attrs['engine']}, and this is {engine.identity}"
        if file.attrs["engine"] != engine.identity
        else "holds the tasks of another campaign"
    )
    raise StoreError(
        f"{file.filename} {why}; continue it with the campaign it was made from, "
        f"or give {campaign.name!r} another --output folder (--reuse takes over what the two have in common)"
    )


def _digest(identities: NDArray[np.bytes_]) -> str:
    return hashlib.blake2b(identities.tobytes(), digest_size=16).hexdigest()


def _farm(
    comm: MPI.Intracomm,
    table: TaskTable,
    pending: NDArray[np.int64],
    engine: Engine,
    store: Path,
    *,
    parallel: bool,
    scratch: Path | None,
    drain: Drain,
    echo: Callable[[str], None],
) -> int:
    """Farm the tasks in `pending`; return how many runs came to an end, on every rank."""
    host = socket.gethostname()
    writes = parallel or comm.rank == 0
    failures = store.with_name("failed")
    file = open_store(store, mode="r+", comm=comm if parallel else None) if writes else None
    journal = Journal(store, tasks=len(table), pending=len(pending), ranks=comm.size) if comm.rank == 0 else None
    progress = ProgressLine("FEFF runs", len(pending), echo) if comm.rank == 0 and len(pending) else None
    ran = kept = 0

    with _scratch_folder(scratch, comm.rank) as folder:
        here = folder / "run"

        def start(task: int) -> FeffRun:
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir()
            return engine.start(here, table.feff_input(task), table.request(task))

        def finish(task: int, result: RunResult) -> Row:
            nonlocal kept
            if result.outcome is not Outcome.DONE and kept < _KEPT_FAILURES:
                kept += 1
                shutil.copytree(here, failures / f"task-{task:06d}", dirs_exist_ok=True)
            row = Row(task, result.outcome, result.message, result.seconds, time.time(), host, result.spectrum)
            if parallel and file is not None:
                write_row(file, row)
                return replace(row, spectrum=None)
            return row

        def report(rank: int, told: object) -> None:
            nonlocal ran
            assert isinstance(told, Row)  # noqa: S101 (what finish returns)
            if not parallel and file is not None:
                write_row(file, told)
            ran += 1
            if journal is not None:
                journal.run(
                    task=told.task,
                    outcome=told.outcome,
                    seconds=told.seconds,
                    rank=rank,
                    host=told.host,
                    message=told.message,
                )
            if told.message:
                echo(f"task {told.task}: {told.outcome.label}: {told.message}")
            if progress is not None:
                progress.advance()

        Farm(comm, start=start, finish=finish, report=report, drain=drain).run(map(int, pending))

    if file is not None:
        file.close()
    if progress is not None:
        progress.close()
    if journal is not None:
        journal.close()
    return int(comm.bcast(ran))


@contextmanager
def _scratch_folder(scratch: Path | None, rank: int) -> Iterator[Path]:
    base = scratch or Path(os.environ.get("SLURM_TMPDIR") or tempfile.gettempdir())
    try:
        folder = tempfile.TemporaryDirectory(prefix=f"xanesml-{rank}-", dir=base, ignore_cleanup_errors=True)
    except OSError as error:
        raise EnvironmentProblem(f"cannot make a scratch folder in {base}: {error.strerror}; give --scratch") from error
    with folder as name:
        yield Path(name)
