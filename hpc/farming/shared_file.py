"""A file that all ranks write, through MPI-IO."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mpi4py import MPI

from xanesml.store.rows import Piece


class SharedFile:
    """An existing file, opened by all ranks through MPI-IO; opening and closing are collective.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The ranks.
    path : Path
        The file.

    Raises
    ------
    OSError
        If the file cannot be opened; also from the other methods.
    """

    def __init__(self, comm: MPI.Intracomm, path: Path) -> None:
        with _os_errors():
            self._file = MPI.File.Open(comm, os.fspath(path), MPI.MODE_WRONLY)
        self._status = MPI.Status()

    def write_pieces(self, pieces: Iterable[Piece]) -> None:
        """Write pieces in order, independently of the other ranks."""
        write_at, status, get_count, byte = self._file.Write_at, self._status, self._status.Get_count, MPI.BYTE
        with _os_errors():
            for offset, content in pieces:
                write_at(offset, (content, byte), status)
                written = get_count(byte)
                # The only sign of a full disk that Open MPI gives.
                if written != len(content):
                    raise OSError(errno.EIO, f"{written} of {len(content)} bytes written at {offset}")

    def close(self) -> None:
        """Close the file."""
        with _os_errors():
            self._file.Close()


@contextmanager
def _os_errors() -> Iterator[None]:
    """Raise MPI's errors as OSError."""
    try:
        yield
    except MPI.Exception as error:
        numbers = {MPI.ERR_NO_SPACE: errno.ENOSPC, MPI.ERR_QUOTA: errno.EDQUOT, MPI.ERR_READ_ONLY: errno.EROFS}
        number = numbers.get(error.Get_error_class(), errno.EIO)
        raise OSError(number, os.strerror(number) if number != errno.EIO else error.Get_error_string()) from error
