"""FEFF's form of the absorber's Green's function, and the file gg.bin that holds it."""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Complexes
from xanesml.fms.harmonics import complex_from_real
from xanesml.fms.propagator import degrees

_CAPTION = """\
#SN#   Section: {section:4d}
#DF# This section written in TXT .
#H#
#DT# 2D complex array with sizes {rows:4d}{columns:4d}
#H# File is organized as follows:  Array(1,i)     Array(1,i+1)    Array(1,i+2)  . . .
#H#                                Array(2,i)
#H#                                     .
#H#                                     .
#H#                                     .
"""

# An exact zero after changes of basis in double precision, relative to the largest element of an energy.
_ROUNDING = 1e-13


def feff_convention(blocks: Complexes) -> Complexes:
    """Return Green's functions in FEFF's basis.

    Parameters
    ----------
    blocks : (E, w, w) complex
        G in the real, symmetric form of `propagator`.

    Returns
    -------
    (E, w, w) complex128
        G between the complex harmonics times i^l of Rehr and Albers. Elements of the size of
        rounding errors are zero.

    References
    ----------
    J. J. Rehr and R. C. Albers, Phys. Rev. B 41, 8139 (1990).
    """
    lmax = int(np.sqrt(blocks.shape[-1])) - 1
    to_complex = complex_from_real(lmax) * (-1j) ** degrees(lmax)
    green = to_complex @ blocks @ to_complex.conj().T
    parts = green.view(np.float64)
    parts[np.abs(parts) < _ROUNDING * np.abs(green).max(axis=(1, 2), keepdims=True)] = 0
    return np.asarray(green)


def green_text(blocks: Complexes) -> str:
    """Return the content of gg.bin.

    Parameters
    ----------
    blocks : (E, w, w) complex
        G in FEFF's basis, every element within single precision's range; no NaN.

    Returns
    -------
    str
        One section per energy, one line per row.
    """
    energies, rows, columns = blocks.shape
    # FEFF reads single precision, nine digits, character by character: short numbers halve the time.
    numbers = blocks.astype(np.complex64).view(np.float32).reshape(energies, -1)
    body = (" ".join(["%.9G"] * (2 * columns)) + "\n") * rows
    return "".join(
        _CAPTION.format(section=section, rows=rows, columns=columns) + body % tuple(values)
        for section, values in enumerate(numbers.tolist(), start=1)
    )
