"""The simulation driver: tasks farmed over the ranks into one store."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpc.comm import Writer, choose_writer, from_root
from hpc.drain import Drain, RunTimes, time_left
from hpc.farming.farm import Farm
from hpc.farming.scratch import scratch_folder
from hpc.farming.shared_file import SharedFile
from hpc.progress import ProgressLine
from xanesml.campaign import Campaign
from xanesml.errors import EngineError, EnvironmentProblem, StoreError, XanesmlError
from xanesml.feff.engine import Engine, make_engine
from xanesml.feff.ladder import LadderRun
from xanesml.feff.outcomes import Outcome
from xanesml.feff.run import RunResult
from xanesml.files.arrays import Floats, Integers
from xanesml.files.lock import WriteLock
from xanesml.store.cost import expected_seconds, is_native, table_seconds
from xanesml.store.create import continued, lay_out
from xanesml.store.journal import Journal
from xanesml.store.rows import (
    Row,
    RowPacker,
    RowWriter,
    StoreView,
    copy_done_rows,
    count_outcomes,
    open_store,
    outcome_counts,
    torn_rows,
)
from xanesml.store.tasks import TaskTable, expand, stored_table
from xanesml.structures import Cluster

if TYPE_CHECKING:
    from mpi4py import MPI

#: Folders of tasks that are not done which one call keeps for inspection on each rank, and in all.
KEPT_FAILURES, KEPT_IN_ALL = 5, 100


@dataclass(frozen=True)
class SimulateReport:
    """What a call of `simulate` did.

    Attributes
    ----------
    outcomes : dict of str to int
        Tasks of the whole store by outcome label.
    ran : int
        Tasks that came to an end in this call.
    seconds : float
        Elapsed time, s.
    drained : bool
        Whether it stopped early, on a signal or for want of time, so that tasks are left to run.
    """

    outcomes: dict[str, int]
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
        What to compute.
    store : Path
        The store; laid out if it does not exist, continued if it does.
    writer : {"auto", "mpio", "root"}
        `mpio`: every rank writes its rows; `root`: rank 0 writes what the others
        send; `auto`: `mpio` where it works.
    scratch : Path, optional
        Node-local folder for FEFF's files. Default: $SLURM_TMPDIR, $TMPDIR or /tmp.
    reuse : sequence of Path
        Stores of other campaigns; when `store` is laid out, tasks that these have
        done already, by identity, are taken over.
    limit : float, optional
        Time that this job has, s. Default: until $SLURM_JOB_END_TIME, or unlimited.
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
        written, or no rank can run FEFF.
    """
    began = time.monotonic()
    drain = Drain(from_root(comm, lambda: time_left(limit)))
    drain.listen()
    engine = make_engine(campaign.engine)
    _check_same_engine(comm, engine)
    held: list[WriteLock] = []
    from_root(comm, lambda: held.append(WriteLock(store, echo)))
    try:
        cluster, view = from_root(comm, lambda: _prepare(campaign, engine, store, reuse, echo))
        table = stored_table(cluster, campaign.feff, view)
        work = _find_work(comm, table, store, is_native(campaign.engine), echo)
        from_root(comm, lambda: _check_time(drain, work))
        parallel = choose_writer(comm, store.parent, writer, echo)
        crew = _Crew(comm, table, engine, campaign, store, work=work, parallel=parallel, drain=drain, echo=echo)
        with ExitStack() as at_the_end:

            def make_folder() -> Path:
                return at_the_end.enter_context(scratch_folder(scratch, comm.rank))

            ran = crew.run(make_folder, beat=held[0].beat if held else None)
    finally:
        for lock in held:
            lock.close()

    def summarize() -> SimulateReport:
        with open_store(store) as file:
            outcomes = outcome_counts(file)
        return SimulateReport(outcomes, ran, time.monotonic() - began, drained=ran < work.count)

    return from_root(comm, summarize)


@dataclass(frozen=True)
class _Work:
    """What is left to run.

    Attributes
    ----------
    count : int
        Number of tasks left.
    order : ndarray, shape (count,), int64
        They, in the order in which they are handed out; empty on ranks other than 0.
    outcomes : dict of str to int
        Tasks of the store by outcome label.
    history : ndarray, float64
        Wall times of the tasks that are done, s.
    """

    count: int
    order: Integers
    outcomes: dict[str, int]
    history: Floats


def _check_same_engine(comm: MPI.Intracomm, engine: Engine) -> None:
    found = comm.allgather((socket.gethostname(), engine.identity))
    other = next(((host, identity) for host, identity in found if identity != found[0][1]), None)
    if other is not None:
        problem = EngineError(
            f"hosts have different FEFFs: {found[0][0]} has {found[0][1]}, {other[0]} has {other[1]}; "
            "install the same on all, or leave that host out"
        )
        problem.collective = True
        raise problem


def _prepare(
    campaign: Campaign, engine: Engine, store: Path, reuse: Sequence[Path], echo: Callable[[str], None]
) -> tuple[Cluster, StoreView]:
    if not store.exists():
        table = expand(campaign)
        with ExitStack() as opened:
            others = [(path, opened.enter_context(open_store(path))) for path in reuse]
            lay_out(store, campaign, table, engine.identity)
            echo(f"store: {store}, laid out for {len(table)} tasks in {table.positions.shape[0]} structures")
            for path, other in others:
                with open_store(store, mode="r+") as file:
                    echo(f"store: {copy_done_rows(other, file)} tasks taken over from {path}")
    if not os.access(store, os.W_OK):
        raise StoreError(f"{store} is read-only; give it write permission or another --output folder")
    with open_store(store) as file:
        return continued(store, file, campaign, engine.identity)


def _find_work(comm: MPI.Intracomm, table: TaskTable, store: Path, native: bool, echo: Callable[[str], None]) -> _Work:
    """Verify the rows that have an outcome, each rank its share, and order what is left; collective."""
    total = len(table)
    with open_store(store) as file:
        share = range(comm.rank * total // comm.size, (comm.rank + 1) * total // comm.size)
        torn = torn_rows(file, share)
    shares = comm.gather(torn)

    def order() -> _Work:
        assert shares is not None  # noqa: S101 (this is rank 0)
        with open_store(store) as file:
            outcome, seconds = file["runs/outcome"][:], file["runs/seconds"][:]
        torn = np.concatenate(shares)
        outcome[torn] = Outcome.PENDING
        seconds[outcome != Outcome.DONE] = np.nan
        pending = np.flatnonzero(outcome != Outcome.DONE)
        if len(pending) < total:
            echo(f"store: {store}, {total - len(pending)} of {total} tasks done, {len(pending)} to run")
        if len(torn):
            echo(f"store: {len(torn)} rows did not match their checksum and are run again")
        expected = expected_seconds(table_seconds(table, native=native), seconds)[pending]
        longest_first = pending[np.argsort(-expected, kind="stable")]
        return _Work(len(pending), longest_first, count_outcomes(outcome), seconds[outcome == Outcome.DONE])

    work = order() if comm.rank == 0 else None
    count = comm.bcast(None if work is None else work.count)
    return work or _Work(count, np.empty(0, np.int64), {}, np.empty(0))


def _check_time(drain: Drain, work: _Work) -> None:
    likely = RunTimes(work.history).likely
    if drain.left < likely and work.count:
        raise EnvironmentProblem(
            f"{max(drain.left, 0):.0f} s are left for runs, and a run is likely to take {likely:.0f} s; "
            "ask for more time"
        )


class _Crew:
    """One rank's part in a simulation: what it does to start, finish and report a task."""

    def __init__(
        self,
        comm: MPI.Intracomm,
        table: TaskTable,
        engine: Engine,
        campaign: Campaign,
        store: Path,
        *,
        work: _Work,
        parallel: bool,
        drain: Drain,
        echo: Callable[[str], None],
    ) -> None:
        self._comm = comm
        self._table = table
        self._engine = engine
        self._retry = campaign.engine.retry
        self._store = store
        self._work = work
        self._parallel = parallel
        self._drain = drain
        self._echo = echo
        self._host = socket.gethostname()
        self._packer = RowPacker(campaign.feff.max_points)
        self._failures = store.with_name("failed")
        self._times = RunTimes(work.history)
        self._kept = self._ran = 0

    def run(self, make_folder: Callable[[], Path], *, beat: Callable[[], None] | None) -> int:
        """Farm the work out; collective. Return how many tasks came to an end, on every rank."""
        leads = self._comm.rank == 0
        journals: list[Journal] = []
        from_root(self._comm, lambda: journals.append(_open_journal(self._store, self._work, self._comm.size)))
        self._journal = journals[0] if leads else None
        writes = self._parallel or leads
        file = open_store(self._store, mode="r+", comm=self._comm if self._parallel else None) if writes else None
        shared = SharedFile(self._comm, self._store) if self._parallel else None
        self._writer = None if file is None else RowWriter(file, None if shared is None else shared.write_pieces)
        self._make_folder = make_folder
        self._here: Path | None = None
        self._progress = ProgressLine("FEFF runs", self._work.count, self._echo) if leads and self._work.count else None
        self._beat = beat
        farm = Farm(
            self._comm,
            start=self._start,
            finish=self._finish,
            report=self._report,
            drain=self._drain,
            given=self._given,
            retired=self._retired,
            tick=self._tick,
        )
        problem: XanesmlError | None = None
        try:
            farm.run(self._work.order)
        except XanesmlError as error:
            # Closing is collective, and so for errors that all ranks have.
            if not error.collective:
                raise
            problem = error
        if self._progress is not None:
            self._progress.close()
        for closing in (shared, file, self._journal):
            try:
                if closing is not None:
                    closing.close()
            except (OSError, XanesmlError) as error:
                problem = problem or StoreError(f"cannot close {self._store}: {error}")
        if problem is not None:
            raise problem
        return int(self._comm.bcast(self._ran))

    def _start(self, task: int) -> LadderRun:
        # Made here, where a rank that cannot have one retires.
        self._here = self._here or self._make_folder() / "run"
        self._clear(self._here)
        return LadderRun(
            self._engine,
            self._here,
            self._table.feff,
            lambda feff: self._table.inputs(task, feff),
            self._retry,
        )

    def _clear(self, folder: Path) -> None:
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot make the scratch folder {folder} on {self._host}: {error.strerror}; give --scratch"
            ) from error

    def _finish(self, task: int, result: RunResult) -> tuple[Row, bytes]:
        row = Row(
            task=task,
            outcome=result.outcome,
            finished=time.time(),
            host=self._host,
            seconds=result.seconds,
            cpu_seconds=result.cpu_seconds,
            memory=result.memory,
            tries=result.tries,
            changes=result.changes,
            solver=result.solver,
            message=result.message,
            log=result.log,
            spectrum=result.spectrum,
        )
        if result.outcome is not Outcome.DONE:
            self._keep(task)
        content = self._packer.pack(row)
        # Rank 0 needs the row's numbers for the journal, and its bytes where it writes for all.
        row.spectrum = None
        if self._parallel and self._writer is not None:
            self._writer.write_packed(task, content)
            return row, b""
        return row, content

    def _keep(self, task: int) -> None:
        """Copy the folder of a task that is not done, while there are few of them."""
        if self._kept >= KEPT_FAILURES or self._here is None:
            return
        kept = self._failures / f"task-{task:06d}"
        try:
            if sum(1 for _ in self._failures.glob("task-*")) >= KEPT_IN_ALL:
                return
            shutil.copytree(self._here, kept, dirs_exist_ok=True)
        except OSError:
            # The row and its log are what counts; a folder kept by half would mislead.
            shutil.rmtree(kept, ignore_errors=True)
            return
        self._kept += 1

    def _report(self, rank: int, finished: tuple[Row, bytes]) -> None:
        assert self._journal is not None  # noqa: S101 (this is rank 0)
        told, content = finished
        if not self._parallel and self._writer is not None:
            self._writer.write_packed(told.task, content)
        self._ran += 1
        self._times.add(told.seconds)
        self._journal.run(
            task=told.task,
            outcome=told.outcome,
            seconds=told.seconds,
            rank=rank,
            host=told.host,
            tries=told.tries,
            message=told.message,
        )
        if told.message or told.changes:
            self._echo(f"task {told.task}: {told.outcome.label}: {told.message or 'with ' + told.changes}")
        if self._progress is not None:
            self._progress.advance()
        self._watch_the_time()

    def _given(self, rank: int, tasks: Sequence[int]) -> None:
        assert self._journal is not None  # noqa: S101 (this is rank 0)
        self._journal.give(rank, tasks)

    def _retired(self, rank: int, problem: EnvironmentProblem) -> None:
        assert self._journal is not None  # noqa: S101 (this is rank 0)
        self._journal.retire(rank, str(problem))
        self._echo(f"rank {rank} takes no further tasks: {problem}")

    def _tick(self) -> None:
        assert self._journal is not None  # noqa: S101 (this is rank 0)
        self._journal.flush()
        if self._beat is not None:
            self._beat()
        self._watch_the_time()

    def _watch_the_time(self) -> None:
        if not self._drain.requested and self._drain.left < self._times.likely:
            self._echo(
                f"{max(self._drain.left, 0):.0f} s are left for runs, and a run is likely to take "
                f"{self._times.likely:.0f} s: no further tasks"
            )
            self._drain.finish()


def _open_journal(store: Path, work: _Work, ranks: int) -> Journal:
    return Journal(store, outcomes=work.outcomes, pending=work.count, ranks=ranks)
