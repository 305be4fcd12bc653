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
    def kept(cls, tensors: Tensors, mode: Mode, campaign: Campaign) -> ParticleSet:
        """Take the particle averages that training never sees, with those that it sees as partners."""
        tune, kept = particle_split(len(tensors.particle_msd), campaign)
        return cls.of(tensors, mode, kept, tune if len(tune) else kept)

    @classmethod
    def tuned(cls, tensors: Tensors, mode: Mode, campaign: Campaign) -> ParticleSet:
        """Take the particle averages for fine-tuning; there may be none."""
        tune, _ = particle_split(len(tensors.particle_msd), campaign)
        return cls.of(tensors, mode, tune, tune)

    @property
    def one_each(self) -> Indices:
        """Index of one spectrum of each particle average; spectra of the same average are not independent."""
        return np.unique(self.rows, return_index=True)[1]

    @property
    def noises(self) -> float:
        """Standard deviation of the noise in units of the noise of one measurement."""
        return 1.0 if self.mode == "direct" else float(np.sqrt(2.0))

    def features(self, scaling: Scaling, noise: float, seed: np.random.SeedSequence) -> Singles:
        """Return scaled spectra, shape (n, M), float32, with the noise of a measurement, given in edge steps."""
        drawn = np.random.default_rng(seed).normal(size=self.spectra.shape)
        return scaling.scale_features(self.spectra + noise * self.noises * drawn)


def particle_split(count: int, campaign: Campaign) -> tuple[Indices, Indices]:
    """Return the rows of the particle averages for fine-tuning, at least two or none, and the others."""
    section = campaign.training
    tune, kept = split_structures(count, test=section.particle_test, seed=campaign.seed)
    if section.fine_tuning and len(tune) > 1 and len(kept):
        return tune, kept
    return tune[:0], np.arange(count, dtype=np.int64)
