"""Converts stores and tensor files of version 2 of their format to the present one.

The same datasets, bit for bit, under names of version 3, with dimension scales.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import h5py

from xanesml.campaign import digest_of
from xanesml.errors import StoreError, XanesmlError
from xanesml.files.apart import crash
from xanesml.files.hdf5 import (
    COMPLETE,
    blocks,
    content_digest,
    create,
    full_size,
    leads_away,
    mark_complete,
    unreadable,
)
from xanesml.files.layout import CONVERTIBLE, LAYOUTS, Layout
from xanesml.files.lock import WriteLock, unused
from xanesml.files.whole import reason

#: Datasets that had another name in version 2.
_RENAMED_ARRAYS = {"structures/undistorted": "structures/reference"}

#: Campaign keys that had another name in version 2, by section.
_RENAMED_KEYS = {"distortion": {"reference": "length"}}

#: Attributes that the new file has of its own.
_OWN = ("schema", "schema_version")


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
        If the file is no store or tensor file, is of a version other than 2 and the present one, is truncated,
        damaged or in use, or if there is one of that name in `folder`.
    EnvironmentProblem
        If the system cannot read the file, or cannot write the converted one; as much space as the old one has
        must be free.
    """
    if not path.is_file():
        raise StoreError(f"{path} does not exist; give a store or a tensor file")
    target = path if folder is None else folder / path.name
    if folder is not None and target.exists():
        raise StoreError(f"{target} exists already; give another --output folder")
    if apart and (problem := crash("xanesml.files.convert", path)):
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
            if version != CONVERTIBLE:
                raise StoreError(
                    f"{path} is {schema} version {version}, and only version {CONVERTIBLE} can be converted; "
                    "use the xanesml that wrote it"
                )
            if away := leads_away(old, layout):
                raise StoreError(f"{path}: {away} leads to another file, which is not read; restore it from a copy")
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
    sources = {array.path: old[_RENAMED_ARRAYS.get(array.path, array.path)] for array in layout.arrays}
    sizes: dict[str, int] = {}
    for array in layout.arrays:
        sizes |= zip(array.shape, sources[array.path].shape, strict=True)

    def fill(new: h5py.File) -> None:
        for path, source in sources.items():
            if new[path].shape != source.shape or new[path].dtype != source.dtype:
                raise ValueError(f"{path} has the type {source.dtype} and the shape {source.shape}")
            for start, (block,) in _blocks(old, source):
                new[path][start : start + len(block)] = block
            if content_digest(new, [path]) != content_digest(old, [source.name]):
                raise RuntimeError(f"{path} did not read back as it was written")
        if COMPLETE in layout.attributes:
            # Version 2 has no mark: its files got their name when they were complete.
            mark_complete(new)

    attributes = {name: value for name, value in old.attrs.items() if name not in _OWN}
    create(target, layout, sizes=sizes, attributes=attributes | _campaign(attributes), initial={}, fill=fill)


def _blocks(old: h5py.File, source: h5py.Dataset) -> Iterator[tuple[int, Any]]:
    try:
        yield from blocks(source)
    except OSError as error:
        # Not of the new file, which the block under way is written to.
        raise unreadable(Path(old.filename), error) or StoreError(
            f"{old.filename} cannot be read: {reason(error)}; restore it from a copy"
        ) from error


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


def _look_at_all(file: h5py.File) -> None:
    """Read all names, attributes, types and shapes of a file."""

    def look(_name: str, item: h5py.Group | h5py.Dataset) -> None:
        dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            _ = item.shape, item.dtype, item.id.get_offset()

    dict(file.attrs)
    file.visititems(look)


if __name__ == "__main__":
    with (
        suppress(XanesmlError, OSError, KeyError, RuntimeError, TypeError, ValueError),
        _open(Path(sys.argv[1])) as given,
    ):
        _look_at_all(given)
