"""Optuna's study of training settings, in a journal file that all groups of ranks share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.training.checkpoint import Epoch
from hpc.training.trainer import TRAINED_SECTIONS
from xanesml.campaign import Campaign
from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.seeds import Stream, seed_of

if TYPE_CHECKING:
    import optuna

#: Attributes of a trial: whether its settings are the campaign's own, and the settings.
_OWN, _SETTINGS = "own", "settings"

_LOGARITHMIC = ("learning_rate", "head_weight", "weight_decay", "l1", "l2")

#: Share of the trials that are drawn at random; share of the epochs, and number of trials, before one is pruned.
_RANDOM, _UNPRUNED_EPOCHS, _UNPRUNED_TRIALS = 1 / 3, 1 / 3, 4


def import_optuna() -> Any:
    """Import Optuna, logging warnings only.

    Raises
    ------
    EnvironmentProblem
        If it is not installed.
    """
    try:
        import optuna  # noqa: PLC0415 (not everywhere)
    except ImportError as error:
        raise EnvironmentProblem(f"tuning needs Optuna ({error}); run `pip install 'xanesml[train]'`") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def repair_journal(journal: Path) -> None:
    """Remove what a kill during a write leaves: half a line and a lock. Nobody else may have the journal open."""
    with _trouble(journal):
        journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
        if journal.exists():
            text = journal.read_bytes()
            whole = text.rfind(b"\n") + 1
            if whole < len(text):
                with journal.open("rb+") as file:
                    file.truncate(whole)


@contextmanager
def _trouble(journal: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write {journal}: {error.strerror or error}; check the folder and the space left"
        ) from error


class Study:
    """The study, as seen by the first rank of a group.

    Optuna's sampler (tree-structured Parzen estimators) draws settings, seeded by the campaign's seed, the
    number of trials so far and the group. A trial is pruned if its best epoch so far is worse than the
    median of the other trials at that epoch.

    Parameters
    ----------
    campaign : Campaign
        The campaign; one with other settings than `tuning.trials` has another study in the same journal.
    journal : Path
        The journal; created if missing.
    ranks : int
        Ranks that train a trial together; another number is another study.
    group : int, optional
        Number of the group.

    Raises
    ------
    StoreError
        If the file is not a journal.
    EnvironmentProblem
        If Optuna is missing, or the journal cannot be written.
    """

    def __init__(self, campaign: Campaign, journal: Path, ranks: int, group: int = 0) -> None:
        self._optuna = import_optuna()
        self._campaign, self._journal, self._group = campaign, journal, group
        self._space = campaign.tuning.searched()
        if not campaign.training.heads:
            self._space.pop("head_weight", None)
        # More trials continue the same study.
        one = campaign.model_copy(update={"tuning": campaign.tuning.model_copy(update={"trials": 1})})
        path = str(journal.absolute())
        backend = self._optuna.storages.journal
        unpruned = 1 + int(_UNPRUNED_EPOCHS * campaign.tuning.epochs)
        with _trouble(journal):
            try:
                # Creates a file exclusively, which works on NFS too; Optuna's default is a link without an age.
                storage = self._optuna.storages.JournalStorage(
                    backend.JournalFileBackend(path, lock_obj=backend.JournalFileOpenLock(path))
                )
                self._study: optuna.Study = self._optuna.create_study(
                    study_name=f"{one.digest(*TRAINED_SECTIONS, 'tuning')}-{ranks}",
                    storage=storage,
                    pruner=self._optuna.pruners.MedianPruner(_UNPRUNED_TRIALS, unpruned),
                    load_if_exists=True,
                )
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"{journal} is not a journal that Optuna {self._optuna.__version__} reads ({error}); "
                    "remove it to begin a new search"
                ) from error
        self._states = self._optuna.trial.TrialState

    def begin(self) -> int:
        """Mark trials that a kill interrupted as failed, and queue the campaign's own settings first; on one rank only.

        Returns
        -------
        int
            Number of trials, failed ones included, at which the study is complete.
        """
        with _trouble(self._journal):
            for trial in self._all(self._states.RUNNING):
                self._study.tell(trial.number, state=self._states.FAIL)
            if not any(is_own(trial) and trial.state != self._states.FAIL for trial in self._all()):
                mine = {name: getattr(self._campaign.training, name) for name in self._space}
                fixed = {name: _coded(value) for name, value in mine.items() if _holds(self._space[name], value)}
                self._study.enqueue_trial(fixed, user_attrs={_OWN: True})
            needed = self._campaign.tuning.trials + len(self._all(self._states.FAIL))
            # The campaign's own settings are tried even if the number of trials was lowered.
            return max([needed, *(trial.number + 1 for trial in self._all(self._states.WAITING))])

    def draw(self, needed: int) -> optuna.Trial | None:
        """Return the next trial, with its settings in its attribute `settings`; None if none is left."""
        with _trouble(self._journal):
            taken = len(self._all())
            if taken >= needed and not self._all(self._states.WAITING):
                return None
            seed = seed_of(self._campaign.seed, Stream.TRIALS, taken, self._group)
            self._study.sampler = self._optuna.samplers.TPESampler(
                n_startup_trials=int(_RANDOM * self._campaign.tuning.trials),
                seed=int(seed.generate_state(1)[0]),
            )
            trial = self._study.ask()
            if trial.number >= needed:
                # Another group has taken the last one meanwhile.
                self._study.tell(trial, state=self._states.FAIL)
                return None
            settings = {}
            for name, given in self._space.items():
                mine = getattr(self._campaign.training, name)
                if is_own(trial):
                    settings[name] = mine
                    # The sampler cannot learn from settings outside the space.
                    if _holds(given, mine):
                        _suggest(trial, name, given)
                else:
                    settings[name] = _suggest(trial, name, given)
            trial.set_user_attr(_SETTINGS, settings)
            return trial

    def report(self, trial: optuna.Trial, history: list[Epoch]) -> bool:
        """Record a trial's last epoch; return whether to prune it: never the campaign's own settings."""
        epoch, mae = history[-1].epoch, history[-1].validation_mae
        with _trouble(self._journal):
            trial.report(mae, epoch)
            if is_own(trial) or epoch == self._campaign.tuning.epochs:
                return False
            return not np.isfinite(mae) or trial.should_prune()

    def end(self, trial: optuna.Trial, *, finished: bool, hopeless: bool) -> optuna.trial.FrozenTrial:
        """Record the end of a trial and return it: failed if it was stopped, pruned if it diverged."""
        with _trouble(self._journal):
            smallest = smallest_error(self._all()[trial.number])
            if finished and np.isfinite(smallest):
                return self._study.tell(trial, smallest)
            state = self._states.PRUNED if finished or hopeless else self._states.FAIL
            return self._study.tell(trial, state=state)

    def judged(self) -> list[optuna.trial.FrozenTrial]:
        """Return the trials that are complete or pruned, by number."""
        return self._all(self._states.COMPLETE, self._states.PRUNED)

    def _all(self, *states: optuna.trial.TrialState) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)


def is_own(trial: optuna.Trial | optuna.trial.FrozenTrial) -> bool:
    """Return whether a trial has the campaign's own settings."""
    return _OWN in trial.user_attrs


def settings_of(trial: optuna.Trial | optuna.trial.FrozenTrial) -> dict[str, Any]:
    """Return the training settings of a trial."""
    return dict(trial.user_attrs[_SETTINGS])


def outcome(trial: optuna.trial.FrozenTrial) -> str:
    """Return how a trial ended: `complete`, `pruned` or `failed`."""
    return {"FAIL": "failed"}.get(trial.state.name, trial.state.name.lower())


def smallest_error(trial: optuna.trial.FrozenTrial) -> float:
    """Return the validation error of a trial's best epoch, Å²; NaN if there is none."""
    finite = [value for value in trial.intermediate_values.values() if np.isfinite(value)]
    return min(finite, default=float("nan"))


def _holds(given: Any, value: Any) -> bool:
    """Return whether a range or list of choices contains a value."""
    return value in given if isinstance(given, list) else given[0] <= value <= given[1]


def _coded(value: Any) -> Any:
    """Return a setting as the study stores it: choices as text, because they may be lists."""
    return value if isinstance(value, float) else json.dumps(value)


def _suggest(trial: optuna.Trial, name: str, given: Any) -> Any:
    if isinstance(given, list):
        return json.loads(trial.suggest_categorical(name, [json.dumps(choice) for choice in given]))
    # Three digits are enough to copy by hand.
    return float(f"{trial.suggest_float(name, *given, log=name in _LOGARITHMIC):.3g}")
