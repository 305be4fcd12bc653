"""Averages of one's own choice as files: XDI, and tables of the spectra and of their labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from xanesml.averages.mixing import Mixtures
from xanesml.files.arrays import Floats
from xanesml.files.table import write_csv
from xanesml.files.whole import write_text

#: Name of the undistorted spectrum, which goes with every set.
UNDISTORTED = "undistorted"

#: Columns of `labels.csv`, the last two only with a measured spectrum.
LABELS = (
    "name", "sigma", "location", "alpha", "bonds",
    "msd", "mean_shift", "skewness", "kurtosis", "truncated", "rms_undistorted",
    "rms_measured", "measured_shift",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Beside:
    """A measured spectrum beside the averages.

    Attributes
    ----------
    label : str
        Its name.
    spectrum : ndarray of float64, shape (M,), edge steps
        Its values on the mesh, shifted onto the closest average.
    shift : ndarray of float64, shape (n,), eV
        Shift of its energies onto each average.
    rms : ndarray of float64, shape (n,), edge steps
        Root mean square difference left.
    """

    label: str
    spectrum: Floats
    shift: Floats
    rms: Floats

    @property
    def closest(self) -> int:
        """Index of the closest average."""
        return int(np.argmin(self.rms))


def write_mixtures(folder: Path, mixtures: Mixtures, facts: Mapping[str, str], beside: Beside | None = None) -> None:
    """Write the averages of a call.

    Parameters
    ----------
    folder : Path
        Folder of the files; made if it does not exist. It gets `NAME.xdi` for each average and for the undistorted
        spectrum, `spectra.csv` with one column for each, and `labels.csv` with one row for each. Files of the same
        name are replaced.
    mixtures : Mixtures
        The averages.
    facts : mapping of str to str
        What else the XDI files say of their origin, by key; `Element.symbol` and `Element.edge` among it.
    beside : Beside, optional
        The measured spectrum that goes into the tables.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written.
    """
    series = mixtures.series
    columns = {one.name: spectrum for one, spectrum in zip(mixtures.made, mixtures.spectra, strict=True)}
    rows = [dict(zip(LABELS, row, strict=False)) for row in _rows(mixtures, beside)]
    said = {row["name"]: row for row in rows}
    if series.has_undistorted:
        columns[UNDISTORTED] = series.undistorted()
    for name, spectrum in columns.items():
        own = {f"Xanesml.{key}": value for key, value in said.get(name, {"name": name}).items() if value != ""}
        write_text(folder / f"{name}.xdi", _xdi(series.energy, spectrum, {**facts, **own}), durable=False)
    if beside is not None:
        columns["measured"] = beside.spectrum
    write_csv(
        folder / "spectra.csv",
        ["energy", *columns],
        ([value.item() for value in row] for row in zip(series.energy, *columns.values(), strict=True)),
    )
    names = LABELS if beside is not None else LABELS[:-2]
    write_csv(folder / "labels.csv", names, (list(row.values()) for row in rows))


def _rows(mixtures: Mixtures, beside: Beside | None) -> Iterator[list[object]]:
    moments = mixtures.moments
    apart = from_undistorted(mixtures)
    for place, one in enumerate(mixtures.made):
        numbers = [
            *(float(getattr(moments, name)[place]) for name in ("msd", "mean_shift", "skewness", "kurtosis")),
            one.truncated,
            float(apart[place]),
            *([] if beside is None else [float(beside.rms[place]), float(beside.shift[place])]),
        ]
        asked = [_field(value) for value in (one.scale, one.location, one.alpha)]
        yield [one.name, *asked, one.source, *map(_field, numbers)]


def from_undistorted(mixtures: Mixtures) -> Floats:
    """Return the root mean square difference of each average from δ = 0, (n,), edge steps; NaN without δ = 0."""
    if not mixtures.series.has_undistorted:
        return np.full(len(mixtures.made), np.nan)
    difference = mixtures.spectra - mixtures.series.undistorted()
    return np.asarray(np.sqrt(np.mean(difference**2, axis=1)), dtype=np.float64)


def _field(value: float) -> object:
    return "" if np.isnan(value) else value


def _xdi(energy: Floats, spectrum: Floats, header: Mapping[str, object]) -> str:
    lines = [f"XDI/1.0 Xanesml/{version('xanesml')}", "Column.1: energy eV", "Column.2: norm"]
    lines += [f"{name}: {' '.join(str(value).split())}" for name, value in header.items()]
    lines += ["-------------", "energy norm"]
    rows = [f"  {one!r:<20} {value!r}" for one, value in zip(energy.tolist(), spectrum.tolist(), strict=True)]
    return "".join(f"{line}\n" for line in [*(f"# {line}" for line in lines), *rows])
