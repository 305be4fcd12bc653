"""Small tensor files with a known relation between spectrum and MSD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xanesml.campaign import Campaign, DistortionSection, TrainingSection
from xanesml.hdf5 import create
from xanesml.layout import TENSORS


def campaign(**training: Any) -> Campaign:
    return Campaign(
        name="synthetic", seed=7, distortion=DistortionSection(), training=TrainingSection.model_validate(training)
    )


def write_tensors(
    path: Path, made_for: Campaign, *, families: int = 40, members: int = 8, points: int = 32, particles: int = 5
) -> None:
    """Write averages whose oscillations are damped by exp(−2k²·MSD), as EXAFS is."""
    rng = np.random.default_rng(1)
    count = families * members
    msd = np.repeat(np.linspace(0.001, 0.02, families), members)
    shift = rng.uniform(-0.05, 0.05, count)
    k = np.linspace(1.0, 6.0, points)

    def spectra(msd: np.ndarray, shift: np.ndarray) -> np.ndarray:
        damping = np.exp(-2.0 * k**2 * msd[:, np.newaxis])
        return (1.0 + 0.2 * damping * np.sin(2.0 * k * (2.88 + shift[:, np.newaxis]))).astype(np.float32)

    particle_msd = np.linspace(0.003, 0.015, particles)
    create(
        path,
        TENSORS,
        sizes={"M": points, "D": 91, "N": count, "P": particles},
        attributes={
            "campaign": made_for.resolved(),
            "campaign_digest": made_for.digest(),
            "store_digest": "0" * 32,
            "edge": 11919.0,
            "normalization": "absolute",
            "normalization_energy": 11950.0,
        },
        initial={
            "mesh/energy": 11910.0 + np.arange(points),
            "statistical/spectra": spectra(msd, shift),
            "statistical/family": np.repeat(np.arange(families), members),
            "statistical/msd": msd,
            "statistical/mean_shift": shift,
            "particle/spectra": spectra(particle_msd, np.zeros(particles)),
            "particle/msd": particle_msd,
        },
    )
