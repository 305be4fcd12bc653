"""Spectra in the XAS Data Interchange format, by larch."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.measured.spectrum import COLUMNS_TEXT, Found, absorption, import_larch


def is_xdi(text: str) -> bool:
    """Return whether a text is XDI, by its first line."""
    return "XDI/" in text.partition("\n")[0]


def read_xdi(path: Path, text: str) -> Found:
    """Read an XDI file with this text; one of `xanesml export` is theory.

    Raises
    ------
    SpectrumError
        If it is not valid, has rows that are not numbers, no energies or no absorption.

    References
    ----------
    XDI 1.1, https://github.com/XraySpectroscopy/XAS-Data-Interchange.
    """
    larch = import_larch()
    try:
        # larch divides by the detector counts while reading; zeros are checked later.
        with np.errstate(all="ignore"):
            group = larch.io.read_xdi(str(path))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        reason = str(error).replace("\n", " ")
        raise SpectrumError(f"{path} is not a valid XDI file: {reason}; see the XDI 1.1 definition") from error
    # larch takes everything above the last unreadable row for header, and may drop half a spectrum silently.
    rows = sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    if rows != group.npts:
        raise SpectrumError(f"{path} has {rows} rows, of which only the last {group.npts} are numbers; fix the others")
    labels = list(group.array_labels)
    if not hasattr(group, "energy"):
        raise SpectrumError(f"{path} has no column 'energy', only {', '.join(labels)}")
    columns = {name.lower(): np.asarray(getattr(group, name), dtype=np.float64) for name in labels}
    taken = absorption(columns)
    if taken is None:
        raise SpectrumError(f"{path} has no absorption among its columns {', '.join(labels)}; give {COLUMNS_TEXT}")
    units = dict(zip(labels, group.array_units, strict=True))
    # Only our own export names the edge beside μ0, which XDI does not define.
    edge_energy = re.search(r"^# Scan\.edge_energy: (\S+) eV$", text, re.MULTILINE)
    own = "Xanesml/" in text.partition("\n")[0] and "mu0" in columns and edge_energy is not None
    return Found(
        energy=np.asarray(group.energy, dtype=np.float64),
        mu=taken[0],
        columns=f"energy and {taken[1]}",
        element=group.element,
        edge=group.edge,
        unit=units.get("energy", ""),
        background=columns["mu0"] if own else None,
        edge_energy=float(edge_energy[1]) if own and edge_energy else None,
    )
