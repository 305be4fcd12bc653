"""Run stages of FEFF10 in a folder that holds feff.inp: feff10_stages.py FOLDER STAGE [STAGE ...].

A program of its own, started by path, so that it imports feff10 and nothing else. Every
stage runs in a process forked from this one: FEFF keeps state between calls and stops
the process it is in, and a fresh interpreter a stage, as the wheel's pipeline starts
them, costs more than FEFF's short stages. The stage `xanesml-fms` stands for `fms`,
solved by xanesml where it can and by FEFF10 where not.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Python looks for modules next to a program first, where xanesml's would shadow others.
    _HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (before any further import)
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _HERE]  # noqa: PTH100

import importlib
import signal
from collections.abc import Callable
from pathlib import Path

import feff10

#: The stage that stands for `fms`.
NATIVE_FMS = "xanesml-fms"

#: File whose one line says what solved the full multiple scattering.
SOLVER_NAME = "solver.txt"

#: Longest such line, bytes of UTF-8.
SOLVER_BYTES = 80

#: Exit status of a forked process that could not do the stage and left all as it was.
NOT_DONE = 97


def main(folder: str, *names: str) -> int:
    """Run the stages in order, each in a process of its own, up to the first that fails.

    Parameters
    ----------
    folder : str
        The run's folder.
    *names : str
        Names of FEFF10's stages, such as rdinp or pot, or `xanesml-fms`.

    Returns
    -------
    int
        0 when every stage exited with 0, which does not make the run done; else 1.
    """
    stopped: list[int] = []
    # The stage under way gets the signal as well; this process stays to wait for it.
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    try:
        # The wheel's own check of feff.inp.
        _config(folder, *names)
        for name in names:
            status = _stage(Path(folder), name)
            if status or stopped:
                how = f"exit code: {status}" if status >= 0 else f"signal: {-status}"
                sys.stderr.write(f"FeffPipelineError: stage '{name}' failed ({how})\n")
                return 1
    except feff10.FeffError as error:
        # Its further lines repeat a file that FEFF writes on every start.
        sys.stderr.write(f"{type(error).__name__}: {str(error).splitlines()[0]}\n")
        return 1
    return 0


def _config(folder: str | Path, *names: str) -> feff10.FeffConfig:
    stages = [feff10.Stage.from_name("fms" if name == NATIVE_FMS else name) for name in names]
    return feff10.FeffConfig.from_file(str(folder), str(Path(folder, "feff.inp")), stages=stages)


def _stage(folder: Path, name: str) -> int:
    if name == NATIVE_FMS:
        status = _forked(lambda: _native_fms(folder))
        return _feff_stage(folder, "fms") if status == NOT_DONE else status
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
    """Return the exit status of a forked process that does some work, −n where signal n ended it."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _worker(folder: Path, name: str) -> int:
    # What feff10._worker does after its start. It is private to the wheel, so there is a way without.
    run = getattr(importlib.import_module("feff10._feff10"), "_worker_init", None)
    if run is not None:
        os.environ |= {"FEFF10_WORKER_STAGE": name, "FEFF10_WORKER_DIR": str(folder)}
        # Ends this process, unless no stage is asked for in these words.
        run()
    return NOT_DONE


def _native_fms(folder: Path) -> int:
    root = str(Path(__file__).resolve().parents[2])
    if root not in sys.path:
        sys.path.append(root)
    # Only here, as the other stages need no numpy.
    from xanesml.fms import FmsNotApplicable  # noqa: PLC0415
    from xanesml.fms.stage import solve_stage  # noqa: PLC0415

    try:
        solver = solve_stage(folder).solver
    except FmsNotApplicable as reason:
        _write_solver(folder, f"FEFF fms (native does not apply: {reason})")
        sys.stdout.write(f"{NATIVE_FMS} does not apply: {' '.join(str(reason).split())}\n")
        return NOT_DONE
    _write_solver(folder, solver)
    sys.stdout.write(f"Done with module: FMS ({solver}).\n")
    return 0


def _write_solver(folder: Path, solver: str) -> None:
    line = " ".join(solver.split()).encode()[:SOLVER_BYTES].decode(errors="ignore")
    (folder / SOLVER_NAME).write_text(f"{line}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
