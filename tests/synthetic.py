"""Small tensor files with a known relation between spectrum and MSD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xanesml.averages.distributions import skew_normal_weights
from xanesml.campaign import Campaign, DistortionSection, TrainingSection
from xanesml.files.hdf5 import create
from xanesml.files.layout import TENSORS
from xanesml.files.means import write_means

FIRST_SHELL = 2.8837
DELTA = np.round(np.linspace(-0.45, 0.45, 91), 10)
EDGE_STEP = 0.05


def campaign(**training: Any) -> Campaign:
    return Campaign(
        name="synthetic", seed=7, distortion=DistortionSection(), training=TrainingSection.model_validate(training)
    )


def write_tensors(
    path: Path, made_for: Campaign, *, families: int = 40, members: int = 8, points: int = 32, particles: int = 5
) -> None:
    """Write averages of a series of sines, whose oscillations they damp by exp(−2k²·MSD), as EXAFS is."""
    rng = np.random.default_rng(1)
    k = np.linspace(1.0, 6.0, points)
    series = EDGE_STEP * (1.0 + 0.2 * np.sin(2.0 * k * (FIRST_SHELL + DELTA[:, np.newaxis])))
    roughness = np.full(len(DELTA), np.nan)
    roughness[1:-1] = np.abs(np.diff(series, n=2, axis=0)).max(axis=1) / EDGE_STEP

    count = families * members
    alpha = np.repeat(np.resize([0.0, 1.0, -1.0], families), members)
    # Mean and variance of a skew-normal distribution; α = 0 is the Gaussian.
    lean = alpha / np.sqrt(1 + alpha**2) * np.sqrt(2 / np.pi)
    scale = np.sqrt(np.repeat(np.linspace(0.001, 0.02, families), members) / (1 - lean**2))
    location = rng.uniform(-0.05, 0.05, count) - scale * lean
    weights = skew_normal_weights(DELTA, location, scale, alpha)
    statistical = _averages("statistical", weights, series)
    width = np.sqrt(np.linspace(0.003, 0.015, particles))
    shared = skew_normal_weights(DELTA, np.zeros(particles), width, np.zeros(particles))
    particle = _averages("particle", shared, series)

    create(
        path,
        TENSORS,
        sizes={
            "energy": points,
            "r": (len(DELTA) - 1) // 2,
            "delta": len(DELTA),
            "site": 1,
            "average": count,
            "weighted": count,
            "structure": particles,
            "absorber": 13,
        },
        attributes={
            "campaign": made_for.resolved(),
            "campaign_digest": made_for.digest(),
            "store": "/data/store.h5",
            "tasks_digest": "0" * 32,
            "edge": 11919.0,
            "interpolation": "linear",
            "smoothing": 0,
            "normalization": "absolute",
            "normalization_energy": 11910.0 + points - 1,
            "first_shell": FIRST_SHELL,
            "refused": "{}",
            "complete": 1,
        },
        initial={
            "mesh/energy": 11910.0 + np.arange(points),
            "mesh/r": FIRST_SHELL + DELTA[1::2],
            "series/delta": DELTA,
            "series/mu": series,
            "series/edge_step": np.full(len(DELTA), EDGE_STEP),
            "series/task": np.arange(len(DELTA))[:, np.newaxis],
            "series/roughness": roughness,
            "statistical/family": np.repeat(np.arange(families), members),
            "statistical/location": location,
            "statistical/scale": scale,
            "statistical/alpha": alpha,
            "statistical/weights": weights,
            "statistical/coordination": np.full(count, 12.0),
            "particle/structure": len(DELTA) + np.arange(particles),
            "particle/absorbers": np.full(particles, 13),
            "particle/task": len(DELTA) + np.arange(13 * particles).reshape(particles, 13),
            "particle/coordination": np.full(particles, 12.0),
            "particle/weights": shared,
        }
        | statistical
        | particle,
        fill=write_means,
    )


def _averages(group: str, weights: np.ndarray, series: np.ndarray) -> dict[str, np.ndarray]:
    """Average the series, and describe its distribution in bins of two steps."""
    mean = weights @ DELTA
    deviation = DELTA - mean[:, np.newaxis]
    msd, third, fourth = ((weights * deviation**power).sum(axis=1) for power in (2, 3, 4))
    bins = weights[:, 1::2] + (weights[:, :-1:2] + weights[:, 2::2]) / 2
    bins[:, 0] += weights[:, 0] / 2
    bins[:, -1] += weights[:, -1] / 2
    return {
        f"{group}/spectra": weights @ series / EDGE_STEP,
        f"{group}/msd": msd,
        f"{group}/mean_shift": mean,
        f"{group}/skewness": third / msd**1.5,
        f"{group}/kurtosis": fourth / msd**2 - 3,
        f"{group}/distribution": bins,
    }
