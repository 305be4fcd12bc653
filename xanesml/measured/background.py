"""The fit before an edge, a line or Victoreen's formula, and the polynomial behind it: their ranges, their fits."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats

#: Fewest points of the fit before the edge, and behind it.
FEWEST_POINTS = 4
#: Shortest range of the fit before the edge that counts, eV.
SHORTEST_PRE_EDGE = 10.0
#: Nearest to the edge that the default fits come, eV below and above it.
_NEAREST_PRE_EDGE, _NEAREST_POST_EDGE = -15.0, 25.0
#: Post-edge ranges shorter than these get a constant, and a line; longer ones a parabola, eV.
_SHORT, _LONG = 30.0, 300.0
#: Exponents n of a pre-edge that is a line divided by the energy's nth power: 0 is a line, 4 Victoreen's formula.
EXPONENTS = range(5)


@dataclass(frozen=True)
class FitRanges:
    """Ranges of the two fits, relative to the edge, eV.

    Attributes
    ----------
    pre1, pre2 : float, eV
        First and last energy of the pre-edge line.
    norm1, norm2 : float, eV
        First and last energy of the post-edge polynomial.
    nnorm : int
        Degree of the polynomial.
    nvict : int
        Exponent n of the pre-edge, (a + b E)/Eⁿ: 0 for a line, 3 for C/E² + D/E³, 4 for Victoreen's C/E³ + D/E⁴.
    """

    pre1: float
    pre2: float
    norm1: float
    norm2: float
    nnorm: int
    nvict: int = 0

    def within(self, lowest: float, highest: float) -> FitRanges:
        """Return the ranges cut to energies from `lowest` to `highest`, eV from the edge."""
        cut = replace(
            self,
            pre1=max(self.pre1, lowest),
            pre2=max(self.pre2, lowest),
            norm1=min(self.norm1, highest),
            norm2=min(self.norm2, highest),
        )
        return replace(cut, nnorm=min(self.nnorm, degree(cut.norm2 - cut.norm1)))

    def common(self, other: FitRanges) -> FitRanges:
        """Return the ranges that both have, with the lower degree and this one's pre-edge."""
        return FitRanges(
            pre1=max(self.pre1, other.pre1),
            pre2=min(self.pre2, other.pre2),
            norm1=max(self.norm1, other.norm1),
            norm2=min(self.norm2, other.norm2),
            nnorm=min(self.nnorm, other.nnorm),
            nvict=self.nvict,
        )

    def variations(self) -> list[FitRanges]:
        """Return other choices of the ranges that are as good, to see what depends on them.

        The pre-edge line without its far 40 %, and without its near 40 %; the post-edge
        polynomial without its far 30 %, without its near 20 %, and of a degree less.
        """
        before, behind = self.pre2 - self.pre1, self.norm2 - self.norm1
        found = [
            replace(self, pre1=self.pre1 + 0.4 * before),
            replace(self, pre2=self.pre2 - 0.4 * before),
            replace(self, norm2=self.norm2 - 0.3 * behind),
            replace(self, norm1=self.norm1 + 0.2 * behind),
        ]
        if self.nnorm > 1:
            found.append(replace(self, nnorm=self.nnorm - 1))
        return found

    def __str__(self) -> str:
        return (
            f"{self.pre1:.0f} … {self.pre2:.0f} eV and {self.norm1:+.0f} … {self.norm2:+.0f} eV of the edge, "
            f"degree {self.nnorm}" + (f", pre-edge exponent {self.nvict}" if self.nvict else "")
        )

    def as_dict(self) -> dict[str, float | int]:
        """Return the numbers by their names."""
        return asdict(self)


@dataclass(frozen=True)
class Background:
    """A pre-edge, and a post-edge polynomial above it.

    Attributes
    ----------
    e0 : float, eV
        Energy that both count from.
    line, step : ndarray, shape (2,) and (nnorm + 1,), float64
        Coefficients of powers of the energy above `e0`, eV, of the highest power first.
    exponent : int
        The line is divided by this power of the energy over `e0`.
    """

    e0: float
    line: Floats
    step: Floats
    exponent: int = 0

    def below(self, energy: Floats) -> Floats:
        """Return the pre-edge at energies, eV."""
        line = np.polyval(self.line, energy - self.e0) / (energy / self.e0) ** self.exponent
        return np.asarray(line, dtype=np.float64)

    def edge_step(self, energy: float) -> float:
        """Return the polynomial minus the pre-edge at an energy, eV."""
        return float(np.polyval(self.step, energy - self.e0))


def degree(length: float) -> int:
    """Return the degree of larch's polynomial for a post-edge range of this length, eV."""
    return 2 if length >= _LONG else 1 if length >= _SHORT else 0


def default_ranges(energy: Floats, e0: float) -> FitRanges:
    """Return larch's default ranges: the far half before the edge, if it has the points, and all from 25 eV behind it.

    Parameters
    ----------
    energy : ndarray, shape (E,), float64, eV
        Photon energies, strictly increasing.
    e0 : float, eV
        Energy of the edge.
    """
    below = int(np.searchsorted(energy, e0))
    rounded = 5.0 if below > 20 else 2.0
    # The first point is often bad.
    pre1 = max(rounded * round((energy[1] - e0) / rounded), float(energy[0] - e0))
    last = float(energy[-1] - e0)
    norm2 = min(5.0 * round(last / 5.0), last)
    norm1 = min(_NEAREST_POST_EDGE, 5.0 * round(norm2 / 15.0), norm2 - 2.0)
    pre2 = min(0.5 * pre1, _NEAREST_PRE_EDGE)
    usable = energy[(energy >= e0 + pre1) & (energy <= e0 + _NEAREST_PRE_EDGE)] - e0
    if usable.size >= FEWEST_POINTS:
        # A coarse pre-edge is fitted nearer to the edge.
        pre2 = max(pre2, float(usable[FEWEST_POINTS - 1]))
    return FitRanges(pre1, max(pre2, pre1), norm1, norm2, degree(norm2 - norm1))


def fitted(source: str, energy: Floats, mu: Floats, e0: float, ranges: FitRanges) -> Background:
    """Fit the pre-edge and the polynomial.

    Parameters
    ----------
    source : str
        The spectrum, for messages.
    energy, mu : ndarray, shape (E,), float64
        Photon energies, eV, strictly increasing, and absorption; no NaN.
    e0 : float, eV
        Energy of the edge.
    ranges : FitRanges
        Their ranges.

    Raises
    ------
    SpectrumError
        If a range holds fewer than 4 points.

    References
    ----------
    J. A. Victoreen, J. Appl. Phys. 20, 1141 (1949).
    """
    relative = energy - e0
    before = (relative >= ranges.pre1) & (relative <= ranges.pre2)
    behind = (relative >= ranges.norm1) & (relative <= ranges.norm2)
    for name, chosen, first, last in (
        ("before", before, ranges.pre1, ranges.pre2),
        ("behind", behind, ranges.norm1, ranges.norm2),
    ):
        points = int(np.count_nonzero(chosen))
        if points < FEWEST_POINTS:
            raise SpectrumError(
                f"{source} has no {'pre-edge' if name == 'before' else 'post-edge'}: {points} points to fit from "
                f"{first:+.0f} to {last:+.0f} eV of its edge at {e0:.1f} eV, at least {FEWEST_POINTS} are needed; "
                "measure more there, or give another range"
            )
    line = np.polyfit(relative[before], mu[before] * (energy[before] / e0) ** ranges.nvict, 1)
    pre_edge = Background(e0, line, np.zeros(1), ranges.nvict)
    step = np.polyfit(relative[behind], mu[behind] - pre_edge.below(energy[behind]), ranges.nnorm)
    return replace(pre_edge, step=step)
