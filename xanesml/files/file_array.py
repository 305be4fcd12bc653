"""An array that stays in its file."""

from __future__ import annotations

import math
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xanesml.errors import StoreError
from xanesml.files.whole import reason


class FileArray:
    """An array in a file that is read on access and kept nowhere, in place of a memory map.

    A process that has a file of a network file system mapped is ended by a signal where the system loses the file,
    as after an eviction by the server; a read returns an error.

    Parameters
    ----------
    path : str
        The file.
    offset : int
        Place of the first byte.
    shape : tuple of int
        Shape, at least one axis.
    dtype : str
        Type.
    """

    def __init__(self, path: str, offset: int, shape: tuple[int, ...], dtype: str) -> None:
        self._path, self._offset = path, offset
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._row = self.dtype.itemsize * math.prod(shape[1:])
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 (as long as the array)
        weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Return what numpy would for the same index; of a number or a slice of step 1 only those rows are read."""
        if isinstance(index, (int, np.integer)):
            row = range(len(self))[index]
            one: NDArray[Any] = self._rows(row, row + 1)[0]
            return one
        if isinstance(index, slice) and index.step in (None, 1):
            start, stop, _ = index.indices(len(self))
            return self._rows(start, max(start, stop))
        every: NDArray[Any] = self._rows(0, len(self))[index]
        return every

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all of it, for numpy's functions."""
        del copy
        return self._rows(0, len(self)).astype(dtype or self.dtype, copy=False)

    def _rows(self, start: int, stop: int) -> NDArray[Any]:
        content = bytearray((stop - start) * self._row)
        view, place, done = memoryview(content), self._offset + start * self._row, 0
        while done < len(content):
            try:
                read = os.preadv(self._file.fileno(), [view[done:]], place + done)
            except OSError as error:
                raise StoreError(f"cannot read {self._path}: {reason(error)}; rerun; finished rows are safe") from error
            if not read:
                raise StoreError(f"{self._path} is truncated; run `xanesml validate {self._path}`")
            done += read
        return np.frombuffer(content, self.dtype).reshape(stop - start, *self.shape[1:])
