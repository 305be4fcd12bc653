"""Spectra in projects of Athena and Larix, by larch."""

from __future__ import annotations

import contextlib
import gzip
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from xanesml.errors import SpectrumError
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


def unpacked(content: bytes) -> bytes:
    """Return a file's content, decompressed if it is gzipped, as Athena's projects are."""
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def is_athena(text: str) -> bool:
    """Return whether a text is an Athena project, written by Athena, Larix or larch."""
    return "Athena project file --" in text[:500]


def read_athena(path: Path, text: str) -> list[Found]:
    """Read all groups of a project, by their labels.

    Athena keeps the energies of a group as they were read, and the shift of its
    calibration beside them; the shift is added here. A group without μ(E) has a `problem`.
    `text` is the content of the file, unpacked.

    Raises
    ------
    SpectrumError
        If larch cannot read the project, or two of its groups share a label: larch would
        drop one.

    References
    ----------
    B. Ravel and M. Newville, J. Synchrotron Rad. 12, 537 (2005).
    """
    import_larch()
    from larch.io.athena_project import parse_jsonathena, parse_perlathena  # noqa: PLC0415 (see import_larch)

    parse = parse_jsonathena if "____header" in text[:500] else parse_perlathena
    try:
        # larch's reader of whole projects would spread repeated energies. The parser prints skipped groups.
        with contextlib.redirect_stdout(io.StringIO()):
            project = parse(text, str(path))
        found = [_group(getattr(project, label)) for label in project.group_names]
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise SpectrumError(f"{path} is a damaged Athena project: {reason}; save it again") from error
    repeated = [label for label, count in Counter(project.group_names).items() if count > 1]
    if repeated:
        raise SpectrumError(f"{path} has several groups named {', '.join(repeated)}; rename all but one in Athena")
    return found


def _group(group: Any) -> Found:
    flags, background, transform = group.athena_params, group.athena_params.bkg, group.athena_params.fft
    kind = next((text for flag, text in _OTHER_KINDS.items() if float(getattr(flags, flag, 0) or 0)), "")
    # Athena's own names of element and edge, if larch wrote none.
    element = getattr(group, "atsym", None) or getattr(background, "z", None)
    edge = getattr(group, "edge", None) or (getattr(transform, "edge", None) if element else None)
    shift = float(getattr(background, "eshift", 0.0) or 0.0)
    return Found(
        energy=np.asarray(group.energy, dtype=np.float64) + shift,
        mu=np.asarray(group.mu, dtype=np.float64),
        columns=f"energy and mu, shifted by {shift:+.3f} eV as in the project" if shift else "energy and mu",
        name=str(getattr(group, "label", "") or flags.id),
        element=element if isinstance(element, str) else "",
        edge=edge if isinstance(edge, str) else "",
        unit="eV",
        problem=f"it is {kind}, not mu(E)" if kind else "",
    )
