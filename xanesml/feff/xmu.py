"""Reading xmu.dat, FEFF's spectrum."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats

# A number as Fortran's E format prints it.
_NUMBER = r"-?\d*\.\d+E[+-]\d+"

#: Begins the header line of an xmu.dat that `xanesml export` made, before the engine. Its column e is NaN.
EXPORTED = "Exported by xanesml; computed by: "

#: Begins the line of such a header that says what differed from feff.inp in the run.
CHANGED = "Changed in the run: "


class IncompleteSpectrum(SpectrumError):
    """An xmu.dat that is missing or cut: the run ended before it was written."""


@dataclass(frozen=True)
class HeaderCards:
    """The cards as the header of xmu.dat repeats them; None for one that it lacks.

    Attributes
    ----------
    scf : tuple of (int, float, int) or None
        SCF: largest number of iterations, radius (Å), lfms.
    exchange : str or None
        Name of the exchange model, such as `"val=s+d"`.
    shifts : tuple of (float, float) or None
        EXCHANGE: real and imaginary shift of the potential, eV.
    s02 : float or None
        Amplitude reduction factor.
    step : float or None
        Edge step that μ and μ0 were divided by; 1 with the ABSOLUTE card.

    References
    ----------
    FEFF10, src/POT/reapot.f90, src/COMMON/head.f90, src/FF2X/ff2gen.f90 and ff2xmu.f90.
    """

    scf: tuple[int, float, int] | None = None
    exchange: str | None = None
    shifts: tuple[float, float] | None = None
    s02: float | None = None
    step: float | None = None


@dataclass(frozen=True)
class Spectrum:
    """The spectrum of one FEFF run, as FEFF printed it.

    Attributes
    ----------
    energy : (E,) float64
        Photon energies, eV, strictly increasing.
    mu, mu0 : (E,) float64
        Absorption and atomic background; no NaN.
    edge : float
        Photon energy at which the photoelectron's k is 0, eV.
    absorber_number : int
        Atomic number of the absorber, from the header.
    shell : str
        The absorbing shell, such as `"L3"`, from the header.
    scf : bool
        Whether the header says that the potentials are self-consistent.
    fms_radius : float or None
        Radius of the FMS cluster, Å; None if the header lacks it.
    cards : HeaderCards
        Further cards that the header repeats.
    """

    energy: Floats
    mu: Floats
    mu0: Floats
    edge: float
    absorber_number: int
    shell: str
    scf: bool
    fms_radius: float | None
    cards: HeaderCards = HeaderCards()


def read_xmu(path: Path) -> Spectrum:
    """Read an xmu.dat of FEFF 8, 9 or 10, all of whose numbers are finite and whose energies increase.

    Raises
    ------
    IncompleteSpectrum
        If the file is missing or truncated.
    SpectrumError
        If it is not an xmu.dat, or holds overflows (`*****`), NaN or energies that do
        not increase or do not span the edge.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise IncompleteSpectrum(
            f"cannot read {path.name}: {error.strerror}; the run ended before it was written"
        ) from error
    lines = text.splitlines()
    header = "\n".join(line.lstrip("# ") for line in lines if line.lstrip().startswith("#"))
    rows = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not rows or not text.endswith("\n"):
        raise IncompleteSpectrum(f"{path.name} is truncated: {len(rows)} data rows, the last one cut; run FEFF again")
    exported = re.search(rf"^{EXPORTED}(.*)$", header, re.MULTILINE)
    energy, _, k, mu, mu0, _ = _columns(path.name, rows, unknown=1 if exported else None)
    if not (np.diff(energy) > 0).all():
        raise SpectrumError(f"{path.name} has energies that do not increase; run FEFF again")
    # The spectrum of an EXAFS card begins at the edge.
    if not (k[0] <= 0 < k[-1] and (np.diff(k) > 0).all()):
        raise SpectrumError(f"{path.name} has k from {k[0]} to {k[-1]}; it must increase from k = 0 or below")
    absorber = re.search(r"^Abs +Z= *(\d+).*\b([K-S]\d?) +shell *$", header, re.MULTILINE)
    potential = re.search(r"^POT +(Non-SCF|SCF)\b", header, re.MULTILINE)
    if absorber is None or potential is None:
        raise SpectrumError(
            f"{path.name} lacks the header lines 'POT' and 'Abs'; expected an xmu.dat of FEFF 8, 9 or 10"
        )
    radius = re.search(r"^FMS +rfms= *([\d.]+)", header, re.MULTILINE)
    return Spectrum(
        energy=energy,
        mu=mu,
        mu0=mu0,
        # The energy is linear in k², with the sign of k, on both sides of the edge.
        edge=float(np.interp(0.0, np.sign(k) * k**2, energy)),
        absorber_number=int(absorber[1]),
        shell=absorber[2],
        scf=potential[1] == "SCF",
        fms_radius=float(radius[1]) if radius else None,
        cards=_header_cards(header),
    )


def read_program(path: Path) -> str:
    """Return the FEFF that the header of an xmu.dat names, such as ``FEFF 10.0.0``; empty where it names none."""
    header = _header(path)
    exported = re.search(rf"^{EXPORTED}(.*)$", header, re.MULTILINE)
    return exported[1].strip() if exported else _program(header)


def read_changes(path: Path) -> str:
    """Return what the header of an exported xmu.dat says to differ from feff.inp; empty where nothing does."""
    changed = re.search(rf"^{CHANGED}(.*)$", _header(path), re.MULTILINE)
    return changed[1].strip() if changed else ""


def _header(path: Path) -> str:
    header = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.lstrip().startswith("#"):
                break
            header.append(line.strip().lstrip("# "))
    return "\n".join(header)


def _program(header: str) -> str:
    # FEFF ends the first line of a title, and 8 and 9 that of the title alone, with its name.
    found = re.search(r"\bFEFF *([\d.]+\w*) *$", header.partition("\nPOT")[0], re.MULTILINE | re.IGNORECASE)
    return f"FEFF {found[1]}" if found else ""


def _header_cards(header: str) -> HeaderCards:
    scf = re.search(r"^POT +SCF *(\d+) *([\d.]+) +(\d+)", header, re.MULTILINE)
    exchange = re.search(rf"^Gam_ch= *{_NUMBER} (.{{8}})(?: Vi= *({_NUMBER}) Vr= *({_NUMBER}))?", header, re.MULTILINE)
    s02 = re.search(r"^S02= *(\d*\.\d+)", header, re.MULTILINE)
    step = re.search(rf"^xsedge\+ *\d+, used to normalize mu +({_NUMBER})", header, re.MULTILINE)
    return HeaderCards(
        scf=(int(scf[1]), float(scf[2]), int(scf[3])) if scf else None,
        exchange=exchange[1].strip() if exchange else None,
        shifts=(float(exchange[3]), float(exchange[2])) if exchange and exchange[2] else None,
        s02=float(s02[1]) if s02 else None,
        step=float(step[1]) if step else None,
    )


def _columns(name: str, rows: list[str], unknown: int | None) -> Floats:
    values = []
    for row in rows:
        # Fortran drops the E of three-digit exponents: 1.0-101.
        fields = [re.sub(r"(?<=\d)([+-]\d{3})$", r"E\1", field) for field in row.split()]
        try:
            numbers = [float(field) for field in fields]
        except ValueError:
            numbers = []
        known = [number for place, number in enumerate(numbers) if place != unknown]
        if len(numbers) != 6 or not np.isfinite(known).all():
            raise SpectrumError(f"{name} has the row '{' '.join(row.split())[:80]}'; expected six finite numbers")
        values.append(numbers)
    return np.ascontiguousarray(np.array(values, dtype=np.float64).T)
