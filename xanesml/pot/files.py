"""FEFF's apot.bin, which `atomic` writes, and pot.bin, which later stages read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from xanesml.errors import NotApplicable
from xanesml.files.arrays import Floats, Indices
from xanesml.fms.pad import decode, encode
from xanesml.pot.radial import ATOMIC

#: Places for orbitals of an atom, and coefficients of their series at the nucleus.
ORBITALS, SERIES = 41, 10

# FEFF fills lines up to this many characters.
_LINE = 82
_WIDTH = 8


@dataclass(frozen=True)
class FreeAtoms:
    """Free atoms and their overlap, from apot.bin.

    Potentials p = 0 … P − 1, orbitals o, grid points r of `radial.ATOMIC`; Hartree and bohr; no NaN.

    Attributes
    ----------
    edge : int
        FEFF's number of the absorption edge.
    relaxation, edge_energy, s02 : float
        Of the core hole: relaxation energy, edge energy, amplitude reduction factor.
    charges : (P,) intp
        Atomic numbers.
    representatives : (P,) intp
        Index of the atom that stands for each potential.
    norman_radii : (P,) float64
        Norman radii of the overlapped atoms.
    potentials : (A,) intp
        Potential of each atom.
    hole_large, hole_small : (251,) float64
        Components of the orbital of the core hole.
    magnetization : (251, P + 1) float64
        Spin density, as the file has it.
    valence_counts : (L, P) float64
        Valence electrons of each angular momentum.
    valence : (41, P) float64
        Valence electrons of each orbital.
    energies : (41, P) float64
        Orbital energies.
    density, valence_density, coulomb : (251, P) float64
        4π times the overlapped densities; the overlapped Coulomb potential.
    kappas : (41, P) intp
        Quantum numbers κ; 0 where there is no orbital.
    last_orbitals : (10, P) intp
        Index, from 1, of the last orbital of each κ = −5 … 4.
    large, small : (P, 41, 251) float64
        Components of the orbitals, times r.
    large_series, small_series : (P, 41, 10) float64
        Coefficients of their series at the nucleus.
    """

    edge: int
    relaxation: float
    edge_energy: float
    s02: float
    charges: Indices
    representatives: Indices
    norman_radii: Floats
    potentials: Indices
    hole_large: Floats
    hole_small: Floats
    magnetization: Floats
    valence_counts: Floats
    valence: Floats
    energies: Floats
    density: Floats
    valence_density: Floats
    coulomb: Floats
    kappas: Indices
    last_orbitals: Indices
    large: Floats
    small: Floats
    large_series: Floats
    small_series: Floats


@dataclass(frozen=True)
class Potentials:
    """Muffin-tin potentials: the content of pot.bin; Hartree and bohr; no NaN.

    Attributes
    ----------
    numbers : tuple of int
        nohole, ihole, inters, iafolp, jumprm and iunf of the header.
    titles : tuple of str
        Title lines.
    scalars : (13,) float64
        Average Norman radius, Fermi level, interstitial level, 4π times the interstitial
        density, edge energy, s02, relaxation energy, plasmon energy, core-valence separation, and of
        the interstitial density rs and Fermi momentum; number of electrons; volume.
    muffin_tin_points, norman_points, charges : (P,) intp
        Number, from 1, of the last grid point inside each radius; atomic numbers.
    kappas : (41,) intp
        Quantum numbers κ of the absorber's orbitals.
    muffin_tin_radii, norman_radii, overlaps, largest_overlaps, multiplicities, ionicities : (P,) float64
        Radii; overlap factors and their limits; number of atoms of each potential; ionicities.
    hole_large, hole_small : (251,) float64
        Components of the orbital of the core hole.
    large, small : (P, 41, 251) float64
        Components of the orbitals.
    large_series, small_series : (P, 41, 10) float64
        Coefficients of their series at the nucleus.
    density, coulomb, total, valence_density, valence_total, magnetization : (P, 251) float64
        4π times the density; Coulomb potential and with exchange and correlation; the same
        of the valence density; spin density.
    valence : (P, 41) float64
        Valence electrons of each orbital.
    energies : (41,) float64
        Energies of the absorber's orbitals.
    last_orbitals : (P, 10) intp
        Index, from 1, of the last orbital of each κ = −5 … 4.
    norman_charges : (P,) float64
        Charge of each Norman sphere.
    counts : (P, L) float64
        Valence electrons of each angular momentum.
    """

    numbers: tuple[int, ...]
    titles: tuple[str, ...]
    scalars: Floats
    muffin_tin_points: Indices
    muffin_tin_radii: Floats
    norman_points: Indices
    charges: Indices
    kappas: Indices
    norman_radii: Floats
    overlaps: Floats
    largest_overlaps: Floats
    multiplicities: Floats
    ionicities: Floats
    hole_large: Floats
    hole_small: Floats
    large: Floats
    small: Floats
    large_series: Floats
    small_series: Floats
    density: Floats
    coulomb: Floats
    total: Floats
    valence_density: Floats
    valence_total: Floats
    magnetization: Floats
    valence: Floats
    energies: Floats
    last_orbitals: Indices
    norman_charges: Floats
    counts: Floats


def read_free_atoms(path: Path) -> FreeAtoms:
    """Read an apot.bin of FEFF10.

    Raises
    ------
    NotApplicable
        If the file is missing or is not a complete apot.bin.
    """
    try:
        sections = path.read_text(encoding="ascii").split("#SN#")[1:]
        head = _table(sections[0], 6)[0]
        count, atoms = int(head[0]) + 1, int(head[1])
        per_potential = _table(sections[1], 4)[:count]
        hole = _table(sections[4], 4)
        # One section an array: rho, dmag, rhoval, vcoul, xnvmu, xnval, eorb, rat, rovr, edens, edenvl, vclap, kappa,
        # iorb from the eighth on. Then four groups of one an atom, the last atom being one with the core hole.
        first, atoms_each = 21, count + 1
        large, small, large_series, small_series = (
            np.stack([_array(sections[first + group * atoms_each + p]).T[:ORBITALS] for p in range(count)])
            for group in range(4)
        )
        return FreeAtoms(
            edge=int(head[2]),
            relaxation=float(head[3]),
            edge_energy=float(head[4]),
            s02=float(head[5]),
            charges=per_potential[:, 0].astype(np.intp),
            representatives=per_potential[:, 1].astype(np.intp) - 1,
            norman_radii=per_potential[:, 3],
            potentials=_table(sections[3], 1)[:atoms, 0].astype(np.intp),
            hole_large=hole[:, 0],
            hole_small=hole[:, 1],
            magnetization=_array(sections[8]),
            valence_counts=_array(sections[11])[:, :count],
            valence=_array(sections[12])[:, :count],
            energies=_array(sections[13])[:, :count],
            density=_array(sections[16])[:, :count],
            valence_density=_array(sections[17])[:, :count],
            coulomb=_array(sections[18])[:, :count],
            kappas=_array(sections[19])[:, :count].astype(np.intp),
            last_orbitals=_array(sections[20])[:, :count].astype(np.intp),
            large=large,
            small=small,
            large_series=large_series,
            small_series=small_series,
        )
    except OSError as error:
        raise NotApplicable(f"cannot read {path.name}: {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise NotApplicable(f"{path.name} is not a complete apot.bin of FEFF10") from error


def _numbers_of(section: str) -> Floats:
    lines = [line for line in section.splitlines()[1:] if not line.startswith("#")]
    return np.array(" ".join(lines).split(), dtype=np.float64)


def _table(section: str, columns: int) -> Floats:
    return _numbers_of(section).reshape(-1, columns)


def _array(section: str) -> Floats:
    sizes = section[section.index("with sizes") + len("with sizes") :].split(maxsplit=2)[:2]
    return _numbers_of(section).reshape(int(sizes[0]), int(sizes[1]))


_WHOLE = ("muffin_tin_points", "norman_points", "charges", "kappas")
_SKIPPED = ("numbers", "titles", "last_orbitals")


def write_potentials(path: Path, potentials: Potentials) -> None:
    """Write a pot.bin of FEFF10."""
    numbers = potentials.numbers
    header = (len(potentials.titles), len(potentials.charges) - 1, _WIDTH, *numbers)
    parts = [("".join(f" {number:4d}" for number in header) + "\n" + "\n".join(potentials.titles) + "\n").encode()]
    for field in fields(potentials):
        values = getattr(potentials, field.name)
        if field.name in _WHOLE:
            parts.append(_whole_lines(values, 20, 4))
        elif field.name == "last_orbitals":
            parts.extend(_whole_lines(row, 8, 2) for row in values)
        elif field.name not in _SKIPPED:
            parts.append(_packed_lines(values))
    path.write_bytes(b"".join(parts))


def _whole_lines(values: Indices, each: int, width: int) -> bytes:
    rows = [values[start : start + each] for start in range(0, len(values), each)]
    return "".join("".join(f" {value:{width}d}" for value in row) + "\n" for row in rows).encode()


def _packed_lines(values: Floats) -> bytes:
    text = encode(values.ravel(), _WIDTH)
    each = _LINE // _WIDTH * _WIDTH
    return b"".join(b"!" + text[start : start + each] + b"\n" for start in range(0, len(text), each))


def read_potentials(path: Path) -> Potentials:
    """Read a pot.bin of FEFF10.

    Raises
    ------
    NotApplicable
        If the file is missing or is not a complete pot.bin.
    """
    try:
        lines = iter(path.read_bytes().splitlines())
        titles, last, width, *numbers = (int(word) for word in next(lines).split())
        count = last + 1
        values: dict[str, object] = {
            "numbers": tuple(numbers),
            "titles": tuple(next(lines).decode("latin-1") for _ in range(titles)),
        }
        grid = ATOMIC.size
        shapes: dict[str, tuple[int, ...]] = {"scalars": (13,), "hole_large": (grid,), "hole_small": (grid,)}
        shapes |= dict.fromkeys(("large", "small"), (count, ORBITALS, grid))
        shapes |= dict.fromkeys(("large_series", "small_series"), (count, ORBITALS, SERIES))
        functions = ("density", "coulomb", "total", "valence_density", "valence_total", "magnetization")
        shapes |= dict.fromkeys(functions, (count, grid))
        shapes |= {"valence": (count, ORBITALS), "energies": (ORBITALS,)}
        for field in fields(Potentials):
            if field.name in _WHOLE:
                values[field.name] = _whole(lines, ORBITALS if field.name == "kappas" else count)
            elif field.name == "last_orbitals":
                values[field.name] = np.stack([_whole(lines, 10) for _ in range(count)])
            elif field.name == "counts":
                text = b"".join(line[1:] for line in lines)
                values[field.name] = decode(text, width).reshape(count, -1)
            elif field.name not in _SKIPPED:
                shape = shapes.get(field.name, (count,))
                values[field.name] = _packed(lines, int(np.prod(shape)), width).reshape(shape)
        return Potentials(**values)  # type: ignore[arg-type]
    except OSError as error:
        raise NotApplicable(f"cannot read {path.name}: {error.strerror}") from error
    except (ValueError, StopIteration) as error:
        raise NotApplicable(f"{path.name} is not a complete pot.bin of FEFF10") from error


def _whole(lines: Iterator[bytes], count: int) -> Indices:
    words: list[bytes] = []
    while len(words) < count:
        words += next(lines).split()
    return np.array(words, dtype=np.intp)


def _packed(lines: Iterator[bytes], count: int, width: int) -> Floats:
    parts, missing = [], count * width
    while missing > 0:
        parts.append(next(lines)[1:])
        missing -= len(parts[-1])
    return decode(b"".join(parts), width)
