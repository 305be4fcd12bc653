"""Run stages of FEFF10 in a folder that holds feff.inp: feff10_stages.py FOLDER STAGE [STAGE ...].

A separate program, started by path, which imports feff10 and nothing else. Every stage
runs in a process forked from this one, because FEFF keeps state between calls and ends
its process. A fresh interpreter per stage, as in the wheel's pipeline, takes longer than
FEFF's short stages. The stages `xanesml-pot` and `xanesml-fms` replace `pot` and `fms`: xanesml
solves them, or FEFF10 if xanesml cannot. The stage `xanesml-grid` places the grid of the phase shifts before
`xsph`; see xanesml/pot/phase_grid.py. The stages `xanesml-first` and `xanesml-back` let the first atom of each
potential in feff.inp stand for it; see representatives.py beside this file.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Python searches a program's own folder first; modules of xanesml there would shadow others. It names the folder
    # with symbolic links resolved, however the program was started.
    _HERE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 (before any further import)
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != _HERE]

import importlib
import runpy
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

import feff10

#: The stages in place of `pot` and `fms`, and the one before `xsph`.
NATIVE_POT, NATIVE_FMS, GRID = "xanesml-pot", "xanesml-fms", "xanesml-grid"
_REPLACED = {NATIVE_POT: "pot", NATIVE_FMS: "fms"}
#: The modules that solve them, and what FEFF says is done when they are.
_SOLVERS = {NATIVE_POT: "xanesml.pot.stage", NATIVE_FMS: "xanesml.fms.stage", GRID: "xanesml.pot.phase_grid"}
_DONE = {NATIVE_POT: "potentials", NATIVE_FMS: "FMS", GRID: "grid of phase shifts"}

#: xanesml's stages around those that compute potentials, and what representatives.py does in them.
ORDER = {"xanesml-first": "first", "xanesml-back": "back"}

#: File that names the solver of the full multiple scattering in one line, and that of the potentials unless FEFF was
#: asked for.
SOLVER_NAME = "solver.txt"

#: Exit status of a forked process that cannot run the stage and changed nothing.
NOT_DONE = 97


#: What the stages import, and what that imports when it is used.
_PRELOADED = (
    *(
        "feff10._feff10",
        *_SOLVERS.values(),
        "xanesml.fms.reduced",
        "xanesml.fms.orbits",
        "xanesml.fms.irreps",
    ),
    *("xanesml.fms.point_group", "numpy.random", "encodings.ascii", "encodings.latin_1"),
)


def main(folder: str, *names: str) -> int:
    """Run the stages in order, each in a process of its own, up to the first that fails.

    Parameters
    ----------
    folder : str
        The run's folder.
    *names : str
        Names of FEFF10's stages, such as rdinp or pot, or of xanesml's.

    Returns
    -------
    int
        0 if every stage exited with 0, else 1; only the output shows whether the run is done.
    """
    stopped: list[int] = []
    # The running stage gets the signal too; this process waits for it.
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    try:
        # The wheel's own check of feff.inp.
        _config(folder, *names)
        if "rdinp" in names:
            # A run begins: its solvers are told anew.
            Path(folder, SOLVER_NAME).unlink(missing_ok=True)
        for name in names:
            status = _stage(Path(folder), name)
            if status or stopped:
                how = f"exit code: {status}" if status >= 0 else f"signal: {-status}"
                sys.stderr.write(f"FeffPipelineError: stage '{name}' failed ({how})\n")
                return 1
    except feff10.FeffError as error:
        # The other lines repeat a file that FEFF writes on every start.
        sys.stderr.write(f"{type(error).__name__}: {str(error).splitlines()[0]}\n")
        return 1
    return 0


def _config(folder: str | Path, *names: str) -> feff10.FeffConfig:
    stages = [feff10.Stage.from_name(_REPLACED.get(name, name)) for name in names if name not in (*ORDER, GRID)]
    return feff10.FeffConfig.from_file(str(folder), str(Path(folder, "feff.inp")), stages=stages)


def _stage(folder: Path, name: str) -> int:
    if name in ORDER:
        order = runpy.run_path(str(Path(__file__).with_name("representatives.py")))
        return int(order["main"](str(folder), ORDER[name]))
    if name == GRID:
        status = _forked(lambda: _native(folder, name))
        return 0 if status == NOT_DONE else status
    if name in _REPLACED:
        status = _forked(lambda: _native(folder, name))
        return _feff_stage(folder, _REPLACED[name]) if status == NOT_DONE else status
    if name == "fms":
        _write_solver(folder, "FEFF fms")
    return _feff_stage(folder, name)


def _feff_stage(folder: Path, name: str) -> int:
    status = _forked(lambda: _worker(folder, name))
    if status == NOT_DONE:
        feff10.FeffPipeline(_config(folder, name)).run()
        return 0
    return status


def _forked(work: Callable[[], int]) -> int:
    """Do some work in a forked process and return its exit status, −n if signal n ended it."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _worker(folder: Path, name: str) -> int:
    # As feff10._worker does, which is private to the wheel: without it the wheel's pipeline runs the stage.
    run = getattr(importlib.import_module("feff10._feff10"), "_worker_init", None)
    if run is not None:
        os.environ |= {"FEFF10_WORKER_STAGE": name, "FEFF10_WORKER_DIR": str(folder)}
        # Ends this process, unless the wheel does not know these variables.
        run()
    return NOT_DONE


def preload() -> None:
    """Import all that stages import in processes of their own, for a server that forks runs (`run_server.py`)."""
    _find_xanesml()
    for name in _PRELOADED:
        importlib.import_module(name)


def _native(folder: Path, name: str) -> int:
    """Solve a stage ourselves; what we cannot solve, or break on, is left to FEFF, and the row says why."""
    _find_xanesml()
    # Imported here: FEFF's stages need no numpy.
    from xanesml.errors import NotApplicable  # noqa: PLC0415

    try:
        solver = str(importlib.import_module(_SOLVERS[name]).solve_stage(folder).solver)
    except NotApplicable as reason:
        why = str(reason)
    except Exception as error:  # noqa: BLE001 (FEFF can do what a fault of ours cannot)
        traceback.print_exc()
        why = f"{type(error).__name__} in ours"
    else:
        if solver:
            _write_solver(folder, solver)
        sys.stdout.write(f"Done with module: {_DONE[name]}{f' ({solver})' if solver else ''}.\n")
        return 0
    _write_solver(folder, f"FEFF {_REPLACED.get(name, 'grid')}, as {why}")
    sys.stdout.write(f"{name} leaves it to FEFF: {' '.join(why.split())}\n")
    return NOT_DONE


def _find_xanesml() -> None:
    root = str(Path(__file__).resolve().parents[2])
    if root not in sys.path:
        sys.path.append(root)


def _write_solver(folder: Path, solver: str) -> None:
    """Write a line, before what an earlier stage of the run has written: the potentials come last."""
    path = folder / SOLVER_NAME
    earlier = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    line = " ".join(solver.split())
    path.write_text(f"{line}; {earlier}\n" if earlier else f"{line}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
