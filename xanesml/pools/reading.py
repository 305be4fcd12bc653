"""Measured spectra read beside references of known disorder, by the mixtures of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import truncnorm

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.alike import clean, paired, relative_shift, shifted
from xanesml.measured.broadening import broadened
from xanesml.measured.calibration import Calibration, calibrate
from xanesml.measured.normalization import NormalizedSpectrum
from xanesml.pools.gaussian import Moments, conditioned
from xanesml.pools.measurement import Measurement
from xanesml.pools.mixtures import Mixtures
from xanesml.pools.model import Pool

#: Largest root mean square difference of two edges, shares of their rise.
LARGEST_MISFIT = 0.05
#: Quantiles of the intervals.
QUANTILES = (0.05, 0.95)


@dataclass(frozen=True)
class KnownSample:
    """A measured spectrum of known disorder.

    Attributes
    ----------
    spectrum : NormalizedSpectrum
        The spectrum.
    msd, error : float, Å²
        Its mean squared displacement, and the standard uncertainty.
    """

    spectrum: NormalizedSpectrum
    msd: float
    error: float = 0.0


@dataclass(frozen=True)
class Reading:
    """What was read off a spectrum.

    Attributes
    ----------
    source : str
        The file.
    msd, msd_error : float, Å²
        Mean squared displacement of the first-shell bonds, and its standard uncertainty.
    interval : tuple of float, Å²
        90 % of the probability lies in it; never below 0.
    bond, bond_error : float, Å
        Mean bond length minus that of the first reference.
    coordination, coordination_error : float
        Mean number of first neighbors; minus that of the first reference where this is no crystal.
    shift : float, eV
        Added to the energies to put them on the first reference's.
    misfit : float
        How far the spectrum lies outside what pool and errors allow: root mean square over the window, standard
        deviations; some 1 for a spectrum that belongs to the pool.
    """

    source: str
    msd: float
    msd_error: float
    interval: tuple[float, float]
    bond: float
    bond_error: float
    coordination: float
    coordination_error: float
    shift: float
    misfit: float


class Reader:
    """A pool put on the energies and the resolution of a session by its first reference.

    Parameters
    ----------
    pool : Pool
        The pool.
    references : sequence of KnownSample
        The first is what all others are compared with; further ones fix what the first cannot.
    crystal : bool
        Whether the first is a crystal, such as a foil.

    Attributes
    ----------
    measurement : Measurement
        What is read of spectra, and its errors, on the energies of the session.
    of_reference, of_samples : Moments
        Of features and labels of mixtures that the first reference, and samples, may be.

    Raises
    ------
    SpectrumError
        If there is no reference, the pool has no mixture like the first, or it cannot be put on the pool's energies.
    """

    def __init__(self, pool: Pool, references: Sequence[KnownSample], *, crystal: bool = True) -> None:
        if not references:
            raise SpectrumError("a pool reads differences: give a spectrum of known MSD as reference")
        self.pool, self.crystal = pool, crystal
        self.first, self.others = references[0], list(references[1:])
        near = self._near(self.first.msd)
        mesh = pool.energy + pool.edge
        mean = near @ pool.mixtures.spectra / near.sum()
        self.calibration: Calibration = calibrate(self.first.spectrum, mesh, mean, edge=pool.edge)
        spectra = broadened(pool.mixtures.spectra, mesh, self.calibration.broadening)
        self.measurement = Measurement.of(pool, spectra, near)
        features = self.measurement.features(spectra)
        self.of_reference = Moments.of(features, pool.mixtures.labels, near)
        self.of_samples = Moments.of(features, pool.mixtures.labels, pool.mixtures.around(self.first.msd, pool.spread))
        self._differences = [self.difference(one.spectrum)[0] for one in self.others]

    def read(self, samples: Sequence[NormalizedSpectrum]) -> list[Reading]:
        """Read samples, each by itself beside the references.

        Raises
        ------
        SpectrumError
            If one does not cover the pool's energies, or its edge is not found near the first reference's.
        """
        return [self._read(sample) for sample in samples]

    def _read(self, sample: NormalizedSpectrum) -> Reading:
        difference, shift = self.difference(sample)
        known = np.array([np.nan, *(one.msd - self.first.msd for one in self.others)])
        known_error = np.array([np.nan, *(np.hypot(one.error, self.first.error) for one in self.others)])
        moments = self.of_samples
        noise, theory = self.measurement.noise, self.measurement.theory
        shown = self._shown([sample, *(one.spectrum for one in self.others)])
        measured, signal = np.array([difference, *self._differences]), None
        # Twice: the second time with the difference that was found in place of any.
        for _ in range(2):
            found = conditioned(
                measured,
                moments,
                self.of_reference,
                known,
                known_error,
                noise=noise,
                theory=theory,
                shown=shown,
                signal=signal,
            )
            mean, signal = found.mean, found.signal
        msd = self.first.msd + float(mean[0, 0])
        errors = np.sqrt(np.maximum(np.diag(found.covariance[0, :, 0]), 0.0)) * self.pool.widening
        msd_error = float(np.hypot(errors[0], self.first.error))
        size = len(difference)
        own = moments.xx + self.of_reference.xx + theory * found.signal[0, :, 0] + noise + shown[:size, :size]
        away = difference - moments.x + self.of_reference.x
        neighbors = float(self.of_reference.y[2]) if self.crystal else 0.0
        return Reading(
            source=sample.source,
            msd=max(msd, 0.0),
            msd_error=msd_error,
            interval=_interval(msd, msd_error),
            bond=float(mean[0, 1]),
            bond_error=float(errors[1]),
            coordination=neighbors + float(mean[0, 2]),
            coordination_error=float(errors[2]),
            shift=shift,
            misfit=float(np.sqrt(away @ np.linalg.solve(own, away) / len(away))),
        )

    def _shown(self, spectra: Sequence[NormalizedSpectrum]) -> Floats:
        """Return the covariance of the noise that spectra show in their differences: the first reference's in all."""
        own = np.diag([one.noise**2 for one in spectra])
        return np.kron(own + self.first.spectrum.noise**2, self.measurement.kernel)

    def _near(self, msd: float) -> Floats:
        """Return the weights, (n,), of mixtures that may be a reference of a known MSD, Å²."""
        mixtures: Mixtures = self.pool.mixtures
        of_kind = mixtures.crystal if self.crystal else np.ones(len(mixtures), dtype=np.bool_)
        held = mixtures.labels[of_kind, 0]
        if not held.min() <= msd <= held.max():
            kind = "crystals" if self.crystal else "mixtures"
            raise SpectrumError(
                f"the reference's MSD {msd} Å² lies outside the {held.min():.4f} … {held.max():.4f} Å² of the "
                f"{kind} in the pool {self.pool.name}"
            )
        return mixtures.near(msd, crystal=self.crystal)

    def difference(self, sample: NormalizedSpectrum) -> tuple[Floats, float]:
        """Return the features of a sample minus the first reference, (m,), and the shift that aligned it, eV."""
        reference = self.first.spectrum
        found = relative_shift(*clean(sample), *clean(reference), reference.e0)
        if found is None or found.misfit > LARGEST_MISFIT:
            raise SpectrumError(
                f"{sample.source}: no edge like the reference's, {reference.source}, is found within 10 eV of it; "
                "give spectra that reach from 25 eV before to 55 eV behind the edge, of one element, edge and phase"
            )
        sample, shift = shifted(sample, found.shift), found.shift
        pair = paired(sample, reference)
        if pair is not None:
            sample, reference = pair.sample, pair.reference
        mesh = self.pool.energy + self.pool.edge
        apart = self.calibration.apply(sample, mesh) - self.calibration.apply(reference, mesh)
        return self.measurement.features(apart[np.newaxis])[0], shift


def _interval(msd: float, error: float) -> tuple[float, float]:
    """Return the 90 % interval of a normal distribution that is cut off at 0, Å²."""
    low, high = truncnorm.ppf(QUANTILES, (0.0 - msd) / error, np.inf, loc=msd, scale=error)
    return float(low), float(high)
