"""Compares an ensemble with baselines on the same split and with the same errors of measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from xanesml.assessment.baselines import Regressions, fit_edge_slope, fit_mean
from xanesml.assessment.report import NEAREST, NETWORK, Comparison, Errors, ModeReport, Scatter
from xanesml.averages.nearest import nearest
from xanesml.campaign import Campaign, Mode
from xanesml.files.arrays import Floats, Indices, Singles, Wholes
from xanesml.learning.augmentation import augmenter
from xanesml.learning.dataset import Tensors
from xanesml.learning.intervals import Interval, Judged, conformal_quantile, ends, mean_over_clusters
from xanesml.learning.model import Answers, answers_of_ensemble
from xanesml.learning.particle_set import ParticleSet
from xanesml.learning.predictors import Predictor
from xanesml.learning.scaling import Scaling, distances
from xanesml.learning.splits import Split, evenly
from xanesml.seeds import Stream, generator, seed_of

if TYPE_CHECKING:
    import keras


SAMPLE = "test spectra also fitted by least squares"
HELD_OUT = "statistical averages of families held out of training"
PARTICLES = "averages over the absorbers of disordered structures, simulated in another way than the training spectra"

#: Largest number of training spectra, evenly taken, that baselines are fitted to.
BASELINE_SPECTRA = 50_000
#: Largest number of test spectra, evenly taken, that the nearest simulated spectrum is fitted to.
FITTED = 200
#: Share of spectra of further families that count as like the training spectra.
TYPICAL = 0.99
#: Divisions of the held-out families over which the scatter of the coverage is measured.
DIVISIONS = 200


@dataclass(frozen=True)
class Assessment:
    """Errors of an ensemble and the baselines in one mode, and the numbers behind them.

    Attributes
    ----------
    report : ModeReport
        Errors, intervals and coverage.
    distance : float
        Distance from the training spectra below which 99 % of spectra of further families lie, from the
        calibration split; see `distances`.
    labels : ndarray
        Labels of the test split, shape (n,), float64, Å².
    answers : Answers
        The ensemble's answers to it.
    half_widths : ndarray
        Half of each interval's width, shape (n,), float64, Å².
    particle_labels, particle_answers : ndarray
        Labels of the particle averages and the ensemble's answers, shape (p,), float64, Å².
    baselines : dict of str to Predictor
        The fitted baselines, with the keys of `xanesml.assessment.report.LABELS`.
    """

    report: ModeReport
    distance: float
    labels: Floats
    answers: Answers
    half_widths: Floats
    particle_labels: Floats
    particle_answers: Floats
    baselines: dict[str, Predictor]


def assess(
    networks: Sequence[keras.Model],
    mode: Mode,
    tensors: Tensors,
    split: Split,
    scaling: Scaling,
    campaign: Campaign,
    *,
    particles: ParticleSet,
    calibration: ParticleSet,
    best_epochs: Sequence[int],
    untuned: Floats | None = None,
) -> Assessment:
    """Compare an ensemble with the baselines on held-out spectra.

    Parameters
    ----------
    networks : sequence of keras.Model
        The ensemble.
    mode : {"direct", "reference"}
        Its mode of training.
    tensors : Tensors
        All averages.
    split : Split
        The split that the networks were trained with. The baselines are fitted to its
        training side, with errors of measurement of the same size as the networks'.
    scaling : Scaling
        The scaling from the training side.
    campaign : Campaign
        The campaign. All predictors see the same errors of measurement.
    particles : ParticleSet
        Particle averages of the test.
    calibration : ParticleSet
        Particle averages that calibrate the intervals; neither the networks nor the test have any of them.
    best_epochs : sequence of int
        The epoch from which each network's weights were kept.
    untuned : ndarray, optional
        The ensemble's answers to the particle averages before fine-tuning, shape (n,), Å².

    Returns
    -------
    Assessment
        Errors in Å², the predictors by rising mean absolute error on the test split.

    Raises
    ------
    EnvironmentProblem
        If scikit-learn is not installed.
    """
    section, seed = campaign.training, campaign.seed
    errors_of_measurement = augmenter(section, mode, tensors, scaling.ranges["msd"])

    def measured(rows: Indices, stream: Stream) -> Singles:
        return scaling.scale_features(errors_of_measurement.on_arrays(tensors.spectra[rows], seed_of(seed, stream)))

    def everyone(features: Singles) -> dict[str, Answers]:
        ours = answers_of_ensemble(networks, features, scaling)
        nothing = np.zeros(len(features))
        return {NETWORK: ours} | {name: Answers(predict(features), nothing) for name, predict in baselines.items()}

    # The matrices are small, and threads on cores that other ranks use would wait for each other.
    with threadpool_limits(1):
        rows = split.training[evenly(len(split.training), BASELINE_SPECTRA)]
        baselines = _fit_baselines(measured(rows, Stream.BASELINE_ERRORS), tensors, rows, scaling, seed=seed)
        validation = everyone(measured(split.validation, Stream.VALIDATION_ERRORS))
        calibrating = measured(split.calibration, Stream.CALIBRATION_ERRORS)
        calibrated = everyone(calibrating)
        features, labels = measured(split.test, Stream.TEST_ERRORS), tensors.msd[split.test]
        held_out = everyone(features)
        on_particles = everyone(particles.features(scaling, section.noise, seed_of(seed, Stream.PARTICLE_NOISE)))
        noise = seed_of(seed, Stream.PARTICLE_CALIBRATION_NOISE)
        calibrated_on_particles = everyone(calibration.features(scaling, section.noise, noise))
    test = _compared(HELD_OUT, labels, held_out)
    sample = evenly(len(labels), FITTED)
    spectra = features[sample] * scaling.feature_scale + scaling.feature_mean
    some = {
        NETWORK: Answers(held_out[NETWORK].msd[sample], held_out[NETWORK].spread[sample]),
        NEAREST: Answers(_nearest(spectra, mode, tensors, campaign), np.zeros(len(sample))),
    }
    particle = _compared(PARTICLES, particles.msd, on_particles)

    def judged(answers: Answers, rows: Indices) -> Judged:
        return Judged(answers.msd, answers.spread, tensors.msd[rows], tensors.family[rows])

    def judged_particles(answers: Answers, some: ParticleSet) -> Judged:
        return Judged(answers.msd, answers.spread, some.msd, some.rows)

    intervals = {
        name: Interval.fit(
            section.confidence,
            validation=judged(validation[name], split.validation),
            calibration=judged(calibrated[name], split.calibration),
            particles=judged_particles(calibrated_on_particles[name], calibration),
        )
        for name in held_out
    }
    interval, answers = intervals.pop(NETWORK), held_out[NETWORK]
    half_widths = interval.half_width(answers.spread, statistical=True)
    low, high = ends(answers.msd, half_widths)
    tested = judged(answers, split.test)
    tested_particles = judged_particles(on_particles[NETWORK], particles)
    bound, distant = _bound(distances(calibrating), tensors.family[split.calibration]), distances(features)
    report = ModeReport(
        test=test,
        fitted=_compared(SAMPLE, labels[sample], some),
        particle=Comparison(PARTICLES, particle.n, {name: particle.errors[name] for name in test.errors if particle.n}),
        particle_before_fine_tuning=Errors.of(untuned, particles.msd) if untuned is not None and len(untuned) else None,
        interval=interval,
        coverage=interval.coverage(tested, statistical=True),
        scatter=coverage_scatter(interval, judged(calibrated[NETWORK], split.calibration), tested, seed=seed),
        particle_coverage=interval.coverage(tested_particles, statistical=True) if particle.n else None,
        measured_coverage=interval.coverage(tested_particles) if particle.n else None,
        width=float(np.mean(high - low)),
        flagged=float(np.mean(distant > bound)),
        baseline_intervals=intervals,
        best_epochs=list(best_epochs),
    )
    return Assessment(
        report=report,
        distance=bound,
        labels=labels,
        answers=answers,
        half_widths=half_widths,
        particle_labels=particles.msd,
        particle_answers=on_particles[NETWORK].msd,
        baselines=baselines,
    )


def _nearest(spectra: Floats, mode: Mode, tensors: Tensors, campaign: Campaign) -> Floats:
    """Return the mean squared displacement of the simulated spectrum nearest to each, (n,), Å²."""
    section = campaign.training
    largest = {"largest_slope": 3 * section.slope}
    # In the mode `reference`, errors that both measurements share cancel in the difference.
    if mode == "direct":
        largest |= {"largest_gain": 3 * section.step_error, "largest_shift": section.energy_shift}
        largest["largest_broadening"] = section.broadening
    found = (nearest(one, tensors.series, campaign.averaging, edge=tensors.edge, **largest) for one in spectra)
    return np.array([one.msd for one in found])


def _compared(spectra: str, labels: Floats, answers: dict[str, Answers]) -> Comparison:
    if not len(labels):
        return Comparison(spectra, 0, {})
    errors = {name: Errors.of(found.msd, labels) for name, found in answers.items()}
    comparison = Comparison(spectra, len(labels), errors)
    return Comparison(spectra, len(labels), {name: errors[name] for name in comparison.by_error()})


def _bound(distant: Floats, family: Wholes) -> float:
    """Return the distance below which 99 % of spectra of further families lie; of too few families, the largest."""
    quantile = conformal_quantile(distant, TYPICAL, family)
    return float(distant.max()) if quantile is None else quantile


def coverage_scatter(interval: Interval, calibration: Judged, test: Judged, *, seed: int) -> Scatter:
    """Measure how the coverage scatters over divisions of the held-out families into calibration and test.

    Each draw calibrates on as many families as the interval and is judged on the others, which networks and
    interval of that draw have not seen.

    Parameters
    ----------
    interval : Interval
        For its confidence and floor.
    calibration, test : Judged
        Statistical averages of different families; n > 0.
    seed : int
        Seed of the campaign.
    """
    pooled = Judged(*(np.concatenate(pair) for pair in zip(calibration, test, strict=True)))
    families, place = np.unique(pooled.cluster, return_inverse=True)
    number = np.unique(calibration.cluster).size
    scores, random = pooled.scores(interval.floor), generator(seed, Stream.COVERAGE)
    shares = []
    for _ in range(DIVISIONS):
        calibrates = np.zeros(len(families), bool)
        calibrates[random.permutation(len(families))[:number]] = True
        calibrates = calibrates[place]
        quantile = conformal_quantile(scores[calibrates], interval.confidence, place[calibrates])
        inside = scores[~calibrates] <= (scores[calibrates].max() if quantile is None else quantile)
        shares.append(mean_over_clusters(inside, place[~calibrates]))
    return Scatter(float(np.mean(shares)), float(np.std(shares)), DIVISIONS)


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
