"""Measured spectra, and what a file holds of one before it is judged."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from xanesml.files.arrays import Floats
from xanesml.measured.background import FitRanges


@dataclass(frozen=True)
class MeasuredSpectrum:
    """A spectrum as measured, or as FEFF printed it.

    Attributes
    ----------
    energy : ndarray, shape (E,), float64, eV
        Photon energies, strictly increasing, no NaN.
    mu : ndarray, shape (E,), float64
        Absorption, up to a factor and a smooth background; no NaN.
    element, edge : str
        Such as "Au" and "L3".
    source : str
        The file, followed by ":" and `name` if it has several spectra.
    name : str
        Its name in a file of several; else empty.
    columns : str
        The columns used, such as "energy and ln(i0/itrans)".
    background : ndarray, shape (E,), float64, or None
        Theory only: the atomic background μ0, in the unit of `mu`, no NaN.
    edge_energy : float or None, eV
        Theory only: the photon energy of the edge.
    foil : ndarray, shape (E,), float64, or None
        Absorption of a foil measured at the same time, for the energies; no NaN.
    others : tuple of str
        Other elements in the sample, as the file or the user states them.
    ranges : FitRanges or None
        Ranges of the fits before and after the edge that an Athena project holds.
    remarks : tuple of str
        How it was read, where there was a choice, one sentence each.
    doubts : tuple of str
        Reasons to doubt how it was read, one sentence each.
    time : str
        When it was measured, ISO 8601, as the file says; else empty.
    """

    energy: Floats
    mu: Floats
    element: str
    edge: str
    source: str
    name: str = ""
    columns: str = "energy and mu"
    background: Floats | None = None
    edge_energy: float | None = None
    foil: Floats | None = None
    others: tuple[str, ...] = ()
    ranges: FitRanges | None = None
    remarks: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    time: str = ""

    @property
    def theory(self) -> bool:
        """Whether it was calculated: it then has μ0."""
        return self.background is not None

    @property
    def stem(self) -> str:
        """The name for files about it: that of its file, with its own if the file has several."""
        file = self.source.removesuffix(f":{self.name}") if self.name else self.source
        parts = [re.split(r"[/\\]", file)[-1].rsplit(".", 1)[0], *([self.name] if self.name else [])]
        return "-".join(re.sub(r"[^\w.+-]+", "_", part) for part in parts)


@dataclass(frozen=True)
class Found:
    """One spectrum as a file has it, neither identified nor checked.

    Attributes
    ----------
    energy : ndarray, shape (E,), float64
        In any order, with whatever values the file has.
    columns : mapping of str to ndarray, shape (E,), float64
        The other columns by name, in lower case.
    axis : str
        What the file calls the energies.
    name : str
        Its name in the file; empty if that has only one.
    element, edge : str
        As the file states them; else empty.
    unit : str
        Unit of the energies as the file states it; else empty.
    mu : str
        The column that holds μ whatever its name; else empty.
    labels : dict of str to str
        What to call columns without a name.
    numbers : dict of str to str
        Names of the columns by their number in the file, from 1.
    foil : ndarray, shape (E,), float64, or None
        Absorption of a foil measured at the same time, where it is no column.
    background, edge_energy, others, ranges, time
        As in `MeasuredSpectrum`.
    lines : ndarray, shape (E,), int, or None
        Line of each row in the file, for messages.
    remarks : tuple of str
        As in `MeasuredSpectrum`.
    ambiguous : str
        What to say if the absorption is not among the columns and none is chosen.
    problem : str
        Why it is not an absorption spectrum; empty if it is one.
    """

    energy: Floats
    columns: Mapping[str, Floats]
    axis: str = "energy"
    name: str = ""
    element: str = ""
    edge: str = ""
    unit: str = ""
    mu: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    foil: Floats | None = None
    background: Floats | None = None
    edge_energy: float | None = None
    others: tuple[str, ...] = ()
    ranges: FitRanges | None = None
    lines: Any = None
    remarks: tuple[str, ...] = ()
    time: str = ""
    ambiguous: str = ""
    problem: str = ""


def time_of(text: str) -> str:
    """Return a time of XDI or SPEC as ISO 8601; empty if it is none."""
    for read in (datetime.fromisoformat, lambda word: datetime.strptime(word, "%a %b %d %H:%M:%S %Y")):
        with contextlib.suppress(ValueError):
            # Python 3.10 does not know Z, the zone of Greenwich.
            return read(re.sub("Z$", "+00:00", text.strip())).isoformat()
    return ""
