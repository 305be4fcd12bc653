"""One rank's part in a simulation: runs FEFF in a scratch folder and packs the row that comes out."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from xanesml.campaign import Campaign
from xanesml.errors import EnvironmentProblem
from xanesml.feff.engine import Engine
from xanesml.feff.ladder import LadderRun
from xanesml.feff.outcomes import Outcome
from xanesml.feff.run import RunResult
from xanesml.store.rows import Row, RowPacker, RowWriter
from xanesml.store.tasks import TaskTable


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
        # Folders of failed tasks, until rank 0 says which to keep.
        self._failed: dict[int, Path] = {}

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
        table, number = self._table.card_set_of(task)
        return LadderRun(self._engine, folder, table.feff, lambda feff: table.inputs(number, feff), self._retry)

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
            self._set_aside(task)
        content = self._packer.pack(row)
        row.spectrum = None
        if self._writer is None:
            return row, content
        self._writer.write_packed(task, content)
        return row, b""

    def answered(self, answers: Sequence[int | None]) -> None:
        """Keep the folders of the failed tasks that rank 0 names, and remove those of the others."""
        for task, folder in self._failed.items():
            if task in answers:
                kept = self._failures / f"task-{task:06d}"
                try:
                    shutil.copytree(folder, kept, dirs_exist_ok=True)
                except OSError:
                    # The row and its log are in the store; an incomplete folder would mislead.
                    shutil.rmtree(kept, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
        self._failed.clear()

    def _set_aside(self, task: int) -> None:
        """Keep the folder of a failed task until rank 0 has answered."""
        if self._folder is None:
            return
        aside = self._folder.with_name(f"failed-{task}")
        # What is left of it without room for a name is in the store.
        with suppress(OSError):
            self._folder.rename(aside)
            self._failed[task] = aside
