"""The task table of a campaign, the same on any number of ranks.

One task is one FEFF run, one absorber in one structure. The distorted structures
come first, each with the absorbers of its sites, then the disordered ones or the images of a
trajectory with all their absorbers. Behind all of them come the tasks of variants, some of the same in other cards.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import ase
import h5py
import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray
from pydantic import ValidationError

from xanesml import structures
from xanesml.campaign import Campaign, FeffSection, index_slice
from xanesml.errors import CampaignError, StoreError
from xanesml.feff.cards import DECIMALS, feff_head, feff_input
from xanesml.feff.feff10 import identity_with
from xanesml.feff.request import Request
from xanesml.files.arrays import Floats, Wholes
from xanesml.files.layout import STORE
from xanesml.files.notebook import Card, Entry, notebook_library
from xanesml.store.potentials import CampaignPotentials
from xanesml.store.rows import StoreView
from xanesml.store.spheres import check_radius
from xanesml.store.variants import variant_names
from xanesml.structures import bonds

if TYPE_CHECKING:
    import pandas as pd

#: Structures generated, checked and written at a time.
BLOCK = 1024


class Kind(IntEnum):
    """How a structure was made, as stored in `structures/kind`."""

    DISTORTED = 0
    DISORDERED = 1
    IMAGE = 2

    @property
    def label(self) -> str:
        """The kind as printed: `distorted`, `disordered` or `image`."""
        return self.name.lower()


def count_kinds(kind: Wholes) -> str:
    """Return how many structures of each kind there are as text, such as ``91 distorted, 1000 disordered``."""
    counts = dict(zip(Kind, np.bincount(kind, minlength=len(Kind)).tolist(), strict=True))
    names = (f"{count} {one.label}{'s' * (one is Kind.IMAGE and count > 1)}" for one, count in counts.items() if count)
    return ", ".join(names)


#: Columns that describe a task and have a unit.
TASK_UNITS = {name: STORE[f"structures/{name}"].units for name in ("delta", "sigma")}


@dataclass(frozen=True)
class GeneratedPositions:
    """The structures of a campaign, generated on access in place of an array."""

    campaign: Campaign
    cluster: structures.Cluster
    delta: Floats
    sigma: Floats
    images: Floats

    @property
    def shape(self) -> tuple[int, int, int]:
        """(S, A, 3)."""
        return len(self.delta), len(self.cluster.numbers), 3

    def __getitem__(self, index: int | slice) -> Floats:
        """Return one structure, (A, 3), or a block of them, (n, A, 3); a block has step 1."""
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self.delta))
            return self._block(start, max(start, stop))
        one: Floats = self._block(int(index), int(index) + 1)[0]
        return one

    def _block(self, start: int, stop: int) -> Floats:
        distorted = int(np.count_nonzero(~np.isnan(self.delta)))
        displaced = len(self.delta) - len(self.images)
        middle, end = min(max(distorted, start), stop), max(start, min(displaced, stop))
        parts = []
        if start < middle:
            assert self.campaign.distortion is not None  # noqa: S101 (it gave the deltas)
            length = self.campaign.distortion.length
            parts.append(structures.distort(self.cluster, self.delta[start:middle], length))
        if middle < end:
            assert self.campaign.disorder is not None  # noqa: S101 (it gave the sigmas)
            parts.append(
                structures.disorder(
                    self.cluster,
                    self.sigma[middle:end],
                    seed=self.campaign.seed,
                    first=middle - distorted,
                    directions=self.campaign.disorder.directions,
                )
            )
        if end < stop:
            parts.append(self.images[end - displaced : stop - displaced])
        return np.concatenate(parts) if parts else np.empty((0, *self.cluster.positions.shape))


@dataclass(frozen=True)
class Variant:
    """Tasks of a table in cards of their own.

    Attributes
    ----------
    name : str
        Name of the variant.
    feff : FeffSection
        All of its cards.
    rows : slice
        Its tasks.
    """

    name: str
    feff: FeffSection
    rows: slice

    @property
    def size(self) -> int:
        """Number of its tasks."""
        return int(self.rows.stop - self.rows.start)


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
            *([("sites", describe_sites(sites))] if len(sites) > 1 else []),
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
        engine = identity_with(engine, self.feff.extra_cards)
        numbers, rules = self.cluster.numbers, self.potentials
        if representatives is None:
            representatives = self.representatives(tasks, positions)
        of_atom = b"" if rules.by_feff else rules.classes.of_atom.astype("<i4").tobytes()
        chosen = np.empty((len(representatives), 0)) if rules.by_feff else representatives
        chosen = np.ascontiguousarray(chosen, dtype="<i4")

        @lru_cache(maxsize=4096)
        def prefix(scale: float, absorber: int) -> hashlib.blake2b:
            # The text before the atoms depends on which classes there are, not on who stands for them.
            potentials = rules.of_task(absorber, representatives[of_absorber.index(absorber)])
            head = feff_head(numbers=numbers, absorber=absorber, feff=self.feff, potentials=potentials, scale=scale)
            start = hashlib.blake2b(f"{engine}\0{head}\0".encode(), digest_size=16)
            start.update(numbers.astype("<i4").tobytes())
            return start

        units = np.rint(positions * 10.0**DECIMALS).astype("<i8")
        structure, absorber = self.structure[tasks].tolist(), self.absorber[tasks].astype("<i4")
        of_absorber = absorber.tolist()
        digests = []
        for task, here in enumerate(structure):
            digest = prefix(float(self.scale[here]), of_absorber[task]).copy()
            digest.update(units[here - structure[0]].data)
            digest.update(absorber[task].tobytes())
            digest.update(of_atom)
            digest.update(chosen[task].tobytes())
            digests.append(digest.hexdigest())
        return np.array(digests, dtype="S32")


class PlannedCampaign(Campaign):
    """A campaign that lists its tasks."""

    def tasks(self) -> TaskTable:
        """Return the campaign's task table; see `expand`."""
        return expand(self)


def load_campaign(path: str | os.PathLike[str]) -> PlannedCampaign:
    """Read and check a campaign file.

    Parameters
    ----------
    path : str or PathLike
        A TOML file. Paths inside it are taken relative to its folder.

    Returns
    -------
    PlannedCampaign
        The campaign; its `tasks()` are the FEFF runs that it asks for.

    Raises
    ------
    CampaignError
        If the file cannot be read, is not TOML, or does not validate; the message
        names the first offending key and what is accepted there.
    """
    return PlannedCampaign.load(path)


def expand(campaign: Campaign) -> TaskTable:
    """Expand a campaign into its task table; structures are generated on access.

    Parameters
    ----------
    campaign : Campaign
        The campaign.

    Returns
    -------
    TaskTable
        Depends on the campaign alone, not on the number of ranks.

    Raises
    ------
    StructureError
        If the cluster cannot be built or an absorber is not in it.
    CampaignError
        If an absorbing element does not have the edge asked for.
    """
    cluster = structures.build_cluster(campaign.structure, campaign.seed)
    trajectory = structures.read_trajectory(campaign.structure, cluster)
    delta = np.array([] if campaign.distortion is None else structures.deltas(campaign.distortion), dtype=np.float64)
    drawn = campaign.disorder is not None and campaign.structure.images is None
    sigma = structures.sigmas(campaign.disorder) if drawn and campaign.disorder is not None else np.empty(0)
    several = np.empty(0, dtype=np.int32)
    sites = structures.Sites(several, several)
    if campaign.distortion is not None:
        sites = structures.series_sites(cluster, campaign.distortion)
    if campaign.disorder is not None:
        several = structures.absorbers(cluster, campaign.disorder, campaign.seed).astype(np.int32)
        bonds.bonds(cluster, several, expected=bonds.expected_bonds(campaign.structure, campaign.disorder))
        for positions in trajectory.positions:
            bonds.bonds(cluster, several, positions=positions)
    for number in np.unique(cluster.numbers[np.concatenate((sites.atoms, several))]):
        _check_edge(chemical_symbols[number], campaign.feff.edge)

    counts = [len(delta), len(sigma), len(trajectory.image)]
    shifts = np.concatenate((delta, np.full(sum(counts[1:]), np.nan)))
    widths = np.concatenate((np.full(counts[0], np.nan), sigma, np.full(counts[2], np.nan)))
    generated = GeneratedPositions(campaign, cluster, shifts, widths, trajectory.positions)
    table = TaskTable(
        cluster=cluster,
        feff=campaign.feff,
        positions=generated,
        kind=np.repeat(np.array(list(Kind), dtype=np.uint8), counts),
        delta=shifts,
        sigma=widths,
        image=np.concatenate((np.full(sum(counts[:2]), -1, dtype=np.int32), trajectory.image)),
        scale=np.concatenate((_scales(cluster, generated[: len(delta)]), np.ones(sum(counts[1:])))),
        structure=np.repeat(
            np.arange(sum(counts), dtype=np.int32), [len(sites)] * counts[0] + [len(several)] * sum(counts[1:])
        ),
        absorber=np.concatenate((np.tile(sites.atoms, counts[0]), np.tile(several, sum(counts[1:])))),
        multiplicity=np.concatenate(
            (np.tile(sites.multiplicity, counts[0]), np.ones(len(several) * sum(counts[1:]), dtype=np.int32))
        ),
    )
    table = with_variants(table, campaign.feff)
    check_radius(table)
    return table


def with_variants(table: TaskTable, feff: FeffSection) -> TaskTable:
    """Return a table with the tasks of those variants of a campaign's cards behind it that it does not have.

    Raises
    ------
    CampaignError
        If a variant chooses none of the structures.
    """
    own, count = table.own, table.positions.shape[0]
    variants = list(table.variants)
    tasks = [np.arange(len(table))]
    end = len(table)
    for name in [one for one in feff.variants if one not in table.variant_sizes]:
        text = feff.variants[name].structures
        chosen = np.arange(count)[index_slice(text)]
        if not len(chosen):
            raise CampaignError(f"feff.variants.{name}.structures = {text!r} chooses none of the {count} structures")
        tasks.append(np.flatnonzero(np.isin(own.structure, chosen)))
        variants.append(Variant(name, feff.of_variant(name), slice(end, end + len(tasks[-1]))))
        end += len(tasks[-1])
    if len(tasks) == 1:
        return table
    rows = np.concatenate(tasks)
    columns = {name: np.asarray(getattr(table, name))[rows] for name in ("structure", "absorber", "multiplicity")}
    # Those of a store are of the tasks that it has.
    return replace(table, recorded=None, variants=tuple(variants), **columns)


def describe_sites(multiplicity: Wholes) -> str:
    """Return sites as printed, such as ``5, multiplicities 1 12 6 24 12``."""
    if np.all(multiplicity == 1):
        return f"{len(multiplicity)}, one atom each"
    return f"{len(multiplicity)}, multiplicities {' '.join(map(str, multiplicity.tolist()))}"


def stored_cluster(file: h5py.File) -> structures.Cluster:
    """Return the undistorted cluster of a store, without a smallest distance of its atoms."""
    radius = float(file.attrs["radius"])
    section = json.loads(str(file.attrs["campaign"])).get("structure", {})
    return structures.Cluster(
        numbers=file["structures/numbers"][:],
        positions=file["structures/undistorted"][:],
        absorber=int(file.attrs["central_absorber"]),
        first_shell=float(file.attrs["first_shell"]),
        first_shell_cutoff=float(file.attrs["first_shell_cutoff"]),
        minimum_distance=0.0,
        coordination=file["structures/coordination"][:],
        radius=None if np.isnan(radius) else radius,
        like_bonds=section.get("first_shell") == "element",
    )


def stored_campaign(file: h5py.File) -> PlannedCampaign:
    """Return the campaign of a store or a tensor file; StoreError where this xanesml cannot read it.

    The variants of a store's campaign are in the order of their rows.
    """
    try:
        campaign = PlannedCampaign.restored(str(file.attrs["campaign"]))
    except ValidationError as error:
        raise StoreError(
            f"{file.filename} has a campaign that this xanesml cannot read; use the xanesml that wrote it: "
            f"{json.loads(str(file.attrs['versions'])).get('xanesml', 'version unknown')}"
        ) from error
    place = {name: row for row, name in enumerate(variant_names(file))}
    variants = sorted(campaign.feff.variants.items(), key=lambda one: place.get(one[0], len(place)))
    feff = campaign.feff.model_copy(update={"variants": dict(variants)})
    return campaign.model_copy(update={"feff": feff})


def stored_atoms(file: h5py.File, structure: int) -> ase.Atoms:
    """Return a structure of a store, positions in Å, with `how_made` as its `info`."""
    atoms = ase.Atoms(file["structures/numbers"][:], positions=file["structures/positions"][structure])
    atoms.info = how_made(file, structure)
    return atoms


def how_made(file: h5py.File, structure: int) -> dict[str, Any]:
    """Return the index of a structure of a store, its scale, its kind, and its δ or σ, Å, or its image."""
    made: dict[str, Any] = {"structure": structure, "scale": float(file["structures/scale"][structure])}
    kind = Kind(file["structures/kind"][structure])
    name = {Kind.DISTORTED: "delta", Kind.DISORDERED: "sigma", Kind.IMAGE: "image"}[kind]
    return made | {"kind": kind.label, name: file[f"structures/{name}"][structure].item()}


def stored_table(cluster: structures.Cluster, feff: FeffSection, view: StoreView) -> TaskTable:
    """Return the task table of a store with a campaign's cards; its arrays are memory maps.

    Raises
    ------
    StoreError
        If the campaign does not have a variant that the store has.
    """
    variants = []
    for number, name in enumerate(view.variants, 1):
        if name not in feff.variants:
            raise StoreError(
                f"{view.path} has a variant {name!r} that its campaign does not have; run `xanesml validate`"
            )
        rows = np.searchsorted(view["tasks/variant"], (number, number + 1)).tolist()
        variants.append(Variant(name, feff.of_variant(name), slice(*rows)))
    return TaskTable(
        cluster=cluster,
        feff=feff,
        positions=view["structures/positions"],
        kind=view["structures/kind"],
        delta=view["structures/delta"],
        sigma=view["structures/sigma"],
        image=view["structures/image"],
        scale=view["structures/scale"],
        structure=view["tasks/structure"],
        absorber=view["tasks/absorber"],
        multiplicity=view["tasks/multiplicity"],
        recorded=view["tasks/representatives"],
        variants=tuple(variants),
    )


def _scales(cluster: structures.Cluster, distorted: Floats) -> Floats:
    neighbor = structures.first_neighbors(cluster.positions, cluster.absorber, cluster.first_shell_cutoff)[0]
    bond = distorted[:, neighbor] - distorted[:, cluster.absorber]
    undistorted = cluster.positions[neighbor] - cluster.positions[cluster.absorber]
    scales: Floats = np.linalg.norm(bond, axis=-1) / np.linalg.norm(undistorted)
    return scales


def _check_edge(element: str, edge: str) -> None:
    import xraydb  # noqa: PLC0415 (slow to import, and not needed on every rank)

    edges = xraydb.xray_edges(element)
    if edge not in edges:
        raise CampaignError(f"feff.edge: {element} has no {edge} edge; it has {', '.join(edges)}")
