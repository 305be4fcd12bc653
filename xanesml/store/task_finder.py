"""Which task of a campaign has the atoms of a given FEFF input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from xanesml.errors import StoreError
from xanesml.feff.comparison import (
    SAME_POSITION,
    card_differences,
    matched_atoms,
    other_representatives,
    potential_differences,
)
from xanesml.feff.inp_campaign import feff_keys
from xanesml.feff.request import Request
from xanesml.files.arrays import Floats
from xanesml.store.kinds import Kind
from xanesml.store.tasks import TaskTable
from xanesml.structures.feff_inp import FeffInput, parse_feff_input

#: Distances of a structure that are compared first.
_COMPARED = 12


@dataclass(frozen=True)
class FoundTask:
    """The task of an input.

    Attributes
    ----------
    task : int
        The task.
    request : Request
        The expected output, for the number of SCF iterations that the input allows.
    changes : str
        What differs and was accepted: the atoms that stand for potentials; empty where nothing does.
    """

    task: int
    request: Request
    changes: str


class NoTask(StoreError):
    """No task of the campaign is that of an input; the message says what differs."""


class TaskFinder:
    """Finds the tasks of inputs that were written elsewhere.

    Atoms are compared relative to the absorber, in any order. The distances from the absorber, sorted, change by no
    more than the atoms are displaced, so a few of them, in a tree, leave one or two candidates of a thousand.

    Parameters
    ----------
    table : TaskTable
        The campaign's tasks.
    """

    def __init__(self, table: TaskTable) -> None:
        self._table = table
        count = len(table.cluster.numbers)
        self._places = np.unique(np.linspace(0, count - 1, _COMPARED).astype(int))
        signatures = np.empty((len(table), len(self._places)))
        for rows, part in table.card_sets:
            for block, tasks in part.blocks():
                positions = np.asarray(table.positions[block])
                structure = np.asarray(part.structure[tasks]) - block.start
                absorber = np.asarray(part.absorber[tasks])
                for row in range(len(structure)):
                    here = positions[structure[row]]
                    signatures[rows.start + tasks.start + row] = self._signature(here - here[absorber[row]])
        self._tree = cKDTree(signatures)
        self._taken: set[int] = set()

    def _signature(self, relative: Floats) -> Floats:
        return np.asarray(np.sort(np.linalg.norm(relative, axis=1))[self._places], dtype=np.float64)

    def find(self, theirs: FeffInput, path: Path) -> FoundTask:
        """Find the task of an input.

        Of several tasks with the same input, the first that was not found yet is taken.

        Parameters
        ----------
        theirs : FeffInput
            The input.
        path : Path
            Its file, for messages.

        Raises
        ------
        NoTask
            If no task has its atoms, within `SAME_POSITION`, and its absorber, or cards that change a spectrum
            differ.
        CampaignError
            If a card cannot be read.
        """
        count = len(self._table.cluster.numbers)
        if len(theirs.atoms) != count:
            raise NoTask(f"it has {len(theirs.atoms)} atoms, and the campaign's structures {count}")
        positions = theirs.atoms.positions
        signature = self._signature(positions - positions[theirs.absorber])
        # Rounding must not lose an atom displaced by just so much.
        near = sorted(self._tree.query_ball_point(signature, SAME_POSITION + 1e-9, p=np.inf))
        different: list[str] = []
        repeated: list[FoundTask] = []
        for task in near:
            text, request = self._table.inputs(task)
            ours = parse_feff_input(text, path)
            found, _ = matched_atoms(theirs, ours)
            if found is None:
                continue
            problems = [*card_differences(theirs, ours, path), *potential_differences(theirs, ours, found)]
            if problems:
                different = different or problems
                continue
            expected = _for_its_own_iterations(request, theirs, path)
            one = FoundTask(task, expected, "; ".join(other_representatives(theirs, ours, found)))
            if task not in self._taken:
                self._taken.add(task)
                return one
            repeated.append(one)
        if repeated:
            return repeated[0]
        if different:
            raise NoTask("; ".join(different))
        raise NoTask(self._nearest(theirs, signature, path))

    def _nearest(self, theirs: FeffInput, signature: Floats, path: Path) -> str:
        task = int(self._tree.query(signature, p=np.inf)[1])
        ours = parse_feff_input(self._table.inputs(task)[0], path)
        if sorted(theirs.atoms.numbers) != sorted(ours.atoms.numbers):
            formulas = (one.atoms.get_chemical_formula() for one in (theirs, ours))
            return "it is {}, and the campaign's structure {}".format(*formulas)
        _, away = matched_atoms(theirs, ours)
        structure = int(self._table.structure[task])
        made = {
            Kind.DISTORTED: f"δ = {self._table.delta[structure]:+.3f} Å",
            Kind.DISORDERED: f"σ = {self._table.sigma[structure]:.3f} Å",
            Kind.IMAGE: f"image {self._table.image[structure]}",
        }[Kind(int(self._table.kind[structure]))]
        return (
            f"no task has its atoms: the nearest is task {task} ({made}, absorber {self._table.absorber[task]}), with "
            f"atoms up to {away:.4f} Å away, and {SAME_POSITION:g} Å count as the same"
        )


def _for_its_own_iterations(request: Request, theirs: FeffInput, path: Path) -> Request:
    """Return what is expected of an input whose cards may say otherwise how the potentials are reached."""
    scf, cards = feff_keys(path, theirs)[0]["scf"], request.cards
    if cards.scf is not None and isinstance(scf, dict):
        cards = replace(cards, scf=(scf["iterations"], *cards.scf[1:]))
    # FEFF lists its own input's cards, among them those that do not matter.
    return replace(request, cards=cards, names=())
