"""Reads files first in a process of its own: HDF5 may crash, or never end, on a damaged one."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from xanesml.errors import EnvironmentProblem

#: Longest time for a file, s.
TIMEOUT = 120.0

#: What ends a path that is asked for, and what answers it.
_END, _DONE = b"\0", b"."


class _Reader:
    """A process that reads files, one after another, with the function `probe` of a module."""

    def __init__(self, module: str, limit: float) -> None:
        self.owner, self._limit = os.getpid(), limit
        command = [sys.executable, "-m", __name__, module, str(limit)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )

    def read(self, path: Path) -> str | None:
        """Return how HDF5 fails on a file, in words, or None if it does not. After a failure the process has ended."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None  # noqa: S101 (for mypy: both are pipes)
        assert answers is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            asked.write(os.fsencode(path.absolute()) + _END)
            if answers.read(1) == _DONE:
                return None
        status = self.end()
        if status >= 0:
            raise EnvironmentProblem(f"the process that was to read {path} first ended with exit status {status}")
        if status == -signal.SIGALRM:
            return f"does not finish reading it within {self._limit:g} s"
        return f"crashes on it ({signal.Signals(-status).name})"

    def end(self) -> int:
        """End the process; return its exit status."""
        self._process.communicate()
        return self._process.returncode


#: The processes of this process, by module.
_readers: dict[str, _Reader] = {}


def crash(module: str, path: Path, *, limit: float = TIMEOUT) -> str | None:
    """Let another process read a file; return in one line how HDF5 fails on it, or None.

    The process serves all further files of its module, so that only the first costs its start.

    Parameters
    ----------
    module : str
        Full name of a module whose function `probe` reads of a path what is to be read here afterwards. It may raise.
    path : Path
        The file.
    limit : float, s
        Time after which the file counts as one that HDF5 never ends on.

    Raises
    ------
    EnvironmentProblem
        If there is no such process.
    """
    reader = _readers.pop(module, None)
    if reader is None or reader.owner != os.getpid():
        reader = _Reader(module, limit)
    how = reader.read(path)
    if how is not None:
        return f"its structure is damaged: HDF5 {how}; restore it from a copy"
    if _readers.setdefault(module, reader) is not reader:
        reader.end()
    return None


@atexit.register
def _end_readers() -> None:
    for reader in _readers.values():
        if reader.owner == os.getpid():
            reader.end()


def _serve(module: str, limit: float) -> None:
    """Read the files that standard input names, each followed by a zero, and answer each on standard output."""
    probe = importlib.import_module(module).probe
    answers = os.dup(sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    asked = b""
    while more := os.read(sys.stdin.fileno(), 65536):
        *paths, asked = (asked + more).split(_END)
        for path in paths:
            # An alarm without a handler ends the process, also where the one that asks has gone.
            signal.setitimer(signal.ITIMER_REAL, limit)
            with contextlib.suppress(Exception):
                probe(Path(os.fsdecode(path)))
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.write(answers, _DONE)


if __name__ == "__main__":
    _serve(sys.argv[1], float(sys.argv[2]))
