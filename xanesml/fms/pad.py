"""Packed ASCII data, FEFF's text form of floating-point numbers."""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Floats

_BASE = 90
_OFFSET = 37
_EXPONENT_ZERO = 45
_HUGE = 1e38


def decode(text: bytes, width: int) -> Floats:
    """Decode numbers packed as text.

    Parameters
    ----------
    text : bytes
        The numbers' characters, without line starts and line ends.
    width : int
        Characters of one number; FEFF10 writes 8.

    Returns
    -------
    (len(text) // width,) float64
        The numbers; no NaN.

    Raises
    ------
    ValueError
        If the length is not a multiple of `width`, or a character is outside the code.

    References
    ----------
    M. Newville's PAD format in FEFF10: the first character is the exponent of ten,
    shifted by 45; the second twice the leading digit and the sign's bit; the others
    digits of base 90. All are shifted by 37.
    """
    if width < 3 or len(text) % width:
        raise ValueError(f"{len(text)} characters are no whole number of packed numbers of {width} characters")
    codes = np.frombuffer(text, dtype=np.uint8).reshape(-1, width).astype(np.int64) - _OFFSET
    if codes.size and (codes.min() < 0 or codes.max() >= _BASE):
        raise ValueError("characters outside the code of packed numbers")
    sign = np.where(codes[:, 1] % 2, 1.0, -1.0)
    fraction = np.zeros(len(codes))
    for digit in codes[:, :1:-1].T:
        fraction = (fraction + digit) / _BASE
    return 2 * sign * (codes[:, 1] // 2 + fraction) / _BASE * 10.0 ** (codes[:, 0] - _EXPONENT_ZERO)


def encode(numbers: Floats, width: int) -> bytes:
    """Pack numbers as text, the inverse of `decode` up to the precision of `width` characters.

    Parameters
    ----------
    numbers : (N,) float64
        Finite numbers; beyond 10³⁸ they become 10³⁸, below 10⁻³⁸ zero, both with their sign kept or lost as in FEFF10.
    width : int
        Characters of one number, 3 to 9.

    Returns
    -------
    bytes
        N · width characters.
    """
    magnitude = np.minimum(np.abs(numbers), _HUGE)
    magnitude[magnitude <= 1 / _HUGE] = 0
    with np.errstate(divide="ignore"):
        exponent = np.where(magnitude > 0, np.floor(np.log10(magnitude)) + 1, -1).astype(np.int64)
    # One unit is that of the last character.
    unit = _BASE ** (width - 2)
    units = np.rint(magnitude * 10.0**-exponent * (_BASE // 2) * unit).astype(np.int64)
    full = units >= _BASE // 2 * unit
    exponent, units = exponent + full, np.where(full, np.rint(units / 10).astype(np.int64), units)
    codes = np.empty((len(numbers), width), dtype=np.int64)
    codes[:, 0] = exponent + _EXPONENT_ZERO
    for place in range(width - 1, 1, -1):
        units, codes[:, place] = np.divmod(units, _BASE)
    codes[:, 1] = 2 * units + (numbers > 0)
    return bytes((codes + _OFFSET).astype(np.uint8))
