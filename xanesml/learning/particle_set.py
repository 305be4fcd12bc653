"""Particle averages as the two modes of training see them: as they are, and beside each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.campaign import Campaign
from xanesml.files.arrays import Floats, Indices, Singles
from xanesml.learning.augmentation import Mode, reference_spectra
from xanesml.learning.dataset import Tensors, split_structures
from xanesml.learning.scaling import Scaling


@dataclass(frozen=True)
class ParticleSet:
    """Particle averages as a mode of training sees them. No array holds NaN.

    Attributes
    ----------
    spectra : ndarray
        Shape (n, M), float64, edge steps; for the mode `reference` differences between the averages of two
        structures, put upon the Gaussian average with the second one's mean squared displacement.
    rows : ndarray
        The particle average of each, the first of the two, int64.
    msd : ndarray
        Its mean squared displacement, shape (n,), float64, Å².
    mode : {"direct", "reference"}
        What they are for.
    """

    spectra: Floats
    rows: Indices
    msd: Floats
    mode: Mode

    @classmethod
    def of(cls, tensors: Tensors, mode: Mode, rows: Indices, references: Indices) -> ParticleSet:
        """Take some particle averages, for the mode `reference` each beside each of some others."""
        spectra = tensors.particle_spectra.astype(np.float64)
        if mode == "direct":
            return cls(spectra[rows], rows, tensors.particle_msd[rows], mode)
        first, second = (pair.ravel() for pair in np.meshgrid(rows, references, indexing="ij"))
        first, second = first[first != second], second[first != second]
        simulated = reference_spectra(tensors.series, tensors.particle_msd[second])
        return cls(spectra[first] - spectra[second] + simulated, first, tensors.particle_msd[first], mode)

    @classmethod
    def kept(cls, tensors: Tensors, mode: Mode, campaign: Campaign) -> ParticleSet:
        """Take the particle averages that training never sees, for the mode `reference` beside those that it does."""
        tune, kept = particle_split(len(tensors.particle_msd), campaign)
        return cls.of(tensors, mode, kept, tune if len(tune) else kept)

    @classmethod
    def tuned(cls, tensors: Tensors, mode: Mode, campaign: Campaign) -> ParticleSet:
        """Take the particle averages that networks are fine-tuned on; there may be none."""
        tune, _ = particle_split(len(tensors.particle_msd), campaign)
        return cls.of(tensors, mode, tune, tune)

    @property
    def one_each(self) -> Indices:
        """One of the spectra of each particle average: those of one are not independent."""
        return np.unique(self.rows, return_index=True)[1]

    @property
    def noises(self) -> float:
        """Standard deviation of the noise, in units of that of one measurement."""
        return 1.0 if self.mode == "direct" else float(np.sqrt(2.0))

    def features(self, scaling: Scaling, noise: float, seed: np.random.SeedSequence) -> Singles:
        """Return scaled spectra with noise, shape (n, M), float32; the noise of one measurement is in edge steps."""
        drawn = np.random.default_rng(seed).normal(size=self.spectra.shape)
        return scaling.scale_features(self.spectra + noise * self.noises * drawn)


def particle_split(count: int, campaign: Campaign) -> tuple[Indices, Indices]:
    """Return which of so many particle averages networks are fine-tuned on, at least two or none, and the others."""
    section = campaign.training
    tune, kept = split_structures(count, test=section.particle_test, seed=campaign.seed)
    if section.fine_tuning and len(tune) > 1 and len(kept):
        return tune, kept
    return tune[:0], np.arange(count, dtype=np.int64)
