"""Synthetic gaps between theory and experiment, to test calibration and prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.broadening import broadened
from xanesml.measured.normalization import NormalizedSpectrum

#: Width of the rise at the edge over which the difference sets in, eV.
_ONSET = 2.0
#: Extent of a synthetic measurement beyond the mesh on either side, eV.
_MARGIN = 30.0


@dataclass(frozen=True)
class Gap:
    """How a synthetic experiment differs from theory.

    Attributes
    ----------
    rms : float, edge steps
        Root mean square over the mesh of a smooth additive difference. Default 0.065, that
        of simulated and measured gold foil.
    correlation : float, eV
        Correlation length of the difference over energy.
    shift : float, eV
        The shift that would correct the measured energies.
    stretch : float
        The relative stretch about the edge that would then correct them.
    broadening : float, eV
        Gaussian sigma of the experiment's additional broadening.
    amplitude : float
        The factor that would correct the measured spectra.
    noise : float, edge steps
        Standard deviation of white noise.
    """

    rms: float = 0.065
    correlation: float = 8.0
    shift: float = 2.0
    stretch: float = 0.01
    broadening: float = 0.8
    amplitude: float = 1.03
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an impossible gap.

        Raises
        ------
        SpectrumError
            If a width, a size or a factor is negative, or not a number.
        """
        for name in ("rms", "correlation", "broadening", "amplitude", "noise"):
            value, positive = getattr(self, name), name in ("correlation", "amplitude")
            if not (np.isfinite(value) and value >= 0 and (value > 0 or not positive)):
                raise SpectrumError(f"a gap's {name} is {value}; give {'more than 0' if positive else '0 or more'}")


def difference(mesh: Floats, *, edge: float, rms: float, correlation: float, seed: int) -> Floats:
    """Draw an error of theory: a smooth random function of energy that sets in at the edge.

    Parameters
    ----------
    mesh : ndarray, shape (M,), float64, eV
        Energies.
    edge : float, eV
        Energy of the edge. The difference is 0 well before it.
    rms : float, edge steps
        Its root mean square over the mesh, exactly.
    correlation : float, eV
        Its correlation length: values this far apart are correlated by e^(−1/2).
    seed : int
        Decides everything.

    Returns
    -------
    ndarray, shape (M,), float64, edge steps
        The difference.

    References
    ----------
    C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (2006), section 4.2.
    """
    from scipy.special import ndtr  # noqa: PLC0415 (slow)

    distances = (mesh[:, np.newaxis] - mesh) / correlation
    values, vectors = np.linalg.eigh(np.exp(-(distances**2) / 2))
    normal = np.random.default_rng(seed).standard_normal(mesh.size)
    drawn = ndtr((mesh - edge) / _ONSET) * (vectors @ (np.sqrt(np.clip(values, 0.0, None)) * normal))
    return np.asarray(drawn * rms / np.sqrt(np.mean(drawn**2)), dtype=np.float64)


def measure(spectra: Floats, mesh: Floats, *, edge: float, gap: Gap, seed: int) -> list[NormalizedSpectrum]:
    """Return the spectra that an experiment with this gap would measure in one session.

    Theory is broadened, the difference added, divided by the amplitude, put at the
    energies that the monochromator would have shown, and noise added. All but the noise is
    the same for all spectra. Below the mesh the spectra fall linearly to 0 and above it
    they stay constant, for 30 eV, so that shifted ones cover it.

    Parameters
    ----------
    spectra : ndarray, shape (n, M), float64, edge steps
        Theory, without the gap.
    mesh : ndarray, shape (M,), float64, eV
        Its energies, evenly spaced.
    edge : float, eV
        The theory's edge energy.
    gap : Gap
        The gap.
    seed : int
        Decides the difference and the noise.

    Returns
    -------
    list of NormalizedSpectrum
        One for each row; `calibrate` with the right theory finds the gap's numbers.
    """
    step = float(mesh[1] - mesh[0])
    margin = int(np.ceil(_MARGIN / step))
    lacking, noise = (int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(2))
    common = difference(mesh, edge=edge, rms=gap.rms, correlation=gap.correlation, seed=lacking)
    wide = np.pad(broadened(spectra, mesh, gap.broadening) + common, ((0, 0), (margin, margin)), mode="edge")
    wide[:, :margin] *= np.linspace(0.0, 1.0, margin, endpoint=False)
    energies = mesh[0] + step * np.arange(-margin, mesh.size + margin)
    shown = edge - gap.shift + (energies - edge) / (1 + gap.stretch)
    seen = wide / gap.amplitude + gap.noise * np.random.default_rng(noise).standard_normal(wide.shape)
    return [
        NormalizedSpectrum(
            energy=shown,
            mu=row,
            e0=edge - gap.shift,
            edge_step=1.0,
            parameters={},
            element="",
            edge="",
            source=f"synthetic spectrum {number}",
            noise=gap.noise,
        )
        for number, row in enumerate(seen)
    ]
