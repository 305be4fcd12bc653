"""A file of ours opened to be read: a context manager that prints itself and says when it is closed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import h5py

from xanesml.errors import StoreError
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import Layout
from xanesml.files.notebook import Card, Entry

if TYPE_CHECKING:
    from typing_extensions import Self


class OpenedFile(Card):
    """A file of the format `layout`, open for reading until `close` or the end of a `with` block.

    Nothing is read before it is asked for.

    Parameters
    ----------
    path : str or PathLike
        The file.

    Raises
    ------
    StoreError
        If the file is missing, unreadable, of another format or another version.
    """

    layout: ClassVar[Layout]

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = open_file(self.path, self.layout)

    @property
    def file(self) -> h5py.File:
        """The HDF5 file; StoreError once it is closed."""
        if not self._file:
            raise StoreError(f"{self.path} is closed; open it again, or read inside the `with` block")
        return self._file

    def close(self) -> None:
        """Close the file. Arrays that were read stay."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def card(self) -> tuple[str, list[Entry]]:
        """Return what is printed: the file, and its content while it is open."""
        name = type(self).__name__
        return (f"{name} {self.path}", self._content()) if self._file else (f"{name} {self.path} (closed)", [])

    def _content(self) -> list[Entry]:
        raise NotImplementedError
