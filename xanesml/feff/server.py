"""The rank's side of the run server, from which FEFF10's runs are forked in place of being started.

A rank starts its server before MPI and tells it by a pipe which run to fork: MPI libraries do not bear forks of the
rank itself. See `xanesml.feff.run_server`.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LOG = logging.getLogger(__name__)

#: The program whose runs are forked.
PROGRAM = Path(__file__).with_name("feff10_stages.py")

_SERVER = Path(__file__).with_name("run_server.py")

# Of <sys/prctl.h>: orphans among the descendants become children of this process.
_PR_SET_CHILD_SUBREAPER = 36

# Time limit for the server to end after its input, s.
_FAREWELL = 2.0


@dataclass
class Served:
    """A run that the server forked: a child of this process, with the attributes that `subprocess.Popen` has."""

    pid: int
    returncode: int | None = None


class RunServer:
    """The server at the other end of two pipes; it ends with this process.

    Parameters
    ----------
    environment : mapping of str
        Environment of the server and of all runs.

    Raises
    ------
    OSError
        If it cannot be started here.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError(None, f"{sys.platform} gives no orphans to their ancestors")
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._process = subprocess.Popen(
            [sys.executable, str(_SERVER), str(PROGRAM)],
            cwd="/",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # mpirun waits until no process holds the output of its ranks.
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    def start(self, arguments: list[str], folder: Path, log: Path, watch: Callable[[int], None]) -> Served:
        """Fork a run and return at once.

        Parameters
        ----------
        arguments : list of str
            Arguments of the program.
        folder, log : Path
            Its working folder, and the file that its output is appended to.
        watch : callable
            Takes the run's process group before it begins.

        Raises
        ------
        OSError
            If it cannot be forked, or the server is gone.
        """
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        request = {"arguments": arguments, "folder": str(folder), "log": str(log.absolute())}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().decode().strip()
        if not answer.isdigit():
            raise OSError(None, answer or "the run server is gone")
        run = Served(int(answer))
        watch(run.pid)
        # Without the word, as from a server that has just died, the run ends and counts as crashed.
        with suppress(OSError):
            self._process.stdin.write(b"go\n")
            self._process.stdin.flush()
        return run

    def close(self) -> None:
        """End the server; runs that it forked go on."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # A server that is gone has not read everything.
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_server(environment: Mapping[str, str]) -> None:
    """Start this process's server, where the system has what it needs; else runs are started one by one."""
    if _current:
        return
    try:
        _current.append(RunServer(environment))
    except OSError as error:
        _LOG.info("no run server (%s); every run starts a Python", error.strerror)
    else:
        atexit.register(stop_server)


def stop_server() -> None:
    """End this process's server."""
    while _current:
        _current.pop().close()


def serve(command: Sequence[str], folder: Path, log: Path, watch: Callable[[int], None]) -> Served | None:
    """Fork a run of the program that the server knows, see `RunServer.start`; None for another or without a server."""
    if not _current or list(command[:2]) != [sys.executable, str(PROGRAM)]:
        return None
    try:
        return _current[0].start(list(command[2:]), folder, log, watch)
    except OSError as error:
        _LOG.warning("the run server cannot start a run (%s); every run starts a Python", error.strerror)
        stop_server()
        return None


_current: list[RunServer] = []
