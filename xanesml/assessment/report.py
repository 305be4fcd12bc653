"""The report of a training: errors of the network and the baselines, and which of them wins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic.dataclasses import dataclass

from xanesml.campaign import Mode
from xanesml.files.arrays import Floats
from xanesml.files.records import RECORD, Number, read_json, record_of
from xanesml.learning.intervals import Interval
from xanesml.learning.model import check_listed

REPORT_FILE = "report.json"

NETWORK, NEAREST = "network", "nearest"
#: Names of the predictors in a text, by their keys in a file.
LABELS = {
    NETWORK: "network",
    "mean": "mean of the training labels",
    "edge_slope": "edge slope",
    "ridge": "ridge",
    "pca_ridge": "PCA + ridge",
    "gradient_boosting": "gradient boosting",
    "moments": "moments",
    NEAREST: "nearest simulated spectrum",
}


@dataclass(frozen=True, config=RECORD)
class Errors:
    """Errors of a predictor on one set of spectra.

    Attributes
    ----------
    mae : float
        Mean absolute error, Å².
    rmse : float
        Root of the mean squared error, Å².
    r2 : float
        Coefficient of determination: 1 less the mean squared error in units of the labels'
        variance. 0 is what their mean would have, negative is worse; NaN where all labels
        are equal.
    bias : float
        Mean of prediction minus label, Å².
    """

    mae: Number
    rmse: Number
    r2: Number
    bias: Number

    @classmethod
    def of(cls, predictions: Floats, labels: Floats) -> Errors:
        """Compare predictions with labels, both of shape (n,), n > 0, Å², no NaN."""
        residuals = predictions - labels
        square = float(np.square(residuals).mean())
        return cls(
            mae=float(np.abs(residuals).mean()),
            rmse=float(np.sqrt(square)),
            r2=float(1 - square / labels.var()) if np.ptp(labels) > 0 else float("nan"),
            bias=float(residuals.mean()),
        )


@dataclass(frozen=True, config=RECORD)
class Comparison:
    """Errors of the network and the baselines on one set of spectra.

    Attributes
    ----------
    spectra : str
        What the spectra are.
    n : int
        Their number.
    errors : dict of str to Errors
        By predictor, with keys of `LABELS`, Å²; empty where there are no spectra.
    verdict : str or None
        Which predictor wins, and which baselines beat the network, as the end of a sentence;
        None where there are no spectra. It follows from the errors and need not be given.
    """

    spectra: str
    n: int
    errors: dict[str, Errors]
    verdict: str | None = None

    def __post_init__(self) -> None:
        """Refuse unknown predictors and a missing network, and find the verdict."""
        if unknown := self.errors.keys() - LABELS.keys():
            raise ValueError(f"unknown predictor {', '.join(sorted(unknown))}; known are {', '.join(LABELS)}")
        if self.n and not (NETWORK in self.errors and len(self.errors) > 1):
            raise ValueError("the errors of the network and of at least one baseline are needed")
        object.__setattr__(self, "verdict", self._verdict() if self.n else None)

    def by_error(self) -> list[str]:
        """Return the predictors by increasing mean absolute error: NaN last, and the network first among equals."""

        def key(name: str) -> tuple[float, bool]:
            mae = self.errors[name].mae
            return mae if np.isfinite(mae) else float("inf"), name != NETWORK

        return sorted(self.errors, key=key)

    def _verdict(self) -> str:
        ranking = self.by_error()
        first, second = ranking[:2]
        winner = f"{_named(first)} wins with a mean absolute error of {self.errors[first].mae:.3g} Å²"
        if first == NETWORK:
            return f"{winner}, ahead of {_named(second)} with {self.errors[second].mae:.3g} Å²"
        others = [_named(name) for name in ranking[1 : ranking.index(NETWORK)]]
        also = f", as {'do' if len(others) > 1 else 'does'} {_listed(others)}" if others else ""
        return f"{winner} and beats the network, which has {self.errors[NETWORK].mae:.3g} Å²{also}"


@dataclass(frozen=True, config=RECORD)
class Scatter:
    """Coverage of intervals over random divisions of the held-out families into calibration and test.

    Attributes
    ----------
    mean, sd : float
        Mean and standard deviation of the share of labels inside.
    divisions : int
        Number of divisions.
    """

    mean: float
    sd: float
    divisions: int

    def __str__(self) -> str:
        return f"{self.mean:.1%} ± {self.sd:.1%}"


@dataclass(frozen=True, kw_only=True, config=RECORD)
class ModeReport:
    """Errors and intervals of the ensemble and the baselines in one mode of training.

    Attributes
    ----------
    test : Comparison
        On the test split.
    fitted : Comparison
        Network and nearest simulated spectrum on a sample of the test split.
    particle : Comparison
        On the particle averages of the test; there may be none.
    particle_before_fine_tuning : Errors or None
        Errors of the ensemble on these before it was fine-tuned; None without fine-tuning.
    interval : Interval
        The ensemble's interval.
    coverage : float
        Share of the test split's labels inside it.
    scatter : Scatter
        The same over other divisions of the held-out families.
    particle_coverage : float or None
        Share of the labels of the test's particle averages inside the interval that is calibrated on statistical
        averages; None without particle averages.
    measured_coverage : float or None
        The same inside the interval of measured spectra.
    width : float
        Mean width of the interval on the test split, Å².
    flagged : float
        Share of the test split that is flagged as unlike the training spectra.
    baseline_intervals : dict of str to Interval
        The interval of each baseline, calibrated on the same spectra as the ensemble's.
    best_epochs : list of int
        The epoch from which each network's weights were kept.
    """

    test: Comparison
    fitted: Comparison
    particle: Comparison
    particle_before_fine_tuning: Errors | None
    interval: Interval
    coverage: float
    scatter: Scatter
    particle_coverage: float | None
    measured_coverage: float | None
    width: float
    flagged: float
    baseline_intervals: dict[str, Interval]
    best_epochs: list[int]

    def verdict(self) -> str:
        """Return in one sentence which predictor wins on the test split and on any particle averages."""
        sentence = f"On the test split {self.test.verdict}"
        return f"{sentence}; on the particle averages {self.particle.verdict}." if self.particle.n else f"{sentence}."


@dataclass(frozen=True, kw_only=True, config=RECORD)
class TrainingReport:
    """Errors, sizes and times of a training; the content of `report.json`.

    Attributes
    ----------
    units : str
        Unit of all errors.
    campaign, campaign_digest : str
        Name and hash of the campaign.
    modes : dict of str to ModeReport
        By mode of training.
    training, validation, calibration, families : int
        Spectra trained on, spectra that chose the epoch, spectra that calibrated the intervals, families in all.
    tuned : int
        Disordered structures that the networks were fine-tuned on.
    epochs : int
        Epochs of each network.
    parameters : int
        Parameters of a network, the statistics of batch normalization included.
    ranks, groups : int
        Number of ranks, and of groups of them that trained networks side by side.
    seconds : float
        Wall time of the epochs of this call, s: that of the slowest group.
    samples_per_second : float
        Spectra per second over all ranks, validation not included, s⁻¹.
    """

    units: str = "Å²"
    campaign: str
    campaign_digest: str
    modes: dict[Mode, ModeReport]
    training: int
    validation: int
    calibration: int
    families: int
    tuned: int
    epochs: int
    parameters: int
    ranks: int
    groups: int
    seconds: float
    samples_per_second: float


def read_report(path: Path) -> TrainingReport:
    """Read the report of a training, a model's `report.json`.

    Raises
    ------
    StoreError
        If the file is missing or is not the report of the training that `model.json` beside it is of.
    """
    remedy = "make it with `xanesml train`"
    check_listed(path.parent, path.name)
    return record_of(TrainingReport, read_json(path, remedy), path, remedy)


def _named(name: str) -> str:
    return f"the {LABELS[name]}" if name in (NETWORK, "mean") else LABELS[name]


def _listed(names: list[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
