"""One FEFF run in its folder: started, polled, killed on timeout, judged at its end."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xanesml.errors import EnvironmentProblem
from xanesml.feff.outcomes import Outcome
from xanesml.feff.process import ChildRun, clean_environment, raise_stack_limit
from xanesml.feff.request import Request
from xanesml.feff.verdict import LOG_NAME, Verdict, judge, log_end, one_line, read_log
from xanesml.files.layout import text_width

#: File in the run's folder that names the solver of the full multiple scattering, and of the potentials, in one line.
SOLVER_NAME = "solver.txt"

#: With less free space than this, bytes, a failed run says nothing about its input.
MIN_FREE = 16 * 1024**2


@dataclass(frozen=True, kw_only=True)
class RunResult(Verdict):
    """The result of a run, or of several attempts: the verdict on the last one, and more about the run.

    Attributes
    ----------
    seconds : float
        Wall time of all attempts, s.
    cpu_seconds : float
        Processor time of all attempts, s.
    memory : float
        Largest resident set of any process of the run, MiB.
    tries : int
        Number of attempts.
    changes : str
        Changes of the last attempt's cards against the campaign's, such as
        ``feff.corval = -200.0``; empty if there are none.
    solver : str
        Solver of the full multiple scattering, then that of the potentials unless FEFF was asked for, no longer
        than a store's `runs/solver`; empty if the engine does not name it.
    log : str
        The end of FEFF's log, no longer than a store's `runs/log`, line breaks kept; empty if
        the run is done.
    """

    seconds: float
    cpu_seconds: float
    memory: float
    tries: int = 1
    changes: str = ""
    solver: str = ""
    log: str = ""


class FeffRun:
    """A FEFF run.

    Parameters
    ----------
    commands : sequence of sequence of str
        Argument vectors, run one after the other.
    folder, text, request
        As in `xanesml.feff.engine.Engine.start`.
    timeout : float
        Time after which the run is killed, s.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written.
    """

    def __init__(
        self, commands: Sequence[Sequence[str]], *, folder: Path, text: str, request: Request, timeout: float
    ) -> None:
        self._folder = folder
        self._request = request
        self._timeout = timeout
        self._result: RunResult | None = None
        raise_stack_limit()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for old in (folder / "xmu.dat", folder / SOLVER_NAME, *folder.glob("log*.dat")):
                old.unlink(missing_ok=True)
            (folder / "feff.inp").write_text(text, encoding="utf-8")
            self._started = time.monotonic()
            self._child = ChildRun(commands, folder=folder, log=folder / LOG_NAME, environment=clean_environment())
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot write the run's folder {folder}: {error.strerror}; choose another scratch folder"
            ) from error

    def poll(self) -> RunResult | None:
        """Poll without blocking; kill the run on timeout; return None while it continues, then its result.

        Raises
        ------
        EnvironmentProblem
            If the run failed and its file system is full, which may be the cause.
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
        """Kill the run with all its children; does nothing if it has ended."""
        self._child.kill()

    def _end(self, seconds: float, *, returncode: int = 0, timed_out: bool = False) -> None:
        verdict = judge(self._folder, self._request, returncode=returncode, timed_out=timed_out)
        log = ""
        if verdict.outcome is not Outcome.DONE:
            _check_space(self._folder)
            log = log_end(read_log(self._folder))
        self._result = RunResult(
            **vars(verdict),
            seconds=seconds,
            cpu_seconds=self._child.cpu_seconds,
            memory=self._child.memory,
            solver=_solver(self._folder / SOLVER_NAME),
            log=log,
        )


def _check_space(folder: Path) -> None:
    if not folder.is_dir():
        return
    system = os.statvfs(folder)
    free = system.f_bavail * system.f_frsize
    # Some file systems do not count files.
    files = system.f_favail if system.f_files else None
    if free < MIN_FREE or files == 0:
        raise EnvironmentProblem(
            f"scratch folder {folder} on {socket.gethostname()} is full ({free / 1024**2:.1f} MiB and "
            f"{'any number of' if files is None else files} files left); free space there or choose another"
        )


def _solver(path: Path) -> str:
    if not path.is_file():
        return ""
    return one_line(path.read_text(encoding="utf-8", errors="replace"), text_width("runs/solver"))
