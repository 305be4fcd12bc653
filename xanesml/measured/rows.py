"""What the rows of a table show by themselves: scans one after another, energies that jump, counts that saturate."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats, Wholes

#: Fewest points of a scan.
MINIMUM_POINTS = 20
#: A scan has turned when its energy has run back by this share of the range of all, and by this many usual steps.
_TURNED, _TURNED_STEPS = 0.01, 3.0
#: Scans overlap by more than this share of the shorter; regions of one scan overlap by less.
_OVERLAP = 0.2
#: Most rows in a row with misread energies.
_MISREAD = 3
#: A misread energy is further from its neighbors than this many of the largest usual steps, and this, eV; at the end
#: of a scan it leaves a gap of more than this share of the rest.
_JUMP_STEPS, _JUMP, _GAP = 3.0, 20.0, 0.5
#: Fewest rows that a saturated counter stays at its largest value, and how much longer than at any other.
_SATURATED, _LONGER = 5, 3
#: A value this many times the range of the middle 80 % away from their median is impossible.
_IMPOSSIBLE = 30.0


def scans(energy: Floats) -> list[Wholes]:
    """Return the rows of each scan in a table, by where the energy runs back.

    Regions of one scan that overlap a little, steps back of an encoder and a few points measured again
    are no further scans.

    Parameters
    ----------
    energy : ndarray, shape (E,), float64
        Energies in the order of the file; those that are not finite stay with the row before.

    Returns
    -------
    list of ndarray of int
        Rows, in the order of the file; all rows in one for a single scan.
    """
    whole: list[Wholes] = [np.arange(energy.size)]
    known = np.flatnonzero(np.isfinite(energy))
    if known.size < 2 * MINIMUM_POINTS:
        return whole
    turns = _turns(energy[known])
    if not turns:
        return whole
    pieces = np.split(np.arange(energy.size), known[turns])
    long = [piece for piece in pieces if piece.size >= MINIMUM_POINTS]
    spans = [(float(np.nanmin(energy[piece])), float(np.nanmax(energy[piece]))) for piece in long]
    several = any(
        min(a[1], b[1]) - max(a[0], b[0]) > _OVERLAP * min(a[1] - a[0], b[1] - b[0])
        for n, a in enumerate(spans)
        for b in spans[:n]
    )
    if not several:
        return whole
    merged: list[Wholes] = []
    for piece in pieces:
        if merged and (piece.size < MINIMUM_POINTS or merged[-1].size < MINIMUM_POINTS):
            merged[-1] = np.concatenate([merged[-1], piece])
        else:
            merged.append(piece)
    return merged


def _turns(energy: Floats) -> list[int]:
    """Return the places of the first points of a new direction, after the extreme that ends the last one."""
    steps = np.abs(np.diff(energy))
    enough = max(_TURNED * float(np.ptp(energy)), _TURNED_STEPS * float(np.median(steps)))
    # From every point the next one that is further than `enough` away decides; a plain walk suffices.
    turns: list[int] = []
    extreme, place, direction = energy[0], 0, 0
    for n, value in enumerate(energy.tolist()):
        if direction == 0:
            if abs(value - extreme) > enough:
                direction, extreme, place = (1 if value > extreme else -1), value, n
        elif (value - extreme) * direction > 0:
            extreme, place = value, n
        elif (extreme - value) * direction > enough:
            turns.append(place + 1)
            direction, extreme, place = -direction, value, n
            # A scan that starts anew where the last one did, rather than turning, runs in the old direction.
            if n + 1 < energy.size and (energy[n + 1] - value) * direction < 0 and n == turns[-1]:
                direction = -direction
    return turns


def check_misread(source: str, energy: Floats, lines: Wholes | None) -> None:
    """Refuse a table where up to three rows in a row lie far from those on both sides.

    Parameters
    ----------
    source : str
        The spectrum, for messages.
    energy : ndarray, shape (E,), float64, eV
        Finite energies in the order of the file.
    lines : ndarray, shape (E,), int, or None
        Lines of the file, for messages.

    Raises
    ------
    SpectrumError
        Naming the row and its neighbor.
    """
    if energy.size < MINIMUM_POINTS:
        return
    steps = np.diff(energy)
    # The largest of the steps that no misread rows can have made.
    usual = float(np.sort(np.abs(steps))[-2 * _MISREAD - 1])
    far = np.abs(steps) > max(_JUMP_STEPS * usual, _JUMP)
    places = np.flatnonzero(far)
    for first, last in pairwise(places):
        returns = abs(energy[last + 1] - energy[first]) < _JUMP_STEPS * usual + _JUMP
        if last - first <= _MISREAD and returns and steps[first] * steps[last] < 0:
            raise SpectrumError(_jumps(source, energy, int(first) + 1, int(first), lines))


def check_gaps(source: str, energy: Floats) -> None:
    """Refuse a scan with a gap of more than half of the rest of its range, as a misread energy at its end leaves.

    Parameters
    ----------
    source : str
        The spectrum, for messages.
    energy : ndarray, shape (E,), float64, eV
        Energies, strictly increasing.

    Raises
    ------
    SpectrumError
        Naming both sides of the gap.
    """
    if energy.size < MINIMUM_POINTS:
        return
    steps = np.diff(energy)
    place = int(np.argmax(steps))
    usual = float(np.sort(steps)[-_MISREAD - 1])
    if steps[place] > max(_JUMP_STEPS * usual, _JUMP) and steps[place] > _GAP * (np.ptp(energy) - steps[place]):
        row = place + 1 if place >= energy.size / 2 else place
        raise SpectrumError(_jumps(source, energy, row, 2 * place + 1 - row, None))


def _jumps(source: str, energy: Floats, row: int, beside: int, lines: Wholes | None) -> str:
    where = "" if lines is None else f" at line {int(lines[row])}"
    return (
        f"{source}: the energies jump{where}: {energy[row]:.10g} eV beside {energy[beside]:.10g} eV; "
        "correct that row or remove it"
    )


def check_values(source: str, energy: Floats, mu: Floats) -> None:
    """Refuse a spectrum with an impossible value, such as the 999999 that stands for a value that was not measured.

    Raises
    ------
    SpectrumError
        Naming the energy and the value.
    """
    low, middle, high = np.percentile(mu, [10, 50, 90])
    away = np.abs(mu - middle)
    worst = int(np.argmax(away))
    if high > low and away[worst] > _IMPOSSIBLE * (high - low):
        raise SpectrumError(
            f"{source}: mu is {mu[worst]:.6g} at {energy[worst]:.2f} eV, but from {low:.4g} to {high:.4g} elsewhere; "
            "correct that row or remove it"
        )


def check_saturation(source: str, energy: Floats, name: str, counts: Floats) -> None:
    """Refuse a spectrum whose counter stays at its largest value, as it does above its range.

    Parameters
    ----------
    source, name : str
        The spectrum and the column, for messages.
    energy, counts : ndarray, shape (E,), float64
        Energies, eV, and the column, in the order of the file.

    Raises
    ------
    SpectrumError
        If the largest value stands in five rows in a row, and three times as long as any other.
    """
    if counts.size < MINIMUM_POINTS or np.ptp(counts) == 0:
        return
    starts = np.flatnonzero(np.r_[True, counts[1:] != counts[:-1]])
    lengths = np.diff(np.r_[starts, counts.size])
    highest = counts[starts] == counts.max()
    longest, other = int(lengths[highest].max()), int(lengths[~highest].max(initial=1))
    if longest >= _SATURATED and longest >= _LONGER * other:
        first = int(starts[highest][np.argmax(lengths[highest])])
        raise SpectrumError(
            f"{source}: {name} stays at {counts.max():.10g} for {longest} points, {energy[first]:.1f} … "
            f"{energy[first + longest - 1]:.1f} eV: the detector is saturated or its range too small; measure again"
        )
