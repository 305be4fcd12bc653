"""Averages of the distorted series under distributions of one's own choice: skew-normal, Gaussian of an MSD, bonds."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xanesml.averages.bond_file import read_bonds
from xanesml.averages.distributions import (
    Moments,
    series_step,
    skew_normal_truncated,
    skew_normal_weights,
    weighted_moments,
)
from xanesml.averages.series import Series
from xanesml.errors import StoreError
from xanesml.files.arrays import Floats
from xanesml.structures.bonds import shares_in_series

#: Largest mass outside the series of a Gaussian of given MSD that is made in spite of it.
MOST_TRUNCATED = 0.5


@dataclass(frozen=True)
class Choice:
    """The distributions of a call: every σ and every MSD with every mean, every σ with every α, and files of bonds.

    Attributes
    ----------
    sigma : tuple of float
        Scales σ of skew-normal distributions, Å.
    msd : tuple of float
        MSD of Gaussians on the series, Å².
    bonds : tuple of Path
        Files of bond lengths; see `xanesml.averages.bond_file.read_bonds`.
    mean : tuple of float
        Locations μ, Å: the means where α is 0.
    alpha : tuple of float
        Shapes α of the skew-normal distributions.
    """

    sigma: tuple[float, ...] = ()
    msd: tuple[float, ...] = ()
    bonds: tuple[Path, ...] = ()
    mean: tuple[float, ...] = (0.0,)
    alpha: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if not (self.sigma or self.msd or self.bonds):
            raise StoreError("no distribution is given; give --sigma, --msd or --bonds, each once or several times")
        for name in ("sigma", "msd", "mean", "alpha"):
            values = getattr(self, name)
            if not np.isfinite(values).all() or (name in ("sigma", "msd") and min(values, default=1.0) <= 0):
                wanted = "positive numbers" if name in ("sigma", "msd") else "finite numbers"
                raise StoreError(f"--{name} {','.join(f'{value:g}' for value in values)}: give {wanted}")


@dataclass(frozen=True, eq=False)
class Mixture:
    """One average of the series.

    Attributes
    ----------
    name : str
        Name for files, such as `sigma0.08_mean-0.1_alpha-5`; no two of a call have the same.
    weights : ndarray of float64, shape (D,)
        Weights over the series, of sum 1.
    truncated : float
        Mass of the distribution, or share of the bonds, outside the series.
    scale, location : float, Å
        Scale σ and location μ; NaN for bonds of a file.
    alpha : float
        Shape α; NaN for bonds of a file.
    source : str
        The file of bonds and how it was read; empty for others.
    """

    name: str
    weights: Floats
    truncated: float
    scale: float = np.nan
    location: float = np.nan
    alpha: float = np.nan
    source: str = ""


@dataclass(frozen=True, eq=False)
class Mixtures:
    """Averages of a series, and what was left out.

    Attributes
    ----------
    series : Series
        The distorted series.
    made : tuple of Mixture
        The averages, at least one.
    left_out : tuple of Mixture
        Distributions with more mass outside the series than the limit.
    spectra : ndarray of float64, shape (n, M), edge steps
        Their spectra: Σ w μ / Σ w s.
    moments : Moments
        Their labels on the series, each of shape (n,).
    """

    series: Series
    made: tuple[Mixture, ...]
    left_out: tuple[Mixture, ...]
    spectra: Floats
    moments: Moments

    @property
    def weights(self) -> Floats:
        """The weights, shape (n, D)."""
        return np.array([one.weights for one in self.made])


def mix(series: Series, choice: Choice, *, limit: float, truncated: bool = False) -> Mixtures:
    """Average a series under the distributions of a choice.

    Parameters
    ----------
    series : Series
        The distorted series, evenly spaced.
    choice : Choice
        The distributions.
    limit : float
        Largest mass of a distribution outside the series.
    truncated : bool
        Whether those beyond the limit are made all the same, from what is left of them inside.

    Returns
    -------
    Mixtures
        In the order of σ, mean, α; then of MSD, mean; then of the files.

    Raises
    ------
    StoreError
        If the series is empty or not evenly spaced, a σ is below half its step, an MSD cannot be had on it, a file
        of bonds cannot be read, or all distributions are beyond the limit.
    """
    if not len(series.delta):
        raise StoreError("the file has no distorted series to average; give the campaign a [distortion] section")
    asked = [*_skew_normals(series, choice), *_gaussians(series, choice), *_bonds(series, choice.bonds)]
    # Of bonds that are all outside nothing is left to average.
    kept = [(truncated or one.truncated <= limit) and one.weights.sum() > 0 for one in asked]
    made = list(itertools.compress(asked, kept))
    left_out = [one for one, is_made in zip(asked, kept, strict=True) if not is_made]
    if not made:
        most = min(one.truncated for one in left_out)
        raise StoreError(
            f"the series, {series.delta[0]:g} to {series.delta[-1]:g} Å, truncates all {len(asked)} distributions, the "
            f"least of them by {most:.2%} of its mass, and {limit:.2%} are allowed; give narrower ones, or --truncated "
            "to make them from what is inside"
        )
    weights = np.array([one.weights for one in made])
    return Mixtures(
        series=series,
        made=tuple(made),
        left_out=tuple(left_out),
        spectra=series.average(weights),
        moments=weighted_moments(weights, series.delta),
    )


def _skew_normals(series: Series, choice: Choice) -> list[Mixture]:
    asked = list(itertools.product(choice.sigma, choice.mean, choice.alpha))
    if not asked:
        return []
    step = series_step(series.delta)
    if min(choice.sigma) < step / 2:
        raise StoreError(
            f"--sigma {min(choice.sigma):g} Å is below half the series' step of {step:g} Å, which cannot show it; "
            f"give {step / 2:g} Å or more, or compute a finer series"
        )
    scale, location, alpha = np.array(asked).T
    weights = skew_normal_weights(series.delta, location, scale, alpha)
    lost = skew_normal_truncated(series.delta, location, scale, alpha).tolist()
    return [
        Mixture(
            name=f"sigma{sigma:g}_mean{mean:g}_alpha{shape:g}",
            weights=row,
            truncated=outside,
            scale=sigma,
            location=mean,
            alpha=shape,
        )
        for (sigma, mean, shape), row, outside in zip(asked, weights, lost, strict=True)
    ]


def _gaussians(series: Series, choice: Choice) -> list[Mixture]:
    if choice.msd and any(choice.alpha):
        raise StoreError("--alpha goes with --sigma: --msd stands for a Gaussian of α = 0; make two calls")
    made = []
    for msd, mean in itertools.product(choice.msd, choice.mean):
        try:
            scale = series.gaussian_scale(msd, mean, truncated=MOST_TRUNCATED)
        except ValueError as error:
            raise StoreError(f"--msd: {error}") from error
        location, scales, alpha = (np.array([value]) for value in (mean, scale, 0.0))
        made.append(
            Mixture(
                name=f"msd{msd:g}_mean{mean:g}",
                weights=skew_normal_weights(series.delta, location, scales, alpha)[0],
                truncated=float(skew_normal_truncated(series.delta, location, scales, alpha)[0]),
                scale=scale,
                location=mean,
                alpha=0.0,
            )
        )
    return made


def _bonds(series: Series, paths: Sequence[Path]) -> list[Mixture]:
    made: dict[str, Mixture] = {}
    for path in paths:
        shifts, shares, read_as = read_bonds(path, series.first_shell)
        weights, outside = shares_in_series(shifts[np.newaxis], shares, series.delta)
        stem = "bonds_" + re.sub(r"[^\w.-]+", "-", path.stem)
        others = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        name = next(one for one in others if one not in made)
        made[name] = Mixture(name, weights[0], float(outside[0]), source=f"{path}, read as {read_as}")
    return list(made.values())
