"""Reading measured spectra: recognize the format, identify the edge, check the values."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.athena import is_athena, read_athena, unpacked
from xanesml.measured.nexus import SIGNATURE, read_nexus
from xanesml.measured.screening import tabulated_edge
from xanesml.measured.spectrum import Found, MeasuredSpectrum
from xanesml.measured.text import read_text
from xanesml.measured.theory import is_xmu, read_theory
from xanesml.measured.xdi import is_xdi, read_xdi

#: Fewest points of a spectrum.
MINIMUM_POINTS = 20

_FACTORS = {"": 1.0, "ev": 1.0, "kev": 1000.0}


def read_spectrum(
    path: str | os.PathLike[str], *, element: str | None = None, edge: str | None = None
) -> MeasuredSpectrum:
    """Read the only spectrum of a file, or the one that is named after a colon.

    Parameters
    ----------
    path : str or PathLike
        As in `read_spectra`.
    element, edge : str, optional
        The expected ones; required if the file does not state them.

    Raises
    ------
    EnvironmentProblem
        If xraylarch is not installed.
    SpectrumError
        As `read_spectra`, or if the file has several spectra and none is named.
    """
    spectra = read_spectra(path, element=element, edge=edge)
    if len(spectra) > 1:
        names = ", ".join(spectrum.name for spectrum in spectra)
        raise SpectrumError(f"{path} has {len(spectra)} spectra, {names}; choose one, as {path}:{spectra[0].name}")
    return spectra[0]


def read_spectra(
    path: str | os.PathLike[str],
    *,
    element: str | None = None,
    edge: str | None = None,
    refuse: Callable[[str], object] | None = None,
) -> list[MeasuredSpectrum]:
    """Read the measured spectra of a file, in any of the known formats.

    The content decides the format: XDI; a project of Athena or Larix; NeXus (HDF5); FEFF's
    xmu.dat, which is theory; or columns of text. A project has a spectrum for each group, a
    NeXus file one for each entry.

    Rows are sorted by energy, and rows of equal energy (repeated points of a scan) are
    replaced by their mean. larch would spread them by 10⁻⁵ eV, which puts a spurious slope
    there and moves the edge. Energies without a unit are in keV only if they then span the
    tabulated edge.

    Parameters
    ----------
    path : str or PathLike
        The file; with `:NAME` after its name the group of a project, the entry of a NeXus
        file, or the column of a text that holds μ.
    element, edge : str, optional
        The expected ones; required if the file does not state them.
    refuse : callable, optional
        Called with the reason, one line, for every unusable spectrum of several; the others
        are returned. By default the first unusable one is an error.

    Returns
    -------
    list of MeasuredSpectrum
        At least one, in the file's order.

    Raises
    ------
    EnvironmentProblem
        If xraylarch is not installed.
    SpectrumError
        If the file cannot be read or has no spectrum of that name; or if a spectrum has no
        absorption, fewer than 20 energies or values that are not finite, does not state
        its element and edge, or has others than expected.
    """
    path, choice = _split(Path(path))
    found = _recognized(path, choice)
    several = len(found) > 1 or bool(choice)
    if choice:
        found = _named(path, choice, found)
    spectra, refused = [], []
    for spectrum in found:
        source = f"{path}:{spectrum.name}" if several else str(path)
        try:
            spectra.append(_judged(spectrum, source, spectrum.name if several else "", element, edge))
        except SpectrumError as error:
            if refuse is None or len(found) == 1:
                raise
            refused.append(str(error))
    if not spectra:
        raise SpectrumError(f"{path} has no spectrum that can be used: {'; '.join(refused)}")
    if refuse is not None:
        for line in refused:
            refuse(line)
    return spectra


def spectrum_from_arrays(energy: ArrayLike, mu: ArrayLike, *, element: str, edge: str) -> MeasuredSpectrum:
    """Make a measured spectrum of arrays, judged like that of a file.

    Parameters
    ----------
    energy : array_like, shape (E,)
        Photon energies, eV or keV, in any order.
    mu : array_like, shape (E,)
        Absorption, up to a factor and a smooth background.
    element, edge : str
        Absorber and edge, such as "Au" and "L3".

    Returns
    -------
    MeasuredSpectrum
        The spectrum, with the source "arrays".

    Raises
    ------
    SpectrumError
        If the arrays are not two columns of at least 20 finite numbers, or there is no such element or edge.
    """
    try:
        found = Found(np.asarray(energy, dtype=np.float64), np.asarray(mu, dtype=np.float64), columns="energy and mu")
    except (TypeError, ValueError) as error:
        raise SpectrumError(f"energies and absorption are not numbers: {error}") from error
    if found.energy.ndim != 1 or found.energy.shape != found.mu.shape:
        raise SpectrumError(
            f"energies and absorption have the shapes {found.energy.shape} and {found.mu.shape}; "
            "give two columns of numbers of the same length"
        )
    return _judged(found, "arrays", "", element, edge)


def _split(path: Path) -> tuple[Path, str]:
    """Split `file:NAME`, unless a file has that whole name."""
    if path.exists():
        return path, ""
    for place in (n for n, letter in enumerate(str(path)) if letter == ":"):
        file = Path(str(path)[:place])
        if file.is_file():
            return file, str(path)[place + 1 :]
    return path, ""


def _recognized(path: Path, choice: str) -> list[Found]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SpectrumError(f"cannot read the spectrum {path}: {error.strerror}; give an existing file") from error
    if content.startswith(SIGNATURE):
        return read_nexus(path)
    try:
        # Headers in other encodings are common; only their names of columns are needed.
        text = unpacked(content).decode("utf-8-sig", errors="replace")
    except (OSError, EOFError, zlib.error) as error:
        raise SpectrumError(f"{path} is gzipped and damaged: {error}; copy it again") from error
    if "\0" in text:
        raise SpectrumError(f"{path} is a binary file; give XDI, an Athena project, NeXus, xmu.dat or columns of text")
    if is_athena(text):
        return read_athena(path, text)
    if is_xdi(text):
        return [read_xdi(path, text)]
    if is_xmu(text):
        return [read_theory(path)]
    return [read_text(path, text, choice)]


def _named(path: Path, choice: str, found: list[Found]) -> list[Found]:
    chosen = [spectrum for spectrum in found if spectrum.name == choice]
    if not chosen:
        names = ", ".join(spectrum.name for spectrum in found if spectrum.name)
        has = f"it has {names}" if names else "it holds one spectrum, which has no name"
        raise SpectrumError(f"{path} has no spectrum named {choice!r}; {has}")
    return chosen


def _judged(found: Found, source: str, name: str, element: str | None, edge: str | None) -> MeasuredSpectrum:
    if found.problem:
        raise SpectrumError(f"{source} cannot be used: {found.problem}")
    element, edge = _identify(source, found, element, edge)
    energy, mu = _in_electronvolt(source, found, element, edge), found.mu
    finite = np.isfinite(energy) & np.isfinite(mu)
    if not finite.all():
        row = int(np.argmin(finite))
        raise SpectrumError(
            f"{source}: point {row + 1} of {energy.size} is not finite (energy {energy[row]} eV, mu {mu[row]}); "
            "remove it, or check for zero detector counts"
        )
    if found.background is None:
        energy, mu = _sorted_and_merged(energy, mu)
    if energy.size < MINIMUM_POINTS:
        raise SpectrumError(f"{source} has {energy.size} energies; a spectrum needs at least {MINIMUM_POINTS}")
    return MeasuredSpectrum(
        energy=energy,
        mu=mu,
        element=element,
        edge=edge,
        source=source,
        name=name,
        columns=found.columns,
        background=found.background,
        edge_energy=found.edge_energy,
    )


def _identify(source: str, spectrum: Found, element: str | None, edge: str | None) -> tuple[str, str]:
    found = (spectrum.element.strip().capitalize(), spectrum.edge.strip().upper())
    expected = ((element or "").strip().capitalize(), (edge or "").strip().upper())
    if any(f and e and f != e for f, e in zip(found, expected, strict=True)):
        raise SpectrumError(
            f"{source} is of {' '.join(found).strip()}, but {' '.join(expected).strip()} is expected; "
            "give a spectrum of that element and edge"
        )
    element, edge = (f or e for f, e in zip(found, expected, strict=True))
    if not (element and edge):
        missing = "element" if not element else "edge"
        raise SpectrumError(f"{source} does not say its {missing}; give the element and the edge, such as Au and L3")
    return element, edge


def _in_electronvolt(source: str, found: Found, element: str, edge: str) -> Floats:
    unit = found.unit.strip().lower()
    if unit not in _FACTORS:
        raise SpectrumError(f"{source} has energies in {found.unit!r}; give them in eV or keV")
    factor = _FACTORS[unit]
    if not unit and found.energy.size:
        in_kiloelectronvolt = tabulated_edge(element, edge) / 1000
        if np.nanmin(found.energy) < in_kiloelectronvolt < np.nanmax(found.energy):
            factor = 1000.0
    return factor * found.energy


def _sorted_and_merged(energy: Floats, mu: Floats) -> tuple[Floats, Floats]:
    unique, place, counts = np.unique(energy, return_inverse=True, return_counts=True)
    return unique, np.bincount(place, weights=mu, minlength=unique.size) / counts
