"""Lays out the store of a campaign, and recognizes it again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
from pydantic import ValidationError

from xanesml import structures
from xanesml.campaign import Campaign, task_differences
from xanesml.errors import StoreError
from xanesml.files.arrays import Floats, Wholes
from xanesml.files.hdf5 import content_digest, create, text_attribute
from xanesml.files.layout import STORE, fixed_arrays
from xanesml.store.kinds import Kind
from xanesml.store.rows import StoreView
from xanesml.store.stored import stored_cluster, stored_table
from xanesml.store.tasks import TaskTable
from xanesml.store.variants import card_set_rows

#: Tasks whose identity is computed again when a store is continued.
_SAMPLE = 16

# Takes the place of a digest until there is one.
_NO_DIGEST = np.bytes_(32 * "0")

#: Largest difference of atomic positions read from the same structure file, Å.
_SAME_POSITION = 1e-6


def lay_out(path: Path, campaign: Campaign, table: TaskTable, engine: str) -> None:
    """Lay out the store of a campaign, its structures and identities block by block.

    Parameters
    ----------
    path : Path
        File to create; see `xanesml.files.hdf5.create`.
    campaign : Campaign
        The campaign.
    table : TaskTable
        Its task table.
    engine : str
        The engine's identity.

    Raises
    ------
    StructureError
        If atoms of any structure overlap; no file is left then.
    EnvironmentProblem
        If the folder cannot be written to or the disk is too small.
    """
    own = table.own
    classes = own.potentials.classes

    def fill(file: h5py.File) -> None:
        for block, tasks in own.blocks():
            positions = table.positions[block]
            table.check_overlaps(block, positions)
            file["structures/positions"][block] = positions
            file["structures/class"][block] = classes.of_atom
            _write_tasks(file, own, tasks, positions, engine=engine, first=0)
        write_variants(file, table, engine)
        file.attrs.modify("tasks_digest", np.bytes_(tasks_digest(file)))
        file.attrs.modify("inputs_digest", np.bytes_(inputs_digest(file)))

    create(
        path,
        STORE,
        sizes={
            "structure": table.positions.shape[0],
            "atom": len(table.cluster.numbers),
            "task": len(table),
            "potential": potentials_of(table),
            "energy_point": campaign.feff.max_points,
            "variant": len(table.variants),
        },
        attributes={
            "campaign": campaign.resolved(),
            "campaign_digest": campaign.digest(),
            "tasks_digest": _NO_DIGEST,
            "inputs_digest": _NO_DIGEST,
            "engine": engine,
            "classes": json.dumps(classes.names),
            "variants": describe_variants(table),
            "central_absorber": table.cluster.absorber,
            "first_shell": table.cluster.first_shell,
            "first_shell_cutoff": table.cluster.first_shell_cutoff,
            "radius": np.nan if table.cluster.radius is None else table.cluster.radius,
        },
        initial={
            "structures/numbers": table.cluster.numbers,
            "structures/undistorted": table.cluster.positions,
            "structures/coordination": table.cluster.coordination,
            **{f"structures/{name}": getattr(table, name) for name in ("kind", "delta", "sigma", "image", "scale")},
            **{f"tasks/{name}": getattr(table, name) for name in ("structure", "absorber", "multiplicity")},
        },
        fill=fill,
        rows=plotted_rows(table.kind, table.delta, own.structure),
    )


def potentials_of(table: TaskTable) -> int:
    """Return the most classes of atoms that any of a table's sets of cards has."""
    return max(len(part.potentials.classes.names) for _, part in table.card_sets)


def describe_variants(table: TaskTable) -> str:
    """Return a table's variants and their classes of atoms, as the attribute `variants` holds them."""
    parts = [part for _, part in table.card_sets[1:]]
    return json.dumps(
        [
            {"name": one.name, "classes": part.potentials.classes.names}
            for one, part in zip(table.variants, parts, strict=True)
        ]
    )


def write_variants(file: h5py.File, table: TaskTable, engine: str, *, first: int = 0) -> None:
    """Write the tasks of a table's variants into a store that has its structures.

    Parameters
    ----------
    file : h5py.File
        The store, with room for all of the table.
    table : TaskTable
        The tasks.
    engine : str
        The engine's identity.
    first : int
        The first variant that is written, from 0.
    """
    for code, (rows, part) in list(enumerate(table.card_sets))[1 + first :]:
        file["variants/class"][code - 1] = part.potentials.classes.of_atom
        file["tasks/variant"][rows] = code
        for name in ("structure", "absorber", "multiplicity"):
            file[f"tasks/{name}"][rows] = getattr(part, name)
        for block, tasks in part.blocks():
            if tasks.start < tasks.stop:
                positions = file["structures/positions"][int(part.structure[tasks.start]) : block.stop]
                _write_tasks(file, part, tasks, positions, engine=engine, first=rows.start)


def _write_tasks(file: h5py.File, part: TaskTable, tasks: slice, positions: Floats, *, engine: str, first: int) -> None:
    """Write what some tasks of a set of cards, whose rows begin at `first`, are identified by."""
    rows = slice(first + tasks.start, first + tasks.stop)
    representatives = part.representatives(tasks, positions)
    file["tasks/representatives"][rows, : representatives.shape[1]] = representatives
    file["tasks/identity"][rows] = part.identities(engine, tasks, positions, representatives)


def plotted_rows(kind: Wholes, delta: Floats, structure: Wholes) -> dict[str, slice | int]:
    """Return the rows of a store that its plots show, by the names that `xanesml.files.plots.STORE_PLOTS` gives them.

    Parameters
    ----------
    kind, delta : ndarray, shape (structures,)
        Kind and δ (Å) of the structures, those of the series first.
    structure : ndarray of int, shape (tasks,)
        Structure of each task, ascending.

    Returns
    -------
    dict
        Of each distorted structure the first absorber's row, and that of the smallest |δ|; without a series, the
        first row alone.
    """
    count = int(np.count_nonzero(kind == Kind.DISTORTED))
    if not count or not len(structure):
        return {"undistorted": 0}
    # Every structure of the series has the same absorbers.
    sites = int(np.count_nonzero(structure == structure[0]))
    return {
        "distorted": slice(0, count),
        "series": slice(0, count * sites, sites),
        "undistorted": sites * int(np.argmin(np.abs(delta[:count]))),
    }


def tasks_digest(file: h5py.File) -> str:
    """Return the hash of the tasks in the campaign's own cards, as the attribute `tasks_digest` holds it."""
    return hashlib.blake2b(file["tasks/identity"][card_set_rows(file)].tobytes(), digest_size=16).hexdigest()


def inputs_digest(file: h5py.File) -> str:
    """Return the hash of a store's structures and tasks, as its attribute `inputs_digest` holds it."""
    # Stores of earlier versions lack some.
    return content_digest(file, (array.path for array in fixed_arrays(STORE) if array.path in file))


def check_campaign(file: h5py.File, campaign: Campaign, remedy: str) -> None:
    """Refuse a store that was laid out for other FEFF runs than those of a campaign.

    Parameters
    ----------
    file : h5py.File
        The store.
    campaign : Campaign
        The campaign.
    remedy : str
        Advice, the end of the message.

    Raises
    ------
    StoreError
        If the settings of the two differ; the first difference is named.
    """
    try:
        stored = Campaign.restored(str(file.attrs["campaign"]))
        differences = task_differences(stored, campaign)
    except ValidationError:
        stored, differences = campaign, ["it was laid out by another version of xanesml"]
    if differences:
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        raise StoreError(f"{file.filename} holds the tasks of another campaign: {differences[0]}{more}; {remedy}")
    digests = stored.structure.file_digest, campaign.structure.file_digest
    if digests[0] != digests[1] and None not in digests:
        # A file with another comment has the same atoms.
        _check_structure(file, campaign, remedy)


def _check_structure(file: h5py.File, campaign: Campaign, remedy: str) -> structures.Cluster:
    """Refuse a store of other structures than those of a campaign's file; return its undistorted cluster."""
    cluster = stored_cluster(file)
    here = structures.build_cluster(campaign.structure, campaign.seed)
    if not _same_structures(file, cluster, here, structures.read_trajectory(campaign.structure, here)):
        raise StoreError(
            f"{file.filename} holds the tasks of another campaign: structure.file has other content; {remedy}"
        )
    if abs(here.first_shell - cluster.first_shell) > _SAME_POSITION:
        raise StoreError(
            f"{file.filename} was laid out with a first shell of {cluster.first_shell:.4f} Å, and this xanesml finds "
            f"it at {here.first_shell:.4f} Å; {remedy}"
        )
    return cluster


def _same_structures(
    file: h5py.File, stored: structures.Cluster, here: structures.Cluster, trajectory: structures.Trajectory
) -> bool:
    """Return whether a store has the undistorted cluster and the images of a structure file."""
    images = np.flatnonzero(file["structures/kind"][:] == Kind.IMAGE)
    if (
        not np.array_equal(here.numbers, stored.numbers)
        or here.absorber != stored.absorber
        or not np.array_equal(trajectory.image, file["structures/image"][:][images])
    ):
        return False
    apart = [np.abs(here.positions - stored.positions).max()]
    for index, positions in zip(images.tolist(), trajectory.positions, strict=True):
        apart.append(np.abs(positions - file["structures/positions"][index]).max())
    return bool(max(apart) <= _SAME_POSITION)


def _engine_keys(text: str, campaign: Campaign) -> str:
    """Return what to write into a campaign to have the solvers of a store's, whose JSON is given; empty if nothing."""
    try:
        stored = Campaign.restored(text)
    except ValidationError:
        return ""
    there, here = (one.engine.model_dump(include={"pot", "fms", "pot_grid"}) for one in (stored, campaign))
    keys = ", ".join(f'{key} = "{value}"' for key, value in there.items() if value != here[key])
    return f"to go on with it, give {keys} under [engine]; else " if keys else ""


def continued(file: h5py.File, campaign: Campaign, engine: str) -> tuple[structures.Cluster, StoreView]:
    """Check that a store holds a campaign's tasks, and return the parts of its task table.

    It may lack those of variants, which `xanesml.store.extend.extend` adds.
    The campaign is not expanded again, as the spectra belong to the structures in the store.

    Parameters
    ----------
    file : h5py.File
        The store.
    campaign : Campaign
        The campaign to continue.
    engine : str
        The engine's identity.

    Returns
    -------
    Cluster, StoreView
        See `xanesml.store.stored.stored_table`.

    Raises
    ------
    StoreError
        If the store is of another campaign, engine or version of xanesml, or its
        structures were damaged.
    """
    path = file.filename
    elsewhere = (
        f"continue it with the campaign it was made from, or give {campaign.name!r} another --output folder "
        "(--reuse takes over what the two have in common)"
    )
    if file.attrs["engine"] != engine:
        keys = _engine_keys(str(file.attrs["campaign"]), campaign)
        raise StoreError(f"{path} was computed by {file.attrs['engine']}, and this is {engine}; {keys}{elsewhere}")
    check_campaign(file, campaign, elsewhere)
    cluster = _check_structure(file, campaign, elsewhere)
    if inputs_digest(file) != text_attribute(file, "inputs_digest"):
        raise StoreError(
            f"{path}: its structures or tasks are damaged; run `xanesml simulate` in another --output folder "
            f"with --reuse {path}, which keeps the spectra of all tasks that can be recognized"
        )
    view = StoreView(file)
    table = stored_table(cluster, campaign.feff, view)
    for task in np.unique(np.linspace(0, len(table) - 1, _SAMPLE, dtype=int)).tolist():
        part, number = table.card_set_of(task)
        structure = int(table.structure[task])
        positions = np.asarray(table.positions[structure : structure + 1])
        if part.identities(engine, slice(number, number + 1), positions)[0] != view["tasks/identity"][task]:
            raise StoreError(
                f"{path} was laid out by another version of xanesml, which wrote other FEFF inputs; {elsewhere}"
            )
    return cluster, view
