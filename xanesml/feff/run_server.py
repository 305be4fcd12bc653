"""A process that has imported what a FEFF run needs, and forks runs from itself: run_server.py PROGRAM.

A separate program, started by path. It reads one JSON line for each run from standard input: the arguments of the
program's `main`, the run's folder and its log. It answers with the run's process id, or with why there is none; the
run begins after the line `go`, by which time the rank's guard knows of it. A run leads a session of its own. Its
parent is a process in between that has ended by then, so that the system gives the run to the rank that asked, which
waits for it as for any child of its own.

One such process a rank spares the file system Python's start and imports at every run.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Python searches a program's own folder first; modules of xanesml there would shadow others. It names the folder
    # with symbolic links resolved, however the program was started.
    _HERE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 (before any further import)
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != _HERE]

import errno
import importlib.util
import json
import signal
import traceback
from types import ModuleType
from typing import Any

#: Signals that a launcher or a batch system sends to all processes of a job before it ends them.
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def main(path: str) -> None:
    """Serve until standard input ends, as it does when the rank ends."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    program = None
    for line in sys.stdin.buffer:
        # Imported at the first run: a rank may never start one, or run another FEFF.
        program = program or _load(path)
        try:
            pid, gate = _start(program, **json.loads(line))
        except OSError as error:
            os.write(sys.stdout.fileno(), f"cannot fork: {error.strerror}\n".encode())
            continue
        os.write(sys.stdout.fileno(), f"{pid}\n".encode())
        if sys.stdin.buffer.readline() == b"go\n":
            os.write(gate, b"x")
        os.close(gate)


def _load(path: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location("feff_program", path)
    assert specification is not None  # noqa: S101 (a path with a suffix)
    assert specification.loader is not None  # noqa: S101
    program = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(program)
    program.preload()
    return program


def _start(program: ModuleType, arguments: list[str], folder: str, log: str) -> tuple[int, int]:
    """Fork a run, which the system gives to the next ancestor that takes orphans.

    Returns
    -------
    pid : int
        Its process id.
    gate : int
        A pipe. The run begins when something is written to it, and ends when it is closed.
    """
    (reading, writing), (entrance, gate) = os.pipe(), os.pipe()
    between = os.fork()
    if between == 0:
        os.close(reading)
        os.close(gate)
        if os.fork() == 0:
            _run(program, arguments, folder, log, writing, entrance)
        os._exit(0)
    os.close(writing)
    os.close(entrance)
    with os.fdopen(reading, "rb") as told:
        text = told.read()
    # The run changes its parent before this one learns that the old one has ended.
    os.waitpid(between, 0)
    if not text:
        os.close(gate)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return int(text), gate


def _run(program: ModuleType, arguments: list[str], folder: str, log: str, writing: int, entrance: int) -> None:
    """Run the program's `main` in this process, as if it had been started by itself, and end it."""
    status: Any = 1
    try:
        os.setsid()
        for number in _IGNORED:
            signal.signal(number, signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.chdir(folder)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.write(writing, str(os.getpid()).encode())
        os.close(writing)
        if os.read(entrance, 1):
            os.closerange(3, max(output, nothing, writing, entrance) + 1)
            status = program.main(*arguments)
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 (as the interpreter does)
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    main(sys.argv[1])
