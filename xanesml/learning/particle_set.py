"""Particle averages for the two modes of training: as they are, and as differences between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.campaign import Campaign, Mode
from xanesml.files.arrays import Floats, Indices, Singles
from xanesml.learning.augmentation import gaussian_averages
from xanesml.learning.dataset import Tensors
from xanesml.learning.scaling import Scaling
from xanesml.learning.splits import split_structures
from xanesml.seeds import Stream


@dataclass(frozen=True)
class ParticleSet:
    """Particle averages for a mode of training. No array holds NaN.

    Attributes
    ----------
    spectra : ndarray
        Shape (n, M), float64, edge steps. In the mode `reference`: the difference between a particle average and
        its partner, added to the Gaussian average with the partner's mean squared displacement.
    rows : ndarray
        Row of each particle average, shape (n,), int64.
    msd : ndarray
        Mean squared displacement of each, shape (n,), float64, Å².
    mode : {"direct", "reference"}
        Mode of training.
    """

    spectra: Floats
    rows: Indices
    msd: Floats
    mode: Mode

    @classmethod
    def of(cls, tensors: Tensors, mode: Mode, rows: Indices, partners: Indices) -> ParticleSet:
        """Take some particle averages; in the mode `reference`, pair every row with every partner but itself."""
        spectra = tensors.particle_spectra.astype(np.float64)
        if mode == "direct":
            return cls(spectra[rows], rows, tensors.particle_msd[rows], mode)
        first, second = (pair.ravel() for pair in np.meshgrid(rows, partners, indexing="ij"))
        first, second = first[first != second], second[first != second]
        simulated = gaussian_averages(tensors.series, tensors.particle_msd[second])
        return cls(spectra[first] - spectra[second] + simulated, first, tensors.particle_msd[first], mode)

    @classmethod
    def tuning(cls, tensors: Tensors, mode: Mode, campaign: Campaign) -> ParticleSet:
        """Take the particle averages for fine-tuning; there may be none."""
        rows = ParticleSplit.of(len(tensors.particle_msd), campaign).tuning
        return cls.of(tensors, mode, rows, rows)

    @classmethod
    def calibration(cls, tensors: Tensors, mode: Mode, campaign: Campaign) -> ParticleSet:
        """Take the particle averages that calibrate intervals; there may be none."""
        rows = ParticleSplit.of(len(tensors.particle_msd), campaign).calibration
        return cls.of(tensors, mode, rows, rows)

    @classmethod
    def test(cls, tensors: Tensors, mode: Mode, campaign: Campaign) -> ParticleSet:
        """Take the particle averages of the test, which nothing is fitted to or calibrated on; there may be none."""
        rows = ParticleSplit.of(len(tensors.particle_msd), campaign).test
        return cls.of(tensors, mode, rows, rows)

    @property
    def noises(self) -> float:
        """Standard deviation of the noise in units of the noise of one measurement."""
        return 1.0 if self.mode == "direct" else float(np.sqrt(2.0))

    def features(self, scaling: Scaling, noise: float, seed: np.random.SeedSequence) -> Singles:
        """Return scaled spectra, shape (n, M), float32, with the noise of a measurement, given in edge steps."""
        drawn = np.random.default_rng(seed).normal(size=self.spectra.shape)
        return scaling.scale_features(self.spectra + noise * self.noises * drawn)


@dataclass(frozen=True)
class ParticleSplit:
    """Rows of the particle averages on each side of their split, ascending, int64; a side may be empty.

    Those for fine-tuning are at least two, or none.
    """

    tuning: Indices
    calibration: Indices
    test: Indices

    @classmethod
    def of(cls, count: int, campaign: Campaign) -> ParticleSplit:
        """Split so many particle averages, which are sorted by their disorder, as a campaign says."""
        section, seed = campaign.training, campaign.seed
        tuning, kept = split_structures(count, share=section.particle_test, seed=seed)
        if not (section.fine_tuning and len(tuning) > 1 and len(kept)):
            tuning, kept = tuning[:0], np.arange(count, dtype=np.int64)
        test, calibration = split_structures(
            len(kept), share=section.particle_calibration, seed=seed, stream=Stream.PARTICLE_CALIBRATION
        )
        return cls(tuning, kept[calibration], kept[test])
