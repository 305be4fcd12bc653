"""FEFF's xmu.dat as a spectrum to predict from."""

from __future__ import annotations

import re
from pathlib import Path

from ase.data import chemical_symbols

from xanesml.errors import SpectrumError
from xanesml.feff.xmu import read_xmu
from xanesml.measured.spectrum import Found


def is_xmu(text: str) -> bool:
    """Return whether a text is FEFF's xmu.dat, by the names of its columns."""
    return re.search(r"^[#\s]*omega\s+e\s+k\s+mu\s+mu0\s+chi\b", text, re.MULTILINE) is not None


def read_theory(path: Path) -> Found:
    """Read an xmu.dat, with μ0, the energy of its edge, and photon energies as FEFF printed them.

    Raises
    ------
    SpectrumError
        If it is incomplete; see `xanesml.feff.xmu.read_xmu`.
    """
    try:
        spectrum = read_xmu(path)
    except SpectrumError as error:
        raise SpectrumError(f"{path}: {error}") from error
    return Found(
        energy=spectrum.energy,
        columns={"mu": spectrum.mu},
        axis="omega, mu0",
        element=chemical_symbols[spectrum.absorber_number],
        edge=spectrum.shell,
        unit="eV",
        background=spectrum.mu0,
        edge_energy=spectrum.edge,
    )
