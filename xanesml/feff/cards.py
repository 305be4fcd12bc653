"""The text of feff.inp. Its hash identifies a task, so the same physics gives the same text."""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula

from xanesml.campaign import FeffSection
from xanesml.errors import StructureError
from xanesml.files.arrays import Floats, Wholes
from xanesml.structures.potentials import Potentials, by_element

#: Decimals of lengths in feff.inp, Å.
DECIMALS = 6


def feff_input(
    *,
    numbers: Wholes,
    positions: Floats,
    absorber: int,
    feff: FeffSection,
    potentials: Potentials | None = None,
    scale: float = 1.0,
) -> str:
    """Return the feff.inp of one absorber in one cluster.

    Lengths are rounded to 10⁻⁶ Å and the atoms sorted by distance from the absorber,
    ties by coordinates, both on the rounded numbers: the text depends neither on the
    order of the atoms nor on where the cluster lies. With `feff.representative = "typical"`
    the atoms that stand for the potentials come before the others: the first atom of a potential
    stands for it.

    Parameters
    ----------
    numbers : (A,) int
        Atomic numbers.
    positions : (A, 3) float
        Positions, Å; no NaN.
    absorber : int
        Index of the absorbing atom, from 0.
    feff : FeffSection
        The cards.
    potentials : Potentials, optional
        The potentials of the atoms; by default one for each element, with the nearest atom for each.
    scale : float, optional
        Factor of the SCF and FMS radii if `feff.radii` is `"scaled"`: the cluster's own
        isotropic scale, so that all distortions see the same atoms.

    Raises
    ------
    StructureError
        If the absorber is not an atom of the cluster or a position is not finite.

    References
    ----------
    FEFF10 user's guide, section 3 (feff.inp).
    """
    if not 0 <= absorber < len(numbers):
        raise StructureError(f"absorber {absorber} is not in the cluster; give an index from 0 to {len(numbers) - 1}")
    if not np.isfinite(positions).all():
        raise StructureError("positions are not finite; check the structure file")
    listed = np.empty(0, dtype=np.int64)
    if potentials is None:
        potentials = by_element(numbers, absorber)
    elif feff.representative == "typical":
        listed = potentials.representatives
    head = feff_head(numbers=numbers, absorber=absorber, feff=feff, potentials=potentials, scale=scale)
    return head + atom_rows(positions - positions[absorber], absorber, potentials.of_atom, listed) + "END\n"


def feff_head(*, numbers: Wholes, absorber: int, feff: FeffSection, potentials: Potentials, scale: float = 1.0) -> str:
    """Return the part of feff.inp before the atoms; parameters as for `feff_input`."""
    lines = _cards(numbers, absorber, feff, scale) + potential_list(numbers, absorber, feff, potentials) + ["ATOMS"]
    return "\n".join(lines) + "\n"


def potential_list(numbers: Wholes, absorber: int, feff: FeffSection, potentials: Potentials) -> list[str]:
    """Return the card POTENTIALS with its list; parameters as for `feff_input`."""
    counts = np.bincount(potentials.of_atom).tolist() if feff.stoichiometry == "cluster" else None
    elements = numbers[[absorber, *potentials.representatives.tolist()]].tolist()
    return [
        "POTENTIALS",
        *(
            f"{i} {z} {chemical_symbols[z]} {feff.lmax} {feff.lmax} {counts[i] if counts else 0}"
            for i, z in enumerate(elements)
        ),
    ]


def fms_radius(feff: FeffSection, scale: float = 1.0) -> float:
    """Return the radius on the FMS card, Å; `scale` applies if `feff.radii` is `"scaled"`."""
    return round(feff.fms_radius * _factor(feff, scale), DECIMALS)


def scf_radius(feff: FeffSection, scale: float = 1.0) -> float | None:
    """Return the radius on the SCF card, Å, None without one; `scale` applies as in `fms_radius`."""
    return None if feff.scf is None else round(feff.scf.radius * _factor(feff, scale), DECIMALS)


def card_names(feff: FeffSection) -> tuple[str, ...]:
    """Return the names of the cards that `feff_input` writes, without those of `feff.extra_cards`."""
    optional = {
        "SCF": feff.scf is not None,
        "CORVAL": feff.corval is not None,
        "ABSOLUTE": feff.normalization == "absolute",
    }
    always = ("TITLE", "EDGE", "EXCHANGE", "S02", "XANES", "FMS", "POTENTIALS", "ATOMS")
    return (*always, *(name for name, present in optional.items() if present))


def _factor(feff: FeffSection, scale: float) -> float:
    return scale if feff.radii == "scaled" else 1.0


def potential_cards(numbers: Wholes, absorber: int, feff: FeffSection, scale: float = 1.0) -> list[str]:
    """Return the cards up to the potentials: TITLE, EDGE, SCF and CORVAL; parameters as for `feff_input`."""
    present, counts = np.unique(numbers, return_counts=True)
    symbols = (chemical_symbols[z] for z in present)
    formula = Formula.from_dict(dict(zip(symbols, counts.tolist(), strict=True))).format("hill")
    cards = [f"TITLE {formula}, {chemical_symbols[numbers[absorber]]} {feff.edge} edge", f"EDGE {feff.edge}"]
    if (scf := feff.scf) is not None:
        cards.append(
            f"SCF {scf_radius(feff, scale):.{DECIMALS}f} {scf.lfms} {scf.iterations} {float(scf.mixing)} "
            f"{scf.mixing_iterations}"
        )
    if feff.corval is not None:
        cards.append(f"CORVAL {float(feff.corval)}")
    return cards


def _cards(numbers: Wholes, absorber: int, feff: FeffSection, scale: float) -> list[str]:
    cards = potential_cards(numbers, absorber, feff, scale)
    model, real, imaginary = feff.exchange
    cards += [
        f"EXCHANGE {model} {float(real)} {float(imaginary)}",
        f"S02 {float(feff.s02)}",
        "XANES " + " ".join(str(float(value)) for value in feff.xanes),
        f"FMS {fms_radius(feff, scale):.{DECIMALS}f}",
    ]
    if feff.normalization == "absolute":
        cards.append("ABSOLUTE")
    return cards + feff.extra_cards


def atom_rows(shifted: Floats, absorber: int, potentials: Wholes, first: Wholes) -> str:
    """Return the rows of the card ATOMS: the absorber, the atoms `first`, then the others by distance.

    Parameters
    ----------
    shifted : (A, 3) float
        Positions from the absorber, Å; no NaN.
    absorber : int
        Index of the absorbing atom, from 0.
    potentials : (A,) int
        Potential of every atom.
    first : (n,) int
        Indices of the atoms that come before the others.
    """
    # In whole units of the last decimal distances compare exactly and -0 cannot occur.
    units = np.rint(shifted * 10.0**DECIMALS).astype(np.int64)
    place = np.full(len(units), len(first) + 1)
    place[first] = np.arange(1, len(first) + 1)
    place[absorber] = 0
    x, y, z = units.T
    order = np.lexsort((potentials, z, y, x, (units**2).sum(axis=1), place))
    rows = np.column_stack((units / 10.0**DECIMALS, potentials))[order]
    row = f"%.{DECIMALS}f %.{DECIMALS}f %.{DECIMALS}f %d\n"
    return (row * len(rows)) % tuple(rows.ravel().tolist())
