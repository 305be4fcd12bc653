"""Spectra in projects of Athena and Larix."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.athena_groups import Group, read_groups
from xanesml.measured.background import EXPONENTS, FitRanges
from xanesml.measured.spectrum import Found

#: Contents of groups without μ(E), by the flag that marks them.
_OTHER_KINDS = {
    "is_chi": "χ(k)",
    "is_bkg": "a background",
    "is_diff": "a difference of spectra",
    "is_xmudat": "a FEFF spectrum without μ0",
    "is_pixel": "on a scale of pixels",
    "is_rsp": "in R space",
    "is_qsp": "in q space",
}
#: What damaged projects raise.
_DAMAGED = (ValueError, TypeError, LookupError, AttributeError)


def unpacked(content: bytes) -> bytes:
    """Return a file's content, decompressed if it is gzipped, as Athena's projects are."""
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def is_athena(text: str) -> bool:
    """Return whether a text is an Athena project, written by Athena, Larix or larch."""
    return "Athena project file --" in text[:500]


def read_athena(path: Path, text: str) -> list[Found]:
    """Read all groups of a project, by their labels.

    Athena keeps the energies of a group as they were read, and the shift of its
    calibration beside them; the shift is added here. A group without μ(E) has a `problem`. Of groups
    with one label the second is called `label (2)`. The group that a project ties to another as its
    reference channel, and labels so, is the foil of that. `text` is the content of the file, unpacked.

    Raises
    ------
    SpectrumError
        If the project is damaged.

    References
    ----------
    B. Ravel and M. Newville, J. Synchrotron Rad. 12, 537 (2005).
    """
    try:
        groups = read_groups(text)
    except _DAMAGED as error:
        reason = " ".join(str(error).split())
        raise SpectrumError(f"{path} is a damaged Athena project: {reason}; save it again") from error
    labels = [group.label for group in groups]
    counts = [labels[: n + 1].count(label) for n, label in enumerate(labels)]
    names = [f"{label} ({count})" if count > 1 else label for label, count in zip(labels, counts, strict=True)]
    # Athena counts the coefficients of the post-edge polynomial, larch has its degree.
    less = 0 if "Using Larch" in text[:500] else 1
    found = [_found(group, name, less) for group, name in zip(groups, names, strict=True)]
    by_id = {group.key: one for group, one in zip(groups, found, strict=True)}
    return [_with_foil(one, group, by_id) for group, one in zip(groups, found, strict=True)]


def _found(group: Group, name: str, less: int) -> Found:
    kind = next((text for flag, text in _OTHER_KINDS.items() if group.number(flag)), "")
    # Athena's own names of element and edge, if larch wrote none.
    element = group.text("atsym") or group.text("bkg_z")
    shift = group.number("bkg_eshift") or 0.0
    return Found(
        energy=group.energy + shift,
        columns={"mu": group.mu},
        name=name,
        element=element,
        edge=group.text("edge") or (group.text("fft_edge") if element else ""),
        unit="eV",
        ranges=_ranges(group, less),
        remarks=(f"shifted by {shift:+.3f} eV as in the project",) if shift else (),
        problem=f"it is {kind}, not mu(E)" if kind else "",
    )


def _ranges(group: Group, less: int) -> FitRanges | None:
    """Return the fit ranges that a group holds, with a degree of its number less `less`."""
    values = [group.number(f"bkg_{name}") for name in ("pre1", "pre2", "nor1", "nor2", "nnorm")]
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return None
    pre1, pre2, norm1, norm2, number = numbers
    degree = min(max(int(number) - less, 0), 3)
    # Athena knows a line only, Larix Victoreen's formula too.
    exponent = group.number("bkg_nvict") or 0
    nvict = int(exponent) if exponent in EXPONENTS else 0
    return FitRanges(min(pre1, pre2), max(pre1, pre2), min(norm1, norm2), max(norm1, norm2), degree, nvict)


def _with_foil(found: Found, group: Group, groups: dict[str, Found]) -> Found:
    """Return a spectrum with its reference channel on its own energies, if the project ties one to it.

    The channel carries the same shift as the spectrum, so that both stay as they were measured.
    """
    foil = groups.get(group.arguments.get("reference", ""))
    # The tie leads both ways; the foil is the one that Athena labels so.
    if foil is None or found.problem or foil.problem or not foil.name.strip().lower().startswith("ref"):
        return found
    order = np.argsort(foil.energy, kind="stable")
    values: Floats = np.interp(found.energy, foil.energy[order], foil.columns["mu"][order], left=np.nan, right=np.nan)
    return replace(found, foil=values, remarks=(*found.remarks, f"reference channel {foil.name}"))
