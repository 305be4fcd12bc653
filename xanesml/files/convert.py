"""Converts stores and tensor files of earlier versions of their formats to the present ones.

The same datasets, bit for bit, under their present names, with dimension scales. Datasets that the
earlier version lacks say what it did without them: every absorber stands for itself alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xanesml.campaign import digest_of
from xanesml.errors import StoreError
from xanesml.files.hdf5 import blocks, content_digest, create, full_size, text_attribute
from xanesml.files.layout import LAYOUTS, STORE, Array, Layout, fixed_arrays
from xanesml.files.lock import WriteLock, unused
from xanesml.files.whole import reason

#: Datasets that had another name in an earlier version.
_RENAMED_ARRAYS = {"structures/undistorted": "structures/reference"}

#: Dimensions that an earlier version lacks, and their sizes in a file of it.
_ADDED_SIZES = {"site": 1}

#: Campaign keys that had another name in an earlier version, by section.
_RENAMED_KEYS = {"distortion": {"reference": "length"}}

#: Attributes that the new file has of its own.
_OWN = ("schema", "schema_version")


def convert(path: Path, folder: Path | None = None) -> str:
    """Convert a store or a tensor file; the converted file is whole, or the old one stays.

    Parameters
    ----------
    path : Path
        The file.
    folder : Path, optional
        Folder that the converted file goes to, under the same name. By default it takes the place of `path`.

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
        If the converted file cannot be written; as much space as the old one has must be free.
    """
    if not path.is_file():
        raise StoreError(f"{path} does not exist; give a store or a tensor file")
    target = path if folder is None else folder / path.name
    if folder is not None and target.exists():
        raise StoreError(f"{target} exists already; give another --output folder")
    lock: AbstractContextManager[object] = WriteLock(path) if folder is None else unused(path)
    with lock, _open(path) as old:
        try:
            schema, version = old.attrs.get("schema"), old.attrs.get("schema_version")
            layout = LAYOUTS.get(str(schema))
            if layout is None:
                raise StoreError(f"{path} is no file of xanesml; give a store or a tensor file")
            if version == layout.version:
                return f"{path}: {schema} version {version} already"
            if version not in layout.convertible:
                known = " and ".join(map(str, layout.convertible))
                raise StoreError(
                    f"{path} is {schema} version {version}, and only version{'s' * (len(layout.convertible) > 1)} "
                    f"{known} can be converted; use the xanesml that wrote it"
                )
            _write(target, old, layout)
        # Not being able to write is an EnvironmentProblem already.
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
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
        raise StoreError(f"{path} is not a readable HDF5 file ({reason(error)}); restore it from a copy") from error


def _write(target: Path, old: h5py.File, layout: Layout) -> None:
    attributes = {name: value for name, value in old.attrs.items() if name not in _OWN}
    attributes |= _campaign(attributes)
    added = _added(json.loads(attributes["campaign"]))
    sources = {}
    for path in (array.path for array in layout.arrays):
        former = _RENAMED_ARRAYS.get(path, path)
        name = former if former in old else path
        # A dataset that every earlier version has must be there.
        if name in old or path not in added:
            sources[path] = old[name]
    sizes = dict(_ADDED_SIZES)
    for array in layout.arrays:
        if array.path in sources:
            # Zip leaves out a dimension that the array has gained.
            sizes |= zip(array.shape, sources[array.path].shape, strict=False)

    def fill(new: h5py.File) -> None:
        for array in layout.arrays:
            if array.path in sources:
                _copy(old, sources[array.path], new, array)
        if layout is STORE:
            fixed = [array.path for array in fixed_arrays(STORE)]
            then = [sources[path].name for path in fixed if path in sources]
            # The digest of damaged structures stays, so that it does not match.
            if text_attribute(old, "inputs_digest") == content_digest(old, then):
                new.attrs.modify("inputs_digest", np.bytes_(content_digest(new, fixed)))

    initial = {array.path: added[array.path] for array in layout.arrays if array.path not in sources}
    create(target, layout, sizes=sizes, attributes=attributes, initial=initial, fill=fill)


def _copy(old: h5py.File, source: h5py.Dataset, new: h5py.File, array: Array) -> None:
    """Copy a dataset bit for bit; one that has gained a dimension has the size 1 in it."""
    target = new[array.path]
    if target.shape[: source.ndim] != source.shape or target.size != source.size or target.dtype != source.dtype:
        raise ValueError(f"{array.path} has the type {source.dtype} and the shape {source.shape}")
    for start, (block,) in _blocks(old, source):
        target[start : start + len(block)] = block.reshape(len(block), *target.shape[1:])
    if content_digest(new, [array.path]) != content_digest(old, [source.name]):
        raise RuntimeError(f"{array.path} did not read back as it was written")


def _added(campaign: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of datasets that earlier versions lack, each value that of all its rows."""
    return {"tasks/multiplicity": 1, "series/multiplicity": 1, "statistical/coordination": _coordination(campaign)}


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
        raise StoreError(f"{old.filename} cannot be read: {reason(error)}; restore it from a copy") from error


def _campaign(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the campaign of a file with its keys' new names, and the digest of that."""
    campaign = json.loads(attributes["campaign"])
    for section, names in _RENAMED_KEYS.items():
        if campaign.get(section):
            campaign[section] = {names.get(key, key): value for key, value in campaign[section].items()}
    # As `Campaign.resolved` and `Campaign.digest` do, but without defaults that the campaign was not made with.
    return {
        "campaign": json.dumps(campaign, sort_keys=True, ensure_ascii=False),
        "campaign_digest": digest_of(campaign),
    }
