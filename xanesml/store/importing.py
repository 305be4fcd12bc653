"""Imports FEFF runs that somebody else made into a store."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from xanesml.campaign import Campaign
from xanesml.errors import StoreError, XanesmlError
from xanesml.feff.elsewhere import INPUT, OUTPUT, ElsewhereRun, run_folders
from xanesml.feff.outcomes import Outcome
from xanesml.feff.verdict import log_end, one_line
from xanesml.feff.xmu import read_changes
from xanesml.files.layout import text_width
from xanesml.files.lock import WriteLock
from xanesml.store.create import lay_out
from xanesml.store.extend import continued_with_variants
from xanesml.store.plan import expand
from xanesml.store.rows import Row, RowWriter, StoredSpectrum, open_store_file, outcome_counts, read_spectrum
from xanesml.store.stored import stored_table
from xanesml.store.task_finder import FoundTask, TaskFinder
from xanesml.store.tasks import TaskTable
from xanesml.store.variants import in_variants

#: Begins the engine of a store of imported runs.
IMPORTED = "imported: "


@dataclass
class ImportReport:
    """Result of an import.

    Attributes
    ----------
    imported : int
        Runs written, whatever their outcome.
    outcomes : Counter of str
        Their outcomes, by label.
    present : int
        Runs whose task the store had done already, with the same spectrum.
    unfinished : int
        Folders without an xmu.dat.
    unlogged : int
        Runs that are done as far as their spectrum says, without a log that says whether the potentials converged.
    changed : int
        Runs in which other atoms than the campaign's stand for a potential, or, of an export, cards were changed.
    refused : dict of Path to str
        Reasons by folder.
    """

    imported: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    present: int = 0
    unfinished: int = 0
    unlogged: int = 0
    changed: int = 0
    refused: dict[Path, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Yield the numbers as printed."""
        counts = ", ".join(f"{count} {label}" for label, count in sorted(self.outcomes.items()))
        yield f"imported: {self.imported} runs{': ' + counts if counts else ''}"
        for count, what in (
            (self.present, "in the store already, with the same spectrum"),
            (self.unfinished, "without an xmu.dat"),
            (self.unlogged, "without a log: whether their potentials converged is not known"),
            (self.changed, "not quite of the campaign's input, as runs/changes says; see averaging.accept_changed"),
            (len(self.refused), "refused"),
        ):
            if count:
                yield f"{count} {what}"


def import_runs(folder: Path, campaign: Campaign, store: Path, *, echo: Callable[[str], None]) -> ImportReport:
    """Import the finished FEFF runs of a folder into a store.

    A folder at any depth with a feff.inp and an xmu.dat is a run. Its task is that with the same atoms, to 10⁻³ Å
    relative to the absorber and in any order, the same absorber, and the same cards where these change a spectrum.
    The run is judged as one of ours, by its log where there is one. Its row names the folder, hashes of both files and
    the program. All runs of a store are by one program: `simulate` does not continue it.

    Parameters
    ----------
    folder : Path
        The folder.
    campaign : Campaign
        The campaign.
    store : Path
        The store; laid out if it does not exist. One that exists must be of imported runs by the same program.
    echo : callable
        Prints a line.

    Returns
    -------
    ImportReport
        What was imported and refused.

    Raises
    ------
    StoreError
        If there is no finished run in the folder, they are by several programs, or the store is of another campaign,
        engine or program, or in use.
    EnvironmentProblem
        If the folder cannot be read or the store not written.
    """
    report = ImportReport()
    found = [ElsewhereRun(one) for one in run_folders(folder)]
    runs = [one for one in found if one.finished]
    report.unfinished = len(found) - len(runs)
    if not runs:
        raise StoreError(
            f"{folder} has no finished FEFF run among its {len(found)} folders with a feff.inp; a run is a folder with "
            "feff.inp and xmu.dat"
        )
    engine = IMPORTED + _program(runs)
    with WriteLock(store, echo):
        if not store.exists():
            table = expand(campaign)
            matched = list(_matched(runs, TaskFinder(table), report))
            _refuse_none(folder, report, matched)
            lay_out(store, campaign, table, engine)
            count, varied = table.positions.shape[0], in_variants(table.variant_sizes)
            echo(f"store: {store}, laid out for {len(table)} tasks in {count} structures{varied}")
        else:
            cluster, view, added = continued_with_variants(store, campaign, engine)
            if added:
                echo(f"store: {store}, {sum(added.values())} tasks added{in_variants(added)}")
            stored: TaskTable = stored_table(cluster, campaign.feff, view)
            matched = list(_matched(runs, TaskFinder(stored), report))
            _refuse_none(folder, report, matched)
        with open_store_file(store, mode="r+") as file:
            _write(file, matched, report)
            counts = outcome_counts(file)
    for where, reason in report.refused.items():
        echo(f"refused: {where}: {reason}")
    for line in report.lines():
        echo(line)
    echo(f"store: {store}: {', '.join(f'{count} {label}' for label, count in sorted(counts.items()))}")
    return report


def _program(runs: list[ElsewhereRun]) -> str:
    programs = Counter(one.program for one in runs if one.program)
    if len(programs) > 1:
        named = ", ".join(f"{count} by {name}" for name, count in programs.most_common())
        raise StoreError(f"the runs are by several programs, {named}; import them into a store each")
    # Of an export of imported runs, that of these.
    return next(iter(programs), "an unknown program").removeprefix(IMPORTED)


def _matched(
    runs: list[ElsewhereRun], finder: TaskFinder, report: ImportReport
) -> Iterator[tuple[ElsewhereRun, FoundTask]]:
    for run in runs:
        try:
            yield run, finder.find(run.input, run.folder / INPUT)
        except XanesmlError as error:
            report.refused[run.folder] = str(error)


def _refuse_none(folder: Path, report: ImportReport, matched: list[tuple[ElsewhereRun, FoundTask]]) -> None:
    if not matched:
        where, why = next(iter(report.refused.items()))
        raise StoreError(
            f"none of the {len(report.refused)} runs in {folder} is a task of the campaign; {where}: {why}. "
            f"`xanesml plan --from {where / INPUT}` prints a campaign with its cards"
        )


def _write(file: h5py.File, matched: list[tuple[ElsewhereRun, FoundTask]], report: ImportReport) -> None:
    """Judge runs, and write the rows of those whose task is not done."""
    writer = RowWriter(file)
    outcomes = file["runs/outcome"][:]
    taken: dict[int, Path] = {}
    for run, one in matched:
        if one.task in taken:
            report.refused[run.folder] = f"its task, {one.task}, is that of {taken[one.task]} as well"
            continue
        taken[one.task] = run.folder
        try:
            row, logged = _judged(run, one)
        except OSError as error:
            report.refused[run.folder] = f"{error.filename} cannot be read: {error.strerror}"
            continue
        if outcomes[one.task] != Outcome.DONE:
            writer.write(row)
            report.imported += 1
            report.outcomes[row.outcome.label] += 1
            report.unlogged += row.outcome is Outcome.DONE and not logged
            report.changed += bool(row.changes)
        elif _same(read_spectrum(file, one.task), row):
            report.present += 1
        else:
            report.refused[run.folder] = f"its task, {one.task}, is done in the store, with another spectrum"


def _same(before: StoredSpectrum, row: Row) -> bool:
    after = row.spectrum
    return after is not None and all(
        np.array_equal(*pair) for pair in ((before.energy, after.energy), (before.mu, after.mu))
    )


def _judged(run: ElsewhereRun, one: FoundTask) -> tuple[Row, bool]:
    verdict, logged = run.judge(one.request)
    changes = "; ".join(filter(None, (read_changes(run.folder / OUTPUT), one.changes)))
    return Row(
        task=one.task,
        outcome=verdict.outcome,
        finished=run.ended,
        host=socket.gethostname(),
        changes=one_line(changes, text_width("runs/changes")),
        solver=one_line(f"imported, {run.program or 'unknown program'}", text_width("runs/solver")),
        message=verdict.message,
        log=log_end(run.origin(logged=logged)),
        spectrum=verdict.spectrum,
    ), logged
