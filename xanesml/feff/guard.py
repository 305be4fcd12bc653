"""A guard against orphans: if this process is killed, its FEFF programs and folders go too.

The module is also the guard's program, started by path without site packages: it imports
the standard library only.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

_LOG = logging.getLogger(__name__)

#: Time limit for removing the folders of a killed process, s.
PATIENCE = 10.0

_PAUSE = 0.05

# Time limit for a guard to end after its farewell, s.
_FAREWELL = 2.0

# Signals that a launcher or a batch system sends to all processes of a job before it ends them.
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Guard:
    """A watching process at the other end of a pipe.

    If the pipe closes without a farewell, as it does when this process is killed, the
    guard kills the watched process groups (SIGKILL), removes the folders and exits. After
    a farewell it leaves the folders. A guard that dies is replaced once; then the runs
    continue unwatched.
    """

    def __init__(self) -> None:
        # Reentrant: a signal handler may start or end a run too.
        self._lock = threading.RLock()
        self._groups: set[int] = set()
        self._folders: set[Path] = set()
        self._restarts = 1
        self._closed = False
        self._process = _start()

    @property
    def pid(self) -> int | None:
        """Process id of the guard; None without one."""
        return None if self._process is None else self._process.pid

    def watch(self, pgid: int) -> None:
        """Kill this process group if this process is killed."""
        with self._lock:
            self._groups.add(pgid)
            self._tell(f"watch {pgid}\n")

    def release(self, pgid: int) -> None:
        """Stop watching a process group; call this before its number can be reused."""
        with self._lock:
            self._groups.discard(pgid)
            self._tell(f"release {pgid}\n")

    def folder(self, path: Path) -> None:
        """Remove this folder with all its content if this process is killed."""
        with self._lock:
            self._folders.add(path.absolute())
            self._tell(_folder_line(path.absolute()))

    def close(self) -> None:
        """End the guard and any group that it still watches, but leave the folders; idempotent."""
        with self._lock:
            self._closed = True
            self._tell("done\n")
            self._abandon()

    def forget(self) -> None:
        """Close the pipe in a forked child: the guard watches the parent only."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            # Not this process's child: nothing to wait for.
            self._process.returncode = 0

    def _tell(self, lines: str) -> None:
        while self._process is not None and self._process.stdin is not None:
            try:
                os.write(self._process.stdin.fileno(), lines.encode())
            except OSError as error:
                self._abandon()
                if self._closed:
                    return
                if not self._restarts:
                    _LOG.warning("the guard of FEFF's processes is gone (%s); runs continue without it", error)
                    return
                self._restarts -= 1
                self._process = _start()
                lines = "".join(
                    [*map(_folder_line, sorted(self._folders)), *(f"watch {pgid}\n" for pgid in self._groups)]
                )
            else:
                return

    def _abandon(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            try:
                self._process.wait(_FAREWELL)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None


def guard() -> Guard:
    """Return this process's guard, started on first use and closed at exit."""
    if not _current:
        _current.append(Guard())
        if not _registered:
            atexit.register(_close)
            os.register_at_fork(after_in_child=_forget)
            _registered.append(True)
    return _current[0]


_current: list[Guard] = []
_registered: list[bool] = []


def _close() -> None:
    while _current:
        _current.pop().close()


def _forget() -> None:
    while _current:
        _current.pop().forget()


def _folder_line(path: Path) -> str:
    # In hexadecimal: a name may hold line breaks and bytes that are not text.
    return f"folder {os.fsencode(path).hex()}\n"


def _start() -> subprocess.Popen[bytes] | None:
    # The guard inherits the mask: a signal that comes before it ignores signals waits, and is then discarded.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).absolute())],
            bufsize=0,
            cwd="/",
            stdin=subprocess.PIPE,
            # mpirun waits until no process holds the output of its ranks.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        _LOG.warning("cannot start the guard of FEFF's processes (%s); runs continue without it", error)
        return None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def main() -> None:
    """Run the guard: read lines from standard input until it ends."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    folders: set[Path] = set()
    for line in sys.stdin:
        # A writer killed in the middle of a line leaves a cut number.
        word, _, value = line.rstrip("\n").partition(" ") if line.endswith("\n") else ("", "", "")
        if word == "watch":
            groups.add(int(value))
        elif word == "release":
            groups.discard(int(value))
        elif word == "folder":
            folders.add(Path(os.fsdecode(bytes.fromhex(value))))
        elif word == "done":
            folders.clear()
            break
    _clear(groups, folders)


def _clear(groups: Iterable[int], folders: Iterable[Path]) -> None:
    deadline = time.monotonic() + PATIENCE
    for pgid in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pgid, signal.SIGKILL)
    remaining = set(folders)
    while True:
        for path in remaining:
            shutil.rmtree(path, ignore_errors=True)
        remaining = {path for path in remaining if path.exists()}
        if not remaining or time.monotonic() > deadline:
            return
        # A killed program may take a moment to end and write until then.
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main()
