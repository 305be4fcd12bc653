"""A tensor file small enough to be worked out by hand, with edge steps that differ along the series."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from xanesml.files.hdf5 import create
from xanesml.files.layout import TENSORS

ENERGY = 11910.0 + np.arange(12.0)
EDGE = 11914.0
DELTA = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])
STEPS = np.array([0.04, 0.05, 0.06, 0.05, 0.04])
MU = STEPS[:, np.newaxis] * (1 + np.outer(DELTA, np.cos(ENERGY - EDGE)))

#: Of four structures, the third has 3 % of its bonds outside the series, and the last all of them.
WEIGHTS = np.array(
    [[0.0, 0.5, 0.5, 0.0, 0.0], [0.1, 0.2, 0.2, 0.2, 0.3], [0.5, 0.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0, 0.0]]
)
PARTICLE_MSD = np.array([0.005, 0.02, 0.04, 0.3])
OUTSIDE = np.array([0.0, 0.01, 0.03, 1.0])
PARTICLE = np.array([1.0 + shift * np.sin(ENERGY - EDGE) for shift in (0.01, 0.02, 0.03, 0.04)])

R = 2.60 + 0.1 * np.arange(6)
SHARES = np.array([[0, 0, 1, 0, 0, 0], [0, 0.25, 0.5, 0.25, 0, 0], [0, 0.5, 0, 0.5, 0, 0], [0, 0, 0, 0, 0, 0.0]])

LOCATION = np.array([0.0, 0.02, -0.02, 0.0, 0.01, 0.0])
SCALE = np.array([0.05, 0.05, 0.07, 0.07, 0.09, 0.09])
ALPHA = np.array([0.0, -2.0, 2.0, 0.0, 2.0, -2.0])
MSD = np.array([0.006, 0.008, 0.010, 0.012, 0.015, 0.018])


def write_small(
    path: Path, *, particles: int = 4, distortions: int = 5, averages: int = 6, limit: float = 0.01, kept: bool = False
) -> Path:
    """Write the first so many of each kind; `kept` puts weights of 1 at the last distortion into the file."""
    weights = np.zeros((averages if kept else 0, distortions))
    weights[:, -1:] = 1.0
    rough = np.full(distortions, np.nan)
    rough[1:-1] = np.array([0.001, 0.001, 0.004])[: max(distortions - 2, 0)]
    create(
        path,
        TENSORS,
        sizes={
            "energy": len(ENERGY),
            "r": len(R),
            "delta": distortions,
            "site": 1,
            "average": averages,
            "weighted": len(weights),
            "structure": particles,
            "absorber": 13,
        },
        attributes={
            "campaign": json.dumps({"averaging": {"truncation_limit": limit}}),
            "campaign_digest": "0" * 32,
            "store": "store.h5",
            "tasks_digest": "0" * 32,
            "edge": EDGE,
            "interpolation": "linear",
            "smoothing": 0,
            "normalization": "absolute",
            "normalization_energy": ENERGY[-1],
            "first_shell": 2.8,
            "refused": "{}",
            "complete": 1,
        },
        initial={
            "mesh/energy": ENERGY,
            "mesh/r": R,
            "series/delta": DELTA[:distortions],
            "series/mu": MU[:distortions],
            "series/edge_step": STEPS[:distortions],
            "series/roughness": rough,
            "statistical/spectra": np.ones((averages, len(ENERGY))) + MSD[:averages, np.newaxis],
            "statistical/location": LOCATION[:averages],
            "statistical/scale": SCALE[:averages],
            "statistical/alpha": ALPHA[:averages],
            "statistical/msd": MSD[:averages],
            "statistical/mean_shift": LOCATION[:averages],
            "statistical/coordination": np.full(averages, 12.0),
            "statistical/weights": weights,
            "particle/spectra": PARTICLE[:particles],
            "particle/coordination": np.full(particles, 12.0),
            "particle/structure": 5 + np.arange(particles),
            "particle/msd": PARTICLE_MSD[:particles],
            "particle/distribution": SHARES[:particles],
            "particle/weights": WEIGHTS[:particles, :distortions],
            "particle/outside": OUTSIDE[:particles],
        },
    )
    return path
