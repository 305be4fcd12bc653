"""Averages against naive loops, scipy's distributions and values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from xanesml.averaging import (
    average_block,
    common_mesh,
    edge_step,
    normalize,
    onto_mesh,
    particle_averages,
    statistical_averages,
)
from xanesml.campaign import AveragingSection
from xanesml.distributions import (
    distribution_moments,
    draw_distributions,
    skew_normal_weights,
    truncated_mass,
)
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
    moments = distribution_moments(weights, DELTA)
    for n in range(9):
        density = [stats.skewnorm.pdf(x, alpha[n], loc=location[n], scale=scale[n]) for x in DELTA]
        naive = [value / math.fsum(density) for value in density]
        np.testing.assert_allclose(weights[n], naive, rtol=0, atol=1e-12)
        mean = math.fsum(w * x for w, x in zip(naive, DELTA, strict=True))
        msd = math.fsum(w * (x - mean) ** 2 for w, x in zip(naive, DELTA, strict=True))
        third = math.fsum(w * (x - mean) ** 3 for w, x in zip(naive, DELTA, strict=True))
        assert moments.mean_shift[n] == pytest.approx(mean, abs=1e-12)
        assert moments.msd[n] == pytest.approx(msd, abs=1e-12)
        assert moments.skewness[n] == pytest.approx(third / msd**1.5, abs=1e-10)


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
    moments = distribution_moments(skew_normal_weights(DELTA, one(0.013), one(sigma), one(0.0)), DELTA)
    # Poisson's sum formula bounds what the bins do: exp(−2π²σ²/step²), nothing here; the
    # rest is the mass beyond ±0.45 Å, over four σ away and worth less than 1e-3 of σ².
    assert moments.msd[0] == pytest.approx(sigma**2, rel=1e-3)
    assert moments.mean_shift[0] == pytest.approx(0.013, abs=1e-5)
    assert abs(moments.skewness[0]) < 1e-2


def test_moments_of_a_skew_normal() -> None:
    # Azzalini: d = α/√(1+α²), mean = μ + σd√(2/π), variance = σ²(1 − 2d²/π).
    d = 3 / math.sqrt(10)
    moments = distribution_moments(skew_normal_weights(DELTA, one(-0.05), one(0.08), one(3.0)), DELTA)
    assert moments.mean_shift[0] == pytest.approx(-0.05 + 0.08 * d * math.sqrt(2 / math.pi), abs=1e-6)
    assert moments.msd[0] == pytest.approx(0.08**2 * (1 - 2 * d**2 / math.pi), rel=1e-4)
    assert moments.skewness[0] == pytest.approx(float(stats.skewnorm.stats(3.0, moments="s")), abs=1e-3)


def test_a_point_has_no_skewness() -> None:
    moments = distribution_moments(np.array([[0.0, 1.0, 0.0]]), np.array([-0.1, 0.0, 0.1]))
    assert moments.msd[0] == 0
    assert np.isnan(moments.skewness[0])


def test_truncated_mass_against_scipy() -> None:
    cases = [(0.1, 0.14, 5.0), (-0.1, 0.14, -5.0), (0.0, 0.2, 0.0), (0.3, 0.1, 2.0), (0.0, 0.02, 1.0)]
    location, scale, alpha = np.array(cases).T
    expected = [
        stats.skewnorm.cdf(-0.45, a, loc=m, scale=s) + stats.skewnorm.sf(0.45, a, loc=m, scale=s) for m, s, a in cases
    ]
    mass = truncated_mass(DELTA, location, scale, alpha)
    np.testing.assert_allclose(mass, expected, rtol=0, atol=1e-12)
    # With α = 5 the upper tail is nearly twice the Gaussian's: 2(1 − Φ(2.5)).
    assert mass[0] == pytest.approx(2 * stats.norm.sf(2.5), rel=1e-3)
    assert mass[1] == pytest.approx(mass[0], abs=1e-15)


@pytest.mark.parametrize("sampler", ["sobol", "random"])
def test_drawn_distributions(sampler: str) -> None:
    section = REFERENCE.model_copy(update={"sampler": sampler})
    drawn = draw_distributions(section, DELTA, 3)
    assert drawn.family.tolist() == [i for i in range(100) for _ in range(4)]
    for values in (drawn.scale, drawn.alpha):
        assert (values.reshape(100, 4) == values.reshape(100, 4)[:, :1]).all()
    assert len(np.unique(drawn.scale)) == 100
    assert len(np.unique(drawn.location)) == 400
    for values, (low, high) in ((drawn.scale, section.sigma), (drawn.alpha, section.alpha)):
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high
    assert drawn.location.min() >= -0.1
    assert drawn.location.max() <= 0.1
    expected = truncated_mass(DELTA, drawn.location, drawn.scale, drawn.alpha)
    np.testing.assert_array_equal(drawn.truncated, expected)
    assert drawn.truncated.max() <= 0.01


def test_sobol_locations_have_one_in_each_part_of_the_range() -> None:
    drawn = draw_distributions(REFERENCE, DELTA, 3)
    part = np.floor((drawn.location.reshape(100, 4) + 0.1) / 0.05)
    assert part.tolist() == [[0, 1, 2, 3]] * 100


def test_draws_depend_on_the_seed_and_fewer_families_are_the_first_ones() -> None:
    drawn = draw_distributions(REFERENCE, DELTA, 3)
    again = draw_distributions(REFERENCE, DELTA, 3)
    np.testing.assert_array_equal(drawn.location, again.location)
    assert not np.array_equal(drawn.scale, draw_distributions(REFERENCE, DELTA, 4).scale)
    fewer = draw_distributions(REFERENCE.model_copy(update={"families": 7}), DELTA, 3)
    np.testing.assert_array_equal(fewer.scale, drawn.scale[:28])


def test_truncated_shapes_are_passed_over() -> None:
    wide = REFERENCE.model_copy(update={"sigma": (0.02, 0.3)})
    drawn = draw_distributions(wide, DELTA, 3)
    assert len(drawn.family) == 400
    assert drawn.truncated.max() <= 0.01
    free = draw_distributions(wide.model_copy(update={"truncation_limit": 0.99}), DELTA, 3)
    assert free.truncated.max() > 0.1
    assert free.scale.mean() > drawn.scale.mean()


@pytest.mark.parametrize("sampler", ["sobol", "random"])
def test_ranges_that_the_series_cannot_hold_are_refused(sampler: str) -> None:
    outside = REFERENCE.model_copy(update={"location": (0.6, 0.7), "sampler": sampler})
    with pytest.raises(CampaignError, match=r"only 0\.0% of the distributions' shapes .* widen the series"):
        draw_distributions(outside, DELTA, 3)


def test_scales_below_the_resolution_of_the_series_are_refused() -> None:
    with pytest.raises(CampaignError, match=r"starts at 0\.02 Å, below half the series' step of 0\.05 Å"):
        draw_distributions(REFERENCE, np.arange(-9, 10) / 20, 3)


def test_a_gap_in_the_series_is_named() -> None:
    gap = np.delete(DELTA, 50)
    with pytest.raises(StoreError, match=r"90 spectra is not evenly spaced between 0\.04 and 0\.06 Å"):
        draw_distributions(REFERENCE, gap, 3)
    with pytest.raises(StoreError, match="of 1 spectra is not evenly spaced; run the missing tasks"):
        skew_normal_weights(np.zeros(1), one(0), one(0.1), one(0))
    with pytest.raises(StoreError, match="is not evenly spaced"):
        skew_normal_weights(DELTA[::-1], one(0), one(0.1), one(0))


def test_mesh_lies_inside_every_spectrum() -> None:
    energies = np.full((2, 4), np.nan)
    energies[0, :3] = [100.2, 103.0, 110.0]
    energies[1] = [99.0, 101.0, 105.0, 107.6]
    mesh = common_mesh(energies, np.array([3, 4]), 103.0, 0.5)
    assert mesh.tolist() == [100.5 + 0.5 * i for i in range(15)]


@given(st.floats(5000, 20000), st.floats(8, 80), st.sampled_from([0.1, 0.25, 0.3, 0.5]))
def test_mesh_never_reaches_outside(start: float, width: float, step: float) -> None:
    energies = np.array([[start, start + width / 2, start + width]])
    mesh = common_mesh(energies, np.array([3]), start + width / 2, step)
    assert start <= mesh[0] < start + step * (1 + 1e-9)
    assert start + width - step * (1 + 1e-9) < mesh[-1] <= start + width
    np.testing.assert_allclose(np.diff(mesh), step, rtol=0, atol=1e-9)
    np.testing.assert_allclose(mesh / step, np.round(mesh / step), rtol=0, atol=1e-6)
    values = onto_mesh(energies, 3 * energies, np.array([3]), mesh)
    np.testing.assert_allclose(values[0], 3 * mesh, rtol=1e-14)


def test_meshes_that_cannot_be_made() -> None:
    energies = np.array([[100.0, 104.0], [103.0, 110.0]])
    points = np.array([2, 2])
    with pytest.raises(StoreError, match=r"share 103\.00 to 104\.00 eV, which holds 3 mesh points of 0\.5 eV"):
        common_mesh(energies, points, 103.2, 0.5)
    with pytest.raises(StoreError, match="holds 0 mesh points"):
        common_mesh(energies + np.array([[0], [10]]), points, 103.2, 0.5)
    with pytest.raises(StoreError, match=r"outside which the edge lies, 104\.20 eV"):
        common_mesh(energies, points, 104.2, 0.05)
    for none in (np.empty(0, dtype=int), np.array([2, 0])):
        with pytest.raises(StoreError, match="there is no spectrum, or one without points"):
            common_mesh(energies[: len(none)], none, 103.2, 0.5)


def test_interpolation_uses_a_rows_own_points_only() -> None:
    energy = np.array([[0.0, 1.0, 3.0, np.nan], [-1.0, 0.0, 2.0, 4.0]])
    values = np.array([[0.0, 2.0, 6.0, np.nan], [1.0, 5.0, 1.0, 9.0]])
    found = onto_mesh(energy, values, np.array([3, 4]), np.array([0.5, 1.0, 3.0]))
    np.testing.assert_allclose(found, [[1.0, 2.0, 6.0], [4.0, 3.0, 5.0]], rtol=1e-15)


def test_rows_that_do_not_serve_are_refused() -> None:
    energy = np.array([[0.0, 1.0, 2.0], [0.5, 1.0, 2.0]])
    two, mesh = np.array([3, 3]), np.array([0.25, 1.5])
    with pytest.raises(StoreError, match=r"spectrum 1 of 2 covers 0\.50 to 2\.00 eV, not the mesh of 0\.25 to 1\.50"):
        onto_mesh(energy, energy, two, mesh)
    with pytest.raises(StoreError, match="spectrum 0 of 2 covers"):
        onto_mesh(energy, energy, np.array([2, 3]), mesh)
    for spoiled in (np.array([[0.0, 0.0, 2.0]]), np.array([[0.0, np.nan, 2.0]])):
        with pytest.raises(StoreError, match="spectrum 0 of 1 has energies that do not rise"):
            onto_mesh(spoiled, np.ones((1, 3)), np.array([3]), mesh)
    with pytest.raises(StoreError, match="values not finite"):
        onto_mesh(energy[:1], np.array([[1.0, np.inf, 1.0]]), np.array([3]), mesh)


def test_edge_step_is_mu0_fifty_ev_above_the_edge() -> None:
    mesh = 90.0 + 0.5 * np.arange(161)
    mu0 = np.stack([mesh, 2 * mesh])
    steps, energy = edge_step(mu0, mesh, 100.2)
    assert energy == pytest.approx(150.2)
    np.testing.assert_allclose(steps, [150.2, 300.4], rtol=1e-14)
    assert float(edge_step(mesh, mesh, 100.2)[0]) == pytest.approx(150.2)
    steps, energy = edge_step(mu0, mesh, 130.0)
    assert (energy, steps.tolist()) == (170.0, [170.0, 340.0])


def test_edge_steps_that_do_not_exist() -> None:
    mesh = 90.0 + 0.5 * np.arange(161)
    for edge in (89.0, 170.0):
        with pytest.raises(StoreError, match=r"lies outside the mesh of 90\.00 to 170\.00 eV"):
            edge_step(mesh, mesh, edge)
    for value in (0.0, np.nan):
        with pytest.raises(StoreError, match=r"μ0 at 150\.00 eV is not positive"):
            edge_step(np.full((2, 161), value), mesh, 100.0)


def test_normalize() -> None:
    assert normalize(np.array([[2.0, 4.0], [3.0, 9.0]]), [2.0, 3.0]).tolist() == [[1, 2], [1, 3]]
    assert normalize(np.array([2.0, 4.0]), 4.0).tolist() == [0.5, 1.0]


def test_statistical_averages_against_a_naive_loop(rng: np.random.Generator) -> None:
    weights = skew_normal_weights(DELTA, rng.uniform(-0.1, 0.1, 5), rng.uniform(0.02, 0.14, 5), rng.uniform(-5, 5, 5))
    series, steps = rng.uniform(1, 2, (91, 7)), rng.uniform(1, 3, 91)
    found = statistical_averages(weights, series, steps)
    for n in range(5):
        step = math.fsum(weights[n, i] * steps[i] for i in range(91))
        for m in range(7):
            naive = math.fsum(weights[n, i] * series[i, m] for i in range(91)) / step
            assert found[n, m] == pytest.approx(naive, abs=1e-12)
    # FEFF's own normalization: steps of 1, the plain weighted mean, linear in the series.
    plain = statistical_averages(weights, series, np.ones(91))
    np.testing.assert_allclose(plain, weights @ series, rtol=1e-12)
    other = rng.uniform(1, 2, (91, 7))
    combined = statistical_averages(weights, 2 * series - 3 * other, steps)
    np.testing.assert_allclose(
        combined, 2 * found - 3 * statistical_averages(weights, other, steps), rtol=0, atol=1e-12
    )


def test_a_distribution_narrower_than_a_bin_returns_that_spectrum(rng: np.random.Generator) -> None:
    series, steps = rng.uniform(1, 2, (91, 7)), rng.uniform(1, 3, 91)
    weights = skew_normal_weights(DELTA, one(0.2), one(1e-4), one(0.0))
    np.testing.assert_allclose(statistical_averages(weights, series, steps)[0], series[65] / steps[65], rtol=1e-14)


def test_blocks_make_the_same_averages_as_all_at_once(rng: np.random.Generator) -> None:
    drawn = draw_distributions(REFERENCE.model_copy(update={"families": 5}), DELTA, 1)
    series, steps = rng.uniform(1, 2, (91, 7)), rng.uniform(1, 3, 91)
    weights = skew_normal_weights(DELTA, drawn.location, drawn.scale, drawn.alpha)
    slices = [slice(0, 8), slice(8, 16), slice(16, 20)]
    blocks = [average_block(drawn, rows, DELTA, series, steps, dtype=np.float64) for rows in slices]
    assert [block.rows for block in blocks] == slices
    whole = statistical_averages(weights, series, steps)
    np.testing.assert_allclose(np.concatenate([block.spectra for block in blocks]), whole, rtol=1e-14)
    msd = np.concatenate([block.moments.msd for block in blocks])
    np.testing.assert_allclose(msd, distribution_moments(weights, DELTA).msd, rtol=1e-12)
    single = average_block(drawn, slice(0, 20), DELTA, series, steps)
    assert single.spectra.dtype == np.float32
    np.testing.assert_allclose(single.spectra, whole, rtol=1e-7)


def test_particle_averages_by_hand() -> None:
    structure = np.array([8, 8, 3, 3])
    spectra = np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 10.0], [20.0, 40.0]])
    steps = np.array([1.0, 3.0, 2.0, 3.0])
    found = particle_averages(structure, spectra, steps, asked=np.array([8, 8, 3, 3]))
    assert found.structure.tolist() == [3, 8]
    assert found.absorbers.tolist() == [2, 2]
    np.testing.assert_allclose(found.spectra, [[6.0, 10.0], [1.0, 1.5]], rtol=1e-15)
    assert found.refused == {}


def test_particle_averages_do_not_depend_on_the_order(rng: np.random.Generator) -> None:
    structure = np.repeat([4, 5, 6], 13)
    spectra, steps = rng.uniform(1, 2, (39, 5)), rng.uniform(1, 2, 39)
    order = rng.permutation(39)
    found = particle_averages(structure, spectra, steps, asked=structure)
    permuted = particle_averages(structure[order], spectra[order], steps[order], asked=structure)
    np.testing.assert_allclose(found.spectra, permuted.spectra, rtol=0, atol=1e-14)
    for n in range(3):
        rows = range(13 * n, 13 * n + 13)
        naive = [math.fsum(spectra[r, m] for r in rows) / math.fsum(steps[r] for r in rows) for m in range(5)]
        np.testing.assert_allclose(found.spectra[n], naive, rtol=0, atol=1e-12)


def test_structures_with_missing_absorbers() -> None:
    asked = np.repeat([0, 1, 2, 3], 3)
    structure = np.array([0, 0, 0, 1, 1, 2])
    spectra, steps = np.arange(12.0).reshape(6, 2) + 1, np.ones(6)
    strict = particle_averages(structure, spectra, steps, asked=asked)
    assert strict.structure.tolist() == [0]
    assert strict.refused == {
        1: "2 of 3 absorbers are done, 0 may be missing",
        2: "1 of 3 absorbers are done, 0 may be missing",
        3: "0 of 3 absorbers are done, 0 may be missing",
    }
    tolerant = particle_averages(structure, spectra, steps, asked=asked, missing=1)
    assert tolerant.structure.tolist() == [0, 1]
    assert tolerant.absorbers.tolist() == [3, 2]
    assert tolerant.spectra[1].tolist() == [8.0, 9.0]
    assert sorted(tolerant.refused) == [2, 3]
    nothing = particle_averages(structure[:0], spectra[:0], steps[:0], asked=np.array([5]), missing=1)
    assert nothing.spectra.shape == (0, 2)
    assert list(nothing.refused) == [5]


def test_runs_that_nobody_asked_for() -> None:
    with pytest.raises(StoreError, match="structure 9 has a finished run that the task table does not ask for"):
        particle_averages(np.array([1, 9]), np.ones((2, 3)), np.ones(2), asked=np.array([1, 1]))
    with pytest.raises(StoreError, match="structure 1 has more finished runs"):
        particle_averages(np.array([1, 1]), np.ones((2, 3)), np.ones(2), asked=np.array([1, 2]))
