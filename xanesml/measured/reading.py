"""Reading measured spectra: recognize the format, choose the signal, identify the edge, check the values."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.athena import is_athena, read_athena, unpacked
from xanesml.measured.nexus import SIGNATURE, read_nexus
from xanesml.measured.rows import MINIMUM_POINTS, check_gaps, check_misread, check_saturation, check_values, scans
from xanesml.measured.screening import tabulated_edge
from xanesml.measured.signals import Signal, asked, chosen, signals
from xanesml.measured.spectrum import Found, MeasuredSpectrum
from xanesml.measured.text import read_text
from xanesml.measured.theory import is_xmu, read_theory
from xanesml.measured.xdi import is_xdi, read_xdi

_FACTORS = {"": 1.0, "ev": 1.0, "kev": 1000.0}
#: A stated edge below this, eV, in a spectrum of larger energies is a placeholder, such as the H K of new groups in
#: Athena: no beamline measures it.
_PLACEHOLDER = 100.0


def read_spectrum(
    path: str | os.PathLike[str],
    *,
    element: str | None = None,
    edge: str | None = None,
    signal: str | None = None,
) -> MeasuredSpectrum:
    """Read the only spectrum of a file, or the one that is named after a colon.

    Parameters
    ----------
    path : str or PathLike
        As in `read_spectra`.
    element, edge : str, optional
        The expected ones; required if the file does not state them.
    signal : str, optional
        As in `read_spectra`.

    Raises
    ------
    SpectrumError
        As `read_spectra`, or if the file has several spectra and none is named.
    """
    spectra = read_spectra(path, element=element, edge=edge, signal=signal)
    if len(spectra) > 1:
        names = ", ".join(spectrum.name for spectrum in spectra)
        raise SpectrumError(f"{path} has {len(spectra)} spectra, {names}; choose one, as {path}:{spectra[0].name}")
    return spectra[0]


def read_spectra(
    path: str | os.PathLike[str],
    *,
    element: str | None = None,
    edge: str | None = None,
    signal: str | None = None,
    refuse: Callable[[str], object] | None = None,
) -> list[MeasuredSpectrum]:
    """Read the measured spectra of a file, in any of the known formats.

    The content decides the format: XDI; a project of Athena or Larix; NeXus (HDF5); FEFF's
    xmu.dat, which is theory; or columns of text, SPEC files among them. A project has a spectrum for each
    group, a NeXus file one for each entry, and a table one for each scan: where its energy
    runs back over what it has covered, another scan begins.

    Rows are sorted by energy, and rows of equal energy (repeated points of a scan) are
    replaced by their mean. larch would spread them by 10⁻⁵ eV, which puts a spurious slope
    there and moves the edge. Energies without a unit are in keV only if they then span the
    tabulated edge.

    Parameters
    ----------
    path : str or PathLike
        The file; after a colon the spectrum of several, the signal, or both, as `file:2:fluorescence`.
    element, edge : str, optional
        The expected ones; required if the file does not state them.
    signal : str, optional
        The absorption: transmission, fluorescence, reference, a column by name or number, or an
        expression of columns such as "(If1+If2+If3)/I0". By default the one that shows the edge.
    refuse : callable, optional
        Called with the reason, one line, for every unusable spectrum of several; the others
        are returned. By default the first unusable one is an error.

    Returns
    -------
    list of MeasuredSpectrum
        At least one, in the file's order.

    Raises
    ------
    SpectrumError
        If the file cannot be read or has no spectrum of that name; or if a spectrum has no
        such absorption, fewer than 20 energies, energies that jump, values that are not finite or impossible, a
        saturated counter, does not state its element and edge, or has others than expected.
    """
    path, choice = _split(Path(path))
    found = [scan for one in _recognized(path) for scan in _scans(path, one)]
    several = len(found) > 1
    named, asked_for = "", choice
    if choice:
        named, asked_for = _named(path, found, choice)
        found = [one for one in found if not named or one.name == named]
    wanted = asked_for or signal or ""
    spectra, refused = [], []
    for one in found:
        name = ":".join(part for part in ((one.name if several or named else ""), asked_for) if part)
        source = f"{path}:{name}" if name else str(path)
        try:
            spectra.append(_judged(one, source, name, element, edge, wanted))
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
        energies, values = np.asarray(energy, dtype=np.float64), np.asarray(mu, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SpectrumError(f"energies and absorption are not numbers: {error}") from error
    if energies.ndim != 1 or energies.shape != values.shape:
        raise SpectrumError(
            f"energies and absorption have the shapes {energies.shape} and {values.shape}; "
            "give two columns of numbers of the same length"
        )
    return _judged(Found(energies, {"mu": values}), "arrays", "", element, edge, "")


def _split(path: Path) -> tuple[Path, str]:
    """Split `file:NAME`, unless a file has that whole name."""
    if path.exists():
        return path, ""
    for place in (n for n, letter in enumerate(str(path)) if letter == ":"):
        file = Path(str(path)[:place])
        if file.is_file():
            return file, str(path)[place + 1 :]
    return path, ""


def _recognized(path: Path) -> list[Found]:
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
    return read_text(path, text)


def _scans(path: Path, found: Found) -> list[Found]:
    """Return the scans of a table one by one, named by their number."""
    if found.problem or found.background is not None:
        return [found]
    if np.isfinite(found.energy).all():
        check_misread(str(path), found.energy, found.lines)
    rows = scans(found.energy)
    if len(rows) == 1:
        return [found]
    return [
        replace(
            found,
            energy=found.energy[some],
            columns={name: values[some] for name, values in found.columns.items()},
            foil=None if found.foil is None else found.foil[some],
            lines=None if found.lines is None else found.lines[some],
            name=f"{found.name}.{number}" if found.name else str(number),
        )
        for number, some in enumerate(rows, start=1)
    ]


def _named(path: Path, found: list[Found], choice: str) -> tuple[str, str]:
    """Split what follows the file's name into the name of a spectrum and a signal, either of which may be empty."""
    names = [one.name for one in found if one.name]
    if choice in names:
        return choice, ""
    for name in names:
        if choice.startswith(f"{name}:"):
            return name, choice[len(name) + 1 :]
    if names and all(set(one.columns) <= {"mu"} for one in found):
        raise SpectrumError(f"{path} has no spectrum named {choice!r}; it has {', '.join(names)}")
    return "", choice


def _judged(
    found: Found, source: str, name: str, element: str | None, edge: str | None, wanted: str
) -> MeasuredSpectrum:
    if found.problem:
        raise SpectrumError(f"{source} cannot be used: {found.problem}")
    element, edge, placeholder = _identify(source, found, element, edge)
    energy = _in_electronvolt(source, found, element, edge)
    signal, remark = _signal(source, found, energy, tabulated_edge(element, edge), wanted)
    mu, foil = signal.mu, found.foil
    finite = np.isfinite(energy) & np.isfinite(mu)
    if not finite.all():
        row = int(np.argmin(finite))
        line = "" if found.lines is None else f"line {int(found.lines[row])}: "
        raise SpectrumError(
            f"{source}: point {row + 1} of {energy.size} is not finite ({line}energy {energy[row]} eV, mu {mu[row]}); "
            "remove it, or check for zero detector counts"
        )
    if found.background is None:
        check_misread(source, energy, found.lines)
        for column in signal.uses:
            check_saturation(source, energy, column, found.columns[column])
        reference = signals(found.columns).get("reference")
        foil = reference.mu if foil is None and reference is not None and reference.formula != signal.formula else foil
        energy, mu, foil = _sorted_and_merged(energy, mu, foil)
        check_gaps(source, energy)
    if energy.size < MINIMUM_POINTS:
        raise SpectrumError(f"{source} has {energy.size} energies; a spectrum needs at least {MINIMUM_POINTS}")
    if found.background is None:
        check_values(source, energy, mu)
    shifted = f", {found.remarks[0]}" if found.remarks and found.remarks[0].startswith("shifted") else ""
    return MeasuredSpectrum(
        energy=energy,
        mu=mu,
        element=element,
        edge=edge,
        source=source,
        name=name,
        columns=f"{found.axis} and {found.labels.get(signal.formula, signal.formula)}{shifted}",
        background=found.background,
        edge_energy=found.edge_energy,
        foil=foil if foil is not None and np.isfinite(foil).all() else None,
        others=tuple(other for other in found.others if other != element),
        ranges=found.ranges,
        remarks=tuple(part for part in (remark, *found.remarks) if part and not part.startswith("shifted")),
        doubts=(placeholder,) if placeholder else (),
        time=found.time,
    )


def _signal(source: str, found: Found, energy: Floats, edge: float, wanted: str) -> tuple[Signal, str]:
    """Return the absorption that is wanted, or else the one that shows the edge, and why it was taken."""
    try:
        if wanted:
            column = found.numbers.get(wanted.strip(), "")
            return asked(column or wanted, found.columns), ""
        if found.mu:
            return asked(found.mu, found.columns), ""
    except SpectrumError as error:
        raise SpectrumError(f"{source}: {error}") from error
    taken = chosen(found.columns, energy, edge)
    if taken is None:
        raise SpectrumError(f"{source}: {found.ambiguous}")
    return taken


def _identify(source: str, spectrum: Found, element: str | None, edge: str | None) -> tuple[str, str, str]:
    """Return element and edge, and what to tell of a placeholder that the file has for them."""
    from ase.data import chemical_symbols  # noqa: PLC0415 (slow)

    found = (spectrum.element.strip().capitalize(), spectrum.edge.strip().upper())
    expected = ((element or "").strip().capitalize(), (edge or "").strip().upper())
    placeholder = ""
    if found[0] and all(expected):
        unknown = found[0] not in chemical_symbols[1:]
        if unknown or _below_all(found, spectrum):
            placeholder = f"the file says {' '.join(found).strip()}, a placeholder; {' '.join(expected)} was taken"
            found = ("", "")
    if any(f and e and f != e for f, e in zip(found, expected, strict=True)):
        raise SpectrumError(
            f"{source} is of {' '.join(found).strip()}, but {' '.join(expected).strip()} is expected; "
            "give a spectrum of that element and edge"
        )
    element, edge = (f or e for f, e in zip(found, expected, strict=True))
    if not (element and edge):
        missing = "element" if not element else "edge"
        raise SpectrumError(f"{source} does not say its {missing}; give the element and the edge, such as Au and L3")
    return element, edge, placeholder


def _below_all(stated: tuple[str, str], spectrum: Found) -> bool:
    """Whether the stated edge is below what is measured, and the energies are not."""
    unit = spectrum.unit.strip().lower()
    if not all(stated) or unit not in _FACTORS or not np.isfinite(spectrum.energy).any():
        return False
    try:
        return tabulated_edge(*stated) < _PLACEHOLDER < _FACTORS[unit] * float(np.nanmin(spectrum.energy))
    except SpectrumError:
        return False


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


def _sorted_and_merged(energy: Floats, mu: Floats, foil: Floats | None) -> tuple[Floats, Floats, Floats | None]:
    unique, place, counts = np.unique(energy, return_inverse=True, return_counts=True)

    def mean(values: Floats) -> Floats:
        return np.bincount(place, weights=values, minlength=unique.size) / counts

    return unique, mean(mu), None if foil is None else mean(foil)
