"""Distorted and disordered structures, one by one and by the block."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from xanesml.campaign import DisorderSection, DistortionSection, StructureSection
from xanesml.errors import StructureError
from xanesml.structures import (
    Cluster,
    build_cluster,
    deltas,
    disorder,
    distort,
    first_neighbors,
    sigmas,
)

R1 = 2.883722875034978  # 4.0782 / √2


@pytest.fixture(scope="module")
def au55() -> Cluster:
    return build_cluster(StructureSection(atoms=55))


@pytest.mark.parametrize("delta", [-0.45, 0.0, 0.01, 0.45])
@pytest.mark.parametrize(("length", "share"), [("first_shell", 1.0), ("lattice_constant", 1 / np.sqrt(2))])
def test_distortion_shifts_the_first_shell(au55: Cluster, delta: float, length: str, share: float) -> None:
    moved = distort(au55, np.array([delta]), length)[0]
    shell = first_neighbors(au55.positions, au55.absorber, au55.first_shell_cutoff)
    lengths = np.linalg.norm(moved[shell] - moved[au55.absorber], axis=1)
    np.testing.assert_allclose(lengths, R1 + delta * share, rtol=0, atol=1e-12)
    # The second shell, at a, moves √2 times as far.
    second = np.isclose(np.linalg.norm(au55.positions, axis=1), 4.0782)
    assert second.sum() == 6
    expected = 4.0782 + np.sqrt(2) * delta * share
    np.testing.assert_allclose(np.linalg.norm(moved[second], axis=1), expected, rtol=0, atol=1e-12)


def test_no_distortion_leaves_the_cluster_as_it_is(au55: Cluster) -> None:
    np.testing.assert_array_equal(distort(au55, np.array([0.0]))[0], au55.positions)


def test_distortions_that_make_no_sense_are_refused(au55: Cluster) -> None:
    with pytest.raises(StructureError, match=r"-2.9 Å collapses the cluster; it must lie above −2.8837"):
        distort(au55, np.array([0.1, -2.9, -3.0]))
    with pytest.raises(ValueError, match="length is 'a'; accepted: first_shell, lattice_constant"):
        distort(au55, np.array([0.1]), "a")
    assert distort(au55, np.array([])).shape == (0, 55, 3)


def test_deltas_are_clean_decimals() -> None:
    series = deltas(DistortionSection())
    assert series.tolist() == [float(f"{i / 100:.2f}") for i in range(-45, 46)]
    assert not np.signbit(series[45])
    np.testing.assert_array_equal(series, -series[::-1])


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([0.005, 0.01, 0.02, 0.03, 0.1]))
def test_deltas_are_multiples_of_the_step(below: int, above: int, step: float) -> None:
    series = deltas(DistortionSection(minimum=-below * step, maximum=above * step, step=step))
    assert len(series) == below + above + 1
    assert series[below] == 0
    np.testing.assert_allclose(series, np.arange(-below, above + 1) * step, rtol=0, atol=1e-9)


def test_sigmas() -> None:
    section = DisorderSection(structures=4, sigma_minimum=0.02, sigma_maximum=0.14)
    np.testing.assert_allclose(sigmas(section), [0.02, 0.06, 0.10, 0.14], rtol=0, atol=1e-15)
    assert sigmas(DisorderSection(structures=1)).tolist() == [0.02]


def displacements(cluster: Cluster, sigma: float, directions: str) -> np.ndarray:
    moved = disorder(cluster, np.full(60, sigma), seed=7, first=0, directions=directions)
    return np.concatenate(moved - cluster.positions)


def test_disorder_is_isotropic_with_normal_lengths() -> None:
    cluster = build_cluster(StructureSection(atoms=561))
    moves = displacements(cluster, 0.1, "sphere")
    lengths = np.linalg.norm(moves, axis=1)
    assert stats.kstest(lengths, stats.halfnorm(scale=0.1).cdf).pvalue > 0.01
    units = moves / lengths[:, np.newaxis]
    count = len(units)
    # Components are uniform on [−1, 1]: variance 1/3, and var(u²) = 1/5 − 1/9.
    assert np.all(np.abs(units.mean(axis=0)) < 4 * np.sqrt(1 / 3 / count))
    second = units.T @ units / count
    assert np.all(np.abs(second - np.eye(3) / 3) < 4 * np.sqrt((1 / 5 - 1 / 9) / count))


def test_uniform_angles_favor_the_poles() -> None:
    cluster = build_cluster(StructureSection(atoms=561))
    moves = displacements(cluster, 0.1, "uniform_angles")
    units = moves / np.linalg.norm(moves, axis=1)[:, np.newaxis]
    # The mean of cos²θ over a uniform θ is 1/2, on the sphere 1/3.
    np.testing.assert_allclose((units**2).mean(axis=0), [0.25, 0.25, 0.5], rtol=0, atol=0.01)


def test_a_structure_depends_on_seed_and_index_only(au55: Cluster) -> None:
    width = np.array([0.05])
    alone = disorder(au55, width, seed=11, first=3)
    np.testing.assert_array_equal(alone[0], disorder(au55, np.full(3, 0.05), seed=11, first=1)[2])
    assert not np.array_equal(alone, disorder(au55, width, seed=11, first=4))
    assert not np.array_equal(alone, disorder(au55, width, seed=12, first=3))
    with pytest.raises(ValueError, match="directions is 'up'; accepted: sphere, uniform_angles"):
        disorder(au55, width, seed=11, first=3, directions="up")
    assert disorder(au55, np.array([]), seed=1, first=0).shape == (0, 55, 3)


def naive_disorder(cluster: Cluster, sigma: float, seed: int, index: int, directions: str) -> np.ndarray:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    count = len(cluster.positions)
    length = rng.normal(0.0, sigma, count)
    azimuth = rng.uniform(0.0, 2.0 * np.pi, count)
    sphere = directions == "sphere"
    cosine = rng.uniform(-1.0, 1.0, count) if sphere else np.cos(rng.uniform(0.0, np.pi, count))
    sine = np.sqrt(1.0 - cosine**2)
    unit = np.stack((sine * np.cos(azimuth), sine * np.sin(azimuth), cosine), axis=1)
    return cluster.positions + length[:, np.newaxis] * unit


@pytest.mark.parametrize("directions", ["sphere", "uniform_angles"])
@pytest.mark.parametrize("atoms", [13, 55, 561])
@pytest.mark.parametrize(("seed", "first"), [(20250101, 0), (7, 76_920), (2**70, 2**33 - 2)])
def test_a_block_is_its_structures_one_by_one_bit_for_bit(directions: str, atoms: int, seed: int, first: int) -> None:
    cluster = build_cluster(StructureSection(atoms=atoms))
    widths = np.array([0.02, 0.05, 0.08, 0.11, 0.14])
    block = disorder(cluster, widths, seed=seed, first=first, directions=directions)
    assert block.shape == (5, atoms, 3)
    for row, (moved, sigma) in enumerate(zip(block, widths.tolist(), strict=True)):
        np.testing.assert_array_equal(moved, naive_disorder(cluster, sigma, seed, first + row, directions))


@given(st.integers(0, 40), st.integers(0, 40))
def test_how_a_campaign_is_cut_into_blocks_changes_nothing(start: int, length: int) -> None:
    cluster = build_cluster(StructureSection(atoms=13))
    widths = np.linspace(0.02, 0.14, 80)
    whole = disorder(cluster, widths, seed=3, first=0)
    part = disorder(cluster, widths[start : start + length], seed=3, first=start)
    np.testing.assert_array_equal(part, whole[start : start + length])


@pytest.mark.parametrize(
    ("atoms", "structures", "index", "directions", "atom", "position"),
    [
        (55, 76_924, 0, "sphere", 0, (-4.066316911367074, -2.020052680098823, -2.03743421333354)),
        (55, 76_924, 999, "sphere", 54, (4.075661916980642, 4.08038313022417, 0.0035334374888922084)),
        (55, 76_924, 76_923, "sphere", 27, (2.0486706852904186, -4.086732239304801, 2.034415994952929)),
        (55, 76_924, 3, "uniform_angles", 10, (-2.041633111201583, 0.008653171955270432, -2.0426205625374867)),
        (561, 1000, 500, "sphere", 560, (8.176432211794545, 8.171493674750248, 4.07680839015873)),
    ],
)
def test_the_positions_of_a_campaign_stay_what_they_are(
    atoms: int, structures: int, index: int, directions: str, atom: int, position: tuple[float, float, float]
) -> None:
    cluster = build_cluster(StructureSection(atoms=atoms))
    width = sigmas(DisorderSection(structures=structures))[index]
    moved = disorder(cluster, np.array([width]), seed=20250101, first=index, directions=directions)[0]
    # The last bit of a sine is the processor's; feff.inp has 10⁻⁶ Å.
    np.testing.assert_allclose(moved[atom], position, rtol=0, atol=4e-15)


def test_the_distorted_positions_stay_what_they_are() -> None:
    cluster = build_cluster(StructureSection(atoms=561))
    shifts = np.array([-0.45, 0.33])
    shell = distort(cluster, shifts)[:, 560].tolist()
    assert shell[0] == [6.883607793864212, 6.883607793864212, 3.441803896932106]
    assert shell[1] == [9.08978095116624, 9.08978095116624, 4.54489047558312]
    lattice = distort(cluster, shifts, "lattice_constant")[:, 560].tolist()
    assert lattice[0] == [7.2563999999999975, 7.2563999999999975, 3.6281999999999988]
    assert lattice[1] == [8.816399999999998, 8.816399999999998, 4.408199999999999]


@pytest.mark.parametrize("length", ["first_shell", "lattice_constant"])
def test_distortions_are_the_formula_bit_for_bit(au55: Cluster, length: str) -> None:
    series = deltas(DistortionSection())
    block = distort(au55, series, length)
    assert block.shape == (91, 55, 3)
    unscaled = au55.first_shell if length == "first_shell" else au55.first_shell * np.sqrt(2.0)
    for moved, delta in zip(block, series, strict=True):
        np.testing.assert_array_equal(moved, au55.positions * ((unscaled + delta) / unscaled))
