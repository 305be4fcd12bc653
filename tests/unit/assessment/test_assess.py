"""The comparison of an ensemble with the baselines, and what is kept of both."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from requirements import require
from synthetic import campaign, write_tensors

from xanesml.assessment.assess import Assessment, assess, coverage_scatter
from xanesml.assessment.report import LABELS, NEAREST, NETWORK, Comparison, Errors, ModeReport, Scatter
from xanesml.campaign import Campaign
from xanesml.files.records import plain
from xanesml.learning.augmentation import gaussian_averages
from xanesml.learning.dataset import Tensors, load_tensors
from xanesml.learning.intervals import Interval, Judged, conformal_quantile
from xanesml.learning.network import import_keras
from xanesml.learning.particle_set import ParticleSet, ParticleSplit
from xanesml.learning.scaling import FeatureSums, Scaling, distances
from xanesml.learning.splits import Split, split_by_family

WITHOUT_ERRORS = {"noise": 0.0, "energy_shift": 0.0, "broadening": 0.0, "step_error": 0.0, "slope": 0.0}
NOISE_ALONE = WITHOUT_ERRORS | {"noise": 0.01}


def network(scaling: Scaling, msd: float) -> Any:
    """Return a network that answers one mean squared displacement to everything."""
    keras = import_keras()
    inputs = keras.Input(scaling.feature_mean.shape)
    bias = keras.initializers.Constant(float(scaling.scale_labels(np.array([msd]))[0]))
    answer = keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer=bias)(inputs)
    return keras.Model(inputs, {"msd": answer})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Tensors:
    path = tmp_path_factory.mktemp("assessment") / "t.h5"
    write_tensors(path, campaign(), families=20, members=4, points=12, particles=4)
    return load_tensors(path)


def split_of(data: Tensors) -> Split:
    return split_by_family(data.family, validation=0.1, calibration=0.2, test=0.2, seed=1)


def scaling_of(data: Tensors, noise: float = 0.0) -> Scaling:
    rows = split_of(data).training
    sums = FeatureSums.of(data.spectra[rows], data.spectra[0].astype(np.float64))
    return Scaling.fit(sums, {"msd": data.msd[rows]}, noise=noise)


def assessed(
    data: Tensors, made_for: Campaign, *msd: float, mode: Any = "direct", untuned: np.ndarray | None = None
) -> Assessment:
    """Assess networks that answer these mean squared displacements."""
    scaling = scaling_of(data, made_for.training.noise)
    count = len(data.particle_msd)
    return assess(
        [network(scaling, one) for one in msd],
        mode,
        data,
        split_of(data),
        scaling,
        made_for,
        particles=ParticleSet.of(data, mode, np.arange(count), np.arange(count)),
        calibration=ParticleSet.of(data, mode, np.arange(1, count), np.arange(1, count)),
        best_epochs=[3],
        untuned=untuned,
    )


@pytest.fixture(scope="module")
def result(data: Tensors) -> Assessment:
    require("keras", "sklearn")
    return assessed(data, campaign(**WITHOUT_ERRORS, confidence=0.6), 0.008, 0.012, untuned=np.full(4, 0.02))


def test_all_predictors_are_compared_on_the_test_split(data: Tensors, result: Assessment) -> None:
    split = split_of(data)
    labels, errors = data.msd[split.test], result.report.test.errors
    assert result.report.test.n == 16
    assert errors["network"].mae == pytest.approx(np.abs(labels - 0.01).mean(), rel=1e-5)
    assert errors["mean"].mae == pytest.approx(np.abs(labels - data.msd[split.training].mean()).mean())
    assert errors["moments"].mae < errors["ridge"].mae < errors["mean"].mae
    assert set(errors) == set(LABELS) - {NEAREST}
    maes = [error.mae for error in errors.values()]
    assert maes == sorted(maes)
    np.testing.assert_array_equal(result.labels, labels)
    np.testing.assert_allclose(result.answers.msd, np.full(16, 0.01), rtol=1e-5)
    np.testing.assert_allclose(result.answers.spread, np.full(16, 0.002), rtol=1e-4)


def test_and_on_the_particle_averages_in_the_same_order(data: Tensors, result: Assessment) -> None:
    particle = result.report.particle
    assert particle.n == 4
    assert list(particle.errors) == list(result.report.test.errors)
    assert particle.errors["network"].mae == pytest.approx(np.abs(data.particle_msd - 0.01).mean(), rel=1e-5)
    assert result.report.particle_before_fine_tuning is not None
    assert result.report.particle_before_fine_tuning.mae == pytest.approx(np.abs(data.particle_msd - 0.02).mean())


def test_the_baselines_that_are_kept_are_those_that_were_judged(data: Tensors, result: Assessment) -> None:
    rows = split_of(data).test
    features = scaling_of(data).scale_features(data.spectra[rows])
    assert set(result.baselines) == set(LABELS) - {NETWORK, NEAREST}
    for name, baseline in result.baselines.items():
        assert Errors.of(np.maximum(baseline(features), 0.0), data.msd[rows]) == result.report.test.errors[name]


def test_every_baseline_has_an_interval_of_its_own_from_the_calibration_split(
    data: Tensors, result: Assessment
) -> None:
    rows = split_of(data).calibration
    features = scaling_of(data).scale_features(data.spectra[rows])
    assert result.report.baseline_intervals.keys() == result.baselines.keys()
    for name, interval in result.report.baseline_intervals.items():
        residuals = np.abs(np.maximum(result.baselines[name](features), 0.0) - data.msd[rows])
        half_width = interval.half_width(np.zeros(1), statistical=True)[0]
        assert half_width == pytest.approx(conformal_quantile(residuals, 0.6, data.family[rows]), rel=1e-6)
        assert (interval.confidence, interval.families, interval.structures) == (0.6, 4, 3)
    widths = {name: interval.half_width(np.zeros(1))[0] for name, interval in result.report.baseline_intervals.items()}
    assert widths["moments"] < widths["mean"]
    assert NETWORK not in widths


def test_the_interval_of_the_ensemble_and_its_coverage_by_hand(data: Tensors, result: Assessment) -> None:
    split = split_of(data)
    # All spreads are 0.002, so that the interval is as wide for every spectrum.
    half = conformal_quantile(np.abs(data.msd[split.calibration] - 0.01), 0.6, data.family[split.calibration])
    assert half is not None
    np.testing.assert_allclose(result.half_widths, np.full(16, half), rtol=1e-4)
    assert result.report.width == pytest.approx(2 * half, rel=1e-4)
    assert result.report.coverage == np.mean(np.abs(data.msd[split.test] - 0.01) <= half)
    assert result.report.particle_coverage == np.mean(np.abs(data.particle_msd - 0.01) <= half)
    assert result.report.measured_coverage is not None
    assert result.report.measured_coverage >= result.report.particle_coverage
    held_out = scaling_of(data).scale_features(data.spectra[split.calibration])
    # Of too few families for 99 %, the largest.
    assert result.distance == pytest.approx(np.sqrt(np.mean(held_out**2, axis=1)).max(), rel=1e-5)
    features = scaling_of(data).scale_features(data.spectra[split.test])
    beyond = np.sqrt(np.mean(features**2, axis=1)) > result.distance
    assert result.report.flagged == pytest.approx(beyond.mean())


def test_the_scatter_of_the_coverage_by_hand() -> None:
    # Scores 1 to 30 of 30 families; any 9 of them calibrate at 0.9: the largest of the nine.
    label = np.arange(1.0, 31.0)
    some = [
        Judged(np.zeros(len(rows)), np.zeros(len(rows)), label[rows], rows) for rows in (np.arange(9), np.arange(9, 30))
    ]
    interval = Interval(0.9, 1.0, 9.0, 9)
    found = coverage_scatter(interval, *some, seed=3)
    # The mean rank of the largest of 9 of 30 is 9 · 31/10; all nine are below it.
    assert found.mean == pytest.approx((9 * 31 / 10 - 9) / 21, abs=0.02)
    assert found.divisions == 200
    assert 0.05 < found.sd < 0.12
    assert coverage_scatter(interval, *some, seed=3) == found != coverage_scatter(interval, *some, seed=4)
    assert str(found) == f"{found.mean:.1%} ± {found.sd:.1%}"


def test_nothing_that_is_reported_is_of_data_that_was_fitted_to(data: Tensors) -> None:
    for settings, count in ((WITHOUT_ERRORS, 5), (WITHOUT_ERRORS | {"fine_tuning": 3}, 40), ({"fine_tuning": 3}, 3)):
        split = ParticleSplit.of(count, campaign(**settings))
        sides = [set(side.tolist()) for side in (split.tuning, split.calibration, split.test)]
        assert set.union(*sides) == set(range(count))
        assert sum(map(len, sides)) == count
        assert sides[2]
    assert [len(side) for side in (split.tuning, split.calibration, split.test)] == [0, 2, 1]
    made_for = campaign(fine_tuning=3)
    parts = ParticleSplit.of(4, made_for)
    for mode in ("direct", "reference"):
        for name in ("tuning", "calibration", "test"):
            some: ParticleSet = getattr(ParticleSet, name)(data, mode, made_for)
            assert set(some.rows.tolist()) <= set(getattr(parts, name).tolist())


def test_a_report_has_the_numbers_and_not_the_baselines(result: Assessment) -> None:
    content = plain(result.report)
    assert "baselines" not in content
    assert content["baseline_intervals"]["ridge"] == plain(result.report.baseline_intervals["ridge"])
    assert content["coverage"] == result.report.coverage
    assert content["particle_before_fine_tuning"]["mae"] == result.report.particle_before_fine_tuning.mae
    assert content["best_epochs"] == [3]
    again = TypeAdapter(ModeReport).validate_json(json.dumps(content))
    assert again == result.report
    assert again.test.verdict == content["test"]["verdict"]


@pytest.mark.requires("keras", "sklearn")
def test_one_seed_gives_one_assessment_and_no_particle_averages_no_comparison_on_them(data: Tensors) -> None:
    data = replace(data, particle_spectra=data.particle_spectra[:0], particle_msd=data.particle_msd[:0])
    seeds = (campaign(**NOISE_ALONE).model_copy(update={"seed": seed}) for seed in (1, 1, 2))
    first, again, other = (assessed(data, made_for, 0.01).report for made_for in seeds)
    assert (first.particle.n, first.particle.errors) == (0, {})
    assert first.particle.verdict is None
    assert first.particle_coverage is None
    assert first.particle_before_fine_tuning is None
    assert first.test == again.test
    assert first.baseline_intervals == again.baseline_intervals
    assert first.test != other.test


@pytest.mark.requires("keras", "sklearn")
def test_beside_a_reference_all_are_judged_on_differences(data: Tensors) -> None:
    exact = campaign(**WITHOUT_ERRORS, drift=0.0, amplitude=0.0)
    beside, alone = (assessed(data, exact, 0.01, mode=mode).report for mode in ("reference", "direct"))
    # Without errors a difference put upon the reference is the spectrum again.
    assert beside.test.errors["moments"].mae == pytest.approx(alone.test.errors["moments"].mae, abs=2e-6)
    assert beside.particle.n == 4 * 3
    with_amplitude = assessed(data, campaign(**WITHOUT_ERRORS, drift=0.0, amplitude=0.2), 0.01, mode="reference")
    assert with_amplitude.report.test.errors["moments"].mae > 2 * alone.test.errors["moments"].mae


def test_particle_averages_as_they_are_and_as_differences(data: Tensors) -> None:
    direct = ParticleSet.of(data, "direct", np.array([1, 3]), np.array([0]))
    np.testing.assert_array_equal(direct.spectra, data.particle_spectra[[1, 3]])
    assert (direct.msd.tolist(), direct.noises) == (data.particle_msd[[1, 3]].tolist(), 1.0)
    pairs = ParticleSet.of(data, "reference", np.array([1, 3]), np.array([0, 1]))
    assert pairs.rows.tolist() == [1, 3, 3]
    simulated = gaussian_averages(data.series, data.particle_msd[[0, 0, 1]])
    first, second = data.particle_spectra[[1, 3, 3]].astype(float), data.particle_spectra[[0, 0, 1]].astype(float)
    np.testing.assert_allclose(pairs.spectra, first - second + simulated, rtol=1e-12)
    np.testing.assert_array_equal(pairs.msd, data.particle_msd[[1, 3, 3]])


def test_both_measurements_of_a_difference_have_noise(data: Tensors) -> None:
    scaling, rows = scaling_of(data), np.arange(4)
    seed = np.random.SeedSequence(3)

    def noise(mode: Any) -> np.ndarray:
        particles = ParticleSet.of(data, mode, np.repeat(rows, 50), rows)
        noisy, exact = (particles.features(scaling, size, seed).astype(float) for size in (0.01, 0.0))
        return (noisy - exact) * scaling.feature_scale

    assert noise("direct").std() == pytest.approx(0.01, rel=0.05)
    assert noise("reference").std() == pytest.approx(0.01 * np.sqrt(2), rel=0.05)


def test_distances_by_hand() -> None:
    assert distances(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)).tolist() == [np.sqrt(12.5), 0.0]


def of_mode(test: Comparison, particle: Comparison) -> ModeReport:
    return ModeReport(
        test=test,
        fitted=comparison(0),
        particle=particle,
        particle_before_fine_tuning=None,
        interval=Interval(0.9, 0.001, 2.0, 20),
        coverage=0.9,
        scatter=Scatter(0.9, 0.01, 200),
        particle_coverage=None,
        measured_coverage=None,
        width=0.002,
        flagged=0.01,
        baseline_intervals={},
        best_epochs=[1],
    )


def comparison(n: int = 5, **maes: float) -> Comparison:
    return Comparison("some", n, {name: Errors(mae, mae, 0.5, 0.0) for name, mae in maes.items()})


def test_the_verdict_names_the_winner_and_every_baseline_that_beats_the_network() -> None:
    network = comparison(network=0.001, ridge=0.002, mean=0.003)
    tie = comparison(ridge=0.001, network=0.001)
    one = comparison(network=0.001, moments=0.00025, ridge=0.002)
    many = comparison(network=0.004, moments=0.002, ridge=0.003, mean=0.0035, edge_slope=0.005)
    assert network.verdict == "the network wins with a mean absolute error of 0.001 Å², ahead of ridge with 0.002 Å²"
    assert tie.verdict == "the network wins with a mean absolute error of 0.001 Å², ahead of ridge with 0.001 Å²"
    moments = "moments wins with a mean absolute error of 0.00025 Å² and beats the network, which has 0.001 Å²"
    assert one.verdict == moments
    assert many.verdict.endswith(
        "beats the network, which has 0.004 Å², as do ridge and the mean of the training labels"
    )
    assert of_mode(one, comparison(0)).verdict() == f"On the test split {moments}."
    both = of_mode(one, network).verdict()
    assert both == f"On the test split {moments}; on the particle averages {network.verdict}."


def test_a_network_without_a_number_is_beaten_by_all() -> None:
    broken = comparison(network=float("nan"), mean=0.004, ridge=0.003)
    assert broken.by_error() == ["ridge", "mean", "network"]
    assert broken.verdict is not None
    assert broken.verdict.startswith("ridge wins")
    written = TypeAdapter(Comparison).dump_json(broken)
    assert json.loads(written)["errors"]["network"]["mae"] is None
    assert np.isnan(TypeAdapter(Comparison).validate_json(written).errors["network"].mae)
