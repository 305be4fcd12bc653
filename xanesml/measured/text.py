"""Spectra in columns of text: by the names in a header, or energy and μ without one."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.spectrum import COLUMNS_TEXT, Found, absorption

#: Prefixes of comment lines.
_COMMENT = ("#", "%", "!", "*")


def read_text(path: Path, text: str, choice: str = "") -> Found:
    """Read columns of numbers, separated by blanks, tabs, commas or semicolons.

    The lines above the first row of numbers are the header. If its last line names every
    column, one of them an energy, μ is found by name; two columns without names are energy
    and μ. Between semicolons and tabs, a comma is a decimal point.

    Parameters
    ----------
    path, text
        The file, for messages, and its content.
    choice : str, optional
        The column that holds μ: its name, or its number counted from 1.

    Raises
    ------
    SpectrumError
        If it is not a table of numbers, or the columns of energy and μ are ambiguous.
    """
    header, table = _table(path, text)
    count = table.shape[1]
    labels = _labels(header, count)
    names = [re.sub(r"[\W_]*[(\[].*?[)\]]", "", label) for label in labels]
    energy = next((place for place, name in enumerate(names) if _is_energy(name)), None)
    if energy is None:
        labels, names, energy = [], [str(place) for place in range(1, count + 1)], 0
    unit = re.search(r"\bk?ev\b", labels[energy]) if labels else None
    if choice:
        place = _chosen(path, choice, names)
        mu, what = table[:, place], names[place]
    else:
        mu, what = _found(path, names, table, energy, named=bool(labels))
    columns = f"{names[energy]} and {what}" if labels else f"column {names[energy]} and column {what} of {count}"
    return Found(energy=table[:, energy], mu=mu, columns=columns, name=choice, unit=unit[0] if unit is not None else "")


def _table(path: Path, text: str) -> tuple[list[str], Floats]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = next((n for n, line in enumerate(lines) if not line.startswith(_COMMENT) and _numeric(line)), len(lines))
    rows = [line for line in lines[first:] if not line.startswith(_COMMENT)]
    if not rows:
        raise SpectrumError(
            f"{path} has no columns of numbers; give XDI, an Athena project, NeXus, FEFF's xmu.dat, or text with "
            "an energy (eV) and mu in each row"
        )
    try:
        table = np.loadtxt(io.StringIO("\n".join(_plain(row) for row in rows)), dtype=np.float64, ndmin=2)
    except ValueError as error:
        reason = str(error).partition(";")[0].rstrip(".")
        raise SpectrumError(
            f"{path} is not a table of numbers: {reason}, counted from {rows[0][:60]!r}; "
            "remove lines that do not belong to the table"
        ) from error
    if table.shape[1] == 1:
        raise SpectrumError(f"{path} has 1 column; give at least two, an energy (eV) and mu")
    return lines[:first], table


def _plain(row: str) -> str:
    return row.replace(",", ".").replace(";", " ") if re.search("[;\t]", row) else row.replace(",", " ")


def _numeric(line: str) -> bool:
    try:
        return len([float(field) for field in _plain(line).split()]) > 0
    except ValueError:
        return False


def _labels(header: list[str], count: int) -> list[str]:
    """Return the names in the last line of the header that has one for each column, in lower case."""
    for line in reversed(header):
        content = re.sub(r"^[#%!*\s]*(column names:|L\s)?\s*", "", line).lower()
        for separator in (r"\s*[;\t]\s*", r"\s*,\s*", r"\s{2,}", r"\s+"):
            labels = re.split(separator, content)
            if len(labels) == count and any(_is_energy(label) for label in labels):
                return labels
    return []


def _is_energy(label: str) -> bool:
    return "energy" in label or re.fullmatch(r"(e|ev|kev|omega)(\W.*)?", label.replace("-", "_")) is not None


def _chosen(path: Path, choice: str, names: list[str]) -> int:
    if choice.lower() in names:
        return names.index(choice.lower())
    if choice.isdecimal() and 1 <= int(choice) <= len(names):
        return int(choice) - 1
    raise SpectrumError(f"{path} has no column {choice!r}; it has {', '.join(names)}")


def _found(path: Path, names: list[str], table: Floats, energy: int, *, named: bool) -> tuple[Floats, str]:
    taken = absorption(dict(zip(names, table.T, strict=True))) if named else None
    if taken is not None:
        return taken
    if table.shape[1] == 2:
        return table[:, 1 - energy], names[1 - energy]
    what = f"names its columns {', '.join(names)}" if named else f"has {table.shape[1]} columns without names"
    raise SpectrumError(
        f"{path} {what}; name absorption {COLUMNS_TEXT}, or choose a column, as {path.name}:{names[1 - bool(energy)]}"
    )
