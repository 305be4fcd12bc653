"""What a section of the page is made of; plain data, which the template draws."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

from xanesml.page.chart import Chart


@dataclass(frozen=True)
class Share:
    """A cell with a number and a bar as long as its share of the largest.

    Attributes
    ----------
    text : str
        The number with its unit.
    share : float
        Length of the bar, 0 … 1.
    """

    text: str
    share: float


Cell: TypeAlias = str | Share


@dataclass(frozen=True)
class Table:
    """A table; its first column names the rows.

    Attributes
    ----------
    caption : str
        What it shows.
    head : tuple of str
        Names of the columns.
    rows : list of tuple
        Cells of each row.
    """

    caption: str
    head: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


@dataclass(frozen=True)
class Log:
    """A text of many lines behind a line that opens it.

    Attributes
    ----------
    title, text : str
        The line, and the text.
    """

    title: str
    text: str


@dataclass
class Section:
    """A section of the page.

    Attributes
    ----------
    name, title : str
        Its anchor, and its heading.
    paragraphs : list of str
        Sentences in front of the figures.
    tables, charts, logs : list
        What it shows.
    missing : str
        Why there is nothing to show yet, and the command that makes it; empty where there is.
    problem : str
        Why a file could not be read; empty where all could.
    """

    name: str
    title: str
    paragraphs: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    missing: str = ""
    problem: str = ""


def shares(values: list[float], form: str) -> list[Cell]:
    """Return numbers as cells with bars; `form` is a format with the unit, such as ``"{:.1f} h"``."""
    known = [value for value in values if math.isfinite(value)]
    largest = max([*known, 0.0]) or 1.0
    return [Share(form.format(value), value / largest) if math.isfinite(value) else "–" for value in values]
