"""Measured spectra as files hold them: XDI, and text with two columns."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xanesml.errors import EnvironmentProblem, SpectrumError

Floats = NDArray[np.float64]

#: Fewer points than this are no spectrum.
MINIMUM_POINTS = 20

#: Columns that hold μ(E), in order of preference, as larch names or derives them.
_ABSORPTION_COLUMNS = ("mutrans", "mufluor", "xmu", "mu", "norm")
_COLUMNS_TEXT = "i0 and itrans, i0 and ifluor, mutrans, mufluor, xmu, mu or norm"


@dataclass(frozen=True)
class MeasuredSpectrum:
    """A spectrum as measured.

    Attributes
    ----------
    energy : ndarray, shape (E,), float64, eV
        Photon energies, strictly increasing, no NaN.
    mu : ndarray, shape (E,), float64
        Absorption, up to a factor and a smooth background; no NaN.
    element, edge : str
        What was measured, such as "Au" and "L3".
    source : str
        The file it was read from.
    """

    energy: Floats
    mu: Floats
    element: str
    edge: str
    source: str


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


def read_spectrum(path: Path, *, element: str | None = None, edge: str | None = None) -> MeasuredSpectrum:
    """Read a measured spectrum: XDI, or text with the two columns energy (eV) and μ.

    Rows are sorted by energy, and rows of equal energy (repeated points of a scan) are
    replaced by their mean: larch's own remedy, spreading them by 10⁻⁵ eV, would put a
    spurious slope there and so move the edge.

    Parameters
    ----------
    path : Path
        The file. XDI is recognized by its first line.
    element, edge : str, optional
        What is expected. Needed where the file does not say.

    Returns
    -------
    MeasuredSpectrum
        Transmission before fluorescence where an XDI file has both.

    Raises
    ------
    EnvironmentProblem
        If xraylarch is not installed.
    SpectrumError
        If the file cannot be read, has no absorption, fewer than 20 energies or values
        that are not finite, does not say what it is, or is of another element or edge.

    References
    ----------
    XDI 1.1, https://github.com/XraySpectroscopy/XAS-Data-Interchange.
    """
    try:
        # Headers in other encodings are common, and nothing in them is needed but the names of the columns.
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SpectrumError(f"cannot read the spectrum {path}: {error.strerror}; give an existing file") from error
    if "\0" in text:
        raise SpectrumError(f"{path} is a binary file; give XDI or two columns of text")
    found_element = found_edge = ""
    if "XDI/" in text.partition("\n")[0]:
        energy, mu, found_element, found_edge = _read_xdi(path, text)
    else:
        energy, mu = _read_two_columns(path, text)
    element, edge = _identify(path, found_element, found_edge, element, edge)
    finite = np.isfinite(energy) & np.isfinite(mu)
    if not finite.all():
        row = int(np.argmin(finite))
        raise SpectrumError(
            f"{path}: point {row + 1} of {energy.size} is not finite (energy {energy[row]} eV, mu {mu[row]}); "
            "remove it, or check for zero detector counts"
        )
    energy, mu = _sorted_and_merged(energy, mu)
    if energy.size < MINIMUM_POINTS:
        raise SpectrumError(f"{path} has {energy.size} energies; a spectrum needs at least {MINIMUM_POINTS}")
    return MeasuredSpectrum(energy=energy, mu=mu, element=element, edge=edge, source=str(path))


def _read_xdi(path: Path, text: str) -> tuple[Floats, Floats, str, str]:
    larch = import_larch()
    try:
        # larch divides by the detector counts while reading; zeros are judged afterwards.
        with np.errstate(all="ignore"):
            group = larch.io.read_xdi(str(path))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        reason = str(error).replace("\n", " ")
        raise SpectrumError(f"{path} is not a valid XDI file: {reason}; see the XDI 1.1 definition") from error
    # larch takes all above the last unreadable row for header, and would drop half a spectrum silently.
    rows = sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    if rows != group.npts:
        raise SpectrumError(f"{path} has {rows} rows, of which only the last {group.npts} are numbers; mend the others")
    if not hasattr(group, "energy"):
        raise SpectrumError(f"{path} has no column 'energy', only {', '.join(group.array_labels)}")
    name = next((name for name in _ABSORPTION_COLUMNS if hasattr(group, name)), None)
    if name is None:
        labels = ", ".join(group.array_labels)
        raise SpectrumError(f"{path} has no absorption among its columns {labels}; accepted are {_COLUMNS_TEXT}")
    units = dict(zip(group.array_labels, group.array_units, strict=True)).get("energy", "")
    factor = 1000.0 if units.lower() == "kev" else 1.0
    energy = factor * np.asarray(group.energy, dtype=np.float64)
    return energy, np.asarray(getattr(group, name), dtype=np.float64), group.element, group.edge


def _read_two_columns(path: Path, text: str) -> tuple[Floats, Floats]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="loadtxt: input contained no data", category=UserWarning)
            table = np.loadtxt(io.StringIO(text.replace(",", " ")), dtype=np.float64, ndmin=2)
    except ValueError as error:
        reason = str(error).partition(";")[0].rstrip(".")
        raise SpectrumError(f"{path} is neither XDI nor two columns of numbers: {reason}") from error
    if table.size == 0 or table.shape[1] != 2:
        columns = table.shape[1] if table.size else 0
        raise SpectrumError(f"{path} has {columns} columns; give two, energy (eV) and mu, or an XDI file")
    return table[:, 0], table[:, 1]


def _identify(
    path: Path, found_element: str, found_edge: str, element: str | None, edge: str | None
) -> tuple[str, str]:
    found = (found_element.strip().capitalize(), found_edge.strip().upper())
    expected = ((element or "").strip().capitalize(), (edge or "").strip().upper())
    if any(f and e and f != e for f, e in zip(found, expected, strict=True)):
        raise SpectrumError(
            f"{path} is of {' '.join(found).strip()}, but {' '.join(expected).strip()} is expected; "
            "give a spectrum of that element and edge"
        )
    element, edge = (f or e for f, e in zip(found, expected, strict=True))
    if not (element and edge):
        missing = "element" if not element else "edge"
        raise SpectrumError(f"{path} does not say its {missing}; give the element and the edge, such as Au and L3")
    return element, edge


def _sorted_and_merged(energy: Floats, mu: Floats) -> tuple[Floats, Floats]:
    unique, place, counts = np.unique(energy, return_inverse=True, return_counts=True)
    return unique, np.bincount(place, weights=mu, minlength=unique.size) / counts
