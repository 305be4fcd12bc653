"""Samples made from a pool's own mixtures are read back, beside one reference and beside two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xanesml.errors import SpectrumError
from xanesml.measured.normalization import NormalizedSpectrum
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import PoolFile
from xanesml.pools.reading import KnownSample, Reader

POOLS = Path(__file__).parents[3] / "reference" / "pools"


@pytest.fixture(scope="module")
def pool() -> Pool:
    stores = [POOLS / name for name in ("au-crystal", "au-particle147")]
    return Pool.make(PoolFile(name="x", stores=stores, crystals=["au-crystal"], mixtures=1500))


def spectrum(pool: Pool, row: int, shift: float = 0.0, scale: float = 1.0) -> NormalizedSpectrum:
    """A mixture as if measured: from 60 eV before to 120 eV behind the edge, theory continued by its ends."""
    energy = np.arange(pool.edge - 60.0, pool.edge + 120.0, 0.5)
    mu = np.interp(energy, pool.energy + pool.edge, pool.mixtures.spectra[row])
    mu[energy < pool.energy[0] + pool.edge] *= np.linspace(0, 1, np.count_nonzero(energy < pool.energy[0] + pool.edge))
    return NormalizedSpectrum(
        energy=energy + shift,
        mu=mu * scale,
        e0=pool.edge + shift,
        edge_step=1.0,
        parameters={},
        element="Au",
        edge="L3",
        source=f"mixture {row}",
    )


def nearest(pool: Pool, msd: float, *, crystal: bool = False) -> int:
    """Return the mixture of an MSD, of the crystal or of any."""
    away = np.abs(pool.mixtures.labels[:, 0] - msd) + np.where(pool.mixtures.crystal == crystal, 0.0, 1.0)
    return int(np.argmin(away))


def test_mixtures_are_read_back(pool: Pool) -> None:
    first = nearest(pool, 0.008, crystal=True)
    known = KnownSample(spectrum(pool, first), float(pool.mixtures.labels[first, 0]), 3e-4)
    rows = [nearest(pool, msd) for msd in (0.004, 0.008, 0.013)]
    found = Reader(pool, [known]).read([spectrum(pool, row, shift=0.4) for row in rows])
    for row, one in zip(rows, found, strict=True):
        msd, bond, number = pool.mixtures.labels[row]
        assert one.interval[0] <= msd <= one.interval[1]
        assert one.interval[0] <= one.msd <= one.interval[1]
        assert abs(one.bond - (bond - pool.mixtures.labels[first, 1])) < 2.5 * one.bond_error
        assert abs(one.coordination - number) < 2.5 * one.coordination_error
        assert one.shift == pytest.approx(-0.4, abs=0.15)
        assert one.misfit < 1.5


def test_a_second_reference_narrows_the_interval(pool: Pool) -> None:
    rows = [nearest(pool, 0.008, crystal=True), *(nearest(pool, msd) for msd in (0.011, 0.013))]
    known = [KnownSample(spectrum(pool, row), float(pool.mixtures.labels[row, 0]), 3e-4) for row in rows[:2]]
    sample = spectrum(pool, rows[2])
    (alone,), (beside_two,) = (Reader(pool, known[:count]).read([sample]) for count in (1, 2))
    assert beside_two.msd_error < alone.msd_error
    assert beside_two.interval[0] <= pool.mixtures.labels[rows[2], 0] <= beside_two.interval[1]


def test_a_noisy_spectrum_is_told_with_a_wider_interval(pool: Pool) -> None:
    rows = nearest(pool, 0.008, crystal=True), nearest(pool, 0.011)
    known = KnownSample(spectrum(pool, rows[0]), float(pool.mixtures.labels[rows[0], 0]), 3e-4)
    sample = spectrum(pool, rows[1])
    clean, noisy = (Reader(pool, [known]).read([replace(sample, noise=noise)])[0] for noise in (0.0, 0.02))
    assert noisy.msd_error > 1.1 * clean.msd_error


def test_a_clean_second_reference_knows_nothing_of_a_sample_s_noise(pool: Pool) -> None:
    rows = [nearest(pool, 0.008, crystal=True), *(nearest(pool, msd) for msd in (0.011, 0.013))]
    known = [KnownSample(spectrum(pool, row), float(pool.mixtures.labels[row, 0]), 3e-4) for row in rows[:2]]
    reader = Reader(pool, known)
    noisy = replace(spectrum(pool, rows[2]), noise=0.02)
    shown = reader._shown([noisy, known[1].spectrum])
    size = len(shown) // 2
    np.testing.assert_allclose(shown[:size, :size], 0.02**2 * reader.measurement.kernel)
    np.testing.assert_array_equal(shown[size:, :], 0.0)
    np.testing.assert_array_equal(shown[:, size:], 0.0)


def test_an_interval_ends_at_zero(pool: Pool) -> None:
    first = nearest(pool, 0.006, crystal=True)
    known = KnownSample(spectrum(pool, first), float(pool.mixtures.labels[first, 0]), 2e-3)
    (found,) = Reader(pool, [known]).read([spectrum(pool, int(np.argmin(pool.mixtures.labels[:, 0])))])
    assert 0 <= found.interval[0] <= found.msd <= found.interval[1]


def test_a_spectrum_unlike_the_pool_is_told_by_its_misfit(pool: Pool) -> None:
    first = nearest(pool, 0.008, crystal=True)
    known = KnownSample(spectrum(pool, first), float(pool.mixtures.labels[first, 0]), 3e-4)
    sample = spectrum(pool, nearest(pool, 0.012))
    ripple = 0.15 * np.sin((sample.energy - pool.edge) / 2.0) * (sample.energy > pool.edge + 46)
    reader = Reader(pool, [known])
    (like,), (unlike,) = reader.read([sample]), reader.read([replace(sample, mu=sample.mu + ripple)])
    assert like.misfit < 1.5 < unlike.misfit


def test_references_that_do_not_do(pool: Pool) -> None:
    sample = spectrum(pool, 0)
    with pytest.raises(SpectrumError, match="give a spectrum of known MSD as reference"):
        Reader(pool, [])
    with pytest.raises(SpectrumError, match=r"the reference's MSD 0\.5 Å² lies outside"):
        Reader(pool, [KnownSample(sample, 0.5)])
    known = KnownSample(spectrum(pool, nearest(pool, 0.008, crystal=True)), 0.008)
    with pytest.raises(SpectrumError, match="no edge like the reference's, mixture"):
        Reader(pool, [known]).read([replace(sample, energy=sample.energy + 30, e0=sample.e0 + 30)])
