"""Display in notebooks: tables by pandas, labeled arrays by xarray, open files, and HTML with all text escaped."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import h5py

from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import Layout

if TYPE_CHECKING:
    from typing_extensions import Self

#: A line of a card: a name and a text.
Entry = tuple[str, str]


def notebook_library(name: str) -> Any:
    """Import pandas or xarray.

    Parameters
    ----------
    name : {"pandas", "xarray"}
        The library.

    Returns
    -------
    module
        The library.

    Raises
    ------
    EnvironmentProblem
        If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise EnvironmentProblem(f'this needs {name} ({error}); run `pip install "xanesml[notebook]"`') from error


class Card:
    """Prints itself as a title and lines `name: text`; in a notebook, as a table."""

    def card(self) -> tuple[str, list[Entry]]:
        """Return the title and the lines."""
        raise NotImplementedError

    def __repr__(self) -> str:
        title, entries = self.card()
        width = 2 + max((len(name) for name, _ in entries), default=0)
        return "\n".join([title, *(f"  {name + ':':{width}}{text}" for name, text in entries)])

    def _repr_html_(self) -> str:
        title, entries = self.card()
        return f"<strong>{escape(title)}</strong>{html_table(None, entries)}"


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
        if self.closed:
            raise StoreError(f"{self.path} is closed; open it again, or read inside the `with` block")
        return self._file

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return not self._file

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
        if self.closed:
            return f"{name} {self.path} (closed)", []
        try:
            return f"{name} {self.path}", self._content()
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            # What HDF5 and JSON raise on a damaged file, and numbers that stand for nothing.
            what = " ".join(str(error).split())[:150]
            return f"{name} {self.path}", [("content", f"cannot be read ({what}); run `xanesml validate {self.path}`")]

    def _content(self) -> list[Entry]:
        raise NotImplementedError


def html_table(head: Sequence[str] | None, rows: Iterable[Sequence[str]]) -> str:
    """Return a table as HTML, all of its text escaped; without a head, the first column names the rows."""

    def line(cells: Sequence[str], heads: int) -> str:
        tags = ["th" if column < heads else "td" for column in range(len(cells))]
        parts = (
            f'<{tag} style="text-align: left">{escape(cell)}</{tag}>' for tag, cell in zip(tags, cells, strict=True)
        )
        return f"<tr>{''.join(parts)}</tr>"

    top = "" if head is None else line(head, len(head))
    return f"<table>{top}{''.join(line(cells, 0 if head else 1) for cells in rows)}</table>"
