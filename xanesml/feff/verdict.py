"""The verdict on a run, from the files that FEFF leaves."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path

from xanesml.errors import SpectrumError
from xanesml.feff.outcomes import Outcome
from xanesml.feff.request import Request, problems
from xanesml.feff.xmu import IncompleteSpectrum, Spectrum, read_xmu
from xanesml.files.layout import text_width

#: File in the run's folder for the output of the FEFF programs.
LOG_NAME = "run.log"

#: Bytes read from the end of a log: far more than FEFF writes.
LOG_BYTES = 4 * 1024**2

#: Longest message, bytes of UTF-8.
MESSAGE_BYTES = text_width("runs/message")

# FEFF's lines at the end of a module: FEFF10's words, or those of FEFF 8 and 9 with module numbers.
_FINISHED = {
    "potentials": r"potentials",
    "cross-section and phases": r"cross-section and phases",
    "full multiple scattering": r"FMS",
    "final spectrum": r"(?:XAS spectra|DW \+ final sum)",
}
# The end of a module that runs where a card asks for it, and without which xmu.dat looks as whole as with it.
_CONVOLVED = {"many-body convolution (SFCONV)": r"S0\^2"}
_REFUSED = re.compile(
    r"^.*(?:FeffParseError|FeffConfigError|stage 'rdinp' failed|Error reading input|RDINP fatal error|Unknown EDGE"
    r"|\bRDINP-).*$|^\s*(?:STOP )?RDINP\s*$",
    re.MULTILINE,
)
# Lines with which FEFF10 ignores a card and continues (src/RDINP/rdinp.f90, src/XSPH/xsphsub.f90).
_IGNORED = re.compile(
    r"^.*(?:Keyword unrecognized|Ignoring \w+ card|Ignored \w+ cards|\bignored (?:for|because)"
    r"|card will be ignored|Invalid number of SCF iterations).*$",
    re.MULTILINE,
)
_USED = re.compile(r"^\s*Using cards: *(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """The verdict on a run.

    Attributes
    ----------
    outcome : Outcome
        The outcome.
    message : str
        Why the run is not done: one line, no longer than a store's `runs/message`; empty if it is.
    spectrum : Spectrum or None
        The spectrum if done.
    incomplete : bool
        Whether the output ends early: a module that did not finish, or an xmu.dat that
        is missing or cut.
    """

    outcome: Outcome
    message: str = ""
    spectrum: Spectrum | None = None
    incomplete: bool = False


def one_line(text: str, limit: int = MESSAGE_BYTES) -> str:
    """Return `text` on one line, printable, cut at the end to `limit` bytes of UTF-8."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line.encode("utf-8", errors="replace")[:limit].decode("utf-8", errors="ignore").rstrip()


def log_end(text: str) -> str:
    """Return the end of a log that fits a store's `runs/log`, with its line breaks, printable characters only."""
    lines = ("".join(c for c in line if c.isprintable()).rstrip() for line in text.expandtabs().splitlines())
    kept = "\n".join(lines).rstrip("\n").encode("utf-8", errors="replace")[-text_width("runs/log") :]
    return kept.decode("utf-8", errors="ignore").lstrip("\n")


def judge(folder: Path, request: Request, *, returncode: int, timed_out: bool = False) -> Verdict:
    """Judge a finished run by its output; its return code can condemn it but never make it done.

    Checked in this order: timeout; input refused by rdinp; stop in corval; end by a signal
    or a return code other than 0; an unfinished module; a card that FEFF ignored; SCF not
    converged; xmu.dat missing, unreadable, or other than requested.

    Parameters
    ----------
    folder : Path
        The run's folder, with `run.log`, FEFF's own logs and xmu.dat.
    request : Request
        The expected output.
    returncode : int
        Return code of the last program; −n if signal n ended it.
    timed_out : bool, optional
        Whether the run was killed on timeout.
    """
    log = read_log(folder)
    if timed_out:
        return _not_done(Outcome.TIMED_OUT, f"killed after engine.timeout; the log ends: {_end(log)}")
    return _judge_end(log, returncode) or _judge_log(log, request) or _judge_spectrum(folder / "xmu.dat", request)


def judge_elsewhere(folder: Path, request: Request) -> tuple[Verdict, bool]:
    """Judge a run that somebody else made, of which only feff.inp and xmu.dat may be left.

    Parameters
    ----------
    folder, request
        As for `judge`.

    Returns
    -------
    Verdict
        As `judge` gives it for a return code of 0, or that on the spectrum alone where no log tells of a module.
    bool
        Whether there was such a log. Without one nothing says that the potentials converged.
    """
    logged = "Done with module" in read_log(folder)
    if logged:
        return judge(folder, request, returncode=0), True
    return _judge_spectrum(folder / "xmu.dat", request), False


def read_log(folder: Path) -> str:
    """Return FEFF's own logs (log.dat, log1.dat, …), then the output of its programs."""
    paths = [*sorted(folder.glob("log*.dat")), folder / LOG_NAME]
    return "\n".join(_last_part(path) for path in paths if path.is_file())


def _last_part(path: Path) -> str:
    # A program in an endless loop can fill a log that does not fit in memory.
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        return file.read(LOG_BYTES).decode("utf-8", errors="replace")


def _end(log: str) -> str:
    # FEFF's own logs repeat what its programs print.
    lines = dict.fromkeys(line.strip() for line in log.splitlines() if line.strip())
    return " | ".join([*lines][-3:]) or "(no output)"


def _not_done(outcome: Outcome, message: str, *, incomplete: bool = False) -> Verdict:
    return Verdict(outcome, one_line(message), incomplete=incomplete)


def _judge_end(log: str, returncode: int) -> Verdict | None:
    if refusal := _refusal(log):
        return _not_done(Outcome.BAD_INPUT, f"FEFF refused its input: {refusal}")
    if "Fatal error in subroutine corval" in log:
        message = "FEFF stopped in corval (core-valence separation); set feff.corval lower, such as -120"
        return _not_done(Outcome.CORVAL_FAILED, message)
    if returncode:
        how = f"return code {returncode}" if returncode > 0 else f"signal {_signal_name(-returncode)}"
        return _not_done(Outcome.CRASHED, f"FEFF ended with {how}; the log ends: {_end(log)}")
    return None


def _judge_log(log: str, request: Request) -> Verdict | None:
    done = r"Done with module\s*\d*\s*:\s*"
    modules = _FINISHED | (_CONVOLVED if request.convolved else {})
    if missing := next((module for module, words in modules.items() if not re.search(done + words, log)), ""):
        message = f"FEFF stopped early, before the end of '{missing}'; the log ends: {_end(log)}"
        return _not_done(Outcome.BAD_OUTPUT, message, incomplete=True)
    if ignored := _ignored(log, request):
        return _not_done(Outcome.BAD_OUTPUT, ignored)
    if request.scf and ("Convergence not reached" in log or "Convergence reached" not in log):
        charges = re.findall(r"Charge distance= *([\d.]+)", log)
        last = f"; last charge distance {charges[-1]}" if charges else ""
        message = f"SCF did not converge{last}; allow more iterations or mix less (feff.scf)"
        return _not_done(Outcome.SCF_NOT_CONVERGED, message)
    return None


def _judge_spectrum(path: Path, request: Request) -> Verdict:
    try:
        spectrum = read_xmu(path)
    except SpectrumError as error:
        return _not_done(Outcome.BAD_OUTPUT, str(error), incomplete=isinstance(error, IncompleteSpectrum))
    if problem := next(problems(spectrum, request), ""):
        return _not_done(Outcome.BAD_OUTPUT, problem)
    return Verdict(Outcome.DONE, spectrum=spectrum)


def _ignored(log: str, request: Request) -> str:
    if found := _IGNORED.search(log):
        return f"FEFF ignored a card: {found[0].strip()}; check feff.extra_cards"
    if not (used := _USED.search(log)):
        return ""
    # FEFF compares the first four letters of cards, and lists them under its own names.
    known = {name[:4] for name in used[1].split()}
    missing = [name for name in request.names if name[:4] not in known]
    if not missing:
        return ""
    return f"FEFF ran without the cards {', '.join(missing)}; it used {' '.join(used[1].split())}"


def _refusal(log: str) -> str:
    if not (found := _REFUSED.search(log)):
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
