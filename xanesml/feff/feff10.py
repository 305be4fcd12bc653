"""FEFF10 from the feff10-rs wheel."""

from __future__ import annotations

import base64
import importlib.metadata
import sys
from pathlib import Path
from typing import Literal

from xanesml.errors import EngineError
from xanesml.extra_cards import BEFORE_PHASES, LAST, stages_needed
from xanesml.feff.request import Request
from xanesml.feff.run import FeffRun
from xanesml.fms import VERSION as FMS_VERSION
from xanesml.pot import GRID_VERSION
from xanesml.pot import VERSION as POT_VERSION

#: FEFF10's stages that a XANES spectrum needs. Of the wheel's other nine some cards need one more: see
#: `xanesml.extra_cards`, by which the others do not change xmu.dat, or their cards are refused.
STAGES = ("rdinp", "atomic", "pot", "xsph", "fms", "mkgtr", "path", "genfmt", "ff2x")

#: xanesml's own stages, in place of `pot` and `fms`, and before `xsph`.
NATIVE_POT, NATIVE_FMS, GRID = "xanesml-pot", "xanesml-fms", "xanesml-grid"

_VERSIONS = {NATIVE_POT: POT_VERSION, NATIVE_FMS: FMS_VERSION, GRID: GRID_VERSION}

#: xanesml's own stages around those of FEFF10 that compute potentials: see representatives.py.
_FIRST, _BACK = "xanesml-first", "xanesml-back"

_WHEEL = "feff10-rs"
_DIGITS = 16


class Feff10Engine:
    """FEFF10 from the feff10-rs wheel.

    Parameters
    ----------
    timeout : float
        Time after which a run is killed, s.
    pot, fms : {"native", "feff"}
        Solver of the self-consistent potentials, and of the full multiple scattering: xanesml, which leaves to
        FEFF10 what it cannot solve, or FEFF10.
    pot_grid : {"smooth", "feff"}
        Radial grid of the phase shifts: moved with the absorber's muffin-tin sphere, or FEFF10's.

    Raises
    ------
    EngineError
        If the wheel is not installed.
    """

    def __init__(
        self,
        *,
        timeout: float,
        pot: Literal["native", "feff"],
        fms: Literal["native", "feff"],
        pot_grid: Literal["smooth", "feff"],
    ) -> None:
        chosen = {"pot": (pot, NATIVE_POT), "fms": (fms, NATIVE_FMS)}
        native = {stage: name for stage, (solver, name) in chosen.items() if solver == "native"}
        self._stages = [native.get(stage, stage) for stage in STAGES]
        if pot_grid == "smooth":
            self._stages.insert(STAGES.index("xsph"), GRID)
        # Without the stages that feff.inp asks for: see `identity_with`, and `_FIRST`, about which it says all.
        named = (f"{stage}-{_VERSIONS[stage]}" if stage in _VERSIONS else stage for stage in self._stages)
        self.identity = f"{_installed()}: {' '.join(named)}"
        self.timeout = timeout

    def start(self, folder: Path, text: str, request: Request) -> FeffRun:
        """Start a run; see `Engine.start`."""
        command = stage_command(folder.absolute(), *self.stages(text))
        return FeffRun([command], folder=folder.absolute(), text=text, request=request, timeout=self.timeout)

    def stages(self, text: str) -> list[str]:
        """Return the stages that a run of this feff.inp has, in their order."""
        needed = stages_needed(text.splitlines())
        before = [_BACK, *(stage for stage in needed if stage in BEFORE_PHASES)]
        atomic, xsph = STAGES.index("atomic"), STAGES.index("xsph")
        return [
            *self._stages[:atomic],
            _FIRST,
            *self._stages[atomic:xsph],
            *before,
            *self._stages[xsph:],
            *(stage for stage in needed if stage in LAST),
        ]


def identity_with(identity: str, lines: list[str]) -> str:
    """Return the identity of an engine for runs with some further cards: with the stages that it has because of them.

    Parameters
    ----------
    identity : str
        The engine's identity; that of another than the wheel is returned as it is.
    lines : list of str
        The cards, as `feff.extra_cards` has them.
    """
    return " + ".join((identity, *stages_needed(lines))) if identity.startswith(f"{_WHEEL} ") else identity


def stage_command(folder: Path, *stages: str) -> list[str]:
    """Return the argument vector that runs some of FEFF10's stages in a folder."""
    return [sys.executable, str(Path(__file__).with_name("feff10_stages.py")), str(folder), *stages]


def _installed() -> str:
    try:
        wheel = importlib.metadata.distribution(_WHEEL)
    except importlib.metadata.PackageNotFoundError as error:
        raise EngineError(
            "engine.kind is 'feff10' but feff10-rs is not installed; "
            "run 'pip install feff10-rs' or set engine.kind = 'command'"
        ) from error
    # The installer's record has the hashes; reading 30 MB on every rank would cost more.
    binaries = [file for file in wheel.files or () if {".so", ".pyd"} & set(file.suffixes) and file.hash is not None]
    if not binaries:
        raise EngineError(
            f"feff10-rs {wheel.version} has no record of its binary, which identifies it; "
            "run 'pip install --force-reinstall feff10-rs'"
        )
    hashes = (str(file.hash and file.hash.value) for file in sorted(binaries))
    return f"{_WHEEL} {wheel.version} ({'+'.join(base64.urlsafe_b64decode(h + '==').hex()[:_DIGITS] for h in hashes)})"
