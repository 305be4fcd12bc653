"""Which atoms of a structure share a FEFF potential, and which atom stands for each of them.

FEFF computes one potential for all atoms of a kind, from the surroundings of one atom. Atoms of
unlike surroundings need potentials of their own, and the atom that stands for the others must be a
typical one: in small clusters the choice moves a spectrum by more than any disorder does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from ase.data import chemical_symbols

from xanesml.errors import StructureError
from xanesml.files.arrays import Floats, Indices, Integers, Wholes
from xanesml.structures.cluster import Cluster, first_neighbors

#: How atoms are put into classes; all atoms of a class share a potential.
Rule = Literal["element", "coordination", "shell"]

#: Largest number of classes. FEFF has room for some ten potentials, the absorber's among them.
MOST_CLASSES = 9

#: Decay length of an atom's density at the distance of its neighbors, Å.
DECAY = 0.45

#: Atoms up to this many first-shell lengths away count as surroundings; one further away adds less
#: than 1 % of a neighbor's share.
REACH = 2.0

#: Surroundings whose logarithms of the density differ by less are equally typical: rounding, or a
#: displacement of 10⁻⁶ Å, does not choose among them.
MARGIN = 1e-3

#: Number of digits of lengths that count where atoms are equally typical, Å.
_DECIMALS = 4


@dataclass(frozen=True)
class Classes:
    """The classes of the atoms of a cluster.

    Attributes
    ----------
    names : tuple of str
        Element, and coordination number or shell, such as ``Au 12`` or ``Au 8-9``; by element, then ascending.
    of_atom : ndarray of int64, shape (A,)
        Class of every atom, from 0.
    """

    names: tuple[str, ...]
    of_atom: Integers

    @property
    def sizes(self) -> Integers:
        """Number of atoms in each class, shape (K,)."""
        return np.bincount(self.of_atom, minlength=len(self.names))


@dataclass(frozen=True)
class Potentials:
    """The potentials of one FEFF input.

    Attributes
    ----------
    of_atom : ndarray of int64, shape (A,)
        Potential of every atom: 0 for the absorber, 1 … n for the others.
    representatives : ndarray of int64, shape (n,)
        Atoms that stand for the potentials 1 … n.
    """

    of_atom: Integers
    representatives: Integers


def classify(cluster: Cluster, rule: Rule) -> Classes:
    """Put the atoms of an undistorted cluster into classes.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    rule : {"element", "coordination", "shell"}
        `element` alone; element and number of first neighbors; or element and number of bonds
        to the central atom. Where there are more than `MOST_CLASSES`, classes next to each other are
        merged, the smallest first.

    Returns
    -------
    Classes
        The same for all distortions and disorders of the cluster.

    Raises
    ------
    StructureError
        If the cluster has more than `MOST_CLASSES` elements.
    """
    match rule:
        case "element":
            level: Wholes = np.zeros_like(cluster.numbers)
        case "coordination":
            level = cluster.coordination
        case "shell":
            level = _shells(cluster)
    return grouped(cluster.numbers, level)


def grouped(numbers: Wholes, level: Wholes) -> Classes:
    """Put atoms into classes by element and by a whole number, both of shape (A,); see `classify`."""
    found = Counter(zip(numbers.tolist(), level.tolist(), strict=True))
    groups = [([key], count) for key, count in sorted(found.items())]
    while len(groups) > MOST_CLASSES:
        sizes = [
            (before[1] + after[1], place)
            for place, (before, after) in enumerate(pairwise(groups))
            if before[0][0][0] == after[0][0][0]
        ]
        if not sizes:
            raise StructureError(
                f"the structure has {len(groups)} elements, and FEFF has room for {MOST_CLASSES} potentials besides "
                "the absorber's; give a structure of fewer elements"
            )
        place = min(sizes)[1]
        (first, some), (second, more) = groups[place : place + 2]
        groups[place : place + 2] = [(first + second, some + more)]
    by_key = {key: place for place, (keys, _) in enumerate(groups) for key in keys}
    alone = len({key[1] for key in found}) == 1
    return Classes(
        tuple(_name(keys, alone=alone) for keys, _ in groups),
        np.array([by_key[key] for key in zip(numbers.tolist(), level.tolist(), strict=True)], dtype=np.int64),
    )


class Representatives:
    """Chooses the atom that stands for each class of a cluster's atoms.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    classes : Classes
        Its classes.
    reach : float
        Distance up to which FEFF looks at an atom's surroundings, Å: the SCF radius.
    """

    def __init__(self, cluster: Cluster, classes: Classes, *, reach: float) -> None:
        from scipy.spatial import cKDTree  # noqa: PLC0415 (slow to import, and not needed on every rank)

        self._positions = cluster.positions
        self._pairs = cKDTree(cluster.positions).query_pairs(REACH * cluster.first_shell, output_type="ndarray")
        self._out = _rounded(np.linalg.norm(cluster.positions - cluster.positions[cluster.absorber], axis=1))
        self._members = [np.flatnonzero(classes.of_atom == place) for place in range(len(classes.names))]
        whole = np.ones(len(cluster.numbers), dtype=bool)
        if cluster.radius is not None:
            # Atoms near the surface of a sphere that was cut from a crystal have lost neighbors.
            whole = self._out + reach <= cluster.radius + 10.0**-_DECIMALS
        self._whole = [members[whole[members]] for members in self._members]

    def typical(self, positions: Floats, absorbers: Wholes) -> Integers:
        """Choose the atoms whose surroundings are the most typical of their class.

        The surroundings leave the density Σ exp(−r / 0.45 Å) at an atom. The atom whose logarithm
        of it is nearest to the mean of its class stands for the class. Of several within `MARGIN`
        it is the one that is, in the undistorted cluster, as far from the absorber's core hole as the
        class is in the median.

        Parameters
        ----------
        positions : ndarray of float64, shape (A, 3)
            One structure, Å, its isotropic scale taken out.
        absorbers : ndarray of int, shape (n,)
            Absorbers of FEFF runs; an absorber stands for no class in its own run.

        Returns
        -------
        ndarray of int64, shape (n, K)
            An atom for each class, for each absorber; −1 where the absorber is the only one of its class.
        """
        density = self.densities(positions)
        chosen = np.full((len(absorbers), len(self._members)), -1, dtype=np.int64)
        for place, (members, whole) in enumerate(zip(self._members, self._whole, strict=True)):
            typical = density[whole if len(whole) else members].mean()
            best = self._candidates(members, whole, density, typical, absorber=None)
            chosen[:, place] = best[0]
            # Where there is a choice, or the absorber itself is the best, each absorber chooses.
            for row in np.flatnonzero((len(best) > 1) | (absorbers == best[0])).tolist():
                absorber = int(absorbers[row])
                candidates = self._candidates(members, whole, density, typical, absorber)
                chosen[row, place] = self._middle(candidates, members, absorber) if len(candidates) else -1
        return chosen

    def nearest(self, positions: Floats, absorbers: Wholes) -> Integers:
        """Return the atoms nearest to the absorber, as FEFF takes them by itself; see `typical`."""
        chosen = np.full((len(absorbers), len(self._members)), -1, dtype=np.int64)
        for row, absorber in enumerate(absorbers.tolist()):
            units = np.rint((positions - positions[absorber]) * 1e6).astype(np.int64)
            x, y, z = units.T
            order = np.lexsort((z, y, x, (units**2).sum(axis=1)))
            order = order[order != absorber]
            for place, members in enumerate(self._members):
                near = order[np.isin(order, members)]
                chosen[row, place] = near[0] if len(near) else -1
        return chosen

    def densities(self, positions: Floats) -> Floats:
        """Return the logarithm of the density that its surroundings leave at each atom, shape (A,)."""
        first, second = self._pairs.T
        shares = np.exp(-np.linalg.norm(positions[first] - positions[second], axis=1) / DECAY)
        count = len(positions)
        total = np.bincount(first, shares, minlength=count) + np.bincount(second, shares, minlength=count)
        # Finite for an atom without surroundings, too.
        return np.asarray(np.log(np.maximum(total, np.finfo(np.float64).tiny)))

    def _candidates(
        self, members: Integers, whole: Integers, density: Floats, typical: float, absorber: int | None
    ) -> Integers:
        candidates = whole[whole != absorber]
        if not len(candidates):
            # All have lost a part of their surroundings to the cut; the innermost have lost least.
            candidates = members[members != absorber]
            candidates = candidates[self._out[candidates] == self._out[candidates].min(initial=np.inf)]
        distance = np.abs(density[candidates] - typical)
        best: Integers = candidates[distance <= distance.min(initial=np.inf) + MARGIN]
        return best

    def _middle(self, candidates: Integers, members: Integers, absorber: int) -> int:
        away = self._positions - self._positions[absorber]
        distance = np.linalg.norm(away, axis=1)
        median = np.median(distance[members[members != absorber]])
        x, y, z = _rounded(away[candidates]).T
        near = _rounded(distance[candidates])
        order = np.lexsort((z, y, x, self._out[candidates], near, _rounded(np.abs(near - median))))
        return int(candidates[order[0]])


def numbered(classes: Classes, absorber: int, chosen: Wholes) -> Potentials:
    """Return the potentials of one FEFF input.

    Parameters
    ----------
    classes : Classes
        The classes of the atoms.
    absorber : int
        The absorber.
    chosen : ndarray of int, shape (K,)
        The atom that stands for each class, −1 for a class without one; see `Representatives`.
    """
    present = chosen >= 0
    of_class = np.where(present, np.cumsum(present), 0)
    of_atom = of_class[classes.of_atom]
    of_atom[absorber] = 0
    return Potentials(of_atom, np.asarray(chosen[present], dtype=np.int64))


def _rounded(lengths: Floats) -> Floats:
    return np.round(lengths, _DECIMALS)


def by_element(numbers: Wholes, absorber: int) -> Potentials:
    """Return one potential for each element, by atomic number; the element's first atom stands for it."""
    others = np.delete(np.arange(len(numbers)), absorber)
    _, first, of_other = np.unique(numbers[others], return_index=True, return_inverse=True)
    of_atom = np.zeros(len(numbers), dtype=np.int64)
    of_atom[others] = of_other + 1
    return Potentials(of_atom, others[first])


def _shells(cluster: Cluster) -> Integers:
    """Return the number of bonds between each atom and the central one, shape (A,); one more where there is no way."""
    shell = np.full(len(cluster.numbers), -1, dtype=np.int64)
    edge: Indices = np.array([cluster.absorber])
    count = 0
    while len(edge):
        shell[edge] = count
        near = [first_neighbors(cluster.positions, int(atom), cluster.first_shell_cutoff) for atom in edge]
        found = np.unique(np.concatenate(near))
        edge = found[shell[found] < 0]
        count += 1
    return np.where(shell < 0, count, shell)


def _name(keys: list[tuple[int, int]], *, alone: bool) -> str:
    element = chemical_symbols[keys[0][0]]
    levels = sorted(level for _, level in keys)
    if alone:
        return element
    return f"{element} {levels[0]}" if len(levels) == 1 else f"{element} {levels[0]}-{levels[-1]}"
