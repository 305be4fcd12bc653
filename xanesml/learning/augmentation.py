"""Errors of measurement added to simulated spectra, on the device of Keras' backend.

A direct measurement of the spectrum x, on a mesh of energies E, is modeled as

    y = (1 + ε) K x + b (E − E_edge) / 50 eV + n

where ε is the error of the edge step, K a shift of the energies and a Gaussian broadening, b
the slope of the background and n white noise. In the mode `reference` a partner p is measured
in the same way at the same time. Only the difference counts; it is added to the simulated partner:

    y = p + (1 + A) [(1 + ε) K D x − K p] + b (E − E_edge) / 50 eV + √2 n

Here D is a small shift of one measurement against the other and A the error of the amplitude of
differences. Errors that both measurements share cancel to first order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xanesml.averages.distributions import skew_normal_weights
from xanesml.averages.mesh import SLOPE_RANGE
from xanesml.averages.series import Series
from xanesml.campaign import Mode, TrainingSection
from xanesml.files.arrays import Floats, Reals, Singles
from xanesml.learning.dataset import Tensors
from xanesml.learning.network import import_keras

#: Half-width of a broadening kernel, standard deviations.
_REACH = 4.0

#: Spectra augmented at a time outside a training step.
_BLOCK = 4096

#: Gaussian averages that partners are drawn from.
PARTNERS = 32


@dataclass(frozen=True)
class Augmentation:
    """Sizes of the errors of measurement, with names and units as in the campaign's training section; 0 is off."""

    noise: float = 0.0
    energy_shift: float = 0.0
    broadening: float = 0.0
    step_error: float = 0.0
    slope: float = 0.0
    drift: float = 0.0
    amplitude: float = 0.0

    @classmethod
    def of(cls, section: TrainingSection, mode: Mode) -> Augmentation:
        """Return the sizes that a campaign sets; drift and amplitude are off in the mode `direct`."""
        names = list(cls.__dataclass_fields__)
        whole = cls(**{name: float(getattr(section, name)) for name in names})
        return whole if mode == "reference" else replace(whole, drift=0.0, amplitude=0.0)


class Augmenter:
    """Draws errors of measurement for batches of spectra and applies them.

    Parameters
    ----------
    augmentation : Augmentation
        Sizes of the errors.
    mesh : ndarray of float64, shape (M,)
        Photon energies, evenly spaced, eV.
    edge : float
        Photon energy of the edge, where the background's slope passes through zero, eV.
    partners : ndarray, shape (R, M), optional
        Simulated spectra, edge steps; one is drawn as the partner of each spectrum. Default: no partner.

    Attributes
    ----------
    state : keras.Variable
        State of the random generator, which each draw changes.
    """

    def __init__(self, augmentation: Augmentation, mesh: Floats, edge: float, partners: Reals | None = None) -> None:
        self.augmentation = augmentation
        self._step = float(mesh[1] - mesh[0])
        self._line = ((mesh - edge) / SLOPE_RANGE).astype(np.float32)
        self._partners = None if partners is None else partners.astype(np.float32)
        shift = augmentation.energy_shift + (augmentation.drift if partners is not None else 0.0)
        reach = shift + _REACH * augmentation.broadening
        self._taps = int(np.ceil(reach / self._step)) + 1 if reach else 0
        self._random = import_keras().random.SeedGenerator(0)
        self.state = self._random.state

    def reseed(self, seed: np.random.SeedSequence) -> None:
        """Restart the random numbers from a seed."""
        self.state.assign([int(seed.generate_state(1)[0]), 0])

    def __call__(self, spectra: Any) -> Any:
        """Return a tensor of augmented spectra, (n, M), for one of spectra, (n, M), edge steps."""
        keras, size = import_keras(), self.augmentation
        ops, count = keras.ops, keras.ops.shape(spectra)[0]

        def normal(scale: float, width: int = 1) -> Any:
            return scale * keras.random.normal((count, width), seed=self._random)

        def uniform(low: float, high: float) -> Any:
            return keras.random.uniform((count, 1), low, high, seed=self._random)

        shift = uniform(-size.energy_shift, size.energy_shift) if size.energy_shift else ops.zeros((count, 1))
        width = uniform(0.0, size.broadening) if size.broadening else ops.zeros((count, 1))
        gain = 1 + normal(size.step_error) if size.step_error else 1.0
        if self._partners is None:
            result = gain * self._convolved(spectra, shift, width)
        else:
            chosen = keras.random.randint((count,), 0, len(self._partners), seed=self._random)
            partner = ops.take(ops.convert_to_tensor(self._partners), chosen, axis=0)
            drift = uniform(-size.drift, size.drift) if size.drift else 0.0
            difference = gain * self._convolved(spectra, shift + drift, width)
            difference = difference - self._convolved(partner, shift, width)
            result = partner + (1 + normal(size.amplitude) if size.amplitude else 1.0) * difference
        if size.slope:
            result = result + normal(size.slope) * self._line
        if size.noise:
            both = 1.0 if self._partners is None else np.sqrt(2.0)
            result = result + normal(size.noise * both, len(self._line))
        return result

    def on_arrays(self, spectra: Reals, seed: np.random.SeedSequence) -> Singles:
        """Return augmented spectra, (n, M), float32, edge steps, drawn from a seed, for an array of spectra."""
        self.reseed(seed)
        ops = import_keras().ops
        blocks = [
            ops.convert_to_numpy(self(ops.cast(spectra[start : start + _BLOCK], "float32")))
            for start in range(0, len(spectra), _BLOCK)
        ]
        return np.concatenate(blocks) if blocks else np.empty(spectra.shape, np.float32)

    def _convolved(self, spectra: Any, shift: Any, width: Any) -> Any:
        return convolved(spectra, shift, width, step=self._step, taps=self._taps) if self._taps else spectra


def augmenter(section: TrainingSection, mode: Mode, data: Tensors, msd: tuple[float, float]) -> Augmenter:
    """Return the augmenter of a campaign.

    In the mode `reference`, the labels of its partners span the range `msd` of the training labels, Å².
    """
    partners = gaussian_averages(data.series, np.linspace(*msd, PARTNERS)) if mode == "reference" else None
    return Augmenter(Augmentation.of(section, mode), data.mesh, data.edge, partners)


def convolved(spectra: Any, shift: Any, width: Any, *, step: float, taps: int) -> Any:
    """Return spectra shifted and broadened: y(E) = ∫ x(E + u) N(u; s, b) du, x linear between mesh points.

    Beyond its ends a spectrum is extrapolated by straight lines.

    Parameters
    ----------
    spectra : tensor, shape (n, M)
        Spectra on an even mesh, M > 1.
    shift, width : tensor, shape (n, 1)
        s and b of each, eV; b ≥ 0.
    step : float
        Step of the mesh, eV.
    taps : int
        Mesh points of the kernel on either side; at least |s| + 4 b wide.
    """
    ops = import_keras().ops
    weights = _kernel(shift, width, step=step, taps=taps)
    out = ops.arange(1, taps + 1, dtype="float32")
    first, last = spectra[:, :1], spectra[:, -1:]
    before = first - out[::-1] * (spectra[:, 1:2] - first)
    after = last + out * (last - spectra[:, -2:-1])
    padded = ops.concatenate([before, spectra, after], axis=1)
    points = spectra.shape[1]
    result = weights[:, :1] * padded[:, :points]
    for tap in range(1, 2 * taps + 1):
        result = result + weights[:, tap : tap + 1] * padded[:, tap : tap + points]
    return result


def _kernel(shift: Any, width: Any, *, step: float, taps: int) -> Any:
    """Return the kernel, (n, 2 taps + 1): a Gaussian convolved with the hat of linear interpolation."""
    ops = import_keras().ops
    nodes = step * ops.arange(-taps - 1, taps + 2, dtype="float32") - shift
    narrow = ops.maximum(width, 1e-6 * step)
    # The integral of the Gaussian's distribution function is max(u, 0), whose second difference is the hat, plus a
    # part that vanishes away from u = 0. Computed apart, this part keeps its digits in single precision.
    z = ops.absolute(nodes) / narrow
    smooth = narrow * (ops.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) - 0.5 * z * (1 - ops.erf(z / np.sqrt(2.0))))
    hat = ops.maximum(1 - ops.absolute(nodes[:, 1:-1]) / step, 0.0)
    return hat + (smooth[:, 2:] - 2 * smooth[:, 1:-1] + smooth[:, :-2]) / step


def gaussian_averages(series: Series, msd: Floats) -> Floats:
    """Return normalized Gaussian averages of a series about its undistorted structure, shape (R, M), edge steps.

    `msd` holds the mean squared displacements of the Gaussians, shape (R,), positive, Å².
    """
    zero = np.zeros(len(msd))
    return series.average(skew_normal_weights(series.delta, zero, np.sqrt(msd), zero))
