"""Retries of a failed run, with the same cards or with cards that may help."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from xanesml.campaign import FeffSection, RetrySection
from xanesml.errors import EnvironmentProblem
from xanesml.feff.engine import Engine
from xanesml.feff.outcomes import Outcome
from xanesml.feff.request import Request
from xanesml.feff.run import FeffRun, RunResult
from xanesml.feff.verdict import MESSAGE_BYTES, one_line

#: Lower end of the core-valence search window without a CORVAL card, eV (FEFF10, src/COMMON/m_inpmodules.f90).
DEFAULT_CORVAL = -70.0

#: SCF iterations of a retry: the most that FEFF allows.
MOST_ITERATIONS = 100

# Room for the list of tries in a message; the rest describes the last one.
_TRIES_BYTES = 140


class LadderRun:
    """A FEFF run with retries.

    A run that crashes, stops early, or leaves no complete xmu.dat is repeated with the same
    cards; one without self-consistency is retried with less mixing and the most iterations,
    one that stops in corval with a wider search window. Changes add up. A run that times
    out, is refused, or ends with other output than requested is not retried.

    Parameters
    ----------
    engine : Engine
        The engine.
    folder : Path
        The run's folder, emptied before every retry.
    feff : FeffSection
        The campaign's cards.
    inputs : callable
        Returns the text of feff.inp and the expected output for given cards.
    retry : RetrySection
        The retries.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written.
    """

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        feff: FeffSection,
        inputs: Callable[[FeffSection], tuple[str, Request]],
        retry: RetrySection,
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._campaign = feff
        self._feff = feff
        self._inputs = inputs
        self._retry = retry
        self._repeats = 0
        self._tries: list[tuple[str, RunResult]] = []
        self._killed = False
        self._result: RunResult | None = None
        self._run = self._start()

    def poll(self) -> RunResult | None:
        """Poll without blocking; start the next attempt after a failure.

        Returns
        -------
        RunResult or None
            None while the run continues; then the result of the last attempt, with the time of all.

        Raises
        ------
        EnvironmentProblem
            If the folder cannot be written, or is full when an attempt fails.
        """
        if self._result is None:
            ended = self._run.poll()
            if ended is not None:
                self._tries.append((_changes(self._campaign, self._feff), ended))
                following = None if self._killed else self._next(ended)
                if following is None:
                    self._result = self._sum()
                else:
                    self._repeats = self._repeats + 1 if following is self._feff else 0
                    self._feff = following
                    _empty(self._folder)
                    self._run = self._start()
        return self._result

    def kill(self) -> None:
        """Kill the run with all its children and stop retrying; does nothing if it has ended."""
        self._killed = True
        self._run.kill()

    def _start(self) -> FeffRun:
        return self._engine.start(self._folder, *self._inputs(self._feff))

    def _next(self, ended: RunResult) -> FeffSection | None:
        if ended.outcome is Outcome.CRASHED or ended.incomplete:
            return self._feff if self._repeats < self._retry.repeats else None
        if ended.outcome is Outcome.SCF_NOT_CONVERGED and self._feff.scf is not None:
            scf = self._feff.scf
            mixing = max((value for value in self._retry.mixing if value < scf.mixing), default=None)
            if mixing is not None:
                scf = scf.model_copy(update={"mixing": mixing, "iterations": MOST_ITERATIONS})
                return self._feff.model_copy(update={"scf": scf})
        if ended.outcome is Outcome.CORVAL_FAILED:
            present = DEFAULT_CORVAL if self._feff.corval is None else self._feff.corval
            corval = max((value for value in self._retry.corval if value < present), default=None)
            if corval is not None:
                return self._feff.model_copy(update={"corval": corval})
        return None

    def _sum(self) -> RunResult:
        results = [result for _, result in self._tries]
        last = results[-1]
        return replace(
            last,
            message=last.message if last.outcome is Outcome.DONE else self._message(last.message),
            seconds=sum(result.seconds for result in results),
            cpu_seconds=sum(result.cpu_seconds for result in results),
            memory=max(result.memory for result in results),
            tries=len(results),
            changes=self._tries[-1][0],
        )

    def _message(self, message: str) -> str:
        if len(self._tries) == 1:
            return message
        steps = [changes.replace("feff.", "") or "as it is" for changes, _ in self._tries]
        tries = one_line(f"; {len(steps)} tries: {'; '.join(steps)}", _TRIES_BYTES)
        return one_line(message, MESSAGE_BYTES - len(tries.encode())) + tries


def _changes(campaign: FeffSection, feff: FeffSection) -> str:
    pairs = [("feff.corval", campaign.corval, feff.corval)]
    if campaign.scf is not None and feff.scf is not None:
        names = ("mixing", "iterations")
        pairs[:0] = [(f"feff.scf.{name}", getattr(campaign.scf, name), getattr(feff.scf, name)) for name in names]
    return ", ".join(f"{name} = {after}" for name, before, after in pairs if after != before)


def _empty(folder: Path) -> None:
    try:
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot empty the run's folder {folder}: {error.strerror}; choose another scratch folder"
        ) from error
