"""One rank's part in a simulation: runs FEFF in a scratch folder and packs the row that comes out."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

from xanesml.campaign import Campaign
from xanesml.errors import EnvironmentProblem
from xanesml.feff.engine import Engine
from xanesml.feff.ladder import LadderRun
from xanesml.feff.outcomes import Outcome
from xanesml.feff.run import RunResult
from xanesml.store.rows import Row, RowPacker, RowWriter
from xanesml.store.tasks import TaskTable

#: Folders of tasks that are not done which one call keeps for inspection on each rank, and in all.
KEPT_FAILURES, KEPT_IN_ALL = 5, 100


class FeffWorker:
    """The `Worker` of a simulation.

    Parameters
    ----------
    table : TaskTable
        The tasks.
    engine : Engine
        FEFF.
    campaign : Campaign
        The campaign.
    make_folder : callable
        Makes this rank's scratch folder and returns it.
    failures : Path
        Folder that keeps the scratch folders of some tasks that are not done.
    writer : RowWriter or None
        Writes this rank's rows; None where rank 0 writes for all.
    """

    def __init__(
        self,
        table: TaskTable,
        engine: Engine,
        campaign: Campaign,
        make_folder: Callable[[], Path],
        failures: Path,
        writer: RowWriter | None,
    ) -> None:
        self._table, self._engine, self._retry = table, engine, campaign.engine.retry
        self._make_folder, self._failures, self._writer = make_folder, failures, writer
        self._packer = RowPacker(campaign.feff.max_points)
        self._host = socket.gethostname()
        self._folder: Path | None = None
        self._kept = 0

    def start(self, task: int) -> LadderRun:
        """Start FEFF in an empty folder; EnvironmentProblem where there can be none."""
        # Made here, where a rank that cannot have one retires.
        folder = self._folder = self._folder or self._make_folder() / "run"
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot make the scratch folder {folder} on {self._host}: {error.strerror}; give --scratch"
            ) from error
        return LadderRun(
            self._engine, folder, self._table.feff, lambda feff: self._table.inputs(task, feff), self._retry
        )

    def finish(self, task: int, result: RunResult) -> tuple[Row, bytes]:
        """Write the row of a task, or return it packed where rank 0 writes for all.

        Returns
        -------
        row : Row
            The row without its spectrum, for the journal.
        content : bytes
            The packed row; empty where it is written.
        """
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
        row.spectrum = None
        if self._writer is None:
            return row, content
        self._writer.write_packed(task, content)
        return row, b""

    def _keep(self, task: int) -> None:
        """Copy the folder of a task that is not done, while there are few of them."""
        if self._kept >= KEPT_FAILURES or self._folder is None:
            return
        kept = self._failures / f"task-{task:06d}"
        try:
            if sum(1 for _ in self._failures.glob("task-*")) >= KEPT_IN_ALL:
                return
            shutil.copytree(self._folder, kept, dirs_exist_ok=True)
        except OSError:
            # The row and its log are in the store; an incomplete folder would mislead.
            shutil.rmtree(kept, ignore_errors=True)
            return
        self._kept += 1
