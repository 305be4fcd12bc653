"""Readers of the same mixtures that the pool's own is set against: least squares on derivatives, and boosted trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline

from xanesml.files.arrays import Floats
from xanesml.measured.normalization import NormalizedSpectrum
from xanesml.pools.model import Pool
from xanesml.pools.reading import KnownSample, Reader, Reading

#: Differences that boosted trees learn from.
PAIRS = 3000


class Derivatives(Reader):
    """Least squares on the derivatives of spectra by MSD, bond and neighbors, with gain, offset, slope and energy."""

    def _read(self, sample: NormalizedSpectrum) -> Reading:
        reading, (x, _) = super()._read(sample), self.difference(sample)
        moments, within = self.of_samples, self.measurement.within
        derivatives = np.linalg.pinv(moments.yy, rcond=1e-6) @ moments.yx
        energy = self.pool.energy[within]
        mean = self.pool.mixtures.spectra[self.pool.mixtures.crystal].mean(axis=0)[within]
        others = [mean, np.ones_like(energy), energy / 50.0, self.measurement.slope[within]]
        found = np.linalg.lstsq(np.column_stack([*derivatives, *others]), x, rcond=None)[0][:3]
        return with_labels(self, reading, found)


class Boosting(Reader):
    """Boosted trees on differences of mixtures from crystals, with the errors that the pool allows for."""

    def __init__(self, pool: Pool, references: Sequence[KnownSample], *, crystal: bool = True) -> None:
        super().__init__(pool, references, crystal=crystal)
        rng = np.random.default_rng(pool.mixtures.spectra.shape)
        mixtures = pool.mixtures
        near, around = mixtures.near(self.first.msd, crystal=crystal), mixtures.around(self.first.msd, pool.spread)
        one = rng.choice(len(mixtures), PAIRS, p=around / around.sum())
        other = rng.choice(len(mixtures), PAIRS, p=near / near.sum())
        x = self.measurement.features(mixtures.spectra[one] - mixtures.spectra[other])
        wrong = rng.multivariate_normal(np.zeros(x.shape[1]), self.measurement.theory, PAIRS, method="eigh")
        noise = rng.multivariate_normal(np.zeros(x.shape[1]), self.measurement.noise, PAIRS, method="eigh")
        trees = MultiOutputRegressor(HistGradientBoostingRegressor(max_iter=150, random_state=1))
        self._trees = make_pipeline(PCA(12), trees)
        self._scale = np.array([1e-3, 1e-2, 1.0])
        y = (mixtures.labels[one] - mixtures.labels[other]) / self._scale
        self._trees.fit(x * (1 + wrong) + noise, y)

    def _read(self, sample: NormalizedSpectrum) -> Reading:
        reading, (x, _) = super()._read(sample), self.difference(sample)
        return with_labels(self, reading, self._trees.predict(x[np.newaxis])[0] * self._scale)


def with_labels(reader: Reader, reading: Reading, found: Floats) -> Reading:
    """Return a reading with other differences of labels from the first reference's, (3,)."""
    number = (reader.of_reference.y[2] if reader.crystal else 0.0) + found[2]
    return replace(reading, msd=reader.first.msd + found[0], bond=found[1], coordination=number)
