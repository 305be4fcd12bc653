"""Opens a file that may be truncated: it appears in its full size, and the missing part cannot be read."""

from __future__ import annotations

import errno
import io
import os
from dataclasses import dataclass
from pathlib import Path

import h5py

from xanesml.errors import StoreError
from xanesml.files.hdf5 import METADATA_BYTES, full_size, unreadable
from xanesml.files.whole import reason

#: What HDF5 raises on damaged metadata, by way of h5py.
DAMAGE = (OSError, KeyError, RuntimeError, TypeError, ValueError)

# What a file may hold besides metadata at the front and its datasets.
_SLACK = 2**20


class CutFile(io.RawIOBase):
    """A truncated file that appears in its full size, as HDF5 wants it; read only.

    Reading the missing part fails. Zeros in its place would do for numbers, but HDF5 loops
    for ever over them in a heap of attributes.

    Parameters
    ----------
    path : Path
        The file.
    whole : int
        Its full size, bytes.
    """

    def __init__(self, path: Path, whole: int) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._whole = whole
        self._position = 0

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._whole}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:  # noqa: D102
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # noqa: D102
        self._file.seek(self._position)
        if self._file.readinto(buffer) < len(buffer):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._position += len(buffer)
        return len(buffer)

    def close(self) -> None:  # noqa: D102
        if not self.closed:
            self._file.close()
        super().close()


@dataclass(frozen=True)
class Extent:
    """How much of a file is there.

    Attributes
    ----------
    path : Path
        The file.
    size : int
        Bytes that are there.
    whole : int
        Bytes that should be there, as the file itself says.
    """

    path: Path
    size: int
    whole: int

    @property
    def truncated(self) -> bool:
        """Whether bytes are missing at the end."""
        return self.size < self.whole

    def plausible(self, file: h5py.File) -> bool:
        """Whether the datasets of a sound file end about where the file itself says that it ends."""
        items = [item for group in file.values() if isinstance(group, h5py.Group) for item in group.values()]
        ends = [end_of(item) for item in items if isinstance(item, h5py.Dataset)]
        return self.whole <= max([METADATA_BYTES, *ends]) + _SLACK


def end_of(dataset: h5py.Dataset) -> int:
    """Return where a contiguous dataset ends in its file, bytes; 0 where it is empty."""
    return int(dataset.id.get_offset() or 0) + int(dataset.nbytes)


def extent(path: Path) -> Extent:
    """Measure how much of a file is there.

    Raises
    ------
    EnvironmentProblem
        If the file cannot be read.
    """
    try:
        size = path.stat().st_size
        return Extent(path, size, full_size(path) or size)
    except OSError as error:
        raise unreadable(path, error) or StoreError(f"cannot read {path}: {reason(error)}") from error


def open_whole(found: Extent) -> h5py.File:
    """Open a file for reading, truncated or not.

    Raises
    ------
    StoreError
        If its structure is lost or it is no HDF5 file; the message does not name the file.
    EnvironmentProblem
        If the system cannot read it.
    """
    if found.truncated and found.size < METADATA_BYTES:
        raise StoreError(
            f"truncated: {found.size} of {found.whole} bytes are there, and its structure is not among them; "
            "nothing in it can be recovered"
        )
    try:
        if found.truncated:
            access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
            access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
            # Without it HDF5 reads ahead, over the end.
            access.set_sieve_buf_size(0)
            access.set_fileobj_driver(h5py.h5fd.fileobj_driver, CutFile(found.path, found.whole))
            return h5py.File(h5py.h5f.open(os.fsencode(found.path), h5py.h5f.ACC_RDONLY, fapl=access))
        return h5py.File(found.path, "r", locking=False)
    except DAMAGE as error:
        if isinstance(error, OSError) and (problem := unreadable(found.path, error)):
            raise problem from error
        text = reason(error) if isinstance(error, OSError) else str(error)
        raise StoreError(
            f"not a readable HDF5 file ({' '.join(text.split())[:200]}); restore it from a copy"
        ) from error
