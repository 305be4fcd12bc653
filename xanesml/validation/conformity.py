"""Whether a file has the form that its layout says: attributes, datasets, shapes and types."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import h5py

from xanesml.campaign import Campaign
from xanesml.files.layout import Array, Layout


def attribute_problems(file: h5py.File, layout: Layout) -> list[str]:
    """List what is wrong with the root attributes: missing, unreadable, or unknown ones."""
    problems = []
    for name in layout.attributes:
        if name not in file.attrs:
            problems.append(f"the root attribute {name} is missing")
        elif attribute(file, name) is None:
            problems.append(f"the root attribute {name} cannot be read")
    problems += [
        f"the root attribute {name} is not part of the format" for name in file.attrs.keys() - layout.attributes
    ]
    return problems


def attribute(item: h5py.File | h5py.Dataset, name: str) -> Any:
    """Return an attribute, text as str; None where it is missing or cannot be read."""
    try:
        value = item.attrs.get(name)
        return value.decode() if isinstance(value, bytes) else value
    except (OSError, RuntimeError, UnicodeDecodeError):
        return None


def attributes_lost(file: h5py.File, layout: Layout) -> bool:
    """Tell whether a file of sound form has attributes that cannot be read."""
    items = [
        (file, list(layout.attributes)),
        *((file[array.path], ["units", "description"]) for array in layout.arrays),
    ]
    return any(name in item.attrs and attribute(item, name) is None for item, names in items for name in names)


def unit_problems(file: h5py.File, layout: Layout) -> list[str]:
    """List the datasets of a file of sound form whose unit is not the layout's."""
    units = {array.path: (attribute(file[array.path], "units"), array.units) for array in layout.arrays}
    return [f"{path} has units {found!r}, not {unit!r}" for path, (found, unit) in units.items() if found != unit]


def form_problems(file: h5py.File, layout: Layout) -> list[str]:
    """List what is wrong with the datasets: missing or unknown ones, their types, shapes and storage."""
    expected = {array.path: array for array in layout.arrays}
    groups = {path.partition("/")[0] for path in expected}
    found: dict[str, Any] = {}
    problems = []
    for name, item in file.items():
        if isinstance(item, h5py.Group) and name in groups:
            found |= {f"{name}/{inner}": one for inner, one in item.items()}
        else:
            problems.append(f"{name} is not part of the format")
    problems += [f"{path} is not part of the format" for path in found if path not in expected]
    sizes: dict[str, tuple[int, str]] = {}
    for path, array in expected.items():
        dataset = found.get(path)
        if isinstance(dataset, h5py.Dataset):
            problems += _dataset(dataset, array) + _dimensions(dataset, array, sizes)
        else:
            problems.append(f"the dataset {path} is missing")
    return problems


def _dataset(dataset: h5py.Dataset, array: Array) -> list[str]:
    problems = []
    if dataset.dtype.str != array.dtype:
        problems.append(f"{array.path} has the type {dataset.dtype.str}, not {array.dtype}")
    if dataset.id.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS:
        problems.append(f"{array.path} is not contiguous")
    elif dataset.size and (dataset.id.get_offset() is None or dataset.id.get_storage_size() != dataset.nbytes):
        problems.append(f"{array.path} is not allocated")
    return problems


def _dimensions(dataset: h5py.Dataset, array: Array, sizes: dict[str, tuple[int, str]]) -> list[str]:
    if dataset.ndim != len(array.shape):
        return [f"{array.path} has the shape {dataset.shape}, not ({', '.join(array.shape)})"]
    problems = []
    for letter, size in zip(array.shape, dataset.shape, strict=True):
        first = (int(letter), "its layout") if letter.isdigit() else sizes.setdefault(letter, (size, array.path))
        if size != first[0]:
            problems.append(f"{array.path} has the shape {dataset.shape}, but {letter} is {first[0]} by {first[1]}")
    return problems


def campaign_problems(file: h5py.File) -> tuple[list[str], Campaign | None]:
    """Check that the campaign parses and has its digest; return what is wrong, and the campaign where it parses."""
    text, problems = str(attribute(file, "campaign")), []
    try:
        canonical = json.dumps(json.loads(text), sort_keys=True)
        # As Campaign.digest does, but without the defaults that another version of xanesml may fill in.
        if hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest() != attribute(file, "campaign_digest"):
            problems.append("the root attribute campaign does not match campaign_digest")
        return problems, Campaign.model_validate_json(text)
    except ValueError as error:
        first = str(error).splitlines()
        why = " ".join(first[1:3]) if len(first) > 1 else first[0]
        return [*problems, f"the root attribute campaign is no campaign of this xanesml ({why[:150]})"], None
