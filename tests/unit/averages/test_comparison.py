"""Particle averages beside statistical averages of the same bonds, against a naive computation."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.stats import skewnorm
from small_tensors import ENERGY, MU, PARTICLE, PARTICLE_MSD, STEPS, WEIGHTS, write_small

from xanesml.averages.comparison import (
    COLUMNS,
    ParticleComparison,
    compare,
    write_table,
)
from xanesml.averages.distributions import skew_normal_of_moments
from xanesml.errors import EnvironmentProblem, StoreError


@pytest.fixture
def compared(tmp_path: Path) -> ParticleComparison:
    return compare(write_small(tmp_path / "tensors.h5"))


def naive(weights: np.ndarray) -> list[float]:
    step = sum(w * s for w, s in zip(weights, STEPS, strict=True))
    return [sum(w * mu[j] for w, mu in zip(weights, MU, strict=True)) / step for j in range(len(ENERGY))]


def naive_rms(spectrum: np.ndarray, other: list[float]) -> float:
    return float(sum((a - b) ** 2 for a, b in zip(spectrum, other, strict=True)) / len(other)) ** 0.5


def test_the_average_has_the_structure_s_own_weights_and_is_normalized_once(compared: ParticleComparison) -> None:
    for row in range(3):
        np.testing.assert_allclose(compared.statistical[row], naive(WEIGHTS[row]), rtol=1e-13)
    # By hand at the edge, 0.9 × 0.05 and 1 × 0.06 over 0.11; normalizing before averaging would give 0.95.
    assert compared.statistical[0, 4] == pytest.approx(0.105 / 0.11, rel=1e-13)


def test_the_rms_is_over_the_mesh(compared: ParticleComparison) -> None:
    wanted = [naive_rms(PARTICLE[row], naive(WEIGHTS[row])) for row in range(3)]
    np.testing.assert_allclose(compared.rms[:3], wanted, rtol=1e-5)  # particle averages are kept as float32
    # The undistorted spectrum is 1 everywhere, the particle averages are sines about 1.
    sine = np.sqrt(np.mean(np.sin(ENERGY - 11914.0) ** 2))
    np.testing.assert_allclose(compared.rms_undistorted, sine * np.array([0.01, 0.02, 0.03, 0.04]), rtol=1e-5)


def test_structures_with_bonds_outside_are_kept_but_marked(compared: ParticleComparison) -> None:
    assert compared.structure.tolist() == [5, 6, 7, 8]
    assert compared.limit == 0.01
    assert compared.usable.tolist() == [True, True, False, False]
    assert np.isnan(compared.rms[3])
    assert np.isnan(compared.statistical[3]).all()
    assert np.isfinite(compared.rms[:3]).all()


def test_what_is_printed_leaves_out_the_marked(compared: ParticleComparison) -> None:
    first, numbers, verdict = compared.lines()
    assert (
        first
        == "structures: 4 compared; 2 of them not counted below, with more than 0.01 of the bonds outside the series"
    )
    assert numbers == (
        "all: MSD 5.00 to 20.00 × 10⁻³ Å², 2 structures: median RMS difference of the particle average, edge steps: "
        f"{compared.rms[:2].mean():.5f} from the statistical average of its own bonds, "
        f"{compared.rms_skew_normal[:2].mean():.5f} from that of the skew-normal of the same moments, "
        f"{compared.rms_undistorted[:2].mean():.5f} from no disorder at all"
    )
    assert verdict == "all: the statistical average is farther from the particle average than no disorder at all"


def test_the_skew_normal_has_the_moments_of_the_bonds(compared: ParticleComparison) -> None:
    # Of the small file the mean and the skewness are 0: a Gaussian of σ² = MSD on the five distortions.
    for row, msd in enumerate(PARTICLE_MSD[:3]):
        weights = np.exp(-(np.array([-0.2, -0.1, 0.0, 0.1, 0.2]) ** 2) / (2 * msd))
        np.testing.assert_allclose(compared.skew_normal[row], naive(weights), rtol=1e-12)
        assert compared.rms_skew_normal[row] == pytest.approx(naive_rms(PARTICLE[row], naive(weights)), rel=1e-5)


def test_a_skewed_structure_has_a_skewed_average(tmp_path: Path) -> None:
    path = write_small(tmp_path / "tensors.h5")
    with h5py.File(path, "r+") as file:
        file["particle/mean_shift"][0], file["particle/msd"][0], file["particle/skewness"][0] = 0.02, 0.01, 0.5
        file["particle/msd"][1] = 0.05**2 / 4  # narrower than half a step
    compared = compare(path)
    # By the moments of a skew-normal of α ≈ 2.17: the third central moment is half of σ cubed.
    location, scale, alpha = (value[0] for value in skew_normal_of_moments(*(np.array([v]) for v in (0.02, 0.01, 0.5))))
    assert skewnorm.stats(alpha, location, scale, moments="mvs") == pytest.approx((0.02, 0.01, 0.5))
    weights = skewnorm.pdf(np.array([-0.2, -0.1, 0.0, 0.1, 0.2]), alpha, location, scale)
    np.testing.assert_allclose(compared.skew_normal[0], naive(weights), rtol=1e-9)
    assert np.isnan(compared.skew_normal[1]).all()
    assert np.isnan(compared.rms_skew_normal[1])


def test_medians_are_of_the_lower_and_the_upper_third(compared: ParticleComparison) -> None:
    # In the order of the file the MSD falls.
    seven = replace(
        compared,
        msd=np.array([7, 6, 5, 4, 3, 2, 1]) * 1e-3,
        usable=np.ones(7, dtype=bool),
        rms=np.array([0.55, 0.45, 9, 9, 9, 0.03, 0.02]),
        rms_skew_normal=np.array([0.09, 0.07, 9, 9, 9, 0.05, 0.04]),
        rms_undistorted=np.array([0.5, 0.3, 9, 9, 9, 0.2, 0.1]),
    )
    assert seven.lines() == [
        "structures: 7 compared",
        "lower third: MSD 1.00 to 2.00 × 10⁻³ Å², 2 structures: median RMS difference of the particle average, edge "
        "steps: 0.02500 from the statistical average of its own bonds, 0.04500 from that of the skew-normal of the "
        "same moments, 0.15000 from no disorder at all",
        "lower third: the statistical average leaves 17% of the difference that disorder makes",
        "upper third: MSD 6.00 to 7.00 × 10⁻³ Å², 2 structures: median RMS difference of the particle average, edge "
        "steps: 0.50000 from the statistical average of its own bonds, 0.08000 from that of the skew-normal of the "
        "same moments, 0.40000 from no disorder at all",
        "upper third: the statistical average is farther from the particle average than no disorder at all",
    ]


def test_without_a_structure_that_counts_there_are_no_numbers(compared: ParticleComparison) -> None:
    (line,) = replace(compared, usable=np.zeros(4, dtype=bool)).lines()
    assert "4 of them not counted" in line


def test_the_table_holds_every_structure(compared: ParticleComparison, tmp_path: Path) -> None:
    path = tmp_path / "comparison.csv"
    write_table(compared, path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["structure"] for row in rows] == ["5", "6", "7", "8"]
    assert [row["usable"] for row in rows] == ["1", "1", "0", "0"]
    assert [float(row["msd"]) for row in rows] == PARTICLE_MSD.tolist()
    assert [float(row["rms"]) for row in rows[:3]] == compared.rms[:3].tolist()
    assert rows[3]["rms"] == ""
    assert [float(row["rms_undistorted"]) for row in rows] == compared.rms_undistorted.tolist()


def test_a_table_that_cannot_be_written_is_named(compared: ParticleComparison, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match=r"cannot write .*file/comparison\.csv"):
        write_table(compared, tmp_path / "file" / "comparison.csv")


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ({"particles": 0}, r"no particle averages to compare; give the campaign a \[disorder\] section"),
        ({"distortions": 0}, r"no distorted series to compare with; give the campaign a \[distortion\] section"),
        ({"distortions": 2}, r"reaches from -0\.2 to -0\.1 Å and has no undistorted spectrum"),
    ],
)
def test_what_the_file_lacks_is_one_line(tmp_path: Path, without: dict[str, int], message: str) -> None:
    with pytest.raises(StoreError, match=message) as problem:
        compare(write_small(tmp_path / "tensors.h5", **without))
    assert "\n" not in str(problem.value)
