"""One driver at a time on a store."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TextIO

from xanesml.errors import StoreError
from xanesml.in_use import SILENCE, lock, silent_for

#: Time between two signs of life, s.
HEARTBEAT = 20.0


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
