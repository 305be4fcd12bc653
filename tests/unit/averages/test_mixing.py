"""Averages under distributions of one's own choice, against loops over the series and numbers by hand."""

from __future__ import annotations

import csv
import itertools
from math import erf, exp, pi, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import skewnorm

from xanesml.averages.bond_file import read_bonds
from xanesml.averages.distributions import skew_normal_of_moments
from xanesml.averages.mixing import Choice, mix
from xanesml.averages.mixture_files import Beside, write_mixtures
from xanesml.averages.series import Series
from xanesml.errors import StoreError

DELTA = np.round(np.arange(-45, 46) * 0.01, 10)
STEPS = 0.05 + 0.01 * DELTA
ENERGY = 11910.0 + np.arange(6.0)


@pytest.fixture
def series() -> Series:
    mu = STEPS[:, np.newaxis] * (1 + 0.3 * np.sin(np.outer(10 * DELTA, 1 + np.arange(6))))
    return Series(energy=ENERGY, delta=DELTA, mu=mu, edge_step=STEPS, r=2.88 + DELTA, first_shell=2.88)


def naive(series: Series, weights: list[float]) -> list[float]:
    step = sum(w * s for w, s in zip(weights, STEPS, strict=True))
    return [sum(w * m for w, m in zip(weights, column, strict=True)) / step for column in series.mu.T.tolist()]


def density(x: float, scale: float, location: float, alpha: float) -> float:
    z = (x - location) / scale
    return exp(-z * z / 2) * (1 + erf(alpha * z / sqrt(2))) / (scale * sqrt(2 * pi))


def test_the_eighteen_weightings_of_the_source_are_one_call(series: Series) -> None:
    choice = Choice(sigma=(0.08, 0.145), mean=(-0.1, 0.0, 0.1), alpha=(-5.0, 0.0, 5.0))
    every = mix(series, choice, limit=0.01, truncated=True)
    asked = list(itertools.product(choice.sigma, choice.mean, choice.alpha))
    assert [(one.scale, one.location, one.alpha) for one in every.made] == asked
    for one, spectrum in zip(every.made, every.spectra, strict=True):
        weights = [density(x, one.scale, one.location, one.alpha) for x in DELTA.tolist()]
        np.testing.assert_allclose(spectrum, naive(series, weights), rtol=1e-12)
        lost = skewnorm(one.alpha, one.location, one.scale)
        assert one.truncated == pytest.approx(lost.cdf(-0.45) + lost.sf(0.45), abs=1e-9)
    some = mix(series, choice, limit=0.01)
    assert [one.name for one in some.left_out] == ["sigma0.145_mean-0.1_alpha-5", "sigma0.145_mean0.1_alpha5"]
    # |z| > 0.35/0.145 of half a Gaussian of twice the height: erfc(2.4138/√2).
    assert some.left_out[0].truncated == pytest.approx(1 - erf(0.35 / 0.145 / sqrt(2)), rel=1e-3)
    assert len(some.made) == 16


def test_an_msd_is_that_of_the_weights(series: Series) -> None:
    mixed = mix(series, Choice(msd=(0.0081, 0.0102), mean=(0.0, 0.02)), limit=0.01)
    np.testing.assert_allclose(mixed.moments.msd, [0.0081, 0.0081, 0.0102, 0.0102], rtol=1e-9)
    np.testing.assert_allclose(mixed.spectra[0], series.average(msd=0.0081), rtol=1e-12)
    wide = Choice(msd=(0.0081, 0.04))
    (left_out,) = mix(series, wide, limit=0.01).left_out
    assert left_out.name == "msd0.04_mean0"
    assert left_out.truncated == pytest.approx(1 - erf(0.45 / left_out.scale / sqrt(2)), rel=1e-9)
    np.testing.assert_allclose(mix(series, wide, limit=0.01, truncated=True).moments.msd, [0.0081, 0.04], rtol=1e-9)


def test_bonds_of_a_file_are_shared_out_over_the_series(series: Series, tmp_path: Path) -> None:
    (tmp_path / "some bonds.txt").write_text("# r (A)\n2.885\n2.885\n2.79\n3.60\n")
    mixed = mix(series, Choice(bonds=(tmp_path / "some bonds.txt",) * 2), limit=0.3)
    weights = np.zeros(91)
    weights[[45, 46, 36]] = 1 / 3
    np.testing.assert_allclose(mixed.weights, [weights, weights], atol=1e-9)
    assert [one.name for one in mixed.made] == ["bonds_some-bonds", "bonds_some-bonds-2"]
    assert mixed.made[0].truncated == pytest.approx(0.25)
    with pytest.raises(StoreError, match=r"truncates all 1 distributions, the least of them by 25\.00% of its mass"):
        mix(series, Choice(bonds=(tmp_path / "some bonds.txt",)), limit=0.01)
    (tmp_path / "outside.txt").write_text("3.60\n3.62\n")
    with pytest.raises(StoreError, match="truncates all"):
        mix(series, Choice(bonds=(tmp_path / "outside.txt",)), limit=0.01, truncated=True)


@pytest.mark.parametrize(
    ("text", "shifts", "shares", "read_as"),
    [
        ("2.9, 1\n2.8, 3\n", [0.02, -0.08], [0.25, 0.75], "lengths"),
        ("delta;weight\n-0.1;2\n0.1;2 # half\n\n", [-0.1, 0.1], [0.5, 0.5], "shifts"),
        ("# r g(r)\n9 0\n2.88 5\n", [6.12, 0.0], [0.0, 1.0], "lengths"),
        ("0.0\n", [0.0], [1.0], "shifts"),
    ],
)
def test_lengths_and_shifts_are_told_apart(
    tmp_path: Path, text: str, shifts: list[float], shares: list[float], read_as: str
) -> None:
    (tmp_path / "bonds").write_text(text)
    found = read_bonds(tmp_path / "bonds", 2.88)
    np.testing.assert_allclose(found[0], shifts, atol=1e-12)
    np.testing.assert_allclose(found[1], shares, atol=1e-12)
    assert found[2] == read_as


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no numbers"),
        ("0.1 1 2\n", "line 1 has 3 numbers"),
        ("2.9 1\n2.8\n", "line 2 has 1 numbers"),
        ("2.9\nbond\n", "line 2: 'bond' is no row of numbers"),
        ("2.9 -1\n2.8 3\n", "negative shares"),
        ("2.9 nan\n", "not finite"),
        ("2.9 0\n", "no share above 0"),
        ("2.9\n0.1\n", "values from 0.1 to 2.9"),
        ("# delta\n2.9\n", "values from 2.9 to 2.9"),
        ("# r\n0.02\n", "values from 0.02 to 0.02"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bonds").write_text(text)
    with pytest.raises(StoreError, match=message):
        read_bonds(tmp_path / "bonds", 2.88)


@given(st.text(alphabet="0123456789.,;-+e# \n\trdelta"))
def test_any_text_is_a_distribution_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "bonds"
    path.write_text(text)
    try:
        shifts, shares, _ = read_bonds(path, 2.88)
    except StoreError as error:
        assert "\n" not in str(error)
    else:
        assert len(shifts) == len(shares) > 0
        assert np.isfinite(shifts).all()
        assert (shares >= 0).all()
        assert shares.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({}, "no distribution is given"),
        ({"sigma": (0.0,)}, "--sigma 0: give positive numbers"),
        ({"sigma": (0.08,), "mean": (float("inf"),)}, "--mean inf: give finite numbers"),
        ({"sigma": (0.08, 0.004)}, "--sigma 0.004 Å is below half the series' step of 0.01 Å"),
        ({"msd": (0.0081,), "alpha": (0.0, 5.0)}, "--alpha goes with --sigma"),
        ({"msd": (0.5,)}, "--msd: an MSD of 0.5 Å² cannot be had"),
    ],
)
def test_what_cannot_be_made_is_said(series: Series, choice: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        mix(series, Choice(**choice), limit=0.01)  # type: ignore[arg-type]


@given(st.floats(-0.2, 0.2), st.floats(0.02, 0.2), st.floats(-6, 6))  # beyond, the skewness nears its limit and is cut
def test_a_skew_normal_distribution_has_the_moments_it_was_made_of(location: float, scale: float, alpha: float) -> None:
    moments = [np.array([float(value)]) for value in skewnorm.stats(alpha, location, scale, moments="mvs")]
    found = skew_normal_of_moments(*moments)
    again = [float(value) for value in skewnorm.stats(found[2][0], found[0][0], found[1][0], moments="mvs")]
    np.testing.assert_allclose(again, np.concatenate(moments), rtol=1e-6, atol=1e-8)


def test_tables_hold_the_labels_and_the_spectra(series: Series, tmp_path: Path) -> None:
    mixed = mix(series, Choice(sigma=(0.08,), mean=(0.0, 0.1)), limit=0.01)
    beside = Beside("foil", np.ones(6), np.array([1.5, 2.5]), np.array([0.2, 0.1]))
    assert beside.closest == 1
    write_mixtures(tmp_path, mixed, {"Element.symbol": "Au", "Element.edge": "L3"}, beside)
    with (tmp_path / "labels.csv").open() as file:
        labels = list(csv.DictReader(file))
    assert [row["name"] for row in labels] == ["sigma0.08_mean0_alpha0", "sigma0.08_mean0.1_alpha0"]
    assert [float(row["msd"]) for row in labels] == mixed.moments.msd.tolist()
    assert [float(row["measured_shift"]) for row in labels] == [1.5, 2.5]
    apart = np.sqrt(np.mean((mixed.spectra[0] - series.undistorted()) ** 2))
    assert float(labels[0]["rms_undistorted"]) == pytest.approx(apart, rel=1e-12)
    table = np.genfromtxt(tmp_path / "spectra.csv", delimiter=",", names=True, deletechars="")
    np.testing.assert_array_equal(table["energy"], ENERGY)
    np.testing.assert_array_equal(table["sigma0.08_mean0.1_alpha0"], mixed.spectra[1])
    np.testing.assert_array_equal(table["undistorted"], series.undistorted())
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "sigma0.08_mean0_alpha0.xdi")[:, 1], mixed.spectra[0])
    head = (tmp_path / "sigma0.08_mean0_alpha0.xdi").read_text()
    assert f"# Xanesml.msd: {mixed.moments.msd[0].item()!r}\n" in head
    assert "# Element.symbol: Au\n" in head
