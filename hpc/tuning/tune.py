"""The search for better training settings: trials side by side on groups of ranks.

A trial trains one network for a few epochs with `hpc.training.trainer` and is judged on the validation
split. The groups share `hpc.tuning.study`. The test split is kept for the network that is trained with
the best settings.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpc.comm import Ranks, from_root, on_root, silent
from hpc.training.checkpoint import Epoch
from hpc.training.collective import Collective, check_backend, join_group
from hpc.training.share import load_share, read_split
from hpc.training.trainer import Trainer
from hpc.tuning.study import Study, import_optuna, is_own, outcome, repair_journal, settings_of, smallest_error
from xanesml.campaign import Campaign, TrainingSection
from xanesml.errors import CampaignError
from xanesml.files.lock import WriteLock
from xanesml.files.table import write_csv
from xanesml.files.whole import write_text
from xanesml.learning.splits import steps_per_epoch

if TYPE_CHECKING:
    import optuna

JOURNAL_FILE, TRIALS_FILE, BEST_FILE = "journal.log", "trials.csv", "best.toml"


@dataclass(frozen=True)
class TuningReport:
    """Result of a search.

    Attributes
    ----------
    trials, pruned : int
        Trials that were completed or pruned, and how many of them were pruned.
    best : int or None
        Number of the best trial; None if none was completed.
    best_mae, own_mae : float
        Smallest validation error of the best and of the campaign's own settings, Å²; NaN if there is none.
    complete : bool
        False if the search stopped with trials left.
    """

    trials: int
    pruned: int
    best: int | None
    best_mae: float
    own_mae: float
    complete: bool

    def line(self) -> str:
        """Return the result as one line."""
        if self.best is None:
            return f"none of {self.trials} trials was completed"
        return (
            f"best validation MAE {self.best_mae:.3g} Å² (trial {self.best}), "
            f"{self.own_mae:.3g} Å² with the campaign's own settings; {self.trials} trials, {self.pruned} pruned"
        )


def tune(
    comm: Ranks,
    campaign: Campaign,
    tensors: Path,
    folder: Path,
    *,
    ranks_per_trial: int = 1,
    echo: Callable[[str], None],
    stop: Callable[[], bool] = lambda: False,
) -> TuningReport:
    """Search for better training settings and write the best; collective.

    It writes Optuna's `journal.log`, from which the next call resumes, and the results so far in
    `trials.csv` and `best.toml`. Networks are of the campaign's first mode and start from the same
    weights in all trials. Reproducible from the campaign's seed where there is one group.

    Parameters
    ----------
    comm : Ranks
        The ranks.
    campaign : Campaign
        The campaign.
    tensors : Path
        Its tensor file. The search uses neither calibration nor test split nor particle averages.
    folder : Path
        Folder of the search.
    ranks_per_trial : int
        Ranks that train a trial together. Learning rate and batch size found with one number of ranks
        do not fit another.
    echo : callable
        Prints a line; called once per trial, on the first rank of every group.
    stop : callable
        Returns whether this rank was asked to stop; its trial is then abandoned.

    Returns
    -------
    TuningReport
        The same on every rank.

    Raises
    ------
    CampaignError
        If the ranks do not divide into groups of that size.
    StoreError
        If the tensor file is unusable or belongs to another campaign, the journal is not Optuna's, or
        another process writes it.
    EnvironmentProblem
        If a library is missing or the folder cannot be written to.
    """
    import_optuna()
    count, split = from_root(comm, lambda: read_split(campaign, tensors))
    # The search must not see the splits that judge its result.
    none = np.empty(0, np.int64)
    split = replace(split, calibration=none, test=none)
    check_backend(comm)
    if comm.size % ranks_per_trial:
        raise CampaignError(
            f"{comm.size} ranks do not divide into groups of {ranks_per_trial}; "
            "start a multiple, or give another --ranks-per-trial"
        )
    number, collective = join_group(comm, comm.size // ranks_per_trial)
    data, local, scaling = load_share(campaign, tensors, count, split, comm, collective)

    def trainer(tried: Campaign) -> Trainer:
        batch = tried.training.batch_size
        steps = steps_per_epoch(split, count, batch_size=batch, size=collective.size)
        return Trainer(tried, collective, data, local, scaling, steps, folder, stop)

    journal = folder / JOURNAL_FILE

    def begin() -> int:
        repair_journal(journal)
        return Study(campaign, journal, ranks_per_trial).begin()

    with ExitStack() as at_the_end:
        on_root(comm, lambda: at_the_end.enter_context(WriteLock(journal, echo)))
        needed = from_root(comm, begin)
        study = Study(campaign, journal, ranks_per_trial, number) if collective.rank == 0 else None
        _run_trials(campaign, study, needed, collective, trainer, echo=echo, stop=stop)
        # Wait until the last trials of all groups are in the journal.
        comm.allgather(None)
        return from_root(comm, lambda: _finish(campaign, study, folder))


class _Watch:
    """Decides after every epoch whether a trial goes on; on the first rank of its group."""

    def __init__(self, study: Study, trial: optuna.Trial, stop: Callable[[], bool]) -> None:
        self._study, self._trial, self._stop = study, trial, stop
        self.hopeless = False

    def __call__(self, history: list[Epoch]) -> bool:
        self.hopeless = self._study.report(self._trial, history)
        return self.hopeless or self._stop()

    def end(self, *, finished: bool) -> optuna.trial.FrozenTrial:
        return self._study.end(self._trial, finished=finished, hopeless=self.hopeless)


def _run_trials(
    campaign: Campaign,
    study: Study | None,
    needed: int,
    collective: Collective,
    trainer: Callable[[Campaign], Trainer],
    *,
    echo: Callable[[str], None],
    stop: Callable[[], bool],
) -> None:
    """Run trials until none is left or a rank of the group is stopped; only its first rank has the study."""
    stopped = False
    while True:
        trial = study.draw(needed) if study is not None and not (stopped or stop()) else None
        settings = collective.bcast(None if trial is None else settings_of(trial))
        if settings is None:
            return
        changes = settings | {"epochs": campaign.tuning.epochs}
        section = TrainingSection.model_validate(campaign.training.model_dump() | changes)
        one = trainer(campaign.model_copy(update={"training": section}))
        watch = None if study is None or trial is None else _Watch(study, trial, stop)
        _, fitted = one.fit(section.modes[0], 0, echo=silent, after_epoch=watch or _nothing)
        if watch is not None:
            stopped = not (fitted.finished or watch.hopeless)
            echo(_line(watch.end(finished=fitted.finished)))


def _nothing(*_arguments: object) -> None:
    pass


def _line(trial: optuna.trial.FrozenTrial) -> str:
    settings = ", ".join(f"{name} {json.dumps(value)}" for name, value in settings_of(trial).items())
    epochs = len(trial.intermediate_values)
    return (
        f"trial {trial.number} {outcome(trial)} after {epochs} epochs: "
        f"validation MAE {smallest_error(trial):.3g} Å², {settings}"
    )


def _finish(campaign: Campaign, study: Study | None, folder: Path) -> TuningReport:
    """Write the results so far."""
    assert study is not None  # noqa: S101 (this rank is the first of all)
    trials = study.judged()
    names = list(settings_of(trials[0])) if trials else []
    rows = [
        [trial.number, outcome(trial), smallest_error(trial), len(trial.intermediate_values)]
        + [json.dumps(settings_of(trial)[name]) for name in names]
        for trial in trials
    ]
    write_csv(folder / TRIALS_FILE, ["trial", "outcome", "validation_mae", "epochs", *names], rows)
    own = next((trial for trial in trials if is_own(trial)), None)
    best = min((trial for trial in trials if outcome(trial) == "complete"), key=smallest_error, default=None)
    report = TuningReport(
        trials=len(trials),
        pruned=sum(outcome(trial) == "pruned" for trial in trials),
        best=None if best is None else best.number,
        best_mae=np.nan if best is None else smallest_error(best),
        own_mae=np.nan if own is None else smallest_error(own),
        complete=own is not None and len(trials) >= campaign.tuning.trials,
    )
    if best is not None:
        keys = {name: value for name, value in settings_of(best).items() if value != getattr(campaign.training, name)}
        lines = [f"# {report.line()}", "[training]", *(f"{name} = {json.dumps(value)}" for name, value in keys.items())]
        write_text(folder / BEST_FILE, "\n".join(lines) + "\n")
    else:
        # Of an earlier study with other settings.
        (folder / BEST_FILE).unlink(missing_ok=True)
    return report
