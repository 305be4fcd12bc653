"""Spectra in the XAS Data Interchange format."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.signals import COLUMNS_TEXT
from xanesml.measured.spectrum import Found, time_of
from xanesml.measured.text import read_tables

#: h c, eV Å.
_HC = 12398.419843320026
_CHOICES = {"transmission", "fluorescence", "normalized"}


def is_xdi(text: str) -> bool:
    """Return whether a text is XDI, by its first line."""
    return "XDI/" in text.partition("\n")[0]


def read_xdi(path: Path, text: str) -> Found:
    """Read an XDI file with this text; one of `xanesml export` is theory.

    Energies follow from a column `angle` by the header's `Mono.d_spacing` where there is no column
    `energy`. The other elements of the sample are those of `Sample.stoichiometry` or `Sample.formula`.

    Raises
    ------
    SpectrumError
        If it has rows that are not numbers, no energies or no absorption.

    References
    ----------
    XDI 1.1, https://github.com/XraySpectroscopy/XAS-Data-Interchange.
    """
    header = {
        key.lower(): value.strip()
        for key, value in re.findall(r"^\s*#\s*([A-Za-z]\w*\.\w+)\s*:[^\S\n]*(.*)$", text, re.MULTILINE)
    }
    tables = list(read_tables(path, text))
    if len(tables) > 1:
        raise SpectrumError(f"{path} has {len(tables)} tables; an XDI file has one: give one file a spectrum")
    table = tables[0]
    labels, units = _columns(path, header, table.header, table.values.shape[1])
    columns = dict(zip(labels, table.values.T, strict=True))
    energy, axis, unit = _energies(path, columns, dict(zip(labels, units, strict=True)), header)
    rest = {name: values for name, values in columns.items() if name != axis}
    # Only our own export names the edge beside μ0, which XDI does not define.
    edge_energy = re.fullmatch(r"(\S+) eV", header.get("scan.edge_energy", ""))
    own = "Xanesml/" in text.partition("\n")[0] and "mu0" in columns and edge_energy is not None
    return Found(
        energy=energy,
        columns={"mu": columns["mu"]} if own else rest,
        axis="energy" if axis == "energy" else "angle",
        element=header.get("element.symbol", ""),
        edge=header.get("element.edge", ""),
        unit=unit,
        background=columns["mu0"] if own else None,
        edge_energy=float(edge_energy[1]) if own and edge_energy else None,
        others=elements_of(header.get("sample.stoichiometry", "") or header.get("sample.formula", "")),
        numbers={str(place): name for place, name in enumerate(labels, start=1)},
        lines=table.lines,
        time=time_of(header.get("scan.start_time", "")),
        ambiguous=f"it has no absorption among its columns {', '.join(labels)}; give {COLUMNS_TEXT}, or choose one",
    )


def elements_of(formula: str) -> tuple[str, ...]:
    """Return the elements of a chemical formula; none if it is no formula."""
    from ase.data import atomic_numbers  # noqa: PLC0415 (slow)

    plain = re.sub(r"[\d.\s()\[\]+·*-]", " ", formula)
    symbols = re.findall(r"[A-Z][a-z]?", plain)
    if re.sub(r"\s", "", plain) != "".join(symbols) or not all(symbol in atomic_numbers for symbol in symbols):
        return ()
    return tuple(dict.fromkeys(symbols))


def _columns(path: Path, header: dict[str, str], lines: list[str], count: int) -> tuple[list[str], list[str]]:
    """Return the names, in lower case, and units of the columns, by Column.N, or else the last line of the header."""
    stated = {
        int(key[7:]): value.partition("||")[0].split()
        for key, value in header.items()
        if re.fullmatch(r"column\.\d+", key)
    }
    if all(stated.get(place) for place in range(1, count + 1)):
        words = [stated[place] for place in range(1, count + 1)]
        return [one[0].lower() for one in words], [one[1] if len(one) > 1 else "" for one in words]
    names = lines[-1].lstrip("#").split() if lines else []
    if len(names) != count:
        raise SpectrumError(
            f"{path} has {count} columns, but its header names {len(stated) or len(names)}; "
            "give a line `# Column.N: name` for each"
        )
    return [name.lower() for name in names], [""] * count


def _energies(
    path: Path, columns: dict[str, Floats], units: dict[str, str], header: dict[str, str]
) -> tuple[Floats, str, str]:
    if "energy" in columns:
        return columns["energy"], "energy", units["energy"]
    spacing = re.match(r"[\d.]+", header.get("mono.d_spacing", ""))
    if "angle" not in columns or spacing is None or not float(spacing[0]) > 0:
        raise SpectrumError(
            f"{path} has no column 'energy', only {', '.join(columns)}; "
            "give energies, or a column 'angle' and Mono.d_spacing (Å)"
        )
    angle = columns["angle"] if units["angle"].lower().startswith("rad") else np.radians(columns["angle"])
    return _HC / (2 * float(spacing[0]) * np.sin(angle)), "angle", "eV"
