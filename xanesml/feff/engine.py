"""The programs that run FEFF: the feff10-rs wheel, or the site's own."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xanesml.campaign import EngineSection
from xanesml.errors import EngineError, EnvironmentProblem
from xanesml.feff.output import LOG_NAME, Request, Spectrum, judge
from xanesml.feff.process import ChildRun, clean_environment, raise_stack_limit
from xanesml.outcomes import Outcome

#: FEFF10's stages that a XANES spectrum needs; the wheel's other nine leave xmu.dat as it is.
STAGES = ("rdinp", "atomic", "pot", "xsph", "fms", "mkgtr", "path", "genfmt", "ff2x")

_POLL_INTERVAL = 0.02


@dataclass(frozen=True)
class RunResult:
    """The end of a run.

    Attributes
    ----------
    outcome : Outcome
        What became of it.
    message : str
        Why it is not done: one line, at most 240 bytes of UTF-8; empty when it is.
    seconds : float
        Wall time, s.
    spectrum : Spectrum or None
        The spectrum when done.
    """

    outcome: Outcome
    message: str
    seconds: float
    spectrum: Spectrum | None = None


class FeffRun:
    """A FEFF run on its way.

    Parameters
    ----------
    commands : sequence of sequence of str
        Argument vectors, run one after the other.
    folder : Path
        The run's folder, with feff.inp.
    request : Request
        What the output is judged against.
    timeout : float
        Time after which the run is killed, s.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written.
    """

    def __init__(self, commands: Sequence[Sequence[str]], *, folder: Path, request: Request, timeout: float) -> None:
        self._folder = folder
        self._request = request
        self._timeout = timeout
        self._started = time.monotonic()
        self._result: RunResult | None = None
        try:
            self._child = ChildRun(commands, folder=folder, log=folder / LOG_NAME, environment=clean_environment())
        except OSError as error:
            raise _unwritable(folder, error) from error

    def poll(self) -> RunResult | None:
        """Look after the run, without waiting; call it often.

        Returns
        -------
        RunResult or None
            None while the run goes on. A run that is out of time is killed here.
        """
        if self._result is None:
            returncode = self._child.poll()
            seconds = time.monotonic() - self._started
            if returncode is not None:
                self._end(seconds, returncode=returncode)
            elif seconds > self._timeout:
                self._child.kill()
                self._end(seconds, timed_out=True)
        return self._result

    def kill(self) -> None:
        """End the run with all its children; harmless when it has ended."""
        self._child.kill()

    def _end(self, seconds: float, *, returncode: int = 0, timed_out: bool = False) -> None:
        verdict = judge(self._folder, self._request, returncode=returncode, timed_out=timed_out)
        self._result = RunResult(verdict.outcome, verdict.message, seconds, verdict.spectrum)


class Engine(Protocol):
    """What runs FEFF."""

    @property
    def identity(self) -> str:
        """Kind, version and programs: part of every task's identity."""
        ...

    @property
    def timeout(self) -> float:
        """Time after which a run is killed, s."""
        ...

    def start(self, folder: Path, text: str, request: Request) -> FeffRun:
        """Start a run and return at once.

        Parameters
        ----------
        folder : Path
            The run's folder; made if missing. An earlier run's output in it is removed.
        text : str
            Content of feff.inp.
        request : Request
            What the output is judged against.

        Returns
        -------
        FeffRun
            The run.

        Raises
        ------
        EnvironmentProblem
            If the folder cannot be written.
        """
        ...


class Feff10Engine:
    """FEFF10 from the feff10-rs wheel.

    Parameters
    ----------
    timeout : float
        Time after which a run is killed, s.
    stages : sequence of str, optional
        FEFF10's stages, in order.

    Raises
    ------
    EngineError
        If the wheel is not installed.
    """

    def __init__(self, *, timeout: float, stages: Sequence[str] = STAGES) -> None:
        try:
            version = importlib.metadata.version("feff10-rs")
        except importlib.metadata.PackageNotFoundError as error:
            raise EngineError(
                "engine.kind is 'feff10' but feff10-rs is not installed; "
                "run 'pip install feff10-rs' or set engine.kind = 'command'"
            ) from error
        self.identity = f"feff10-rs {version}: {' '.join(stages)}"
        self.timeout = timeout
        self._stages = tuple(stages)

    def start(self, folder: Path, text: str, request: Request) -> FeffRun:
        """Start a run; see `Engine.start`."""
        folder = folder.absolute()
        _prepare(folder, text)
        return FeffRun([stage_command(folder, *self._stages)], folder=folder, request=request, timeout=self.timeout)


class CommandEngine:
    """A FEFF of the site's: one program, or one a module.

    Parameters
    ----------
    commands : sequence of sequence of str
        Argument vectors, run in order in the run's folder.
    version : str
        The version to record.
    timeout : float
        Time after which a run is killed, s.

    Raises
    ------
    EngineError
        If a program cannot be found or may not be executed.
    """

    def __init__(self, *, commands: Sequence[Sequence[str]], version: str, timeout: float) -> None:
        self.identity = f"command {version}: {json.dumps([list(command) for command in commands])}"
        self.timeout = timeout
        self._commands = [[_program(command[0]), *command[1:]] for command in commands]

    def start(self, folder: Path, text: str, request: Request) -> FeffRun:
        """Start a run; see `Engine.start`."""
        _prepare(folder, text)
        return FeffRun(self._commands, folder=folder, request=request, timeout=self.timeout)


def make_engine(section: EngineSection) -> Engine:
    """Return the engine that a campaign asks for.

    Parameters
    ----------
    section : EngineSection
        The campaign's engine section.

    Returns
    -------
    Engine
        An engine whose programs are there.

    Raises
    ------
    EngineError
        If they are not.
    """
    if section.kind == "feff10":
        return Feff10Engine(timeout=section.timeout)
    return CommandEngine(commands=section.commands, version=str(section.version), timeout=section.timeout)


def stage_command(folder: Path, *stages: str) -> list[str]:
    """Return the argument vector that runs some of FEFF10's stages in a folder."""
    return [sys.executable, str(Path(__file__).with_name("feff10_stages.py")), str(folder), *stages]


def run_feff(engine: Engine, folder: Path, text: str, request: Request) -> RunResult:
    """Run FEFF and wait for it; parameters as in `Engine.start`.

    Returns
    -------
    RunResult
        The end of the run.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written.
    """
    run = engine.start(folder, text, request)
    try:
        while (result := run.poll()) is None:
            time.sleep(_POLL_INTERVAL)
    finally:
        run.kill()
    return result


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise EngineError(
            f"engine.commands names '{name}', which is not an executable here; give a program on PATH or its full path"
        )
    # Programs run in another folder, where a relative path would point elsewhere.
    return str(Path(found).absolute())


def _prepare(folder: Path, text: str) -> None:
    raise_stack_limit()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in (folder / "xmu.dat", *folder.glob("log*.dat")):
            old.unlink(missing_ok=True)
        (folder / "feff.inp").write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"cannot write the run's folder {folder}: {error.strerror}; choose another scratch folder"
    )
