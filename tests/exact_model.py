"""A model of gold that knows its theory exactly: two moments of the bond lengths, each with its own signal."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from conftest import ROOT

from xanesml.averages.series import Series
from xanesml.campaign import Campaign, DistortionSection
from xanesml.errors import StoreError
from xanesml.learning.intervals import Interval
from xanesml.learning.model import Answers, TrainedModel
from xanesml.learning.scaling import Scaling
from xanesml.measured import read_spectrum
from xanesml.measured.normalization import normalize, on_mesh

FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"
SHIFT = 3.25
MESH = np.arange(11908.0, 11974.0, 0.5)
EDGE = 11922.0
DELTA = np.round(np.linspace(-0.45, 0.45, 91), 10)
R = 2.4 + 0.1 * np.arange(10)

THEORY = on_mesh(normalize(read_spectrum(FOIL)), MESH, SHIFT)
#: What first and second moments of a distribution add to the spectrum.
FIRST, SECOND = 0.4 * np.sin((MESH - EDGE) / 4), 1.5 * np.cos((MESH - EDGE) / 5) * (MESH > EDGE)
SERIES = Series(
    energy=MESH,
    delta=DELTA,
    mu=THEORY + DELTA[:, np.newaxis] * FIRST + DELTA[:, np.newaxis] ** 2 * SECOND,
    edge_step=np.ones(91),
    r=R,
    first_shell=2.9,
)


def theory(msd: float, shift: float = 0.0) -> np.ndarray:
    return np.asarray(THEORY + shift * FIRST + (msd + shift**2) * SECOND)


@dataclass
class Exact:
    """Finds the two moments by projecting a spectrum on what they add to it."""

    modes: tuple[str, ...] = ("direct", "reference")
    factor: float = 1.0
    offset: float = 0.0
    mesh: np.ndarray = field(default_factory=lambda: MESH)
    series: Series = SERIES
    mean_spectrum: np.ndarray | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    seen: list[tuple[np.ndarray, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        mean = theory(0.008) - self.offset * 0.02
        if self.mean_spectrum is None:
            self.mean_spectrum = mean
        self.scaling = Scaling(mean, np.full(MESH.size, 0.02), {"msd": (0.0004, 0.02)})
        content = {
            "element": "Au",
            "edge": "L3",
            "band": np.stack([mean - 0.02, mean + 0.02]),
            "distances": {"direct": 2.5, "reference": 2.5},
            "edge_energy": EDGE,
            "first_shell": 2.88,
            "normalization_energy": 11972.0,
            "campaign": Campaign(name="c", distortion=DistortionSection()),
        }
        self.metadata = SimpleNamespace(**content | self.changes)

    def predict(self, spectra: np.ndarray, mode: str) -> Answers:
        self.seen.append((spectra, mode))
        (moments, *_) = np.linalg.lstsq(np.column_stack([FIRST, SECOND]), (spectra - THEORY).T, rcond=None)
        msd = self.factor * (moments[1] - moments[0] ** 2)
        return Answers(msd, np.full(len(msd), 1e-4), moments[0], np.zeros(len(msd)), np.full((len(msd), 10), 0.1))

    def interval(self, _mode: str) -> Interval:
        return Interval(0.9, 2e-4, 2.0, 100)

    def baseline(self, mode: str, name: str) -> tuple[Any, Interval]:
        if name != "ridge":
            raise StoreError(f"no baseline {name}")
        return lambda features: np.full(len(features), 0.0123), self.interval(mode)


def model(**settings: Any) -> TrainedModel:
    return cast(TrainedModel, Exact(**settings))
