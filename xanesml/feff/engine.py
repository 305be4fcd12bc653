"""Engines that run FEFF: the feff10-rs wheel, or programs installed at your site."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from xanesml.campaign import EngineSection
from xanesml.feff.command import CommandEngine
from xanesml.feff.feff10 import Feff10Engine
from xanesml.feff.request import Request
from xanesml.feff.run import FeffRun, RunResult

_POLL_INTERVAL = 0.02


class Engine(Protocol):
    """A way to run FEFF."""

    @property
    def identity(self) -> str:
        """Kind, version and content of the programs, one line: part of every task's identity."""
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
            The run's folder; created if missing. Output of an earlier run is removed.
        text : str
            Content of feff.inp.
        request : Request
            The expected output.

        Raises
        ------
        EnvironmentProblem
            If the folder cannot be written.
        """
        ...


def make_engine(section: EngineSection) -> Engine:
    """Return the engine that a campaign asks for, its programs found.

    Raises
    ------
    EngineError
        If a program is missing.
    """
    if section.kind == "feff10":
        return Feff10Engine(timeout=section.timeout, pot=section.pot, fms=section.fms, pot_grid=section.pot_grid)
    return CommandEngine(section)


def run_feff(engine: Engine, folder: Path, text: str, request: Request) -> RunResult:
    """Run FEFF once and wait for it; parameters as in `Engine.start`.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written, or is full when the run fails.
    """
    run = engine.start(folder, text, request)
    try:
        while (result := run.poll()) is None:
            time.sleep(_POLL_INTERVAL)
    finally:
        run.kill()
    return result
