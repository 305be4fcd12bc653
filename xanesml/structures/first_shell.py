"""The first shell of an absorber: bounded by the first real gap between its neighbors' distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.errors import StructureError
from xanesml.files.arrays import Floats

#: Smallest ratio of successive distances that separates two shells. The second shell of bcc lies at 1.155 of the
#: first, that of fcc at 1.414; the two halves of the first shell of non-ideal hcp are closer: 1.094 in zinc, 1.105
#: in cadmium.
GAP = 1.13

#: Distances up to this multiple of the shortest are searched for the gap.
_REACH = 2.0

#: No bond may be this near to a cutoff that is given, as a share of it.
_CLEARANCE = 0.01

#: Distances that a message names.
_NAMED = 24


@dataclass(frozen=True)
class FirstShell:
    """The first shell of an absorber.

    Attributes
    ----------
    lengths : ndarray of float64, shape (n,)
        Lengths of its bonds, ascending, Å.
    cutoff : float
        Largest length of a bond of the first shell, Å.
    """

    lengths: Floats
    cutoff: float


def find_first_shell(lengths: Floats, others: Floats, source: str) -> FirstShell:
    """Find the first shell of an absorber by the first real gap between its distances.

    Parameters
    ----------
    lengths : ndarray of float64, shape (n,)
        Distances of the absorber from atoms that count as neighbors, ascending, Å, at least one: all up to
        `search_radius`, or all of the structure.
    others : ndarray of float64, shape (m,)
        Distances between any of these atoms, ascending, Å. They tell how far the cutoff may reach where the
        absorber has no neighbors beyond its first shell.
    source : str
        The structure, for the message.

    Returns
    -------
    FirstShell
        The cutoff is the geometric mean of the distances on either side of the gap.

    Raises
    ------
    StructureError
        If there is no gap; the message has the distances.
    """
    near = lengths[lengths <= _REACH * lengths[0]]
    gaps = np.flatnonzero(near[1:] >= GAP * near[:-1])
    if len(gaps):
        inside = int(gaps[0]) + 1
        return FirstShell(near[:inside], float(np.sqrt(near[inside - 1] * near[inside])))
    last = float(near[-1])
    if len(near) < len(lengths):
        following = float(lengths[len(near)])
        if following >= GAP * last:
            return FirstShell(near, float(np.sqrt(last * following)))
        raise StructureError(
            f"{source}: the absorber's distances have no gap that bounds its first shell: {_listed(near)}; "
            "look at them with `xanesml plan --figure FILE`, and give structure.first_shell_cutoff"
        )
    # All atoms are in the first shell, as in the cuboctahedron of 13.
    beyond = others[others >= GAP * last]
    return FirstShell(near, float(np.sqrt(last * beyond[0])) if len(beyond) else GAP * last)


def given_first_shell(lengths: Floats, cutoff: float, source: str) -> FirstShell:
    """Return the first shell of an absorber up to a cutoff that is given.

    Parameters
    ----------
    lengths : ndarray of float64, shape (n,)
        Distances of the absorber from atoms that count as neighbors, ascending, Å, at least one.
    cutoff : float
        Largest length of a bond, Å.
    source : str
        The structure, for the message.

    Raises
    ------
    StructureError
        If no neighbor is within the cutoff, or the cutoff lies inside a shell: a distance is within 1 % of it.
    """
    if lengths[0] > cutoff:
        raise StructureError(
            f"{source}: the absorber has no neighbors within structure.first_shell_cutoff = {cutoff} Å; "
            f"the nearest atom is {lengths[0]:.4f} Å away"
        )
    if np.abs(lengths - cutoff).min() < _CLEARANCE * cutoff:
        raise StructureError(
            f"{source}: structure.first_shell_cutoff = {cutoff} Å lies inside a shell; the absorber's distances are "
            f"{_listed(lengths)}; give a number that is {100 * _CLEARANCE:g} % or more from all of them"
        )
    return FirstShell(lengths[lengths <= cutoff], cutoff)


def _listed(lengths: Floats) -> str:
    """Return distances as text, equal ones once with their number."""
    values, counts = np.unique(np.round(lengths, 3), return_counts=True)
    named = [f"{count} × {value:.3f}" for value, count in zip(values[:_NAMED], counts, strict=False)]
    return ", ".join(named) + (", …" if len(values) > _NAMED else "") + " Å"
