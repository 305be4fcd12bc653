"""The form of a file: attributes, datasets, shapes, types and dimensions as its layout has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py

from xanesml.campaign import Campaign, digest_of
from xanesml.files.hdf5 import leads_away
from xanesml.files.layout import CONVERTIBLE, LAYOUTS, SIZES, Array, Layout
from xanesml.files.nexus import plot_problems
from xanesml.files.plots import ENTRY
from xanesml.validation.opening import DAMAGE, Extent


@dataclass
class Form:
    """The form of a file.

    Attributes
    ----------
    layout : Layout or None
        Its layout; None where the form does not allow the content to be read.
    content : str
        Name and version of its format; empty where it is no file of xanesml.
    problems : list of str
        What is wrong, each in one line.
    attributes_lost : bool
        Whether a truncated file has lost attributes, so that it cannot be repaired.
    """

    layout: Layout | None = None
    content: str = ""
    problems: list[str] = field(default_factory=list)
    attributes_lost: bool = False


def examine_form(file: h5py.File, extent: Extent) -> Form:
    """Compare the form of a file with its layout.

    Parameters
    ----------
    file : h5py.File
        The file, opened by `open_whole`.
    extent : Extent
        How much of it is there.
    """
    schema, version = attribute(file, "schema"), attribute(file, "schema_version")
    layout = LAYOUTS.get(schema) if isinstance(schema, str) else None
    if layout is None:
        known = " or ".join(LAYOUTS)
        return Form(problems=[f"no file of xanesml: the root attribute schema is {schema!r}, not {known}"])
    form = Form(content=f"{schema} version {version}")
    own = layout.of_version(version)
    if own is None:
        remedy = f"run `xanesml convert {extent.path}`" if version in CONVERTIBLE else "use the xanesml that wrote it"
        form.problems.append(f"has version {version} of its format, not {layout.version}; {remedy}")
        return form
    present, layout = layout, own
    if extent.truncated:
        form.problems.append(f"truncated: {extent.size} of {extent.whole} bytes are there")
    try:
        damaged = _form_problems(file, layout)
        if not damaged:
            form.attributes_lost = extent.truncated and _attributes_lost(file, layout)
            form.problems += (
                # Extended to its full length, it would have zeros in their place, on which HDF5 loops for ever.
                ["attributes are lost with its end, so that it cannot be repaired"]
                if form.attributes_lost
                else _attribute_problems(file, layout) + _unit_problems(file, layout)
            )
    except DAMAGE as error:
        damaged = [f"its structure is damaged ({' '.join(str(error).split())[:150]})"]
    if not damaged and extent.truncated and not extent.plausible(file):
        damaged = [f"its end, {extent.whole} bytes, lies far behind its last dataset; that number is damaged"]
    if damaged:
        form.problems += [*damaged, "its content was not checked"]
    else:
        form.layout = present
    return form


def attribute(item: h5py.File | h5py.Dataset, name: str) -> Any:
    """Return an attribute, text as str; None where it is missing or cannot be read."""
    try:
        value = item.attrs.get(name)
        return value.decode() if isinstance(value, bytes) else value
    except (OSError, RuntimeError, UnicodeDecodeError):
        return None


def campaign_problems(file: h5py.File) -> tuple[list[str], Campaign | None]:
    """Check that the campaign parses and matches its digest.

    Returns
    -------
    list of str
        What is wrong, each in one line.
    Campaign or None
        The campaign; None where it does not parse.
    """
    text, problems = str(attribute(file, "campaign")), []
    try:
        # Not Campaign.digest, which has the defaults that another version of xanesml may fill in.
        if digest_of(json.loads(text)) != attribute(file, "campaign_digest"):
            problems.append("the root attribute campaign does not match campaign_digest")
        return problems, Campaign.restored(text)
    except ValueError as error:
        first = str(error).splitlines()
        why = " ".join(first[1:3]) if len(first) > 1 else first[0]
        return [*problems, f"the root attribute campaign is no campaign of this xanesml ({why[:150]})"], None


def _attribute_problems(file: h5py.File, layout: Layout) -> list[str]:
    """List missing, unreadable and unknown root attributes."""
    bad = dict.fromkeys(file.attrs.keys() - layout.attributes, "is not part of the format")
    for name in layout.attributes:
        if attribute(file, name) is None:
            bad[name] = "cannot be read" if name in file.attrs else "is missing"
    return [f"the root attribute {name} {what}" for name, what in bad.items()]


def _attributes_lost(file: h5py.File, layout: Layout) -> bool:
    """Whether a file has attributes that cannot be read."""
    items = [
        (file, list(layout.attributes)),
        *((file[array.path], ["units", "description"]) for array in layout.arrays),
    ]
    return any(name in item.attrs and attribute(item, name) is None for item, names in items for name in names)


def _unit_problems(file: h5py.File, layout: Layout) -> list[str]:
    units = {array.path: (attribute(file[array.path], "units"), array.units) for array in layout.arrays}
    return [f"{path} has units {found!r}, not {unit!r}" for path, (found, unit) in units.items() if found != unit]


def _form_problems(file: h5py.File, layout: Layout) -> list[str]:
    """List missing and unknown datasets, and wrong types, shapes, storage and dimensions."""
    expected = {array.path: array for array in layout.arrays}
    groups = {path.partition("/")[0] for path in expected}
    found: dict[str, Any] = {}
    if away := leads_away(file, layout):
        return [f"{away} leads to another file, which is not read"]
    for name in file:
        if layout.plots and name == ENTRY:
            continue
        if name in groups and isinstance(file[name], h5py.Group):
            found |= {f"{name}/{inner}": _own(file[name], inner) for inner in file[name]}
        else:
            found[name] = _own(file, name)
    known = expected.keys() | set(layout.scales.values()) | layout.links.keys()
    problems = [f"{path} is not part of the format" for path in found if path not in known]
    sizes = {name: (size, "its layout") for name, size in SIZES.items()}
    for path, array in expected.items():
        dataset = found.get(path)
        if isinstance(dataset, h5py.Dataset):
            problems += _dataset(dataset, array) + _shape(dataset, array, sizes)
        else:
            problems.append(f"the dataset {path} is missing")
    return problems or _dimension_problems(file, layout, {name: size for name, (size, _) in sizes.items()})


def _own(group: h5py.Group, name: str) -> Any:
    """Return an item of a group; None where it is a link that may lead to another file."""
    return group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None


def _dataset(dataset: h5py.Dataset, array: Array) -> list[str]:
    problems = []
    if dataset.dtype.str != array.dtype:
        problems.append(f"{array.path} has the type {dataset.dtype.str}, not {array.dtype}")
    if dataset.id.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS:
        problems.append(f"{array.path} is not contiguous")
    elif dataset.size and (dataset.id.get_offset() is None or dataset.id.get_storage_size() != dataset.nbytes):
        problems.append(f"{array.path} is not allocated")
    return problems


def _shape(dataset: h5py.Dataset, array: Array, sizes: dict[str, tuple[int, str]]) -> list[str]:
    if dataset.ndim != len(array.shape):
        return [f"{array.path} has the shape {dataset.shape}, not ({', '.join(array.shape)})"]
    problems = []
    for name, size in zip(array.shape, dataset.shape, strict=True):
        first = sizes.setdefault(name, (size, array.path))
        if size != first[0]:
            problems.append(f"{array.path} has the shape {dataset.shape}, but {name} is {first[0]} by {first[1]}")
    return problems


def _dimension_problems(file: h5py.File, layout: Layout, sizes: Mapping[str, int]) -> list[str]:
    """List missing and wrong names of dimensions, in a file whose datasets are all there."""
    scales = {name: file.get(path) for name, path in layout.scales.items()}
    problems = [
        f"the dimension {name} has no dimension scale of its size"
        for name, scale in scales.items()
        if not (isinstance(scale, h5py.Dataset) and h5py.h5ds.is_scale(scale.id) and scale.shape == (sizes[name],))
    ]
    if problems:
        return problems
    for array in layout.arrays:
        if array.path not in layout.scales.values():
            for axis, name in enumerate(array.shape):
                if not h5py.h5ds.is_attached(file[array.path].id, scales[name].id, axis):
                    problems.append(f"{array.path} does not name its dimension {name}")
    problems += [f"{link} is not {path}" for link, path in layout.links.items() if file.get(link) != file[path]]
    return problems + (plot_problems(file, layout.plots) if layout.plots else [])
