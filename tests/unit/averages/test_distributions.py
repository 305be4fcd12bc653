"""Weights, moments and the choice of distributions, against scipy and values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from xanesml.averages.distributions import (
    Distributions,
    choose_distributions,
    endless_distributions,
    moments_from_sums,
    skew_normal_weights,
    weighted_moments,
)
from xanesml.campaign import AveragingSection
from xanesml.errors import CampaignError, StoreError

DELTA = np.arange(-45, 46) / 100
REFERENCE = AveragingSection(families=100, means_per_family=4)


def one(value: float) -> np.ndarray:
    return np.array([float(value)])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_weights_and_moments_against_a_naive_loop(rng: np.random.Generator) -> None:
    location, scale, alpha = rng.uniform(-0.1, 0.1, 9), rng.uniform(0.02, 0.14, 9), rng.uniform(-5, 5, 9)
    alpha[0] = 0.0
    weights = skew_normal_weights(DELTA, location, scale, alpha)
    moments = weighted_moments(weights, DELTA)
    for n in range(9):
        density = [stats.skewnorm.pdf(x, alpha[n], loc=location[n], scale=scale[n]) for x in DELTA]
        naive = [value / math.fsum(density) for value in density]
        np.testing.assert_allclose(weights[n], naive, rtol=0, atol=1e-12)
        mean = math.fsum(w * x for w, x in zip(naive, DELTA, strict=True))
        msd = math.fsum(w * (x - mean) ** 2 for w, x in zip(naive, DELTA, strict=True))
        third = math.fsum(w * (x - mean) ** 3 for w, x in zip(naive, DELTA, strict=True))
        assert moments.mean_shift[n] == pytest.approx(mean, abs=1e-12)
        assert moments.msd[n] == pytest.approx(msd, abs=1e-12)
        fourth = math.fsum(w * (x - mean) ** 4 for w, x in zip(naive, DELTA, strict=True))
        assert moments.skewness[n] == pytest.approx(third / msd**1.5, abs=1e-10)
        assert moments.kurtosis[n] == pytest.approx(fourth / msd**2 - 3, abs=1e-9)
    sums = moments_from_sums(weights * 3.7 @ DELTA[:, np.newaxis] ** np.arange(5))
    for name in ("mean_shift", "msd", "skewness", "kurtosis"):
        np.testing.assert_allclose(getattr(sums, name), getattr(moments, name), rtol=0, atol=1e-9)
    np.testing.assert_allclose(sums.msd, moments.msd, rtol=1e-12)


@given(
    st.floats(-0.4, 0.4),
    st.floats(0.02, 0.14),
    st.floats(-50, 50),
)
def test_weights_sum_to_one(location: float, scale: float, alpha: float) -> None:
    weights = skew_normal_weights(DELTA, one(location), one(scale), one(alpha))
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0, abs=1e-13)


def test_weights_far_outside_the_series_stay_finite() -> None:
    weights = skew_normal_weights(DELTA, one(-9.0), one(0.02), one(-50.0))
    assert weights[0].argmax() == 0
    assert weights[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1])
def test_msd_of_a_gaussian_well_inside_is_its_variance(sigma: float) -> None:
    moments = weighted_moments(skew_normal_weights(DELTA, one(0.013), one(sigma), one(0.0)), DELTA)
    # Poisson's sum formula bounds what the bins do: exp(−2π²σ²/step²), nothing here; the
    # rest is the mass beyond ±0.45 Å, over four σ away and worth less than 1e-3 of σ².
    assert moments.msd[0] == pytest.approx(sigma**2, rel=1e-3)
    assert moments.mean_shift[0] == pytest.approx(0.013, abs=1e-5)
    assert abs(moments.skewness[0]) < 1e-2
    assert abs(moments.kurtosis[0]) < 3e-2


def test_moments_of_a_skew_normal() -> None:
    # Azzalini: d = α/√(1+α²), mean = μ + σd√(2/π), variance = σ²(1 − 2d²/π).
    d = 3 / math.sqrt(10)
    moments = weighted_moments(skew_normal_weights(DELTA, one(-0.05), one(0.08), one(3.0)), DELTA)
    assert moments.mean_shift[0] == pytest.approx(-0.05 + 0.08 * d * math.sqrt(2 / math.pi), abs=1e-6)
    assert moments.msd[0] == pytest.approx(0.08**2 * (1 - 2 * d**2 / math.pi), rel=1e-4)
    assert moments.skewness[0] == pytest.approx(float(stats.skewnorm.stats(3.0, moments="s")), abs=1e-3)
    assert moments.kurtosis[0] == pytest.approx(float(stats.skewnorm.stats(3.0, moments="k")), abs=5e-3)


def test_a_point_has_neither_skewness_nor_kurtosis() -> None:
    moments = weighted_moments(np.array([[0.0, 1.0, 0.0]]), np.array([-0.1, 0.0, 0.1]))
    assert moments.msd[0] == 0
    assert np.isnan([moments.skewness[0], moments.kurtosis[0]]).all()


def test_truncated_mass_against_scipy() -> None:
    cases = [(0.1, 0.14, 5.0), (-0.1, 0.14, -5.0), (0.0, 0.2, 0.0), (0.3, 0.1, 2.0), (0.0, 0.02, 1.0)]
    location, scale, alpha = np.array(cases).T
    expected = [
        stats.skewnorm.cdf(-0.45, a, loc=m, scale=s) + stats.skewnorm.sf(0.45, a, loc=m, scale=s) for m, s, a in cases
    ]
    families = Distributions(scale, alpha, location, steps=np.zeros(1, np.int64), step=0.01)
    mass = families.truncated(DELTA)[:, 0]
    np.testing.assert_allclose(mass, expected, rtol=0, atol=1e-12)
    # With α = 5 the upper tail is nearly twice the Gaussian's: 2(1 − Φ(2.5)).
    assert mass[0] == pytest.approx(2 * stats.norm.sf(2.5), rel=1e-3)
    assert mass[1] == pytest.approx(mass[0], abs=1e-15)


@pytest.mark.parametrize("sampler", ["sobol", "random"])
def test_chosen_distributions_fill_their_ranges(sampler: str) -> None:
    section = REFERENCE.model_copy(update={"sampler": sampler})
    chosen = choose_distributions(section, DELTA, 3)
    assert len(chosen) == 400
    assert len(np.unique(chosen.scale)) == len(np.unique(chosen.alpha)) == 100
    assert len(np.unique(chosen.locations)) == 400
    for values, (low, high) in (
        (chosen.scale, section.sigma),
        (chosen.alpha, section.alpha),
        (chosen.locations, section.location),
    ):
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high
    truncated = chosen.truncated(DELTA)
    naive = [
        [stats.skewnorm.cdf(-0.45, a, m, s) + stats.skewnorm.sf(0.45, a, m, s) for m in row]
        for row, s, a in zip(chosen.locations, chosen.scale, chosen.alpha, strict=True)
    ]
    np.testing.assert_allclose(truncated, naive, rtol=0, atol=1e-12)
    assert truncated.max() <= 0.01


def test_a_familys_locations_lie_whole_steps_apart_one_in_each_part_of_the_range() -> None:
    chosen = choose_distributions(REFERENCE, DELTA, 3)
    assert chosen.steps.tolist() == [0, 5, 10, 15]
    part = np.floor((chosen.locations + 0.1) / 0.05)
    assert part.tolist() == [[0, 1, 2, 3]] * 100


def test_a_coarse_series_has_its_locations_on_parts_of_a_step() -> None:
    coarse = np.arange(-15, 16) * 0.03
    chosen = choose_distributions(REFERENCE.model_copy(update={"means_per_family": 8}), coarse, 3)
    # Eight in 0.2 Å are 0.025 Å apart: less than a step, more than half of one.
    assert chosen.divisor == 2
    assert chosen.step == pytest.approx(0.015)
    assert chosen.steps.tolist() == [0, 1, 3, 5, 6, 8, 10, 11]
    assert chosen.locations.max() <= 0.1


def test_locations_without_room_are_refused() -> None:
    point = REFERENCE.model_copy(update={"location": (0.02, 0.02)})
    with pytest.raises(CampaignError, match=r"0\.02 to 0\.02 Å, has no room for averaging.means_per_family = 4"):
        choose_distributions(point, DELTA, 3)
    alone = choose_distributions(point.model_copy(update={"means_per_family": 1}), DELTA, 3)
    assert set(alone.locations.ravel()) == {0.02}


def test_a_grid_holds_every_pair_and_both_ends() -> None:
    section = AveragingSection(sampler="grid", grid=(3, 5), sigma=(0.02, 0.08), means_per_family=3)
    chosen = choose_distributions(section, DELTA, 3)
    assert section.families == 15
    np.testing.assert_allclose(np.unique(chosen.scale), [0.02, 0.05, 0.08])
    np.testing.assert_allclose(np.unique(chosen.alpha), [-5, -2.5, 0, 2.5, 5])
    np.testing.assert_allclose(chosen.locations[0], [-0.1, 0, 0.1], atol=1e-15)
    assert len({(s, a) for s, a in zip(chosen.scale, chosen.alpha, strict=True)}) == 15
    wide = AveragingSection(sampler="grid", grid=(2, 1), sigma=(0.05, 0.4), means_per_family=1)
    assert choose_distributions(wide, DELTA, 3).scale.tolist() == [0.05]


def test_choices_depend_on_the_seed_and_fewer_families_are_the_first_ones() -> None:
    chosen = choose_distributions(REFERENCE, DELTA, 3)
    again = choose_distributions(REFERENCE, DELTA, 3)
    np.testing.assert_array_equal(chosen.locations, again.locations)
    assert not np.array_equal(chosen.scale, choose_distributions(REFERENCE, DELTA, 4).scale)
    fewer = choose_distributions(REFERENCE.model_copy(update={"families": 7}), DELTA, 3)
    np.testing.assert_array_equal(fewer.scale, chosen.scale[:7])
    np.testing.assert_array_equal(chosen[2:5].locations, chosen.locations[2:5])


def test_truncated_shapes_are_passed_over() -> None:
    wide = REFERENCE.model_copy(update={"sigma": (0.02, 0.3)})
    chosen = choose_distributions(wide, DELTA, 3)
    assert len(chosen) == 400
    assert chosen.truncated(DELTA).max() <= 0.01
    free = choose_distributions(wide.model_copy(update={"truncation_limit": 0.99}), DELTA, 3)
    assert free.truncated(DELTA).max() > 0.1
    assert free.scale.mean() > chosen.scale.mean()


def test_an_endless_stream_repeats_nothing_and_depends_on_its_seed() -> None:
    def first(seed: int, count: int = 3) -> np.ndarray:
        stream = endless_distributions(REFERENCE, DELTA, np.random.SeedSequence(seed))
        return np.concatenate([next(stream).scale for _ in range(count)])

    scales = first(1)
    assert len(np.unique(scales)) == len(scales) > 2000
    np.testing.assert_array_equal(first(1), scales)
    assert not np.isin(first(2), scales).any()
    hopeless = REFERENCE.model_copy(update={"location": (0.6, 0.7)})
    with pytest.raises(CampaignError, match=r"only 0\.0% of the distributions' shapes"):
        next(endless_distributions(hopeless, DELTA, np.random.SeedSequence(1)))


@pytest.mark.parametrize("sampler", ["sobol", "random"])
def test_ranges_that_the_series_cannot_hold_are_refused(sampler: str) -> None:
    outside = REFERENCE.model_copy(update={"location": (0.6, 0.7), "sampler": sampler})
    with pytest.raises(CampaignError, match=r"only 0\.0% of the distributions' shapes .* widen the series"):
        choose_distributions(outside, DELTA, 3)


def test_scales_below_the_resolution_of_the_series_are_refused() -> None:
    with pytest.raises(CampaignError, match=r"starts at 0\.02 Å, below half the series' step of 0\.05 Å"):
        choose_distributions(REFERENCE, np.arange(-9, 10) / 20, 3)


def test_a_gap_in_the_series_is_named() -> None:
    gap = np.delete(DELTA, 50)
    with pytest.raises(StoreError, match=r"90 spectra is not evenly spaced between 0\.04 and 0\.06 Å"):
        choose_distributions(REFERENCE, gap, 3)
    with pytest.raises(StoreError, match="of 1 spectra is not evenly spaced; run the missing tasks"):
        skew_normal_weights(np.zeros(1), one(0), one(0.1), one(0))
    with pytest.raises(StoreError, match="is not evenly spaced"):
        skew_normal_weights(DELTA[::-1], one(0), one(0.1), one(0))
