"""Writes the plots that viewers of NeXus files open, and checks them.

References
----------
NeXus manual, base classes NXroot, NXentry and NXdata; "Associating plottable data".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.files.plots import ENTRY, Member, Plot

#: Chosen rows of a dataset, by name; one row gives up its dimension.
Rows = Mapping[str, slice | int]

#: The file that a virtual dataset of ours is in.
_HERE = "."


def write_plots(file: h5py.File, plots: Iterable[Plot], rows: Rows) -> None:
    """Add the plots to a file that has its datasets, all of them without content yet.

    Parameters
    ----------
    file : h5py.File
        The file.
    plots : iterable of Plot
        The plots, that which opens first in front.
    rows : mapping
        The rows that the plots name. A plot that needs others is left out.
    """
    plots = [plot for plot in plots if plot.rows <= rows.keys()]
    if not plots:
        return
    file.attrs.update(NX_class="NXroot", default=ENTRY)
    entry = file.create_group(ENTRY)
    entry.attrs.update(NX_class="NXentry", default=plots[0].name)
    for plot in plots:
        group = entry.create_group(plot.name)
        group.attrs.update(_attributes(plot))
        for member in plot.members:
            _add(file, group, member, rows)
        group[plot.signal].attrs["interpretation"] = "spectrum"


def _attributes(plot: Plot) -> dict[str, Any]:
    lists = {"axes": plot.axes} | ({"auxiliary_signals": plot.auxiliary} if plot.auxiliary else {})
    return {"NX_class": "NXdata", "title": plot.title, "signal": plot.signal} | {
        name: np.array(names, dtype=h5py.string_dtype()) for name, names in lists.items()
    }


def _add(file: h5py.File, group: h5py.Group, member: Member, rows: Rows) -> None:
    source = file[member.path]
    if member.rows:
        places = _places(rows[member.rows], source.shape)
        layout = h5py.VirtualLayout((len(places), *source.shape[len(places[0]) :]), source.dtype)
        # One by one, as nexusformat takes a virtual dataset to have a source for each of its rows.
        for index, place in enumerate(places):
            layout[index] = h5py.VirtualSource(_HERE, f"/{member.path}", source.shape)[place]
        group.create_virtual_dataset(member.name, layout, fillvalue=np.nan)
        group[member.name].attrs["units"] = source.attrs["units"]
    else:
        group[member.name] = source
    group[member.name].attrs["long_name"] = member.label


def _places(chosen: slice | int, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return where in a dataset the rows of a virtual one are: its own rows, or the elements of one of them."""
    if isinstance(chosen, int):
        return [(chosen, column) for column in range(shape[1])]
    return [(row,) for row in range(*chosen.indices(shape[0]))]


def plot_problems(file: h5py.File, plots: Iterable[Plot]) -> list[str]:
    """List what the plots of a file are wrong in; nothing is read but names, attributes and links."""
    entry = file.get(ENTRY) if isinstance(file.get(ENTRY, getlink=True), h5py.HardLink) else None
    if not isinstance(entry, h5py.Group):
        return [f"the group {ENTRY} of plots is missing"]
    by_name = {plot.name: plot for plot in plots}
    problems = [f"{ENTRY}/{name} is not part of the format" for name in entry if name not in by_name]
    for name, plot in by_name.items():
        link = entry.get(name, getlink=True)
        if link is None and plot.optional:
            continue
        group = entry[name] if isinstance(link, h5py.HardLink) else None
        problems += _problems(file, group, plot) if isinstance(group, h5py.Group) else [f"{ENTRY}/{name} is missing"]
    return problems


def _problems(file: h5py.File, group: h5py.Group, plot: Plot) -> list[str]:
    where, known = f"{ENTRY}/{plot.name}", {member.name for member in plot.members}
    problems = [f"{where}/{name} is not part of the format" for name in group if name not in known]
    for name, value in _attributes(plot).items():
        if not np.array_equal(_text(group.attrs.get(name)), _text(value)):
            problems.append(f"{where} has another attribute {name} than the format")
    for member in plot.members:
        if not _is_link(file, group, member):
            problems.append(f"{where}/{member.name} is no link to {member.path}")
    return problems


def _text(value: Any) -> NDArray[Any]:
    return np.array([one.decode() if isinstance(one, bytes) else str(one) for one in np.atleast_1d(value)])


def _is_link(file: h5py.File, group: h5py.Group, member: Member) -> bool:
    if not isinstance(group.get(member.name, getlink=True), h5py.HardLink):
        return False
    found = group[member.name]
    if not member.rows:
        return bool(found == file[member.path])
    # A virtual dataset may show any file that the user can read.
    return (
        isinstance(found, h5py.Dataset)
        and found.is_virtual
        and all((one.file_name, one.dset_name) == (_HERE, f"/{member.path}") for one in found.virtual_sources())
    )
