"""What a reading may be wrong by for reasons that its model cannot know: normalization, and the energy scale.

Each is found by changing the spectrum as it may be wrong and predicting again, and widens the interval in quadrature.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import ndtri

from xanesml.files.arrays import Floats

#: Standard uncertainty of the energy scale between two scans of a session without a foil measured in both, eV.
LIKELY_DRIFT = 0.1
#: Smallest uncertainty that is told, Å².
SMALLEST_TOLD = 5e-5


def uncertainties(msd: Floats, varied: int, reference_error: float = 0.0) -> dict[str, float]:
    """Return the standard uncertainties of a reading.

    Parameters
    ----------
    msd : ndarray, shape (1 + varied + 0 or 2,), float64, Å²
        The reading, those of the spectrum normalized in other ways, and those of the spectrum with its energies a
        standard uncertainty up and down, if these may be wrong.
    varied : int
        Number of the other ways.
    reference_error : float, Å²
        Standard uncertainty of the reference's MSD.

    Returns
    -------
    dict of str to float, Å²
        `normalization`, `energy` and `reference`.
    """

    def size(differences: Floats) -> float:
        return float(np.sqrt(np.mean(differences**2))) if differences.size else 0.0

    return {
        "normalization": size(msd[1 : 1 + varied] - msd[0]),
        "energy": size(msd[1 + varied :] - msd[0]),
        "reference": reference_error,
    }


def widened(
    interval: tuple[float, float], msd: float, sources: Mapping[str, float], confidence: float
) -> tuple[float, float]:
    """Return an interval with standard uncertainties added to either side in quadrature, Å².

    An end that is at least 0 stays so: no MSD is negative.
    """
    more = float(ndtri(0.5 + confidence / 2)) * float(np.sqrt(sum(value**2 for value in sources.values())))
    low, high = interval
    lower = msd - float(np.hypot(msd - low, more))
    return (max(lower, 0.0) if low >= 0 else lower), msd + float(np.hypot(high - msd, more))


def told(sources: Mapping[str, float]) -> str:
    """Return the uncertainties that count in one phrase, such as "normalization 0.0004 Å²"; empty without any."""
    return ", ".join(f"{name} {value:.4f} Å²" for name, value in sources.items() if value >= SMALLEST_TOLD)
