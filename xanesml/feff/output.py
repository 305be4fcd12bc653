"""Judging by what FEFF leaves behind whether a run is done."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xraydb
from ase.data import chemical_symbols
from scipy.constants import angstrom, elementary_charge, hbar, m_e

from xanesml.campaign import FeffSection
from xanesml.errors import SpectrumError
from xanesml.feff.cards import fms_radius
from xanesml.feff.xmu import Spectrum, read_xmu
from xanesml.outcomes import Outcome

__all__ = ["Request", "Spectrum", "Verdict", "judge", "one_line", "read_log", "read_xmu"]

#: File in the run's folder that takes what the FEFF programs print.
LOG_NAME = "run.log"

#: Part of a log that is read: its last bytes, far more than FEFF writes.
LOG_BYTES = 4 * 1024**2

#: Longest message, bytes of UTF-8: the room in the store.
MESSAGE_BYTES = 240

#: Fewest energy points of a believable XANES spectrum.
MIN_POINTS = 20

#: Most negative μ that counts as numerical noise, in units of the largest μ.
NEGATIVE_NOISE = 1e-3

#: Smallest edge step: largest μ0 over μ0 at the first point, less 1. The broad K edge of gold has 0.8.
MIN_EDGE_STEP = 0.05

#: Largest distance of FEFF's edge from the tabulated one: the larger of eV and a share of the energy.
#: FEFF lies 19 eV (0.26 %) above the table at iron's K edge, 183 eV (0.23 %) at gold's. Edges of
#: one element closer than this are told apart by the shell in the header.
EDGE_TOLERANCE = (25.0, 0.005)

#: Largest difference of the FMS radius, Å; the header has four decimals.
RADIUS_TOLERANCE = 1e-3

# Energy of a free electron over its wave number squared, eV Å².
_FREE_ELECTRON = hbar**2 / (2 * m_e) / elementary_charge / angstrom**2

# What FEFF says when a module ends: FEFF10's words, or those of FEFF 8 and 9 with module numbers.
_FINISHED = {
    "potentials": r"potentials",
    "cross-section and phases": r"cross-section and phases",
    "full multiple scattering": r"FMS",
    "final spectrum": r"(?:XAS spectra|DW \+ final sum)",
}
_REFUSED = re.compile(
    r"^.*(?:FeffParseError|FeffConfigError|stage 'rdinp' failed|Error reading input|RDINP fatal error|Unknown EDGE"
    r"|\bRDINP-).*$|^\s*(?:STOP )?RDINP\s*$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Request:
    """What a run was asked for, to judge its output against.

    Attributes
    ----------
    absorber_number : int
        Atomic number of the absorber.
    edge : str
        Absorption edge, such as `"L3"`.
    scf : bool
        Whether self-consistent potentials were asked for.
    fms_radius : float
        Radius on the FMS card, Å.
    k_max, k_step : float
        Largest k of the spectrum and its step, Å⁻¹.
    max_points : int
        Energy points that the store has room for.
    """

    absorber_number: int
    edge: str
    scf: bool
    fms_radius: float
    k_max: float
    k_step: float
    max_points: int

    @classmethod
    def of(cls, feff: FeffSection, *, absorber_number: int, scale: float = 1.0) -> Request:
        """Return what the input made by `feff_input` with the same arguments asks for."""
        return cls(
            absorber_number=absorber_number,
            edge=feff.edge,
            scf=feff.scf is not None,
            fms_radius=fms_radius(feff, scale),
            k_max=feff.xanes[0],
            k_step=feff.xanes[1],
            max_points=feff.max_points,
        )


@dataclass(frozen=True)
class Verdict:
    """What became of a run: its outcome, why (one line, empty when done), and its spectrum when done."""

    outcome: Outcome
    message: str = ""
    spectrum: Spectrum | None = None


def one_line(text: str) -> str:
    """Return `text` on one line, printable, and no longer than the store has room for."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line.encode("utf-8", errors="replace")[:MESSAGE_BYTES].decode("utf-8", errors="ignore").rstrip()


def judge(folder: Path, request: Request, *, returncode: int, timed_out: bool = False) -> Verdict:
    """Judge a finished run by its output; its return code can condemn it but never make it done.

    In this order: out of time; input refused by rdinp; stopped in corval; ended by a
    signal or a return code other than 0; a module that did not finish; SCF not
    converged; xmu.dat missing, unreadable, or not what was asked for.

    Parameters
    ----------
    folder : Path
        The run's folder, with `run.log`, FEFF's own logs and xmu.dat.
    request : Request
        What was asked for.
    returncode : int
        Return code of the last program; −n where signal n ended it.
    timed_out : bool, optional
        Whether the run was killed for taking too long.

    Returns
    -------
    Verdict
        The outcome; the spectrum only when it is `DONE`.
    """
    log = read_log(folder)
    if timed_out:
        return Verdict(Outcome.TIMED_OUT, one_line(f"killed for taking too long; the log ends: {_end(log)}"))
    outcome, message = _judge_log(log, request, returncode)
    if outcome is not Outcome.DONE:
        return Verdict(outcome, one_line(message))
    try:
        spectrum = read_xmu(folder / "xmu.dat")
    except SpectrumError as error:
        return Verdict(Outcome.BAD_OUTPUT, one_line(str(error)))
    problem = next(_problems(spectrum, request), None)
    if problem is not None:
        return Verdict(Outcome.BAD_OUTPUT, one_line(problem))
    return Verdict(Outcome.DONE, spectrum=spectrum)


def read_log(folder: Path) -> str:
    """Return what FEFF said: its own logs (log.dat, log1.dat, …), then what the programs printed."""
    paths = [*sorted(folder.glob("log*.dat")), folder / LOG_NAME]
    return "\n".join(_last_part(path) for path in paths if path.is_file())


def _last_part(path: Path) -> str:
    # A program in an endless loop can fill a log that does not fit in memory.
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        return file.read(LOG_BYTES).decode("utf-8", errors="replace")


def _end(log: str) -> str:
    # What a program prints stands in FEFF's own logs as well.
    lines = dict.fromkeys(line.strip() for line in log.splitlines() if line.strip())
    return " | ".join([*lines][-3:]) or "(no output)"


def _judge_log(log: str, request: Request, returncode: int) -> tuple[Outcome, str]:
    refusal = _refusal(log)
    if refusal:
        return Outcome.BAD_INPUT, f"FEFF refused its input: {refusal}"
    if "Fatal error in subroutine corval" in log:
        return Outcome.CRASHED, "FEFF stopped in corval (core-valence separation); set feff.corval lower, such as -120"
    if returncode:
        how = f"return code {returncode}" if returncode > 0 else f"signal {_signal_name(-returncode)}"
        return Outcome.CRASHED, f"FEFF ended with {how}; the log ends: {_end(log)}"
    finished = (re.search(rf"Done with module\s*\d*\s*:\s*{words}", log) for words in _FINISHED.values())
    missing = [module for module, found in zip(_FINISHED, finished, strict=True) if not found]
    if missing:
        return Outcome.BAD_OUTPUT, f"FEFF stopped early, before the end of '{missing[0]}'; the log ends: {_end(log)}"
    if request.scf and ("Convergence not reached" in log or "Convergence reached" not in log):
        charges = re.findall(r"Charge distance= *([\d.]+)", log)
        last = f"; last charge distance {charges[-1]}" if charges else ""
        return Outcome.SCF_NOT_CONVERGED, f"SCF did not converge{last}; allow more iterations or mix less (feff.scf)"
    return Outcome.DONE, ""


def _refusal(log: str) -> str:
    found = _REFUSED.search(log)
    if found is None:
        return ""
    # FEFF says why before it stops, and quotes a bad line after it.
    before = [line for line in log[: found.start()].splitlines() if line.strip()][-2:]
    after = [line for line in log[found.end() :].splitlines() if line.strip()][:1]
    return " | ".join(line.strip() for line in [*before, found[0], *after])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _problems(spectrum: Spectrum, request: Request) -> Iterator[str]:
    got = (spectrum.absorber_number, spectrum.shell, spectrum.scf)
    asked = (request.absorber_number, request.edge, request.scf)
    if got != asked:
        yield f"xmu.dat is of (Z, shell, SCF) = {got}, asked for was {asked}; check the cards"
    if spectrum.fms_radius is None or abs(spectrum.fms_radius - request.fms_radius) > RADIUS_TOLERANCE:
        yield f"xmu.dat has the FMS radius {spectrum.fms_radius} Å, asked for was {request.fms_radius} Å"
    points = len(spectrum.energy)
    if points < MIN_POINTS:
        yield f"xmu.dat has {points} energy points, at least {MIN_POINTS} are expected"
    if points > request.max_points:
        yield f"xmu.dat has {points} energy points, the store has room for {request.max_points}; raise feff.max_points"
    k_end = float(np.sqrt((spectrum.energy[-1] - spectrum.edge) / _FREE_ELECTRON))
    if k_end < request.k_max - request.k_step:
        yield f"xmu.dat ends at k = {k_end:.3f} 1/Å, asked for was {request.k_max}; take coarser steps (feff.xanes)"
    if spectrum.mu.min() < -NEGATIVE_NOISE * spectrum.mu.max():
        yield f"mu is negative, {spectrum.mu.min():.3e} where its largest value is {spectrum.mu.max():.3e}"
    if spectrum.mu0.max() < (1 + MIN_EDGE_STEP) * spectrum.mu0[0]:
        yield f"there is no edge step: mu0 starts at {spectrum.mu0[0]:.3e} and reaches {spectrum.mu0.max():.3e}"
    tabulated = xraydb.xray_edge(chemical_symbols[request.absorber_number], request.edge)
    # Shells that the table lacks are judged by the header alone.
    if tabulated is not None:
        absolute, relative = EDGE_TOLERANCE
        if abs(spectrum.edge - tabulated.energy) > max(absolute, relative * tabulated.energy):
            yield f"the edge is at {spectrum.edge:.1f} eV, the table has {tabulated.energy:.1f} eV; check the cards"
