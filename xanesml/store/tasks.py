"""The task table of a campaign: a row for each FEFF run, and its input.

One task is one FEFF run, one absorber in one structure. The distorted structures
come first, each with the absorbers of its sites, then the disordered ones or the images of a
trajectory with all their absorbers. Behind all of them come the tasks of variants, some of the same in other cards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from xanesml import structures
from xanesml.campaign import FeffSection
from xanesml.feff.cards import feff_input
from xanesml.feff.request import Request
from xanesml.files.arrays import Floats, Wholes
from xanesml.files.layout import STORE
from xanesml.files.notebook import Card, Entry, notebook_library
from xanesml.store.identities import input_hashes
from xanesml.store.kinds import GeneratedPositions, Kind, count_kinds
from xanesml.store.potentials import CampaignPotentials
from xanesml.store.variants import Variant

if TYPE_CHECKING:
    import pandas as pd

#: Structures generated, checked and written at a time.
BLOCK = 1024

#: Columns that describe a task and have a unit.
TASK_UNITS = {name: STORE[f"structures/{name}"].units for name in ("delta", "sigma")}


@dataclass(frozen=True, repr=False)
class TaskTable(Card):
    """Structures and tasks of a campaign.

    Attributes
    ----------
    cluster : Cluster
        The undistorted cluster.
    feff : FeffSection
        The campaign's own FEFF cards.
    positions : ndarray or GeneratedPositions, shape (S, A, 3), float64
        Positions of every structure, Å: an array, a memory map, or generated on access.
    kind : ndarray, shape (S,), uint8
        `Kind` of every structure.
    delta : ndarray, shape (S,), float64
        First-shell shift, Å; NaN where not distorted.
    sigma : ndarray, shape (S,), float64
        Displacement σ, Å; NaN where distorted or an image.
    image : ndarray, shape (S,), int32
        Index in the structure file; −1 where no image of a trajectory.
    scale : ndarray, shape (S,), float64
        Factor that the structure was scaled by, 1 where not distorted.
    structure : ndarray, shape (T,), int32
        Structure of every task.
    absorber : ndarray, shape (T,), int32
        Absorbing atom of every task.
    multiplicity : ndarray, shape (T,), int32
        Atoms of the structure that this absorber stands for, itself included.
    recorded : ndarray, shape (T, K), int32, optional
        Atoms that stand for the classes of atoms in every task, of a store; by default they are chosen on access.
    variants : tuple of Variant
        Tasks in other cards, one variant after the other, behind those in the campaign's own.
    """

    cluster: structures.Cluster
    feff: FeffSection
    positions: Floats | GeneratedPositions
    kind: NDArray[np.uint8]
    delta: Floats
    sigma: Floats
    image: NDArray[np.int32]
    scale: Floats
    structure: NDArray[np.int32]
    absorber: NDArray[np.int32]
    multiplicity: NDArray[np.int32]
    recorded: NDArray[np.int32] | None = None
    variants: tuple[Variant, ...] = ()

    def __len__(self) -> int:
        return len(self.structure)

    @cached_property
    def card_sets(self) -> list[tuple[slice, TaskTable]]:
        """A table for each set of cards, the campaign's own first, and the rows of its tasks in this one."""
        if not self.variants:
            return [(slice(0, len(self)), self)]
        own = slice(0, self.variants[0].rows.start)
        return [
            (own, self._part(own, self.feff)),
            *((one.rows, self._part(one.rows, one.feff)) for one in self.variants),
        ]

    @property
    def own(self) -> TaskTable:
        """The tasks in the campaign's own cards."""
        return self.card_sets[0][1]

    @property
    def variant_sizes(self) -> dict[str, int]:
        """Number of tasks of each variant."""
        return {one.name: one.size for one in self.variants}

    def card_set_of(self, task: int) -> tuple[TaskTable, int]:
        """Return the table of the tasks in a task's cards, and its index there."""
        rows, part = next((rows, part) for rows, part in reversed(self.card_sets) if task >= rows.start)
        return part, task - int(rows.start)

    def _part(self, rows: slice, feff: FeffSection) -> TaskTable:
        columns = {name: getattr(self, name)[rows] for name in ("structure", "absorber", "multiplicity")}
        recorded = None if self.recorded is None else self.recorded[rows]
        return replace(self, feff=feff, recorded=recorded, variants=(), **columns)

    def card(self) -> tuple[str, list[Entry]]:
        """Return what is printed: how many tasks, and in which structures."""
        sites = self.site_multiplicity
        return f"{len(self)} tasks", [
            ("structures", count_kinds(self.kind)),
            ("atoms", f"{len(self.cluster.numbers)} in each structure"),
            *([("sites", structures.describe_sites(sites))] if len(sites) > 1 else []),
            *([("variants", ", ".join(f"{one.name} {one.size}" for one in self.variants))] if self.variants else []),
        ]

    @property
    def site_multiplicity(self) -> NDArray[np.int32]:
        """Multiplicity of every absorber of a distorted structure, shape (sites,); empty where there is none."""
        distorted = np.flatnonzero(self.kind == Kind.DISTORTED)[:1]
        return np.asarray(self.own.multiplicity[np.isin(self.own.structure, distorted)])

    def columns(self, tasks: slice | Wholes = slice(None)) -> dict[str, NDArray[Any]]:
        """Describe tasks.

        Parameters
        ----------
        tasks : slice or ndarray of int, shape (n,), optional
            Task indices; by default all.

        Returns
        -------
        dict of str to ndarray, shape (n,)
            `structure`, its index; `kind`, `distorted`, `disordered` or `image`; `delta` and `sigma`, float64, Å,
            NaN for other kinds; `image`, the index in the structure file, −1 for other kinds; `scale`; `absorber`,
            the index of the atom; its `multiplicity`, the number of atoms that it stands for; its `element`; and
            `variant`, empty in the campaign's own cards.
        """
        numbers = np.arange(len(self))[tasks]
        names = np.array(["", *(one.name for one in self.variants)])
        starts = np.array([one.rows.start for one in self.variants], dtype=np.int64)
        structure, absorber = np.asarray(self.structure[tasks]), np.asarray(self.absorber[tasks])
        return {
            "structure": structure,
            "kind": np.array([kind.label for kind in Kind])[self.kind[structure]],
            "delta": np.asarray(self.delta[structure]),
            "sigma": np.asarray(self.sigma[structure]),
            "image": np.asarray(self.image[structure]),
            "scale": np.asarray(self.scale[structure]),
            "absorber": absorber,
            "multiplicity": np.asarray(self.multiplicity[tasks]),
            "element": np.array(chemical_symbols)[self.cluster.numbers[absorber]],
            "variant": names[np.searchsorted(starts, numbers, side="right")],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with a row for each task; see `columns`.

        Returns
        -------
        pandas.DataFrame
            Indexed by the task; the units are in `attrs["units"]`.

        Raises
        ------
        EnvironmentProblem
            If pandas is not installed.
        """
        pandas = notebook_library("pandas")
        table: pd.DataFrame = pandas.DataFrame(self.columns(), index=pandas.RangeIndex(len(self), name="task"))
        table.attrs["units"] = TASK_UNITS
        return table

    def inputs(self, task: int, feff: FeffSection | None = None) -> tuple[str, Request]:
        """Return the FEFF input of a task.

        Parameters
        ----------
        task : int
            The task.
        feff : FeffSection, optional
            Cards other than the task's.

        Returns
        -------
        str
            Text of feff.inp.
        Request
            Values that FEFF's output must agree with.
        """
        if self.variants:
            part, number = self.card_set_of(task)
            return part.inputs(number, feff)
        structure, absorber = int(self.structure[task]), int(self.absorber[task])
        feff, scale = feff or self.feff, float(self.scale[structure])
        numbers, positions = self.cluster.numbers, np.asarray(self.positions[structure])
        chosen = self.representatives(slice(task, task + 1), positions[np.newaxis])[0]
        text = feff_input(
            numbers=numbers,
            positions=positions,
            absorber=absorber,
            feff=feff,
            potentials=self.potentials.of_task(absorber, chosen),
            scale=scale,
        )
        return text, Request.of(feff, absorber_number=int(numbers[absorber]), scale=scale)

    @cached_property
    def potentials(self) -> CampaignPotentials:
        """The rules by which atoms share potentials, those of the campaign's own cards."""
        return CampaignPotentials(self.cluster, self.feff)

    def representatives(self, tasks: slice, positions: Floats) -> NDArray[np.int32]:
        """Return the atoms that stand for the classes of atoms in some tasks of a table of one set of cards.

        Parameters
        ----------
        tasks : slice
            The tasks.
        positions : ndarray, shape (n, A, 3), float64
            Positions of their structures, beginning with that of the first task, Å.

        Returns
        -------
        ndarray, shape (tasks, K), int32
            See `CampaignPotentials.choose`.
        """
        if self.recorded is not None:
            # A store has room for the most classes of any of its sets of cards.
            return np.asarray(self.recorded[tasks])[:, : len(self.potentials.classes.names)]
        structure = np.asarray(self.structure[tasks])
        first = int(structure[0]) if len(structure) else 0
        distorted = np.asarray(self.kind[first : first + len(positions)]) == Kind.DISTORTED
        return self.potentials.choose(positions, distorted, structure - first, np.asarray(self.absorber[tasks]))

    def potential_lines(self, task: int) -> list[str]:
        """Describe the potentials of a task: which atoms share one, and which atom stands for them; a line each."""
        if self.variants:
            part, number = self.card_set_of(task)
            return part.potential_lines(number)
        positions = np.asarray(self.positions[int(self.structure[task])])
        (chosen,) = self.representatives(slice(task, task + 1), positions[np.newaxis])
        return self.potentials.lines(int(self.absorber[task]), chosen, positions)

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Yield blocks of structures with their tasks in one set of cards, in order, as slices."""
        assert not self.variants, "tasks in several sets of cards have no common order of structures"  # noqa: S101
        count = self.positions.shape[0]
        for start in range(0, count, BLOCK):
            stop = min(start + BLOCK, count)
            first, last = np.searchsorted(self.structure, (start, stop))
            yield slice(start, stop), slice(int(first), int(last))

    def check(self) -> None:
        """Raise StructureError where atoms of any structure overlap."""
        for block, _ in self.own.blocks():
            self.check_overlaps(block, self.positions[block])

    def check_overlaps(self, block: slice, positions: Floats) -> None:
        """Raise StructureError where atoms of a block of structures, shape (n, A, 3), Å, overlap."""

        def label(index: int) -> str:
            structure = block.start + index
            if self.kind[structure] == Kind.DISTORTED:
                return f"structure {structure} (δ = {self.delta[structure]:.2f} Å)"
            if self.kind[structure] == Kind.IMAGE:
                return f"structure {structure} (image {self.image[structure]})"
            return f"structure {structure} (σ = {self.sigma[structure]:.3f} Å)"

        structures.check_overlaps(self.cluster, positions, label)

    def identities(
        self, engine: str, tasks: slice, positions: Floats, representatives: NDArray[np.int32] | None = None
    ) -> NDArray[np.bytes_]:
        """Hash the FEFF input of some tasks of a table of one set of cards, together with the engine.

        Parameters
        ----------
        engine : str
            The engine's identity.
        tasks : slice
            The tasks.
        positions : ndarray, shape (n, A, 3), float64
            Positions of their structures, beginning with that of the first task, Å.
        representatives : ndarray, shape (tasks, K), int32, optional
            See the method of that name, which is asked by default.

        Returns
        -------
        ndarray, shape (tasks,), S32
            BLAKE2b (16 bytes) in hexadecimal of engine, cards, elements, positions to 10⁻⁶ Å,
            absorber, and, unless FEFF takes the potentials by its own rules, the class of every
            atom and the atoms that stand for the classes.
        """
        if representatives is None:
            representatives = self.representatives(tasks, positions)
        return input_hashes(self, engine, tasks, positions, representatives)
