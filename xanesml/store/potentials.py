"""The potentials of a campaign's FEFF runs: which atoms share one, and which atom stands for each."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xanesml.campaign import FeffSection
from xanesml.files.arrays import Booleans, Floats, Integers, Wholes
from xanesml.structures import Cluster
from xanesml.structures.potentials import REACH, Potentials, Representatives, classify, numbered


class CampaignPotentials:
    """The potentials of a campaign's FEFF runs, by the rules of its cards.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    feff : FeffSection
        The FEFF cards.

    Attributes
    ----------
    classes : Classes
        The classes of the atoms; all atoms of a class share a potential.

    Raises
    ------
    StructureError
        If there are more elements than FEFF has potentials for.
    """

    def __init__(self, cluster: Cluster, feff: FeffSection) -> None:
        self._cluster = cluster
        self._feff = feff
        self._undistorted: dict[int, NDArray[np.int32]] = {}
        self.classes = classify(cluster, feff.potentials)

    def choose(self, positions: Floats, distorted: Booleans, structure: Wholes, absorber: Wholes) -> NDArray[np.int32]:
        """Choose the atoms that stand for the potentials of some tasks.

        An isotropic distortion leaves the choice as it is in the undistorted cluster, so it is the
        same all along a series.

        Parameters
        ----------
        positions : ndarray of float64, shape (n, A, 3)
            A block of structures, Å.
        distorted : ndarray of bool, shape (n,)
            Whether each of them is an isotropic distortion.
        structure : ndarray of int, shape (t,)
            Structure of each task, in the block; ascending.
        absorber : ndarray of int, shape (t,)
            Absorber of each task.

        Returns
        -------
        ndarray of int32, shape (t, K)
            An atom for each class; −1 where the absorber is the only one of its class.
        """
        chosen = np.empty((len(structure), len(self.classes.names)), dtype=np.int32)
        starts = np.flatnonzero(np.diff(structure, prepend=-1))
        for start, stop in zip(starts, [*starts[1:], len(structure)], strict=True):
            here, tasks = structure[start], slice(start, stop)
            if distorted[here]:
                chosen[tasks] = [self._of_undistorted(int(atom)) for atom in absorber[tasks]]
            else:
                chosen[tasks] = self._rule(positions[here], absorber[tasks])
        return chosen

    def of_task(self, absorber: int, chosen: Wholes) -> Potentials:
        """Return the potentials of a task, from its absorber and the atoms that stand for the classes, (K,)."""
        return numbered(self.classes, absorber, chosen)

    def count(self, absorber: Wholes) -> Integers:
        """Return the number of potentials in the runs of some absorbers, of any shape, the absorber's own included."""
        sizes = self.classes.sizes[self.classes.of_atom]
        return np.asarray(1 + len(self.classes.names) - (sizes[absorber] == 1))

    def lines(self, absorber: int, chosen: Wholes, positions: Floats) -> list[str]:
        """Describe the potentials of a task, a line each; arguments as for `of_task`, and positions (A, 3), Å."""
        potentials = self.of_task(absorber, chosen)
        counts = np.bincount(potentials.of_atom)
        names = np.array(self.classes.names)[self.classes.of_atom]
        lines = [f"0: {names[absorber]}, the absorber, atom {absorber}"]
        for number, atom in enumerate(potentials.representatives.tolist(), 1):
            away = float(np.linalg.norm(positions[atom] - positions[absorber]))
            lines.append(
                f"{number}: {names[atom]}, {counts[number]} atoms; atom {atom}, {away:.2f} Å from the absorber, "
                "stands for them"
            )
        return lines

    @property
    def by_feff(self) -> bool:
        """Whether feff.inp says nothing of the potentials, and FEFF takes them by its own rules."""
        feff = self._feff
        return (feff.potentials, feff.representative, feff.stoichiometry) == ("element", "nearest", "feff")

    def _of_undistorted(self, absorber: int) -> NDArray[np.int32]:
        if absorber not in self._undistorted:
            self._undistorted[absorber] = self._rule(self._cluster.positions, np.array([absorber]))[0]
        return self._undistorted[absorber]

    def _rule(self, positions: Floats, absorbers: Wholes) -> NDArray[np.int32]:
        rule = self._chooser.typical if self._feff.representative == "typical" else self._chooser.nearest
        return rule(positions, absorbers).astype(np.int32)

    @cached_property
    def _chooser(self) -> Representatives:
        scf = self._feff.scf
        reach = REACH * self._cluster.first_shell if scf is None else scf.radius
        return Representatives(self._cluster, self.classes, reach=reach)
