"""What theory gets wrong of a difference: measured as what other cards make of the same environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import least_squares

from xanesml.errors import StoreError
from xanesml.files.arrays import Booleans, Floats
from xanesml.pools.environments import Environments
from xanesml.pools.mixtures import random_weights

#: Mixtures that are compared.
COUNT = 600
#: Width over which squares are averaged along the energy, eV.
SMOOTHING = 3.0
#: Energies over which two card sets are put on each other, eV from the edge.
COMPARED = (0.0, 45.0)
#: Largest shift between card sets, eV.
LARGEST_SHIFT = 6.0


@dataclass(frozen=True)
class TheoryError:
    """The relative error of theory.

    Attributes
    ----------
    size : ndarray, shape (M,), float64
        Its standard deviation at each energy, relative to a difference of two mixtures.
    length : float, eV
        Energy over which it is the same, as the standard deviation of a Gaussian correlation.
    by_cards : dict of str to float
        Its root mean square over the window, for each card set.
    """

    size: Floats
    length: float
    by_cards: dict[str, float]


def theory_error(
    base: Environments, others: dict[str, Environments], crystals: Booleans, *, window: tuple[float, float], seed: int
) -> TheoryError:
    """Compare what card sets make of the same mixtures of environments.

    Each card set is put on the energies of the first as a measured reference is: by shift, gain, offset and slope of
    its mean crystal. Then x_other − x over x, the differences of mixtures from crystals, is what theory does not know.

    Parameters
    ----------
    base : Environments
        Of the cards that are used.
    others : dict of str to Environments
        Of other cards, for the same absorbers in some of the same structures; each on energies of its own.
    crystals : ndarray, shape (stores,), bool
        Which stores of `base` are of crystals.
    window : (float, float), eV
        The energies that are read, from the edge.
    seed : int
        Seed of the mixtures.

    Raises
    ------
    StoreError
        If a card set has no environment of the base's crystal, or none of its particles where it has any.
    """
    squares, scale, correlations, by_cards = [], [], [], {}
    energy = base.energy
    within = (energy >= window[0]) & (energy <= window[1])
    place = {key: row for row, key in enumerate(base.keys.tolist())}
    for name, other in others.items():
        rows = np.array([place.get(key, -1) for key in other.keys.tolist()])
        own = base.chosen(rows[rows >= 0])
        if set(crystals[own.store].tolist()) != set(crystals.tolist()):
            raise StoreError(f"the card set {name} needs environments of the pool's crystal and of its particles")
        weights, crystal = random_weights(own, crystals, count=COUNT, seed=seed)
        first = own.mixed(weights)[0]
        second = other.chosen(np.flatnonzero(rows >= 0)).mixed(weights)[0]
        second = put_on(energy, other.energy, second, second[crystal].mean(axis=0), first[crystal].mean(axis=0))
        x = [one[~crystal] - one[crystal].mean(axis=0) for one in (first, second)]
        slope = np.gradient(first[crystal].mean(axis=0), energy)
        x = [_aligned(one, slope, energy) for one in x]
        wrong = x[1] - x[0]
        squares.append(_smoothed((wrong**2).mean(axis=0), energy))
        scale.append(_smoothed((x[0] ** 2).mean(axis=0), energy))
        correlations.append(_correlation(wrong[:, within] / np.sqrt((x[0][:, within] ** 2).mean(axis=0))))
        by_cards[name] = float(np.sqrt((wrong[:, within] ** 2).mean() / (x[0][:, within] ** 2).mean()))
    size = np.sqrt(np.mean([one / other for one, other in zip(squares, scale, strict=True)], axis=0))
    step = float(energy[1] - energy[0])
    return TheoryError(size, _length(np.mean(correlations, axis=0), step), by_cards)


def put_on(energy: Floats, own: Floats, spectra: Floats, mean: Floats, target: Floats) -> Floats:
    """Return spectra at `energy`, shifted and scaled as puts their mean crystal on another one."""
    compared = (energy >= COMPARED[0]) & (energy <= COMPARED[1])

    def misfit(fitted: Sequence[float]) -> Floats:
        shift, gain, offset, slope = fitted
        moved = np.interp(energy + shift, own, mean)
        return np.asarray((gain * moved + offset + slope * energy / COMPARED[1] - target)[compared])

    bounds = ([-LARGEST_SHIFT, 0.7, -0.3, -0.3], [LARGEST_SHIFT, 1.4, 0.3, 0.3])
    starts = [least_squares(misfit, (shift, 1.0, 0.0, 0.0), bounds=bounds) for shift in (-3.0, 0.0, 3.0)]
    shift, gain, *_ = min(starts, key=lambda one: float(one.cost)).x
    return np.asarray(gain * np.array([np.interp(energy + shift, own, one) for one in spectra]))


def _aligned(differences: Floats, slope: Floats, energy: Floats) -> Floats:
    compared = (energy >= COMPARED[0]) & (energy <= COMPARED[1])
    shifts = differences[:, compared] @ slope[compared] / (slope[compared] @ slope[compared])
    return np.asarray(differences - np.outer(shifts, slope))


def _smoothed(values: Floats, energy: Floats) -> Floats:
    return np.asarray(gaussian_filter1d(values, SMOOTHING / (energy[1] - energy[0]), mode="nearest"))


def _correlation(relative: Floats) -> Floats:
    """Return the correlation at lags of 0, 1, … steps, over mixtures and energies."""
    count = relative.shape[1]
    products = np.array([(relative[:, : count - lag] * relative[:, lag:]).mean() for lag in range(count // 2)])
    # Cards that change nothing are wrong by the same everywhere.
    return products / products[0] if products[0] > 0 else np.ones(len(products))


def _length(correlation: Floats, step: float) -> float:
    """Return the standard deviation, eV, of the Gaussian that falls to e^(−1/2) where the correlation does."""
    below = np.flatnonzero(correlation < np.exp(-0.5))
    return step * float(below[0] if below.size else len(correlation))
