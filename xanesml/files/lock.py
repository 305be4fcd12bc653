"""One writer at a time on a file, and readers that find out whether there is one.

The lock is one of the kernel's on `.NAME.lock` beside the file, so that nothing is left to
clean up after a kill. Where the file system has no locks, the time of that file's last
change takes their place, which a thread of the writer keeps young. Some file systems of
several hosts grant a lock on each host by itself; there the host and the sign of life of
the writer count as well.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.files.mounts import is_local
from xanesml.files.whole import reason, remove_partials

#: Time without a sign of life after which a writer counts as dead where files cannot be locked, s.
SILENCE = 120.0

#: Time between two signs of life, s.
HEARTBEAT = 20.0

_HELD = (errno.EACCES, errno.EAGAIN)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)

#: Lock files that this process holds; the kernel would give it the same lock again, and take both at the first close.
_OWN: set[Path] = set()


class WriteLock:
    """Keeps other writers and `unused` away from a file; the end of its process releases it.

    What killed writers have left of the file is removed.

    Parameters
    ----------
    target : Path
        The file or folder; it need not exist.
    echo : callable, optional
        Prints a line where the file system has no locks.

    Raises
    ------
    StoreError
        If somebody holds the lock.
    EnvironmentProblem
        If the folder cannot be written.
    """

    def __init__(self, target: Path, echo: Callable[[str], None] | None = None) -> None:
        self._path = _lock_path(target)
        self._made_folder = not self._path.parent.exists()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file, no_locks = _acquire(target, exclusive=True, echo=echo)
            self._closed = threading.Event()
            _OWN.add(self._path)
            try:
                self._sign()
                remove_partials(target)
            except OSError:
                self.close()
                raise
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot write {target}: {reason(error)}; check the folder and the space left"
            ) from error
        if no_locks is None and is_local(self._path):
            return
        threading.Thread(target=self._beat, name=f"sign of life of {target}", daemon=True).start()
        if no_locks is not None and echo is not None:
            echo(f"{target.parent}: the file system has no locks ({reason(no_locks)}); using a sign of life instead")

    def _sign(self) -> None:
        self._file.truncate(0)
        self._file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}))
        self._file.flush()

    def _beat(self) -> None:
        """Give a sign of life now and then, until the lock is released."""
        while not self._closed.wait(HEARTBEAT):
            # A missed sign ends nothing: if the file system is gone, the next write reports it.
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def close(self) -> None:
        """Release the lock; remove a folder that was made for it and is still empty."""
        if self._closed.is_set():
            return
        self._closed.set()
        _OWN.discard(self._path)
        # While it is held, so that only a file that nobody else has locked goes.
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        # What a full disk did not take does not matter any more.
        with contextlib.suppress(OSError):
            self._file.close()
        if self._made_folder:
            with contextlib.suppress(OSError):
                self._path.parent.rmdir()

    def __enter__(self) -> WriteLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def unused(target: Path) -> Iterator[None]:
    """Keep writers away from a file while it is read as a whole.

    Several processes may do so at once. Without a lock file no writer has it, and none is made,
    as the folder may be read-only.

    Parameters
    ----------
    target : Path
        The file.

    Raises
    ------
    StoreError
        If a writer holds the lock.
    EnvironmentProblem
        If the lock file cannot be opened.
    """
    with contextlib.ExitStack() as locked:
        try:
            locked.enter_context(_acquire(target, exclusive=False)[0])
        except FileNotFoundError:
            pass
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot tell whether {target} is in use: {_lock_path(target)}: {reason(error)}; "
                "make that file readable and try again"
            ) from error
        yield


def _lock_path(target: Path) -> Path:
    # One lock by whatever link the file is reached.
    target = target.resolve()
    return target.with_name(f".{target.name}.lock")


def _acquire(
    target: Path, *, exclusive: bool, echo: Callable[[str], None] | None = None
) -> tuple[TextIO, OSError | None]:
    """Open and lock the lock file of a file, without waiting for a writer that lives.

    Parameters
    ----------
    target : Path
        The file.
    exclusive : bool
        Whether for a writer, which makes the lock file, or for one of several readers, which does not.
    echo : callable, optional
        Prints a line where a writer of another host may be dead, and this one waits to see.

    Returns
    -------
    TextIO
        The lock file; closing it releases the lock.
    OSError or None
        The system's answer where the file system has no locks.

    Raises
    ------
    StoreError
        If somebody holds the lock.
    OSError
        If the lock file cannot be opened or locked for any other reason.
    """
    path = _lock_path(target)
    if path in _OWN:
        raise StoreError(f"{target} is being written by this very process; wait until that is done")
    while True:
        with contextlib.ExitStack() as unless_locked:
            # Not by `Path.open`, which would empty what a link leads to.
            file = unless_locked.enter_context(
                open(path, "a+" if exclusive else "r", encoding="utf-8", opener=_open_no_link)
            )
            no_locks = None
            try:
                fcntl.lockf(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _HELD:
                    raise StoreError(_in_use(file, target)) from error
                if error.errno not in _NO_LOCKS:
                    raise
                no_locks = error
            # The holder may have released and removed the file between the two steps.
            if not _is_current(file, path):
                continue
            silence = _silent_for(file)
            if no_locks is not None and silence < SILENCE:
                raise StoreError(
                    f"{_in_use(file, target)}; if it is dead, start again in {SILENCE - silence:.0f} s "
                    "(this file system has no locks)"
                )
            if silence < SILENCE and _signed_elsewhere(file):
                if not exclusive:
                    raise StoreError(
                        f"{_in_use(file, target)}; if it is dead, start again in {SILENCE - silence:.0f} s"
                    )
                if echo is not None:
                    echo(
                        f"{_in_use(file, target)}; it is waited for, up to {SILENCE - silence:.0f} s, whether it lives"
                    )
                _wait_for_death(file, path, target, SILENCE - silence)
                # Others may have waited too: whoever makes the next file has it.
                if _is_current(file, path):
                    path.unlink(missing_ok=True)
                continue
            unless_locked.pop_all()
            return file, no_locks


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _signed_elsewhere(file: TextIO) -> bool:
    """Return whether a writer of another host has signed a lock file, on a file system that hosts may share."""
    if is_local(Path(file.name)):
        # There the kernel's lock is the whole truth, whatever the host was called.
        return False
    file.seek(0)
    try:
        return bool(json.loads(file.read())["host"] != socket.gethostname())
    except (ValueError, LookupError, TypeError):
        return False


def _wait_for_death(file: TextIO, path: Path, target: Path, seconds: float) -> None:
    """Wait for some time, in which a writer that lives gives a sign of life; StoreError if it does.

    Its clock does not count, nor that of the file server.
    """
    began, first = time.monotonic(), os.fstat(file.fileno()).st_mtime_ns
    while time.monotonic() - began < seconds:
        time.sleep(min(1.0, seconds / 10))
        if not _is_current(file, path):
            return
        if path.stat().st_mtime_ns != first:
            raise StoreError(_in_use(file, target))


def _is_current(file: TextIO, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _silent_for(file: TextIO) -> float:
    """Return the time since the writer's last sign of life, s; infinite where none has signed."""
    status = os.fstat(file.fileno())
    return time.time() - status.st_mtime if status.st_size else math.inf


def _in_use(file: TextIO, target: Path) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        who = f"process {holder['pid']} on {holder['host']} since {time.ctime(holder['time'])}"
    except (ValueError, LookupError, TypeError):
        who = "another process"
    return f"{target} is being written by {who}; wait for it, or end it and start again"
