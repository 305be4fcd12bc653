"""Reads files first in a process of its own: HDF5 may crash, or never end, on a damaged one."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from xanesml.errors import EnvironmentProblem

#: Longest time for a file, s.
TIMEOUT = 120.0

#: What ends a path or a time that is asked for, and what answers it.
_END, _DONE = b"\0", b"."
#: How a process ends of itself on a damaged file; other signals come from outside.
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}
#: Without the working folder, which Python puts first into the module path: it may hold modules of any name.
_START = """
import sys
sys.path[:] = [*filter(None, sys.path), sys.argv[2]]
from xanesml.files.apart import serve
serve(sys.argv[1])
"""


class _Ended(Exception):
    """The process ended before it answered."""


class _Reader:
    """A process that reads files, one after another, with the function `probe` of a module."""

    def __init__(self, module: str) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        try:
            # In a session of its own, so that an interrupt at the keyboard is this process's alone.
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, module, str(Path(__file__).parents[2])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            self._said.close()
            raise EnvironmentProblem(
                f"cannot start a process to read files in: {error.strerror}; look at limits of processes and open files"
            ) from error

    def read(self, path: Path, limit: float) -> str | None:
        """Return in one line how HDF5 fails on a file, or None if it does not.

        Raises
        ------
        _Ended
            If the process has ended for another reason.
        """
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None  # noqa: S101 (for mypy: both are pipes)
        assert answers is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            asked.write(os.fsencode(path.absolute()) + _END + str(limit).encode() + _END)
            if answers.read(1) == _DONE:
                return None
        status, last = self._ended()
        if status == -signal.SIGALRM:
            return (
                f"HDF5 does not finish reading it within {limit:g} s: its structure is damaged, or the disk is slow; "
                "restore it from a copy, or try again"
            )
        if -status in _CRASHES:
            name = signal.Signals(-status).name
            return f"its structure is damaged: HDF5 crashes on it ({name}); restore it from a copy"
        raise _Ended(f"exit status {status}" + (f", {last}" if last else ""))

    def _ended(self) -> tuple[int, str]:
        """Return the exit status of the process, and the last line that it has said."""
        self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        self.end()
        return self._process.returncode, lines[-1] if lines else ""

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self.close()

    def forget(self) -> None:
        """Let go of the process, which is not a child of this one."""
        self._process.returncode = 0
        self.close()

    def close(self) -> None:
        """Close this side of the pipes."""
        for pipe in (self._process.stdin, self._process.stdout, self._said):
            if pipe is not None:
                pipe.close()


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
    for tried in range(2):
        reader = _readers.pop(module, None) or _Reader(module)
        try:
            how = reader.read(path, limit)
        except _Ended as error:
            # Something may have ended it between two files.
            if tried:
                raise EnvironmentProblem(
                    f"the process that was to read {path} first ended: {error}; run the command again"
                ) from error
            continue
        if how is not None:
            return how
        if _readers.setdefault(module, reader) is not reader:
            reader.end()
        break
    return None


@atexit.register
def _end_readers() -> None:
    while _readers:
        _readers.popitem()[1].end()


def _forget_readers() -> None:
    """Let go of the processes of the process that this one was forked from, which wait for the last of its pipes."""
    for reader in _readers.values():
        reader.forget()
    _readers.clear()


os.register_at_fork(after_in_child=_forget_readers)


def serve(module: str) -> None:
    """Read the files that standard input names, each with its time, and answer each on standard output."""
    probe = importlib.import_module(module).probe
    answers = os.dup(sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # An alarm without a handler ends the process, also where the one that asks has gone.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    asked = b""
    while more := os.read(sys.stdin.fileno(), 65536):
        *words, asked = (asked + more).split(_END)
        if len(words) % 2:
            asked = words.pop() + _END + asked
        for path, limit in zip(words[::2], words[1::2], strict=True):
            signal.setitimer(signal.ITIMER_REAL, float(limit))
            with contextlib.suppress(Exception):
                probe(Path(os.fsdecode(path)))
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.write(answers, _DONE)
