"""Whether a driver is writing a store, told from the lock file beside it.

`simulate` holds a lock of the kernel's on `.STORE.lock`; where the file system has no
locks, the time of that file's last change takes its place.
"""

from __future__ import annotations

import errno
import fcntl
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from xanesml.errors import StoreError

#: Time without a sign of life after which a driver counts as dead where files cannot be locked, s.
SILENCE = 120.0

_HELD = (errno.EACCES, errno.EAGAIN)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


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
