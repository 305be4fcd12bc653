"""What notebooks show: tables by pandas, labeled arrays by xarray, and HTML with all text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import import_module
from typing import Any

from xanesml.errors import EnvironmentProblem

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
