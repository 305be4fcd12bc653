"""How well a window of energies tells the labels, before anything is measured."""

from __future__ import annotations

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
    mixtures = pool.mixtures
    near = mixtures.near(msd, crystal=True)
    measurement = Measurement.of(pool, mixtures.spectra, near, window)
    features = measurement.features(mixtures.spectra)
    sample = Moments.of(features, mixtures.labels, mixtures.around(msd))
    reference = Moments.of(features, mixtures.labels, near)
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
