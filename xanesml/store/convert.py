"""Converts stores and tensor files of earlier versions of their format to the present one.

The same datasets, bit for bit, under their present names; those that a version did not have are
made from what the file holds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.campaign import Campaign, as_made, digest_of
from xanesml.errors import StoreError
from xanesml.files.apart import crash
from xanesml.files.hdf5 import (
    COMPLETE,
    blocks,
    content_digest,
    create,
    full_size,
    leads_away,
    mark_complete,
    text_attribute,
    unreadable,
)
from xanesml.files.layout import CONVERTIBLE, LAYOUTS, MEANS, STORE, TENSORS, Layout, fixed_arrays
from xanesml.files.lock import WriteLock, unused
from xanesml.files.means import mean_row, source_of_mean
from xanesml.files.whole import reason
from xanesml.store.create import plotted_rows
from xanesml.store.potentials import CampaignPotentials
from xanesml.structures import Cluster, first_neighbors

#: Datasets that had another name in an earlier version.
_RENAMED_ARRAYS = {"structures/undistorted": "structures/reference"}

#: Campaign keys that had another name in an earlier version, by section.
_RENAMED_KEYS = {"distortion": {"reference": "length"}}

#: Attributes that the new file has of its own.
_OWN = ("schema", "schema_version")

_LISTED = ", ".join(map(str, CONVERTIBLE))

#: A dataset of the old file, or an array that takes its place.
_Source: TypeAlias = Any


def convert(path: Path, folder: Path | None = None, *, apart: bool = False) -> str:
    """Convert a store or a tensor file; the converted file is whole, or the old one stays.

    Parameters
    ----------
    path : Path
        The file.
    folder : Path, optional
        Folder that the converted file goes to, under the same name. By default it takes the place of `path`.
    apart : bool
        Whether to read the file's structure in a process of its own first, so that a crash of HDF5 on it becomes
        an error. Takes a second.

    Returns
    -------
    str
        What was done, in one line.

    Raises
    ------
    StoreError
        If the file is no store or tensor file, is of a version that cannot be converted, is truncated, damaged
        or in use, or if there is one of that name in `folder`.
    EnvironmentProblem
        If the system cannot read the file, or cannot write the converted one; as much space as the old one has
        must be free.
    """
    if not path.is_file():
        raise StoreError(f"{path} does not exist; give a store or a tensor file")
    target = path if folder is None else folder / path.name
    if folder is not None and target.exists():
        raise StoreError(f"{target} exists already; give another --output folder")
    if apart and (problem := crash("xanesml.store.convert", path)):
        raise StoreError(f"{path}: {problem}")
    lock: AbstractContextManager[object] = WriteLock(path) if folder is None else unused(path)
    with lock, _open(path) as old:
        try:
            schema, version = old.attrs.get("schema"), old.attrs.get("schema_version")
            layout = LAYOUTS.get(str(schema))
            if layout is None:
                raise StoreError(f"{path} is no file of xanesml; give a store or a tensor file")
            if version == layout.version:
                return f"{path}: {schema} version {version} already"
            if version not in CONVERTIBLE:
                raise StoreError(
                    f"{path} is {schema} version {version}, and only versions {_LISTED} can be converted; "
                    "use the xanesml that wrote it"
                )
            if away := leads_away(old, layout):
                raise StoreError(f"{path}: {away} leads to another file, which is not read; restore it from a copy")
            if old.attrs.get(COMPLETE, 1) != 1:
                raise StoreError(f"{path} was not completed; run `xanesml average CAMPAIGN`")
            _write(target, old, layout)
        # Not being able to write is an EnvironmentProblem already.
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, OSError) and (trouble := unreadable(path, error)):
                raise trouble from error
            raise StoreError(f"{path} is damaged and cannot be converted: {' '.join(str(error).split())}") from error
    return f"{target}: converted from {schema} version {version} to version {layout.version}"


def _open(path: Path) -> h5py.File:
    try:
        whole, size = full_size(path), path.stat().st_size
        if whole is not None and size < whole:
            raise StoreError(
                f"{path} is truncated: {size} of {whole} bytes are there; restore it from a copy, "
                "or repair it with `xanesml validate --repair` of the version of xanesml that wrote it"
            )
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise unreadable(path, error) or StoreError(
            f"{path} is not a readable HDF5 file ({reason(error)}); restore it from a copy"
        ) from error


def _write(target: Path, old: h5py.File, layout: Layout) -> None:
    attributes = {name: value for name, value in old.attrs.items() if name not in _OWN}
    attributes |= _campaign(attributes)
    sources: dict[str, _Source] = {
        array.path: old[name]
        for array in layout.arrays
        for name in {array.path, _RENAMED_ARRAYS.get(array.path, array.path)}
        if name in old
    }
    fixed = [array.path for array in fixed_arrays(layout)]
    digested = [sources[path].name for path in fixed if path in sources]
    if layout is STORE and "classes" not in attributes:
        added, more = _potentials(sources, attributes)
        sources |= added
        attributes |= more
    sources |= _sites(sources, json.loads(attributes["campaign"]))
    if layout is STORE:
        atoms = len(sources["structures/numbers"])
        sources["tasks/variant"] = np.zeros(len(sources["tasks/structure"]), dtype="|u1")
        sources["variants/class"] = np.empty((0, atoms), dtype="|u1")
        attributes["variants"] = "[]"
    sources |= {path: mean_row(old[source_of_mean(path)]) for path in MEANS if layout is TENSORS}
    sizes: dict[str, int] = {}
    for array in layout.arrays:
        sizes |= zip(array.shape, sources[array.path].shape, strict=True)

    def fill(new: h5py.File) -> None:
        for path, source in sources.items():
            if new[path].shape != source.shape or new[path].dtype != source.dtype:
                raise ValueError(f"{path} has the type {source.dtype} and the shape {source.shape}")
            if not isinstance(source, h5py.Dataset):
                new[path][...] = source
                continue
            for start, (block,) in _blocks(old, source):
                new[path][start : start + len(block)] = block
            if content_digest(new, [path]) != content_digest(old, [source.name]):
                raise RuntimeError(f"{path} did not read back as it was written")
        # The digest of damaged structures stays, so that it does not match.
        if layout is STORE and text_attribute(old, "inputs_digest") == content_digest(old, digested):
            new.attrs.modify("inputs_digest", np.bytes_(content_digest(new, fixed)))
        if COMPLETE in layout.attributes:
            # Earlier versions have no mark: their files got their name when they were complete.
            mark_complete(new)

    rows = {}
    if layout is STORE:
        rows = plotted_rows(*(sources[path][:] for path in ("structures/kind", "structures/delta", "tasks/structure")))
    create(target, layout, sizes=sizes, attributes=attributes, initial={}, fill=fill, rows=rows)


def _potentials(
    sources: Mapping[str, _Source], attributes: Mapping[str, Any]
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the datasets and attributes of a store that say which atoms share a potential.

    FEFF chose by its own rules: one potential for each element, the nearest atom standing for it.
    """
    campaign = Campaign.restored(attributes["campaign"])
    positions = sources["structures/undistorted"][:]
    absorber, cutoff = int(attributes["central_absorber"]), float(attributes["first_shell_cutoff"])
    coordination = np.array([len(first_neighbors(positions, atom, cutoff)) for atom in range(len(positions))])
    radius = campaign.structure.radius
    if radius is not None:
        # Neighbors of atoms at the surface of a sphere that was cut from a crystal are not in the file.
        out = np.linalg.norm(positions - positions[absorber], axis=1)
        coordination[out + cutoff > radius] = -1
    cluster = Cluster(
        numbers=sources["structures/numbers"][:],
        positions=positions,
        absorber=absorber,
        first_shell=float(attributes["first_shell"]),
        first_shell_cutoff=cutoff,
        minimum_distance=0.0,
        coordination=coordination.astype("<i4"),
        radius=radius,
    )
    rules = CampaignPotentials(cluster, campaign.feff)
    structure, absorbers = sources["tasks/structure"][:], sources["tasks/absorber"][:]
    chosen = np.empty((len(structure), len(rules.classes.names)), dtype="<i4")
    for task, (place, atom) in enumerate(zip(structure.tolist(), absorbers, strict=True)):
        block = sources["structures/positions"][place : place + 1]
        chosen[task] = rules.choose(block, np.zeros(1, dtype=bool), np.zeros(1, dtype=int), np.array([atom]))[0]
    count = len(sources["structures/kind"])
    return {
        "structures/coordination": cluster.coordination,
        "structures/class": np.tile(rules.classes.of_atom.astype("|u1"), (count, 1)),
        "tasks/representatives": chosen,
    }, {"classes": json.dumps(rules.classes.names), "radius": np.nan if radius is None else radius}


def _sites(sources: Mapping[str, _Source], campaign: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the datasets of a file without sites and images that say so: every absorber stands for itself."""
    if "tasks/structure" in sources and "tasks/multiplicity" not in sources:
        return {
            "tasks/multiplicity": np.ones(len(sources["tasks/structure"]), dtype="<i4"),
            "structures/image": np.full(len(sources["structures/kind"]), -1, dtype="<i4"),
        }
    if "series/task" in sources and "series/multiplicity" not in sources:
        count = len(sources["statistical/family"])
        return {
            "series/task": sources["series/task"][:][:, np.newaxis],
            "series/multiplicity": np.ones(1, dtype="<i4"),
            "statistical/coordination": np.full(count, _coordination(campaign)),
        }
    return {}


def _coordination(campaign: Mapping[str, Any]) -> float:
    """Return the number of first neighbors of the series' central absorber, NaN where the campaign does not tell."""
    structure = campaign["structure"]
    cutoff, lattice_constant = structure["first_shell_cutoff"], structure["lattice_constant"]
    cuboctahedron = structure["file"] is None and structure["absorber"] is None
    # Fcc's second shell lies at the lattice constant.
    return 12.0 if cuboctahedron and (cutoff is None or cutoff < lattice_constant) else math.nan


def _blocks(old: h5py.File, source: h5py.Dataset) -> Iterator[tuple[int, Any]]:
    try:
        yield from blocks(source)
    except OSError as error:
        # Not of the new file, which the block under way is written to.
        raise unreadable(Path(old.filename), error) or StoreError(
            f"{old.filename} cannot be read: {reason(error)}; restore it from a copy"
        ) from error


def _campaign(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the campaign of a file with its keys' present names, and the digest of that."""
    campaign = json.loads(attributes["campaign"])
    for section, names in _RENAMED_KEYS.items():
        if campaign.get(section):
            campaign[section] = {names.get(key, key): value for key, value in campaign[section].items()}
    campaign = as_made(campaign)
    # As `Campaign.resolved` and `Campaign.digest` do, but without defaults that the campaign was not made with.
    return {
        "campaign": json.dumps(campaign, sort_keys=True, ensure_ascii=False),
        "campaign_digest": digest_of(campaign),
    }


def probe(path: Path) -> None:
    """Read all of a file's structure, in a process of its own; see `xanesml.files.apart`."""
    with _open(path) as file:
        _look_at_all(file)


def _look_at_all(file: h5py.File) -> None:
    """Read all names, attributes, types and shapes of a file."""

    def look(_name: str, item: h5py.Group | h5py.Dataset) -> None:
        dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            _ = item.shape, item.dtype, item.id.get_offset()

    dict(file.attrs)
    file.visititems(look)
