"""What differs between two FEFF inputs: one of somebody else, and the one that a task has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from xanesml.feff.inp_campaign import feff_keys
from xanesml.files.arrays import Floats, Integers
from xanesml.structures.feff_inp import FeffInput

#: Largest distance between atoms that are the same, relative to the absorber, Å.
SAME_POSITION = 1e-3

#: Largest relative difference between numbers on cards that are the same.
SAME_NUMBER = 1e-6

#: Cards that change a spectrum and for which a campaign has no key.
_UNKNOWN = ("RESTART", "SIG2", "DEBYE")

#: Keys of `feff.scf` that say how the potentials are reached, not what they are.
_HOW_REACHED = ("iterations", "mixing", "mixing_iterations")


def matched_atoms(theirs: FeffInput, ours: FeffInput) -> tuple[Integers | None, float]:
    """Find each atom of one input in another, both relative to their absorbers.

    Parameters
    ----------
    theirs, ours : FeffInput
        Inputs of equally many atoms.

    Returns
    -------
    ndarray of int64, shape (A,), or None
        For each atom of theirs the one of ours; None where they are not the same atoms.
    float
        Largest distance between an atom of theirs and the nearest of ours, Å.
    """
    where_theirs, where_ours = (_relative(one) for one in (theirs, ours))
    distance, found = cKDTree(where_ours).query(where_theirs)
    farthest = float(distance.max())
    same = (
        farthest <= SAME_POSITION
        and len(np.unique(found)) == len(found)
        and found[theirs.absorber] == ours.absorber
        and np.array_equal(theirs.atoms.numbers, ours.atoms.numbers[found])
    )
    return (np.asarray(found, dtype=np.int64) if same else None), farthest


def card_differences(theirs: FeffInput, ours: FeffInput, path: Path) -> Iterator[str]:
    """Yield what differs between the cards of two inputs and changes a spectrum, theirs first.

    Numbers of iterations and mixing of SCF, titles, PRINT, CONTROL and cards of paths do not.

    Raises
    ------
    CampaignError
        If a card cannot be read.
    """
    keys, own = feff_keys(path, theirs)[0], feff_keys(path, ours)[0]
    for one in (keys, own):
        if isinstance(one["scf"], dict):
            one["scf"] = {name: value for name, value in one["scf"].items() if name not in _HOW_REACHED}
        one["extra_cards"] = sorted(one.get("extra_cards", []))
        # A key that the campaign of an input always has; the card decides here.
        one["normalization"] = "absolute"
    for name, value in keys.items():
        if not _same(value, own[name]):
            yield f"feff.{name} is {_text(value)}, and {_text(own[name])} in the campaign"
    absolute = ["ABSOLUTE" in one.cards for one in (theirs, ours)]
    if absolute[0] != absolute[1]:
        there = ("no card", "the card")
        yield f"it has {there[absolute[0]]} ABSOLUTE, and the campaign {there[absolute[1]]} (feff.normalization)"
    for card in _UNKNOWN:
        if card in theirs.cards and card not in ours.cards:
            yield f"it has the card {card}, which changes the spectrum"


def potential_differences(theirs: FeffInput, ours: FeffInput, found: Integers) -> Iterator[str]:
    """Yield what differs between the potentials of two inputs of the same atoms; `found` is of `matched_atoms`."""
    own = ours.potential[found]
    by_element = "" if theirs.shared else ' = "element"'
    pairs = np.unique(np.column_stack([theirs.potential, own]), axis=0)
    if len(pairs) != len(np.unique(pairs[:, 0])) or len(pairs) != len(np.unique(pairs[:, 1])):
        yield (
            f"its atoms share {theirs.potential.max() + 1} potentials, and in another way the campaign's "
            f"{ours.potential.max() + 1} (feff.potentials{by_element})"
        )
        return
    counts = [(theirs.counts[one], ours.counts[other]) for one, other in pairs.tolist() if one < len(theirs.counts)]
    if any(one != other for one, other in counts):
        like_feff = "" if any(theirs.counts) else ' = "feff"'
        yield f"the numbers of atoms of its POTENTIALS are others than the campaign's (feff.stoichiometry{like_feff})"


def other_representatives(theirs: FeffInput, ours: FeffInput, found: Integers) -> list[str]:
    """Return which potentials the two inputs compute from atoms in other surroundings, one text each.

    FEFF takes the first atom of a potential in its list. Atoms with the same distances to all others count as the
    same, as they are by symmetry.
    """
    where = _relative(ours)
    differing = []
    for number in range(1, int(theirs.potential.max()) + 1):
        first = int(found[np.flatnonzero(theirs.potential == number)[0]])
        own = int(np.flatnonzero(ours.potential == ours.potential[first])[0])
        around, around_own = (np.sort(np.linalg.norm(where - where[atom], axis=1)) for atom in (first, own))
        if np.abs(around - around_own).max() > 2 * SAME_POSITION:
            away, away_own = np.linalg.norm(where[[first, own]], axis=1)
            differing.append(f"potential {number} of an atom {away:.3f} Å from the absorber, not {away_own:.3f} Å")
    return differing


def _relative(one: FeffInput) -> Floats:
    positions = one.atoms.positions
    return np.asarray(positions - positions[one.absorber], dtype=np.float64)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, bool | str) or isinstance(other, bool | str | dict | list):
        return bool(one == other) and type(one) is type(other)
    return bool(np.isclose(one, other, rtol=SAME_NUMBER, atol=SAME_POSITION / 10))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part:g}" for name, part in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "none" if value is False else str(value)
