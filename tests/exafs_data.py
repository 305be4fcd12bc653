"""Spectra of known disorder, and FEFF's paths for their crystals: `tests/data/README.md`."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

from conftest import ROOT

from xanesml.feff.paths import FeffPath, read_path

_ARCHIVE = ROOT / "tests" / "data" / "exafs.zip"

#: σ², Å², and bond length, Å, as published.
PUBLISHED = {
    "au_foil": (0.008, 2.85),
    "au_colloid_A1": (0.0108, 2.806),
    "au_colloid_A4": (0.0090, 2.843),
    "au_colloid_C": (0.0109, 2.828),
    "au_tio2_A1": (0.0102, 2.836),
    "au_tio2_C": (0.0095, 2.848),
    "cu_foil_10K": (0.0035, 2.55),
    "cu_foil_150K": (0.0051, 2.552),
    "pt_c_10wt_20K": (0.0053, 2.735),
    "pt_c_10wt_300K": (0.0070, 2.758),
}


def unpacked(name: str, folder: Path) -> Path:
    """Write a file of the archive into a folder."""
    with ZipFile(_ARCHIVE) as archive:
        return Path(archive.extract(name, folder))


def path_of(element: str, folder: Path) -> FeffPath:
    """Return the path to the first shell of the fcc crystal of Au, Cu or Pt."""
    return read_path(unpacked(f"feff-{element}.dat", folder))
