"""`tools/sizes.py`: what the size of a particle does to a reading, on a series that is known."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
import sizes
from conftest import ROOT
from synthetic import campaign, write_tensors

from xanesml.averages.series import Series
from xanesml.measured import read_spectrum
from xanesml.measured.normalization import normalize

FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"


@pytest.fixture
def tensors(tmp_path: Path) -> Path:
    write_tensors(tmp_path / "tensors.h5", campaign(), families=2, members=2)
    return tmp_path / "tensors.h5"


def test_a_size_like_the_series_own_is_read_as_it_was_given(tensors: Path) -> None:
    with h5py.File(tensors) as file:
        series = Series.read(file)
    other = series.average(msd=0.0102) - series.average(msd=0.0081)
    own = sizes.Size("55", series.energy, series.undistorted(), 11919.0)
    found = sizes.read([own, sizes.Size("147", series.energy, own.mu + other, 11919.0)], tensors, 0.0081)
    # The difference is that of another MSD, so that is what is read.
    np.testing.assert_allclose(np.array(found)[:, 0], [0.0081, 0.0102], rtol=2e-3)
    with pytest.raises(SystemExit, match=r"tensors\.h5 is of 55 atoms; give its size among --atoms"):
        sizes.read([sizes.Size("13", series.energy, own.mu, 11919.0)], tensors, 0.0081)


@pytest.mark.requires("larch")
def test_the_report_sets_each_size_beside_the_foil(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foil = normalize(read_spectrum(FOIL))
    energy = np.arange(11912.0, 11972.0, 0.5)
    mu = np.interp(energy, foil.energy + 2, foil.mu)
    made = [sizes.Size("13", energy, mu + 0.1 * np.sin(energy), 11920.0), sizes.Size("bulk", energy, mu, 11920.0)]
    options = argparse.Namespace(folder=tmp_path, foil=FOIL, element="Au", edge="L3", tensors=None, msd=0.0081)
    sizes.report(made, options)
    with (tmp_path / "sizes.csv").open() as file:
        small, bulk = csv.DictReader(file)
    assert float(bulk["foil_shift"]) == pytest.approx(2.0, abs=0.02)
    assert float(bulk["rms_foil"]) < 2e-3 < float(small["rms_foil"])
    assert float(small["rms_bulk"]) == pytest.approx(0.1 / np.sqrt(2), rel=0.05)
    assert (tmp_path / "sizes.pdf").stat().st_size > 5000
    assert "| bulk | 11920.00 | 0.0000 |" in capsys.readouterr().out
