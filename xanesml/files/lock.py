"""One writer at a time on a store, and readers that wait for none.

`simulate` holds a lock of the kernel's on `.STORE.lock`; where the file system has no
locks, the time of that file's last change takes its place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TextIO

from xanesml.errors import StoreError

#: Time without a sign of life after which a driver counts as dead where files cannot be locked, s.
SILENCE = 120.0

#: Time between two signs of life, s.
HEARTBEAT = 20.0

_HELD = (errno.EACCES, errno.EAGAIN)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class StoreLock:
    """Keeps a second driver out of a store; held by rank 0, and gone with its process.

    The lock is one of the kernel's on the file `.STORE.lock`, so that nothing is left to
    clean up after a kill. Where the file system has no locks, the file's time of last
    change, renewed by `beat`, takes its place.

    Parameters
    ----------
    store : Path
        The store; it need not exist.
    echo : callable
        Prints a line, where the file system has no locks.

    Raises
    ------
    StoreError
        If another driver holds it, or the folder cannot be written.
    """

    def __init__(self, store: Path, echo: Callable[[str], None]) -> None:
        self._path = store.with_name(f".{store.name}.lock")
        self._made_folder = not store.parent.exists()
        try:
            store.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._locked(store, echo)
            try:
                self._sign()
            except OSError:
                self.close()
                raise
        except OSError as error:
            raise StoreError(
                f"cannot write {store}: {error.strerror}; check the folder and the space left, or give another --output"
            ) from error
        self._beaten = time.monotonic()

    def _locked(self, store: Path, echo: Callable[[str], None]) -> TextIO:
        while True:
            with contextlib.ExitStack() as unless_held:
                file = unless_held.enter_context(self._path.open("a+", encoding="utf-8"))
                self._acquire(file, store, echo)
                # The holder may have let go and removed the file between the two steps.
                if self._is_current(file):
                    unless_held.pop_all()
                    return file

    def _is_current(self, file: TextIO) -> bool:
        """Whether the locked file is still the one of that name."""
        try:
            return self._path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _sign(self) -> None:
        self._file.truncate(0)
        self._file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}))
        self._file.flush()

    def _acquire(self, file: TextIO, store: Path, echo: Callable[[str], None]) -> None:
        try:
            no_locks = lock(file, exclusive=True)
        except BlockingIOError as error:
            raise StoreError(_taken(file, store)) from error
        if no_locks is None:
            return
        silence = silent_for(self._path)
        if silence < SILENCE:
            raise StoreError(
                f"{_taken(file, store)}; if it is dead, start again in {SILENCE - silence:.0f} s "
                "(this file system has no locks)"
            )
        echo(f"{store.parent}: the file system has no locks ({no_locks.strerror}); a sign of life takes their place")

    def beat(self) -> None:
        """Give a sign of life, not more often than needed; call it often."""
        if time.monotonic() - self._beaten >= HEARTBEAT:
            self._beaten = time.monotonic()
            # A sign missed is no reason to end: where the file system is gone, the store says so.
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def close(self) -> None:
        """Let the next one in; a folder that was made for nothing is removed."""
        if self._file.closed:
            return
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        # What was not written on a full disk does not matter any more.
        with contextlib.suppress(OSError):
            self._file.close()
        if self._made_folder:
            with contextlib.suppress(OSError):
                self._path.parent.rmdir()

    def __enter__(self) -> StoreLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _taken(file: TextIO, store: Path) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        who = f"process {holder['pid']} on {holder['host']} since {time.ctime(holder['time'])}"
    except ValueError:
        who = "another process"
    return f"{store} is being written by {who}; wait for it, or end it and start again"


@contextmanager
def unused(store: Path, *, exclusive: bool = False) -> Iterator[None]:
    """Keep drivers out of a store while it is read as a whole, or changed.

    Parameters
    ----------
    store : Path
        The store, or any other file; one without a lock file is not in use.
    exclusive : bool
        Whether the store is going to be changed: then nothing else may look at it either.

    Raises
    ------
    StoreError
        If a driver holds the store, or the lock file cannot be opened.
    """
    path = store.with_name(f".{store.name}.lock")
    if not exclusive and not path.exists():
        yield
        return
    try:
        file = path.open("a+b" if exclusive else "rb")
    except OSError as error:
        raise StoreError(
            f"cannot tell whether {store} is in use: {path}: {error.strerror}; mend that and try again"
        ) from error
    with file:
        _acquire(file, path, store, exclusive=exclusive)
        yield


def lock(file: IO[Any], *, exclusive: bool) -> OSError | None:
    """Lock an open file, without waiting.

    Returns
    -------
    OSError or None
        None when it is locked; the system's words where the file system has no locks.

    Raises
    ------
    BlockingIOError
        If another process holds it.
    OSError
        If the system refuses for any other reason.
    """
    try:
        fcntl.lockf(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise BlockingIOError(error.errno, error.strerror) from error
        if error.errno in _NO_LOCKS:
            return error
        raise
    return None


def silent_for(path: Path) -> float:
    """Return the time since the holder of a lock file gave a sign of life, s; infinite where it has gone."""
    status = path.stat()
    return time.time() - status.st_mtime if status.st_size else math.inf


def _acquire(file: IO[bytes], path: Path, store: Path, *, exclusive: bool) -> None:
    in_use = f"{store} is being written by another process; wait for its end and try again"
    try:
        no_locks = lock(file, exclusive=exclusive)
    except BlockingIOError as error:
        raise StoreError(in_use) from error
    if no_locks is not None and silent_for(path) < SILENCE:
        raise StoreError(in_use)
