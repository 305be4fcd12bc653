"""Spectra in projects of Athena and Larix, by larch."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.background import EXPONENTS, FitRanges
from xanesml.measured.spectrum import Found, import_larch

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
#: What larch's parsers raise on damaged projects.
_DAMAGED = (ValueError, TypeError, LookupError, AttributeError, SyntaxError)


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
        If larch cannot read the project.

    References
    ----------
    B. Ravel and M. Newville, J. Synchrotron Rad. 12, 537 (2005).
    """
    import_larch()
    try:
        groups = [_parsed(part, path) for part in _parts(text)]
    except _DAMAGED as error:
        reason = " ".join(str(error).split())
        raise SpectrumError(f"{path} is a damaged Athena project: {reason}; save it again") from error
    labels = [str(getattr(group, "label", "") or group.athena_params.id) for group in groups]
    counts = [labels[: n + 1].count(label) for n, label in enumerate(labels)]
    names = [f"{label} ({count})" if count > 1 else label for label, count in zip(labels, counts, strict=True)]
    # Athena counts the coefficients of the post-edge polynomial, larch has its degree.
    less = 0 if "Using Larch" in text[:500] else 1
    found = [_found(group, name, less) for group, name in zip(groups, names, strict=True)]
    by_id = {str(group.athena_params.id): one for group, one in zip(groups, found, strict=True)}
    return [_with_foil(one, group, by_id) for group, one in zip(groups, found, strict=True)]


def _parts(text: str) -> Iterator[str]:
    """Yield a project of one group for each of its groups: larch would drop one of two with the same label."""
    if "____header" in text[:500]:
        content = json.loads(text)
        for name in content["_____order"]:
            head = {key: value for key, value in content.items() if key.startswith("_____")}
            yield json.dumps(head | {"_____order": [name], name: content[name]})
        return
    top, *records = re.split(r"^(?=\$old_group)", text, flags=re.MULTILINE)
    if not records:
        raise ValueError("it holds no groups")
    title = top.partition("\n")[0]
    for record in records:
        body, end, _ = record.partition("[record]")
        if not end:
            raise ValueError(f"the group {record.partition(';')[0]!r} ends early")
        yield f"{title}\n{body}[record]\n"


def _parsed(part: str, path: Path) -> Any:
    """Return larch's group of a project of one."""
    from larch.io.athena_project import parse_jsonathena, parse_perlathena  # noqa: PLC0415 (see import_larch)

    parse = parse_jsonathena if part.startswith("{") else parse_perlathena
    # larch's reader of whole projects would spread repeated energies. The parser prints skipped groups.
    with contextlib.redirect_stdout(io.StringIO()):
        project = parse(part, str(path))
    return getattr(project, project.group_names[0])


def _found(group: Any, name: str, less: int) -> Found:
    flags, background, transform = group.athena_params, group.athena_params.bkg, group.athena_params.fft
    kind = next((text for flag, text in _OTHER_KINDS.items() if float(getattr(flags, flag, 0) or 0)), "")
    # Athena's own names of element and edge, if larch wrote none.
    element = getattr(group, "atsym", None) or getattr(background, "z", None)
    edge = getattr(group, "edge", None) or (getattr(transform, "edge", None) if element else None)
    shift = float(getattr(background, "eshift", 0.0) or 0.0)
    return Found(
        energy=np.asarray(group.energy, dtype=np.float64) + shift,
        columns={"mu": np.asarray(group.mu, dtype=np.float64)},
        name=name,
        element=element if isinstance(element, str) else "",
        edge=edge if isinstance(edge, str) else "",
        unit="eV",
        ranges=_ranges(background, less),
        remarks=(f"shifted by {shift:+.3f} eV as in the project",) if shift else (),
        problem=f"it is {kind}, not mu(E)" if kind else "",
    )


def _ranges(background: Any, less: int) -> FitRanges | None:
    """Return the fit ranges that a group holds, with a degree of its number less `less`."""
    values = [getattr(background, name, None) for name in ("pre1", "pre2", "nor1", "nor2", "nnorm")]
    if any(not isinstance(value, int | float) for value in values):
        return None
    pre1, pre2, norm1, norm2, number = (float(value) for value in values if value is not None)
    degree = min(max(int(number) - less, 0), 3)
    # Athena knows a line only, Larix Victoreen's formula too.
    exponent = getattr(background, "nvict", 0)
    nvict = int(exponent) if isinstance(exponent, int | float) and exponent in EXPONENTS else 0
    return FitRanges(min(pre1, pre2), max(pre1, pre2), min(norm1, norm2), max(norm1, norm2), degree, nvict)


def _with_foil(found: Found, group: Any, groups: dict[str, Found]) -> Found:
    """Return a spectrum with its reference channel on its own energies, if the project ties one to it.

    The channel carries the same shift as the spectrum, so that both stay as they were measured.
    """
    foil = groups.get(str(getattr(group.athena_params, "reference", "") or ""))
    # The tie leads both ways; the foil is the one that Athena labels so.
    if foil is None or found.problem or foil.problem or not foil.name.strip().lower().startswith("ref"):
        return found
    order = np.argsort(foil.energy, kind="stable")
    values: Floats = np.interp(found.energy, foil.energy[order], foil.columns["mu"][order], left=np.nan, right=np.nan)
    return replace(found, foil=values, remarks=(*found.remarks, f"reference channel {foil.name}"))
