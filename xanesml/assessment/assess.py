"""How good an ensemble is, against baselines given the same split and the same errors of measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from xanesml.assessment.baselines import Errors, Regressions, fit_edge_slope, fit_mean
from xanesml.averages.nearest import nearest
from xanesml.campaign import Campaign
from xanesml.files.arrays import Floats, Indices, Reals, Singles
from xanesml.learning.augmentation import Mode, augmenter
from xanesml.learning.dataset import Split, Tensors
from xanesml.learning.intervals import Interval
from xanesml.learning.model import Answers, answers_of_ensemble
from xanesml.learning.particle_set import ParticleSet
from xanesml.learning.predictors import Predictor
from xanesml.learning.scaling import Scaling
from xanesml.seeds import Stream, seed_of

if TYPE_CHECKING:
    import keras


SAMPLE = "of these, to each of which the nearest simulated spectrum was fitted"
HELD_OUT = "statistical averages of families held out of training"
PARTICLES = "averages over the absorbers of disordered structures: simulated another way than the training spectra"

#: Training spectra, evenly taken, that baselines are fitted to at most.
BASELINE_SPECTRA = 50_000
#: Test spectra, evenly taken, that the nearest simulated spectrum is fitted to at most.
FITTED = 200
#: Share of the test split that counts as like the training spectra.
TYPICAL = 0.99

NETWORK, NEAREST = "network", "nearest"
#: What the predictors are called in a text, by their name in a file.
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


@dataclass(frozen=True)
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
    """

    spectra: str
    n: int
    errors: dict[str, Errors]

    def by_error(self) -> list[str]:
        """Return the predictors by rising mean absolute error; one without a number is last, a tie the network's."""

        def key(name: str) -> tuple[float, bool]:
            mae = self.errors[name].mae
            return mae if np.isfinite(mae) else float("inf"), name != NETWORK

        return sorted(self.errors, key=key)

    def verdict(self) -> str:
        """Return the end of a sentence: which predictor wins, and which baselines beat the network; needs spectra."""
        ranking = self.by_error()
        first, second = ranking[:2]
        winner = f"{_named(first)} wins with a mean absolute error of {self.errors[first].mae:.3g} Å²"
        if first == NETWORK:
            return f"{winner}, ahead of {_named(second)} with {self.errors[second].mae:.3g} Å²"
        others = [_named(name) for name in ranking[1 : ranking.index(NETWORK)]]
        also = f", as {'do' if len(others) > 1 else 'does'} {_listed(others)}" if others else ""
        return f"{winner} and beats the network, which has {self.errors[NETWORK].mae:.3g} Å²{also}"

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, and the verdict on them, as JSON can hold them."""
        content: dict[str, Any] = {"spectra": self.spectra, "n": self.n}
        if self.n:
            content["verdict"] = self.verdict()
        return content | {name: error.to_dict() for name, error in self.errors.items()}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Comparison:
        """Return the comparison that `to_dict` described."""
        errors = {name: Errors.from_dict(content[name]) for name in LABELS if name in content}
        return cls(content["spectra"], content["n"], errors)


def verdict(test: Comparison, particle: Comparison) -> str:
    """Return in one sentence which predictor wins on the test split and, where there are any, on particle averages."""
    sentence = f"On the test split {test.verdict()}"
    return f"{sentence}; on the particle averages {particle.verdict()}." if particle.n else f"{sentence}."


def _named(name: str) -> str:
    return f"the {LABELS[name]}" if name in (NETWORK, "mean") else LABELS[name]


def _listed(names: list[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


@dataclass(frozen=True)
class Assessment:
    """What is reported of an ensemble.

    Attributes
    ----------
    test : Comparison
        On the test split.
    fitted : Comparison
        On a sample of the test split, beside the nearest simulated spectrum, which is fitted to each.
    particle : Comparison
        On the particle averages that fine-tuning never sees, of which there may be none.
    untuned : Errors or None
        Errors of the ensemble on these before it was fine-tuned; None where it was not.
    interval : Interval
        The interval about its answers.
    coverage : float
        Share of the test split's labels inside it.
    particle_coverage : float
        Share of the particle averages' labels inside the interval that statistical averages give; NaN without any.
    width : float
        Mean width of the interval on the test split, Å².
    distance : float
        Distance from the training spectra below which 99 % of the test split lie; see `distances`.
    labels : ndarray
        Labels of the test split, shape (n,), float64, Å².
    answers : Answers
        What the ensemble answered.
    half_widths : ndarray
        Half of each interval's width, shape (n,), float64, Å².
    particle_labels, particle_answers : ndarray
        Labels of the particle averages and what the ensemble answered, shape (p,), float64, Å².
    baselines : dict of str to Predictor
        The fitted baselines, with the keys of `LABELS`; not among the reported numbers.
    baseline_intervals : dict of str to Interval
        The interval about the answer of each, calibrated on the same spectra as that of the ensemble.
    """

    test: Comparison
    fitted: Comparison
    particle: Comparison
    untuned: Errors | None
    interval: Interval
    coverage: float
    particle_coverage: float
    width: float
    distance: float
    labels: Floats
    answers: Answers
    half_widths: Floats
    particle_labels: Floats
    particle_answers: Floats
    baselines: dict[str, Predictor]
    baseline_intervals: dict[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON can hold them."""
        particles = self.particle.n > 0
        return {
            "test": self.test.to_dict(),
            "fitted": self.fitted.to_dict(),
            "particle": self.particle.to_dict(),
            "particle_before_fine_tuning": None if self.untuned is None else self.untuned.to_dict(),
            "interval": self.interval.to_dict(),
            "coverage": self.coverage,
            "particle_coverage": self.particle_coverage if particles else None,
            "width": self.width,
            "baseline_intervals": {name: found.to_dict() for name, found in self.baseline_intervals.items()},
        }


def assess(
    networks: Sequence[keras.Model],
    mode: Mode,
    tensors: Tensors,
    split: Split,
    scaling: Scaling,
    campaign: Campaign,
    *,
    particles: ParticleSet,
    untuned: Floats | None = None,
) -> Assessment:
    """Compare an ensemble with the baselines on spectra that none of them was fitted to.

    Parameters
    ----------
    networks : sequence of keras.Model
        The ensemble.
    mode : {"direct", "reference"}
        What it was trained for.
    tensors : Tensors
        All averages.
    split : Split
        The split that the networks were trained with; the baselines are fitted to its
        training side, with errors of measurement as the networks'.
    scaling : Scaling
        The scaling from that side.
    campaign : Campaign
        Its training section and its seed. All predictors see the same draws.
    particles : ParticleSet
        Particle averages that the networks never saw.
    untuned : ndarray, optional
        What the ensemble answered to these before it was fine-tuned, shape (n,), Å².

    Returns
    -------
    Assessment
        Errors in Å², the predictors by rising mean absolute error on the test split.

    Raises
    ------
    EnvironmentProblem
        If scikit-learn, skl2onnx or onnxruntime is not installed.
    """
    section, seed = campaign.training, campaign.seed
    errors_of_measurement = augmenter(section, mode, tensors, scaling.ranges["msd"])

    def measured(rows: Indices, stream: Stream) -> Singles:
        drawn = errors_of_measurement.on_arrays(tensors.spectra[rows], seed_of(seed, stream))
        return scaling.scale_features(drawn)

    def everyone(features: Singles) -> dict[str, Answers]:
        ours = answers_of_ensemble(networks, features, scaling)
        nothing = np.zeros(len(features))
        return {NETWORK: ours} | {name: Answers(predict(features), nothing) for name, predict in baselines.items()}

    # The matrices are small, and on cores shared with other ranks the threads wait for each other.
    with threadpool_limits(1):
        rows = split.training[
            np.linspace(0, len(split.training) - 1, min(len(split.training), BASELINE_SPECTRA), dtype=int)
        ]
        baselines = _fit_baselines(measured(rows, Stream.BASELINE_ERRORS), tensors, rows, scaling, seed=seed)
        calibration = everyone(measured(split.calibration, Stream.CALIBRATION_ERRORS))
        features, labels = measured(split.test, Stream.TEST_ERRORS), tensors.msd[split.test]
        held_out = everyone(features)
        on_particles = everyone(particles.features(scaling, section.noise, seed_of(seed, Stream.PARTICLE_NOISE)))
    test = _compared(HELD_OUT, labels, held_out)
    sample = np.linspace(0, len(labels) - 1, min(len(labels), FITTED), dtype=int)
    spectra = features[sample] * scaling.feature_scale + scaling.feature_mean
    some = {
        NETWORK: Answers(held_out[NETWORK].msd[sample], held_out[NETWORK].spread[sample]),
        NEAREST: Answers(_nearest(spectra, mode, tensors, campaign), np.zeros(len(sample))),
    }
    particle = _compared(PARTICLES, particles.msd, on_particles)
    intervals = {
        name: Interval.fit(
            section.confidence,
            held_out=_scores(calibration[name], tensors.msd[split.calibration]),
            particles=_scores(on_particles[name], particles.msd, particles.one_each),
        )
        for name in held_out
    }
    interval, answers = intervals.pop(NETWORK), held_out[NETWORK]
    half_widths = interval.half_width(answers.spread, statistical=True)
    residuals, spreads = _scores(on_particles[NETWORK], particles.msd)
    inside = residuals <= interval.half_width(spreads, statistical=True)
    return Assessment(
        test=test,
        fitted=_compared(SAMPLE, labels[sample], some),
        particle=Comparison(
            PARTICLES, particle.n, {name: particle.errors[name] for name in test.by_error() if particle.n}
        ),
        untuned=Errors.of(untuned, particles.msd) if untuned is not None and len(untuned) else None,
        interval=interval,
        coverage=float(np.mean(np.abs(answers.msd - labels) <= half_widths)),
        particle_coverage=float(inside.mean()) if len(inside) else float("nan"),
        width=float(2 * half_widths.mean()),
        distance=float(np.quantile(distances(features), TYPICAL)),
        labels=labels,
        answers=answers,
        half_widths=half_widths,
        particle_labels=particles.msd,
        particle_answers=on_particles[NETWORK].msd,
        baselines=baselines,
        baseline_intervals=intervals,
    )


def distances(features: Reals) -> Floats:
    """Return how far scaled spectra, (n, M), lie from the training spectra: their root mean square, shape (n,)."""
    return np.asarray(np.sqrt(np.mean(np.square(features, dtype=np.float64), axis=1)))


def _nearest(spectra: Floats, mode: Mode, tensors: Tensors, campaign: Campaign) -> Floats:
    """Return the mean squared displacement of the simulated spectrum nearest to each, (n,), Å²."""
    section = campaign.training
    # What acts on both measurements alike does not act on the spectrum that their difference is put upon.
    free = (
        {
            "largest_gain": 3 * section.step_error,
            "largest_shift": section.energy_shift,
            "largest_broadening": section.broadening,
        }
        if mode == "direct"
        else {}
    )
    found = [
        nearest(
            spectrum,
            tensors.series,
            campaign.averaging,
            edge=tensors.edge,
            largest_slope=3 * section.slope,
            **free,
        )
        for spectrum in spectra
    ]
    return np.array([one.msd for one in found])


def _compared(spectra: str, labels: Floats, answers: dict[str, Answers]) -> Comparison:
    if not len(labels):
        return Comparison(spectra, 0, {})
    errors = {name: Errors.of(found.msd, labels) for name, found in answers.items()}
    comparison = Comparison(spectra, len(labels), errors)
    return Comparison(spectra, len(labels), {name: errors[name] for name in comparison.by_error()})


def _scores(answers: Answers, labels: Floats, rows: Indices | slice = slice(None)) -> tuple[Floats, Floats]:
    """Return what an interval is fitted to: absolute residuals and spreads, each of shape (n,), Å²."""
    return np.abs(answers.msd - labels)[rows], answers.spread[rows]


def _fit_baselines(
    features: Singles, tensors: Tensors, rows: Indices, scaling: Scaling, *, seed: int
) -> dict[str, Predictor]:
    labels = tensors.msd[rows]
    regressions = Regressions(features, labels, tensors.mean_shift[rows], tensors.family[rows])
    return {
        "mean": fit_mean(labels),
        "edge_slope": fit_edge_slope(features, labels, scaling, tensors.mesh, tensors.edge),
        "ridge": regressions.ridge(),
        "pca_ridge": regressions.pca_ridge(),
        "gradient_boosting": regressions.boosting(seed=seed),
        "moments": regressions.moments(),
    }
