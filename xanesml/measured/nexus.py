"""Spectra in NeXus files: NXxas of either definition, NXxasproc, and what larch and pynxxas write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.apart import crash
from xanesml.files.arrays import Floats
from xanesml.measured.signals import COLUMNS_TEXT, signals
from xanesml.measured.spectrum import Found

#: The first bytes of an HDF5 file.
SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Longest time for reading a file, s.
LIMIT = 60.0


def read_nexus(path: Path) -> list[Found]:
    """Read all spectra of a NeXus file, each named by the path of its entry.

    An entry (NXentry, NXsubentry) is a spectrum if it has `energy`: its own, that of an
    NXdata in it, or the monochromator's. μ is `intensity`, or one of the columns that text
    may have, in the entry, an NXdata, or as `data` of an NXxasproc; or computed from
    `incoming_beam` and `absorbed_beam`, by the entry's `mode`. An entry without absorption has
    a `problem`. The rows of a stack of spectra are numbered from 0.

    Raises
    ------
    SpectrumError
        If the file is damaged, or no entry has energies.

    References
    ----------
    NeXus application definitions NXxas and NXxasproc, https://manual.nexusformat.org.
    """
    if problem := crash(__name__, path, limit=LIMIT):
        raise SpectrumError(f"{path}: {problem}")
    try:
        entries, found = _read(path)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        # HDF5 raises errors of any kind on damaged metadata.
        raise SpectrumError(f"{path} is a damaged HDF5 file: {' '.join(str(error).split())}") from error
    if not found:
        raise SpectrumError(
            f"{path} has no NXentry with energies (of {entries}); "
            "give a NeXus file with entries as in the definition NXxas, or another format"
        )
    return found


def probe(path: Path) -> None:
    """Read a file, in a process of its own; see `xanesml.files.apart`."""
    _read(path)


def _read(path: Path) -> tuple[int, list[Found]]:
    """Return the number of entries and their spectra."""
    with h5py.File(path, "r") as file:
        entries = _entries(file)
        return len(entries), [spectrum for entry in entries for spectrum in _spectra(entry)]


def _entries(file: h5py.File) -> list[h5py.Group]:
    entries = []

    def visit(_name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Group) and _class(item) in ("NXentry", "NXsubentry"):
            entries.append(item)

    file.visititems(visit)
    return entries


def _class(item: h5py.HLObject) -> str:
    return _text(item.attrs.get("NX_class", ""))


def _text(value: object) -> str:
    """Return text that HDF5 holds as str, bytes, or an array of either."""
    value = value.flat[0] if isinstance(value, np.ndarray) and value.size else value
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _spectra(entry: h5py.Group) -> Iterator[Found]:
    groups = [entry, *_children(entry, "NXdata")]
    instruments = _children(entry, "NXinstrument")
    monochromators = [child for instrument in instruments for child in _children(instrument, "NXmonochromator")]
    energies = (_dataset(group, "energy") for group in [*groups, *monochromators])
    energy = next((data for data in energies if data is not None and data.size > 1), None)
    if energy is None:
        return
    name = entry.name.strip("/")
    element, edge = _said(groups, "element"), _said(groups, "edge")
    axis, unit = np.asarray(energy[()], dtype=np.float64).ravel(), _text(energy.attrs.get("units", ""))
    columns, mu = _absorption(entry, groups, axis.size)
    stacks = [values.shape[0] for values in columns.values() if values.ndim > 1]
    columns = {key: values for key, values in columns.items() if values.ndim == 1 or len(values) == max(stacks)}
    if not columns:
        problem = f"it has no absorption; give intensity, {COLUMNS_TEXT}, or incoming_beam and absorbed_beam"
        yield Found(axis, {}, name=name, element=element, edge=edge, problem=problem)
        return
    for row in range(max(stacks, default=1)):
        yield Found(
            energy=axis,
            columns={key: values if values.ndim == 1 else values[row] for key, values in columns.items()},
            name=f"{name}/{row}" if stacks else name,
            element=element,
            edge=edge,
            unit=unit,
            mu=mu,
            ambiguous=f"its columns are {', '.join(columns)}; name absorption {COLUMNS_TEXT}, or choose one",
        )


def _children(group: h5py.Group, kind: str) -> list[h5py.Group]:
    items = (group.get(name) for name in group)
    return [item for item in items if isinstance(item, h5py.Group) and _class(item) == kind]


def _dataset(group: h5py.Group, path: str) -> h5py.Dataset | None:
    # A broken link gives None.
    item = group.get(path)
    return item if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu" else None


def _said(groups: list[h5py.Group], name: str) -> str:
    """Return the element, edge or mode of an entry: a dataset of that name, or in a group of that name."""
    for group in groups:
        for path in (name, f"{name}/symbol", f"{name}/name"):
            item = group.get(path)
            if isinstance(item, h5py.Dataset):
                return _text(item[()])
    return ""


def _absorption(entry: h5py.Group, groups: list[h5py.Group], points: int) -> tuple[dict[str, Floats], str]:
    """Return the columns of the first group that has absorption, and the one that holds μ whatever its name.

    Without absorption, the columns of all groups are returned.
    """
    everything: dict[str, Floats] = {}
    for group in groups:
        columns = {
            name.lower(): np.asarray(data[()], dtype=np.float64)
            for name in group
            if (data := _dataset(group, name)) is not None and data.ndim and data.shape[-1] == points
        }
        columns = {name: values for name, values in columns.items() if values.ndim <= 2 and name != "energy"}
        if "intensity" in columns:
            return columns, "intensity"
        if _holds(columns):
            return columns, ""
        if "data" in columns and _text(entry["definition"][()] if "definition" in entry else "") == "NXxasproc":
            return columns, "data"
        everything |= columns
    return _of_beams(entry, points) or (everything, "")


def _holds(columns: dict[str, Floats]) -> bool:
    return bool({"transmission", "fluorescence", "normalized"} & signals(columns).keys())


def _of_beams(entry: h5py.Group, points: int) -> tuple[dict[str, Floats], str] | None:
    for instrument in _children(entry, "NXinstrument"):
        names = ("incoming_beam", "absorbed_beam")
        beams = [_dataset(instrument, f"{name}/data") for name in names]
        arrays = [None if beam is None else np.asarray(beam[()], dtype=np.float64) for beam in beams]
        if any(array is None or array.shape != (points,) for array in arrays):
            continue
        columns = {name: array for name, array in zip(names, arrays, strict=True) if array is not None}
        mode = _said([entry, *_children(entry, "NXdata")], "mode").lower()
        if "trans" in mode or not mode:
            return columns, "ln(incoming_beam/absorbed_beam)"
        return columns, "absorbed_beam/incoming_beam"
    return None
