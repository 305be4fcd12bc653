"""How well a window of energies tells the labels, before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.files.arrays import Floats
from xanesml.pools.gaussian import Moments, conditioned
from xanesml.pools.measurement import Measurement
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import Window


def expected_errors(pool: Pool, window: Window, *, msd: float = 0.008) -> Floats:
    """Return the standard deviations of the labels that are left when a sample is read beside a crystal.

    They follow from the pool's mixtures, from what card sets leave open and from the errors of a measurement; no
    measured spectrum takes part, so a window may be chosen by them.

    Parameters
    ----------
    pool : Pool
        The pool.
    window : Window
        Energies that would be read.
    msd : float, Å²
        Mean squared displacement of the crystal.

    Returns
    -------
    ndarray, shape (3,)
        For MSD, Å², bond length, Å, and coordination number.
    """
    sample, reference, measurement = _beside_crystal(pool, window, msd)
    unknown = np.array([np.nan])
    found = conditioned(
        (sample.x - reference.x)[np.newaxis],
        sample,
        reference,
        unknown,
        unknown,
        noise=measurement.noise,
        theory=measurement.theory,
    )
    return np.asarray(np.sqrt(np.diag(found.covariance[0, :, 0])))


@dataclass(frozen=True)
class Information:
    """What labels change of a difference of spectra, and what else differs.

    Attributes
    ----------
    energy : ndarray, shape (m,), eV
        Energies that are read, from the edge.
    signals : ndarray, shape (m, 3), edge steps per Å², per Å and per neighbor
        Change of a difference with each label, the other two held.
    other : ndarray, shape (m, m), edge steps²
        Covariance of all else: what mixtures of the same labels differ by, theory's error and the measurement's.
    """

    energy: Floats
    signals: Floats
    other: Floats

    def errors(self, *, others_known: bool = False) -> Floats:
        """Return the standard deviations, (3,), of labels that a difference alone tells, by its Fisher information.

        Where the other two are unknown, their signals take from a label's own what they share with it (Cramér and
        Rao's bound). Nothing is taken as known before, unlike in `expected_errors`.
        """
        matrix = self.signals.T @ np.linalg.solve(self.other, self.signals)
        variances = 1 / np.diag(matrix) if others_known else np.diag(np.linalg.inv(matrix))
        return np.asarray(np.sqrt(variances))


def information(pool: Pool, window: Window, *, msd: float = 0.008, theory: bool = True) -> Information:
    """Return what a difference from a crystal tells of a sample's labels.

    Parameters
    ----------
    pool : Pool
        The pool.
    window : Window
        Energies that are read.
    msd : float, Å²
        Mean squared displacement of the crystal.
    theory : bool
        Whether theory has the error that the pool's card sets show.
    """
    sample, reference, measurement = _beside_crystal(pool, window, msd)
    xx, yx, yy = (getattr(sample, name) + getattr(reference, name) for name in ("xx", "yx", "yy"))
    signals = np.linalg.solve(yy, yx).T
    other = xx - signals @ yx + measurement.noise
    if theory:
        mean = sample.x - reference.x
        other = other + measurement.theory * (xx + np.outer(mean, mean))
    return Information(pool.energy[measurement.within], signals, other)


def _beside_crystal(pool: Pool, window: Window, msd: float) -> tuple[Moments, Moments, Measurement]:
    """Return the moments of samples and of a crystal of an MSD, and the errors of a measurement."""
    mixtures = pool.mixtures
    near = mixtures.near(msd, crystal=True)
    measurement = Measurement.of(pool, mixtures.spectra, near, window)
    features = measurement.features(mixtures.spectra)
    sample = Moments.of(features, mixtures.labels, mixtures.around(msd, pool.spread))
    return sample, Moments.of(features, mixtures.labels, near), measurement
