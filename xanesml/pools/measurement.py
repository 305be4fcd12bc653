"""What of a spectrum is read, and what a measurement and theory get wrong of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.files.arrays import Booleans, Floats
from xanesml.pools.gaussian import smooth
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import Window

#: Where edges are compared, eV from the edge.
COMPARED = (-5.0, 45.0)
#: Share of the noise that is the same over the noise's length.
_TOGETHER = 0.7


@dataclass(frozen=True)
class Measurement:
    """The features of spectra, and the covariances of their errors.

    Attributes
    ----------
    within : ndarray, shape (M,), bool
        Energies of the pool that are read: m of them.
    slope : ndarray, shape (M,), edge steps / eV
        Derivative of the reference.
    align : ndarray, shape (M,)
        What takes a difference to its shift, eV: by least squares with gain, offset and slope.
    kernel : ndarray, shape (m, m)
        Correlation of noise.
    noise, theory : ndarray, shape (m, m)
        Covariance of the errors of a measurement, and of the relative error of theory.
    """

    within: Booleans
    slope: Floats
    align: Floats
    kernel: Floats
    noise: Floats
    theory: Floats

    @classmethod
    def of(cls, pool: Pool, spectra: Floats, near: Floats, window: Window | None = None) -> Measurement:
        """Return that of a pool with a reference, the mean of spectra, (n, M), with weights (n,)."""
        energy, window = pool.energy, window or pool.window
        reference = near @ spectra / near.sum()
        slope = np.gradient(reference, energy)
        compared = (energy >= COMPARED[0]) & (energy <= COMPARED[1])
        columns = np.column_stack([slope, reference, np.ones_like(energy), energy / COMPARED[1]])
        align = np.zeros(len(energy))
        align[compared] = np.linalg.pinv(columns[compared])[0]

        within = (energy >= window.first) & (energy <= window.last)
        read, errors = energy[within], pool.errors
        kernel = _TOGETHER * smooth(read, errors.noise_length) + (1 - _TOGETHER) * np.eye(len(read))
        noise = errors.noise**2 * kernel
        for spread, shape in (
            (errors.gain, reference[within]),
            (errors.slope, read / 50.0),
            (errors.offset, np.ones_like(read)),
            (errors.shift, slope[within]),
        ):
            noise += spread**2 * np.outer(shape, shape)
        size = pool.theory.size[within]
        theory = np.outer(size, size) * smooth(read, pool.theory.length)
        return cls(within, slope, align, kernel, noise, theory)

    def features(self, spectra: Floats) -> Floats:
        """Return aligned spectra, or differences, (n, M), in the window: (n, m)."""
        aligned = spectra - np.outer(spectra @ self.align, self.slope)
        return np.asarray(aligned[:, self.within])
