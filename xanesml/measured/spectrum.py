"""Measured spectra, and the functions that the readers of all formats share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xanesml.errors import EnvironmentProblem
from xanesml.files.arrays import Floats

#: Columns that hold μ(E), in order of preference, and the last resort: normalized by others.
_ABSORPTION = ("mutrans", "mufluor", "xmu", "mu")
_NORMALIZED = "norm"
#: Names of detectors: before the sample, behind it, and beside it.
_INCOMING = ("i0", "io")
_TRANSMITTED = ("itrans", "it", "i1")
_FLUORESCENCE = ("ifluor", "iff", "if")
#: The accepted columns, for messages.
COLUMNS_TEXT = "mutrans, mufluor, xmu, mu, i0 with itrans (it, i1), i0 with ifluor (iff, if), or norm"


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
    energy, mu : ndarray, shape (E,), float64
        In any order, with whatever values the file has.
    columns : str
        The columns used.
    name : str
        Its name in the file; empty if that has only one.
    element, edge : str
        As the file states them; else empty.
    unit : str
        Unit of the energies as the file states it; else empty.
    background, edge_energy
        As in `MeasuredSpectrum`.
    problem : str
        Why it is not an absorption spectrum; empty if it is one.
    """

    energy: Floats
    mu: Floats
    columns: str
    name: str = ""
    element: str = ""
    edge: str = ""
    unit: str = ""
    background: Floats | None = None
    edge_energy: float | None = None
    problem: str = ""


def import_larch() -> Any:
    """Return the module `larch` with its `io` and `xafs`.

    Raises
    ------
    EnvironmentProblem
        If xraylarch is not installed.
    """
    try:
        import larch  # noqa: PLC0415 (slow, and part of the extra `experiment`)
        import larch.io  # noqa: PLC0415
        import larch.xafs  # noqa: PLC0415
    except ImportError as error:
        raise EnvironmentProblem(
            f"measured spectra need xraylarch ({error}); run `pip install 'xanesml[experiment]'`"
        ) from error
    return larch


def absorption(columns: Mapping[str, Floats]) -> tuple[Floats, str] | None:
    """Return μ(E) from columns by name, in lower case: μ itself, or from counts, transmission before fluorescence.

    Returns
    -------
    (ndarray, shape (E,), float64; str) or None
        μ, not finite where a counter was zero, and its formula; None without such columns.
    """

    def first(names: tuple[str, ...]) -> str | None:
        return next((name for name in names if name in columns), None)

    if name := first(_ABSORPTION):
        return columns[name], name
    # Zero counts are checked later, where the number of the point is known.
    with np.errstate(all="ignore"):
        if (incoming := first(_INCOMING)) and (beam := first(_TRANSMITTED)):
            return np.log(columns[incoming] / columns[beam]), f"ln({incoming}/{beam})"
        if incoming and (beam := first(_FLUORESCENCE)):
            return columns[beam] / columns[incoming], f"{beam}/{incoming}"
    return (columns[_NORMALIZED], _NORMALIZED) if _NORMALIZED in columns else None
